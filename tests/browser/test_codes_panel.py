"""Codes as things: downloaded, uploaded, mixed, and heard."""

import io
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as TookTooLong

from tests.browser.lab import BENCH, HIGGS, XCODEC2, choose_codecs, compare, heard, lab_tab, open_lab, position

CODES = "#hs-codes-bench"


@pytest.fixture(scope="module")
def compared(shared_studio: Page) -> Page:
    open_lab(shared_studio)
    shared_studio.get_by_label("Sounds", exact=True).click()
    shared_studio.get_by_role("option", name="Voice: Bruno").click()
    shared_studio.get_by_label("Sounds", exact=True).press("Tab")
    choose_codecs(shared_studio, [(HIGGS, "2"), (HIGGS, "8"), (XCODEC2, "0.8")])
    compare(shared_studio, 6)
    return shared_studio


@pytest.fixture
def lab(compared: Page) -> Page:
    lab_tab(compared, "Listen")
    return compared


def codes_of(page: Page, bench: str) -> np.ndarray:
    answer = page.request.get(page.locator(f"{bench} .hs-download-codes").get_attribute("href"))
    assert answer.ok
    with np.load(io.BytesIO(answer.body()), allow_pickle=False) as stored:
        return stored["codes"]


def choose_codes(page: Page, name: str) -> None:
    page.get_by_label("Codes", exact=True).click()
    page.get_by_role("option", name=name).first.click()


def choose_all_eight(page: Page, clip: str) -> None:
    """A clip's codes with all codebooks, by way of those with two: the boxes show when the controls have followed."""
    for count in (2, 8):
        choose_codes(page, f"{clip}: Higgs Audio V2 tokenizer, {count} codebooks")
        expect(page.locator("#hs-codes-silent input")).to_have_count(count)


def choose_other(page: Page, name: str) -> None:
    """Tried again until it is chosen: the menu is laid out anew while it opens, another's may still be closing."""
    field = page.get_by_label("Other clip", exact=True)
    while field.input_value() != name:
        field.click()
        option = page.locator(f"#{field.get_attribute('aria-controls')}").get_by_role("option", name=name)
        try:
            option.click(timeout=2_000)
        except TookTooLong:
            page.keyboard.press("Escape")


def test_what_can_be_done_with_chosen_codes_is_said_until_it_is_done(studio: Page):
    open_lab(studio)
    lab_tab(studio, "Codes")
    empty = studio.locator(f"{CODES} .hs-sound-empty")
    expect(empty).to_contain_text("Compare with a neural codec, or upload codes")
    choose_codecs(studio, [(HIGGS, "2")])
    compare(studio, 1)
    lab_tab(studio, "Codes")
    expect(studio.get_by_label("Codes", exact=True)).to_have_value("Alma: Higgs Audio V2 tokenizer, 2 codebooks")
    expect(empty).to_contain_text("Press Decode and hear to hear the chosen codes")
    studio.get_by_role("button", name="Decode and hear").click()
    expect(studio.locator(f"{CODES} .hs-version")).to_have_count(1)
    expect(empty).to_be_hidden()
    lab_tab(studio, "Listen")
    compare(studio, 1)
    lab_tab(studio, "Codes")
    expect(studio.locator(f"{CODES} .hs-version")).to_have_count(1)  # what was decoded stays


def test_the_controls_follow_the_chosen_codes(lab: Page):
    lab_tab(lab, "Codes")
    expect(lab.get_by_label("Codes", exact=True)).to_have_value("Alma: Higgs Audio V2 tokenizer, 8 codebooks")
    expect(lab.locator("#hs-codes-silent input")).to_have_count(8)
    choose_codes(lab, "Alma: Higgs Audio V2 tokenizer, 2 codebooks")
    expect(lab.locator("#hs-codes-silent input")).to_have_count(2)
    expect(lab.locator("#hs-codes-taken input")).to_have_count(2)
    expect(lab.locator("#hs-codes-kept input[type=range]")).to_have_attribute("max", "2")
    lab.get_by_label("Other clip", exact=True).click()
    expect(lab.get_by_role("listbox").get_by_role("option")).to_contain_text(
        ["None", "Bruno: Higgs Audio V2 tokenizer, 2 codebooks"]
    )
    lab.keyboard.press("Escape")
    choose_codes(lab, "Alma: X-Codec2")
    expect(lab.locator("#hs-codes-silent")).to_be_hidden()
    choose_codes(lab, "Alma: Higgs Audio V2 tokenizer, 8 codebooks")
    expect(lab.locator("#hs-codes-silent input")).to_have_count(8)


def test_codes_come_back_as_they_were_downloaded(lab: Page, tmp_path: Path):
    lab.keyboard.press("3")
    with lab.expect_download() as saved:
        lab.locator(BENCH).get_by_role("link", name="Download codes").click()
    path = tmp_path / "alma.npz"
    saved.value.save_as(path)
    before = codes_of(lab, BENCH)
    assert before.shape[0] == 8
    lab_tab(lab, "Codes")
    lab.locator("#hs-codes-upload input[type=file]").set_input_files(path)
    expect(lab.locator(f"{CODES} .hs-play")).to_be_enabled()
    assert np.array_equal(codes_of(lab, CODES), before)
    expect(lab.get_by_label("Codes", exact=True)).to_have_value("Upload: alma.npz")


def test_codebooks_are_taken_from_another_clip(lab: Page):
    lab_tab(lab, "Codes")
    choose_all_eight(lab, "Alma")
    choose_other(lab, "Bruno: Higgs Audio V2 tokenizer, 8 codebooks")
    lab.locator("#hs-codes-taken").get_by_label("1", exact=True).check()
    lab.get_by_role("button", name="Decode and hear").click()
    versions = lab.locator(f"{CODES} .hs-version")
    expect(versions).to_have_count(3)
    assert heard(lab, CODES) == "1 from Bruno, 2–8 from Alma"
    lab.wait_for_function(f"document.querySelector('{CODES} .hs-bench').clock() > 0.1")
    expect(lab.locator("#hs-codes-note")).to_contain_text("with the shorter clip (Bruno)")
    expect(lab.get_by_role("button", name="Decode and hear")).to_be_enabled()
    made = []
    for index in range(3):
        versions.nth(index).click()
        made.append(codes_of(lab, CODES))
    first, second, both = made
    frames = both.shape[1]
    assert np.array_equal(both[0], second[0, :frames])
    assert np.array_equal(both[1:], first[1:, :frames])


def test_some_codebooks_alone_are_heard_at_once(lab: Page):
    lab_tab(lab, "Codes")
    choose_all_eight(lab, "Bruno")
    lab.get_by_role("spinbutton", name="Keep the first codebooks").fill("5")
    lab.get_by_role("spinbutton", name="Keep the first codebooks").press("Enter")
    lab.locator("#hs-codes-silent").get_by_label("2", exact=True).check()
    lab.get_by_role("button", name="Decode and hear").click()
    expect(lab.locator(f"{CODES} .hs-version[aria-pressed=true] span")).to_have_text("1–5 from Bruno, without 2")
    lab.wait_for_function(f"document.querySelector('{CODES} .hs-bench').clock() > 0.1")
    assert position(lab) == 0, "the other bench is silent"


def test_what_hinders_is_said_beside_it(lab: Page, tmp_path: Path):
    lab_tab(lab, "Codes")
    choose_all_eight(lab, "Alma")
    choose_other(lab, "Bruno: Higgs Audio V2 tokenizer, 8 codebooks")
    expect(lab.locator("#hs-codes-taken").get_by_label("1", exact=True)).to_be_enabled()
    lab.get_by_role("button", name="Decode and hear").click()
    expect(lab.locator("#hs-codes-note")).to_have_text(
        "Tick what to take from the other clip (Bruno), or set it to “None”."
    )
    expect(lab.get_by_role("button", name="Decode and hear")).to_be_enabled()
    path = tmp_path / "broken.npz"
    path.write_bytes(b"no codes")
    lab.locator("#hs-codes-upload input[type=file]").set_input_files(path)
    expect(lab.locator("#hs-codes-refused")).to_contain_text("“broken.npz” is no .npz file of codes")
    expect(lab.locator("#hs-codes-upload").get_by_text("Drop File Here")).to_be_visible()
    expect(lab.locator(".toast-body")).to_have_count(0)
