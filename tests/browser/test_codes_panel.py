"""Codes as things: downloaded, uploaded, mixed, and heard."""

import io
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import BENCH, HIGGS, XCODEC2, choose_codecs, compare, lab_tab, open_lab

CODES = "#hs-codes-bench"


@pytest.fixture(scope="module")
def compared(shared_studio: Page) -> Page:
    open_lab(shared_studio)
    shared_studio.get_by_label("Sounds", exact=True).click()
    shared_studio.get_by_role("option", name="Voice: Bruno").click()
    shared_studio.get_by_label("Sounds", exact=True).press("Tab")
    choose_codecs(shared_studio, [(HIGGS, "8"), (XCODEC2, "0.8")])
    compare(shared_studio, 4)
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


def test_codes_come_back_as_they_were_downloaded(lab: Page, tmp_path: Path):
    lab.keyboard.press("2")
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
    lab.get_by_label("Codes", exact=True).click()
    lab.get_by_role("option", name="Alma: Higgs").first.click()
    expect(lab.get_by_label("Codes", exact=True)).to_have_value("Alma: Higgs Audio V2 tokenizer, 8 codebooks")
    lab.get_by_label("Other clip", exact=True).click()
    lab.get_by_role("option", name="Bruno: Higgs").last.click()
    lab.locator("#hs-codes-taken").get_by_label("1", exact=True).check()
    lab.get_by_role("button", name="Decode and hear").click()
    expect(lab.get_by_role("button", name="Decode and hear")).to_be_enabled()
    versions = lab.locator(f"{CODES} .hs-version")
    expect(versions).to_have_count(3)
    made = []
    for index in range(3):
        versions.nth(index).click()
        made.append(codes_of(lab, CODES))
    first, second, both = made
    frames = both.shape[1]
    assert np.array_equal(both[0], second[0, :frames])
    assert np.array_equal(both[1:], first[1:, :frames])


def test_what_does_not_fit_is_explained(lab: Page):
    lab_tab(lab, "Codes")
    lab.get_by_label("Other clip", exact=True).click()
    lab.get_by_role("option", name="Bruno: X-Codec2").last.click()
    lab.get_by_role("button", name="Decode and hear").click()
    expect(lab.get_by_text("These codes do not fit together")).to_be_visible()
    expect(lab.get_by_role("button", name="Decode and hear")).to_be_enabled()
