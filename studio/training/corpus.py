"""Speech to train on: sentences of the grammar in thousands of espeak-ng voices, with text and gender known.

A corpus is decided by its recipe alone (seed, count, split, sample rate) and made once into a cache folder outside
git: `samples.npy` (int16, all utterances end to end) and `utterances.jsonl`. A tenth of the variants and a twentieth
of all sentences are never in the training split; the held-out split has only those.
"""

import argparse
import json
import random
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from studio.audio import Audio
from studio.training.bundled_voices import VOICES
from studio.training.espeak import EspeakVoice, synthesise
from studio.training.sentences import sentence, words

CACHE = Path(__file__).parent.parent.parent / ".training" / "corpus"
INDEX = "utterances.jsonl"  # written last
LEVEL_DBFS = -23.0  # RMS of every utterance
LOUDEST_PEAK = 0.95
PADDING_SECONDS = 0.08  # quiet left at both ends
QUIET_DB = 45.0  # what lies this far under the loudest 10 ms is trimmed
SENTENCES_OF_A_VOICE = 4

Split = Literal["train", "held-out"]
Gender = Literal["feminine", "masculine"]

ACCENTS = (
    "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
)  # fmt: skip
VARIANTS: dict[str, Gender] = {
    **dict.fromkeys(
        words("f1 f2 f3 f4 f5 Alicia Andrea Annie anika aunty belinda grandma linda steph steph2"), "feminine"
    ),
    **dict.fromkeys(
        words(
            "m1 m2 m3 m4 m5 m6 m7 m8 Andy Denis Gene Lee Marco Mario Michael Mike david ed edward grandpa john max "
            "norbert paul rob robert travis victor zac"
        ),
        "masculine",
    ),
}
HELD_OUT_VARIANTS = ("Annie", "linda", "Lee", "rob")
HELD_OUT_TEXTS = frozenset(text for *_, text in VOICES.values())


@dataclass(frozen=True)
class Utterance:
    """One text by one voice, and where its samples stand."""

    text: str
    voice: EspeakVoice
    gender: Gender
    start: int = 0  # samples
    length: int = 0  # samples


@dataclass(frozen=True, eq=False)
class Corpus:
    """Utterances and their sound, the samples left on disk until they are looked at."""

    utterances: tuple[Utterance, ...]
    samples: np.ndarray  # int16 [N], all utterances end to end
    sample_rate: int  # Hz

    def audio(self, index: int) -> Audio:
        """One utterance. Shape of the samples: float32 `[1, N]`."""
        utterance = self.utterances[index]
        part = self.samples[utterance.start : utterance.start + utterance.length]
        return Audio(part.astype(np.float32)[None] / 32768, self.sample_rate)

    @property
    def duration_seconds(self) -> float:
        """Length of everything."""
        return len(self.samples) / self.sample_rate


def is_held_out(text: str) -> bool:
    """Whether a sentence is kept from training: a twentieth of all, and those of the bundled voices."""
    return text in HELD_OUT_TEXTS or zlib.crc32(text.encode()) % 20 == 0


def a_voice(chance: random.Random, split: Split) -> tuple[EspeakVoice, Gender]:
    """A voice of the split: genders equally often, any accent, pitch and pace within reason."""
    gender: Gender = chance.choice(("feminine", "masculine"))
    held_out = split == "held-out"
    variants = [name for name, its in VARIANTS.items() if its == gender and (name in HELD_OUT_VARIANTS) == held_out]
    voice = EspeakVoice(
        chance.choice(ACCENTS), chance.choice(variants), chance.randint(15, 85), chance.randint(130, 200)
    )
    return voice, gender


def plan(split: Split, count: int, seed: int = 0) -> Iterator[Utterance]:
    """What a corpus will say, voice by voice. The first `n` of a longer plan are the shorter plan."""
    chance = random.Random(f"{seed} {split}")
    made = 0
    while made < count:
        voice, gender = a_voice(chance, split)
        for _ in range(min(SENTENCES_OF_A_VOICE, count - made)):
            text = sentence(chance)
            while is_held_out(text) != (split == "held-out"):
                text = sentence(chance)
            yield Utterance(text, voice, gender)
            made += 1


def spoken(utterance: Utterance, sample_rate: int) -> Audio:
    """Say it, trim it, level it. Shape of the samples: `[1, N]`."""
    return levelled(trimmed(synthesise(utterance.text, utterance.voice, sample_rate)))


def trimmed(audio: Audio) -> Audio:
    """Without the quiet before and after, but for a little. Shape: `[1, N]` to `[1, N']`."""
    start, end = loud_span(audio)
    if audio.peak == 0:
        return audio
    padding = round(PADDING_SECONDS * audio.sample_rate)
    samples = np.pad(audio.samples, ((0, 0), (padding, padding)))
    return Audio(samples[:, start : end + 2 * padding], audio.sample_rate)


def loud_span(audio: Audio) -> tuple[int, int]:
    """Where the first sound begins and the last one ends, in samples. Silence is all sound."""
    block = audio.sample_rate // 100
    blocks = audio.length // block
    energy = np.square(audio.samples[0, : blocks * block].reshape(blocks, block)).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max(initial=1e-12) * 10 ** (-QUIET_DB / 10))
    return (int(loud[0]) * block, (int(loud[-1]) + 1) * block) if loud.size else (0, audio.length)


def levelled(audio: Audio, level_dbfs: float = LEVEL_DBFS) -> Audio:
    """At one RMS level, or quieter where the peak would pass `LOUDEST_PEAK`."""
    if audio.peak == 0:
        return audio
    gain = min(10 ** ((level_dbfs - audio.rms_dbfs) / 20), LOUDEST_PEAK / audio.peak)
    return Audio(audio.samples * np.float32(gain), audio.sample_rate)


def make_corpus(
    split: Split, count: int, sample_rate: int = 24_000, *, seed: int = 0, cache: Path = CACHE, workers: int = 2
) -> Corpus:
    """The corpus of a recipe, from the cache if it is there.

    Args:
        split: `train` or `held-out`.
        count: How many utterances; one lasts about 3.5 seconds.
        sample_rate: Hz.
        seed: Another seed is another corpus.
        cache: Where corpora are kept.
        workers: How many espeak-ng processes run at a time.

    Raises:
        StudioError: espeak-ng is not installed or refused.
    """
    folder = cache / f"{split}-{count}-{sample_rate}-{seed}"
    if not is_whole(folder):
        _speak_all(list(plan(split, count, seed)), sample_rate, folder, workers)
    return read_corpus(folder, sample_rate)


def _speak_all(planned: list[Utterance], sample_rate: int, folder: Path, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        write_corpus(folder, zip(planned, pool.map(lambda each: spoken(each, sample_rate), planned), strict=True))


def write_corpus(folder: Path, said: Iterable[tuple[Utterance, Audio]]) -> None:
    """Write the samples, then the index: a corpus with an index is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, lines, start = [np.zeros(0, np.int16)], list[str](), 0
    for utterance, audio in said:
        samples.append(np.round(audio.samples[0] * 32767).astype(np.int16))
        lines.append(json.dumps(asdict(utterance) | {"start": start, "length": audio.length}))
        start += audio.length
    np.save(folder / "samples.npy", np.concatenate(samples))
    part = folder / "utterances.part"
    part.write_text("".join(line + "\n" for line in lines), "utf-8")
    part.replace(folder / INDEX)


def is_whole(folder: Path) -> bool:
    """Whether a corpus has been written to its end."""
    return (folder / INDEX).is_file()


def read_corpus(folder: Path, sample_rate: int) -> Corpus:
    """A corpus made earlier; the samples are mapped, not loaded."""
    lines = (folder / INDEX).read_text("utf-8").splitlines()
    fields = [json.loads(line) for line in lines]
    utterances = tuple(Utterance(**each | {"voice": EspeakVoice(**each["voice"])}) for each in fields)
    return Corpus(utterances, np.load(folder / "samples.npy", mmap_mode="r"), sample_rate)


def recipe_parser(description: str | None, sample_rate: int) -> argparse.ArgumentParser:
    """The arguments that decide a corpus."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--sample-rate", type=int, default=sample_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    return parser


def main() -> None:
    """Make a corpus: `python -m studio.training.corpus --count 10000 --sample-rate 24000`."""
    options = recipe_parser(__doc__, 24_000).parse_args()
    made = make_corpus(options.split, options.count, options.sample_rate, seed=options.seed, workers=options.workers)
    print(f"{len(made.utterances)} utterances, {made.duration_seconds / 3600:.2f} hours")


if __name__ == "__main__":
    main()
