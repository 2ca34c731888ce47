"""Speak a table of conversations without a page: `python -m studio.batch conversations.csv -o folder`.

Run again after it was stopped, it goes on with what is missing. The last line of its output is the report as JSON.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from studio.batch_queue import REPORT, BatchProgress, batch_archive, read_batch, run_batch
from studio.checkpoints import find_checkpoint, locate
from studio.errors import BadSetting, StudioError
from studio.export.origin import Origin
from studio.export.sounds import FORMS, sound_form
from studio.sampling import HIGHEST_SEED, Sampling
from studio.script_files.reading import decoded
from studio.settings import add_engine_arguments, engine_options
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace

VOICES = Path(__file__).parent.parent / "assets" / "voices"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 if it could not run, 2 if conversations failed."""
    parser = argparse.ArgumentParser(prog="python -m studio.batch", description=__doc__)
    parser.add_argument("table", type=Path, help="CSV with the columns conversation, speaker, text, voice, seed")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder for the files; made if absent")
    parser.add_argument("--seed", type=int, default=0, help="of conversations that have none of their own (0)")
    parser.add_argument(
        "--say", action="append", default=[], metavar="WORD=SPOKEN", help="how a word is spoken; may come again"
    )
    parser.add_argument("--form", default="wav24", help=f"kind of sound files: {', '.join(FORMS)} (wav24)")
    parser.add_argument("--zip", type=Path, help="write all files into this archive as well")
    add_engine_arguments(parser)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see app.py
    try:
        progress = _run(chosen)
    except StudioError as problem:
        print(f"studio.batch: {problem}", file=sys.stderr)
        return 1
    facts = {"conversations": progress.of, "failed": progress.failed, "report": str(chosen.output / REPORT)}
    print(json.dumps(facts, ensure_ascii=False))
    return 2 if progress.failed else 0


def _run(chosen: argparse.Namespace) -> BatchProgress:
    if not 0 <= chosen.seed <= HIGHEST_SEED:
        raise BadSetting(f"The seed must be between 0 and {HIGHEST_SEED}.")
    form = sound_form(chosen.form)
    if not chosen.table.is_file():
        raise BadSetting(f"There is no table {chosen.table}.")
    try:
        chosen.output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BadSetting(f"{chosen.output} cannot be made ({problem.strerror}). Give another folder.") from None
    with tempfile.TemporaryDirectory() as own:
        voices = VoiceLibrary(VOICES, Workspace(Path(own)))
        items = read_batch(decoded(chosen.table, chosen.table.name)[0], voices, (), "\n".join(chosen.say))
        checkpoint = find_checkpoint(chosen.checkpoint, "generation")
        locate(checkpoint)  # a missing one is said at once: torch, which comes next, takes seconds to import
        from studio.engine.local import LocalEngine

        engine = LocalEngine.load(
            checkpoint,
            **engine_options(chosen),
            say=lambda text: print(text, file=sys.stderr),
        )
        origin = Origin(codec=engine.codec.name, licence=checkpoint.licence)
        last = BatchProgress(0, len(items), "")
        for progress in run_batch(chosen.output, items, voices, engine.speak, Sampling(seed=chosen.seed), form, origin):
            if progress.name != last.name:
                print(f"{progress.done} of {progress.of} done. {progress.name}".rstrip(), file=sys.stderr)
            last = progress
    if chosen.zip:
        batch_archive(chosen.zip, chosen.output, items)
    return last


if __name__ == "__main__":
    sys.exit(main())
