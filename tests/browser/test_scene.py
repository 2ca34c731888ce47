"""A working day in one test: a scene is made, mended, spoken, taken again, moved, exported, and opened the next day."""

import io
import re
import zipfile
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from tests.browser.steps import add_voice, fill_script, generate, status, upload_voice, wav

VOICES = Path(__file__).parent.parent.parent / "assets" / "voices"
SCENE = """Nora: Is this the last train?
Guard: Yes, it leaves at nine.
Ben: Wait for me, please!
Nora: Come on, we have time.
Guard: Close the doors.
Ben: Thank you very much.
Nora: Where do you go?
Ben: Home, at last.
Guard: Tickets, please.
Nora: Here they are.
Ben: I lost mine.
Guard: Good evening to you."""


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    """A good recording, and one that is far too quiet, with an offset and silence at both ends."""
    samples, rate = soundfile.read(VOICES / "clara.flac")
    good, bad = tmp_path / "nora.wav", tmp_path / "ben.wav"
    soundfile.write(good, samples, rate)
    samples, rate = soundfile.read(VOICES / "hugo.flac")
    soundfile.write(bad, np.concatenate([np.zeros(rate), 0.05 * samples, np.zeros(rate)]) + 0.02, rate)
    return good, bad


def choose_file(page: Page, button: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files(path)


def take_line(page: Page, number: int) -> None:
    page.get_by_label(f"Text of line {number}", exact=True).focus()
    expect(page.locator(".hs-take-line h3")).to_contain_text(f"Line {number} ·")


def downloaded(page: Page, where: str) -> bytes:
    link = page.locator(f"{where} a").first
    expect(link).to_be_visible()
    return page.request.get(urljoin(page.url, link.get_attribute("href") or "")).body()


def test_a_scene_from_the_first_recording_to_the_next_day(
    studio: Page, browser: Browser, studio_url: str, recordings: tuple[Path, Path], tmp_path: Path
):
    good, bad = recordings
    add_voice(studio, good, "Nora", "The old oak tree lost a branch in the storm.")
    studio.get_by_role("tab", name="Voices").click()
    upload_voice(studio, bad)
    expect(studio.locator(".hs-finding[data-key=level]")).to_have_attribute("data-severity", "poor")
    studio.get_by_role("button", name="Mend all").click()
    expect(studio.locator(".hs-finding[data-key=level]")).to_have_attribute("data-severity", "good")
    add_voice(studio, None, "Ben", "Turn left at the church and then go straight on.")

    for number, name in ((1, "Nora"), (2, "Ben")):
        studio.get_by_label(f"Name of speaker {number}").fill(name)
        studio.get_by_label(f"Voice of speaker {number}").select_option(label=name)
    studio.get_by_role("button", name="+ Speaker").click()
    studio.get_by_label("Name of speaker 3").fill("Guard")
    fill_script(studio, SCENE)
    generate(studio)
    expect(studio.locator(".hs-row[data-state=done], .hs-row[data-state=flagged]")).to_have_count(12)

    studio.get_by_label("Text of line 4", exact=True).hover()
    studio.get_by_label("Speak line 4", exact=True).click()
    take_line(studio, 4)
    expect(studio.locator(".hs-take")).to_have_count(2, timeout=60_000)
    take_line(studio, 7)
    studio.get_by_role("button", name="4 takes").click()
    expect(studio.locator(".hs-take")).to_have_count(5, timeout=60_000)
    expect(studio.locator(".hs-take[data-chosen]")).to_have_count(1)
    expect(studio.locator(".hs-take[data-chosen] .hs-take-facts")).to_contain_text("fit -")

    for number, seconds in ((3, "0.8"), (9, "0.12")):
        take_line(studio, number)
        mix = studio.locator("#hs-result .hs-download")
        before = mix.get_attribute("href") or ""
        studio.get_by_label("Silence before it").fill(seconds)
        studio.get_by_label("Silence before it").press("Tab")
        expect(mix).not_to_have_attribute("href", before)
    expect(status(studio)).to_have_text(re.compile("^Done"))
    spoken, _ = wav(studio)

    studio.get_by_role("button", name="Export").first.click()
    studio.locator("#hs-export-go").click()
    with zipfile.ZipFile(io.BytesIO(downloaded(studio, "#hs-export-files"))) as parts:
        names = parts.namelist()
        stems = [soundfile.read(io.BytesIO(parts.read(name)))[0] for name in names if name.startswith("stems/")]
        cues = parts.read("subtitles.srt").decode()
    assert len(stems) == 3
    assert np.abs(sum(stems) - spoken[:, 0]).max() < 10 ** (-90 / 20)
    assert cues.count(" --> ") == 12

    studio.get_by_role("button", name="Project").first.click()
    studio.get_by_role("button", name="Save project file").click()
    kept = tmp_path / "scene.higgs.zip"
    kept.write_bytes(downloaded(studio, "#hs-project-note"))

    tomorrow = browser.new_context().new_page()  # another browser: it remembers nothing
    tomorrow.goto(studio_url)
    expect(tomorrow.get_by_label("Text of line 1", exact=True)).to_be_visible()
    tomorrow.get_by_role("button", name="Project").first.click()
    choose_file(tomorrow, "#hs-project-open", kept)
    expect(tomorrow.locator("#hs-project-note")).to_contain_text("is open: 17 takes")
    expect(tomorrow.get_by_label("Text of line 12", exact=True)).to_have_value("Good evening to you.")
    expect(tomorrow.locator("#hs-result canvas")).to_be_visible()
    expect(tomorrow.get_by_label("Voice of speaker 2").locator("option:checked")).to_have_text("Ben")
    again, _ = wav(tomorrow)
    assert again.shape == spoken.shape
    assert np.abs(again - spoken).max() < 1e-4, "the same sound, decoded from the codes"
    tomorrow.context.close()
