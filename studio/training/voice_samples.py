"""What is learnt of one voice: its clips as codes, in the forms in which the voice will be asked for.

Half of the time a clip is spoken with nobody named, so that the voice becomes the one that the model chooses; half of
the time another clip stands before it as the reference, so that cloning goes on to work.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.conversation import Conversation, Line, Speaker
from studio.engine.prompt import PromptBuilder
from studio.training.speech_samples import Sample, make_sample
from studio.training.voice_folder import Clip
from studio.voices import Reference, Voice

REFERENCE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class CodedClip:
    """A clip as the model sees it."""

    name: str
    text: str
    codes: Codes

    @property
    def reference(self) -> Reference:
        """The clip as the recording of a speaker."""
        return Reference(self.name, self.text, codes=self.codes)


def encode_clips(
    clips: Sequence[Clip],
    codec: HiggsCodec,
    codec_weights: Path,
    cache: Path,
    say: Callable[[int], None] = lambda done: None,
) -> list[CodedClip]:
    """Codes of clips, from the cache where they have been encoded by the same weights before.

    Args:
        clips: What to encode.
        codec: The audio tokenizer.
        codec_weights: Its directory; its weights are part of the name under which codes are kept.
        cache: Folder for the codes; made if it is not there.
        say: Told after each clip how many are done.
    """
    cache.mkdir(parents=True, exist_ok=True)
    weights = hashlib.sha256()
    for path in sorted(codec_weights.glob("*.safetensors")):
        with path.open("rb") as file:
            weights.update(hashlib.file_digest(file, "sha256").digest())
    coded = []
    for done, clip in enumerate(clips, 1):
        sound = f"{clip.audio.sample_rate}|".encode() + clip.audio.samples.tobytes()
        path = cache / f"{hashlib.sha256(weights.digest() + sound).hexdigest()}.npy"
        if not path.is_file():
            part = path.with_suffix(".part.npy")
            np.save(part, codec.encode(clip.audio).values.astype(np.uint16))
            part.replace(path)
        codes = Codes(np.load(path), codec.frame_rate, codec.codebook_size)
        coded.append(CodedClip(clip.name, clip.text, codes))
        say(done)
    return coded


class VoiceSamples:
    """Samples of one voice, each step's decided by the seed and its number alone."""

    def __init__(
        self,
        training: Sequence[CodedClip],
        held_out: Sequence[CodedClip],
        prompts: PromptBuilder,
        *,
        stream_begin: int,
        stream_end: int,
        seed: int = 0,
    ) -> None:
        self.training = training
        self.seed = seed
        self._prompts = prompts
        self._stream = {"stream_begin": stream_begin, "stream_end": stream_end}
        self.held_out = [
            sample
            for index, clip in enumerate(held_out)
            for sample in (self._sample(clip, None), self._sample(clip, training[index % len(training)]))
        ]

    def batch(self, step: int, size: int) -> list[Sample]:
        """The samples of a step. Every clip comes once before any comes again."""
        return [self._drawn(number) for number in range(step * size, (step + 1) * size)]

    def _drawn(self, number: int) -> Sample:
        round_, place = divmod(number, len(self.training))
        order = list(range(len(self.training)))
        random.Random(f"{self.seed} {round_}").shuffle(order)
        clip = self.training[order[place]]
        chance = random.Random(f"{self.seed} {round_} {place}")
        others = [each for each in self.training if each is not clip]
        reference = chance.choice(others) if others and chance.random() < REFERENCE_SHARE else None
        return self._sample(clip, reference)

    def _sample(self, clip: CodedClip, reference: CodedClip | None) -> Sample:
        voice = Voice(reference=reference.reference if reference else None)
        conversation = Conversation((Line(0, clip.text),), (Speaker("", voice),))
        return make_sample(self._prompts, conversation, clip.codes, **self._stream)
