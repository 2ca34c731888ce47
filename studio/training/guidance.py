"""Keep to the reference's voice more than the data ask for: `python -m studio.training.guidance --minutes 12`.

Classifier-free guidance (Ho and Salimans, 2022; for language models Sanchez and others, 2023) reads a prompt with and
without the reference recordings and goes further in the direction of the difference: at twice the difference the small
model's clones are nearest to their own voice in 76 instead of 61 of 100 cases. It asks for two passes a frame. Here a
model learns to say in one pass what its teacher, the checkpoint it begins as, says in two (distilled guidance: Meng and
others, 2023). This is the last stage of a training; what has no reference is to stay as it was.

It learns from what it says itself, spoken anew every few steps (Agarwal and others, 2024, "On-policy distillation"):
recordings tell in every frame before whose voice it is, so that on them the teacher with guidance differs from the one
without by 0.02 nats, and nothing is learnt. What strays from the voice is what the model says.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from studio.codes import Codes
from studio.engine.decoder import Decoder, Request
from studio.engine.prompt import PromptBuilder
from studio.sampling import Sampling
from studio.training.deadline import minutes_until
from studio.training.speech import START, Batches, Recipe, Training, add_arguments
from studio.training.speech_model import Batch, TrainingPass, pack
from studio.training.speech_samples import IGNORED, Dialogue, Mixture, Sample, SampleDrawer, own_codes

FOLDER = Path(".training/guidance")
SCALE = 2.0  # 1: as the teacher; at 3 clones of the small model came no nearer to their voices
LONGEST = 1.5  # times as long as it was spoken
TEMPERATURES = (0.3, 0.5, 0.5, 0.8)  # as people draw
SLOTS, SLOTS_GPU = 8, 64  # rows spoken at once
RECIPE = Recipe(rate=2e-4, last_rate=1e-5, warmup_steps=20, settling=0.3, begins_at=1.0)  # in the last mixture


@dataclass(frozen=True, eq=False)
class GuidedSample(Sample):
    """A sample of which only what is spoken last is asked, and the same without its references, where it has any."""

    untold: Sample | None


@dataclass(frozen=True, eq=False)
class GuidedBatch(Batch):
    """A batch, and those of its samples that have references without them."""

    untold: Batch | None
    guided: Tensor  # int64 [U]: which of the rows asked are those that `untold` asks

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        told = Batch(**{each.name: getattr(self, each.name) for each in fields(Batch)})._each(change)
        untold = self.untold._each(change) if self.untold else None
        return type(self)(**vars(told), untold=untold, guided=change(self.guided))


def without_voices(dialogue: Dialogue) -> Dialogue | None:
    """The same words without reference recordings and earlier lines, descriptions kept; None if there are neither."""
    conversation = dialogue.conversation
    if not conversation.references and not dialogue.earlier:
        return None
    speakers = tuple(
        replace(speaker, voice=replace(speaker.voice, reference=None)) for speaker in conversation.speakers
    )
    return Dialogue(replace(conversation, speakers=speakers, references_in="turns"), dialogue.spoken)


def guided_sample(drawer: SampleDrawer, dialogue: Dialogue) -> GuidedSample:
    """A dialogue with and without its references."""
    told, without = drawer.sample(dialogue), without_voices(dialogue)
    labels = told.labels.clone()
    labels[: -len(drawer.prompts.delayed(dialogue.spoken))] = IGNORED
    untold = drawer.sample(without) if without else None
    return GuidedSample(**vars(replace(told, labels=labels)), untold=untold)


def pack_guided(samples: Sequence[GuidedSample], audio_tokens: tuple[int, int]) -> GuidedBatch:
    """Lay samples out, and beside them those without references. Where letters are read is not asked here."""
    asked = torch.cat([(sample.labels != IGNORED).any(1) for sample in samples])
    has_voices = torch.cat([torch.full((len(sample.labels),), sample.untold is not None) for sample in samples])
    untold = [sample.untold for sample in samples if sample.untold is not None]
    return GuidedBatch(
        **vars(_unled(pack(samples, audio_tokens))),
        untold=_unled(pack(untold, audio_tokens)) if untold else None,
        guided=has_voices[asked].nonzero()[:, 0],
    )


def _unled(batch: Batch) -> Batch:
    return replace(batch, led=batch.led[:0], led_to=batch.led_to[:0])


class GuidedBatches(Batches):
    """Batches of conversations as they are spoken by whoever learns, with and without their references."""

    speak: Callable[[Sequence[Dialogue], random.Random], list[Codes]]

    def samples(self, chance: random.Random, mixture: Mixture, positions: int) -> list[GuidedSample]:
        """About so many positions."""
        dialogues, drawn = list[Dialogue](), 0
        while drawn < positions:
            dialogues.append(self.drawer.dialogue(chance, mixture))
            drawn += self.drawer.sample(dialogues[-1]).length
        spoken = self.speak(dialogues, chance)
        said = [replace(dialogue, spoken=codes) for dialogue, codes in zip(dialogues, spoken, strict=True)]
        return [guided_sample(self.drawer, dialogue) for dialogue in said if dialogue.spoken.frames]

    def packed(self, samples: Sequence[Sample]) -> GuidedBatch:
        """A batch of these samples."""
        return pack_guided([each for each in samples if isinstance(each, GuidedSample)], self.audio_tokens)


class GuidedTraining(Training):
    """A model that learns what its teacher, itself as it began, says with guidance."""

    def __init__(self, recipe: Recipe, folder: Path, start: Path, device: str = "cpu", *, scale: float = SCALE) -> None:
        super().__init__(recipe, folder, start, device)
        self.scale = scale
        self.trained = list(self.model.parameters())  # nothing else is asked
        self.teacher = TrainingPass(deepcopy(self.model).requires_grad_(False))

    def batches(self, codes: Path) -> GuidedBatches:
        """Batches from a corpus, spoken by the model as it is by then."""
        made = GuidedBatches(codes, self.prompts(), self.training_pass.audio_tokens, self.recipe)
        made.speak = partial(self.speak, made.drawer.prompts)
        return made

    def speak(self, prompts: PromptBuilder, dialogues: Sequence[Dialogue], chance: random.Random) -> list[Codes]:
        """Conversations as the model says them now; none is longer than half as long again as it was spoken."""
        slots = SLOTS if self.device.type == "cpu" else SLOTS_GPU
        decoder = Decoder(deepcopy(self.model).requires_grad_(False), slots=slots, prefix_bytes=0)
        requests = []
        for dialogue in dialogues:
            frames = round(LONGEST * dialogue.spoken.frames) + 8
            prompt = prompts.build(dialogue.conversation, own_codes, frames, dialogue.earlier)
            sampling = Sampling(temperature=chance.choice(TEMPERATURES), seed=chance.getrandbits(32))
            requests.append(Request(prompt, sampling, frames))
        values = dict[int, np.ndarray]()
        for progress in decoder.decode(requests):
            values |= {index: decoded.values for index, decoded in progress.finished.items()}
        return [
            Codes(values[index], dialogue.spoken.frame_rate, dialogue.spoken.codebook_size)
            for index, dialogue in enumerate(dialogues)
        ]

    @torch.no_grad()
    def targets(self, batch: GuidedBatch) -> Tensor:
        """What the teacher says is to come, guided where there are references. Shape: `[A, K, V]`, in nats below 0."""
        said = self.teacher.logits(self.teacher.heard(batch))
        if batch.untold is not None:
            untold = self.teacher.logits(self.teacher.heard(batch.untold))
            said[batch.guided] = untold.lerp(said[batch.guided], self.scale)
        return said.log_softmax(-1)

    def take_step(self, batch: Batch, progress: float) -> Tensor:
        """One step at a progress of 0..1. Returns how far each codebook is from what it should say. Shape: `[K]`.

        In nats: the Kullback-Leibler divergence of what is said from the targets.
        """
        batch = batch.to(self.device)
        assert isinstance(batch, GuidedBatch)
        with torch.autocast(self.device.type, torch.bfloat16):
            targets = self.targets(batch)
            said = self.training_pass.logits(self.training_pass.heard(batch)).log_softmax(-1)
        apart = functional.kl_div(said, targets, reduction="none", log_target=True).sum(-1)
        asked = batch.labels != IGNORED
        losses = (apart * asked).sum(0) / asked.sum(0).clamp(min=1)
        self._descend((losses * self.training_pass.weights(1.0)).sum(), progress)
        return losses.detach()

    def told(self, means: list[float]) -> dict[str, object]:
        """What a line of the log says."""
        return {"apart": means}


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, 12.0, FOLDER, RECIPE)
    parser.add_argument("--teacher", type=Path, default=START, help="directory of the checkpoint to begin as")
    parser.add_argument("--scale", type=float, default=SCALE, help="of guidance; 1 is none")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(RECIPE.seed)
    recipe = replace(RECIPE, positions=options.positions, rate=options.rate)
    options.folder.mkdir(parents=True, exist_ok=True)
    facts = {"scale": options.scale, **asdict(recipe)}
    (options.folder / "recipe.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    training = GuidedTraining(recipe, options.folder, options.teacher, options.device, scale=options.scale)
    if options.resume:
        training.resume()
    batches = training.batches(options.codes)
    training.run(batches, minutes_until(options.minutes, options.end_by, training.seconds))


if __name__ == "__main__":
    main()
