"""A take's health: measured on codes and sound whose faults are known."""

import numpy as np
import pytest

from studio.audio import Audio
from studio.codes import Codes
from studio.health import CodeHealth, longest_repeat, silent_frames

RATE, HOP, FRAME_RATE = 24_000, 960, 25.0
TEXT = "This takes two seconds."  # 23 bytes at 0.075 s: 1.7 s


def noise(frames: int, level: float = 0.2) -> np.ndarray:
    return np.random.default_rng(frames).uniform(-level, level, frames * HOP)


def sound(*parts: np.ndarray) -> Audio:
    return Audio(np.concatenate(parts), RATE)


def codes(frames: int) -> Codes:
    values = np.random.default_rng(1).integers(0, 1024, (8, frames))
    values[0] = np.arange(frames)
    return Codes(values, FRAME_RATE, 1024)


def of(audio: Audio, text: str = TEXT, cut_by: str = "") -> CodeHealth:
    return CodeHealth.of(codes(audio.length // HOP), audio, text, cut_by)


def test_plain_speech_passes():
    health = of(sound(noise(45)))
    assert (health.passed, health.reasons) == (True, ())
    assert health.seconds == 1.8
    assert health.entropy_share == pytest.approx(1.0)


def test_silences_are_measured_where_they_stand():
    quiet = noise(10, 0.001)
    health = of(sound(quiet, noise(10), noise(20, 0.001), noise(10), noise(5, 0.001)))
    assert (health.head_seconds, health.pause_seconds, health.tail_seconds) == (0.4, 0.8, 0.2)
    assert health.silent_share == pytest.approx(35 / 55)
    assert health.reasons == ("64% of it is silence",)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (sound(noise(20, 0.001), noise(30)), "begins with 0.8 s of silence"),
        (sound(noise(30), noise(20, 0.001)), "ends with 0.8 s of silence"),
        (sound(noise(20), noise(32, 0.001), noise(20)), "pauses for 1.3 s"),
        (sound(noise(10)), "0.4 s is too short for its text"),
        (sound(noise(100)), "4.0 s is too long for its text"),
    ],
)
def test_each_fault_is_said_in_words(audio: Audio, words: str):
    health = of(audio)
    assert not health.passed
    assert any(words in reason for reason in health.reasons)


def test_a_loud_take_and_a_soft_one_are_judged_alike():
    soft = sound(noise(30, 0.002), noise(20, 0.00001))
    assert of(soft).tail_seconds == 0.8


def test_a_short_word_may_take_its_second():
    assert of(sound(noise(26)), "No.").passed


def test_why_it_was_cut_is_a_fault():
    assert of(sound(noise(45)), cut_by="frame budget").reasons == ("it was cut: frame budget",)


def test_nothing_said_is_said():
    health = CodeHealth.of(Codes(np.zeros((8, 0)), FRAME_RATE, 1024), Audio(np.zeros((1, 0)), RATE), TEXT)
    assert health.reasons == ("nothing was said",)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_loop_of_coarse_codes_is_found_though_the_fine_ones_flicker(period: int):
    values = codes(60).values.copy()
    loop = np.tile(values[:4, :period], 20)[:, :20]
    values[:4, 20:40] = loop
    assert longest_repeat(codes(60).values) == 0
    assert longest_repeat(values) == 20 - period
    health = CodeHealth.of(Codes(values, FRAME_RATE, 1024), sound(noise(60)), TEXT * 2)
    assert ("it goes round in circles for 0." in health.reasons[0]) == (20 - period > 12)


def test_humming_on_few_codes_is_found():
    values = codes(45).values.copy()
    values[0] = np.resize([5, 6, 7, 8], 45)
    health = CodeHealth.of(Codes(values, FRAME_RATE, 1024), sound(noise(45)), TEXT)
    assert health.reasons == ("it hums on few codes",)


def test_frames_are_silent_beside_the_loud_ones_only():
    audio = sound(noise(10), noise(5, 0.0001), noise(10))
    assert silent_frames(audio, 25).tolist() == [False] * 10 + [True] * 5 + [False] * 10
    assert silent_frames(sound(np.zeros(5 * HOP)), 5).all()


def test_the_bundled_voices_pass(engine, voices):
    for voice in voices.bundled.values():
        spoken = engine.codec.encode(voice.reference.audio)
        assert CodeHealth.of(spoken, engine.codec.decode(spoken), voice.reference.transcript).reasons == ()
