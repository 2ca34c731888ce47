"""Who spoke, on voices whose answer is known."""

import numpy as np
import pytest

from studio.audio import Audio
from studio.engine.local import LocalEngine
from studio.lab.speaker_match import SpeakerMatch, VoicePrint
from studio.voice_library import VoiceLibrary

RATE = 24_000


def buzz(pitch: float, formant: float, seconds: float = 1.5) -> Audio:
    """A pulse train of this pitch through one resonance (Hz)."""
    time = np.arange(round(seconds * RATE)) / RATE
    harmonics = np.arange(1, int(6_000 / pitch))
    weights = 1 / (1 + ((harmonics * pitch - formant) / 300) ** 2)
    tone = (weights[:, None] * np.cos(2 * np.pi * pitch * harmonics[:, None] * time)).sum(axis=0)
    wobble = 1 + 0.3 * np.sin(2 * np.pi * 3 * time)
    return Audio(0.1 * tone * wobble / np.abs(tone).max(), RATE)


@pytest.mark.parametrize("pitch", [90.0, 140.0, 230.0])
def test_pitch_is_found_in_semitones_over_100_hz(pitch: float):
    found = VoicePrint.of(buzz(pitch, 700)).pitch
    assert found == pytest.approx(12 * np.log2(pitch / 100), abs=0.2)


def test_noise_has_no_pitch_and_level_does_not_matter():
    noise = Audio(np.random.default_rng(0).uniform(-0.3, 0.3, RATE), RATE)
    print_ = VoicePrint.of(noise)
    assert print_.pitch is None
    assert print_.distance(VoicePrint.of(Audio(0.1 * noise.samples, RATE))) < 0.01
    assert print_.distance(print_) == 0


def test_a_clip_shorter_than_a_window_is_no_fault():
    assert np.isfinite(VoicePrint.of(Audio(buzz(100, 700).samples[:, :300], RATE)).mean).all()


def test_lines_of_the_wrong_voice_are_named_and_others_are_not():
    low, high, bright = buzz(95, 600), buzz(190, 700), buzz(130, 2_500)
    lines = [buzz(97, 620), buzz(185, 690), buzz(128, 2_450), buzz(96, 590)]
    match = SpeakerMatch.of(lines, [low, high, bright])
    assert match.distances.shape == (4, 3)
    assert match.similarity.argmax(axis=1).tolist() == [0, 1, 2, 0]
    assert np.allclose(match.similarity.sum(axis=1), 1)
    assert match.swapped([0, 1, 2, 0]) == {}
    assert match.swapped([1, 0, 2, 0]) == {0: 0, 1: 1}


def test_the_bundled_voices_are_told_apart_after_the_codec(engine: LocalEngine, voices: VoiceLibrary):
    """The accuracy that the module states: half a recording against the other halves of all eight."""
    trips = [engine.codec.decode(engine.codes_of(voice.reference)) for voice in voices.bundled.values()]
    halves = [trip.duration_seconds / 2 for trip in trips]
    cast = [trip.between(0.0, half) for trip, half in zip(trips, halves, strict=True)]
    lines = [trip.between(half, 2 * half) for trip, half in zip(trips, halves, strict=True)]
    distances = SpeakerMatch.of(lines, cast).distances
    own = np.diag(distances)
    assert (distances.argmin(axis=1) == np.arange(8)).sum() >= 5
    others = distances[~np.eye(8, dtype=bool)].reshape(8, 7)
    assert (own[:, None] < others).mean() >= 0.89
    assert len(SpeakerMatch.of(lines, cast).swapped(range(8))) <= 1


def test_nobody_and_nothing_are_no_fault():
    assert SpeakerMatch.of([], [buzz(100, 700)]).swapped([]) == {}
