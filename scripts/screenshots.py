"""Take the pictures of the documentation: `.venv/bin/python scripts/screenshots.py http://127.0.0.1:7860`.

Drives a running studio through its states and writes `docs/images/*.png`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright
from setup import find_chromium

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
DESKTOP = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)
DONE = ".hs-status[data-state=done]"


def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """Take one picture, with few enough colours to be small."""
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, full_page=whole)
    Image.open(path).convert("RGB").quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path.name, path.stat().st_size // 1024, "kB")


def open_studio(page: Page, address: str, theme: str) -> None:
    """Open the page in a theme and wait until the script is there."""
    page.goto(f"{address}?__theme={theme}")
    page.wait_for_selector(".hs-row textarea")
    page.wait_for_timeout(600)  # fonts and transitions; a picture needs no more certainty


def desktop(page: Page, address: str) -> None:
    """Empty, busy, done and failed at desktop width; done in dark too; then the codec tab."""
    open_studio(page, address, "light")
    shoot(page, "empty")
    page.get_by_label("Preset", exact=True).click()
    page.get_by_role("option", name="A short radio play").click()
    page.wait_for_function("document.querySelector('.hs-row textarea')?.value.startsWith('Is this')")
    page.click("#hs-generate")
    page.wait_for_function("document.querySelector('.hs-status-words')?.textContent.startsWith('Speaking')")
    page.wait_for_timeout(500)
    shoot(page, "busy")
    page.wait_for_selector(DONE)
    page.wait_for_timeout(500)
    shoot(page, "done")
    takes(page)
    open_studio(page, address, "dark")
    page.wait_for_selector("#hs-result canvas", state="visible")
    shoot(page, "done-dark")
    page.fill(".hs-row textarea >> nth=1", "… !")
    page.click("#hs-generate")
    page.wait_for_selector(".hs-status[data-state=failed]")
    page.wait_for_timeout(500)
    shoot(page, "error-dark")
    open_studio(page, address, "light")
    voices(page)
    page.get_by_role("tab", name="Codec lab").click()
    page.click("#hs-lab-compare")
    page.wait_for_function("document.querySelector('#hs-lab-status .hs-status-words')?.textContent.startsWith('Done')")
    page.click("#hs-bench .hs-version >> nth=2")
    page.wait_for_selector("#hs-bench canvas[data-painted$='/2']")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    shoot(page, "codec", whole=True)


def takes(page: Page) -> None:
    """Four takes of one line, two of them compared, with the mix, who spoke, and what was exported."""
    page.get_by_label("Text of line 3", exact=True).focus()
    page.get_by_role("button", name="4 takes").click()
    page.wait_for_selector(".hs-take >> nth=4")
    page.wait_for_selector(DONE)
    page.get_by_label("Compare take 2").check()
    page.get_by_label("Compare take 4").check()
    page.wait_for_selector(".hs-compared:not([hidden])")
    page.get_by_text("Mix", exact=True).click()
    page.get_by_text("Who spoke", exact=True).click()
    page.get_by_role("button", name="Check each line").click()
    page.wait_for_selector(".hs-who-spoke table")
    page.get_by_role("button", name="Export").first.click()
    page.locator("#hs-export-go").click()
    page.wait_for_selector("#hs-export-files a")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    shoot(page, "takes", whole=True)


def voices(page: Page) -> None:
    """A recording that is too quiet, with silence around it, mended and heard through the codec."""
    page.get_by_role("tab", name="Voices").click()
    samples, rate = soundfile.read(FOLDER.parent.parent / "assets" / "voices" / "bruno.flac")
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "kitchen.wav"
        soundfile.write(recording, np.concatenate([np.zeros(rate), 0.08 * samples, np.zeros(rate)]) + 0.01, rate)
        page.set_input_files("#hs-recording input[type=file]", recording)
        page.wait_for_selector(".hs-needs:not([hidden])")
    page.get_by_label("What is said in it").fill("Good evening. The last train leaves at nine.")
    page.get_by_label("Whose voice it is").fill("Bruno Example")
    page.get_by_label("Who says so").fill("Bruno Example")
    page.get_by_label("That it may be used").fill("I agree that my voice is cloned for this radio play.")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()
    page.get_by_role("button", name="Mend all").click()
    page.wait_for_selector(".hs-mends li")
    page.get_by_role("button", name="Hear it as the model does").click()
    page.wait_for_selector(".hs-voice-bench canvas[data-painted$='/0']")
    page.click(".hs-voice-bench .hs-version >> nth=2")
    page.wait_for_selector(".hs-voice-bench canvas[data-painted$='/2']")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    shoot(page, "voices", whole=True)


def main() -> None:
    """Take all pictures."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        desktop(browser.new_page(viewport=DESKTOP), address)
        phone = browser.new_page(viewport=PHONE, device_scale_factor=2, has_touch=True)
        for theme in ("light", "dark"):
            open_studio(phone, address, theme)
            if theme == "light":
                phone.click("#hs-generate")
                phone.wait_for_selector(DONE)
            phone.wait_for_selector("#hs-result canvas", state="visible")
            shoot(phone, f"phone-{theme}", whole=True)
        browser.close()


if __name__ == "__main__":
    main()
