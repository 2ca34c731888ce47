"""The reference doctor on sounds whose answer is known: every measure, every mend, and what is said of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from studio.audio import Audio, read_wav
from studio.errors import BadAudio, BadSetting
from studio.lab.condition import measure
from studio.lab.doctor import Finding, advised, examine, health
from studio.lab.mends import (
    MOST_MENDS,
    FadeTail,
    Gain,
    Mend,
    RemoveDc,
    ToMono,
    Trim,
    as_json,
    checked,
    fitted,
    in_words,
    kept_samples,
    mended,
    on_recording,
    read_mends,
)
from studio.lab.metrics import loudness_lufs

RATE = 24_000
VOICES = Path(__file__).parent.parent / "assets" / "voices"
WORDS = {key: entry["transcript"] for key, entry in json.loads((VOICES / "voices.json").read_text("utf-8")).items()}


def noise(seconds: float, level_dbfs: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(size=round(seconds * rate))
    return samples / np.sqrt(np.mean(samples**2)) * 10 ** (level_dbfs / 20)


def audio(*parts: np.ndarray, rate: int = RATE) -> Audio:
    return Audio(np.concatenate(parts)[None], rate)


def found(sound: Audio, key: str, transcript: str = "") -> Finding:
    return next(finding for finding in examine(sound, transcript) if finding.key == key)


SPEECHLIKE = audio(np.zeros(2_400), noise(2, -20), np.zeros(7_200), noise(2, -20), np.zeros(2_400))


# ---- measures ----


def test_levels_silences_and_pauses_are_where_they_were_put():
    sound = audio(noise(0.5, -70), noise(2, -20), noise(0.8, -70), noise(1, -20), noise(1.2, -70))
    measures = measure(sound)
    assert measures.seconds == pytest.approx(5.5)
    assert measures.speech_dbfs == pytest.approx(-20, abs=0.7)
    assert measures.noise_floor_dbfs == pytest.approx(-70, abs=0.7)
    assert measures.snr_db == pytest.approx(50, abs=1)
    assert measures.head_silence_seconds == pytest.approx(0.5, abs=0.021)
    assert measures.longest_pause_seconds == pytest.approx(0.8, abs=0.041)
    assert measures.tail_silence_seconds == pytest.approx(1.2, abs=0.021)
    assert measures.silence_share == pytest.approx(2.5 / 5.5, abs=0.02)
    assert measures.tail_dbfs == pytest.approx(-70, abs=1)


def test_pauses_are_found_in_loud_noise_and_none_are_made_up_in_speech_without_pauses():
    noisy = measure(audio(noise(1, -45), noise(2, -20), noise(1, -45)))
    assert noisy.head_silence_seconds == pytest.approx(1, abs=0.05)
    assert measure(audio(noise(3, -20))).silence_share < 0.05
    assert measure(audio(np.zeros(RATE))).silence_share == 1


def test_an_offset_is_measured_and_disturbs_no_other_measure():
    plain = measure(SPEECHLIKE)
    moved = measure(Audio(SPEECHLIKE.samples - 0.03, RATE))
    assert moved.dc_share == pytest.approx(-0.03, abs=0.001)
    assert moved.tail_dbfs < -90
    assert moved.bandwidth_hz == pytest.approx(plain.bandwidth_hz, abs=50)
    assert moved.noise_floor_dbfs < -90


def test_clipping_is_found_at_full_scale_and_below_it_and_not_in_whole_peaks():
    tone = 0.5 * np.sin(2 * np.pi * 220 * np.arange(3 * RATE) / RATE)
    assert measure(audio(tone)).clipped_share == 0
    assert measure(audio(noise(3, -20))).clipped_share == 0
    clipped = np.clip(3 * tone, -1, 1)  # above 1/1.5 of the peak: arccos gives the share
    wanted = 2 * math.acos(1 / 1.5) / math.pi
    assert measure(audio(clipped)).clipped_share == pytest.approx(wanted, rel=0.02)
    assert measure(audio(0.3 * clipped)).clipped_share == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("cutoff_hz", [3_400, 6_000, 8_000])
def test_bandwidth_is_where_a_filter_ends_it_at_any_rate(cutoff_hz: int):
    for rate in (24_000, 48_000):
        low = scipy.signal.sosfilt(
            scipy.signal.ellip(12, 0.1, 80, cutoff_hz, output="sos", fs=rate), noise(3, -20, rate)
        )
        assert measure(audio(low, rate=rate)).bandwidth_hz == pytest.approx(cutoff_hz, rel=0.07)


def test_a_telephone_recording_at_a_high_rate_is_known_by_its_bandwidth():
    call = audio(noise(3, -20, 8_000), rate=8_000).resampled(48_000)
    assert measure(call).bandwidth_hz < 4_300
    assert found(call, "bandwidth").severity == "poor"


def test_channels_are_compared():
    left, right = noise(3, -20), noise(3, -20, seed=1)
    same = measure(Audio(np.stack([left, 0.5 * left]), RATE))
    assert (same.channels, same.correlation) == (2, pytest.approx(1))
    assert same.channel_difference_db == pytest.approx(6.02, abs=0.05)
    assert measure(Audio(np.stack([left, -left]), RATE)).correlation == pytest.approx(-1)
    assert abs(measure(Audio(np.stack([left, right]), RATE)).correlation) < 0.05


def test_words_are_counted_against_the_time_that_is_spoken():
    assert measure(SPEECHLIKE, "a" * 43).letters_a_second == pytest.approx(10, abs=0.2)
    assert measure(SPEECHLIKE, "你好" * 7).letters_a_second == pytest.approx(42 / 4.3, abs=0.2)
    assert measure(SPEECHLIKE, " ").letters_a_second is None


# ---- findings ----


@pytest.mark.parametrize(
    ("sound", "key", "severity", "mend"),
    [
        (audio(noise(1.2, -20)), "duration", "poor", None),
        (audio(noise(20, -20)), "duration", "fair", None),
        (audio(noise(31, -20)), "duration", "poor", None),
        (audio(noise(4, -55)), "level", "poor", Gain),
        (audio(noise(4, -34)), "level", "fair", Gain),
        (audio(np.clip(noise(4, -6), -1, 1)), "clipping", "poor", None),
        (audio(noise(1, -30), noise(3, -20), noise(1, -30)), "noise", "poor", None),
        (audio(noise(1, -50), noise(3, -20), noise(1, -50)), "noise", "fair", None),
        (audio(np.zeros(RATE), noise(3, -20)), "ends", "fair", Trim),
        (audio(noise(2, -20), np.zeros(30_000), noise(2, -20)), "pauses", "fair", None),
        (audio(noise(4, -20)), "tail", "poor", FadeTail),
        (audio(noise(4, -20), noise(0.1, -42)), "tail", "fair", FadeTail),
        (audio(noise(4, -20) + 0.02), "dc", "fair", RemoveDc),
        (Audio(np.stack([noise(4, -20), -noise(4, -20)]), RATE), "mono", "poor", ToMono),
        (Audio(np.stack([noise(4, -50), noise(4, -20)]), RATE), "mono", "fair", ToMono),
        (Audio(np.stack([noise(4, -20), noise(4, -20)]), RATE), "mono", "good", ToMono),
    ],
)
def test_what_is_wrong_is_found_said_with_a_unit_and_mended_where_it_can_be(
    sound: Audio, key: str, severity: str, mend: type[Mend] | None
):
    finding = found(sound, key)
    assert finding.severity == severity
    assert finding.effect.endswith(".")
    assert finding.value
    assert (type(finding.mend) if finding.mend else None) is mend
    assert bool(finding.mend_label) == bool(finding.mend)


@pytest.mark.parametrize(
    ("transcript", "severity"), [("", "poor"), ("a" * 40, "good"), ("a" * 200, "poor"), ("Hi", "poor")]
)
def test_a_transcript_that_cannot_fit_is_noticed(transcript: str, severity: str):
    assert found(SPEECHLIKE, "words", transcript).severity == severity


@pytest.mark.parametrize("key", WORDS)
def test_bundled_voices_are_healthy(key: str):
    findings = examine(read_wav(VOICES / f"{key}.flac"), WORDS[key])
    assert [finding.key for finding in findings if finding.severity != "good"] == []
    assert health(findings) == "good"


@pytest.mark.parametrize(
    ("seconds", "severity", "steadier"),
    [(1.4, "poor", False), (1.8, "fair", True), (2.4, "good", True), (3.1, "good", False)],
)
def test_a_reference_as_long_as_those_the_model_learnt_from_is_enough(seconds: float, severity: str, steadier: bool):
    finding = found(audio(noise(seconds, -20)), "duration")
    assert finding.severity == severity
    assert ("steadier" in finding.effect) == steadier


# ---- mends ----


def test_each_mend_does_what_it_says():
    tone = np.sin(2 * np.pi * 100 * np.arange(2 * RATE) / RATE)
    sound = Audio(np.stack([0.2 * tone + 0.1, 0.1 * tone]), RATE)
    assert np.array_equal(mended(sound, [Trim(100, 40_000)]).samples, sound.samples[:, 100:40_000])
    assert mended(sound, [Gain(20)]).samples == pytest.approx(10 * sound.samples)
    assert mended(sound, [RemoveDc()]).samples.mean(axis=1) == pytest.approx([0, 0], abs=1e-6)
    assert np.array_equal(mended(sound, [ToMono("left")]).samples, sound.samples[:1])
    assert np.array_equal(mended(sound, [ToMono("right")]).samples, sound.samples[1:])
    assert mended(sound, [ToMono()]).samples == pytest.approx(sound.samples.mean(axis=0, keepdims=True))
    faded = mended(sound, [FadeTail(0.1)]).samples
    assert np.array_equal(faded[:, :-2_400], sound.samples[:, :-2_400])
    assert faded[:, -1] == pytest.approx([0, 0], abs=1e-6)
    assert faded[0, -1_200] / sound.samples[0, -1_200] == pytest.approx(0.5, abs=0.001)


def test_the_last_trim_counts_on_the_recording_and_ends_belong_to_what_is_kept():
    sound = audio(np.linspace(0.1, 0.9, 3 * RATE))
    mends = [Trim(0, 60_000), FadeTail(0.1), Trim(10_000, 50_000)]
    assert kept_samples(sound, mends) == (10_000, 50_000)
    kept = mended(sound, mends)
    assert kept.length == 40_000
    assert kept.samples[0, -1] == pytest.approx(0, abs=1e-6)
    assert np.array_equal(kept.samples[0, :1_000], sound.samples[0, 10_000:11_000])
    assert on_recording(Trim(5, 30_000), sound, mends) == Trim(10_005, 40_000)
    assert on_recording(Gain(3), sound, mends) == Gain(3)


def test_what_the_doctor_advises_leaves_nothing_that_can_be_mended():
    speech = 0.05 * read_wav(VOICES / "bruno.flac").samples[0]
    mixed = np.concatenate([np.zeros(RATE), speech, speech[:40_000], 0.001 * noise(1, -3)]) + 0.02
    sound = Audio(np.stack([mixed, 0.9 * mixed]), RATE)
    assert {one.key for one in examine(sound) if one.mend} >= {"mono", "dc", "ends", "level"}
    mends = advised(sound)
    after = mended(sound, mends)
    assert {one.key: one.mend for one in examine(after) if one.mend} == {}
    assert after.channels == 1
    assert loudness_lufs(after).value == pytest.approx(-23, abs=0.3)
    assert after.peak <= 10 ** (-1 / 20) + 1e-3
    assert advised(sound, mends) == mends


def test_levelling_stops_before_peaks_would_clip():
    peaky = noise(4, -45)
    peaky[5_000] = 0.5
    gain = found(audio(peaky), "level").mend
    assert isinstance(gain, Gain)
    assert mended(audio(peaky), [gain]).peak == pytest.approx(10 ** (-1 / 20), abs=0.01)


def test_mends_travel_as_json_and_are_told_in_words():
    mends = (Trim(2_400, 48_000), FadeTail(0.08), Gain(-3.5), RemoveDc(), ToMono("left"))
    assert read_mends(json.loads(json.dumps(as_json(mends)))) == mends
    assert [in_words(mend, RATE) for mend in mends] == [
        "Trimmed to 0.10 to 2.00 s",
        "Faded out over the last 80 ms",
        "Lowered by 3.5 dB",
        "DC offset removed",
        "Mono from the left channel",
    ]


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [1],
        [{"mend": "reverb"}],
        [{"mend": ["trim"]}],
        [{"mend": "trim", "start": 0}],
        [{"mend": "trim", "start": 0.5, "stop": 9}],
        [{"mend": "trim", "start": True, "stop": 9}],
        [{"mend": "gain", "gain_db": "3"}],
        [{"mend": "mono", "take": "middle"}],
        [{"mend": "dc", "more": 1}],
        [{"mend": "dc"}] * (MOST_MENDS + 1),
    ],
)
def test_json_that_is_no_list_of_mends_is_refused(data: object):
    with pytest.raises(BadSetting):
        read_mends(data)


def test_a_mend_nobody_can_mean_is_refused_and_a_trim_is_brought_within_the_recording():
    sound = audio(noise(2, -20))
    assert checked(Trim(-5, 10**9), sound) == Trim(0, 2 * RATE)
    for mend in (
        FadeTail(0),
        FadeTail(5),
        Gain(100),
        Gain(math.nan),
        FadeTail(math.inf),
        Gain(10**400),
        FadeTail(10**400),
    ):
        with pytest.raises(BadSetting):
            checked(mend, sound)
    with pytest.raises(BadAudio, match="At least 1 s must be kept"):
        checked(Trim(40_000, 30_000), sound)
    with pytest.raises(BadSetting, match="At most 32"):
        fitted([Gain(1)] * (MOST_MENDS + 1), sound)
