"""Comparing codecs as a person meets it: choosing, running, reading the table, taking the figures away."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.browser.lab import (
    BENCH,
    HIGGS,
    MP3,
    OPUS,
    PCM,
    XCODEC2,
    choose_codecs,
    compare,
    downloaded,
    lab_status,
    lab_tab,
    open_lab,
)
from tests.browser.steps import generate, wav


@pytest.fixture(scope="module")
def opened(shared_studio: Page) -> Page:
    return open_lab(shared_studio)


@pytest.fixture
def lab(opened: Page) -> Page:
    lab_tab(opened, "Listen")
    return opened


def test_nothing_chosen_is_explained(lab: Page):
    choose_codecs(lab, [])
    lab.get_by_role("button", name="Compare", exact=True).click()
    expect(lab_status(lab)).to_have_text("Choose at least one codec setting to compare.")


def test_three_codecs_are_compared_measured_and_exported(lab: Page):
    choose_codecs(lab, [(HIGGS, "8"), (XCODEC2, "0.8"), (OPUS, "6 ")])
    lab.get_by_label("Also PESQ and predicted MOS").check()
    compare(lab, 3)
    expect(lab.locator(f"{BENCH} .hs-version")).to_have_count(4)
    lab_tab(lab, "Measure")
    measures = lab.locator("#hs-measures")
    rows = measures.locator("tbody:not(.hs-originals) tr")
    expect(rows).to_have_count(3)
    expect(measures.locator(".hs-originals tr")).to_have_text([re.compile(r"^Alma\s*Original\s*–\s*–\s*∞")])
    expect(lab.get_by_role("columnheader", name="Limited to 16 kHz")).to_be_visible()
    expect(measures.locator(".hs-mark")).to_have_count(6)  # three points, and the same marks in the legend
    sort = measures.locator("thead").get_by_role("button", name="Bitrate (kbit/s)")
    sort.click()
    assert [row.split("\t")[2] for row in rows.all_inner_texts()] == ["0.80", "2.00", "5.48"]
    expect(measures.locator("thead th[aria-sort=ascending]")).to_have_count(1)
    sort.click()
    expect(rows.first).to_contain_text("Opus 6 kbit/s")
    lab.get_by_label("Quality measure").select_option(label="STOI · limited to 16 kHz")
    expect(measures.get_by_text("Higher is better")).to_be_visible()
    expect(measures.get_by_text("X-Codec2 (up to 8 kHz)")).to_be_visible()
    with lab.expect_download() as saved:
        lab.get_by_role("link", name="Download CSV").click()
    original, *figures = csv.DictReader(io.StringIO(Path(saved.value.path()).read_text("utf-8")))
    assert (original["codec"], original["STFT distance"], original["encode (ms)"]) == ("Original", "0.0", "n/a")
    assert [row["codec"] for row in figures] == ["Higgs Audio V2 tokenizer, 8 codebooks", "X-Codec2", "Opus 6 kbit/s"]
    assert float(figures[0]["bitrate (kbit/s)"]) == 2
    assert figures[2]["codebooks"] == "n/a"
    assert {"SI-SDR (dB)", "SI-SDR at 16 kHz (dB)", "STOI"} <= set(figures[0])
    for column, title in (("PESQ-WB (MOS-LQO)", "PESQ-WB"), ("Predicted MOS", "Predicted MOS")):  # optional packages
        for row in figures:
            assert row[column] != "n/a" or f"{title} n/a: the package" in row["notes"]
    lab.get_by_label("Also PESQ and predicted MOS").uncheck()


def test_names_stay_in_sight_while_the_table_is_scrolled(lab: Page):
    choose_codecs(lab, [(OPUS, "6 ")])
    compare(lab, 1)
    lab_tab(lab, "Measure")
    table = lab.get_by_role("region", name="Table of measurements")
    columns = {
        width: table.get_by_role("columnheader", name=name).last for width, name in ((1280, "Clip"), (400, "Codec"))
    }
    before = lab.viewport_size
    try:
        for width, first in columns.items():
            lab.set_viewport_size({"width": width, "height": 800})
            codec, number = table.get_by_role("rowheader", name="Opus"), table.get_by_role("columnheader", name="STOI")
            table.evaluate("scroller => { scroller.scrollLeft = 0; }")
            start, moving = codec.bounding_box()["x"], number.bounding_box()["x"]
            table.evaluate("scroller => { scroller.scrollLeft = 150; }")
            assert number.bounding_box()["x"] == pytest.approx(moving - 150, abs=1), "it did not scroll"
            edge = table.bounding_box()["x"]
            assert first.bounding_box()["x"] == pytest.approx(edge, abs=2)
            if width > 760:
                assert codec.bounding_box()["x"] == pytest.approx(start, abs=1)
    finally:
        lab.set_viewport_size(before)


def test_the_edge_of_a_table_tells_that_there_is_more(lab: Page):
    choose_codecs(lab, [(OPUS, "6 ")])
    compare(lab, 1)
    lab_tab(lab, "Measure")
    table = lab.get_by_role("region", name="Table of measurements")
    edge = table.locator("..")
    expect(edge).to_have_attribute("data-more", "")
    lab.wait_for_function(
        "getComputedStyle(document.querySelector('.hs-sideways[data-more]'), '::after').opacity === '1'"
    )
    table.focus()
    while edge.get_attribute("data-more") is not None:
        lab.keyboard.press("ArrowRight")
        lab.wait_for_timeout(50)
    assert table.evaluate("one => one.scrollLeft + one.clientWidth >= one.scrollWidth - 1")


def test_same_bitrate_takes_one_rung_of_each(lab: Page):
    lab.get_by_role("button", name="Same bitrate").click()
    expect(lab.locator(f"{HIGGS} input:checked + span")).to_have_text(["3 · 0.75 kbit/s"])
    expect(lab.locator(f"{XCODEC2} input:checked")).to_have_count(1)
    expect(lab.locator(f"{OPUS} input:checked + span")).to_have_text(["6 kbit/s"])
    expect(lab.locator(f"{PCM} input:checked")).to_have_count(0)


def test_a_run_can_be_stopped_and_keeps_what_there_is(lab: Page):
    lab.get_by_role("button", name="Whole ladder").click()
    expect(lab.locator(f"{HIGGS} input:checked")).to_have_count(8)
    lab.get_by_role("button", name="Compare", exact=True).click()
    lab.get_by_role("button", name="Stop", exact=True).click()
    expect(lab_status(lab)).to_have_text(re.compile(r"^Stopped: \d+ of \d+ results were kept"))
    expect(lab.get_by_role("button", name="Compare", exact=True)).to_be_enabled()


def test_what_was_spoken_can_be_taken(studio: Page):
    generate(studio)
    spoken, _ = wav(studio)
    open_lab(studio)
    studio.get_by_label("Sounds", exact=True).click()
    studio.get_by_role("option", name="What was spoken last").click()
    take = studio.get_by_role("option", name=re.compile(r"^Line 1 · .*, take 1$"))
    if not take.is_visible():  # a choice that is drawn anew at this moment closes its list
        studio.get_by_label("Sounds", exact=True).click()
    take.click()
    studio.get_by_label("Sounds", exact=True).press("Tab")
    choose_codecs(studio, [(PCM, "8 kHz")])
    compare(studio, 3)
    studio.locator(BENCH).get_by_label("Clip", exact=True).select_option(index=2)
    take = downloaded(studio)[0]
    assert np.array_equal(take, spoken[: len(take), 0]), "the first line stands at the beginning, without fades"
    studio.locator(BENCH).get_by_label("Clip", exact=True).select_option(label="Spoken last")
    assert np.array_equal(downloaded(studio)[0], spoken[:, 0])


def test_an_upload_is_kept_as_it_is(lab: Page, tmp_path: Path):
    quiet = (0.01 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 24_000)).astype(np.float32)
    path = tmp_path / "quiet tone.wav"
    soundfile.write(path, quiet, 24_000, subtype="FLOAT")
    lab.locator("#hs-lab-recording input[type=file]").set_input_files(path)
    expect(lab.locator("#hs-lab-note")).to_contain_text("Added, 2.0 s.")
    lab.get_by_label("Remove item Voice: Alma").or_(lab.locator("#hs-lab-sounds .token-remove")).first.click()
    choose_codecs(lab, [(PCM, "16")])
    compare(lab, 1)
    assert np.array_equal(downloaded(lab)[0], quiet), "the level must not be touched"


def test_odd_sounds_are_described_and_compared(studio: Page, tmp_path: Path):
    """50 ms, clipped, an offset, stereo: each is taken with what there is to say of it; an hour is refused unread."""
    open_lab(studio)
    tone = 0.3 * np.sin(np.arange(24_000) / 9)
    odd = {
        "short.wav": (tone[:1200], "Added, 0.05 s."),
        "clipped.wav": (np.clip(9 * tone, -1, 1), "is clipped"),
        "offset.wav": (tone + 0.2, "A DC offset of +20% was removed"),
        "stereo.wav": (np.stack([tone, tone[::-1]], axis=1), "2 channels were mixed to one"),
    }
    note = studio.locator("#hs-lab-note")
    for name, (samples, words) in odd.items():
        soundfile.write(tmp_path / name, samples, 24_000, subtype="FLOAT")
        expect(studio.locator("#hs-lab-recording").get_by_text("Drop Audio Here")).to_be_visible()
        studio.locator("#hs-lab-recording input[type=file]").set_input_files(tmp_path / name)
        expect(note).to_contain_text(words)
    expect(studio.locator("#hs-lab-recording").get_by_text("Drop Audio Here")).to_be_visible()
    soundfile.write(tmp_path / "hour.flac", np.zeros(3600 * 8_000, np.int16), 8_000)
    with (tmp_path / "hour.flac").open("r+b") as file:
        file.truncate(500)  # only its header can say how long it is
    studio.locator("#hs-lab-recording input[type=file]").set_input_files(tmp_path / "hour.flac")
    expect(note.locator(".hs-problem")).to_contain_text("lasts 60 minutes")
    choose_codecs(studio, [(HIGGS, "8"), (XCODEC2, "0.8"), (OPUS, "6 "), (MP3, "16"), (PCM, "8 kHz")])
    compare(studio, 5 * 5)
    lab_tab(studio, "Measure")
    expect(studio.locator("#hs-measures .hs-originals tr")).to_have_count(5)
    expect(studio.get_by_text("n/a in STOI: shorter than 0.5 s.")).to_be_visible()
    expect(studio.get_by_text("n/a in Loudness change (LU): shorter than 0.4 s.")).to_be_visible()


def test_a_broken_upload_is_explained_beside_it(lab: Page, tmp_path: Path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(24_000, np.float32), 24_000)
    lab.locator("#hs-lab-recording input[type=file]").set_input_files(path)
    expect(lab.locator("#hs-lab-note")).to_contain_text("“silence.wav” is silent")


def test_a_reload_finds_the_comparison_and_the_own_sound_again(studio: Page, tmp_path: Path):
    open_lab(studio)
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.3 * np.sin(np.arange(36_000) / 9), 24_000, subtype="FLOAT")
    studio.locator("#hs-lab-recording input[type=file]").set_input_files(path)
    expect(studio.locator("#hs-lab-note")).to_contain_text("Added, 1.5 s.")
    choose_codecs(studio, [(HIGGS, "3"), (OPUS, "12")])
    compare(studio, 4)
    done, sound = lab_status(studio).inner_text(), downloaded(studio)[0]
    for _ in range(2):  # what was found again is found again
        studio.reload()
        studio.get_by_role("tab", name="Codec lab").click()
        expect(studio.locator(f"{BENCH} .hs-version span")).to_have_text(
            ["Original", "Higgs Audio V2 tokenizer, 3 codebooks", "Opus 12 kbit/s"]
        )
        expect(lab_status(studio)).to_have_text(done)
    assert np.array_equal(downloaded(studio)[0], sound)
    expect(studio.locator("#hs-lab-sounds .token")).to_have_text([re.compile("Alma"), re.compile("tone.wav")])
    expect(studio.locator(f"{HIGGS} input:checked + span")).to_have_text(["3 · 0.75 kbit/s"])
    lab_tab(studio, "Measure")
    expect(studio.locator("#hs-measures tbody:not(.hs-originals) tr")).to_have_count(4)
    lab_tab(studio, "Codes")
    expect(studio.get_by_label("Codes", exact=True)).to_have_value("Alma: Higgs Audio V2 tokenizer, 3 codebooks")
    lab_tab(studio, "Blind")
    studio.locator("#hs-blind").get_by_role("button", name="Start").click()
    expect(studio.locator("#hs-blind").get_by_text("Trial 1 of 8")).to_be_visible()
    lab_tab(studio, "Listen")
    compare(studio, 4)  # the recording is still a sound to choose
