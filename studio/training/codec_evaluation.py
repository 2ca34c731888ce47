"""What a codec does to speech, in figures: STOI, PESQ-WB, log-mel distance, real-time factor."""

import time
from collections.abc import Callable, Iterable
from statistics import fmean

import librosa
import numpy as np

from studio.audio import Audio, read_wav
from studio.training.bundled_voices import FOLDER as BUNDLED_VOICES
from studio.training.corpus import levelled

MEASURED_RATE = 16_000  # Hz: what STOI and wide-band PESQ are made for, or near it
RANGE_DB = 80.0  # log-mel: what lies further under a clip's loudest band counts as silence

RoundTrip = Callable[[Audio], Audio]


def bundled_voices() -> list[Audio]:
    """The references of `assets/voices/`, at their own rate."""
    return [read_wav(path) for path in sorted(BUNDLED_VOICES.glob("*.flac"))]


def log_mel_distance_db(original: np.ndarray, decoded: np.ndarray, sample_rate: int) -> float:
    """Mean absolute difference of 80-band log-mel spectra. Shape: float32 `[N]` twice; in dB."""
    bands = [
        librosa.feature.melspectrogram(y=each, sr=sample_rate, n_fft=1024, hop_length=256, n_mels=80)
        for each in (original, decoded)
    ]
    loudest = float(bands[0].max())
    logs = [10 * np.log10(np.maximum(each, loudest * 10 ** (-RANGE_DB / 10))) for each in bands]
    return float(np.abs(logs[0] - logs[1]).mean())


def clip_figures(original: Audio, decoded: Audio) -> dict[str, float]:
    """Every figure of one clip; needs pystoi and pesq. The clips are cut to the shorter of the two."""
    from pesq import pesq
    from pystoi import stoi

    pair = [each.mono().resampled(MEASURED_RATE).samples[0] for each in (original, decoded)]
    length = min(len(each) for each in pair)
    before, after = (each[:length] for each in pair)
    return {
        "stoi": float(stoi(before, after, MEASURED_RATE)),
        "pesq_wb": float(pesq(MEASURED_RATE, before, after, "wb")),
        "log_mel_db": log_mel_distance_db(before, after, MEASURED_RATE),
    }


def evaluate_codec(clips: Iterable[Audio], round_trip: RoundTrip) -> dict[str, float]:
    """Means over clips, the worst STOI, and seconds spent per second of sound, encoding and decoding.

    `rtf` is by the clock; `cpu_seconds_per_second` adds up all cores and does not mind a busy machine.
    """
    rows: list[dict[str, float]] = []
    spent = worked = sounded = 0.0
    for clip in map(levelled, clips):
        started, worked_before = time.perf_counter(), time.process_time()
        decoded = round_trip(clip)
        spent += time.perf_counter() - started
        worked += time.process_time() - worked_before
        sounded += clip.duration_seconds
        rows.append(clip_figures(clip, decoded))
    means = {key: round(fmean(row[key] for row in rows), 4) for key in rows[0]}
    return means | {
        "stoi_worst": round(min(row["stoi"] for row in rows), 4),
        "rtf": round(spent / sounded, 4),
        "cpu_seconds_per_second": round(worked / sounded, 4),
        "clips": len(rows),
    }
