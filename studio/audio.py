"""Audio: sound as a value, read from files nobody vouches for and written as it is.

Files are looked at by their header before anything is decoded, and decoded in blocks up to a fixed
length, so a small file cannot unfold into gigabytes. Sound is handed on as files written here.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from studio.errors import BadAudio

MAX_UPLOAD_BYTES = 25 * 2**20
MAX_UPLOAD_SECONDS = 60.0
LOWEST_RATE, HIGHEST_RATE = 4_000, 192_000  # Hz
MAX_CHANNELS = 8
SILENCE_DBFS = -60.0
CLIPPED_SHARE = 0.01
LARGEST_DC = 0.01
LOUDEST = 64.0  # 36 dB over full scale: beyond it a float file holds something else than sound
FULL_BAND_RATE = 16_000  # Hz: below it, a note says that the highs are missing
FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "MPEG"}
BLOCK_FRAMES = 65_536
UNKNOWN_FRAMES = 2**62  # libsndfile says as much or more of a header without a length


@dataclass(frozen=True, eq=False)
class Audio:
    """A piece of sound."""

    samples: np.ndarray  # float32 [C, N], nominally -1..1
    sample_rate: int  # Hz

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(np.atleast_2d(self.samples), dtype=np.float32)
        if samples.ndim != 2:
            raise ValueError(f"samples must be [C, N], not {samples.shape}")
        object.__setattr__(self, "samples", samples)

    @property
    def channels(self) -> int:
        """How many channels there are (C)."""
        return self.samples.shape[0]

    @property
    def length(self) -> int:
        """How many samples each channel has (N)."""
        return self.samples.shape[1]

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.length / self.sample_rate

    @property
    def peak(self) -> float:
        """Largest absolute sample; 0 for no samples."""
        return float(np.abs(self.samples).max(initial=0.0))

    @property
    def rms_dbfs(self) -> float:
        """Level in dB relative to full scale (a square wave of 1 is 0 dBFS); -inf for silence."""
        power = float(np.mean(np.square(self.samples, dtype=np.float64))) if self.samples.size else 0.0
        return 10 * float(np.log10(power)) if power > 0 else -float("inf")

    def mono(self) -> "Audio":
        """The mean of all channels. Shape: `[C, N]` to `[1, N]`."""
        return self if self.channels == 1 else Audio(self.samples.mean(axis=0, keepdims=True), self.sample_rate)

    def resampled(self, sample_rate: int) -> "Audio":
        """The same sound at another rate (soxr, "very high" quality). Shape: `[C, N]` to `[C, N']`."""
        if sample_rate == self.sample_rate:
            return self
        converted = soxr.resample(self.samples.T, self.sample_rate, sample_rate, quality="VHQ")
        return Audio(converted.T, sample_rate)

    def between(self, start_seconds: float, stop_seconds: float) -> "Audio":
        """The part from one time to another."""
        start, stop = (round(seconds * self.sample_rate) for seconds in (start_seconds, stop_seconds))
        return Audio(self.samples[:, max(0, start) : stop], self.sample_rate)

    def peaks(self, columns: int) -> np.ndarray:
        """Largest absolute sample of each of `columns` equal stretches, for drawing. Shape: float32 [columns]."""
        magnitude = np.abs(self.samples).max(axis=0) if self.length else np.zeros(1, np.float32)
        columns = max(1, min(columns, magnitude.size))
        edges = np.linspace(0, magnitude.size, columns, endpoint=False).astype(int)
        return np.maximum.reduceat(magnitude, edges)


@dataclass(frozen=True)
class Recording:
    """Sound read from a file, with what had to be said about it."""

    audio: Audio
    notes: tuple[str, ...] = ()


def silence(seconds: float, sample_rate: int) -> Audio:
    """Digital silence, one channel."""
    return Audio(np.zeros((1, round(seconds * sample_rate)), np.float32), sample_rate)


def joined(parts: list[Audio]) -> Audio:
    """Parts of equal rate and channel count, one after another."""
    return Audio(np.concatenate([part.samples for part in parts], axis=1), parts[0].sample_rate)


def write_wav(audio: Audio, path: Path) -> Path:
    """Write 32-bit float WAV: what is read back is bit for bit what was given. Atomic."""
    return _write(audio, path, "WAV", "FLOAT")


def write_flac(audio: Audio, path: Path) -> Path:
    """Write 24-bit FLAC. Atomic."""
    return _write(audio, path, "FLAC", "PCM_24")


def _write(audio: Audio, path: Path, container: str, subtype: str) -> Path:
    part = path.with_name(path.name + ".part")
    soundfile.write(part, audio.samples.T, audio.sample_rate, format=container, subtype=subtype)
    part.replace(path)
    return path


def timeless(wav: bytes) -> bytes:
    """A WAV without the moment of writing, which libsndfile puts behind the version of its PEAK chunk."""
    at = 12
    while at + 16 <= len(wav) and wav[at : at + 4] != b"data":
        if wav[at : at + 4] == b"PEAK":
            return wav[: at + 12] + bytes(4) + wav[at + 16 :]
        at += 8 + (size := int.from_bytes(wav[at + 4 : at + 8], "little")) + size % 2
    return wav


def read_wav(path: Path) -> Audio:
    """Read a file of our own making: no limits, no notes."""
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return Audio(samples.T, sample_rate)


def read_recording(
    path: Path,
    name: str | None = None,
    *,
    shortest_seconds: float = 1.0,
    longest_seconds: float = MAX_UPLOAD_SECONDS,
    as_it_is: bool = False,
) -> Recording:
    """Read a recording from a person: bounded, checked, mono, free of DC.

    Args:
        path: The file.
        name: What the person calls it; the file's own name if absent.
        shortest_seconds: Shorter ones are refused.
        longest_seconds: Longer ones are refused, from the header where it is honest.
        as_it_is: Two channels stay two and an offset stays in, for whoever wants to look at them.

    Returns:
        Audio at the file's own rate, mono unless `as_it_is`, and a note for everything that was repaired or is worth
        knowing.

    Raises:
        BadAudio: with the file's name, what is wrong and what to do.
    """
    shown = shown_name(name or path.name)
    try:
        size = path.stat().st_size
    except OSError:
        raise BadAudio(f"“{shown}” is no longer there. Add it again.") from None
    if size == 0:
        raise BadAudio(f"“{shown}” is empty (0 bytes). Choose another file.")
    if size > MAX_UPLOAD_BYTES:
        raise BadAudio(
            f"“{shown}” has {size / 2**20:.0f} MB; at most {MAX_UPLOAD_BYTES // 2**20} MB are read. Cut it shorter."
        )
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(file, shown, longest_seconds)
            channels, sample_rate = file.channels, file.samplerate
            samples = _read_samples(file, shown, longest_seconds, keep=as_it_is and channels <= 2)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: soundfile asks what is in a file named .raw
        raise BadAudio(_not_read(shown)) from None
    notes = _truncation_note(path, shown)
    if channels > (2 if as_it_is else 1):
        notes.append(f"{channels} channels were mixed to one.")
    if sample_rate < FULL_BAND_RATE:
        notes.append(f"It was recorded at {sample_rate / 1000:g} kHz, so the voice will sound dull.")
    audio = Audio(samples, sample_rate)
    _check_sound(audio, shown, shortest_seconds)
    return Recording(audio, tuple(notes)) if as_it_is else _centred(audio, notes)


def _check_header(file: soundfile.SoundFile, shown: str, longest_seconds: float) -> None:
    """Refuse by the header alone, before anything is decoded."""
    if file.format not in FORMATS:
        raise BadAudio(_not_read(shown))
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise BadAudio(
            f"“{shown}” has a sample rate of {file.samplerate} Hz; "
            f"rates from {LOWEST_RATE // 1000} to {HIGHEST_RATE // 1000} kHz are read."
        )
    if file.channels > MAX_CHANNELS:
        raise BadAudio(f"“{shown}” has {file.channels} channels; at most {MAX_CHANNELS} are read. Mix it down first.")
    if file.frames > UNKNOWN_FRAMES:
        raise BadAudio(f"“{shown}” does not say how long it is. Save it again from your editor, or convert it to WAV.")
    if file.frames > longest_seconds * file.samplerate:
        raise BadAudio(_too_long(shown, file.frames / file.samplerate, longest_seconds))


def _not_read(shown: str) -> str:
    """One sentence for whatever is no sound, or sound in a format nobody here reads: what to do is the same."""
    return f"“{shown}” is no recording the studio can read. Choose WAV, FLAC, Ogg, MP3 or AIFF."


def _too_long(shown: str, seconds: float, longest_seconds: float) -> str:
    length = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    return f"“{shown}” lasts {length}; at most {longest_seconds:.0f} seconds are read. Cut out the part you need."


def _read_samples(file: soundfile.SoundFile, shown: str, longest_seconds: float, *, keep: bool) -> np.ndarray:
    """Decode block by block, mixing down as it goes unless channels are to be kept. Shape: float32 [C, N]."""
    blocks: list[np.ndarray] = []
    frames = 0
    for block in _blocks(file):
        if not np.isfinite(block).all() or np.abs(block).max() > LOUDEST:
            raise BadAudio(
                f"“{shown}” has invalid samples (NaN, infinity or far over full scale). "
                "Export it again from your editor."
            )
        frames += len(block)
        if frames > longest_seconds * file.samplerate:  # a header may say less than there is
            raise BadAudio(_too_long(shown, frames / file.samplerate, longest_seconds))
        blocks.append(block if keep else block.mean(axis=1, keepdims=True))
    return np.concatenate(blocks).T if blocks else np.zeros((1, 0), np.float32)


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block


def _check_sound(audio: Audio, shown: str, shortest_seconds: float) -> None:
    """Refuse what is too short or silent."""
    if audio.duration_seconds < shortest_seconds:
        raise BadAudio(f"“{shown}” lasts {audio.duration_seconds:.2f} s; at least {shortest_seconds:g} s are needed.")
    centred = audio.samples - audio.samples.mean(axis=1, keepdims=True)
    if Audio(centred, audio.sample_rate).rms_dbfs < SILENCE_DBFS:
        raise BadAudio(f"“{shown}” is silent (below {SILENCE_DBFS:.0f} dBFS). Check the microphone or the file.")


def _centred(mono: Audio, notes: list[str]) -> Recording:
    """Without an offset, if it has one worth the name; and what is to be said of clipping."""
    offset = float(mono.samples.mean())
    audio = mono  # nothing to mend: the very samples
    if abs(offset) > LARGEST_DC:
        audio = Audio(mono.samples - np.float32(offset), mono.sample_rate)
        notes.append(f"A DC offset of {offset:+.0%} was removed.")
    clipped = float(np.mean(np.abs(mono.samples) >= 0.999))
    if clipped > CLIPPED_SHARE:
        notes.append(f"{clipped:.0%} of it is clipped; a quieter recording will sound better.")
    return Recording(audio, tuple(notes))


def _truncation_note(path: Path, shown: str) -> list[str]:
    """Say so when a RIFF header promises more bytes than the file has."""
    with path.open("rb") as file:
        head = file.read(8)
    promised = int.from_bytes(head[4:8], "little") + 8
    present = path.stat().st_size
    if head[:4] == b"RIFF" and 8 < present < 0.99 * promised and promised < 2**32 - 256:
        return [f"“{shown}” breaks off: {present / promised:.0%} of what its header says is there."]
    return []


def shown_name(name: str, longest: int = 60) -> str:
    """A file name fit to be shown: no folders, no control or direction characters, not too long."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char for char in base if unicodedata.category(char)[0] != "C").strip() or "file"
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"
