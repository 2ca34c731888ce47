"""The guard ends what is silent or circles, and lets speech go on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.audio import Audio, joined, silence
from studio.codes import Codes
from studio.engine.guard import KEPT_SILENCE_SECONDS, REPETITION_SECONDS, SILENCE_SECONDS, Guard
from studio.takes import Stop

FRAME_RATE = 25.0
HOP = 960
SILENT = [3, 5, 6]
SILENCE, LOOP, KEPT = (
    round(seconds * FRAME_RATE) for seconds in (SILENCE_SECONDS, REPETITION_SECONDS, KEPT_SILENCE_SECONDS)
)


class FakeCodec:
    """Frames whose first code is one of SILENT sound like a faint hum, the others like a loud one."""

    name, sample_rate, frame_rate, codebooks, codebook_size = "fake", 24_000, FRAME_RATE, 8, 1024

    def __init__(self) -> None:
        self.decoded_frames = 0

    def encode(self, audio: Audio) -> Codes:
        raise NotImplementedError

    def decode(self, codes: Codes) -> Audio:
        self.decoded_frames += codes.frames
        levels = np.where(np.isin(codes.values[0], SILENT), 0.005, 0.2)
        return Audio(np.repeat(levels, HOP)[None], self.sample_rate)


GUARD = Guard(FakeCodec())


def speech(frames: int, seed: int = 0) -> np.ndarray:
    """Codes that never repeat a frame and are never silent. Shape: [8, frames]."""
    values = np.random.default_rng(seed).integers(10, 1024, (8, frames))
    values[0] = 10 + (np.arange(frames) * 7 + seed) % 1000
    return values


def quiet(frames: int) -> np.ndarray:
    """Frames whose first codebook is silent, while the others flicker."""
    values = speech(frames, seed=1)
    values[0] = np.resize([3, 5, 6, 5], frames)
    return values


def loop(frames: int, period: int) -> np.ndarray:
    """A few frames over and over; the four fine codebooks flicker."""
    values = speech(frames, seed=2)
    values[:4] = np.tile(speech(period)[:4], frames)[:, :frames]
    return values


def after(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, axis=1)


@given(st.integers(0, 400), st.integers(0, 50))
def test_speech_goes_on(frames: int, seed: int):
    assert GUARD.watch(speech(frames, seed)) is None


def test_two_seconds_of_silence_end_a_take_and_less_is_a_pause():
    assert GUARD.watch(after(speech(30), quiet(SILENCE - 1))) is None
    assert GUARD.watch(after(speech(30), quiet(SILENCE))) == Stop.SILENCE
    assert GUARD.watch(after(speech(30), quiet(SILENCE), speech(1))) is None
    assert GUARD.watch(quiet(SILENCE)) == Stop.SILENCE


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_short_loop_ends_a_take_though_the_fine_codebooks_flicker(period: int):
    assert GUARD.watch(after(speech(30), loop(LOOP + period, period))) == Stop.REPETITION
    assert GUARD.watch(after(speech(30), loop(LOOP + period - 1, period))) is None


def test_a_longer_period_that_sounds_is_no_loop():
    assert GUARD.watch(after(speech(30), loop(100, 4))) is None


def test_ordinary_speech_is_never_decoded_only_to_be_watched():
    codec = FakeCodec()
    for frames in range(0, 200, 8):
        Guard(codec).watch(speech(frames))
    assert codec.decoded_frames == 0


def test_the_silence_is_cut_off_but_for_a_little():
    codes = Codes(after(speech(30), quiet(SILENCE + 7)), FRAME_RATE, 1024)
    trimmed = GUARD.trimmed(codes, Stop.SILENCE)
    assert trimmed.frames == 30 + KEPT
    assert np.array_equal(trimmed.values, codes.values[:, : 30 + KEPT])


def test_the_loop_is_cut_off():
    codes = Codes(after(speech(30), loop(LOOP + 2, 2)), FRAME_RATE, 1024)
    assert GUARD.trimmed(codes, Stop.REPETITION).frames == 32


@pytest.mark.parametrize("stop", [Stop.ENDED, Stop.BUDGET, Stop.STOPPED])
def test_other_takes_are_left_whole(stop: Stop):
    codes = Codes(after(speech(30), quiet(80)), FRAME_RATE, 1024)
    assert GUARD.trimmed(codes, stop).fingerprint == codes.fingerprint


@pytest.mark.parametrize("stop", [Stop.SILENCE, Stop.REPETITION])
@pytest.mark.parametrize("frames", [1, 4, 30])
def test_trimming_never_takes_everything(stop: Stop, frames: int):
    assert 1 <= GUARD.trimmed(Codes(quiet(frames), FRAME_RATE, 1024), stop).frames <= frames


@pytest.mark.parametrize("key", ["alma", "clara", "edda"])
def test_the_bundled_codec_is_heard_to_be_silent_after_a_voice_and_not_before(key, engine, voices):
    guard = Guard(engine.codec)
    voice = voices.find(f"bundled:{key}").reference.audio
    spoken = engine.codec.encode(voice)
    assert guard.watch(spoken.values) is None
    ending = engine.codec.encode(joined([voice, silence(3.0, voice.sample_rate)])).between(0, spoken.frames + 60)
    assert guard.watch(ending.values) in (Stop.SILENCE, Stop.REPETITION)
    trimmed = guard.trimmed(ending, Stop.SILENCE)
    assert spoken.frames - 8 <= trimmed.frames <= spoken.frames + 12
