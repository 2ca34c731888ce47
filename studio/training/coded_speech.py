"""Speech as codes, to train the language model on: texts in thousands of voices, spoken and encoded; codes are kept.

What a shard says is decided by its number and the seed alone (its sound but for what espeak-ng carries over from clip
to clip), so that several processes can make some each and a corpus can grow while something is trained on it:
`python -m studio.training.coded_speech --shards 0 40`. A voice says several texts of every length, so that one can be
the reference of another. Beside the codes stands what is said in each frame: the letter of the text and the phone.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from studio.audio import Audio
from studio.checkpoints import MINI
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.training.bundled_voices import VOICES
from studio.training.corpus import PADDING_SECONDS, Gender, Split, a_voice, is_held_out, levelled, loud_span, trimmed
from studio.training.corpus import Utterance as Planned
from studio.training.espeak import EspeakVoice
from studio.training.phrases import WORDS_OF, Length, text_of
from studio.training.timed_speech import TimedText, speak_timed, timed_text

FOLDER = Path(".training/codes")
TOKENIZER = MINI / "higgs-audio-v2-tokenizer-mini"
VOICES_OF_A_SHARD = 100
TEXTS_OF_A_LENGTH = 2  # by each voice
BUNDLED_SHARE = 0.25  # of the voices are those of assets/voices, which people hear first
LETTER_STEPS = 16  # of a letter, in which its place is kept
STACKED_FRAMES = (20, 40, 80, 160)  # lengths that clips are padded to; a longer one is encoded as it is


@dataclass(frozen=True)
class CodedUtterance:
    """One text by one voice, and where its codes stand."""

    text: str
    length_class: Length
    speaker: int  # utterances of one speaker share a voice
    gender: Gender
    start: int  # frames
    frames: int


@dataclass(frozen=True, eq=False)
class TimedCodes(Codes):
    """Codes of speech, and for each text in it what is said in each of its frames, in order."""

    said: tuple[TimedText, ...] = ()


@dataclass(frozen=True, eq=False)
class CodedSpeech:
    """Utterances and their codes."""

    utterances: tuple[CodedUtterance, ...]
    values: np.ndarray  # uint16 [F, K], all utterances end to end
    times: np.ndarray  # int16 [F, 2]: sixteenths of letters, classes of phones
    frame_rate: float  # Hz
    codebook_size: int

    def codes(self, utterance: CodedUtterance) -> TimedCodes:
        """One utterance."""
        part = slice(utterance.start, utterance.start + utterance.frames)
        letters, phones = self.times[part].T
        said = TimedText(utterance.text, letters.astype(np.float32) / LETTER_STEPS, phones.astype(np.int64))
        return TimedCodes(self.values[part].T, self.frame_rate, self.codebook_size, (said,))

    @property
    def duration_seconds(self) -> float:
        """Length of everything."""
        return len(self.values) / self.frame_rate


def plan_shard(number: int, split: Split = "train", voices: int = VOICES_OF_A_SHARD, seed: int = 0) -> list[Planned]:
    """What a shard will say, voice by voice, lengths in turn."""
    chance = random.Random(f"{seed} {split} {number}")
    planned = []
    for _ in range(voices):
        voice, gender = _some_voice(chance, split)
        for length in TEXTS_OF_A_LENGTH * tuple(WORDS_OF):
            text = text_of(chance, length)
            while is_held_out(text) != (split == "held-out"):
                text = text_of(chance, length)
            planned.append(Planned(text, voice, gender))
    return planned


def _some_voice(chance: random.Random, split: Split) -> tuple[EspeakVoice, Gender]:
    if split == "train" and chance.random() < BUNDLED_SHARE:
        _, gender, voice, _ = chance.choice(tuple(VOICES.values()))
        return voice, "feminine" if gender == "feminine" else "masculine"
    return a_voice(chance, split)


def timed_clip(planned: Planned, sample_rate: int, hop: int) -> tuple[Audio, TimedText]:
    """Say it, trim it, level it, as `corpus.spoken` does, with what is said in each frame of `hop` samples."""
    audio, phones = speak_timed(planned.text, planned.voice, sample_rate)
    begin = loud_span(audio)[0] / sample_rate - PADDING_SECONDS
    clip = levelled(trimmed(audio))
    return clip, timed_text(planned.text, phones, begin, -(-clip.length // hop), sample_rate / hop)


class ShardMaker:
    """Speaks and encodes shards with one codec."""

    def __init__(self, codec: HiggsCodec, *, compiled: bool, speakers: Executor | None = None) -> None:
        """Take a codec.

        Args:
            codec: whose codes these will be.
            compiled: compile its encoder first: half a minute, three times the speed; needs a C++ compiler.
            speakers: processes that speak; without any, this one does.
        """
        self.codec = codec
        self._speakers = speakers
        encoder = codec.model.acoustic_encoder
        self._acoustic = torch.compile(encoder, dynamic=False) if compiled else encoder

    def make(self, number: int, folder: Path, *, split: Split = "train", voices: int = VOICES_OF_A_SHARD) -> None:
        """Write one shard, codes first: a shard with an index is whole."""
        planned = plan_shard(number, split, voices)
        say = self._speakers.map if self._speakers else map
        clips, said = zip(
            *say(partial(timed_clip, sample_rate=self.codec.sample_rate, hop=self.codec.hop), planned), strict=True
        )
        coded = self.encode(clips)
        values = np.concatenate([codes.values.T for codes in coded]).astype(np.uint16)
        letters = np.concatenate([np.round(each.letters * LETTER_STEPS) for each in said])
        times = np.stack([letters, np.concatenate([each.phones for each in said])], axis=1).astype(np.int16)
        np.save(folder / f"{split}-{number:04d}.npy", values)
        np.save(folder / f"{split}-{number:04d}.times.npy", times)
        lines, start, speakers = [], 0, dict[EspeakVoice, int]()
        lengths = tuple(WORDS_OF)
        for index, (each, codes) in enumerate(zip(planned, coded, strict=True)):
            speaker = speakers.setdefault(each.voice, len(speakers))
            utterance = CodedUtterance(
                each.text, lengths[index % len(lengths)], speaker, each.gender, start, codes.frames
            )
            lines.append(json.dumps(asdict(utterance)))
            start += codes.frames
        part = folder / f"{split}-{number:04d}.part"
        part.write_text("\n".join(lines) + "\n", "utf-8")
        part.replace(part.with_suffix(".jsonl"))

    def encode(self, clips: Sequence[Audio]) -> list[Codes]:
        """Codes of clips, in stacks of a few shapes only, for each of which the encoder is compiled once.

        The acoustic encoder sees silence behind a clip where `HiggsCodec.encode` would end: a frame or two at the very
        end may get other codes. The semantic features, which depend on the length, are computed clip by clip.
        """
        framed = [_whole_frames(clip, self.codec.hop) for clip in clips]
        coded: list[Codes | None] = [None] * len(clips)
        waiting = sorted(range(len(clips)), key=lambda index: framed[index].shape[1])
        for frames in STACKED_FRAMES:
            rows = STACKED_FRAMES[-1] // frames
            longest = frames if frames < STACKED_FRAMES[-1] else math.inf
            members = [index for index in waiting if framed[index].shape[1] <= longest * self.codec.hop]
            waiting = waiting[len(members) :]
            for first in range(0, len(members), rows):
                stack = members[first : first + rows]
                for index, codes in zip(
                    stack, self._encoded([framed[each] for each in stack], frames, rows), strict=True
                ):
                    coded[index] = codes
        return [codes for codes in coded if codes is not None]

    @torch.inference_mode()
    def _encoded(self, stack: list[np.ndarray], frames: int, rows: int) -> Iterator[Codes]:
        """Codes of clips of at most `frames` frames, by one pass over `rows` rows."""
        model, hop = self.codec.model, self.codec.hop
        length = max(frames * hop, *(clip.shape[1] for clip in stack))
        padded = torch.zeros(rows, 1, length, device=model.device)
        for row, clip in enumerate(stack):
            padded[row, :, : clip.shape[1]] = torch.from_numpy(clip).to(model.device)
        acoustic = self._acoustic(padded)
        for row, clip in enumerate(stack):
            count = clip.shape[1] // hop
            features = model._extract_semantic_features(torch.from_numpy(clip)[None].to(model.device))
            semantic = model.encoder_semantic(features.transpose(1, 2))[..., :count]
            both = torch.cat([acoustic[row : row + 1, :, :count], semantic], dim=1)
            latents = model.fc(both.transpose(1, 2)).transpose(1, 2)
            codes = model.quantizer.encode(latents, model.config.target_bandwidths[-1])[:, 0]
            yield Codes(codes.cpu().numpy(), self.codec.frame_rate, self.codec.codebook_size)


def _whole_frames(clip: Audio, hop: int) -> np.ndarray:
    """Mono samples, silence up to a whole frame. Shape: `[1, T * hop]`."""
    return np.pad(clip.samples, ((0, 0), (0, -clip.length % hop)))


def _is_whole(index: Path) -> bool:
    """Whether a shard is there; one made before times were kept is not."""
    return index.is_file() and index.with_suffix(".times.npy").is_file()


def read_coded_speech(folder: Path, split: Split = "train") -> CodedSpeech:
    """Every whole shard of a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    utterances: list[CodedUtterance] = []
    values: list[np.ndarray] = []
    times: list[np.ndarray] = []
    start = speakers = 0
    for index in filter(_is_whole, sorted(folder.glob(f"{split}-*.jsonl"))):
        fields = [json.loads(line) for line in index.read_text("utf-8").splitlines()]
        utterances += [
            CodedUtterance(**each | {"start": each["start"] + start, "speaker": each["speaker"] + speakers})
            for each in fields
        ]
        values.append(np.load(index.with_suffix(".npy")))
        times.append(np.load(index.with_suffix(".times.npy")))
        start += len(values[-1])
        speakers += 1 + max(each["speaker"] for each in fields)
    if not values:
        raise FileNotFoundError(f"no coded speech in {folder}: run python -m studio.training.coded_speech")
    facts = json.loads((folder / "codec.json").read_text("utf-8"))
    rate, size = facts["frame_rate"], facts["codebook_size"]
    return CodedSpeech(tuple(utterances), np.concatenate(values), np.concatenate(times), rate, size)


def main(arguments: list[str] | None = None) -> None:
    """Make the shards from the first number to before the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs=2, default=(0, 40), metavar=("FIRST", "END"))
    parser.add_argument("--every", type=int, default=1, help="take each nth of them, to share the work")
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--voices", type=int, default=VOICES_OF_A_SHARD, help="in a shard; each says six texts")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="directory of the codec's checkpoint")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--eager", action="store_true", help="do not compile the encoder")
    parser.add_argument("--minutes", type=float, default=math.inf, help="by the clock, after which no shard is begun")
    parser.add_argument("--workers", type=int, default=0, help="processes that speak; 0: this one")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    codec = HiggsCodec.load(options.tokenizer, options.device)
    facts = {"frame_rate": codec.frame_rate, "codebook_size": codec.codebook_size}
    (options.folder / "codec.json").write_text(json.dumps(facts) + "\n")
    begun = time.monotonic()
    speakers = ProcessPoolExecutor(options.workers, get_context("spawn")) if options.workers else None
    with speakers or nullcontext():
        maker = ShardMaker(codec, compiled=not options.eager, speakers=speakers)
        for number in range(options.shards[0], options.shards[1], options.every):
            if not _is_whole(options.folder / f"{options.split}-{number:04d}.jsonl"):
                started = time.monotonic()
                if started - begun > options.minutes * 60:
                    return
                maker.make(number, options.folder, split=options.split, voices=options.voices)
                print(f"shard {number}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
