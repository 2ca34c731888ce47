"""Pictures show what is there: a tone in its band, full scale as 0 dB, codes as they are."""

import base64
import json

import librosa
import numpy as np
import pytest

from studio.audio import Audio, silence
from studio.codes import Codes
from studio.lab.pictures import LONGEST_WIDTH, MEL_BINS, SHOWN_RANGE_DB, codes_for_page, mel_for_page, mel_picture


def tone(hz: float, amplitude: float = 1.0, seconds: float = 1.0, sample_rate: int = 24_000) -> Audio:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Audio(amplitude * np.sin(2 * np.pi * hz * time), sample_rate)


def band_centres(sample_rate: int) -> np.ndarray:
    return librosa.mel_frequencies(MEL_BINS + 2, fmin=0, fmax=sample_rate / 2)[1:-1]


def decibels(picture: np.ndarray) -> np.ndarray:
    """What the picture says in the middle of the sound, in dB. Shape: [MEL_BINS]."""
    return picture[:, picture.shape[1] // 2] / 255 * SHOWN_RANGE_DB - SHOWN_RANGE_DB


@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("band", [5, 20, 40, 60, 90])
def test_a_tone_lies_in_its_mel_band(sample_rate: int, band: int):
    shown = decibels(mel_picture(tone(band_centres(sample_rate)[band], 0.1, sample_rate=sample_rate)))
    assert np.argmax(shown) == band
    assert shown[np.abs(np.arange(MEL_BINS) - band) > 8].max() < shown[band] - 30


@pytest.mark.parametrize("level", [0.0, -20.0, -40.0, -60.0])
@pytest.mark.parametrize("band", [5, 20, 40, 60, 90])
def test_a_sine_reads_its_level_whatever_its_pitch(level: float, band: int):
    shown = decibels(mel_picture(tone(band_centres(24_000)[band], 10 ** (level / 20))))
    assert shown.max() == pytest.approx(level, abs=1)


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 96_000])
def test_a_full_scale_sine_reads_0_db_at_any_rate(sample_rate: int):
    centres = band_centres(sample_rate)
    hz = centres[np.argmin(np.abs(centres - 1000))]
    assert decibels(mel_picture(tone(hz, sample_rate=sample_rate))).max() == pytest.approx(0, abs=1)


def test_silence_is_dark_and_two_pictures_compare():
    assert not mel_picture(silence(1, 24_000)).any()
    loud, soft = (decibels(mel_picture(tone(1000, amplitude))).max() for amplitude in (0.5, 0.05))
    assert loud - soft == pytest.approx(20, abs=0.5)


def test_time_runs_along_the_columns():
    half = Audio(np.concatenate([tone(1000).samples, silence(1, 24_000).samples], axis=1), 24_000)
    columns = mel_picture(half).max(axis=0)
    middle = len(columns) // 2
    assert columns[: middle - 2].min() > 200
    assert columns[middle + 3 :].max() == 0


@pytest.mark.parametrize("seconds", [0.001, 0.1, 1.0, 30.0, 200.0])
def test_no_picture_is_wider_than_a_screen_shows(seconds: float):
    picture = mel_picture(tone(1000, seconds=seconds, sample_rate=16_000))
    assert picture.shape[0] == MEL_BINS
    assert 1 <= picture.shape[1] <= LONGEST_WIDTH
    assert picture.dtype == np.uint8


def test_all_channels_are_in_the_picture():
    both = Audio(np.stack([tone(500).samples[0], tone(4000).samples[0]]), 24_000)
    shown = decibels(mel_picture(both))
    for hz in (500, 4000):
        assert shown[np.argmin(np.abs(band_centres(24_000) - hz))] > -10


def test_nothing_has_an_empty_picture():
    assert not mel_picture(Audio(np.zeros((1, 0)), 24_000)).any()


def test_thirty_seconds_weigh_less_than_600_kb():
    values = np.random.default_rng(0).integers(0, 1024, (8, 750))
    noise = Audio(np.random.default_rng(1).normal(0, 0.1, 30 * 24_000), 24_000)
    payload = [mel_for_page(noise), codes_for_page(Codes(values, 25.0, 1024))]
    assert len(json.dumps(payload)) < 600_000


def test_the_page_gets_the_picture_row_by_row():
    page, picture = mel_for_page(tone(1000)), mel_picture(tone(1000))
    sent = np.frombuffer(base64.b64decode(page["bytes"]), np.uint8).reshape(page["rows"], page["columns"])
    assert np.array_equal(sent, picture)


@pytest.mark.parametrize(("size", "dtype"), [(1024, "<u2"), (65_536, "<u2"), (65_537, "<u4")])
def test_the_page_gets_the_very_codes(size: int, dtype: str):
    values = np.array([[0, 1, size - 1], [size - 1, 7, 0]])
    page = codes_for_page(Codes(values, 25.0, size))
    assert np.array_equal(np.frombuffer(base64.b64decode(page["bytes"]), dtype).reshape(2, 3), values)
    assert (page["rows"], page["columns"], page["size"], page["frame_rate"]) == (2, 3, size, 25.0)
