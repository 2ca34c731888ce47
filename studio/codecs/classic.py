"""Codecs everybody knows, as yardsticks: Opus, MP3 and plain 16-bit PCM, in memory through libsndfile.

They have no codes: `encode(Audio) -> Packets`, `decode(Packets) -> Audio`. A comparison asks `Packets` and `Codes`
alike for `bitrate_kbps` and `duration_seconds`.
"""

import io
from dataclasses import dataclass

import numpy as np
import soundfile

from studio.audio import Audio
from studio.errors import BadSetting

OPUS_KBPS = (6.0, 256.0)  # what libsndfile can ask of libopus, one channel
MP3_KBPS = (8.0, 160.0)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz
MP3_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz
MP3_MPEG1_FROM = 32_000  # Hz: MPEG-1 above, MPEG-2 below, with other ranges of bitrates
MP3_NARROW_KBPS = 64.0  # up to here MP3 is coded at 24 kHz or less, as LAME itself would
MP3_DELAY = 576 + 529  # samples: encoder and decoder delay, where no LAME tag lets the decoder remove them


@dataclass(frozen=True, eq=False)
class Packets:
    """One piece of sound, compressed."""

    data: bytes  # the file, as libsndfile reads it back; raw little-endian samples for PCM
    bits: int  # what the sound takes: the file without Ogg's pages and headers
    length: int  # samples (N) of the sound it was made from, at `sample_rate`
    sample_rate: int  # Hz

    @property
    def duration_seconds(self) -> float:
        """Length of the sound."""
        return self.length / self.sample_rate

    @property
    def bitrate_kbps(self) -> float:
        """The bitrate really spent, not the one asked for; 0 for no sound."""
        return self.bits / self.duration_seconds / 1000 if self.length else 0.0


class Opus:
    """Opus (RFC 6716) at a chosen bitrate, one channel, 20 ms packets, variable bitrate.

    Sound is coded at its own rate where Opus knows it, else at the next higher one. The decoder removes the codec's
    delay; what is left was measured as at most 3 samples at 48 kHz.
    """

    sample_rate = 48_000  # Hz, at most

    def __init__(self, bitrate_kbps: float = OPUS_KBPS[0]) -> None:
        self.bitrate_kbps = _within("Opus", bitrate_kbps, OPUS_KBPS)
        self.name = f"Opus {bitrate_kbps:g} kbit/s"

    def encode(self, audio: Audio) -> Packets:
        """Compress. Any channels, mixed to mono; any rate."""
        mono = audio.mono().resampled(_next_rate(audio.sample_rate, OPUS_RATES))
        # libsndfile maps 0..1 linearly onto 256..6 kbit/s a channel (checked by tests/test_codecs.py).
        level = (OPUS_KBPS[1] - self.bitrate_kbps) / (OPUS_KBPS[1] - OPUS_KBPS[0])
        data = _written(mono, "OGG", "OPUS", level, None)
        return Packets(data, 8 * sum(_ogg_packet_sizes(data)[2:]), mono.length, mono.sample_rate)

    def decode(self, packets: Packets) -> Audio:
        """The sound again, at the rate it was coded at and of the input's length."""
        return _read_back(packets)


class Mp3:
    """MP3 (MPEG-1 and MPEG-2 layer III, by LAME) at a chosen constant bitrate, one channel.

    Up to 64 kbit/s at 24 kHz or the sound's own lower rate; above at the sound's own rate.
    """

    sample_rate = 48_000  # Hz, at most

    def __init__(self, bitrate_kbps: float = 64.0) -> None:
        self.bitrate_kbps = _within("MP3", bitrate_kbps, MP3_KBPS)
        self.name = f"MP3 {bitrate_kbps:g} kbit/s"

    def encode(self, audio: Audio) -> Packets:
        """Compress. Any channels, mixed to mono; any rate."""
        highest = 24_000 if self.bitrate_kbps <= MP3_NARROW_KBPS else 48_000
        mono = audio.mono().resampled(min(highest, _next_rate(audio.sample_rate, MP3_RATES)))
        low, high = (32, 320) if mono.sample_rate >= MP3_MPEG1_FROM else (8, 160)
        level = min((high - self.bitrate_kbps) / (high - low), 0.999)  # at 1.0 libsndfile refuses
        data = _written(mono, "MP3", "MPEG_LAYER_III", level, "CONSTANT")
        return Packets(data, 8 * len(data), mono.length, mono.sample_rate)

    def decode(self, packets: Packets) -> Audio:
        """The sound again, at the rate it was coded at and of the input's length."""
        return _read_back(packets)


class Pcm16:
    """Uncompressed 16-bit PCM limited to a sample rate: what a narrower band alone costs."""

    def __init__(self, sample_rate: int = 16_000) -> None:
        self.sample_rate = sample_rate  # Hz
        self.name = f"16-bit PCM at {sample_rate / 1000:g} kHz"

    def encode(self, audio: Audio) -> Packets:
        """Resample and round, without dither. What exceeds full scale is clipped."""
        mono = audio.mono().resampled(self.sample_rate)
        data = np.clip(np.rint(mono.samples[0] * 32768), -32768, 32767).astype("<i2").tobytes()
        return Packets(data, 8 * len(data), mono.length, mono.sample_rate)

    def decode(self, packets: Packets) -> Audio:
        """The sound again, at the limited rate."""
        return Audio(np.frombuffer(packets.data, "<i2").astype(np.float32)[None] / 32768, packets.sample_rate)


def _within(codec: str, bitrate_kbps: float, limits: tuple[float, float]) -> float:
    if not limits[0] <= bitrate_kbps <= limits[1]:
        raise BadSetting(f"{codec} goes from {limits[0]:g} to {limits[1]:g} kbit/s here, not {bitrate_kbps:g}.")
    return bitrate_kbps


def _next_rate(sample_rate: int, rates: tuple[int, ...]) -> int:
    """The lowest rate that loses nothing; the highest there is for sound above it."""
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


def _written(mono: Audio, container: str, subtype: str, level: float, mode: str | None) -> bytes:
    if mono.length == 0:
        return b""
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer,
        "w",
        samplerate=mono.sample_rate,
        channels=1,
        format=container,
        subtype=subtype,
        compression_level=level,
        bitrate_mode=mode,
    ) as file:
        file.write(mono.samples[0])
    return buffer.getvalue()


def _read_back(packets: Packets) -> Audio:
    if packets.length == 0:
        return Audio(np.zeros((1, 0), np.float32), packets.sample_rate)
    samples, sample_rate = soundfile.read(io.BytesIO(packets.data), dtype="float32")
    if len(samples) > packets.length:  # an MP3 whose frames are too small for LAME's tag: delay and padding are left
        samples = samples[MP3_DELAY:]
    samples = samples[: packets.length]
    return Audio(np.pad(samples, (0, packets.length - len(samples)))[None], sample_rate)


def _ogg_packet_sizes(data: bytes) -> list[int]:
    """Bytes of each packet in an Ogg stream (RFC 3533): Opus puts two headers first."""
    sizes, size, position = [], 0, 0
    while data[position : position + 4] == b"OggS":
        table_end = position + 27 + data[position + 26]
        table = data[position + 27 : table_end]
        for lacing in table:
            size += lacing
            if lacing < 255:
                sizes.append(size)
                size = 0
        position = table_end + sum(table)
    return sizes
