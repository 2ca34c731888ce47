"""Higgs Studio: `make run`, or `python app.py`. Arguments, loading, wiring, serving.

The only file that sees both the models and the page. `demo` stands at module level for Spaces.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads that spin starve a busy machine

try:
    import spaces  # on a ZeroGPU Space; must come before torch
except ImportError:
    spaces = None

from studio.checkpoints import CHECKPOINTS, find_checkpoint, locate, tokenizer_of
from studio.errors import StudioError
from studio.serve.port import chosen_port, taken
from studio.settings import add_engine_arguments, engine_options
from studio.workspace import Workspace


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_engine_arguments(parser)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("HIGGS_DATA") or "~/.cache/higgs-studio",
        help="where visitors' voices and results are kept for a day, and projects for two weeks (HIGGS_DATA)",
    )
    parser.add_argument(
        "--voices",
        type=Path,
        default=os.environ.get("HIGGS_VOICES") or None,
        help="a folder where voices are kept for good and listed for everybody; without it they stay with the "
        "visitor who added them, for a day (HIGGS_VOICES)",
    )
    parser.add_argument(
        "--xcodec2",
        default=os.environ.get("HIGGS_XCODEC2", ""),
        help="X-Codec2 for the codec lab: xcodec2-mini (bundled, if it is there), xcodec2, a directory, or "
        "OWNER/NAME@COMMIT (HIGGS_XCODEC2)",
    )
    return parser.parse_args() if STARTED_HERE else parser.parse_args([])


STARTED_HERE = __name__ == "__main__"
PROJECTS_KEPT_SECONDS = 14 * 24 * 3600.0

try:  # what is missing is said at once: torch and Gradio take seconds to import
    settings = _arguments()
    server_name = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    if not os.environ.get("GRADIO_SERVER_PORT"):
        os.environ.pop("GRADIO_SERVER_PORT", None)  # an empty one counts as none; Gradio would fail on it
    port = chosen_port(os.environ.get("GRADIO_SERVER_PORT", ""), server_name, print) if STARTED_HERE else None
    data = settings.data.expanduser()
    checkpoint = find_checkpoint(settings.checkpoint, "generation")
    tokenizer = tokenizer_of(checkpoint, settings.tokenizer)
    for needed in (checkpoint, tokenizer):
        locate(needed, print)
    readings, uploads = (Workspace(data / name) for name in ("readings", "uploads"))
    projects = Workspace(data / "projects", PROJECTS_KEPT_SECONDS)
    own_voices = (
        Workspace(settings.voices.expanduser(), kept_seconds=None, setting="--voices")
        if settings.voices
        else Workspace(data / "voices")
    )
    for workspace in (own_voices, readings, uploads, projects):
        workspace.sweep()
except StudioError as problem:
    sys.exit(f"Higgs Studio: {problem}")
os.environ.setdefault("GRADIO_TEMP_DIR", str(uploads.root))  # not /tmp: others on the machine may look there
if not os.access(Path(__file__).parent / "studio" / "engine", os.W_OK):
    # Compiled kernels are kept beside their source, or else where this process can write.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(data / "kernels"))

import gradio as gr

from studio.engine.local import LocalEngine
from studio.lab import pictures
from studio.lab_codecs import LabCodecs, classic_families, higgs_family, lab_gpu_seconds, xcodec2_family
from studio.presets import load_presets
from studio.project_store import ProjectStore
from studio.recognition import Recogniser
from studio.serve.jobs import Jobs
from studio.serve.speech_api import SpeechApi
from studio.serve.web import web_parts
from studio.speech import Progress, SpeechRequest, SpokenLines
from studio.ui.page import build_page, look
from studio.ui.project_view import ProjectViews
from studio.ui.studio import Studio
from studio.voice_library import VoiceLibrary

ROOT = Path(__file__).parent
UPLOAD_LIMIT = "25mb"
Step = Progress | tuple[SpokenLines, ...]
ON_ZERO_GPU = spaces is not None and bool(os.environ.get("SPACES_ZERO_GPU"))
GPU_SECONDS_PER_CHARACTER, GPU_SECONDS_TO_START, MOST_GPU_SECONDS = 0.08, 15, 120


def _gpu_seconds(request: SpeechRequest, *_: object) -> int:
    characters = max(request.takes, request.most_takes) * sum(
        len(line.text)
        for index, conversation in enumerate(request.conversations)
        for number, line in enumerate(conversation.lines)
        if request.wants(index, number)
    )
    return min(MOST_GPU_SECONDS, GPU_SECONDS_TO_START + round(GPU_SECONDS_PER_CHARACTER * characters))


def speak(request: SpeechRequest, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Step]:
    """The one function that needs the GPU; it reaches the engine through the module, as ZeroGPU wants it."""
    yield from engine.speak(request, cancelled)


def _speaker() -> Callable[..., Iterator[Step]]:
    """`speak`, or on ZeroGPU its double in a forked worker, which no stop flag of ours reaches: closing ends it."""
    if not ON_ZERO_GPU:
        return speak
    on_gpu = spaces.GPU(duration=_gpu_seconds)(speak)

    def speak_on_zero_gpu(request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator[Step]:
        for step in on_gpu(request):
            yield step
            if cancelled():
                return

    return speak_on_zero_gpu


def _lab_codecs() -> LabCodecs:
    """What the codec lab compares: the resident tokenizer, X-Codec2 if it is here, and codecs everybody knows."""
    families = [higgs_family(engine.codec, tokenizer)]
    bundled = CHECKPOINTS["xcodec2-mini"]
    if settings.xcodec2:
        families.append(xcodec2_family(find_checkpoint(settings.xcodec2, "xcodec2"), engine.device))
    elif bundled.folder and (bundled.folder / "model.safetensors").is_file():
        families.append(xcodec2_family(bundled, engine.device))
    families += classic_families()
    return LabCodecs(families, spaces.GPU(duration=lab_gpu_seconds)) if ON_ZERO_GPU else LabCodecs(families)


def _studio() -> Studio:
    recogniser = Recogniser()
    if recogniser.name:
        engine.recognise = recogniser.words  # takes are then judged by their words too
    return Studio(
        jobs=Jobs(_speaker()),
        codec=engine.codec,
        codec_title=tokenizer.title,
        codec_licence=tokenizer.licence,
        checkpoint_title=checkpoint.title,
        checkpoint_about=checkpoint.about,
        checkpoint_licence=checkpoint.licence,
        line_words=checkpoint.line_words,
        voices=VoiceLibrary(
            ROOT / "assets" / "voices", own_voices, shared=bool(settings.voices), copies=readings, forget=engine.forget
        ),
        recogniser=recogniser,
        presets=load_presets(),
        projects=ProjectStore(projects),
        views=ProjectViews(readings, lambda: engine.peak_memory_bytes),
        readings=readings,
        codecs=_lab_codecs(),
    )


def _speech_api() -> SpeechApi:
    return SpeechApi(
        studio.jobs,
        studio.voices,
        checkpoint.key,
        checkpoint.title,
        checkpoint.licence,
        tokenizer.title,
        checkpoint.line_words,
    )


try:
    engine = LocalEngine.load(
        checkpoint,
        **engine_options(settings),
        say=print,
    )
    print("Preparing the spectrograms; the first time on a machine this takes some twenty seconds.")
    pictures.prepare()
    studio = _studio()
except StudioError as problem:
    sys.exit(f"Higgs Studio: {problem}")
demo: gr.Blocks = build_page(studio)

if STARTED_HERE:
    try:
        demo.queue(default_concurrency_limit=4, max_size=64).launch(
            server_name=server_name,
            server_port=port,
            max_file_size=UPLOAD_LIMIT,
            show_error=False,
            ssr_mode=False,  # its proxy would not pass our own routes on
            run_history=False,  # visitors' voices do not belong into a browser's history
            footer_links=["api", "settings"],
            app_kwargs=web_parts(
                (readings, projects),
                studio.jobs.live,
                server_name,
                os.environ.get("HIGGS_ALLOWED_HOSTS", ""),
                _speech_api().routes(),
            ),
            **look(),
        )
    except OSError as problem:  # somebody else was quicker
        sys.exit(f"Higgs Studio: {taken(port) if port else problem}")
