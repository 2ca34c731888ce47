"""Our STOI gives the figures of the package people use."""

from pathlib import Path

import numpy as np
import pystoi
import pytest

from studio.audio import Audio, joined, read_wav, silence
from studio.lab.stoi import StoiReference

VOICES = Path(__file__).parent.parent / "assets" / "voices"


def noisy(audio: Audio, amplitude: float) -> Audio:
    noise = np.random.default_rng(0).standard_normal(audio.samples.shape) * amplitude
    return Audio(audio.samples + noise, audio.sample_rate)


@pytest.mark.parametrize("sample_rate", [8_000, 10_000, 16_000, 24_000])
@pytest.mark.parametrize("amplitude", [0.003, 0.03, 0.3])
def test_the_score_is_that_of_pystoi(sample_rate: int, amplitude: float) -> None:
    for name in ("alma", "hugo"):
        clean = read_wav(VOICES / f"{name}.flac").resampled(sample_rate)
        version = noisy(clean, amplitude)
        theirs = pystoi.stoi(clean.samples[0], version.samples[0], sample_rate)
        # Their resampler is another one; from 8 kHz up they differ where the highest band is empty.
        tolerance = {8_000: 1e-2, 10_000: 1e-9}.get(sample_rate, 3e-5)
        assert StoiReference(clean).of(version) == pytest.approx(theirs, abs=tolerance)


def test_pauses_do_not_count() -> None:
    voice = read_wav(VOICES / "alma.flac").resampled(10_000)
    pause = silence(2.048, 10_000)  # whole frames
    with_pause = joined([voice, pause, voice])
    version = noisy(with_pause, 0.03)
    theirs = pystoi.stoi(with_pause.samples[0], version.samples[0], 10_000)
    assert StoiReference(with_pause).of(version) == pytest.approx(theirs, abs=1e-9)


def test_one_reference_serves_many_versions() -> None:
    voice = read_wav(VOICES / "alma.flac")
    reference = StoiReference(voice)
    scores = [reference.of(noisy(voice, amplitude)) for amplitude in (0.3, 0.03, 0.003)]
    assert scores == sorted(scores)
    assert reference.of(voice) == pytest.approx(1)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.2])
def test_too_little_speech_has_no_score(seconds: float) -> None:
    short = read_wav(VOICES / "alma.flac").between(1, 1 + seconds)
    assert StoiReference(short).of(short) is None


def test_silence_has_no_crash() -> None:
    quiet = silence(1, 16_000)
    assert StoiReference(quiet).of(quiet) == pytest.approx(0, abs=1e-6)
