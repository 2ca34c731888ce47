"""The lab without a mouse: keys on the bench and the code map, what is announced, and what a finger is not told."""

import json
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import (
    BENCH,
    HIGGS,
    PCM,
    choose_codecs,
    compare,
    heard,
    lab_status,
    open_lab,
    position,
    rewind,
    wait_for_pictures,
)

FRAME_SECONDS = 0.04


@pytest.fixture(scope="module")
def compared(shared_studio: Page) -> Page:
    """A bench with the original and two rungs of Higgs."""
    open_lab(shared_studio)
    choose_codecs(shared_studio, [(HIGGS, "2"), (HIGGS, "8")])
    compare(shared_studio, 2)
    return shared_studio


@pytest.fixture
def bench(compared: Page) -> Page:
    """That bench at its beginning: the original, not playing, no loop."""
    rewind(compared)
    return compared


def test_after_a_frame_the_whole_clip_plays_again(bench: Page):
    bench.keyboard.press("3")
    wait_for_pictures(bench, 2)
    canvas = bench.locator(f"{BENCH} canvas")
    codes, width = json.loads(canvas.get_attribute("data-codes")), canvas.bounding_box()["width"]
    canvas.click(position={"x": 0.4 * width, "y": codes["top"] + codes["height"] / 2})
    said = bench.locator(f"{BENCH} .hs-said")
    expect(said).to_have_text(re.compile(r"^Frame \d+ is heard\.$"))
    expect(bench.locator(BENCH).get_by_label("Play", exact=True)).to_be_visible()
    expect(bench.locator(BENCH).get_by_label("Loop from (seconds)")).to_have_value("")
    start = position(bench)
    bench.keyboard.press("Space")
    bench.wait_for_function("start => document.querySelector('#hs-bench .hs-bench').clock() > start + 0.2", arg=start)
    expect(said).to_have_text("")
    bench.keyboard.press("Space")
    canvas.click(position={"x": 0.4 * width, "y": codes["top"] + codes["height"] / 2})
    expect(said).to_have_text(re.compile(r"is heard"))
    bench.keyboard.press("2")
    expect(said).to_have_text("")
    bench.locator(BENCH).get_by_label("Loop", exact=True).check()
    bench.keyboard.press("3")
    canvas.click(position={"x": 0.4 * width, "y": codes["top"] + codes["height"] / 2})
    expect(bench.locator(BENCH).get_by_label("Loop from (seconds)")).not_to_have_value("")
    expect(bench.locator(BENCH).get_by_label("Pause", exact=True)).to_be_visible()


def test_space_plays_where_a_version_or_a_box_was_clicked(bench: Page):
    bench.locator(f"{BENCH} .hs-version").nth(1).click()
    bench.keyboard.press("Space")
    expect(bench.locator(BENCH).get_by_label("Pause", exact=True)).to_be_visible()
    bench.keyboard.press("Space")
    expect(bench.locator(BENCH).get_by_label("Play", exact=True)).to_be_visible()
    bench.locator(f"{BENCH} .hs-version").nth(2).focus()
    bench.keyboard.press("Enter")
    assert heard(bench) == bench.locator(f"{BENCH} .hs-version span").nth(2).inner_text()
    levels = bench.locator(BENCH).get_by_label("Match levels")
    levels.click()
    bench.keyboard.press("Space")
    expect(bench.locator(BENCH).get_by_label("Pause", exact=True)).to_be_visible()
    expect(levels).not_to_be_checked()
    levels.focus()
    bench.keyboard.press("Space")  # reached by the keyboard, it is a box as any other
    expect(levels).to_be_checked()


def test_the_code_map_is_walked_and_heard_by_keys(bench: Page):
    bench.keyboard.press("3")
    wait_for_pictures(bench, 2)
    frames = bench.locator(BENCH).get_by_role("slider", name="Code map, frame")
    frames.focus()
    expect(frames).to_have_attribute("aria-valuenow", "0")
    for key in ("ArrowRight", "ArrowRight", "PageDown", "ArrowLeft"):
        bench.keyboard.press(key)
    expect(frames).to_have_attribute("aria-valuenow", "26")
    expect(frames).to_have_attribute("aria-valuetext", re.compile(r"^Frame 26 of \d+, at 1\.04 s; codes( \d+){8}$"))
    bench.keyboard.press("Enter")
    expect(bench.locator(f"{BENCH} .hs-said")).to_have_text("Frame 26 is heard.")
    expect(frames).to_be_focused()
    expect(bench.locator(BENCH).get_by_label("Play", exact=True)).to_be_visible()
    assert position(bench) == pytest.approx(26 * FRAME_SECONDS)


def test_differences_have_a_dark_middle_where_the_page_is_dark(bench: Page):
    middle = "() => HiggsStudio.Pictures.DIFFERENCE.colours[128]"
    assert min(bench.evaluate(middle)) > 230
    bench.evaluate("document.body.classList.add('dark')")
    assert max(bench.evaluate(middle)) < 50
    assert bench.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    bench.evaluate("document.body.classList.remove('dark')")


def test_ctrl_enter_compares_and_is_announced(compared: Page):
    choose_codecs(compared, [(PCM, "16")])
    compared.evaluate("""() => {
      window.announced = [];
      const place = document.querySelector("#hs-lab-status [role=status]");
      new MutationObserver(() => window.announced.push(place.textContent)).observe(place, { childList: true });
    }""")
    button = compared.get_by_role("button", name="Compare", exact=True)
    button.hover()
    expect(button).to_have_attribute("title", "Ctrl+Enter")
    compared.keyboard.press("Control+Enter")
    expect(lab_status(compared)).to_have_text(re.compile("^Done: 1 result in "))
    begun, *_, done = compared.evaluate("announced")
    assert begun.startswith(("Comparing", "Waiting", "All can be heard"))  # whichever comes before the first look
    assert done == lab_status(compared).inner_text()


def test_two_buttons_say_what_they_tick(compared: Page):
    for name, words in (
        ("Same bitrate", "the nearest that Opus has: it starts at 6 kbit/s."),
        ("Whole ladder", "All 8 rungs of Higgs; of the other codecs what is ticked stays."),
    ):
        button = compared.get_by_role("button", name=name)
        button.click()
        expect(compared.locator(".hs-ticked")).to_contain_text(words)
        expect(button).to_have_attribute("title", re.compile(re.escape(words)))


def test_escape_stops_a_comparison(compared: Page):
    expect(compared.locator(f"{HIGGS} input:checked")).to_have_count(8)
    compared.get_by_role("button", name="Compare", exact=True).click()
    expect(compared.get_by_role("button", name="Stop", exact=True)).to_be_enabled()
    compared.keyboard.press("Escape")
    expect(lab_status(compared)).to_have_text(re.compile(r"^Stopped: \d+ of \d+ results were kept"))


def test_keys_are_told_where_there_are_keys(browser: Browser, studio_url: str):
    shown = "place => getComputedStyle(document.querySelector(place)).display !== 'none'"
    for touch in (False, True):
        page = browser.new_page(viewport={"width": 390, "height": 800}, is_mobile=touch, has_touch=touch)
        page.goto(studio_url)
        open_lab(page)
        assert page.evaluate(shown, f"{BENCH} .hs-only-keys") is not touch
        assert page.locator("footer").inner_text().strip().startswith("Settings")
        page.close()
