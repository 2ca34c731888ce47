"""Whose voice codes are, in twenty numbers: `python -m studio.training.coded_voices`.

The codes of the small tokenizer are points of a grid, so that means and covariances of forty numbers a frame describe
how somebody sounds, whatever is said. A linear discriminant analysis over the voices of a corpus keeps what tells them
apart: of ten voices by chance, one utterance finds another of the same voice in 95 % of cases. The numbers stand beside
the codes of each shard, and the language model is asked for them while it learns (`speech_model.py`).
"""

import argparse
import io
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from studio.durable import write_durably
from studio.training.coded_speech import FOLDER
from studio.training.discriminants import StandardisedMap, discriminants
from studio.training.spoken_speech import SpokenUtterance, shards_of, utterances_of
from studio.training.tokenizer_model import LEVELS, places_in_grid

FILE = "voices.npz"  # in the folder of the codes
VOICE_NUMBERS = 20
SHARDS_LEARNT_FROM = 64
LEAST_FRAMES = 25  # of an utterance that tells whose it is


def code_statistics(codes: np.ndarray) -> np.ndarray:
    """Means, covariances, covariances with the next frame. Shape: int `[T, K]` to float64 `[C]`, 900 for 8 codes."""
    places = places_in_grid().numpy() - (LEVELS - 1) / 2
    rows = places[codes].reshape(len(codes), -1)
    mean = rows.mean(0)
    rows = rows - mean
    pairs = np.triu_indices(rows.shape[1])
    return np.concatenate([mean, (rows.T @ rows / len(rows))[pairs], (rows[1:] * rows[:-1]).mean(0)])


def learn(statistics: np.ndarray, voices: np.ndarray) -> StandardisedMap:
    """Learn what tells voices apart. Shapes: `[utterances, C]`, int `[utterances]`, counted from 0."""
    mean, deviation = statistics.mean(0), statistics.std(0) + 1e-6
    projection = discriminants((statistics - mean) / deviation, voices, VOICE_NUMBERS)
    return StandardisedMap(mean, deviation, projection)


def long_enough(index: Path) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of a shard's utterances, `[n, C]`, and the numbers of their speakers, `[n]`."""
    values = np.load(index.with_suffix(".npy"))
    told: list[SpokenUtterance] = [each for each in utterances_of(index) if each.frames >= LEAST_FRAMES]
    statistics = [code_statistics(values[each.start : each.start + each.frames].astype(int)) for each in told]
    return np.stack(statistics), np.array([each.speaker for each in told])


def describe_shard(index: Path, voices: StandardisedMap) -> None:
    """Write the mean of each speaker's utterances beside the codes; a speaker of short ones only is not a number."""
    statistics, speakers = long_enough(index)
    placed = voices.placed(statistics)
    described = np.full((1 + max(each.speaker for each in utterances_of(index)), VOICE_NUMBERS), np.nan, np.float32)
    for speaker in np.unique(speakers):
        described[speaker] = placed[speakers == speaker].mean(0)
    written = io.BytesIO()
    np.save(written, described)
    write_durably(index.with_suffix(".voices.npy"), written.getvalue())


def describe(folder: Path, workers: int = 0) -> None:
    """Describe the voices of every shard of a folder, by a map that is learnt from its first if there is none.

    Args:
        folder: Of codes.
        workers: Processes; 0: this one.

    Raises:
        FileNotFoundError: there are no codes.
    """
    shards, file = shards_of(folder), folder / FILE
    if not shards:
        raise FileNotFoundError(f"no coded speech in {folder}: run python -m studio.training.coded_speech")
    with ProcessPoolExecutor(workers, get_context("spawn"), _keep_to_one_core) if workers else nullcontext() as pool:
        each = pool.map if pool else map
        if not file.is_file():
            parts = list(each(long_enough, shards[:SHARDS_LEARNT_FROM]))
            counts = np.cumsum([0, *(1 + speakers.max() for _, speakers in parts)])
            numbers = np.concatenate([speakers + count for (_, speakers), count in zip(parts, counts, strict=False)])
            _, voices = np.unique(numbers, return_inverse=True)
            learn(np.concatenate([statistics for statistics, _ in parts]), voices).save(file)
        learnt = StandardisedMap.load(file)
        new = [index for index in shards if not index.with_suffix(".voices.npy").is_file()]
        for _ in each(partial(describe_shard, voices=learnt), new):
            pass


def _keep_to_one_core() -> None:
    """Products of processes side by side: the threads of one would be in the way of the others."""
    threadpool_limits(1)


def main(arguments: list[str] | None = None) -> None:
    """Describe the voices of all codes that have been made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=Path, default=FOLDER, help="made by studio.training.coded_speech")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: this one")
    options = parser.parse_args(arguments)
    describe(options.codes, options.workers)


if __name__ == "__main__":
    main()
