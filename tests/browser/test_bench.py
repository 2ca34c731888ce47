"""The listening bench: switching on one clock, levels, loops, pictures that play."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.browser.lab import (
    BENCH,
    HIGGS,
    OPUS,
    PCM,
    choose_codecs,
    compare,
    downloaded,
    heard,
    open_lab,
    position,
    rewind,
    wait_for_pictures,
)

FRAME_SECONDS = 0.04
SWITCH = """async version => {
  const bench = document.querySelector("#hs-bench .hs-bench");
  const time = () => bench.player.context.currentTime;
  const before = [time(), bench.clock()];
  document.dispatchEvent(new KeyboardEvent("keydown", { key: version, bubbles: true }));
  const after = [time(), bench.clock()];
  await new Promise((done) => setTimeout(done, 200));
  const later = [time(), bench.clock()];
  return { before, after, later };
}"""


@pytest.fixture(scope="module")
def compared(shared_studio: Page) -> Page:
    """A bench with the original, two rungs of Higgs, and Opus."""
    open_lab(shared_studio)
    choose_codecs(shared_studio, [(HIGGS, "2"), (HIGGS, "8"), (OPUS, "6 ")])
    compare(shared_studio, 3)
    return shared_studio


@pytest.fixture
def bench(compared: Page) -> Page:
    """That bench at its beginning: the original, not playing, no loop."""
    rewind(compared)
    return compared


def test_switching_while_playing_keeps_the_position(bench: Page):
    bench.locator(BENCH).get_by_label("Play", exact=True).click()
    bench.wait_for_function("document.querySelector('#hs-bench .hs-bench').clock() > 0.15")
    for version in "324":
        times = bench.evaluate(SWITCH, version)
        assert heard(bench) == bench.locator(f"{BENCH} .hs-version span").nth(int(version) - 1).inner_text()
        for moment in ("after", "later"):
            by_clock = times[moment][0] - times["before"][0]
            moved = times[moment][1] - times["before"][1]
            assert abs(moved - by_clock) < 0.02, f"{moment}: the position jumped by {moved - by_clock:.3f} s"
    expect(bench.locator(BENCH).get_by_label("Pause", exact=True)).to_be_visible()
    bench.keyboard.press("Escape")
    bench.evaluate("document.activeElement.blur()")
    bench.keyboard.press("Space")
    expect(bench.locator(BENCH).get_by_label("Play", exact=True)).to_be_visible()


def test_arrows_reach_every_version_and_b_the_one_before(bench: Page):
    names = bench.locator(f"{BENCH} .hs-version span").all_inner_texts()
    bench.keyboard.press("ArrowDown")
    assert heard(bench) == names[0], "the page cannot be scrolled by keys"
    bench.locator(f"{BENCH} .hs-plots").click(position={"x": 5, "y": 5})
    for expected in (*names[1:], names[0]):
        bench.keyboard.press("ArrowDown")
        assert heard(bench) == expected
    bench.keyboard.press("ArrowUp")
    assert heard(bench) == names[-1]
    bench.keyboard.press("b")
    assert heard(bench) == names[0]
    bench.keyboard.press("b")
    assert heard(bench) == names[-1]
    bench.keyboard.press("0")
    assert heard(bench) == "Original"


def test_a_download_is_named_after_clip_and_codec(bench: Page):
    bench.keyboard.press("3")
    for link, suffix in (("Download WAV", "wav"), ("Download codes", "npz")):
        with bench.expect_download() as saved:
            bench.locator(BENCH).get_by_role("link", name=link).click()
        assert saved.value.suggested_filename == f"alma-higgs-audio-v2-tokenizer-8-codebooks.{suffix}"


def test_everything_can_be_heard_without_its_highs(bench: Page):
    bench.locator(BENCH).get_by_label("Limit all to 16 kHz").check()
    taps, rate = bench.evaluate("""() => {
      const { player } = document.querySelector("#hs-bench .hs-bench");
      return [[...player.filter.buffer.getChannelData(0)], player.filter.buffer.sampleRate];
    }""")
    response = np.abs(np.fft.rfft(taps, 24_000))
    hertz = np.arange(response.size) * rate / 24_000
    assert response[hertz <= 7_000] == pytest.approx(1, abs=0.01)
    assert response[hertz >= 8_000].max() < 10 ** (-60 / 20)
    bench.locator(BENCH).get_by_label("Play", exact=True).click()
    bench.wait_for_function("document.querySelector('#hs-bench .hs-bench').clock() > 0.1")
    bench.keyboard.press("Escape")
    bench.locator(BENCH).get_by_label("Pause", exact=True).click()
    bench.locator(BENCH).get_by_label("Limit all to 16 kHz").uncheck()


@pytest.mark.parametrize("rate", [24_000, 48_000, 96_000])
def test_what_is_limited_has_nothing_above_8_khz_at_any_rate(bench: Page, rate: int):
    taps = bench.evaluate(
        """rate => {
          const player = new HiggsStudio.SyncPlayer(() => {});
          player.open(rate);
          player.limit(true);
          const taps = [...player.filter.buffer.getChannelData(0)];
          player.context.close();
          return taps;
        }""",
        rate,
    )
    response = np.abs(np.fft.rfft(taps, rate))  # a line each Hz
    assert response[:7_000] == pytest.approx(1, abs=0.01)
    assert response[8_000:].max() < 10 ** (-60 / 20)


def test_levels_are_matched_and_shown_and_can_be_left_alone(bench: Page):
    gains = bench.locator(f"{BENCH} .hs-gain")
    expect(gains.nth(1)).to_have_text(re.compile(r"^[+−]\d+\.\d dB$"))
    volumes = "document.querySelector('#hs-bench .hs-bench').player.tracks.map(track => track.gain)"
    matched = bench.evaluate(volumes)
    assert matched[1] == pytest.approx(float(gains.nth(1).inner_text().replace("−", "-")[:-3]), abs=0.06)
    bench.locator(BENCH).get_by_label("Match levels").uncheck()
    expect(gains.nth(1)).to_have_text("")
    assert bench.evaluate(volumes) == [0, 0, 0, 0]
    bench.locator(BENCH).get_by_label("Match levels").check()


def test_a_loop_is_dragged_on_the_waveform_and_kept_to(bench: Page):
    canvas = bench.locator(f"{BENCH} canvas")
    width = canvas.bounding_box()["width"]
    seconds = float(bench.locator(BENCH).get_by_label("Position").get_attribute("max"))
    canvas.hover(position={"x": 0.5 * width, "y": 30})
    bench.mouse.down()
    canvas.hover(position={"x": 0.6 * width, "y": 30})
    bench.mouse.up()
    start, end = (
        float(bench.locator(BENCH).get_by_label(f"Loop {side} (seconds)").input_value()) for side in ("from", "to")
    )
    assert (start, end) == (pytest.approx(0.5 * seconds, abs=0.02), pytest.approx(0.6 * seconds, abs=0.02))
    expect(bench.locator(BENCH).get_by_label("Loop", exact=True)).to_be_checked()
    bench.locator(BENCH).get_by_label("Play", exact=True).click()
    places = bench.evaluate("""async () => {
      const bench = document.querySelector("#hs-bench .hs-bench");
      const places = [];
      for (let at = 0; at < 40; at += 1) {
        places.push(bench.clock());
        await new Promise((done) => setTimeout(done, 25));
      }
      return places;
    }""")
    assert min(places) >= start - 0.01
    assert max(places) <= end + 0.01
    assert np.diff(places).min() < 0, "it never began again"


def test_clicking_the_code_map_plays_exactly_that_frame(bench: Page):
    bench.keyboard.press("3")
    wait_for_pictures(bench, 2)
    assert position(bench) == 0
    canvas = bench.locator(f"{BENCH} canvas")
    codes, width = json.loads(canvas.get_attribute("data-codes")), canvas.bounding_box()["width"]
    seconds = float(bench.locator(BENCH).get_by_label("Position").get_attribute("max"))
    canvas.click(position={"x": 0.4 * width, "y": codes["top"] + codes["height"] / 2})
    frame = math.floor(0.4 * seconds / FRAME_SECONDS)
    expect(bench.locator(BENCH).get_by_text(f"Frame {frame} is heard.")).to_be_visible()
    bench.wait_for_function(
        "from => document.querySelector('#hs-bench .hs-bench').clock() >= from", arg=frame * FRAME_SECONDS - 1e-6
    )
    assert frame * FRAME_SECONDS - 1e-6 <= position(bench) <= (frame + 1) * FRAME_SECONDS + 1e-6


def test_pictures_show_differences_and_what_each_codebook_carries(bench: Page):
    bench.keyboard.press("3")
    wait_for_pictures(bench, 2)
    bench.locator(BENCH).get_by_label("Beside it").select_option(label="Higgs Audio V2 tokenizer, 2 codebooks")
    bench.locator(BENCH).get_by_label("Show differences").check()
    expect(bench.locator(f"{BENCH} canvas")).to_have_attribute("aria-label", re.compile(r"Other codes than .*: 0 %"))
    bench.locator(BENCH).get_by_text("What each codebook carries").click()
    expect(bench.locator(f"{BENCH} .hs-books tbody tr")).to_have_count(8)
    bench.locator(BENCH).get_by_label("Zoom in").click()
    expect(bench.locator(BENCH).get_by_label("Zoom out")).to_be_visible()
    bench.locator(BENCH).get_by_label("Show all").click()
    bench.locator(BENCH).get_by_label("Show differences").uncheck()


def test_files_are_what_the_codec_gave(bench: Page):
    original, rate = downloaded(bench)
    source, source_rate = soundfile.read("assets/voices/alma.flac", dtype="float32")
    assert rate == source_rate
    assert np.array_equal(original, source)


def test_thirty_seconds_are_drawn_in_a_second_and_weigh_little(studio: Page, tmp_path: Path):
    source, rate = soundfile.read("assets/voices/hugo.flac", dtype="float32")
    path = tmp_path / "long.wav"
    soundfile.write(path, np.resize(source, 30 * rate), rate, subtype="FLOAT")
    open_lab(studio)
    studio.locator("#hs-lab-recording input[type=file]").set_input_files(path)
    expect(studio.locator("#hs-lab-note")).to_contain_text("Added, 30.0 s.")
    choose_codecs(studio, [(HIGGS, "8"), (PCM, "8 kHz")])
    weights: list[int] = []
    studio.on("response", lambda answer: "component_server" in answer.url and weights.append(len(answer.body())))
    compare(studio, 4)
    studio.locator(BENCH).get_by_label("Clip", exact=True).select_option(label="long.wav")
    wait_for_pictures(studio, 0)
    expect(studio.locator(f"{BENCH} .hs-play")).to_be_enabled()
    weights.clear()
    studio.keyboard.press("2")
    wait_for_pictures(studio, 1)
    drawing = studio.evaluate("""() => {
      const bench = document.querySelector("#hs-bench .hs-bench");
      const start = performance.now();
      bench.player.choose(0);
      bench.player.choose(1);
      return performance.now() - start;
    }""")
    assert drawing < 1000
    assert 2 * max(weights) < 600_000, "two versions side by side"
