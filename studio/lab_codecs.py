"""The codecs of the lab: what is offered, and the work on them, here or (on ZeroGPU) by a double that has the GPU.

What goes to a double and comes back is pickled, so it is keys, sound and codes, never a codec.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

from studio.audio import Audio
from studio.checkpoints import Checkpoint, locate
from studio.codecs.classic import Mp3, Opus, Pcm16
from studio.codecs.higgs import HiggsCodec
from studio.codecs.xcodec2 import XCodec2
from studio.codes import Codes
from studio.lab.compare import Outcome, run_codecs
from studio.ui.offers import CodecFamily, Offer, family_for, offered

OPUS_KBPS, MP3_KBPS, PCM_RATES = (6, 12, 24), (16, 32, 64), (8_000, 16_000)
GPU_SECONDS_TO_START, GPU_SECONDS_A_SECOND, MOST_GPU_SECONDS = 10, 0.5, 120

Work = TypeVar("Work", bound=Callable[..., Any])


def lab_gpu_seconds(sound: Audio | Codes, *_: object) -> int:
    """How long a piece of the lab's work may keep a GPU."""
    wanted = GPU_SECONDS_TO_START + GPU_SECONDS_A_SECOND * sound.duration_seconds
    return min(MOST_GPU_SECONDS, round(wanted))


class LabCodecs:
    """The lab's work on codecs. Codecs are loaded here, before any double is asked, which would lose them again."""

    def __init__(self, families: Sequence[CodecFamily], on_gpu: Callable[[Any], Any] = lambda work: work) -> None:
        """Wrap the work by `on_gpu`: on ZeroGPU `spaces.GPU(…)`, elsewhere nothing."""
        self.families: Sequence[CodecFamily] = tuple(families)
        self._encode, self._decode, self._run = map(on_gpu, (self._encode_here, self._decode_here, self._run_here))

    def encode(self, sound: Audio, key: str) -> Codes:
        """Codes of a sound by a neural codec's setting."""
        self._load([key])
        codes: Codes = self._encode(sound, key)
        return codes

    def decode(self, codes: Codes, without: Collection[int] = ()) -> Audio:
        """Sound of codes, by whichever codec fits; `without` some codebooks (from 0).

        Raises:
            StudioError: none fits.
        """
        sound: Audio = self._decode(codes, family_for(self.families, codes).key, tuple(without))
        return sound

    def run(self, clip: Audio, keys: Sequence[str]) -> Iterator[Outcome]:
        """A clip by each of these settings, in the families' order, timed where the work is done."""
        self._load(keys)
        yield from self._run(clip, tuple(keys))

    def _load(self, keys: Sequence[str]) -> None:
        for _, offer in offered(self.families, keys):
            offer.load()

    def _encode_here(self, sound: Audio, key: str) -> Codes:
        [(_, offer)] = offered(self.families, [key])
        codes: Codes = offer.load().encode(sound)
        return codes if offer.codebooks is None else codes.first_codebooks(offer.codebooks)

    def _decode_here(self, codes: Codes, family: str, without: tuple[int, ...]) -> Audio:
        codec = next(one for one in self.families if one.key == family).load()
        sound: Audio = codec.decode(codes, without=without) if without else codec.decode(codes)
        return sound

    def _run_here(self, clip: Audio, keys: tuple[str, ...]) -> Iterator[Outcome]:
        yield from run_codecs(clip, [offer.setting for _, offer in offered(self.families, keys)])


def higgs_family(codec: HiggsCodec, checkpoint: Checkpoint) -> CodecFamily:
    """The resident tokenizer, by numbers of codebooks."""
    kbps = codec.frame_rate * (codec.codebook_size - 1).bit_length() / 1000
    offers = (
        Offer(f"higgs-{count}", f"{count} · {count * kbps:g} kbit/s", lambda: codec, count, checkpoint.source)
        for count in range(1, codec.codebooks + 1)
    )
    about = f"{codec.sample_rate / 1000:g} kHz, by codebooks · {checkpoint.title} · licence: {checkpoint.licence}"
    return CodecFamily("higgs", "Higgs Audio V2 tokenizer", about, tuple(offers), checkpoint.source, neural=True)


def xcodec2_family(checkpoint: Checkpoint, device: str) -> CodecFamily:
    """X-Codec2, loaded when first asked for."""

    @cache
    def load() -> XCodec2:
        return XCodec2.load(locate(checkpoint, print), device)

    about = f"16 kHz, one codebook · {checkpoint.title} · licence: {checkpoint.licence}"
    offer = Offer("xcodec2", "0.8 kbit/s", load, checkpoint=checkpoint.source)
    return CodecFamily("xcodec2", "X-Codec2", about, (offer,), checkpoint.source, neural=True)


def classic_families() -> list[CodecFamily]:
    """Codecs everybody knows, each bitrate one codec of its own."""

    def offer(key: str, label: str, codec: Opus | Mp3 | Pcm16) -> Offer:
        return Offer(key, label, lambda: codec)

    opus = tuple(offer(f"opus-{kbps}", f"{kbps} kbit/s", Opus(kbps)) for kbps in OPUS_KBPS)
    mp3 = tuple(offer(f"mp3-{kbps}", f"{kbps} kbit/s", Mp3(kbps)) for kbps in MP3_KBPS)
    pcm = tuple(
        offer(f"pcm-{rate // 1000}", f"{rate // 1000} kHz · {rate * 16 // 1000} kbit/s", Pcm16(rate))
        for rate in PCM_RATES
    )
    return [
        CodecFamily("opus", "Opus", "speech and music of the web, by libopus", opus),
        CodecFamily("mp3", "MP3", "by LAME", mp3),
        CodecFamily("pcm", "16-bit PCM", "uncompressed, limited to a sample rate", pcm),
    ]
