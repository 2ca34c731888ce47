"""The codec tab as a person meets it."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.browser.steps import CODEC_RESULT, fact, generate, wav


@pytest.fixture
def codec(studio: Page) -> Page:
    studio.get_by_role("tab", name="Codec").click()
    expect(studio.get_by_text("Choose a sound and press")).to_be_visible()
    return studio


def encode(page: Page) -> None:
    page.get_by_role("button", name="Encode and decode").click()
    expect(page.locator(f"{CODEC_RESULT} canvas")).to_be_visible()


def test_a_bundled_voice_goes_round(codec: Page):
    encode(codec)
    result = codec.locator(CODEC_RESULT)
    original, rate = wav(codec, CODEC_RESULT)
    result.get_by_role("button", name="Round trip").click()
    assert fact(codec, "Bitrate", CODEC_RESULT).startswith("2 kbit/s")
    decoded, _ = wav(codec, CODEC_RESULT)
    assert len(decoded) == len(original)
    assert rate == 24_000
    assert not np.allclose(decoded, original, atol=1e-3)
    envelopes = [
        np.abs(side[: len(side) // 480 * 480, 0]).reshape(-1, 480).mean(axis=1) for side in (original, decoded)
    ]
    assert np.corrcoef(*envelopes)[0, 1] > 0.8, "the round trip is not this sound"


def test_fewer_codebooks_are_fewer_bits(codec: Page):
    codec.get_by_label("number input for Codebooks").fill("3")
    codec.get_by_label("number input for Codebooks").press("Tab")
    encode(codec)
    codec.locator(CODEC_RESULT).get_by_role("button", name="Round trip").click()
    assert fact(codec, "Bitrate", CODEC_RESULT).startswith("0.75 kbit/s")
    assert fact(codec, "Codes", CODEC_RESULT).startswith("3 ×")


def test_switching_keeps_the_position(codec: Page):
    encode(codec)
    result = codec.locator(CODEC_RESULT)
    result.get_by_label("Position").fill("1.5")
    result.get_by_role("button", name="Round trip").click()
    expect(result.locator(".hs-time")).to_have_text(re.compile(r"^0:01\.5"))


def test_what_was_spoken_can_be_taken(studio: Page):
    generate(studio)
    spoken, _ = wav(studio)
    studio.get_by_role("tab", name="Codec").click()
    studio.get_by_label("Sound", exact=True).click()
    studio.get_by_role("option", name="What was spoken last").click()
    encode(studio)
    assert np.array_equal(wav(studio, CODEC_RESULT)[0], spoken)


def test_an_upload_is_kept_as_it_is(codec: Page, tmp_path: Path):
    quiet = (0.01 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 24_000)).astype(np.float32)
    path = tmp_path / "quiet tone.wav"
    soundfile.write(path, quiet, 24_000, subtype="FLOAT")
    codec.locator("#hs-codec-recording input[type=file]").set_input_files(path)
    expect(codec.get_by_label("Sound", exact=True)).to_have_value("The recording below")
    encode(codec)
    assert np.array_equal(wav(codec, CODEC_RESULT)[0][:, 0], quiet), "the level must not be touched"


def test_a_broken_upload_is_explained(codec: Page, tmp_path: Path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(24_000, np.float32), 24_000)
    codec.locator("#hs-codec-recording input[type=file]").set_input_files(path)
    expect(codec.get_by_label("Sound", exact=True)).to_have_value("The recording below")
    codec.get_by_role("button", name="Encode and decode").click()
    expect(codec.get_by_text("“silence.wav” is silent")).to_be_visible()
