"""Training a checkpoint on one voice: steps, held-out loss, early stop, and a state from which it goes on.

The loss is the library's (mean cross entropy over all codes) with the end of stream kept as a label. What a step sees
is decided by the seed and the step's number, so a training that was interrupted ends where it would have ended.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import HiggsAudioV2ForConditionalGeneration

from studio.errors import StudioError
from studio.training.speech_samples import IGNORED, Sample
from studio.training.voice_samples import VoiceSamples

STATE, BEST = "state.pt", "best.safetensors"
POSITIONS_AT_ONCE = 4_096  # padding included: longer batches are taken in parts, with the same gradient
LARGE_PARAMETERS = 1_000_000_000  # from here on activations are computed again instead of kept


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides model and voice."""

    steps: int | None = None  # at most
    minutes: float | None = None  # at most, all runs together; evaluations included
    rate: float = 2e-4  # of learning, at its peak
    last_rate_share: float = 0.1
    warmup_steps: int = 20
    batch: int = 8
    evaluate_every: int = 20  # steps
    patience: int = 8  # evaluations without a better held-out loss, then it ends
    save_every_seconds: float = 120.0
    seed: int = 0

    def progress(self, step: int, seconds: float) -> float:
        """How much of what it may take is used up. 0..1."""
        shares = [step / self.steps] if self.steps is not None else []
        shares += [seconds / (60 * self.minutes)] if self.minutes is not None else []
        return min(1.0, max(shares, default=1.0))

    def rate_at(self, step: int, progress: float) -> float:
        """Rises over the first steps, then falls along a cosine."""
        low = self.rate * self.last_rate_share
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return warm * (low + (self.rate - low) * (1 + math.cos(math.pi * progress)) / 2)


@dataclass(frozen=True)
class Progress:
    """How far a training is, after an evaluation."""

    step: int
    loss: float  # nats a code, mean since the last evaluation; of held-out clips before the first step
    held_out_loss: float  # nats a code
    best_loss: float
    best_step: int
    seconds: float
    seconds_left: float  # if it is not ended early


class VoiceTraining:
    """A model, its optimiser and how far they have come. Stops and goes on at any step."""

    def __init__(
        self, model: HiggsAudioV2ForConditionalGeneration, samples: VoiceSamples, recipe: Recipe, folder: Path
    ) -> None:
        """Prepare a training of those parameters that require gradients.

        Args:
            model: Adapters, if any, are in its modules already.
            samples: What it learns from.
            recipe: How.
            folder: Where the state is kept.
        """
        self.model = model
        self.samples = samples
        self.recipe = recipe
        self.folder = folder
        self.parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self.optimiser = torch.optim.AdamW(self.parameters.values(), recipe.rate, (0.9, 0.98), weight_decay=0.01)
        if sum(each.numel() for each in model.parameters()) >= LARGE_PARAMETERS:
            model.activation_checkpointing_enable({"use_reentrant": False})
        self.step = 0
        self.seconds = 0.0
        self.first_loss = self.best_loss = math.inf
        self.best_step = 0

    def run(self, stopped: Callable[[], bool] = lambda: False, until: int | None = None) -> Iterator[Progress]:
        """Train until the recipe's end, an early stop, or a stop from outside; then `use_best` gives the result.

        Args:
            stopped: Asked after every step; true saves the state and ends the run.
            until: Save the state and end the run at this step, though the recipe goes on.

        Yields:
            Progress before the first step and after every evaluation.
        """
        if self.step == 0:
            yield self._evaluated(())
        losses: list[float] = []
        seen = self.step if self.step == 0 else -1  # the step of the last evaluation
        saved = last = time.monotonic()
        while not self.finished and self.step != until and not stopped():
            losses.append(self.take_step())
            evaluated = self.step % self.recipe.evaluate_every == 0 or self.step == self.recipe.steps
            if evaluated:
                progress, seen = self._evaluated(losses), self.step
                losses.clear()
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if evaluated:
                yield progress
            if now - saved > self.recipe.save_every_seconds:
                self.save()
                saved = now
        if self.finished and self.step != seen:
            yield self._evaluated(losses)
        self.save()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: the recipe is used up, or the held-out loss has long not fallen."""
        patience = self.recipe.patience * self.recipe.evaluate_every
        return self.recipe.progress(self.step, self.seconds) >= 1 or self.step - self.best_step >= patience

    def take_step(self) -> float:
        """One step of the optimiser; returns the loss before it, in nats a code."""
        self.model.train()
        rate = self.recipe.rate_at(self.step, self.recipe.progress(self.step, self.seconds))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        batch = self.samples.batch(self.step, self.recipe.batch)
        codes = sum(_asked(sample) for sample in batch)
        total = 0.0
        for part in in_parts(batch):
            loss = summed_loss(self.model, part) / codes
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimiser.step()
        self.step += 1
        return total

    def held_out_loss(self) -> float:
        """Mean cross entropy of the held-out clips' codes in nats, with and without a reference before them."""
        return mean_loss(self.model, self.samples.held_out)

    def _evaluated(self, losses: Sequence[float]) -> Progress:
        loss = self.held_out_loss()
        if not math.isfinite(loss):
            raise StudioError("The training has come apart: its loss is not finite. Start again with a lower --rate.")
        if self.step == 0:
            self.first_loss = loss
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.step
            self._write_best()
        mean = sum(losses) / len(losses) if losses else loss
        return Progress(self.step, mean, loss, self.best_loss, self.best_step, self.seconds, self._seconds_left())

    def _seconds_left(self) -> float:
        by_time = math.inf if self.recipe.minutes is None else 60 * self.recipe.minutes - self.seconds
        rest = math.inf if self.recipe.steps is None else self.recipe.steps - self.step
        by_steps = rest * self.seconds / self.step if self.step else math.inf
        return max(0.0, min(by_time, by_steps))

    # ---- on disk ----

    def _write_best(self) -> None:
        part = self.folder / "best.part"
        save_file({name: each.detach().contiguous().cpu() for name, each in self.parameters.items()}, part)
        part.replace(self.folder / BEST)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state: dict[str, Any] = {
            "parameters": {name: each.detach() for name, each in self.parameters.items()},
            "optimiser": self.optimiser.state_dict(),
            **{name: getattr(self, name) for name in ("step", "seconds", "first_loss", "best_loss", "best_step")},
        }
        part = self.folder / "state.part"
        torch.save(state, part)
        part.replace(self.folder / STATE)

    def resume(self) -> None:
        """Go on where the folder's state stands.

        Raises:
            StudioError: there is none, or it belongs to another model or method.
        """
        if not (self.folder / STATE).is_file():
            raise StudioError(f"There is nothing to go on with in {self.folder}. Start without --resume.")
        state = torch.load(self.folder / STATE, map_location=self.model.device, weights_only=True)
        if {name: each.shape for name, each in state["parameters"].items()} != {
            name: each.shape for name, each in self.parameters.items()
        }:
            raise StudioError(
                f"The state in {self.folder} is of another checkpoint or method. Give those it was begun with, or "
                "another --out."
            )
        self._take_over(state["parameters"])
        self.optimiser.load_state_dict(state["optimiser"])
        for name in ("step", "seconds", "first_loss", "best_loss", "best_step"):
            setattr(self, name, state[name])

    def use_best(self) -> None:
        """Give the model the parameters of the lowest held-out loss."""
        self._take_over(load_file(self.folder / BEST))

    @torch.no_grad()
    def _take_over(self, parameters: dict[str, Tensor]) -> None:
        for name, value in parameters.items():
            self.parameters[name].copy_(value)


# ---- the loss ----


def _asked(sample: Sample) -> int:
    return int((sample.labels != IGNORED).sum())


def in_parts(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Samples of like length together, each part small enough for one pass."""
    part: list[Sample] = []
    for sample in sorted(samples, key=lambda each: each.length):
        if part and sample.length * (len(part) + 1) > POSITIONS_AT_ONCE:
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


def summed_loss(model: HiggsAudioV2ForConditionalGeneration, samples: Sequence[Sample]) -> Tensor:
    """Cross entropy of every code that is asked, added up, in nats. Shape: `[]`."""
    device, config = model.device, model.config
    longest = max(sample.length for sample in samples)
    ids = torch.full((len(samples), longest), config.pad_token_id or 0)
    attended = torch.zeros((len(samples), longest), dtype=torch.int64)
    for index, sample in enumerate(samples):
        ids[index, : sample.length] = sample.token_ids
        attended[index, : sample.length] = 1
    rows = torch.cat([sample.audio_rows for sample in samples]).to(device)  # [R, K]
    labels = torch.cat([sample.labels for sample in samples]).to(device)  # [R, K]
    ids = ids.to(device)
    hidden = model.model(
        input_ids=ids, attention_mask=attended.to(device), audio_input_ids=rows[None], use_cache=False
    ).last_hidden_state
    asked = (labels != IGNORED).any(-1)
    is_audio = (ids == config.audio_token_id) | (ids == config.audio_delay_token_id)
    logits = model.audio_lm_head(hidden[is_audio][asked]).float()
    flat = logits.view(-1, config.codebook_size)
    return functional.cross_entropy(flat, labels[asked].flatten(), ignore_index=IGNORED, reduction="sum")


@torch.no_grad()
def mean_loss(model: HiggsAudioV2ForConditionalGeneration, samples: Sequence[Sample]) -> float:
    """Mean cross entropy of the codes of samples, in nats."""
    model.eval()
    total = sum(float(summed_loss(model, part)) for part in in_parts(samples))
    return total / sum(map(_asked, samples))
