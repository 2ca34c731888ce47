"""What streaming gives and costs: time to the first sound with it and without, and its price, in one process.

    python -m benchmarks.streaming                 # the bundled checkpoint on the CPU; half a minute
    python -m benchmarks.streaming --rounds 9

JSON on stdout. Figures are medians; both sides are interleaved, so that a busy machine weighs on both alike.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers

from studio.checkpoints import find_checkpoint
from studio.conversation import Conversation, Line, Speaker
from studio.engine.local import LocalEngine
from studio.sampling import Sampling
from studio.settings import add_engine_arguments, engine_options
from studio.speech import Progress, SpeechRequest, SpokenLines
from studio.voice_library import VoiceLibrary
from studio.voices import Voice
from studio.workspace import Workspace

VOICES = Path(__file__).parent.parent / "assets" / "voices"
TEXTS = (
    "I will be back in half an hour, so wait for me at the station.",
    "We have twelve apples left.",
    "The train to the city leaves at nine, and the next one at eleven.",
    "Where did you put the keys?",
)
Run = tuple[float, float, float]  # seconds to the first sound, seconds in all, seconds of audio


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    add_engine_arguments(parser)
    chosen = parser.parse_args()
    checkpoint = find_checkpoint(chosen.checkpoint, "generation")
    engine = LocalEngine.load(
        checkpoint,
        **engine_options(chosen),
    )
    found = {
        "hardware": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {engine.device}",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "checkpoint": checkpoint.source,
        "load_average": os.getloadavg()[0],
    }
    for lines in (1, len(TEXTS)):
        found[f"{lines} line" + "s" * (lines > 1)] = compared(engine, conversation(lines), chosen.rounds)
    json.dump(found, sys.stdout, indent=2)
    print()


def conversation(lines: int) -> Conversation:
    """The first lines of TEXTS, said by two bundled voices in turn."""
    library = VoiceLibrary(VOICES, Workspace(Path(os.environ.get("TMPDIR", "/tmp")) / "higgs-streaming"))
    cast = tuple(Speaker(key, Voice(reference=library.find(f"bundled:{key}").reference)) for key in ("alma", "bruno"))
    return Conversation(tuple(Line(index % 2, text) for index, text in enumerate(TEXTS[:lines])), cast)


def compared(engine: LocalEngine, spoken: Conversation, rounds: int) -> dict[str, float]:
    """Both ways in turn, after one round that is not counted."""
    plain, streamed = [], []
    for round_number in range(rounds + 1):
        both = [run(engine, spoken, stream, Sampling(seed=round_number)) for stream in (False, True)]
        if round_number:
            plain.append(both[0])
            streamed.append(both[1])
    (late, whole, audio), (early, whole_streamed, _) = medians(plain), medians(streamed)
    return {
        "audio_seconds": audio,
        "first_sound_seconds": early,
        "first_sound_seconds_without": late,
        "first_sound_ratio": statistics.median(
            ours[0] / theirs[0] for ours, theirs in zip(streamed, plain, strict=True)
        ),
        "seconds": whole_streamed,
        "seconds_without": whole,
        "overhead_ratio": statistics.median(ours[1] / theirs[1] for ours, theirs in zip(streamed, plain, strict=True)),
    }


def run(engine: LocalEngine, spoken: Conversation, stream: bool, sampling: Sampling) -> Run:
    """Speak once. Without streaming the first sound is the whole."""
    began, first, audio = time.perf_counter(), 0.0, 0.0
    for step in engine.speak(SpeechRequest((spoken,), sampling, stream=stream)):
        now = time.perf_counter() - began
        if isinstance(step, Progress):
            first = first or (now if step.sound else 0.0)
        else:
            audio = seconds_of(step)
            first = first or now
    return first, now, audio


def seconds_of(parts: tuple[SpokenLines, ...]) -> float:
    """Seconds of audio in the best takes."""
    return sum(part.take.seconds for part in parts)


def medians(runs: list[Run]) -> Run:
    """Of each figure."""
    first, whole, audio = (statistics.median(values) for values in zip(*runs, strict=True))
    return first, whole, audio


if __name__ == "__main__":
    main()
