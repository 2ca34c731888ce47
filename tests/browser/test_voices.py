"""The tab Voices as a person meets it: a bad recording becomes a voice that can be trusted, and travels."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.browser.steps import add_voice, upload_voice

VOICES = Path(__file__).parent.parent.parent / "assets" / "voices"
BENCH = ".hs-voice-bench"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Speech that is too quiet, with an offset, and a second of silence at each end."""
    samples, rate = soundfile.read(VOICES / "hugo.flac")
    path = tmp_path / "kitchen.wav"
    whole = np.concatenate([np.zeros(rate), 0.1 * samples, np.zeros(rate)]) + 0.02
    soundfile.write(path, np.stack([whole, whole], axis=1), rate)
    return path


def finding(page: Page, key: str):
    return page.locator(f".hs-finding[data-key={key}]")


def test_a_bad_recording_is_trimmed_mended_undone_and_heard(studio: Page, bad: Path):
    upload_voice(studio, bad)
    expect(studio.get_by_text("Type what is said in the recording")).to_be_visible()
    expect(finding(studio, "level")).to_have_attribute("data-severity", "poor")
    expect(finding(studio, "ends")).to_contain_text("1.14 s before")
    # by keyboard: the end one second and 100 ms earlier
    end = studio.get_by_role("slider", name="End of what is kept")
    whole = float(end.get_attribute("aria-valuemax"))
    end.focus()
    end.press("PageDown")
    end.press("Shift+ArrowLeft")
    expect(end).to_have_attribute("aria-valuenow", f"{whole - 1.1:.2f}")
    studio.get_by_role("button", name="Trim to this").click()
    expect(studio.locator(".hs-mends li")).to_have_text([re.compile(r"^Trimmed to 0.00 to ")])
    expect(finding(studio, "duration").locator("s")).to_have_text(f"{whole:.1f} s")
    # one by one, and all that is left
    finding(studio, "dc").get_by_role("button").click()
    expect(finding(studio, "dc")).to_have_attribute("data-severity", "good")
    studio.get_by_role("button", name="Mend all").click()
    expect(finding(studio, "level")).to_contain_text(re.compile("→ -23.0 LUFS"))
    expect(finding(studio, "level")).to_have_attribute("data-severity", "good")
    done = studio.locator(".hs-mends li")
    before = done.count()
    studio.get_by_role("button", name="Undo the last mend").click()
    expect(done).to_have_count(before - 1)
    expect(finding(studio, "level")).to_have_attribute("data-severity", "poor")
    # before, after, and what the model hears
    studio.get_by_role("button", name="Hear it as the model does").click()
    versions = studio.locator(f"{BENCH} .hs-version span")
    expect(versions).to_have_text(["As recorded", "As mended", "What the model hears"])
    studio.locator(f"{BENCH} .hs-version").last.click()
    expect(studio.locator(f"{BENCH} canvas")).to_have_attribute("data-painted", re.compile(r"^[0-9a-f]{32}/2$"))
    expect(studio.locator(f"{BENCH} .hs-facts")).to_contain_text("STOI")
    # words are never made up
    studio.get_by_role("button", name="Fill in by Whisper").click()
    expect(studio.get_by_text("No Whisper checkpoint is in this machine")).to_be_visible()
    expect(studio.get_by_label("What is said in it")).to_have_value("")


def test_a_voice_is_saved_found_exported_deleted_and_opened_again(studio: Page, bad: Path, tmp_path: Path):
    add_voice(studio, bad, "Hugo’s <b>kitchen</b>", "Turn left at the church and then go straight on.")
    studio.get_by_label("Voice of speaker 1", exact=True).select_option(label="Hugo’s <b>kitchen</b>")
    studio.get_by_role("tab", name="Voices").click()
    studio.get_by_label("Tags").fill("Warm, Radio")
    studio.get_by_role("button", name="Save", exact=True).click()
    studio.get_by_role("button", name="radio", exact=True).click()
    expect(studio.locator(".hs-voice-card")).to_have_count(1)
    studio.get_by_role("button", name="radio", exact=True).click()
    studio.get_by_label("Find a voice").fill("old oak tree")
    expect(studio.locator(".hs-voice-card b")).to_have_text(["Clara"])
    studio.get_by_label("Find a voice").fill("")
    studio.get_by_role("button", name="Spoken consent statement").click()
    studio.locator("#hs-statement input[type=file]").set_input_files(VOICES / "alma.flac")
    expect(studio.get_by_text("A spoken statement is attached.")).to_be_visible()
    with studio.expect_download() as download:
        studio.get_by_role("button", name="Export", exact=True).click()
    path = tmp_path / "hugo.voice.zip"
    download.value.save_as(path)
    assert download.value.suggested_filename.endswith(".voice.zip")
    studio.get_by_role("button", name="Delete", exact=True).click()
    studio.get_by_role("button", name="Delete for good").click()
    expect(studio.get_by_text("Yours", exact=True)).to_have_count(0)
    studio.get_by_role("tab", name="Conversation").click()
    voice = studio.get_by_label("Voice of speaker 1", exact=True)
    expect(voice.locator("option:checked")).to_have_text("No longer here")
    studio.get_by_role("tab", name="Voices").click()
    studio.locator("input:has(+ #hs-voice-file)").set_input_files(path)
    expect(studio.locator(".hs-sheet h2")).to_have_text("Hugo’s <b>kitchen</b>")
    expect(studio.get_by_label("Whose voice it is")).to_have_value("Hugo Example")
    expect(studio.get_by_text("A spoken statement is attached.")).to_be_visible()
    broken = tmp_path / "broken.voice.zip"
    broken.write_bytes(path.read_bytes()[:-500])
    studio.locator("input:has(+ #hs-voice-file)").set_input_files(broken)
    expect(studio.get_by_text("“broken.voice.zip” is no voice file")).to_be_visible()
    studio.reload()
    studio.get_by_role("tab", name="Voices").click()
    expect(studio.locator(".hs-voice-card b").first).to_have_text("Hugo’s <b>kitchen</b>")


def test_save_names_what_is_missing_and_goes_there(studio: Page, bad: Path):
    upload_voice(studio, bad)
    expect(studio.get_by_text("Before it can speak:")).to_be_visible()
    words, whose = studio.get_by_label("What is said in it"), studio.get_by_label("Whose voice it is")
    needed, save = studio.locator(".hs-gaps"), studio.get_by_role("button", name="Save", exact=True)
    for label in ("Name", "What is said in it", "Whose voice it is", "Who says so", "That it may be used", "Said on"):
        expect(studio.get_by_label(label, exact=label == "Name")).to_have_attribute("required", "")
    expect(needed).to_have_text(
        "Still needed: What is said in it; Whose voice it is; Who says so; That it may be used, and for what."
    )
    studio.get_by_label("Tags").fill("kitchen")
    save.click()
    expect(words).to_be_focused()
    expect(words).to_have_attribute("aria-invalid", "true")
    expect(studio.get_by_text("Saved so far.")).to_be_visible()
    expect(studio.get_by_role("button", name="kitchen", exact=True)).to_be_visible()  # the tag is kept
    studio.keyboard.type("Turn left at the church and then go straight on.")
    expect(words).not_to_have_attribute("aria-invalid", "true")
    save.click()
    expect(whose).to_be_focused()
    for label in ("Whose voice it is", "Who says so", "That it may be used"):
        studio.get_by_label(label).fill("Hugo Example")
    expect(needed).to_be_hidden()
    save.click()
    expect(studio.get_by_text("Saved.", exact=True)).to_be_visible()
    expect(studio.get_by_text("Before it can speak:")).to_be_hidden()
    studio.get_by_label("Name", exact=True).fill(" ")
    save.click()
    expect(studio.get_by_label("Name", exact=True)).to_be_focused()


def test_what_is_bundled_is_good(studio: Page):
    studio.get_by_role("tab", name="Voices").click()
    expect(studio.locator(".hs-badge")).to_have_text(["Good"] * 8)


def test_the_sheet_fits_a_phone_and_names_every_control(studio: Page, bad: Path):
    studio.set_viewport_size({"width": 390, "height": 844})
    upload_voice(studio, bad)
    expect(studio.get_by_text("Before it can speak:")).to_be_visible()
    assert studio.evaluate("document.documentElement.scrollWidth") <= 390
    nameless = (
        studio.locator(".hs-shelf, .hs-sheet")
        .locator("button, select, input, textarea")
        .evaluate_all(
            """controls => controls.filter(one => !(one.getAttribute("aria-label")
            || [...(one.closest("label")?.childNodes ?? [])].some(part => part !== one && part.textContent.trim())
            || (one.tagName === "BUTTON" && one.innerText.trim()) || !one.offsetParent)).map(one => one.outerHTML)"""
        )
    )
    assert nameless == []
