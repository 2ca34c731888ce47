"""Gains, fades and loudness do what their units say, and do nothing where they are off."""

from typing import Any

import numpy as np
import pytest

from studio.audio import Audio
from studio.errors import BadSetting
from studio.lab.metrics import loudness_lufs
from studio.mixing import Mixing, louder

RATE = 24_000


def tone(seconds: float = 2.0, level: float = 0.1) -> Audio:
    time = np.arange(round(seconds * RATE)) / RATE
    return Audio((level * np.sin(2 * np.pi * 440 * time))[None], RATE)


def test_all_off_is_the_very_same_sound():
    audio = tone()
    assert louder(audio, 0.0) is audio
    assert Mixing().joined(audio) is audio
    assert Mixing().level_db(audio) == 0.0


def test_a_gain_is_in_decibels():
    assert louder(tone(), -20.0).rms_dbfs == pytest.approx(tone().rms_dbfs - 20.0, abs=1e-4)
    assert louder(tone(), 6.0).rms_dbfs == pytest.approx(tone().rms_dbfs + 6.0, abs=1e-4)


def test_a_speaker_without_a_gain_stays_as_they_are():
    mixing = Mixing(gains_db=(-3.0,))
    assert (mixing.gain_db(0), mixing.gain_db(1)) == (-3.0, 0.0)


def test_fades_have_their_length_and_crossing_ones_keep_the_power():
    mixing, ones = Mixing(join_seconds=0.1), Audio(np.ones((1, RATE)), RATE)
    faded = mixing.joined(ones).samples[0]
    length = RATE // 10
    assert faded[0] == 0.0
    assert faded[-1] == 0.0
    assert np.array_equal(faded[length:-length], np.ones(RATE - 2 * length, np.float32))
    assert faded[:length] ** 2 + faded[-length:] ** 2 == pytest.approx(np.ones(length), abs=1e-6)


def test_a_take_shorter_than_its_fades_keeps_a_middle():
    faded = Mixing(join_seconds=0.2).joined(Audio(np.ones((1, 100)), RATE)).samples[0]
    assert faded.max() == pytest.approx(1.0)
    assert len(faded) == 100


def test_the_whole_comes_to_the_wanted_loudness():
    mixing = Mixing(loudness_lufs=-23.0)
    assert loudness_lufs(louder(tone(), mixing.level_db(tone()))).value == pytest.approx(-23.0, abs=0.01)


def test_what_a_gain_lifts_above_the_gates_of_the_measure_is_reckoned_with():
    """Speech, softer speech that the relative gate leaves out, and a hum below the absolute one, until it is louder."""
    mix = Audio(np.concatenate([tone(s, level).samples for s, level in ((2, 0.03), (2, 0.005), (6, 2e-4))], 1), RATE)
    once = -23.0 - loudness_lufs(mix).value
    assert loudness_lufs(louder(mix, once)).value < -25.0, "the gates see the same"
    gain = Mixing(loudness_lufs=-23.0).level_db(mix)
    assert loudness_lufs(louder(mix, gain)).value == pytest.approx(-23.0, abs=0.01)


def test_a_loudness_beyond_the_peaks_is_approached_as_far_as_they_allow():
    spiky = tone(level=0.01)
    spiky.samples[0, 1_000] = 0.5
    gain = Mixing(loudness_lufs=-10.0).level_db(spiky)
    assert 20 * np.log10(louder(spiky, gain).peak) == pytest.approx(-1.0, abs=1e-4)


@pytest.mark.parametrize("audio", [Audio(np.zeros((1, RATE)), RATE), tone(seconds=0.1)], ids=["silence", "too short"])
def test_what_has_no_loudness_is_left_alone(audio: Audio):
    assert Mixing(loudness_lufs=-16.0).level_db(audio) == 0.0


def test_it_is_written_as_it_is_read():
    mixing = Mixing((-3.0, 0.0, 2.5), -16.0, 0.02)
    assert Mixing.read(mixing.as_json()) == mixing
    assert Mixing.read(Mixing().as_json()) == Mixing()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "M must be an object, not a list. Its keys, all optional: gains_db, loudness_lufs, join_seconds"),
        ({"gain": 1}, "M: there is no key 'gain'"),
        ({"gains_db": ["loud"]}, "M: A speaker's gain must be between -24 and 12 dB, not 'loud'"),
        ({"gains_db": [13.0]}, "M: A speaker's gain must be between -24 and 12 dB, not 13.0"),
        ({"gains_db": [0.0] * 9}, "M: there are more gains than speakers"),
        ({"loudness_lufs": float("nan")}, "M: The loudness must be between -36 and -10 LUFS, not nan"),
        ({"join_seconds": None}, "M: The fade at joins must be between 0 and 0.2 s, not None"),
        ({"join_seconds": True}, "M: The fade at joins must be between 0 and 0.2 s, not True"),
    ],
)
def test_a_wrong_dial_is_named(data: Any, words: str):
    with pytest.raises(BadSetting, match=words):
        Mixing.read(data, "M")
