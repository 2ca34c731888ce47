"""Speech as codes, to train the language model on: `python -m studio.training.coded_speech`.

Makes codes of every shard of `spoken_speech` that has none yet, with one tokenizer. Beside the codes stands what is
said in each frame: the letter of the text and the phone.
"""

import argparse
import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import HiggsAudioV2TokenizerModel

from studio.checkpoints import MINI
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.training.corpus import Split
from studio.training.spoken_speech import FOLDER as SPOKEN
from studio.training.spoken_speech import LETTER_STEPS, SpokenUtterance, shards_of, utterances_of
from studio.training.timed_speech import TimedText
from studio.training.tokenizer_model import hears_semantics

FOLDER = Path(".training/codes")
TOKENIZER = MINI / "higgs-audio-v2-tokenizer-mini"
STACKED_FRAMES = (20, 40, 80, 160)  # lengths that clips are padded to; a longer one is encoded as it is
STACK_FRAMES = {"cpu": 160, "cuda": 10_240}  # of all rows of a stack together


@dataclass(frozen=True, eq=False)
class TimedCodes(Codes):
    """Codes of speech, and for each text in it what is said in each of its frames, in order."""

    said: tuple[TimedText, ...] = ()


@dataclass(frozen=True, eq=False)
class CodedSpeech:
    """Utterances and their codes."""

    utterances: tuple[SpokenUtterance, ...]
    values: np.ndarray  # uint16 [F, K], all utterances end to end
    times: np.ndarray  # int16 [F, 2]: sixteenths of letters, classes of phones
    frame_rate: float  # Hz
    codebook_size: int
    voices: np.ndarray | None = None  # float32 [speakers, V], see coded_voices; of some not a number

    def codes(self, utterance: SpokenUtterance) -> TimedCodes:
        """One utterance."""
        part = slice(utterance.start, utterance.start + utterance.frames)
        letters, phones = self.times[part].T
        voice = None if self.voices is None else self.voices[utterance.speaker]
        said = TimedText(utterance.text, letters.astype(np.float32) / LETTER_STEPS, phones.astype(np.int64), voice)
        return TimedCodes(self.values[part].T, self.frame_rate, self.codebook_size, (said,))

    @property
    def duration_seconds(self) -> float:
        """Length of everything."""
        return len(self.values) / self.frame_rate


class Encoder:
    """Encodes many clips with one codec, in stacks of a few shapes only, for each of which it is compiled once."""

    def __init__(self, codec: HiggsCodec, *, compiled: bool) -> None:
        """Take a codec.

        Args:
            codec: whose codes these will be.
            compiled: compile its encoder first: minutes, three times the speed on a CPU; needs a C++ compiler.
        """
        self.codec = codec
        encoder = codec.model.acoustic_encoder
        self._acoustic = torch.compile(encoder, dynamic=False) if compiled else encoder
        self._hears_semantics = hears_semantics(codec.model)
        self._stack_frames = STACK_FRAMES["cpu" if codec.model.device.type == "cpu" else "cuda"]

    def encode(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes of clips in whole frames.

        The acoustic encoder sees silence behind a clip where `HiggsCodec.encode` would end: a frame or two at the very
        end may get other codes.

        Args:
            clips: float32 `[T, hop]` each.

        Returns:
            int64 `[T, K]` each.
        """
        coded: list[np.ndarray] = [np.zeros(0)] * len(clips)
        waiting = sorted(range(len(clips)), key=lambda index: len(clips[index]))
        for frames in STACKED_FRAMES:
            rows = self._stack_frames // frames
            longest = frames if frames < STACKED_FRAMES[-1] else math.inf
            members = [index for index in waiting if len(clips[index]) <= longest]
            waiting = waiting[len(members) :]
            for first in range(0, len(members), rows):
                stack = members[first : first + rows]
                for index, codes in zip(
                    stack, self._encoded([clips[each] for each in stack], frames, rows), strict=True
                ):
                    coded[index] = codes
        return coded

    @torch.inference_mode()
    def _encoded(self, stack: list[np.ndarray], frames: int, rows: int) -> Iterator[np.ndarray]:
        """Codes of clips of at most `frames` frames (or one longer one), by one pass over `rows` rows."""
        model, hop = self.codec.model, self.codec.hop
        longest = max(frames, *map(len, stack))
        padded = torch.zeros(rows, 1, longest * hop)
        for row, clip in enumerate(stack):
            padded[row, 0, : clip.size] = torch.from_numpy(clip.reshape(-1))
        acoustic = self._acoustic(padded.to(model.device))[: len(stack), :, :longest]
        latents = torch.cat((acoustic, self._semantic(stack, longest)), dim=1)
        latents = model.fc(latents.transpose(1, 2)).transpose(1, 2)
        codes = model.quantizer.encode(latents, model.config.target_bandwidths[-1]).permute(1, 2, 0).cpu().numpy()
        for row, clip in enumerate(stack):
            yield codes[row, : len(clip)]

    def _semantic(self, stack: list[np.ndarray], longest: int) -> Tensor:
        """What the semantic encoder says, clip by clip, since it depends on the length. Shape: `[B, C, T]`."""
        model: HiggsAudioV2TokenizerModel = self.codec.model
        semantic = torch.zeros(len(stack), model.config.semantic_hidden_size, longest, device=model.device)
        for row, clip in enumerate(stack if self._hears_semantics else ()):
            samples = torch.from_numpy(clip.reshape(1, 1, -1)).to(model.device)
            features = model._extract_semantic_features(samples)
            semantic[row, :, : len(clip)] = model.encoder_semantic(features.transpose(1, 2))[0, :, : len(clip)]
        return semantic


def encode_shard(encoder: Encoder, index: Path, folder: Path) -> None:
    """Codes of one spoken shard into a folder, its index last: a shard with an index is whole."""
    utterances, samples = utterances_of(index), np.load(index.with_suffix(".samples.npy"), mmap_mode="r")
    clips = [samples[each.start : each.start + each.frames].astype(np.float32) / 32768 for each in utterances]
    target = folder / index.name
    np.save(target.with_suffix(".npy"), np.concatenate(encoder.encode(clips)).astype(np.uint16))
    np.save(target.with_suffix(".times.npy"), np.load(index.with_suffix(".times.npy"))[:, :2])
    part = target.with_suffix(".part")
    shutil.copyfile(index, part)
    part.replace(target)


def note_codec(codec: HiggsCodec, tokenizer: Path, folder: Path) -> None:
    """Write down whose codes a folder holds.

    Raises:
        SystemExit: they are another tokenizer's.
    """
    digest = hashlib.sha256((tokenizer / "model.safetensors").read_bytes()).hexdigest()
    file = folder / "codec.json"
    if file.is_file() and json.loads(file.read_text("utf-8")).get("weights", digest) != digest:
        raise SystemExit(f"{folder} holds codes of another tokenizer: remove it, or choose another --folder.")
    facts = {"frame_rate": codec.frame_rate, "codebook_size": codec.codebook_size, "weights": digest}
    file.write_text(json.dumps(facts) + "\n", "utf-8")


def read_coded_speech(folder: Path, split: Split = "train") -> CodedSpeech:
    """Every whole shard of a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    utterances: list[SpokenUtterance] = []
    values: list[np.ndarray] = []
    times: list[np.ndarray] = []
    voices: list[tuple[Path, int]] = []  # the files that may tell them, and of how many speakers
    start = speakers = 0
    for index in shards_of(folder, split):
        its = utterances_of(index)
        utterances += [
            SpokenUtterance(**asdict(each) | {"start": each.start + start, "speaker": each.speaker + speakers})
            for each in its
        ]
        values.append(np.load(index.with_suffix(".npy")))
        times.append(np.load(index.with_suffix(".times.npy")))
        start += len(values[-1])
        voices.append((index.with_suffix(".voices.npy"), 1 + max(each.speaker for each in its)))
        speakers += voices[-1][1]
    if not values:
        raise FileNotFoundError(f"no coded speech in {folder}: run python -m studio.training.coded_speech")
    facts = json.loads((folder / "codec.json").read_text("utf-8"))
    rate, size = facts["frame_rate"], facts["codebook_size"]
    return CodedSpeech(
        tuple(utterances), np.concatenate(values), np.concatenate(times), rate, size, _read_voices(voices)
    )


def _read_voices(files: Sequence[tuple[Path, int]]) -> np.ndarray | None:
    """The voices of all shards; None if none have been described."""
    told = {path: np.load(path) for path, _ in files if path.is_file()}
    if not told:
        return None
    unknown = np.full_like(next(iter(told.values()))[:1], np.nan)
    return np.concatenate([told[path] if path in told else unknown.repeat(count, 0) for path, count in files])


def main(arguments: list[str] | None = None) -> None:
    """Encode what has no codes yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spoken", type=Path, default=SPOKEN, help="made by studio.training.spoken_speech")
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="directory of the codec's checkpoint")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--compile", action="store_true", help="compile the encoder first")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="of N processes the Ith")
    parser.add_argument("--minutes", type=float, default=math.inf, help="by the clock, after which no shard is begun")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of this process; several of them must share the cores")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    codec = HiggsCodec.load(options.tokenizer, options.device)
    note_codec(codec, options.tokenizer, options.folder)
    encoder, begun = Encoder(codec, compiled=options.compile), time.monotonic()
    first, step = options.part
    for index in shards_of(options.spoken, options.split)[first::step]:
        if time.monotonic() - begun > options.minutes * 60:
            return
        if not (options.folder / index.name).is_file():
            started = time.monotonic()
            encode_shard(encoder, index, options.folder)
            print(f"{index.stem}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
