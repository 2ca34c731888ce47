"""A corpus spoken by processes: `python -m studio.training.library_corpus --count 10000 --workers 14`.

The same plan as `make_corpus`, said by espeak-ng's library in as many processes as there are cores, which is ten times
as fast as starting a program for every utterance. Nothing here needs torch: a process is ready in half a second.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from studio.errors import StudioError
from studio.training.corpus import CACHE, Corpus, Split, Utterance, levelled, plan, read_corpus, trimmed
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
        Utterance(each.text, each.voice, each.gender, each.start + int(start), each.length)
        for part, start in zip(parts, starts, strict=False)
        for each in part.utterances
    )
    return Corpus(utterances, np.concatenate([part.samples for part in parts]), sample_rate)


def speak_part(planned: list[Utterance], sample_rate: int, folder: Path) -> None:
    """Speak some of a plan, sound first: a part with an index is whole."""
    index = folder / "utterances.jsonl"
    if index.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    samples, lines, start = [np.zeros(0, np.int16)], list[str](), 0
    for utterance in planned:
        audio = levelled(trimmed(speak_timed(utterance.text, utterance.voice, sample_rate)[0]))
        samples.append(np.round(audio.samples[0] * 32767).astype(np.int16))
        lines.append(json.dumps(asdict(utterance) | {"start": start, "length": audio.length}))
        start += audio.length
    np.save(folder / "samples.npy", np.concatenate(samples))
    part = index.with_suffix(".part")
    part.write_text("".join(line + "\n" for line in lines), "utf-8")
    part.replace(index)


def main(arguments: list[str] | None = None) -> None:
    """Speak one part, every so manieth utterance, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--sample-rate", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
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
