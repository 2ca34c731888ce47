"""Measures on signals whose answer is known."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Audio, read_wav, silence
from studio.codecs.classic import Pcm16
from studio.codecs.higgs import HiggsCodec
from studio.lab import metrics
from studio.lab.metrics import MEASURES, QUICK, Reference, loudness_lufs, si_sdr_db
from studio.lab.spectra import FLOOR, Distances, Spectra, distances

ASSETS = Path(__file__).parent.parent / "assets"


def speech() -> Audio:
    return read_wav(ASSETS / "voices" / "alma.flac")


def noise_like(audio: Audio, db_below: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(audio.samples.shape)
    return noise * np.linalg.norm(audio.samples) / np.linalg.norm(noise) * 10 ** (-db_below / 20)


def tone(hz: float, seconds: float = 1.0, sample_rate: int = 24_000, amplitude: float = 0.3) -> Audio:
    return Audio(
        amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * sample_rate)) / sample_rate), sample_rate
    )


@pytest.mark.parametrize("db", [0, 10, 20, 40])
def test_si_sdr_of_noise_at_a_known_level(db: float) -> None:
    voice = speech()
    noise = noise_like(voice, db)[0]
    clean = voice.samples[0].astype(np.float64)
    noise -= clean * (clean @ noise) / (clean @ clean)  # by chance a little of any noise is the voice itself
    assert si_sdr_db(clean, clean + noise) == pytest.approx(db, abs=0.1)
    assert si_sdr_db(clean, 0.1 * (clean + noise)) == pytest.approx(db, abs=0.1), "it is not scale-invariant"


def test_si_sdr_at_its_ends() -> None:
    x = tone(440).samples[0]
    assert si_sdr_db(x, x * np.float32(0.5)) == math.inf
    assert si_sdr_db(x, np.zeros_like(x)) == -math.inf
    assert si_sdr_db(x, -x) == math.inf, "polarity is a factor like any other"
    assert si_sdr_db(x, tone(880).samples[0]) < -60


def test_distances_are_zero_for_equals_and_grow_with_noise() -> None:
    voice = speech()
    reference = Spectra(voice)
    assert distances(reference, voice) == Distances(0, 0)
    noisy = [Audio(voice.samples + noise_like(voice, db), voice.sample_rate) for db in (40, 20, 0)]
    found = [distances(reference, other) for other in noisy]
    assert 0 < found[0].stft < found[1].stft < found[2].stft
    assert 0 < found[0].log_mel < found[1].log_mel < found[2].log_mel


def test_a_change_of_level_has_a_known_distance() -> None:
    loud = Audio(np.random.default_rng(0).standard_normal((1, 48_000)) * 0.1, 24_000)
    quiet = Audio(loud.samples * np.float32(0.5), 24_000)
    found = distances(Spectra(loud), quiet)
    assert found.log_mel == pytest.approx(20 * math.log10(2), abs=0.01)
    # Spectral convergence is 0.5, the logarithm's part ln 2.
    assert found.stft == pytest.approx(0.5 + math.log(2), abs=0.01)


def test_a_sine_of_amplitude_one_has_magnitude_one() -> None:
    for magnitudes in Spectra(tone(3_000, amplitude=1.0)).magnitudes:
        assert magnitudes.max() == pytest.approx(1, abs=0.02)
    assert Spectra(silence(0.2, 24_000)).mel_db.max() == pytest.approx(20 * math.log10(FLOOR))


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_spectra_have_the_same_frames_at_any_rate(sample_rate: int) -> None:
    spectra = Spectra(tone(1_000, 0.5, sample_rate))
    assert [magnitudes.shape[0] for magnitudes in spectra.magnitudes] == pytest.approx([250, 100, 50], abs=2)
    assert spectra.mel_db.shape[1] == 80


def loudest_band(audio: Audio) -> int:
    return int(Spectra(audio).mel_db.mean(axis=0).argmax())


@pytest.mark.parametrize("hz", [250, 1_000, 3_000])
def test_a_tone_stays_in_its_mel_band(hz: float) -> None:
    clip = tone(hz, 0.5)
    limited = Pcm16(8_000).decode(Pcm16(8_000).encode(clip)).resampled(24_000)
    assert loudest_band(limited) == loudest_band(clip) != loudest_band(tone(hz * 1.5, 0.5))


def test_a_tone_stays_near_its_mel_band_through_the_bundled_codec() -> None:
    """Within 2 of 80 bands up to 500 Hz, where voices have their pitch; higher single tones it never learnt."""
    codec = HiggsCodec.load(ASSETS / "mini" / "higgs-audio-v2-tokenizer-mini")
    for hz in (150, 250, 400, 500):
        clip = tone(hz, 0.5)
        assert abs(loudest_band(codec.decode(codec.encode(clip))) - loudest_band(clip)) <= 2, hz


def test_every_measure_is_taken_and_explained() -> None:
    voice = speech()
    scores = Reference(voice).scores(Audio(voice.samples + noise_like(voice, 20), voice.sample_rate))
    assert set(scores) == set(MEASURES)
    assert scores["si_sdr"].value == pytest.approx(20, abs=0.1)
    assert 0.9 < scores["stoi"].value < 1
    assert abs(scores["loudness_change"].value) < 0.5
    assert 1.04 < scores["pesq_wb"].value < 4.64
    for key, score in scores.items():
        assert (score.value is None) == bool(score.reason), key
        assert MEASURES[key].source
        assert MEASURES[key].range


def test_equal_sounds_get_the_best_scores() -> None:
    scores = Reference(speech()).scores(speech())
    assert scores["si_sdr"].value == scores["si_sdr_16k"].value == math.inf
    assert scores["stft"].value == scores["log_mel_16k"].value == scores["loudness_change"].value == 0
    assert scores["stoi"].value == pytest.approx(1)
    assert scores["pesq_wb"].value == pytest.approx(4.64, abs=0.01)


def test_the_original_is_given_what_measuring_it_would_give() -> None:
    for sound in (speech(), speech().resampled(8_000), speech().between(0.5, 0.6), silence(1, 24_000)):
        quick = Reference(sound).own_scores(QUICK)
        for key, measured in Reference(sound).scores(sound, QUICK).items():
            assert quick[key].reason == measured.reason
            assert quick[key].value == pytest.approx(measured.value), key


def test_distances_are_those_of_whole_spectra() -> None:
    """Block by block, as they are computed, gives what the formulas give at once."""
    voice = speech()
    version = Audio(voice.samples + noise_like(voice, 10), voice.sample_rate)
    first, second = Spectra(voice), Spectra(version)
    found = distances(first, version)
    terms = [
        np.linalg.norm(x - y) / np.linalg.norm(x) + np.abs(np.log(np.maximum(x, FLOOR) / np.maximum(y, FLOOR))).mean()
        for x, y in zip(first.magnitudes, second.magnitudes, strict=True)
    ]
    assert found.stft == pytest.approx(np.mean(terms), rel=1e-5)
    assert found.log_mel == pytest.approx(np.abs(first.mel_db - second.mel_db).mean(), rel=1e-5)


def test_parts_give_every_measure_once() -> None:
    voice = speech()
    for sound in (voice, voice.resampled(16_000), voice.resampled(8_000)):
        given = [key for part in Reference(sound).parts(sound, QUICK) for key in part()]
        assert sorted(given) == sorted(QUICK)
        assert list(Reference(sound).scores(sound, ("log_mel_16k", "stft"))) == ["log_mel_16k", "stft"]


@pytest.mark.parametrize("keys", [("log_mel",), ("log_mel_16k",), ("stft_16k",), QUICK], ids=str)
def test_what_parts_share_is_prepared_before_them(keys: tuple[str, ...]) -> None:
    voice = speech()
    for sound in (voice, voice.resampled(16_000)):
        reference = Reference(sound)
        for work in reference.prepare(keys):
            work()
        ready = {name for name in ("_spectra", "_spectra_16k") if "norms" in vars(getattr(reference, name))}
        wanted = {"_spectra"} if {"stft", "log_mel"} & {*keys} or sound is not voice else set()
        wanted |= {"_spectra_16k"} if {"stft_16k", "log_mel_16k"} & {*keys} or sound is not voice else set()
        assert ready == wanted


def test_lost_highs_cost_at_full_band_only() -> None:
    rng = np.random.default_rng(0)
    white = Audio(rng.standard_normal((1, 48_000)) * 0.1, 24_000)
    limited = white.resampled(16_000)
    scores = Reference(white).scores(limited, ("si_sdr", "si_sdr_16k", "log_mel", "log_mel_16k"))
    # A third of white noise's power lies above 8 kHz: 10 log10(2), less what the resampler's slope takes below it.
    assert scores["si_sdr"].value == pytest.approx(3, abs=0.7)
    assert scores["si_sdr_16k"].value > 20
    assert scores["log_mel"].value > 5 * scores["log_mel_16k"].value


def test_decoded_sound_may_be_longer_or_shorter() -> None:
    voice = speech()
    longer = Audio(np.pad(voice.samples, ((0, 0), (0, 500))), voice.sample_rate)
    assert Reference(voice).scores(longer, ("si_sdr",))["si_sdr"].value == math.inf
    shorter = Audio(voice.samples[:, :-500], voice.sample_rate)
    assert Reference(voice).scores(shorter, ("si_sdr",))["si_sdr"].value > 10


def test_what_cannot_be_measured_says_why() -> None:
    voice = speech()
    short = voice.between(0.5, 0.55)
    scores = Reference(short).scores(short)
    assert scores["loudness_change"].reason == "shorter than 0.4 s"
    assert scores["stoi"].reason == "shorter than 0.5 s"
    assert scores["pesq_wb"].reason == "only measured from 0.25 to 20 s"
    assert scores["si_sdr"].value == math.inf, "50 ms are enough for this one"
    quiet = Reference(silence(1, 24_000)).scores(voice)
    assert {score.reason for score in quiet.values()} == {"the reference is silent"}
    nothing = Reference(silence(0, 24_000)).scores(voice)
    assert {score.reason for score in nothing.values()} == {"there is no sound"}
    broken = Audio(np.full_like(voice.samples, np.nan), voice.sample_rate)
    assert {score.reason for score in Reference(voice).scores(broken).values()} == {"the codec gave invalid samples"}


def test_a_codec_that_gives_silence_is_no_crash() -> None:
    voice = speech()
    scores = Reference(voice).scores(silence(voice.duration_seconds, 16_000))
    assert scores["si_sdr"].value == -math.inf
    assert scores["pesq_wb"].reason == "the codec gave silence"
    assert scores["loudness_change"].reason == "the codec's sound is below -70 LUFS"


@pytest.mark.parametrize(
    "strange",
    [Audio(np.full((1, 24_000), 0.5), 24_000), Audio(np.sign(tone(300).samples), 24_000), tone(50, 1.0, 8_000)],
    ids=["DC", "clipped", "8 kHz"],
)
def test_strange_sound_is_measured_or_refused_in_words(strange: Audio) -> None:
    noisy = Audio(strange.samples + noise_like(strange, 20), strange.sample_rate)
    scores = Reference(strange).scores(noisy)
    assert scores["si_sdr"].value == pytest.approx(20, abs=0.3)
    assert all(score.value is not None or score.reason for score in scores.values())


def test_stereo_is_measured_as_the_mean_of_its_channels() -> None:
    voice = speech()
    both = Audio(np.concatenate([voice.samples, voice.samples]), voice.sample_rate)
    assert Reference(both).scores(voice, ("si_sdr", "loudness_change"))["loudness_change"].value == 0


def test_a_missing_package_gives_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pesq" else find(name))
    monkeypatch.setitem(sys.modules, "speechmos.dnsmos", None)
    scores = Reference(speech()).scores(speech(), ("pesq_wb", "mos"))
    assert [score.value for score in scores.values()] == [None] * 2
    assert [str(score) for score in scores.values()] == [
        f"n/a: the package {name} is not installed" for name in ("pesq", "speechmos")
    ]


def test_predicted_mos_is_taken_at_16_khz_within_full_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dnsmos:
        @staticmethod
        def run(samples: np.ndarray, sample_rate: int) -> dict[str, float]:
            assert sample_rate == 16_000
            assert np.abs(samples).max() <= 1
            return {"ovrl_mos": 3.25}

    monkeypatch.setattr(metrics.importlib, "import_module", lambda name: Dnsmos)
    voice = speech()
    assert Reference(voice).scores(Audio(9 * voice.samples, 24_000), ("mos",))["mos"].value == 3.25
    assert Reference(voice).scores(silence(1, 24_000), ("mos",))["mos"].reason == "the codec gave silence"
    low = voice.resampled(8_000)
    assert Reference(low).scores(low, ("mos",))["mos"].reason == "recorded below 16 kHz"


def test_predicted_mos_likes_clean_speech_better() -> None:
    pytest.importorskip("speechmos.dnsmos", reason="an optional package (requirements-extra.txt)")
    voice = speech()
    noisy = Audio(voice.samples + noise_like(voice, 5), voice.sample_rate)
    clean, spoilt = (Reference(voice).scores(version, ("mos",))["mos"].value for version in (voice, noisy))
    assert 1 < spoilt < clean - 0.5 < 5


def test_loudness_of_the_standards_own_example() -> None:
    # BS.1770: a 997 Hz sine at 0 dBFS in one channel reads -3.01 LKFS.
    assert loudness_lufs(tone(997, 5.0, 48_000, 1.0)).value == pytest.approx(-3.01, abs=0.05)
    assert loudness_lufs(tone(997, 5.0, 48_000, 0.1)).value == pytest.approx(-23.01, abs=0.05)
