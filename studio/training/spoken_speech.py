"""Speech to train on, with what is said when: `python -m studio.training.spoken_speech --shards 0 40 --workers 2`.

Texts in thousands of voices, spoken and cut into whole frames. A voice says several texts of every length, so that one
can be the reference of another. What a shard says is decided by its number and the seed alone (its sound but for what
espeak-ng carries over from clip to clip), so that several processes can make some each and a corpus can grow while
something is trained on it. The tokenizer learns from the sound; `coded_speech` makes codes of it.
"""

import argparse
import json
import random
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from studio.audio import Audio
from studio.training.bundled_voices import VOICES
from studio.training.corpus import PADDING_SECONDS, Gender, Split, a_voice, is_held_out, levelled, loud_span, trimmed
from studio.training.corpus import Utterance as Planned
from studio.training.drawn_variants import drawn_name
from studio.training.espeak import EspeakVoice
from studio.training.phrases import WORDS_OF, Length, text_of
from studio.training.timed_speech import TimedText, speak_timed, timed_text

FOLDER = Path(".training/spoken")
SAMPLE_RATE, HOP = 24_000, 960  # Hz, samples a frame
VOICES_OF_A_SHARD = 100
TEXTS_OF_A_LENGTH = 2  # by each voice
BUNDLED_SHARE = 0.25  # of the voices are those of assets/voices, which people hear first
DRAWN_SHARE = 0.5  # are of variants that espeak-ng does not come with
LETTER_STEPS = 16  # of a letter, in which its place is kept


@dataclass(frozen=True)
class SpokenUtterance:
    """One text by one voice, and where its frames stand."""

    text: str
    length_class: Length
    speaker: int  # utterances of one speaker share a voice
    gender: Gender
    start: int  # frames
    frames: int


@dataclass(frozen=True, eq=False)
class SpokenSpeech:
    """Utterances, their sound, and what is said in each frame."""

    utterances: tuple[SpokenUtterance, ...]
    samples: np.ndarray  # int16 [F, hop], all utterances end to end
    times: np.ndarray  # int16 [F, 4]: sixteenths of letters; phones of the frame, of its first and its second half


def plan_shard(
    number: int,
    split: Split = "train",
    voices: int = VOICES_OF_A_SHARD,
    seed: int = 0,
    *,
    drawn_share: float = DRAWN_SHARE,
) -> list[Planned]:
    """What a shard will say, voice by voice, lengths in turn. Only `speak_timed` knows drawn variants."""
    chance = random.Random(f"{seed} {split} {number}")
    planned = []
    for _ in range(voices):
        voice, gender = _some_voice(chance, split, drawn_share)
        for length in TEXTS_OF_A_LENGTH * tuple(WORDS_OF):
            text = text_of(chance, length)
            while is_held_out(text) != (split == "held-out"):
                text = text_of(chance, length)
            planned.append(Planned(text, voice, gender))
    return planned


def _some_voice(chance: random.Random, split: Split, drawn_share: float) -> tuple[EspeakVoice, Gender]:
    kind = chance.random() if split == "train" else 1.0
    if kind < BUNDLED_SHARE:
        _, its_gender, voice, _ = chance.choice(tuple(VOICES.values()))
        return voice, "feminine" if its_gender == "feminine" else "masculine"
    voice, gender = a_voice(chance, split)
    if kind < BUNDLED_SHARE + drawn_share:
        voice = replace(voice, variant=drawn_name(chance, gender))
    return voice, gender


def timed_clip(planned: Planned, sample_rate: int, hop: int) -> tuple[Audio, TimedText, np.ndarray]:
    """Say it, trim it, level it, as `corpus.spoken` does.

    Returns:
        The clip, what is said in each frame of `hop` samples, and the phones of the halves of each frame, int64
        `[T, 2]`.
    """
    audio, phones = speak_timed(planned.text, planned.voice, sample_rate)
    begin = loud_span(audio)[0] / sample_rate - PADDING_SECONDS
    clip = levelled(trimmed(audio))
    frames, rate = -(-clip.length // hop), sample_rate / hop
    halves = timed_text(planned.text, phones, begin, 2 * frames, 2 * rate)
    return clip, timed_text(planned.text, phones, begin, frames, rate), halves.phones.reshape(frames, 2)


def speak_shard(
    number: int,
    folder: Path,
    *,
    split: Split = "train",
    voices: int = VOICES_OF_A_SHARD,
    sample_rate: int = SAMPLE_RATE,
    hop: int = HOP,
) -> None:
    """Write one shard unless it is there, sound first: a shard with an index is whole."""
    index = folder / f"{split}-{number:04d}.jsonl"
    if index.is_file():
        return
    samples, times, lines, start, speakers = [], [], [], 0, dict[EspeakVoice, int]()
    lengths = tuple(WORDS_OF)
    for place, planned in enumerate(plan_shard(number, split, voices)):
        clip, said, halves = timed_clip(planned, sample_rate, hop)
        frames = len(halves)
        whole = np.pad(clip.samples[0], (0, frames * hop - clip.length))
        samples.append(np.round(whole * 32767).astype(np.int16).reshape(frames, hop))
        letters = np.round(said.letters * LETTER_STEPS)
        times.append(np.column_stack((letters, said.phones, halves)).astype(np.int16))
        speaker = speakers.setdefault(planned.voice, len(speakers))
        spoken = SpokenUtterance(planned.text, lengths[place % len(lengths)], speaker, planned.gender, start, frames)
        lines.append(json.dumps(asdict(spoken)))
        start += frames
    np.save(index.with_suffix(".samples.npy"), np.concatenate(samples))
    np.save(index.with_suffix(".times.npy"), np.concatenate(times))
    part = index.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n", "utf-8")
    part.replace(index)


def shards_of(folder: Path, split: Split = "train") -> list[Path]:
    """The indices of the whole shards of a folder, in order."""
    return sorted(folder.glob(f"{split}-*.jsonl"))


def utterances_of(index: Path) -> list[SpokenUtterance]:
    """What one shard holds."""
    return [SpokenUtterance(**json.loads(line)) for line in index.read_text("utf-8").splitlines()]


def read_spoken_speech(folder: Path, split: Split = "train") -> SpokenSpeech:
    """Every whole shard of a folder; places count on from shard to shard, speakers begin anew in each.

    Raises:
        FileNotFoundError: there is none.
    """
    utterances, samples, times, start = list[SpokenUtterance](), [], [], 0
    for index in shards_of(folder, split):
        its = utterances_of(index)
        utterances += [SpokenUtterance(**asdict(each) | {"start": each.start + start}) for each in its]
        samples.append(np.load(index.with_suffix(".samples.npy")))
        times.append(np.load(index.with_suffix(".times.npy")))
        start += len(times[-1])
    if not samples:
        raise FileNotFoundError(f"no speech in {folder}: run python -m studio.training.spoken_speech")
    return SpokenSpeech(tuple(utterances), np.concatenate(samples), np.concatenate(times))


def speak_shards(
    folder: Path, first: int, end: int, *, split: Split = "train", voices: int = VOICES_OF_A_SHARD, workers: int = 0
) -> Generator[int]:
    """Make the shards from the first number to before the end, in processes if any are asked for; tells each done."""
    folder.mkdir(parents=True, exist_ok=True)
    speak = partial(speak_shard, folder=folder, split=split, voices=voices)
    numbers = range(first, end)
    if not workers:
        for number in numbers:
            speak(number)
            yield number
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            for number, _ in zip(numbers, pool.map(speak, numbers), strict=True):
                yield number
        finally:  # whoever has heard enough need not wait for the rest
            pool.shutdown(cancel_futures=True)


def main(arguments: list[str] | None = None) -> None:
    """Make the shards from the first number to before the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs=2, default=(0, 40), metavar=("FIRST", "END"))
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--voices", type=int, default=VOICES_OF_A_SHARD, help="in a shard; each says six texts")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--workers", type=int, default=0, help="processes that speak; 0: this one")
    options = parser.parse_args(arguments)
    shards = speak_shards(
        options.folder, *options.shards, split=options.split, voices=options.voices, workers=options.workers
    )
    for number in shards:
        print(f"shard {number}", flush=True)


if __name__ == "__main__":
    main()
