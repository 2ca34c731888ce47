"""How quick the page is with a long script: `python -m benchmarks.page http://127.0.0.1:7860` beside a running studio.

Prints medians in milliseconds as JSON. The page is meant to be usable within 3 s of a reload with 200 lines, and to add
a line, or take a letter, within 300 ms.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from urllib.parse import urljoin

from playwright.sync_api import Page, sync_playwright

from scripts.setup import find_chromium

WRITE_SCRIPT = """count => {
    const reference = (name) => `bundled:${name.toLowerCase()}`;
    const speakers = ["Alma", "Bruno"].map((name) => ({name, kind: "reference", reference: reference(name)}));
    const line = (_, at) => ({speaker: at % 2, text: `This is line ${at + 1} of many.`, id: `line${at}`});
    const lines = Array.from({length: count}, line);
    const draft = {scene: "A kitchen.", way: "lines", references: "turns", context: 0, speakers, lines};
    localStorage.setItem("higgs-studio:draft", JSON.stringify({draft, script: null}));
}"""
AFTER_PAINT = (
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))))"
)


def measure(page: Page, address: str, lines: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of a reload until the last line can be typed into, of a new line, and of a letter."""
    page.goto(urljoin(address, "files/none/none"))  # of the studio's origin, but without a page that remembers a draft
    page.evaluate(WRITE_SCRIPT, lines)
    page.goto(address)
    last = page.get_by_label(f"Text of line {lines}", exact=True)

    last.wait_for()

    def reload() -> float:
        page.reload(wait_until="commit")
        last.wait_for()
        return page.evaluate("performance.now()")

    def add_line() -> float:
        return page.evaluate(
            "() => { const began = performance.now(); document.querySelector('.hs-add-line').click(); "
            f"return {AFTER_PAINT}; }}"
        )

    def type_letter() -> float:
        return page.evaluate(
            "() => { const began = performance.now(); const area = document.querySelectorAll('.hs-row textarea')[100];"
            " area.focus(); area.value += 'x'; area.dispatchEvent(new Event('input', {bubbles: true}));"
            f" return {AFTER_PAINT}; }}"
        )

    tasks: dict[str, Callable[[], float]] = {"reload": reload, "add_line": add_line, "type_letter": type_letter}
    return {name: round(statistics.median(task() for _ in range(rounds)), 1) for name, task in tasks.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:7860", help="of a running studio")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    found = find_chromium()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        medians = measure(browser.new_page(), asked.address, asked.lines, asked.rounds)
        browser.close()
    print(json.dumps({"lines": asked.lines, "rounds": asked.rounds, "median_ms": medians}, indent=1))


if __name__ == "__main__":
    main()
