"""A corpus spoken by processes: `python -m studio.training.library_corpus --count 10000 --workers 14`.

The same plan as `make_corpus`, said by espeak-ng's library in as many processes as there are cores, which is ten times
as fast as starting a program for every utterance. Nothing here needs torch: a process is ready in half a second.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio.errors import StudioError
from studio.training.corpus import (
    CACHE,
    Corpus,
    Split,
    Utterance,
    is_whole,
    levelled,
    plan,
    read_corpus,
    recipe_parser,
    trimmed,
    write_corpus,
)
from studio.training.timed_speech import speak_timed


def speak_corpus(
    count: int, sample_rate: int, *, split: Split = "train", seed: int = 0, cache: Path = CACHE, workers: int = 2
) -> Corpus:
    """The corpus of a recipe, from the cache where parts of it are there. All of it is read into memory.

    Raises:
        StudioError: espeak-ng's library is not installed or could not speak.
    """
    folder = cache / f"library-{split}-{count}-{sample_rate}-{seed}-{workers}"
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--count", count, "--sample-rate", sample_rate, "--split", split, "--seed", seed, "--workers", workers]
    command = [
        sys.executable,
        "-m",
        "studio.training.library_corpus",
        "--folder",
        str(folder),
        *map(str, arguments),
        "--part",
    ]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    at_work = [subprocess.Popen([*command, str(part)], env=alone) for part in range(workers)]
    ends = [process.wait() for process in at_work]
    if any(ends):
        raise StudioError("espeak-ng's library could not speak the corpus; what it said stands above.")
    parts = [read_corpus(folder / str(part), sample_rate) for part in range(workers)]
    starts = np.cumsum([0, *(len(part.samples) for part in parts)])
    utterances = tuple(
        replace(each, start=each.start + int(start))
        for part, start in zip(parts, starts, strict=False)
        for each in part.utterances
    )
    return Corpus(utterances, np.concatenate([part.samples for part in parts]), sample_rate)


def speak_part(planned: list[Utterance], sample_rate: int, folder: Path) -> None:
    """Speak some of a plan, unless that has been done."""
    if is_whole(folder):
        return
    said = ((each, speak_timed(each.text, each.voice, sample_rate)[0]) for each in planned)
    write_corpus(folder, ((each, levelled(trimmed(audio))) for each, audio in said))


def main(arguments: list[str] | None = None) -> None:
    """Speak one part, every so manieth utterance, or all of them."""
    parser = recipe_parser(__doc__, 16_000)
    parser.add_argument("--folder", type=Path, help="for --part")
    parser.add_argument("--part", type=int)
    options = parser.parse_args(arguments)
    if options.part is not None:
        planned = list(plan(options.split, options.count, options.seed))[options.part :: options.workers]
        speak_part(planned, options.sample_rate, options.folder / str(options.part))
        return
    made = speak_corpus(
        options.count, options.sample_rate, split=options.split, seed=options.seed, workers=options.workers
    )
    print(f"{len(made.utterances)} utterances, {made.duration_seconds / 3600:.2f} hours")


if __name__ == "__main__":
    main()
