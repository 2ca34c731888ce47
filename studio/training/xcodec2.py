"""Train the small X-Codec2: `python -m studio.training.xcodec2 --minutes 60 --folder .training/xcodec2 [--resume]`.

The class is transformers' `Xcodec2Model` as it is; only the widths are small. Time decides the schedule, not a count
of steps: a slower or busier machine makes fewer steps of the same curriculum. The semantic encoder is trained along
(`Xcodec2Model.encode` would hold it fixed, so the steps are taken here one by one). The acoustic encoder's first block,
at 16 kHz nine tenths of its cost, is not trained but set to a lossless filter bank.

On a GPU (`--device cuda --batch 48 --rate 1e-3 --workers 14 --no-evaluation`) data lie on the card, and a step, from
drawing the segments to the optimiser, is one recording: nothing in it may look at a value on the host.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Xcodec2FeatureExtractor, Xcodec2Model

from studio.training.codec_evaluation import bundled_voices, evaluate_codec
from studio.training.corpus import make_corpus
from studio.training.deadline import add_end_by, minutes_until
from studio.training.library_corpus import speak_corpus
from studio.training.recorded_step import RecordedStep
from studio.training.tokenizer_model import Discriminators
from studio.training.xcodec2_data import Batch, Segments
from studio.training.xcodec2_loss import LATE, PARTS, PitchError, ReconstructionLoss
from studio.training.xcodec2_model import (
    HOP,
    SAMPLE_RATE,
    decoded,
    new_model,
    round_trip,
    save_checkpoint,
    small_config,
    uneven_use,
)

STATE = "state.pt"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint"
EVALUATION = "evaluation.json"
HELD_OUT_UTTERANCES = 40
STEPS_AHEAD = 25  # of the card that the host may be, so that the clock tells what has been done
LOUDEST_MAKE_UP = 1.5
TOLD = ("loss", *PARTS, "uneven", "pitch", "quiet", "norm", "theirs", "ours")


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the time it is given."""

    utterances: int = 10_000
    frames: int = 50  # of a segment
    batch: int = 8
    peak_rate: float = 5e-4  # of learning
    last_rate: float = 2e-5
    warmup_steps: int = 150
    free_share: float = 0.4  # of the time, until which more and more segments are quantised
    adversarial: float = 0.6  # of the time, from then on
    adversarial_weight: float = 0.5
    seed: int = 0
    save_seconds: float = 45.0
    log_seconds: float = 5.0


class Training:
    """A model, its discriminators, their optimisers and how far they have come; stops and goes on at any step."""

    def __init__(self, recipe: Recipe, folder: Path, device: str = "cpu") -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = torch.device(device)
        with torch.device("cpu"):
            model, discriminators = new_model(small_config(), recipe.seed), Discriminators()
            loss, pitch = ReconstructionLoss(SAMPLE_RATE, HOP), PitchError(SAMPLE_RATE, HOP)
        self.model: Xcodec2Model = model.to(self.device)  # type: ignore[arg-type]  # a wrapper hides its signature
        self.discriminators = discriminators.to(self.device)
        self.loss, self.pitch = loss.to(self.device), pitch.to(self.device)
        self.progress, self.rate = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimiser = self._optimiser(self.trained)
        self.their_optimiser = self._optimiser(list(self.discriminators.parameters()))
        self.step, self.seconds, self.make_up_gain = 0, 0.0, 1.0

    def _optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.AdamW:
        on_card = self.device.type == "cuda"
        return torch.optim.AdamW(parameters, self.rate, (0.8, 0.99), weight_decay=0.01, fused=True, capturable=on_card)

    def resume(self) -> None:
        """Go on where the folder's state stands."""
        state = torch.load(self.folder / STATE, weights_only=True, map_location=self.device)
        for name in ("model", "discriminators", "optimiser", "their_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        for optimiser in (self.optimiser, self.their_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.rate  # the tensor that `prepare` sets
        self.step, self.seconds, self.make_up_gain = state["step"], state["seconds"], state["make_up_gain"]

    def save(self) -> None:
        """Write the state, and the checkpoint as anybody would load it."""
        names = ("model", "discriminators", "optimiser", "their_optimiser")
        state = {name: getattr(self, name).state_dict() for name in names}
        state |= {"step": self.step, "seconds": self.seconds, "make_up_gain": self.make_up_gain}
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / STATE)
        save_checkpoint(self.model, self.folder / CHECKPOINT, self.make_up_gain)

    def prepare(self, progress: float) -> None:
        """Set what changes from step to step: how far the training has come, 0..1, and the rate of learning."""
        recipe = self.recipe
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        settling = min(1.0, max(0.0, (progress - LATE) / (1 - LATE)))
        rate = recipe.last_rate + (recipe.peak_rate - recipe.last_rate) * (1 + math.cos(math.pi * settling)) / 2
        self.rate.fill_(rate * warmth)
        self.progress.fill_(progress)

    def take_step(self, batch: Batch, *, adversarial: bool = False) -> Tensor:
        """One step; what is `TOLD`, as one tensor."""
        quantised = torch.rand(len(batch.audio), device=self.device) < self.progress / self.recipe.free_share
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            made = decoded(self.model, batch.audio, batch.features, quantised)
        audio = made.audio.float()
        loss, parts = self.loss(audio, batch.audio, made.made, self.progress)
        uneven, pitch = uneven_use(made.given), self.pitch(made.given, batch.audio)
        loss = loss + 0.1 * uneven + 3 * pitch
        theirs = ours = torch.zeros_like(pitch)
        if adversarial:
            with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
                theirs, ours = self.discriminators.losses(audio, batch.audio)
            loss = loss + self.recipe.adversarial_weight * ours
        norm = _descend(loss, self.trained, self.optimiser)
        if adversarial:  # last: the decoder's gradient needs their weights as they were
            _descend(theirs, list(self.discriminators.parameters()), self.their_optimiser)
        quiet = (batch.audio.square().mean() / (audio.square().mean() + 1e-8)).sqrt()
        return torch.stack([loss, *parts, uneven, pitch, quiet, norm, theirs, ours]).detach()

    def run(self, segments: Segments, minutes: float) -> None:
        """Train until the minutes of this and all earlier runs together are used up; log and save now and then."""
        torch.manual_seed(self.recipe.seed + self.step)
        plain, adversarial = (
            RecordedStep(
                lambda late=late: self.take_step(segments.draw(self.recipe.batch), adversarial=late), self.device
            )
            for late in (False, True)
        )
        told = list[Tensor]()
        saved = logged = last = time.monotonic()
        while self.seconds < minutes * 60:
            progress = self.seconds / (minutes * 60)
            self.prepare(progress)
            told.append((adversarial if progress >= self.recipe.adversarial else plain)())
            self.step += 1
            if self.step % STEPS_AHEAD == 0 and self.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if now - logged > self.recipe.log_seconds:
                self._log(told)
                told, logged = [], now
            if now - saved > self.recipe.save_seconds:
                self.save()
                saved = last = time.monotonic()
        if told:
            self._log(told)
        self.save()

    def _log(self, told: list[Tensor]) -> None:
        means = dict(zip(TOLD, torch.stack(told).mean(0).tolist(), strict=True))
        self.make_up_gain = min(LOUDEST_MAKE_UP, max(1.0, means["quiet"])) if math.isfinite(means["quiet"]) else 1.0
        line = {"step": self.step, "minutes": round(self.seconds / 60, 3), "steps": len(told)}
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line | {name: round(value, 4) for name, value in means.items()}) + "\n")


def _descend(loss: Tensor, parameters: list[nn.Parameter], optimiser: torch.optim.AdamW) -> Tensor:
    """Backward, and a step along gradients of norm 1 at most, or none where they are not finite. Tells the norm.

    Both are left to the fused optimiser, as `torch.amp.GradScaler` does it: the host need not know.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    norm = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    optimiser.grad_scale = norm.clamp(min=1.0)  # type: ignore[attr-defined]
    optimiser.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimiser.step()
    return norm


def evaluate(folder: Path) -> dict[str, dict[str, float]]:
    """Measure a checkpoint directory on held-out voices and sentences, and on the bundled voices."""
    model = Xcodec2Model.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    extractor = Xcodec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    held_out = make_corpus("held-out", HELD_OUT_UTTERANCES, SAMPLE_RATE)
    clips = {
        "held-out": [held_out.audio(index) for index in range(len(held_out.utterances))],
        "assets/voices": bundled_voices(),
    }
    return {
        name: evaluate_codec(each, lambda audio: round_trip(model, extractor, audio)) for name, each in clips.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training, then measure; with no minutes left, only measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of training in all, earlier runs included")
    parser.add_argument("--folder", type=Path, default=Path(".training/xcodec2"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=Recipe.utterances)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--frames", type=int, default=Recipe.frames, help="of a segment")
    parser.add_argument("--rate", type=float, default=Recipe.peak_rate, help="of learning, at its peak")
    parser.add_argument("--adversarial", type=float, default=Recipe.adversarial, help="share of the time; 1: never")
    parser.add_argument("--workers", type=int, default=2, help="processes that speak the corpus")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--evaluation", action=argparse.BooleanOptionalAction, default=True)
    add_end_by(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)  # the losses make their windows there
    recipe = Recipe(options.utterances, options.frames, options.batch, options.rate, adversarial=options.adversarial)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    training = Training(recipe, options.folder, options.device)
    if options.resume:
        training.resume()
    if training.seconds < options.minutes * 60:
        corpus = speak_corpus(recipe.utterances, SAMPLE_RATE, seed=recipe.seed, workers=options.workers)
        segments = Segments(corpus, recipe.frames, training.device)
        training.run(segments, minutes_until(options.minutes, options.end_by, training.seconds))
    if options.evaluation:
        with torch.device("cpu"):
            figures = evaluate(options.folder / CHECKPOINT)
        (options.folder / EVALUATION).write_text(json.dumps(figures, indent=2) + "\n")
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
