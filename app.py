"""Higgs Studio: `make run`, or `python app.py`. Arguments, loading, wiring, serving.

The only file that sees both the models and the page. `demo` stands at module level for Spaces.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

try:
    import spaces  # on a ZeroGPU Space; must come before torch
except ImportError:
    spaces = None

import gradio as gr

from studio.checkpoints import find_checkpoint
from studio.conversation import Conversation
from studio.engine.local import LocalEngine
from studio.errors import StudioError
from studio.presets import load_presets
from studio.sampling import Sampling
from studio.serve.jobs import Jobs
from studio.serve.web import web_parts
from studio.settings import add_engine_arguments
from studio.speech import Progress, Way
from studio.takes import Reading
from studio.ui.page import build_page, look
from studio.ui.studio import Studio
from studio.voices import VoiceLibrary
from studio.workspace import Workspace

ROOT = Path(__file__).parent
UPLOAD_LIMIT = "25mb"
GPU_SECONDS_PER_CHARACTER, GPU_SECONDS_TO_START = 0.08, 15


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_engine_arguments(parser)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("HIGGS_DATA", Path.home() / ".cache" / "higgs-studio"),
        help="where visitors' voices and results are kept for a day (HIGGS_DATA)",
    )
    started_here = __name__ == "__main__"
    return parser.parse_args() if started_here else parser.parse_args([])


def _gpu_seconds(conversations: Sequence[Conversation], *_: object) -> int:
    characters = sum(len(conversation.text) for conversation in conversations)
    return GPU_SECONDS_TO_START + round(GPU_SECONDS_PER_CHARACTER * characters)


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


def _studio(settings: argparse.Namespace) -> Studio:
    checkpoint = engine.checkpoint
    tokenizer = find_checkpoint(settings.tokenizer or checkpoint.tokenizer, "tokenizer")
    own_voices = Workspace(Path(settings.data) / "voices")
    readings = Workspace(Path(settings.data) / "readings")
    for workspace in (own_voices, readings):
        workspace.sweep()
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
    )


try:
    settings = _arguments()
    engine = LocalEngine.load(
        find_checkpoint(settings.checkpoint, "generation"),
        tokenizer=settings.tokenizer,
        device=settings.device,
        dtype=settings.dtype,
        say=print,
    )
    studio = _studio(settings)
except StudioError as problem:
    sys.exit(f"Higgs Studio: {problem}")
demo: gr.Blocks = build_page(studio)

if __name__ == "__main__":
    server_name = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    demo.queue(default_concurrency_limit=4, max_size=64).launch(
        max_file_size=UPLOAD_LIMIT,
        show_error=False,
        run_history=False,  # visitors' voices do not belong into a browser's history
        footer_links=["api", "settings"],
        app_kwargs=web_parts(studio.readings, server_name, os.environ.get("HIGGS_ALLOWED_HOSTS", "")),
        **look(),
    )
