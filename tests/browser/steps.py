"""What a person does and sees, in words of the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as TookTooLong

RESULT = "#hs-result"
WATCH = """(place) => {
  const line = document.querySelector(place);
  delete line.dataset.news;
  const told = new MutationObserver(() => { line.dataset.news = ""; told.disconnect(); });
  told.observe(line, { attributes: true, attributeFilter: ["data-state"] });
}"""
SAYS = """([place, words]) => {
  const line = document.querySelector(place);
  return "news" in line.dataset && new RegExp(words).test(line.querySelector(".hs-status-words").textContent);
}"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def choose_preset(page: Page, title: str) -> None:
    """Choose from the preset menu."""
    page.get_by_label("Preset", exact=True).click()
    page.get_by_role("option", name=title, exact=True).click()


def status(page: Page) -> Locator:
    """The line under *Generate*."""
    return page.locator(".hs-status-words")


@contextmanager
def told(page: Page, words: str, place: str = ".hs-status", timeout: float = 120_000) -> Iterator[None]:
    """What is pressed inside is done: the status line has been written anew since, and begins so.

    What shows only while something is spoken (*Stop*, the bar) may be gone before anybody looks. And the page itself
    looks at each frame, where `expect` comes by once a second.
    """
    page.evaluate(WATCH, place)
    yield
    with suppress(TookTooLong):  # then what stands there instead is said below
        page.wait_for_function(SAYS, arg=[place, f"^{words}"], timeout=timeout)
        page.evaluate(TWO_FRAMES)  # what came with the words is shown beside them
    expect(page.locator(f"{place}[data-news] .hs-status-words")).to_have_text(re.compile(f"^{words}"), timeout=1_000)


def generate(page: Page) -> None:
    """Press *Generate* and wait until it is done."""
    with told(page, "Done: "):
        page.get_by_role("button", name="Generate", exact=True).click()


def fact(page: Page, name: str, result: str = RESULT) -> str:
    """One of the facts under the pictures."""
    return page.locator(f"{result} .hs-fact", has=page.get_by_text(name, exact=True)).locator("dd").inner_text()


def wav(page: Page, result: str = RESULT) -> tuple[np.ndarray, int]:
    """The WAV behind the download link, as samples `[N, C]` and sample rate."""
    address = page.locator(f"{result} .hs-download").get_attribute("href")
    answer = page.request.get(address)
    assert answer.ok
    return soundfile.read(io.BytesIO(answer.body()), dtype="float32", always_2d=True)


def fill_script(page: Page, script: str) -> None:
    """Write the whole script as plain text, and go back to its rows."""
    page.get_by_role("button", name="Plain script").click()
    expect(page.get_by_label("Plain script", exact=True)).not_to_have_value("")
    page.get_by_label("Plain script", exact=True).fill(script)
    page.get_by_role("button", name="Rows", exact=True).click()
    expect(page.locator(".hs-row textarea")).to_have_count(len(script.splitlines()), timeout=20_000)  # busy cores


def lines(page: Page) -> list[str]:
    """The text of every row, in order."""
    return page.locator(".hs-row textarea").evaluate_all("rows => rows.map(row => row.value)")


def upload_voice(page: Page, path: Path) -> None:
    """Open the tab Voices and send a recording."""
    if not page.locator("#hs-recording").is_visible():
        page.get_by_role("button", name="Add a voice").click()
    page.locator("#hs-recording input[type=file]").set_input_files(path)


def add_voice(page: Page, path: Path | None, name: str, transcript: str) -> None:
    """Make a recording, or the one that is open, a voice that can speak, and go back to the conversation."""
    if path:
        upload_voice(page, path)
    expect(page.get_by_text("Before it can speak:")).to_be_visible()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("What is said in it").fill(transcript)
    page.get_by_label("Whose voice it is").fill("Hugo Example")
    page.get_by_label("Who says so").fill("Hugo Example")
    page.get_by_label("That it may be used").fill("I agree that my voice is cloned for this test.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".hs-label").get_by_text("Saved.")).to_be_visible()
    page.get_by_role("tab", name="Conversation").click()
