"""The condition of a recording, in figures: level, clipping, noise, silence, bandwidth, offset, channels, pace."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal

from studio.audio import Audio
from studio.lab.metrics import loudness_lufs

FRAME_SECONDS = 0.02
FLOOR_DBFS = -100.0
TAIL_SECONDS = 0.02  # what counts as the tail
SILENCE_BELOW_SPEECH_DB = 35.0  # a frame so far below loud speech is silent: below a room's decay and breath
ABOVE_NOISE_DB = 6.0  # or so little above the quietest frames, if those are noise
SPEECH_RANGE_DB = 15.0  # speech without pauses: its quietest frames are no noise, and lie within this of its loudest
CEILING = 0.999  # of full scale, or of the recording's own peak where it stays there for samples on end
FLAT_SAMPLES = 4  # so many equal samples at the peak are a flat top, which speech has none of
BANDWIDTH_BELOW_PEAK_DB = 60.0
LETTERS_A_SYLLABLE = 3  # a character of Chinese or Japanese, or a Hangul syllable, takes about as long as three letters


@dataclass(frozen=True)
class Measures:
    """What was measured. Levels in dBFS are RMS."""

    seconds: float
    channels: int
    sample_rate: int  # Hz
    loudness_lufs: float | None  # integrated, ITU-R BS.1770-4; None: too short or too quiet
    peak_dbfs: float
    clipped_share: float  # of all samples
    speech_dbfs: float  # level of its loud frames
    noise_floor_dbfs: float  # level of its quietest frames
    head_silence_seconds: float
    tail_silence_seconds: float
    longest_pause_seconds: float  # within the speech
    silence_share: float  # of its whole length
    tail_dbfs: float  # level of its last 20 ms
    bandwidth_hz: float  # highest frequency within 60 dB of the strongest
    dc_share: float  # of full scale, the larger of the channels, with sign
    correlation: float  # of two channels; 1 for one
    channel_difference_db: float  # left minus right; 0 for one
    letters_a_second: float | None  # None: no transcript

    @property
    def snr_db(self) -> float:
        """Speech over the noise in its pauses."""
        return self.speech_dbfs - self.noise_floor_dbfs


def measure(audio: Audio, transcript: str = "") -> Measures:
    """Measure a recording of at least a tenth of a second, one or two channels."""
    levels = _frame_levels(audio.mono())
    speech = float(np.percentile(levels, 95))
    floor = float(np.percentile(levels, 5))
    head, tail, pause, share = _silences(levels, _silent_below(speech, floor))
    spoken = max(FRAME_SECONDS, audio.duration_seconds - head - tail)
    means = audio.samples.mean(axis=1, dtype=np.float64)
    last = audio.samples[:, -max(1, round(TAIL_SECONDS * audio.sample_rate)) :] - means[:, None]
    correlation, difference = _channels(audio)
    return Measures(
        seconds=audio.duration_seconds,
        channels=audio.channels,
        sample_rate=audio.sample_rate,
        loudness_lufs=loudness_lufs(audio.mono()).value,
        peak_dbfs=20 * math.log10(audio.peak) if audio.peak else FLOOR_DBFS,
        clipped_share=clipped_share(audio),
        speech_dbfs=speech,
        noise_floor_dbfs=floor,
        head_silence_seconds=head,
        tail_silence_seconds=tail,
        longest_pause_seconds=pause,
        silence_share=share,
        tail_dbfs=max(FLOOR_DBFS, Audio(last, audio.sample_rate).mono().rms_dbfs),
        bandwidth_hz=bandwidth_hz(audio.mono()),
        dc_share=float(means[np.argmax(np.abs(means))]),
        correlation=correlation,
        channel_difference_db=difference,
        letters_a_second=letters(transcript) / spoken if transcript.strip() else None,
    )


def _frame_levels(audio: Audio) -> np.ndarray:
    """RMS of frames of 20 ms without their mean, in dBFS, from -100 up. Shape: float64 [frames]."""
    size = max(1, round(FRAME_SECONDS * audio.sample_rate))
    count = max(1, audio.length // size)
    samples = np.resize(audio.samples[0], count * size) if audio.length < size else audio.samples[0, : count * size]
    power = samples.astype(np.float64).reshape(count, size).var(axis=1)
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10)))


def _silent_below(speech_dbfs: float, floor_dbfs: float) -> float:
    """The level under which a frame is silent: far below speech, or hardly above the noise where there is much."""
    above_noise = min(floor_dbfs + ABOVE_NOISE_DB, speech_dbfs - SPEECH_RANGE_DB)
    return max(speech_dbfs - SILENCE_BELOW_SPEECH_DB, above_noise, FLOOR_DBFS + 1)


def _silences(levels: np.ndarray, threshold: float) -> tuple[float, float, float, float]:
    """Silence before and behind, the longest within (seconds), and its share of all."""
    loud = np.flatnonzero(levels > threshold)
    if not len(loud):
        return len(levels) * FRAME_SECONDS, 0.0, 0.0, 1.0
    gaps = np.diff(loud) - 1
    head, tail, pause = (
        float(frames) * FRAME_SECONDS for frames in (loud[0], len(levels) - 1 - loud[-1], gaps.max(initial=0))
    )
    return head, tail, pause, 1 - len(loud) / len(levels)


def clipped_share(audio: Audio) -> float:
    """Share of samples at full scale, or in flat tops at the recording's own peak (clipped, then turned down)."""
    if not audio.peak:
        return 0.0
    magnitude = np.abs(audio.samples)
    at_peak = magnitude >= CEILING * audio.peak
    same = np.abs(np.diff(audio.samples, axis=1)) <= 1e-6
    flat = at_peak[:, 1:] & at_peak[:, :-1] & same
    runs = FLAT_SAMPLES - 1
    topped = np.zeros_like(at_peak)
    if flat.shape[1] >= runs:
        whole = np.lib.stride_tricks.sliding_window_view(flat, runs, axis=1).all(axis=2)
        for offset in range(FLAT_SAMPLES):
            topped[:, offset : offset + whole.shape[1]] |= whole
    return float(np.mean(topped | (magnitude >= CEILING)))


def bandwidth_hz(audio: Audio) -> float:
    """Highest frequency that comes within 60 dB of the strongest, at the moments when it is loudest.

    Frames of 40 ms (Hann); each frequency counts with the 95th percentile of its level over time, so that sibilants,
    which are rare, decide.
    """
    size = min(audio.length, round(2 * FRAME_SECONDS * audio.sample_rate))
    if size < 8 or not audio.peak:
        return 0.0
    frequencies, _, spectrum = scipy.signal.stft(
        audio.samples[0] - audio.samples[0].mean(), audio.sample_rate, nperseg=size, boundary=None
    )
    power = np.percentile(np.square(np.abs(spectrum)), 95, axis=1)
    smooth = scipy.ndimage.uniform_filter1d(power, 5)
    heard = np.flatnonzero(smooth > smooth.max() * 10 ** (-BANDWIDTH_BELOW_PEAK_DB / 10))
    return float(frequencies[heard[-1]]) if len(heard) else 0.0


def _channels(audio: Audio) -> tuple[float, float]:
    """How alike two channels are, and how much louder the left one is (dB)."""
    if audio.channels == 1:
        return 1.0, 0.0
    left, right = audio.samples[:2].astype(np.float64) - audio.samples[:2].mean(axis=1, keepdims=True)
    powers = float(np.mean(left**2)), float(np.mean(right**2))
    least = 10 ** (FLOOR_DBFS / 10)
    both = math.sqrt(powers[0] * powers[1])
    correlation = float(np.mean(left * right)) / both if both > 0 else 0.0
    return correlation, 10 * math.log10(max(powers[0], least) / max(powers[1], least))


def letters(text: str) -> int:
    """How much there is to speak: letters and figures; a CJK character or Hangul syllable counts as three."""
    return sum(LETTERS_A_SYLLABLE if "\u2e80" <= char <= "\ud7ff" else 1 for char in text if char.isalnum())
