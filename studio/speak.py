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
from studio.checkpoints import find_checkpoint
from studio.errors import BadSetting, StudioError
from studio.presets import Preset
from studio.sampling import fresh_seed
from studio.settings import add_engine_arguments
from studio.takes import Reading
from studio.voices import VoiceLibrary
from studio.workspace import Workspace

VOICES = Path(__file__).parent.parent / "assets" / "voices"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m studio.speak", description=__doc__)
    parser.add_argument("preset", type=Path, help="a preset file, for example presets/1-two-friends.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the WAV file to write")
    parser.add_argument("--seed", type=int, help="another seed than the preset's; -1 draws one")
    add_engine_arguments(parser)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see app.py
    try:
        readings = _speak(chosen)
        paths = _write(readings, chosen.output)
    except StudioError as problem:
        print(f"studio.speak: {problem}", file=sys.stderr)
        return 1
    facts = [reading.facts() | {"file": str(path)} for reading, path in zip(readings, paths, strict=True)]
    print(json.dumps(facts if len(facts) > 1 else facts[0], indent=2, ensure_ascii=False))
    return 0


def _speak(chosen: argparse.Namespace) -> list[Reading]:
    from studio.engine.local import LocalEngine  # torch takes seconds to import; --help need not wait for it

    if not chosen.output.parent.is_dir() or chosen.output.is_dir():
        raise BadSetting(f"{chosen.output} is no file that can be written. Give a name in a folder that exists.")
    preset = Preset.read(chosen.preset)
    with tempfile.TemporaryDirectory() as folder:
        conversations = preset.draft.conversations(VoiceLibrary(VOICES, Workspace(Path(folder))))
    seed = preset.sampling.seed if chosen.seed is None else fresh_seed() if chosen.seed < 0 else chosen.seed
    engine = LocalEngine.load(
        find_checkpoint(chosen.checkpoint, "generation"),
        tokenizer=chosen.tokenizer,
        device=chosen.device,
        dtype=chosen.dtype,
        say=lambda text: print(text, file=sys.stderr),
    )
    for step in engine.speak(conversations, preset.sampling.with_seed(seed), preset.draft.way):
        if isinstance(step, list):
            return step
    raise AssertionError("the engine ends with its readings")


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
