"""Train the small X-Codec2: `python -m studio.training.xcodec2 --minutes 60 --folder .training/xcodec2 [--resume]`.

The class is transformers' `Xcodec2Model` as it is; only the widths are small. Time decides the schedule, not a count
of steps: a slower or busier machine makes fewer steps of the same curriculum. The semantic encoder is trained along
(`Xcodec2Model.encode` would hold it fixed, so the steps are taken here one by one). The acoustic encoder's first block,
at 16 kHz nine tenths of its cost, is not trained but set to a lossless filter bank and computed once for the corpus.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Xcodec2FeatureExtractor, Xcodec2Model

from studio.training.codec_evaluation import bundled_voices, evaluate_codec
from studio.training.corpus import CACHE, Corpus, make_corpus
from studio.training.losses import LATE, ReconstructionLoss, pitch_error
from studio.training.xcodec2_model import (
    BAND_FRAMES,
    BANDS,
    FEATURES,
    HOP,
    SAMPLE_RATE,
    decoded_latents,
    front,
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


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the time it is given."""

    utterances: int = 10_000
    frames: int = 50  # of a segment
    batch: int = 8
    peak_rate: float = 5e-4  # of learning
    last_rate: float = 2e-5
    warmup_steps: int = 150
    free_share: float = 0.45  # of the time, until which more and more segments are quantised
    seed: int = 0
    save_minutes: float = 3.0


class Segments:
    """Random segments of a corpus, with the features and filter bank outputs that their whole utterances give."""

    def __init__(self, corpus: Corpus, folder: Path, recipe: Recipe) -> None:
        self.corpus = corpus
        self.recipe = recipe
        self.lengths = np.array([-(-(each.length + 1) // HOP) for each in corpus.utterances])  # frames
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.usable = np.flatnonzero(self.lengths >= recipe.frames)
        paths = [folder / f"{name}-{len(corpus.utterances)}.npy" for name in ("features", "bands")]
        if not paths[1].is_file():
            self._extract(*paths)
        self.features, self.bands = (np.load(path, mmap_mode="r") for path in paths)  # float16, [all frames, ...]

    @torch.inference_mode()
    def _extract(self, features_path: Path, bands_path: Path) -> None:
        with torch.device("cpu"):
            extractor, model = Xcodec2FeatureExtractor(), new_model(small_config())
        total = int(self.starts[-1])
        features = np.lib.format.open_memmap(features_path, "w+", np.float16, (total, FEATURES))
        bands = np.lib.format.open_memmap(
            bands_path.with_suffix(".part"), "w+", np.float16, (total, BAND_FRAMES, BANDS)
        )
        for index, (start, length) in enumerate(zip(self.starts, self.lengths, strict=False)):
            inputs = extractor(self.corpus.audio(index).samples[0], sampling_rate=SAMPLE_RATE, return_tensors="pt")
            features[start : start + length] = inputs["input_features"][0, :length].numpy()
            made = front(model, inputs["input_values"])[0, :, : length * BAND_FRAMES]
            bands[start : start + length] = made.T.reshape(length, BAND_FRAMES, BANDS).numpy()
        features.flush()
        bands.flush()
        bands_path.with_suffix(".part").rename(bands_path)

    def batch(self, chance: np.random.Generator) -> "Batch":
        """Segments at random gains of ±6 dB."""
        frames, rows = self.recipe.frames, []
        for index in chance.choice(self.usable, self.recipe.batch):
            first = int(chance.integers(self.lengths[index] - frames + 1))
            utterance = self.corpus.utterances[index]
            start = utterance.start + first * HOP
            samples = self.corpus.samples[start : min(start + frames * HOP, utterance.start + utterance.length)]
            gain = np.float32(10 ** (chance.uniform(-6, 6) / 20))
            where = slice(self.starts[index] + first, self.starts[index] + first + frames)
            rows.append(
                (
                    np.pad(samples, (0, frames * HOP - len(samples))) * (gain / 32768),
                    self.bands[where].reshape(-1, BANDS).T * gain,
                    self.features[where].astype(np.float32),
                )
            )
        device = torch.get_default_device()
        return Batch(*(torch.from_numpy(np.stack(column)).to(device) for column in zip(*rows, strict=True)))


@dataclass(frozen=True)
class Batch:
    """Segments of equal length."""

    audio: Tensor  # float32 [B, T * hop]
    bands: Tensor  # float32 [B, 8, T * hop / 8]
    features: Tensor  # float32 [B, T, 160]


class Training:
    """A model, its optimiser and how far they have come; stops and goes on at any step."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self.model = new_model(small_config(), recipe.seed).train()
        self.loss = ReconstructionLoss(SAMPLE_RATE, HOP)
        self.optimiser = torch.optim.AdamW(self._trained(), recipe.peak_rate, (0.8, 0.99), weight_decay=0.01)
        self.made = torch.empty(0)  # by the decoder's head, before the inverse transform
        self.model.acoustic_decoder.head.linear.register_forward_hook(self._keep)
        self.step = 0
        self.seconds = 0.0

    def _keep(self, _module: nn.Module, _inputs: object, made: Tensor) -> None:
        self.made = made

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def resume(self) -> None:
        """Go on where the folder's state stands."""
        state = torch.load(self.folder / STATE, weights_only=True, map_location=torch.get_default_device())
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, and the checkpoint as anybody would load it."""
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(state | {"step": self.step, "seconds": self.seconds}, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / STATE)
        save_checkpoint(self.model, self.folder / CHECKPOINT)

    def take_step(self, batch: Batch, progress: float) -> dict[str, float]:
        """One step at a progress of 0..1. Returns the parts of the loss."""
        recipe = self.recipe
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        settling = min(1.0, max(0.0, (progress - LATE) / (1 - LATE)))
        rate = recipe.last_rate + (recipe.peak_rate - recipe.last_rate) * (1 + math.cos(math.pi * settling)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate * warmth
        quantised = torch.rand(len(batch.audio)) < progress / recipe.free_share
        with torch.autocast(batch.audio.device.type, torch.bfloat16):
            decoded, given = decoded_latents(self.model, batch.bands, batch.features, quantised)
        loss, parts = self.loss(decoded, batch.audio, self.made, progress)
        uneven = uneven_use(given)
        pitch = pitch_error(given, batch.audio, HOP, SAMPLE_RATE)
        loss = loss + 0.1 * uneven + 3 * pitch
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._trained(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        return {
            "loss": float(loss.detach()),
            **parts,
            "uneven": float(uneven.detach()),
            "pitch": float(pitch.detach()),
            "norm": float(norm),
        }

    def run(self, segments: Segments, minutes: float) -> None:
        """Train until the minutes of this and all earlier runs together are used up; log and save now and then."""
        chance = np.random.default_rng([self.recipe.seed, self.step])
        torch.manual_seed(self.recipe.seed + self.step)
        logged: list[dict[str, float]] = []
        saved = last = time.monotonic()
        while self.seconds < minutes * 60:
            logged.append(self.take_step(segments.batch(chance), self.seconds / (minutes * 60)))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if self.step % 50 == 0:
                means = {key: round(float(np.mean([each[key] for each in logged])), 4) for key in logged[0]}
                line = json.dumps({"step": self.step, "minutes": round(self.seconds / 60, 2), **means})
                with (self.folder / LOG).open("a") as file:
                    file.write(line + "\n")
                logged.clear()
            if now - saved > self.recipe.save_minutes * 60:
                self.save()
                saved = time.monotonic()
        self.save()


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
    parser.add_argument("--workers", type=int, default=2, help="espeak-ng processes while the corpus is made")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    recipe = Recipe(utterances=options.utterances, batch=options.batch)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    corpus = make_corpus(
        "train", recipe.utterances, SAMPLE_RATE, seed=recipe.seed, cache=CACHE, workers=options.workers
    )
    segments = Segments(corpus, options.folder, recipe)
    training = Training(recipe, options.folder)
    if options.resume:
        training.resume()
    training.run(segments, options.minutes)
    with torch.device("cpu"):
        figures = evaluate(options.folder / CHECKPOINT)
    (options.folder / EVALUATION).write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
