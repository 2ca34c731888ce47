"""Train the small Higgs tokenizer: `python -m studio.training.tokenizer --minutes 60 --folder .training/tokenizer`.

It begins as the principal components of speech and their inverse. In this order, decided by the minutes (the
processor's on a CPU): what the codes will say blurred by noise, waveform first (a spectral loss alone whispers), then
rounded to codes, told with any number of codebooks so that the bitrate ladder works, with ever more weight on spectra,
at the end adversarial. All the while the first codebook is asked for the phones and the first two for the pitch: codes
that a language model is to write should begin with the words. With `--go-on` an existing checkpoint is trained further,
without the beginning. With `--decoder-only` its encoder stays as it is: every code ever made keeps its meaning and
sounds better.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import HiggsAudioV2TokenizerModel

from studio.checkpoints import MINI
from studio.training.deadline import add_end_by, minutes_until
from studio.training.losses import intelligibility_error, loudness_error, spectral_errors, waveform_error
from studio.training.recorded_step import RecordedStep
from studio.training.spoken_speech import FOLDER as SPOKEN
from studio.training.spoken_speech import SpokenSpeech, SpokenUtterance, read_spoken_speech, shards_of
from studio.training.tokenizer_model import (
    CODEBOOKS,
    HOP,
    SAMPLE_RATE,
    Discriminators,
    Questions,
    begin_with_principal_components,
    blurred,
    decoded,
    encoded,
    fuse_snakes,
    hears_semantics,
    new_model,
    out_of_range,
    rounded,
    save_checkpoint,
    small_config,
    without_last_codebooks,
)

START = MINI / "higgs-audio-v2-tokenizer-mini"
STATE, LOG, CHECKPOINT = "state.pt", "log.jsonl", "checkpoint"
STEPS_OF_A_LOG_LINE = 25
PARTS = ("wave", "phased", "sized", "mel", "unclear", "loudness", "phones", "pitch", "beyond", "theirs", "ours", "norm")

Stage = Literal["blurred", "rounded", "adversarial"]


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the minutes it is given and the corpus."""

    frames: int = 20  # of a segment: short ones and many steps give a voice sooner
    batch: int = 8
    rate: float = 8e-4
    last_rate: float = 4e-5
    warmup_steps: int = 100
    blurred: float = 0.1  # of the minutes: no codes until then
    adversarial: float = 0.45  # of the minutes: from then on
    settling: float = 0.6  # of the minutes: from then on the rate falls
    waveform_weight: float = 2.0  # at first; falls to a tenth
    shortened: float = 0.3  # of the segments are told by some of the codebooks
    phone_weight: float = 0.3
    pitch_weight: float = 0.5
    beginning_segments: int = 400  # from which the layers begin
    discriminator_width: int = 16
    periods: tuple[int, ...] = ()  # of further discriminators
    goes_on: bool = False  # from a checkpoint whose codes sound already
    decoder_only: bool = False
    seed: int = 0
    save_minutes: float = 3.0


class Segments:
    """Random segments of a corpus at random gains, drawn where the training runs."""

    def __init__(self, speech: SpokenSpeech, frames: int, device: torch.device) -> None:
        self._frames = frames
        starts = [
            each.start + np.arange(each.frames - frames + 1) for each in speech.utterances if each.frames >= frames
        ]
        self._starts = torch.from_numpy(np.concatenate(starts)).to(device)
        self._samples = torch.from_numpy(speech.samples).to(device)
        self._phones = torch.from_numpy(speech.times[:, 2:].astype(np.uint8)).to(device)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Segments at gains within ±6 dB. Shapes: float32 `[count, T * hop]`, int64 `[count, T, 2]`: phones."""
        device = self._starts.device
        chosen = self._starts[torch.randint(len(self._starts), (count,), device=device)]
        rows = chosen[:, None] + torch.arange(self._frames, device=device)
        gains = 10 ** ((torch.rand(count, 1, device=device) * 12 - 6) / 20) / 32768
        return self._samples[rows].flatten(1).float() * gains, self._phones[rows].long()


class Training:
    """A tokenizer, its discriminators, their optimisers, and how far they have come."""

    def __init__(
        self, recipe: Recipe, folder: Path, start: Path | None = None, *, width: int = 512, device: str = "cpu"
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        if start:
            with torch.device("cpu"):  # whatever the default is: nothing is to be spread over devices
                model = HiggsAudioV2TokenizerModel.from_pretrained(start, dtype=torch.float32, local_files_only=True)
        else:
            model = new_model(small_config(width), recipe.seed)
        if hears_semantics(model):
            raise ValueError("the training pass knows tokenizers without semantics only")
        self.model: HiggsAudioV2TokenizerModel = model.to(self.device)  # type: ignore[arg-type]  # a wrapper hides its signature
        if self.device.type == "cuda":
            fuse_snakes()
        self.discriminators = Discriminators(recipe.discriminator_width, recipe.periods).to(self.device)
        self.questions = Questions().to(self.device)
        heard = (self.model.acoustic_decoder, self.model.fc2)
        trained = heard if recipe.decoder_only else (self.model.acoustic_encoder, self.model.fc, *heard, self.questions)
        self.model.requires_grad_(False)
        for part in trained:
            part.requires_grad_(True)
        self.trained = [each for part in trained for each in part.parameters()]
        self.optimiser = self._optimiser(self.trained, recipe.rate)
        self.their_optimiser = self._optimiser(list(self.discriminators.parameters()), 3e-4)
        self.step, self.seconds = 0, 0.0

    def _optimiser(self, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters,
            torch.tensor(rate, device=self.device),
            (0.8, 0.99),
            weight_decay=0.01,
            fused=True,
            capturable=self.device.type == "cuda",
        )

    def resume(self) -> None:
        """Go on where the folder's state stands."""
        state = torch.load(self.folder / STATE, weights_only=True, map_location=self.device)
        for name in ("model", "discriminators", "questions", "optimiser", "their_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, and a checkpoint that anybody can load."""
        names = ("model", "discriminators", "questions", "optimiser", "their_optimiser")
        state = {name: getattr(self, name).state_dict() for name in names}
        state |= {"step": self.step, "seconds": self.seconds}
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / STATE)
        save_checkpoint(self.model, self.folder / CHECKPOINT)

    def begin(self, segments: Segments) -> None:
        """Set a new model's layers from data."""
        begin_with_principal_components(self.model, segments.draw(self.recipe.beginning_segments)[0][:, None])

    def stage(self, progress: float) -> Stage:
        """What is trained at a progress of 0..1."""
        if progress >= self.recipe.adversarial:
            return "adversarial"
        return "blurred" if progress < self.recipe.blurred and not self.recipe.goes_on else "rounded"

    def take_step(self, audio: Tensor, phones: Tensor, progress: Tensor, stage: Stage) -> Tensor:
        """One step, without a look at any value.

        Args:
            audio: float32 `[B, T * hop]`.
            phones: int64 `[B, T, 2]`.
            progress: float32 `[]`, 0..1.
            stage: What belongs to the step.

        Returns:
            The parts of the loss, as `PARTS` names them.
        """
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):  # a recording must not find casts
            latents, told, beyond = self._latents(audio, stage)
            made = decoded(self.model, latents).float()
            theirs, ours = self.discriminators.losses(made, audio) if stage == "adversarial" else made.new_zeros(2)
        phone_loss, pitch_loss = self.questions.phone_loss(told, phones), self.questions.pitch_loss(told, audio)
        loss, parts = self._reconstruction(made, audio, progress)
        loss = loss + beyond + ours
        if not self.recipe.decoder_only:
            loss = loss + self.recipe.phone_weight * phone_loss + self.recipe.pitch_weight * pitch_loss
        self.optimiser.zero_grad(set_to_none=True)
        self.their_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if stage == "adversarial":
            theirs.backward()
            self.their_optimiser.step()
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]  # read by fused optimisers: then nothing moves
        self.optimiser.step()
        return torch.stack([*parts, phone_loss, pitch_loss, beyond, theirs, ours, norm]).detach()

    def _latents(self, audio: Tensor, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
        """What the decoder is given, what all codebooks say, and how much of it they cannot say."""
        with torch.set_grad_enabled(not self.recipe.decoder_only):
            given = encoded(self.model, audio[:, None]).float()
        told = blurred(given) if stage == "blurred" else rounded(given)
        depth = torch.randint(1, CODEBOOKS + 1, (len(audio),), device=audio.device)
        is_short = torch.rand(len(audio), device=audio.device) < self.recipe.shortened
        depth = torch.where(is_short, depth, CODEBOOKS)
        return without_last_codebooks(told, depth), told, out_of_range(given)

    def _reconstruction(self, made: Tensor, audio: Tensor, progress: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The waveform first, then spectra and how they are heard. Shapes: `[B, N]` twice, to `[]` and six of `[]`."""
        wave = waveform_error(made, audio)
        phased, sized, mel = spectral_errors(made, audio, SAMPLE_RATE)
        unclear = intelligibility_error(made, audio, SAMPLE_RATE)
        loudness = loudness_error(made, audio, SAMPLE_RATE)
        late = torch.ones_like(progress) if self.recipe.goes_on else progress / self.recipe.adversarial
        late = late.clamp(max=1.0)
        weight = self.recipe.waveform_weight * (1 - 0.9 * late)
        loss = weight * wave + phased + (1 + late) * (sized + mel) + late * (3 * unclear + 6 * loudness)
        return loss, (wave, phased, sized, mel, unclear, loudness)

    def _rate(self, progress: float) -> float:
        recipe = self.recipe
        settling = min(1.0, max(0.0, (progress - recipe.settling) / (1 - recipe.settling)))
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        return warmth * (recipe.rate + (recipe.last_rate - recipe.rate) * settling)

    def run(self, segments: Segments, minutes: float) -> None:
        """Train until the minutes of this and all earlier runs together are used up; log and save now and then."""
        torch.manual_seed(self.recipe.seed + self.step)
        clock = time.process_time if self.device.type == "cpu" else time.monotonic
        recorded: tuple[Stage, RecordedStep] | None = None
        logged, last, saved = list[Tensor](), clock(), time.monotonic()
        while (progress := self.seconds / (minutes * 60)) < 1:
            stage = self.stage(progress)
            if recorded is None or recorded[0] != stage:
                recorded = stage, self._recorded(segments, stage)
            for group in self.optimiser.param_groups:
                group["lr"].fill_(self._rate(progress))
            logged.append(recorded[1](torch.tensor(progress, device=self.device)))
            self.step += 1
            if self.step % STEPS_OF_A_LOG_LINE == 0:
                self._log(logged)
                logged = []
            now = clock()
            self.seconds, last = self.seconds + now - last, now
            if time.monotonic() - saved > self.recipe.save_minutes * 60:
                self.save()
                saved = time.monotonic()
        if logged:
            self._log(logged)
        self.save()

    def _recorded(self, segments: Segments, stage: Stage) -> RecordedStep:
        for optimiser in (self.optimiser, self.their_optimiser):
            optimiser.zero_grad(set_to_none=True)
        draw, batch = segments.draw, self.recipe.batch
        return RecordedStep(lambda progress: self.take_step(*draw(batch), progress, stage), self.device)

    def _log(self, logged: list[Tensor]) -> None:
        means = torch.stack(logged).mean(0).tolist()
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2)}
        line |= {name: round(value, 4) for name, value in zip(PARTS, means, strict=True)}
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")


def rehearse(recipe: Recipe, width: int, device: torch.device) -> None:
    """A step of each stage on noise by a model that is thrown away, while the speech is still being made.

    What a GPU's libraries load, plan and compile on first use takes as long as a thousand steps.
    """
    frames = 4 * recipe.frames
    noise = np.random.default_rng(0).integers(-3000, 3000, (frames, HOP)).astype(np.int16)
    utterance = SpokenUtterance("", "line", 0, "feminine", 0, frames)
    segments = Segments(SpokenSpeech((utterance,), noise, np.zeros((frames, 4), np.int16)), recipe.frames, device)
    training = Training(recipe, Path(), width=width, device=str(device))
    training.begin(segments)
    stages: tuple[Stage, ...] = ("blurred", "rounded", "adversarial")
    for stage in stages:
        training.take_step(*segments.draw(recipe.batch), torch.zeros((), device=device), stage)


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of training in all, earlier runs included")
    parser.add_argument("--folder", type=Path, default=Path(".training/tokenizer"))
    parser.add_argument("--spoken", type=Path, default=SPOKEN, help="made by studio.training.spoken_speech")
    parser.add_argument("--wait-for", type=int, default=0, help="so many shards, if another process makes them")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--go-on", action="store_true", help="from --start; codes change")
    parser.add_argument("--decoder-only", action="store_true", help="from --start; codes stay")
    parser.add_argument("--start", type=Path, default=START, help="directory of the checkpoint to go on from")
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--width", type=int, default=512, help="of the decoder, for a new tokenizer")
    parser.add_argument("--large-discriminators", action="store_true", help="for a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    add_end_by(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)  # the losses make their windows there
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = 3  # to try more plans of a hundred shapes takes most of a minute
    recipe = Recipe(batch=options.batch)
    if options.large_discriminators:
        recipe = replace(recipe, discriminator_width=32, periods=(2, 3, 5, 7, 11))
    goes_on = options.go_on or options.decoder_only
    if goes_on:
        recipe = replace(recipe, goes_on=True, adversarial=0.05, rate=6e-4, settling=0.5)
    if options.decoder_only:
        recipe = replace(recipe, decoder_only=True, adversarial=0.3, rate=5e-4, settling=Recipe.settling)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    start = options.start if goes_on else None
    training = Training(recipe, options.folder, start, width=options.width, device=options.device)
    if options.resume:
        training.resume()
    if training.device.type == "cuda":
        rehearse(recipe, options.width, training.device)
    while len(shards_of(options.spoken)) < options.wait_for:
        time.sleep(0.1)
    segments = Segments(read_spoken_speech(options.spoken), recipe.frames, training.device)
    if not training.step and not goes_on:
        training.begin(segments)
    minutes = minutes_until(options.minutes, options.end_by, training.seconds)
    training.run(segments, minutes)


if __name__ == "__main__":
    main()
