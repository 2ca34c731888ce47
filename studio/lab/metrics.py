"""How far a codec's sound is from what went in, by measures other people use, so that figures can be compared.

Every measure is a plain function with its source, unit, range and better direction; `MEASURES` says the same to a
table or a chart, and `Reference` computes them all, doing what only depends on the reference once. A measure that
cannot be taken gives a `Score` without a value and with the reason, never a stand-in number.
"""

import importlib
import importlib.util
import math
import threading
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from studio.audio import Audio
from studio.lab.spectra import Distances, Spectra, distances
from studio.lab.stoi import StoiReference

LIMITED_RATE = 16_000  # Hz: "limited" means at this rate, so nothing above 8 kHz counts
SHORTEST_LOUDNESS_SECONDS = 0.4  # one gating block of BS.1770
SHORTEST_STOI_SECONDS = 0.5  # it needs 30 frames of 25.6 ms, half overlapped, after pauses were removed
# P.862's code has room for 50 utterances and writes past it: short bursts took the process down from 40 s on.
PESQ_SECONDS = (0.25, 20.0)
SHORTEST_MOS_SECONDS = 0.5
SILENT_PEAK = 1e-7

Better = Literal["higher", "lower", "nearer to 0"]

_pesq_lock = threading.Lock()  # P.862's code keeps its state in globals
_loudness: WeakKeyDictionary[Audio, float] = WeakKeyDictionary()  # the lab matches levels and then measures them
_mos_lock = threading.Lock()  # the package loads its network into a global on first use


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
        Measure("stoi", "STOI", "", "higher", "about 0 to 1", "Taal et al., IEEE TASLP 2011; at 10 kHz"),
        Measure("pesq_wb", "PESQ-WB", "MOS-LQO", "higher", "1.04 to 4.64", "ITU-T P.862.2; at 16 kHz, by pesq"),
        Measure(
            "mos", "Predicted MOS", "", "higher", "1 to 5", "DNSMOS P.835, Reddy et al., ICASSP 2022; by speechmos"
        ),
        Measure("loudness_change", "Loudness change", "LU", "nearer to 0", "no bounds", "ITU-R BS.1770-4"),
    )
}
SPECTRAL, SPECTRAL_16K = frozenset({"stft", "log_mel"}), frozenset({"stft_16k", "log_mel_16k"})  # from one look each
QUICK = tuple(key for key in MEASURES if key not in ("pesq_wb", "mos"))


class Reference:
    """The sound that went in, ready to be compared with any number of codecs' versions of it.

    What depends on it alone is computed once, when first asked for. `prepare` does so ahead, which several threads
    that work on `parts` at once need: none of it is locked.
    """

    def __init__(self, audio: Audio) -> None:
        self.audio = audio.mono()

    def prepare(self, keys: tuple[str, ...]) -> list[Callable[[], Any]]:
        """What these measures need of the reference, as pieces of work that may run side by side."""
        if _why_not_measured(self.audio, self.audio):
            return []
        at_16k = self._at_16k  # two of the pieces need it
        spectra: list[tuple[frozenset[str], Callable[[], Any]]] = [
            (SPECTRAL, self._spectra.prepare),
            (SPECTRAL_16K, self._spectra_16k.prepare),
        ]
        if at_16k is self.audio:  # both bands are one
            spectra = [(SPECTRAL | SPECTRAL_16K, self._spectra.prepare)]
        needed = [
            *spectra,
            (frozenset({"stoi"}), lambda: self._intelligible if _why_no_stoi(at_16k) == "" else None),
            (frozenset({"loudness_change"}), lambda: self._loudness),
        ]
        return [work for given, work in needed if given & set(keys)]

    def scores(self, decoded: Audio, keys: tuple[str, ...] = tuple(MEASURES)) -> dict[str, Score]:
        """Measure one version.

        Full-band measures are taken at the reference's own rate: a codec that stops at 8 kHz pays for the highs it
        lost. Those "at 16 kHz" compare only what both can carry.

        Args:
            decoded: Any rate and length; resampled to the reference's rate and cut or padded to its length.
            keys: Which of `MEASURES`.
        """
        found = {key: score for part in self.parts(decoded, keys) for key, score in part().items()}
        return {key: found[key] for key in keys}

    def parts(self, decoded: Audio, keys: tuple[str, ...]) -> list[Callable[[], dict[str, Score]]]:
        """The same as pieces of work that may run side by side, each giving some of the scores.

        The version is resampled at once, and held until all of them are done.
        """
        sound = decoded.mono()
        full = fitted(sound.resampled(self.audio.sample_rate), self.audio.length)
        if why := _why_not_measured(self.audio, full):
            return [lambda: {key: Score(None, why) for key in keys}]
        limited = self._at_16k
        same = limited.sample_rate == full.sample_rate  # else from the codec's own sound: resampled once, not twice
        at_16k = full if same else fitted(sound.resampled(limited.sample_rate), limited.length)
        parts: list[tuple[Set[str], Callable[[], dict[str, Score]]]] = [
            (SPECTRAL, lambda: _spectral(distances(self._spectra, full), "")),
            (SPECTRAL_16K, lambda: _spectral(distances(self._spectra_16k, at_16k), "_16k")),
            ({"si_sdr"}, lambda: {"si_sdr": Score(si_sdr_db(self.audio.samples[0], full.samples[0]))}),
            ({"si_sdr_16k"}, lambda: {"si_sdr_16k": Score(si_sdr_db(self._at_16k.samples[0], at_16k.samples[0]))}),
            ({"stoi"}, lambda: {"stoi": self._stoi(at_16k)}),
            ({"loudness_change"}, lambda: {"loudness_change": _change(self._loudness, loudness_lufs(full))}),
            ({"pesq_wb"}, lambda: {"pesq_wb": pesq_wb(self._at_16k, at_16k)}),
            ({"mos"}, lambda: {"mos": predicted_mos(at_16k)}),
        ]
        if at_16k is full:  # both bands are one

            def in_both_bands() -> dict[str, Score]:
                found = distances(self._spectra, full)
                return _spectral(found, "") | _spectral(found, "_16k")

            parts[:2] = [(SPECTRAL | SPECTRAL_16K, in_both_bands)]
        return [work for given, work in parts if given & set(keys)]

    def own_scores(self, keys: tuple[str, ...] = tuple(MEASURES)) -> dict[str, Score]:
        """What the reference itself gets: the best there is by definition, and what is predicted of it alone."""
        if why := _why_not_measured(self.audio, self.audio):
            return {key: Score(None, why) for key in keys}
        equal = {"si_sdr": math.inf, "stft": 0.0, "log_mel": 0.0}
        own: dict[str, Callable[[], Score]] = {
            "stoi": lambda: self._stoi(self._at_16k),
            "pesq_wb": lambda: pesq_wb(self._at_16k, self._at_16k),
            "mos": lambda: predicted_mos(self._at_16k),
            "loudness_change": lambda: _change(self._loudness, self._loudness),
        }
        return {key: own[key]() if key in own else Score(equal[key.removesuffix("_16k")]) for key in keys}

    def _stoi(self, version: Audio) -> Score:
        """STOI (studio/lab/stoi.py), of sound at 16 kHz: it looks at 10 kHz, so nothing is lost."""
        if why := _why_no_stoi(self._at_16k):
            return Score(None, why)
        value = self._intelligible.of(version)
        return Score(value, "" if value is not None else "too little speech between the pauses")

    @cached_property
    def _at_16k(self) -> Audio:
        return self.audio.resampled(min(LIMITED_RATE, self.audio.sample_rate))

    @cached_property
    def _spectra(self) -> Spectra:
        return Spectra(self.audio)

    @cached_property
    def _spectra_16k(self) -> Spectra:
        return self._spectra if self._at_16k is self.audio else Spectra(self._at_16k)

    @cached_property
    def _intelligible(self) -> StoiReference:
        return StoiReference(self._at_16k)

    @cached_property
    def _loudness(self) -> Score:
        return loudness_lufs(self.audio)


def _spectral(found: Distances, band: str) -> dict[str, Score]:
    return {f"stft{band}": Score(found.stft), f"log_mel{band}": Score(found.log_mel)}


def fitted(audio: Audio, length: int) -> Audio:
    """Cut, or padded with silence at the end, to a number of samples."""
    if audio.length == length:
        return audio
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


def _why_no_stoi(reference: Audio) -> str:
    return f"shorter than {SHORTEST_STOI_SECONDS:g} s" if reference.duration_seconds < SHORTEST_STOI_SECONDS else ""


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


def predicted_mos(version: Audio) -> Score:
    """Mean opinion score as a network predicts it from the version alone: it can be high where the words are wrong.

    Source: DNSMOS P.835 overall (Reddy, Gopal, Cutler, ICASSP 2022) by the package `speechmos` (optional; its weights
    come with it). Range: 1 to 5. Higher is better. At 16 kHz; sound under 9 s is repeated up to that length.
    """
    try:
        dnsmos = importlib.import_module("speechmos.dnsmos")
    except ImportError as problem:  # of the package, or of onnxruntime, which it does not ask for
        return Score(None, f"the package {(problem.name or 'speechmos').split('.')[0]} is not installed")
    if version.sample_rate != LIMITED_RATE:
        return Score(None, "recorded below 16 kHz")
    if version.peak < SILENT_PEAK:
        return Score(None, "the codec gave silence")  # it would call silence fair
    if version.duration_seconds < SHORTEST_MOS_SECONDS:
        return Score(None, f"shorter than {SHORTEST_MOS_SECONDS:g} s")  # repeated up to 9 s it is no speech any more
    with _mos_lock:
        return Score(float(dnsmos.run(np.clip(version.samples[0], -1, 1), LIMITED_RATE)["ovrl_mos"]))


def loudness_lufs(audio: Audio) -> Score:
    """Integrated loudness.

    Source: ITU-R BS.1770-4 by `pyloudnorm`. Unit: LUFS. Range: -70 (its absolute gate) to about 0; no better direction.
    Shorter than one gating block (0.4 s) or below the gate there is none.
    """
    if audio.duration_seconds < SHORTEST_LOUDNESS_SECONDS:
        return Score(None, f"shorter than {SHORTEST_LOUDNESS_SECONDS:g} s")
    loudness = _loudness.get(audio)
    if loudness is None:
        import pyloudnorm

        meter = pyloudnorm.Meter(audio.sample_rate)
        loudness = _loudness[audio] = float(meter.integrated_loudness(audio.samples.T.astype(np.float64)))
    return Score(loudness) if math.isfinite(loudness) else Score(None, "below -70 LUFS")


def _change(before: Score, after: Score) -> Score:
    """How much louder the version is. Source: as `loudness_lufs`. Unit: LU. Nearer to 0 is better."""
    if before.value is None or after.value is None:
        return before if before.value is None else Score(None, f"the codec's sound is {after.reason}")
    return Score(after.value - before.value)
