"""Speak a preset without a page: `python -m studio.speak presets/1-two-friends.json -o out.wav`.

Prints the facts as JSON. The same engine, prompt and codec as the page's.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from studio.audio import write_wav
from studio.checkpoints import find_checkpoint, locate
from studio.errors import BadSetting, StudioError
from studio.presets import Preset
from studio.sampling import fresh_seed
from studio.settings import add_engine_arguments, engine_options
from studio.speech import SpeechRequest, readings_of
from studio.takes import Reading
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace

VOICES = Path(__file__).parent.parent / "assets" / "voices"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m studio.speak", description=__doc__)
    parser.add_argument("preset", type=Path, help="a preset file, for example presets/1-two-friends.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the WAV file to write")
    parser.add_argument("--seed", type=int, help="the same seed gives the same speech; without one, one is drawn")
    add_engine_arguments(parser)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see app.py
    try:
        readings, memory = _speak(chosen)
        paths = _write(readings, chosen.output)
    except StudioError as problem:
        print(f"studio.speak: {problem}", file=sys.stderr)
        return 1
    facts = [
        reading.facts() | {"peak_memory_gb": round(memory / 1e9, 2), "file": str(path)}
        for reading, path in zip(readings, paths, strict=True)
    ]
    print(json.dumps(facts if len(facts) > 1 else facts[0], indent=2, ensure_ascii=False))
    return 0


def _speak(chosen: argparse.Namespace) -> tuple[list[Reading], int]:
    if chosen.output.suffix.lower() != ".wav":
        raise BadSetting(f"What is written is a WAV file. Give a name that ends in .wav, not {chosen.output.name}.")
    if not chosen.output.parent.is_dir() or chosen.output.is_dir():
        raise BadSetting(f"{chosen.output} is no file that can be written. Give a name in a folder that exists.")
    preset = Preset.read(chosen.preset)
    with tempfile.TemporaryDirectory() as folder:
        conversations = preset.draft.conversations(VoiceLibrary(VOICES, Workspace(Path(folder))))
    seeds = (chosen.seed, preset.seed, fresh_seed())
    sampling = preset.sampling.with_seed(next(seed for seed in seeds if seed is not None))
    checkpoint = find_checkpoint(chosen.checkpoint, "generation")
    locate(checkpoint)  # a missing one is said at once: torch, which comes next, takes seconds to import
    from studio.engine.local import LocalEngine

    engine = LocalEngine.load(
        checkpoint,
        **engine_options(chosen),
        say=lambda text: print(text, file=sys.stderr),
    )
    request = SpeechRequest(tuple(conversations), sampling, preset.draft.way, context=preset.draft.context)
    for step in engine.speak(request):
        if isinstance(step, tuple):
            return readings_of(request, step), engine.peak_memory_bytes
    raise AssertionError("the engine ends with what was heard")


def _write(readings: list[Reading], output: Path) -> list[Path]:
    """One file a reading: OUT.wav, or OUT-1.wav, OUT-2.wav … when there are several."""
    several = len(readings) > 1
    paths = [
        output.with_name(f"{output.stem}-{number}{output.suffix}") if several else output
        for number in range(1, len(readings) + 1)
    ]
    for reading, path in zip(readings, paths, strict=True):
        write_wav(reading.audio, path)
    return paths


if __name__ == "__main__":
    sys.exit(main())
