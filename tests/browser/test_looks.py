"""How the tabs Voices and Codec lab look, as far as it can be measured: edges, contrast, and what is refused."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import open_lab
from tests.browser.steps import generate

SOUNDS = {"#hs-recording": "#hs-voice-note", "#hs-lab-recording": "#hs-lab-note"}  # and where its answer stands
NO_RECORDING = "“notes.txt” is no recording the studio can read. Choose WAV, FLAC, Ogg, MP3 or AIFF."
DROP = """area => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["only words"], "notes.txt", { type: "text/plain" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    area.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer }));
  }
}"""
# Left and right edge of every control and card of a tab, of what stands in the row itself.
EDGES = """tab => [...tab.querySelectorAll(":scope > .hs-zone")].map((zone) => {
  const reach = (node) => node.getBoundingClientRect();
  const parts = ".block, .hs-sound, .hs-voice-card, .hs-panel, button.lg, input, h2, .tab-wrapper";
  const seen = [...zone.querySelectorAll(parts)].filter((one) => one.checkVisibility() && reach(one).width > 2);
  return [Math.min(...seen.map((one) => reach(one).left)), Math.max(...seen.map((one) => reach(one).right))];
})"""
CONTRAST = """node => {  // WCAG 2.1: of a part of the node and the ground it stands on
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = (channel) => (channel <= 10 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [red, green, blue] = channels(colour).map(linear);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  let ground = node;
  while (channels(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
  const both = [PART, getComputedStyle(ground).backgroundColor].map(light);
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""
TEXT, BORDER = (
    CONTRAST.replace("PART", f"getComputedStyle(node).{part}").replace("let ground = node", f"let ground = {first}")
    for part, first in (("color", "node"), ("borderTopColor", "node.parentElement"))
)


@pytest.fixture(scope="module")
def page(shared_studio: Page) -> Page:
    shared_studio.get_by_role("tab", name="Voices").click()
    expect(shared_studio.locator(".hs-voice-card").first).to_be_visible()
    return open_lab(shared_studio)


@pytest.fixture(params=["light", "dark"])
def themed(page: Page, request: pytest.FixtureRequest) -> Page:
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", request.param == "dark")
    page.wait_for_timeout(300)  # colours fade over
    return page


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("tab", "place"), [("Voices", "#hs-voices"), ("Codec lab", "#hs-codec")])
def test_edges_line_up_with_the_header(themed: Page, tab: str, place: str, width: int):
    before = themed.viewport_size
    themed.set_viewport_size({"width": width, "height": 900})
    try:
        themed.get_by_role("tab", name=tab).click()
        header = themed.locator(".hs-header").bounding_box()
        zones = themed.locator(place).evaluate(EDGES)
        left, right = header["x"], header["x"] + header["width"]
        assert zones[0][0] == pytest.approx(left, abs=1)
        assert zones[-1][1] == pytest.approx(right, abs=1)
        if width < 760:
            assert zones == [pytest.approx([left, right], abs=1)] * len(zones)
        assert themed.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        themed.set_viewport_size(before)


@pytest.mark.parametrize(
    ("tabs", "area"),
    [(["Voices"], "#hs-recording"), (["Codec lab"], "#hs-lab-recording"), (["Codec lab", "Codes"], "#hs-codes-upload")],
)
def test_where_a_file_can_be_dropped_is_seen_and_nothing_lies_over_it(themed: Page, tabs: list[str], area: str):
    before = themed.viewport_size
    themed.set_viewport_size({"width": 390, "height": 844})
    try:
        for tab in tabs:
            themed.get_by_role("tab", name=tab, exact=True).click()
        place = themed.locator(area)
        assert place.evaluate(BORDER) >= 3
        label, icon = (place.locator(f"[data-testid={part}]").bounding_box() for part in ("block-label", "upload-icon"))
        assert label["y"] + label["height"] <= icon["y"] + 1
    finally:
        themed.set_viewport_size(before)


def test_links_can_be_read(themed: Page):
    themed.get_by_role("tab", name="Conversation").click()
    link = themed.locator("#hs-export-files a")
    if not link.count():
        generate(themed)
        themed.get_by_role("button", name="Export").first.click()
        themed.locator("#hs-export-go").click()
    expect(link).to_be_visible()
    assert link.evaluate(TEXT) >= 4.5
    for tab in themed.get_by_role("tab", selected=True).all():
        if tab.is_visible():
            assert tab.evaluate(TEXT) >= 4.5


def test_what_is_no_recording_is_refused_in_the_same_words_however_it_comes(studio: Page, tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("only words", "utf-8")
    for tab, area in zip(("Voices", "Codec lab"), SOUNDS, strict=True):
        studio.get_by_role("tab", name=tab).click()
        studio.locator(f"{area} .upload-container").evaluate(DROP)
        said = studio.locator(f"{SOUNDS[area]} .hs-problem")
        expect(said).to_have_text(NO_RECORDING)
        studio.reload()
        studio.get_by_role("tab", name=tab).click()
        expect(said).to_be_hidden()
        with studio.expect_file_chooser() as chooser:
            studio.locator(f"{area} .upload-container").click()
        assert "audio/*" in chooser.value.element.get_attribute("accept")
        chooser.value.set_files(path)
        expect(said).to_have_text(NO_RECORDING)
        expect(studio.locator(f"{area} .upload-container")).to_be_visible()  # ready for another
    expect(studio.locator(".toast-body")).to_have_count(0)


def test_what_is_no_voice_file_and_no_codes_is_refused_beside_the_button(studio: Page, tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("only words", "utf-8")
    studio.get_by_role("tab", name="Voices").click()
    with studio.expect_file_chooser() as chooser:
        studio.get_by_role("button", name="Open a voice file").click()
    assert chooser.value.element.get_attribute("accept") == ".zip"
    chooser.value.set_files(path)
    expect(studio.locator("#hs-voice-note .hs-problem")).to_contain_text("“notes.txt” is no voice file")
    open_lab(studio)
    studio.get_by_role("tab", name="Codes", exact=True).click()
    with studio.expect_file_chooser() as chooser:
        studio.locator("#hs-codes-upload .upload-container").click()
    assert chooser.value.element.get_attribute("accept") == ".npz"
    chooser.value.set_files(path)
    expect(studio.locator("#hs-codes-refused .hs-problem")).to_contain_text("“notes.txt” is no .npz file of codes")
    expect(studio.locator(".toast-body")).to_have_count(0)
