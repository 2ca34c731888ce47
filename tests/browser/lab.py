"""What a person does and sees in the codec lab, in words of the page."""

import io
import re
from collections.abc import Sequence

import numpy as np
import soundfile
from playwright.sync_api import Locator, Page, expect

from tests.browser.steps import told

BENCH = "#hs-bench"
HIGGS, XCODEC2, OPUS, MP3, PCM = (f"#hs-lab-{key}" for key in ("higgs", "xcodec2", "opus", "mp3", "pcm"))
EVERY = (HIGGS, XCODEC2, OPUS, MP3, PCM)


def open_lab(page: Page) -> Page:
    page.get_by_role("tab", name="Codec lab").click()
    expect(page.get_by_text("Choose sounds and codecs and press Compare")).to_be_visible()
    return page


def choose_codecs(page: Page, wanted: Sequence[tuple[str, str]]) -> None:
    """Tick exactly these: the family's place, and how the label begins.

    Looked at again until nothing is left to tick: a page that is still being built may put its first ticks back.
    """
    while any(_ticked(page, family, [words for one, words in wanted if one == family]) for family in EVERY):
        pass


def _ticked(page: Page, family: str, wanted: Sequence[str]) -> bool:
    """Whether anything had to be ticked or unticked."""
    labels, changed = page.locator(f"{family} label"), False
    for index, text in enumerate(labels.all_inner_texts()):
        box = labels.nth(index).locator("input")
        if text.strip().startswith(tuple(wanted)) != box.is_checked():
            box.click()
            changed = True
    return changed


def compare(page: Page, expected: int) -> None:
    """Press *Compare* and wait until all results are there."""
    with told(page, f"Done: {expected} results? in ", "#hs-lab-status .hs-status"):
        page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator(f"{BENCH} .hs-play")).to_be_enabled()


def lab_status(page: Page) -> Locator:
    return page.locator("#hs-lab-status .hs-status-words")


def lab_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def position(page: Page, bench: str = BENCH) -> float:
    """Seconds by the bench's own clock."""
    return page.evaluate("bench => document.querySelector(bench + ' .hs-bench').clock()", bench)


def heard(page: Page, bench: str = BENCH) -> str:
    return page.locator(f"{bench} .hs-version[aria-pressed=true] span").inner_text()


def wait_for_pictures(page: Page, version: int, bench: str = BENCH) -> None:
    expect(page.locator(f"{bench} canvas")).to_have_attribute(
        "data-painted", re.compile(rf"^[0-9a-f]{{32}}/{version}$")
    )


def downloaded(page: Page, link: str = f"{BENCH} .hs-download") -> tuple[np.ndarray, int]:
    """The WAV behind a link, as samples `[N]` and sample rate."""
    answer = page.request.get(page.locator(link).get_attribute("href"))
    assert answer.ok
    return soundfile.read(io.BytesIO(answer.body()), dtype="float32")


def rewind(page: Page) -> None:
    """The bench at its beginning: the original, not playing, no loop."""
    page.evaluate("""() => {
      const { player } = document.querySelector("#hs-bench .hs-bench");
      player.setRegion(null, false);
      player.stop(0);
      document.activeElement.blur();
    }""")
    page.keyboard.press("1")
