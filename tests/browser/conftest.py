"""A studio of its own for the browser tests: the real app on the bundled checkpoints, in a fresh data folder."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as TookTooLong

from scripts.setup import find_chromium

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 240  # a busy machine with two cores
HARMLESS = (
    "Method not implemented",  # what Gradio itself says on every page
    "AbortError",  # its stream, at a reload while something goes on
    "errored out",
    "Waveform load error",  # its player, of a file that is no sound
)

expect.set_options(timeout=30_000)  # a busy machine with two cores


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    """Drive the machine's own Chromium: Playwright's cannot be downloaded in closed networks."""
    found = find_chromium()
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--autoplay-policy=no-user-gesture-required",
    ]
    return browser_type_launch_args | {"args": quiet} | ({"executable_path": found} if found else {})


@pytest.fixture(scope="session")
def studio_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a studio started for this test run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("studio")
    log = folder / "log.txt"
    environment = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "HIGGS_DATA": str(folder / "data"),
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output)
        url = f"http://127.0.0.1:{port}/"
        try:
            _wait_until_up(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_until_up(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the studio ended at once:\n{log.read_text()}")
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the studio did not start:\n{log.read_text()}")


@pytest.fixture
def studio(page: Page, studio_url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page with the studio open. Afterwards: no error was logged, and no request left the machine."""
    brought_about = request.node.get_closest_marker("brings_about")
    with _opened(page, studio_url, brought_about.args if brought_about else ()):
        yield page


@pytest.fixture(scope="module")
def shared_studio(browser: Browser, studio_url: str) -> Iterator[Page]:
    """The same for all tests of a file, where what comes before them takes long."""
    page = browser.new_page()
    with _opened(page, studio_url):
        yield page
    page.close()


@contextmanager
def _opened(page: Page, studio_url: str, brought_about: tuple[str, ...] = ()) -> Iterator[None]:
    problems: list[str] = []
    outside: list[str] = []

    def listen(message):
        if message.type == "error" and not any(word in message.text for word in (*HARMLESS, *brought_about)):
            problems.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: "AbortError" in str(error) or problems.append(str(error)))
    page.on("request", lambda request: _is_outside(request.url) and outside.append(request.url))
    page.goto(studio_url)
    wait_until_open(page)
    yield
    assert problems == []
    assert outside == []


def wait_until_open(page: Page) -> None:
    """Until there is a script to write in; looked for at each frame, as a page takes a second or two."""
    with suppress(TookTooLong):
        page.wait_for_function("""document.querySelector('[aria-label="Text of line 1"]')?.offsetParent""")
    expect(page.get_by_label("Text of line 1", exact=True)).to_be_visible()


def _is_outside(url: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"
