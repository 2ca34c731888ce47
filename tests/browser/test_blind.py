"""Blind tests by keyboard and by hand, and that nothing on the page gives the answer away."""

import csv
import io
import re
from pathlib import Path
from zipfile import ZipFile

import pytest
import soundfile
import yaml
from playwright.sync_api import Page, Route, expect

from tests.browser.lab import HIGGS, PCM, choose_codecs, compare, lab_tab, open_lab

STIMULUS = re.compile(r"/files/[0-9a-f]{32}/[0-9a-f]{32}\.wav$")
BLIND = "#hs-blind"


@pytest.fixture(scope="module")
def compared(shared_studio: Page) -> Page:
    open_lab(shared_studio)
    choose_codecs(shared_studio, [(HIGGS, "1"), (PCM, "8 kHz")])
    compare(shared_studio, 2)
    lab_tab(shared_studio, "Blind")
    return shared_studio


@pytest.fixture
def blind(compared: Page) -> Page:
    """The panel before a test is chosen."""
    again = compared.locator(BLIND).get_by_role("button", name="Another test")
    if again.is_visible():
        again.click()
    return compared


def test_an_abx_test_of_8_trials_is_finished_by_keyboard(blind: Page):
    sizes: dict[str, int] = {}
    headers: list[dict[str, str]] = []

    def look(answer):
        if STIMULUS.search(answer.url):
            sizes[answer.url] = len(answer.body())
            headers.append(answer.all_headers())

    blind.on("response", look)
    blind.locator(BLIND).get_by_role("button", name="ABX").click()
    panel = blind.locator(BLIND)
    expect(panel.get_by_text("7 of 8 correct answers")).to_be_visible()
    panel.get_by_role("button", name="Start").click()
    for trial in range(1, 9):
        expect(panel.get_by_text(f"Trial {trial} of 8")).to_be_visible()
        expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
        page = panel.locator(".hs-blind").inner_html()
        assert "Higgs" not in page
        assert "PCM" not in page
        for key, name in (("1", "A"), ("2", "B"), ("3", "X")):
            blind.keyboard.press(key)
            expect(panel.locator(".hs-hear[aria-pressed=true] span")).to_have_text(name)
            expect(panel.locator(".hs-hear[data-heard]")).to_have_count(int(key))
        expect(panel.get_by_label("Pause", exact=True)).to_be_visible()
        blind.keyboard.press("a" if trial % 2 else "b")
    expect(panel.get_by_text(re.compile(r"^\d of 8 correct, p = \d\.\d{3}\."))).to_be_visible()
    blind.remove_listener("response", look)
    assert len(sizes) == 3 * 8, "each trial has files of its own"
    assert len(set(sizes.values())) == 1, "sizes tell them apart"
    assert len({head["last-modified"] for head in headers}) == 1, "dates tell them apart"
    with blind.expect_download() as saved:
        panel.get_by_role("link", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text("utf-8"))))
    assert len(rows) == 8
    assert {row["A"] for row in rows} < {"Original", "Higgs Audio V2 tokenizer, 1 codebook"}
    assert [row["answer"] for row in rows] == ["A", "B"] * 4


def test_an_answer_counts_only_after_everything_was_heard(blind: Page):
    panel = blind.locator(BLIND)
    panel.get_by_role("button", name="ABX").click()
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
    blind.keyboard.press("a")
    expect(panel.get_by_role("alert")).to_contain_text("A, B and X have not been played yet")
    for key, left in (("1", "B and X have"), ("2", "X has")):
        blind.keyboard.press(key)
        expect(panel.locator(".hs-hear[data-heard]")).to_have_count(int(key))
        panel.get_by_role("button", name="X is B").click()
        expect(panel.get_by_role("alert")).to_contain_text(f"{left} not been played yet")
    expect(panel.get_by_text("Trial 1 of 8")).to_be_visible()
    blind.keyboard.press("3")
    expect(panel.locator(".hs-hear[data-heard]")).to_have_count(3)
    blind.keyboard.press("b")
    expect(panel.get_by_text("Trial 2 of 8")).to_be_visible()
    expect(panel.get_by_role("alert")).to_be_hidden()
    expect(panel.locator(".hs-hear[data-heard]")).to_have_count(0)
    panel.get_by_role("button", name="Leave the test").click()


def test_what_was_only_passed_over_was_not_heard(blind: Page):
    panel = blind.locator(BLIND)
    panel.get_by_role("button", name="MUSHRA").click()
    panel.get_by_label("Listener").fill("Ann")
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
    blind.keyboard.press("0")
    expect(panel.locator(".hs-hear[data-heard]")).to_have_count(1)
    panel.locator(".hs-blind").evaluate("panel => panel.querySelectorAll('.hs-rate input').forEach(one => one.focus())")
    expect(panel.locator(".hs-hear").nth(4)).to_have_attribute("data-heard", "")  # where the focus stayed
    expect(panel.locator(".hs-hear[data-heard]")).to_have_count(2)
    panel.get_by_role("button", name="Leave the test").click()


def test_what_a_test_that_was_left_still_loads_is_not_heard_in_the_next(blind: Page):
    panel, held = blind.locator(BLIND), []

    def hold(route: Route) -> None:
        held.append(route)

    urls = "() => document.querySelector('#hs-blind .hs-blind').player.tracks.map(track => track.url)"
    panel.get_by_role("button", name="ABX").click()
    blind.route(STIMULUS, hold, times=1)
    with blind.expect_request(STIMULUS):
        panel.get_by_role("button", name="Start").click()
    panel.get_by_role("button", name="Leave the test").click()
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
    before = blind.evaluate(urls)
    late = held[0].request.url
    with blind.expect_response(late):
        held[0].fulfill(response=blind.request.get(f"{late.split('/files/')[0]}/files/{before[0].split('files/')[1]}"))
    blind.wait_for_timeout(200)
    assert blind.evaluate(urls) == before
    expect(panel.get_by_role("alert")).to_be_hidden()
    panel.get_by_role("button", name="Leave the test").click()


def test_a_short_mushra_is_rated_and_exported(blind: Page):
    panel = blind.locator(BLIND)
    panel.get_by_role("button", name="MUSHRA").click()
    panel.get_by_label("Listener").fill("Ann")
    panel.get_by_role("button", name="Start").click()
    sliders = panel.get_by_label(re.compile("^Rating of Sound"))
    for count in range(2):  # two listeners
        expect(sliders).to_have_count(4)
        expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
        panel.get_by_role("button", name="Submit ratings").click()
        expect(panel.get_by_role("alert")).to_contain_text(
            "Sound 1, Sound 2, Sound 3 and Sound 4 have not been rated yet"
        )
        expect(sliders.first).to_be_focused()
        assert not re.search("Higgs|PCM|anchor|hidden reference", panel.locator(".hs-blind").inner_html())
        for index in range(4):
            sliders.nth(index).fill(str(20 * index + 10 * count))
        panel.get_by_role("button", name="Submit ratings").click()
        expect(panel.get_by_role("alert")).to_contain_text("have not been played yet")
        for sound in range(5):
            blind.keyboard.press(str(sound))
            expect(panel.locator(".hs-hear").nth(sound)).to_have_attribute("data-heard", "")
        panel.get_by_role("button", name="Submit ratings").click()
        expect(panel.get_by_text(f"Mean ratings over {count + 1} listener")).to_be_visible()
        if not count:
            panel.get_by_label("Listener").fill("Ben")
            panel.get_by_role("button", name="Next listener").click()
    expect(panel.locator("tbody tr")).to_have_count(4)
    expect(panel.get_by_role("rowheader", name="hidden reference")).to_be_visible()
    expect(panel.locator("tbody td").nth(1)).to_have_text(re.compile(r"^−?-?\d+\.\d to \d+\.\d$"))
    with blind.expect_download() as saved:
        panel.get_by_role("button", name="Export for webMUSHRA").click()
    with ZipFile(saved.value.path()) as archive:
        config = yaml.safe_load(archive.read("configs/higgs-studio.yaml"))
    assert len(config["pages"][0]["stimuli"]) == 3
    with blind.expect_download() as saved:
        panel.get_by_role("link", name="Download CSV").click()
    assert len(Path(saved.value.path()).read_text("utf-8").splitlines()) == 1 + 2 * 4


@pytest.mark.parametrize("kind", ["ABX", "MUSHRA"])
def test_a_blind_test_may_leave_out_what_lies_above_8_khz(blind: Page, kind: str):
    panel = blind.locator(BLIND)
    panel.get_by_role("button", name=kind).click()
    if kind == "MUSHRA":
        panel.get_by_label("Listener").fill("Ann")
    panel.get_by_label("Limit all to 16 kHz").check()
    with blind.expect_response(STIMULUS) as answer:
        panel.get_by_role("button", name="Start").click()
    assert soundfile.info(io.BytesIO(answer.value.body())).samplerate == 16_000
    expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
    panel.get_by_role("button", name="Leave the test").click()
    panel.get_by_label("Limit all to 16 kHz").uncheck()


def test_a_listener_needs_a_name(blind: Page):
    panel = blind.locator(BLIND)
    panel.get_by_role("button", name="MUSHRA").click()
    panel.get_by_label("Listener").fill("")
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_role("alert")).to_have_text("Give the listener a name or a number.")
    name = panel.get_by_label("Listener")
    expect(name).to_have_attribute("required", "")
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_be_focused()
    blind.keyboard.type("Ann")
    expect(name).not_to_have_attribute("aria-invalid", "true")


def test_nothing_moves_under_the_pointer_and_pointed_at_is_not_chosen(blind: Page):
    panel = blind.locator(BLIND)
    panel.get_by_role("button", name="ABX").click()
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
    ground = "one => getComputedStyle(one).backgroundColor"
    answer, other = panel.get_by_role("button", name="X is A"), panel.get_by_role("button", name="X is B")
    before = answer.bounding_box()
    answer.click()
    expect(panel.get_by_role("alert")).to_be_visible()
    assert answer.bounding_box() == before
    assert answer.evaluate(ground) == other.evaluate(ground), "pointed at, but not chosen"
    blind.mouse.down()
    assert answer.evaluate(ground) != other.evaluate(ground)
    blind.mouse.up()
    panel.get_by_role("button", name="Leave the test").click()


def test_a_reload_finds_the_test_again(blind: Page):
    panel = blind.locator(BLIND)

    def come_back() -> None:
        blind.reload()
        for tab in ("Codec lab", "Blind"):
            lab_tab(blind, tab)

    panel.get_by_role("button", name="ABX").click()
    panel.get_by_role("button", name="Start").click()
    expect(panel.get_by_text("Trial 1 of 8")).to_be_visible()
    come_back()
    expect(panel.get_by_text("Trial 1 of 8")).to_be_visible()
    expect(panel.get_by_label("Play", exact=True)).to_be_enabled()
    panel.get_by_role("button", name="Leave the test").click()
    panel.get_by_role("button", name="MUSHRA").click()
    panel.get_by_label("Listener").fill("Ann")
    panel.get_by_role("button", name="Start").click()
    panel.get_by_label("Rating of Sound 2").fill("30")
    come_back()
    expect(panel.get_by_label("Rating of Sound 2")).to_have_value("30")
    panel.get_by_role("button", name="Submit ratings").click()
    expect(panel.get_by_role("alert")).to_contain_text("Sound 1, Sound 3 and Sound 4 have not been rated yet")
    panel.get_by_role("button", name="Leave the test").click()
    come_back()
    expect(panel.get_by_role("button", name="Start")).to_be_visible()
