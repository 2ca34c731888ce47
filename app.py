"""Higgs Studio: `make run`, or `python app.py`. Arguments, loading, wiring, serving.

The only file that sees both the models and the page. `demo` stands at module level for Spaces.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads that spin starve a busy machine

try:
    import spaces  # on a ZeroGPU Space; must come before torch
except ImportError:
    spaces = None

from studio.checkpoints import CHECKPOINTS, Checkpoint, find_checkpoint, locate, tokenizer_of
from studio.errors import StudioError
from studio.settings import add_engine_arguments
from studio.workspace import Workspace


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_engine_arguments(parser)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("HIGGS_DATA") or "~/.cache/higgs-studio",
        help="where visitors' voices and results are kept for a day (HIGGS_DATA)",
    )
    parser.add_argument(
        "--xcodec2",
        default=os.environ.get("HIGGS_XCODEC2", ""),
        help="X-Codec2 for the codec lab: xcodec2-mini (bundled, if it is there), xcodec2, a directory, or "
        "OWNER/NAME@COMMIT (HIGGS_XCODEC2)",
    )
    started_here = __name__ == "__main__"
    return parser.parse_args() if started_here else parser.parse_args([])


try:  # what is missing is said at once: torch and Gradio take seconds to import
    settings = _arguments()
    data = settings.data.expanduser()
    checkpoint = find_checkpoint(settings.checkpoint, "generation")
    tokenizer = tokenizer_of(checkpoint, settings.tokenizer)
    for needed in (checkpoint, tokenizer):
        locate(needed, print)
    own_voices, readings, uploads = (Workspace(data / name) for name in ("voices", "readings", "uploads"))
    for workspace in (own_voices, readings, uploads):
        workspace.sweep()
except StudioError as problem:
    sys.exit(f"Higgs Studio: {problem}")
os.environ.setdefault("GRADIO_TEMP_DIR", str(uploads.root))  # not /tmp: others on the machine may look there

import gradio as gr

from studio.codecs.classic import Mp3, Opus, Pcm16
from studio.codecs.xcodec2 import XCodec2
from studio.conversation import Conversation
from studio.engine.local import LocalEngine
from studio.presets import load_presets
from studio.sampling import Sampling
from studio.serve.jobs import Jobs
from studio.serve.web import web_parts
from studio.speech import Progress, Way
from studio.takes import Reading
from studio.ui.offers import CodecFamily, Offer
from studio.ui.page import build_page, look
from studio.ui.studio import Studio
from studio.voices import VoiceLibrary

ROOT = Path(__file__).parent
UPLOAD_LIMIT = "25mb"
GPU_SECONDS_PER_CHARACTER, GPU_SECONDS_TO_START, MOST_GPU_SECONDS = 0.08, 15, 120


def _gpu_seconds(conversations: Sequence[Conversation], *_: object) -> int:
    characters = sum(len(conversation.text) for conversation in conversations)
    return min(MOST_GPU_SECONDS, GPU_SECONDS_TO_START + round(GPU_SECONDS_PER_CHARACTER * characters))


def speak(
    conversations: Sequence[Conversation],
    sampling: Sampling,
    way: Way,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | list[Reading]]:
    """The one function that needs the GPU; it reaches the engine through the module, as ZeroGPU wants it."""
    yield from engine.speak(conversations, sampling, way, cancelled)


def _speaker() -> Callable[..., Iterator[Progress | list[Reading]]]:
    """`speak`, or on ZeroGPU its double in a forked worker, which no stop flag of ours reaches: closing ends it."""
    if spaces is None or not os.environ.get("SPACES_ZERO_GPU"):
        return speak
    on_gpu = spaces.GPU(duration=_gpu_seconds)(speak)

    def speak_on_zero_gpu(
        conversations: Sequence[Conversation], sampling: Sampling, way: Way, cancelled: Callable[[], bool]
    ) -> Iterator[Progress | list[Reading]]:
        for step in on_gpu(conversations, sampling, way):
            yield step
            if cancelled():
                return

    return speak_on_zero_gpu


OPUS_KBPS, MP3_KBPS, PCM_RATES = (6, 12, 24), (16, 32, 64), (8_000, 16_000)


def _codecs() -> list[CodecFamily]:
    """What the codec lab compares: the resident tokenizer, X-Codec2 if it is here, and codecs everybody knows."""
    families = [_higgs_family(tokenizer)]
    bundled = CHECKPOINTS["xcodec2-mini"]
    if settings.xcodec2:
        families.append(_xcodec2_family(find_checkpoint(settings.xcodec2, "xcodec2")))
    elif bundled.folder and (bundled.folder / "model.safetensors").is_file():
        families.append(_xcodec2_family(bundled))
    return [*families, *_classic_families()]


def _higgs_family(checkpoint: Checkpoint) -> CodecFamily:
    codec = engine.codec
    kbps = codec.frame_rate * (codec.codebook_size - 1).bit_length() / 1000
    offers = (
        Offer(f"higgs-{count}", f"{count} · {count * kbps:g} kbit/s", lambda: codec, count)
        for count in range(1, codec.codebooks + 1)
    )
    about = f"{codec.sample_rate / 1000:g} kHz, by codebooks · {checkpoint.title} · licence: {checkpoint.licence}"
    return CodecFamily("higgs", "Higgs Audio V2 tokenizer", about, tuple(offers), checkpoint.source, neural=True)


def _xcodec2_family(checkpoint: Checkpoint) -> CodecFamily:
    @cache
    def load() -> XCodec2:
        return XCodec2.load(locate(checkpoint, print), engine.device)

    about = f"16 kHz, one codebook · {checkpoint.title} · licence: {checkpoint.licence}"
    offer = Offer("xcodec2", "0.8 kbit/s", load)
    return CodecFamily("xcodec2", "X-Codec2", about, (offer,), checkpoint.source, neural=True)


def _classic_families() -> list[CodecFamily]:
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


def _studio() -> Studio:
    return Studio(
        jobs=Jobs(_speaker()),
        codec=engine.codec,
        codec_title=tokenizer.title,
        codec_licence=tokenizer.licence,
        checkpoint_title=checkpoint.title,
        checkpoint_about=checkpoint.about,
        checkpoint_licence=checkpoint.licence,
        voices=VoiceLibrary(ROOT / "assets" / "voices", own_voices),
        presets=load_presets(),
        readings=readings,
        codecs=_codecs(),
    )


try:
    engine = LocalEngine.load(
        checkpoint, tokenizer=settings.tokenizer, device=settings.device, dtype=settings.dtype, say=print
    )
    studio = _studio()
except StudioError as problem:
    sys.exit(f"Higgs Studio: {problem}")
demo: gr.Blocks = build_page(studio)

if __name__ == "__main__":
    server_name = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    demo.queue(default_concurrency_limit=4, max_size=64).launch(
        max_file_size=UPLOAD_LIMIT,
        show_error=False,
        ssr_mode=False,  # its proxy would not pass our own routes on
        run_history=False,  # visitors' voices do not belong into a browser's history
        footer_links=["api", "settings"],
        app_kwargs=web_parts(studio.readings, server_name, os.environ.get("HIGGS_ALLOWED_HOSTS", "")),
        **look(),
    )
