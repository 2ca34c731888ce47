"""How far a codec's sound is from what went in, by measures other people use, so that figures can be compared.

Every measure is a plain function with its source, unit, range and better direction; `MEASURES` says the same to a
table or a chart, and `Reference` computes them all, doing what only depends on the reference once. A measure that
cannot be taken gives a `Score` without a value and with the reason, never a stand-in number.
"""

import importlib
import importlib.util
import math
import threading
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from studio.audio import Audio
from studio.lab.spectra import Spectra, log_mel_distance, stft_distance

LIMITED_RATE = 16_000  # Hz: "limited" means at this rate, so nothing above 8 kHz counts
SHORTEST_LOUDNESS_SECONDS = 0.4  # one gating block of BS.1770
SHORTEST_STOI_SECONDS = 0.5  # pystoi needs 30 frames of 25.6 ms, half overlapped, after it removed silence
# P.862's code has room for 50 utterances and writes past it: short bursts took the process down from 40 s on.
PESQ_SECONDS = (0.25, 20.0)
SILENT_PEAK = 1e-7

Better = Literal["higher", "lower", "nearer to 0"]

_pesq_lock = threading.Lock()  # P.862's code keeps its state in globals


@dataclass(frozen=True)
class Score:
    """One measured value, or the reason why there is none."""

    value: float | None
    reason: str = ""

    def __str__(self) -> str:
        return f"n/a: {self.reason}" if self.value is None else f"{self.value:.3g}"


@dataclass(frozen=True)
class Measure:
    """What a score means."""

    key: str
    title: str
    unit: str
    better: Better
    range: str
    source: str

    @property
    def column(self) -> str:
        """Title with unit, as a table's header."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


_SI_SDR: tuple[Better, str, str] = (
    "higher",
    "no bounds; inf is exact up to scale",
    "Le Roux et al., ICASSP 2019, arXiv:1811.02508",
)
_STFT: tuple[Better, str, str] = ("lower", "0 and up", "Yamamoto et al., ICASSP 2020, arXiv:1910.11480")
_LOG_MEL: tuple[Better, str, str] = (
    "lower",
    "0 to 80 or so",
    "mean absolute difference of 80 mel bands in dB, floor -80 dBFS",
)

MEASURES = {
    measure.key: measure
    for measure in (
        Measure("si_sdr", "SI-SDR", "dB", *_SI_SDR),
        Measure("si_sdr_16k", "SI-SDR at 16 kHz", "dB", *_SI_SDR),
        Measure("stft", "STFT distance", "", *_STFT),
        Measure("stft_16k", "STFT distance at 16 kHz", "", *_STFT),
        Measure("log_mel", "Log-mel distance", "dB", *_LOG_MEL),
        Measure("log_mel_16k", "Log-mel distance at 16 kHz", "dB", *_LOG_MEL),
        Measure("stoi", "STOI", "", "higher", "about 0 to 1", "Taal et al., IEEE TASLP 2011; at 10 kHz, by pystoi"),
        Measure("pesq_wb", "PESQ-WB", "MOS-LQO", "higher", "1.04 to 4.64", "ITU-T P.862.2; at 16 kHz, by pesq"),
        Measure("mos", "Predicted MOS", "", "higher", "1 to 5", "DNSMOS, Reddy et al., ICASSP 2021; by speechmos"),
        Measure("loudness_change", "Loudness change", "LU", "nearer to 0", "no bounds", "ITU-R BS.1770-4"),
    )
}
QUICK = tuple(key for key in MEASURES if key not in ("pesq_wb", "mos"))


class Reference:
    """The sound that went in, ready to be compared with any number of codecs' versions of it."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio.mono()

    def scores(self, decoded: Audio, keys: tuple[str, ...] = tuple(MEASURES)) -> dict[str, Score]:
        """Measure one version.

        Full-band measures are taken at the reference's own rate: a codec that stops at 8 kHz pays for the highs it
        lost. Those "at 16 kHz" compare only what both can carry.

        Args:
            decoded: Any rate and length; resampled to the reference's rate and cut or padded to its length.
            keys: Which of `MEASURES`.
        """
        full = fitted(decoded.mono().resampled(self.audio.sample_rate), self.audio.length)
        silent = _why_not_measured(self.audio, full)
        if silent:
            return {key: Score(None, silent) for key in keys}
        at_16k = full.resampled(self._at_16k.sample_rate)
        scores: dict[str, Score] = {}
        for suffix, reference, version, spectra in (
            ("", self.audio, full, self._spectra),
            ("_16k", self._at_16k, at_16k, self._spectra_16k),
        ):
            if "si_sdr" + suffix in keys:
                scores["si_sdr" + suffix] = Score(si_sdr_db(reference.samples[0], version.samples[0]))
            if not {"stft" + suffix, "log_mel" + suffix}.isdisjoint(keys):
                other = Spectra(version)
                scores["stft" + suffix] = Score(stft_distance(spectra, other))
                scores["log_mel" + suffix] = Score(log_mel_distance(spectra, other))
        for key, measure in _AT_FULL_BAND.items():
            if key in keys:
                scores[key] = measure(self.audio, full)
        for key, measure in _AT_16_KHZ.items():
            if key in keys:
                scores[key] = measure(self._at_16k, at_16k)
        return {key: scores[key] for key in keys}

    @cached_property
    def _at_16k(self) -> Audio:
        return self.audio.resampled(min(LIMITED_RATE, self.audio.sample_rate))

    @cached_property
    def _spectra(self) -> Spectra:
        return Spectra(self.audio)

    @cached_property
    def _spectra_16k(self) -> Spectra:
        return self._spectra if self._at_16k is self.audio else Spectra(self._at_16k)


def fitted(audio: Audio, length: int) -> Audio:
    """Cut, or padded with silence at the end, to a number of samples."""
    missing = max(0, length - audio.length)
    return Audio(np.pad(audio.samples[:, :length], ((0, 0), (0, missing))), audio.sample_rate)


def _why_not_measured(reference: Audio, version: Audio) -> str:
    if reference.length == 0:
        return "there is no sound"
    if reference.peak < SILENT_PEAK:
        return "the reference is silent"
    if not np.isfinite(version.samples).all():
        return "the codec gave invalid samples"
    return ""


def si_sdr_db(reference: np.ndarray, version: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio.

    Source: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019, without removal of the
    mean. Unit: dB. Range: -inf (nothing of the reference is left) to inf (equal up to a factor). Higher is better.
    A codec that rebuilds the sound without its exact waveform scores low and may still sound right.

    Args:
        reference: float [N], not silent.
        version: float [N].
    """
    x, y = reference.astype(np.float64), version.astype(np.float64)
    target = np.sum(x * y) / np.sum(x * x) * x
    kept, lost = float(np.sum(target * target)), float(np.sum(np.square(y - target)))
    if kept == 0:
        return -math.inf
    return 10 * math.log10(kept / lost) if lost > 0 else math.inf


def stoi(reference: Audio, version: Audio) -> Score:
    """Short-time objective intelligibility.

    Source: Taal, Hendriks, Heusdens, Jensen, IEEE TASLP 19(7), 2011, by `pystoi`, at 10 kHz (so the same at full band
    and limited). No unit. Range: about 0 to 1. Higher is better.
    """
    if importlib.util.find_spec("pystoi") is None:
        return Score(None, "the package pystoi is not installed")
    if reference.duration_seconds < SHORTEST_STOI_SECONDS:
        return Score(None, f"shorter than {SHORTEST_STOI_SECONDS:g} s")
    from pystoi import stoi as measured

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi warns of too little speech, and gives 1e-5
        try:
            return Score(float(measured(reference.samples[0], version.samples[0], reference.sample_rate)))
        except RuntimeWarning:
            return Score(None, "too little speech between the pauses")


def pesq_wb(reference: Audio, version: Audio) -> Score:
    """Wideband PESQ.

    Source: ITU-T P.862.2 by the package `pesq` (optional). Unit: MOS-LQO. Range: 1.04 to 4.64. Higher is better. Made
    for telephone codecs: it is hard on neural ones. Both sounds at 16 kHz.
    """
    if importlib.util.find_spec("pesq") is None:
        return Score(None, "the package pesq is not installed")
    shortest, longest = PESQ_SECONDS
    if not shortest <= reference.duration_seconds <= longest:
        return Score(None, f"only measured from {shortest:g} to {longest:g} s")
    if reference.sample_rate != LIMITED_RATE:
        return Score(None, f"recorded at {reference.sample_rate / 1000:g} kHz, and wideband starts at 16")
    if version.peak < SILENT_PEAK:
        return Score(None, "the codec gave silence")  # P.862's code would divide by its level
    from pesq import PesqError, pesq

    try:
        with _pesq_lock:
            return Score(float(pesq(LIMITED_RATE, reference.samples[0], version.samples[0], "wb")))
    except PesqError as problem:
        said = problem.args[0] if problem.args else type(problem).__name__
        return Score(None, said.decode(errors="replace") if isinstance(said, bytes) else str(said))


def predicted_mos(reference: Audio, version: Audio) -> Score:
    """Mean opinion score as a network predicts it from the version alone.

    Source: DNSMOS P.835 overall (Reddy, Gopal, Cutler, ICASSP 2022) by the package `speechmos` (optional). Range: 1
    to 5. Higher is better. At 16 kHz.
    """
    if importlib.util.find_spec("speechmos") is None:
        return Score(None, "the package speechmos is not installed")
    if version.sample_rate != LIMITED_RATE:
        return Score(None, "recorded below 16 kHz")
    dnsmos = importlib.import_module("speechmos.dnsmos")
    return Score(float(dnsmos.run(np.clip(version.samples[0], -1, 1), LIMITED_RATE)["ovrl_mos"]))


def loudness_lufs(audio: Audio) -> Score:
    """Integrated loudness.

    Source: ITU-R BS.1770-4 by `pyloudnorm`. Unit: LUFS. Range: -70 (its absolute gate) to about 0; no better direction.
    Shorter than one gating block (0.4 s) or below the gate there is none.
    """
    import pyloudnorm

    if audio.duration_seconds < SHORTEST_LOUDNESS_SECONDS:
        return Score(None, f"shorter than {SHORTEST_LOUDNESS_SECONDS:g} s")
    loudness = float(pyloudnorm.Meter(audio.sample_rate).integrated_loudness(audio.samples.T.astype(np.float64)))
    return Score(loudness) if math.isfinite(loudness) else Score(None, "below -70 LUFS")


def loudness_change(reference: Audio, version: Audio) -> Score:
    """How much louder the version is. Source: as `loudness_lufs`. Unit: LU. Nearer to 0 is better."""
    before, after = loudness_lufs(reference), loudness_lufs(version)
    if before.value is None or after.value is None:
        return before if before.value is None else Score(None, f"the codec's sound is {after.reason}")
    return Score(after.value - before.value)


_AT_FULL_BAND = {"loudness_change": loudness_change}
_AT_16_KHZ = {"stoi": stoi, "pesq_wb": pesq_wb, "mos": predicted_mos}
