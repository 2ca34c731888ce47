"""Compare codecs on the same clips: each at its settings, timed, then measured, one result after the other.

Codecs are handed in. A neural codec encodes a clip once for all its settings: fewer codebooks are a prefix of the
same codes.
"""

import csv
import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import pandas as pd
from threadpoolctl import threadpool_limits

from studio.audio import Audio
from studio.codes import Codes
from studio.lab.metrics import MEASURES, Reference, Score, fitted

ORIGINAL = "Original"
SHORTEST_CLIP_SECONDS = 0.05  # of a recording that is compared, or encoded
MOST_AT_ONCE = 4  # pieces of measuring, and versions resampled for them: 15 MB each for a minute at 48 kHz
FIRST_CHARACTERS_OF_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class Encoded(Protocol):
    """What a codec makes of sound: `Codes`, or packets of a classic codec."""

    @property
    def bitrate_kbps(self) -> float:
        """Bits spent, over the sound's length."""

    @property
    def duration_seconds(self) -> float:
        """Length of the sound."""


class Codec(Protocol):
    """The interface of every codec. Neural ones also have `codebooks`, `codebook_size` and `frame_rate`."""

    name: str
    sample_rate: int  # Hz, of what it decodes (the highest, where that follows the input)

    def encode(self, audio: Audio) -> Any:
        """Sound to `Codes` or packets."""

    def decode(self, encoded: Any) -> Audio:
        """What `encode` gave, to sound."""


@dataclass(frozen=True)
class Setting:
    """A codec, and for one with several codebooks how many of them are used (all by default)."""

    codec: Codec
    codebooks: int | None = None
    checkpoint: str = ""  # whose weights these are; a codec without any has none

    @property
    def label(self) -> str:
        """The codec's name, with its codebooks where they are chosen."""
        if self.codebooks is None:
            return self.codec.name
        return f"{self.codec.name}, {self.codebooks} codebook{'s' if self.codebooks > 1 else ''}"


@dataclass(frozen=True, eq=False)
class Result:
    """One setting on one clip."""

    clip: str
    setting: Setting
    encoded: Encoded
    audio: Audio  # mono, at the rate the codec gave, as long as the clip
    seconds: float  # length of the clip
    encode_ms: float  # shared by settings that share an encode
    decode_ms: float
    scores: Mapping[str, Score] = field(default_factory=dict)

    @property
    def codes(self) -> Codes | None:
        """The codes, of a codec that has them."""
        return self.encoded if isinstance(self.encoded, Codes) else None

    @property
    def rtf(self) -> float:
        """Real-time factor of a round trip: compute seconds over audio seconds."""
        return (self.encode_ms + self.decode_ms) / 1000 / self.seconds if self.seconds else float("nan")

    @property
    def without_sound(self) -> "Result":
        """The same figures, for a long list of them: an empty sound of the same rate."""
        return replace(self, audio=Audio(self.audio.samples[:, :0], self.audio.sample_rate))

    @property
    def limited_to_khz(self) -> float:
        """The highest frequency that can come out, by the sample rate alone."""
        return self.audio.sample_rate / 2000


def compare(
    clips: Mapping[str, Audio], settings: Sequence[Setting], keys: tuple[str, ...] = tuple(MEASURES)
) -> Iterator[Result]:
    """Run every setting on every clip and measure what came out. Stop by no longer asking.

    There are `len(clips) * len(settings)` results, clip by clip in the settings' order. All codecs are done with a
    clip before its measures begin, so neither falsifies the other's time.

    Args:
        clips: Sound by the name it is shown under, any rate and channels; mixed to mono.
        settings: What to compare.
        keys: Which of `MEASURES`; none leaves `scores` empty.
    """
    for name, clip in clips.items():
        results = coded(name, clip, settings, run_codecs(clip, settings))
        yield from measured(Reference(clip), list(results), keys) if keys else results


@dataclass(frozen=True, eq=False)
class Original:
    """A clip as it went in, as a row beside its versions: it costs no codec, and its scores are the best there are."""

    clip: str
    sample_rate: int  # Hz
    scores: Mapping[str, Score]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one setting made of one clip, without the codec itself: this is what travels between processes."""

    encoded: Any  # `Codes` or packets
    audio: Audio  # mono, at the rate the codec gave, as long as the clip
    encode_ms: float
    decode_ms: float


def run_codecs(clip: Audio, settings: Sequence[Setting]) -> Iterator[Outcome]:
    """Encode and decode a clip by each setting, in their order. Nothing is encoded or decoded twice.

    Times are wall-clock, resampling to and from the codec's rate included, with nothing else running meanwhile; a
    model's first call after loading is slower than later ones.
    """
    original = clip.mono()
    encoded_once: dict[int, tuple[Any, float]] = {}
    decoded_once: dict[tuple[int, int | None], Outcome] = {}
    for setting in settings:
        codec = setting.codec
        if id(codec) not in encoded_once:
            encoded_once[id(codec)] = _timed(codec.encode, original)
        encoded, encode_ms = encoded_once[id(codec)]
        if setting.codebooks is not None:
            encoded = encoded.first_codebooks(setting.codebooks)
        rung = (id(codec), encoded.codebooks if isinstance(encoded, Codes) else None)
        if rung not in decoded_once:
            sound, decode_ms = _timed(codec.decode, encoded)
            decoded_once[rung] = Outcome(encoded, _cut(sound, original), encode_ms, decode_ms)
        yield decoded_once[rung]


def coded(name: str, clip: Audio, settings: Sequence[Setting], outcomes: Iterable[Outcome]) -> Iterator[Result]:
    """What `run_codecs` gave of a clip, as results that are not measured yet."""
    for setting, one in zip(settings, outcomes, strict=True):
        seconds = clip.duration_seconds
        yield Result(name, setting, one.encoded, one.audio, seconds, one.encode_ms, one.decode_ms)


def measured(reference: Reference, results: Sequence[Result], keys: tuple[str, ...]) -> Iterator[Result]:
    """The same results with their scores, in their order, each as soon as it is there; several at once.

    Only one such comparison may be under way in a process: numpy's own threads are turned off meanwhile, for all of it.

    Args:
        reference: What went in.
        results: What came out of it.
        keys: Which of `MEASURES`.
    """
    # numpy's own threads would spin beside ours after each product of some microseconds: twice the time for all.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(MOST_AT_ONCE, os.cpu_count() or 1)) as pool:
        try:
            for work in [pool.submit(work) for work in reference.prepare(keys)]:
                work.result()
            ahead: deque[tuple[Result, list[Future[dict[str, Score]]]]] = deque()
            waiting = iter(results)
            while True:
                for result in islice(waiting, MOST_AT_ONCE - len(ahead)):
                    ahead.append((result, [pool.submit(part) for part in reference.parts(result.audio, keys)]))
                if not ahead:
                    return
                result, parts = ahead.popleft()
                found = {key: score for part in parts for key, score in part.result().items()}
                yield replace(result, scores={key: found[key] for key in keys})
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # nobody wants the rest


def _timed(run: Any, argument: Any) -> tuple[Any, float]:
    """What a call gave, and how many milliseconds it took (results arrive on the CPU, so a GPU has finished)."""
    start = time.perf_counter()
    outcome = run(argument)
    return outcome, 1000 * (time.perf_counter() - start)


def _cut(sound: Audio, original: Audio) -> Audio:
    """Whole frames cut, or padded, to the clip's own length."""
    length = round(original.duration_seconds * sound.sample_rate)
    return fitted(sound, length)


def ladder(codec: Any) -> list[Setting]:
    """Every number of codebooks, from 1 to all."""
    return [Setting(codec, count) for count in range(1, codec.codebooks + 1)]


def bandwidths(codec: Any) -> list[Setting]:
    """The bandwidths a codec was made for (its `bandwidths_kbps`), as numbers of codebooks."""
    kbps_each = _kbps_of_one_codebook(codec)
    return [Setting(codec, max(1, int(kbps / kbps_each + 1e-6))) for kbps in codec.bandwidths_kbps]


def same_bitrate(ladder_codec: Any, fixed_codec: Any, *others: Codec) -> list[Setting]:
    """A codec with a ladder at the rung nearest to another's bitrate, that other, and what else is to stand by.

    Higgs beside X-Codec2 (0.8 kbit/s) gives 3 codebooks (0.75); Opus at its lowest takes several times as much.
    """
    target_kbps = fixed_codec.codebooks * _kbps_of_one_codebook(fixed_codec)
    nearest = round(target_kbps / _kbps_of_one_codebook(ladder_codec))
    count = min(ladder_codec.codebooks, max(1, nearest))
    return [Setting(ladder_codec, count), Setting(fixed_codec), *(Setting(other) for other in others)]


def _kbps_of_one_codebook(codec: Any) -> float:
    return float(math.log2(codec.codebook_size) * codec.frame_rate / 1000)


def as_table(results: Iterable[Result | Original]) -> pd.DataFrame:
    """One row a result, units in the column names. A measure that could not be taken is NaN, its reason in "notes"."""
    return pd.DataFrame([_row(result) for result in results], columns=COLUMNS)


def as_csv(results: Iterable[Result | Original]) -> str:
    """The table as CSV, with "n/a" where there is no value."""
    table = as_table(results)
    for column in ("clip", "codec", "checkpoint", "notes"):
        table[column] = table[column].map(no_formula)
    return str(table.to_csv(index=False, na_rep="n/a", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"))


def no_formula(text: str) -> str:
    """Text a spreadsheet will not run: a name may come from a stranger."""
    return "'" + text if text.startswith(FIRST_CHARACTERS_OF_FORMULAS) else text


COLUMNS = [
    "clip",
    "codec",
    "bitrate (kbit/s)",
    "entropy (kbit/s)",
    "codebooks",
    "frame rate (Hz)",
    "sample rate (Hz)",
    "encode (ms)",
    "decode (ms)",
    "RTF",
    *(measure.column for measure in MEASURES.values()),
    "checkpoint",
    "notes",
]


def _row(result: Result | Original) -> dict[str, Any]:
    scores = {
        MEASURES[key].column: math.nan if score.value is None else score.value for key, score in result.scores.items()
    }
    missing = {key: score.reason for key, score in result.scores.items() if score.value is None}
    notes = "; ".join(f"{MEASURES[key].title} n/a: {reason}" for key, reason in missing.items())
    row = {"clip": result.clip, **scores, "notes": notes}
    if isinstance(result, Original):
        return row | {"codec": ORIGINAL, "checkpoint": "", "sample rate (Hz)": result.sample_rate}
    codes = result.codes
    return row | {
        "codec": result.setting.label,
        "checkpoint": result.setting.checkpoint,
        "bitrate (kbit/s)": result.encoded.bitrate_kbps,
        "entropy (kbit/s)": codes.entropy_kbps if codes else None,
        "codebooks": codes.codebooks if codes else None,
        "frame rate (Hz)": codes.frame_rate if codes else None,
        "sample rate (Hz)": result.audio.sample_rate,
        "encode (ms)": result.encode_ms,
        "decode (ms)": result.decode_ms,
        "RTF": result.rtf,
    }
