"""Train the small Higgs tokenizer: `python -m studio.training.tokenizer --minutes 60 --folder .training/tokenizer`.

In this order, decided by the processor's minutes: an autoencoder without quantisation whose waveform is right first (a
spectral loss alone whispers), then a residual quantiser begun from data, told with any number of codebooks so that the
bitrate ladder works, then ever more spectral loss, at the end adversarial. With `--decoder-only` encoder and codebooks
of an existing checkpoint stay as they are: every code ever made keeps its meaning and sounds better.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import HiggsAudioV2TokenizerModel

from studio.checkpoints import MINI
from studio.training.corpus import CACHE, Corpus, make_corpus
from studio.training.losses import (
    RESOLUTIONS,
    compressed_error,
    intelligibility_error,
    log_mel_error,
    spectrum,
    waveform_error,
)
from studio.training.tokenizer_model import (
    CODEBOOKS,
    HOP,
    SAMPLE_RATE,
    Discriminators,
    Quantiser,
    decoded,
    encoded,
    latents_of_codes,
    new_model,
    save_checkpoint,
    small_config,
)

START = MINI / "higgs-audio-v2-tokenizer-mini"
STATE, LOG, CHECKPOINT = "state.pt", "log.jsonl", "checkpoint"
STEPS_OF_A_LOG_LINE = 25


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the minutes it is given."""

    utterances: int = 10_000
    frames: int = 16  # of a segment: short ones and many steps give a voice sooner
    batch: int = 8
    rate: float = 1e-3
    last_rate: float = 5e-5
    warmup_steps: int = 50
    free: float = 0.35  # of the minutes: no quantiser until then
    adversarial: float = 0.6  # of the minutes: from then on
    settling: float = 0.75  # of the minutes: from then on the rate falls
    waveform_weight: float = 6.0  # at first; falls to a quarter
    beginning_batches: int = 80  # from which the codebooks begin
    decoder_only: bool = False
    seed: int = 0
    save_minutes: float = 3.0


class Segments:
    """Random segments of a corpus at random gains."""

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        self._corpus, self._length = corpus, recipe.frames * HOP
        self._usable = [each for each in corpus.utterances if each.length >= self._length]

    def batch(self, chance: np.random.Generator, count: int) -> Tensor:
        """Shape: float32 `[count, frames * hop]`, gains within ±6 dB."""
        rows = np.empty((count, self._length), np.float32)
        for row in rows:
            utterance = self._usable[chance.integers(len(self._usable))]
            start = utterance.start + chance.integers(utterance.length - self._length + 1)
            gain = 10 ** (chance.uniform(-6, 6) / 20)
            row[:] = self._corpus.samples[start : start + self._length].astype(np.float32) * (gain / 32768)
        return torch.from_numpy(rows)


class Training:
    """A tokenizer, its discriminators, their optimisers, and how far they have come."""

    def __init__(
        self, recipe: Recipe, folder: Path, start: Path | None = None, *, width: int = 256, device: str = "cpu"
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        if start:
            model = HiggsAudioV2TokenizerModel.from_pretrained(start, dtype=torch.float32, local_files_only=True)
        else:
            model = new_model(small_config(width), recipe.seed)
        self.model: HiggsAudioV2TokenizerModel = model.to(self.device)  # type: ignore[arg-type]  # a wrapper hides its signature
        self.model.semantic_model.requires_grad_(False)
        self.quantiser = Quantiser(self.model)
        self.discriminators = Discriminators().to(self.device)
        if recipe.decoder_only:
            self.model.requires_grad_(False)
            self.model.fc2.requires_grad_(True)
            self.model.acoustic_decoder.requires_grad_(True)
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, recipe.rate, (0.8, 0.99), weight_decay=0.01)
        self.their_optimiser = torch.optim.AdamW(self.discriminators.parameters(), 3e-4, (0.8, 0.99))
        self.quantised = recipe.decoder_only
        self.step, self.seconds = 0, 0.0

    def resume(self) -> None:
        """Go on where the folder's state stands."""
        state = torch.load(self.folder / STATE, weights_only=True, map_location=self.device)
        for name in ("model", "discriminators", "optimiser", "their_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds, self.quantised = state["step"], state["seconds"], state["quantised"]

    def save(self) -> None:
        """Write the state, and a checkpoint that anybody can load."""
        names = ("model", "discriminators", "optimiser", "their_optimiser")
        state = {name: getattr(self, name).state_dict() for name in names}
        state |= {"step": self.step, "seconds": self.seconds, "quantised": self.quantised}
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / STATE)
        save_checkpoint(self.model, self.folder / CHECKPOINT)

    def begin_codebooks(self, batch: Callable[[int], Tensor]) -> None:
        """Set the quantiser from what the encoder gives now."""
        rows: list[Tensor] = []
        with torch.no_grad():
            for _ in range(self.recipe.beginning_batches):
                rows.append(encoded(self.model, batch(self.recipe.batch)[:, None].to(self.device)).flatten(0, 1))
        self.quantiser.begin(torch.cat(rows))
        self.quantised = True

    def take_step(self, audio: Tensor, progress: float) -> dict[str, float]:
        """One step at a progress of 0..1. Shape: `[B, N]`. Returns the parts of the loss."""
        audio = audio.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            latents, apart = self._latents(audio)
            made = decoded(self.model, latents)
        made = made.float()
        loss, parts = self._reconstruction(made, audio, progress)
        loss = loss + apart
        if progress >= self.recipe.adversarial:
            loss = loss + self._adversarial(made, audio, parts)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(progress)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        return parts | {"apart": float(apart.detach())}

    def _latents(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        nothing = audio.new_zeros(())
        if self.recipe.decoder_only:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                codes = self.model.encode(audio[:, None]).audio_codes[..., : audio.shape[1] // HOP]
                kept = int(torch.randint(1, CODEBOOKS + 1, ())) if torch.rand(()) < 0.3 else CODEBOOKS
                return latents_of_codes(self.model, codes[:, :kept]), nothing
        given = encoded(self.model, audio[:, None])
        if not self.quantised:
            return given, nothing
        depth = torch.randint(1, CODEBOOKS + 1, (len(audio),), device=audio.device)
        depth[torch.rand(len(audio), device=audio.device) < 0.5] = CODEBOOKS
        with torch.autocast(self.device.type, enabled=False):
            return self.quantiser(given.float(), depth, learn=True)

    def _reconstruction(self, made: Tensor, audio: Tensor, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The waveform first, then spectra. Two resolutions a step."""
        wave = waveform_error(made, audio)
        phased = sized = mel = made.new_zeros(())
        for index in torch.randperm(len(RESOLUTIONS))[:2].tolist():
            n_fft, mels = RESOLUTIONS[index]
            spectra = spectrum(made, n_fft), spectrum(audio, n_fft)
            with_phase, without = compressed_error(*spectra)
            phased, sized = phased + with_phase / 2, sized + without / 2
            mel = mel + log_mel_error(*spectra, mels, SAMPLE_RATE) / 2
        unclear = intelligibility_error(made, audio, SAMPLE_RATE)
        late = 1.0 if self.recipe.decoder_only else min(1.0, progress / self.recipe.adversarial)
        weight = self.recipe.waveform_weight * (1 - 0.75 * late)
        loss = weight * wave + phased + (1 + late) * (sized + mel) + 3 * late * unclear
        parts = {"wave": wave, "phased": phased, "sized": sized, "mel": mel, "unclear": unclear}
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def _adversarial(self, made: Tensor, audio: Tensor, parts: dict[str, float]) -> Tensor:
        theirs = self.discriminators.own_loss(made, audio)
        self.their_optimiser.zero_grad(set_to_none=True)
        theirs.backward()
        self.their_optimiser.step()
        loss = self.discriminators.decoder_loss(made, audio)
        parts |= {"theirs": float(theirs.detach()), "ours": float(loss.detach())}
        return loss

    def _rate(self, progress: float) -> float:
        recipe = self.recipe
        settling = min(1.0, max(0.0, (progress - recipe.settling) / (1 - recipe.settling)))
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        return warmth * (recipe.rate + (recipe.last_rate - recipe.rate) * settling)

    def run(self, segments: Segments, minutes: float) -> None:
        """Train until the minutes of this and all earlier runs together are used up; log and save now and then."""
        chance = np.random.default_rng([self.recipe.seed, self.step])
        torch.manual_seed(self.recipe.seed + self.step)
        clock = time.process_time if self.device.type == "cpu" else time.monotonic
        logged, last, saved = list[dict[str, float]](), clock(), time.monotonic()
        while self.seconds < minutes * 60:
            progress = self.seconds / (minutes * 60)
            if not self.quantised and progress >= self.recipe.free:
                self.begin_codebooks(lambda count: segments.batch(chance, count))
            logged.append(self.take_step(segments.batch(chance, self.recipe.batch), progress))
            now = clock()
            self.seconds, last = self.seconds + now - last, now
            if self.step % STEPS_OF_A_LOG_LINE == 0:
                self._log(logged)
                logged = []
            if time.monotonic() - saved > self.recipe.save_minutes * 60:
                self.save()
                saved = time.monotonic()
        self.save()

    def _log(self, logged: list[dict[str, float]]) -> None:
        means = {key: round(float(np.mean([each[key] for each in logged if key in each])), 4) for key in logged[-1]}
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2), **means}
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of training in all, earlier runs included")
    parser.add_argument("--folder", type=Path, default=Path(".training/tokenizer"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--decoder-only", action="store_true", help="codes stay; goes on from --start")
    parser.add_argument("--start", type=Path, default=START, help="for --decoder-only")
    parser.add_argument("--utterances", type=int, default=Recipe.utterances)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--width", type=int, default=256, help="of the decoder, for a new tokenizer")
    parser.add_argument("--workers", type=int, default=1, help="espeak-ng processes while the corpus is made")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)  # the losses make their windows there
    recipe = Recipe(utterances=options.utterances, batch=options.batch)
    if options.decoder_only:
        recipe = replace(recipe, decoder_only=True, adversarial=0.3, rate=5e-4)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    corpus = make_corpus(
        "train", recipe.utterances, SAMPLE_RATE, seed=recipe.seed, cache=CACHE, workers=options.workers
    )
    start = options.start if options.decoder_only else None
    training = Training(recipe, options.folder, start, width=options.width, device=options.device)
    if options.resume:
        training.resume()
    training.run(Segments(corpus, recipe), options.minutes)


if __name__ == "__main__":
    main()
