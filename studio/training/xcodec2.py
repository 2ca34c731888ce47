"""Train the small X-Codec2: `python -m studio.training.xcodec2 --minutes 60 --folder .training/xcodec2 [--resume]`.

The class is transformers' `Xcodec2Model` as it is; only the widths are small. Time decides the schedule, not a count
of steps: a slower or busier machine makes fewer steps of the same curriculum. The semantic encoder is trained along
(`Xcodec2Model.encode` would hold it fixed, so the steps are taken here one by one).
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

from studio.torchaudio_on_cpu import make_torchaudio_importable
from studio.training.corpus import CACHE, Corpus, make_corpus

make_torchaudio_importable()
from transformers import (  # noqa: E402  after torchaudio has been made importable
    Wav2Vec2BertConfig,
    Xcodec2Config,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
)

from studio.training.losses import ReconstructionLoss  # noqa: E402

SAMPLE_RATE = 16_000  # Hz
HOP = 320  # samples a frame: 50 frames/s
STATE = "state.pt"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the time it is given."""

    utterances: int = 10_000
    frames: int = 50  # of a segment
    batch: int = 16
    peak_rate: float = 1.5e-3  # of learning
    last_rate: float = 2e-5
    warmup_steps: int = 200
    free_share: float = 0.12  # of the time, until which more and more segments are quantised
    waveform_share: float = 0.6  # of the time, until which the waveform leads less and less
    waveform_weights: tuple[float, float] = (4.0, 1.0)
    seed: int = 0
    save_minutes: float = 3.0


def small_config() -> Xcodec2Config:
    """50 frames/s, one codebook of 65,536, and widths for two CPU cores and 14 MB."""
    semantic = Wav2Vec2BertConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=384, conv_depthwise_kernel_size=7,
        feature_projection_input_dim=160, hidden_dropout=0.0, activation_dropout=0.0, attention_dropout=0.0,
        feat_proj_dropout=0.0, conformer_conv_dropout=0.0, layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0,
    )  # fmt: skip
    hidden_size = 288
    return Xcodec2Config(
        hidden_size=hidden_size, intermediate_size=896, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, head_dim=32, encoder_hidden_size=12, downsampling_ratios=[5, 4, 4, 4],
        semantic_model_config=semantic, quantization_dim=hidden_size + semantic.hidden_size, activation_dropout=0.0,
        max_position_embeddings=4096, sampling_rate=SAMPLE_RATE,
    )  # fmt: skip


def new_model(config: Xcodec2Config, seed: int = 0) -> Xcodec2Model:
    """A model whose narrow layers neither vanish nor blow up at the start.

    Every weight matrix is drawn with std `fan_in ** -0.5`, halved where a residual branch ends; the head starts
    quiet, at about the level of speech.
    """
    torch.manual_seed(seed)
    model = Xcodec2Model(config)
    ends = ("conv2", "o_proj", "fc2", "output_dense", "pointwise_conv2", "linear_out")
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                fan_in = module.weight[0].numel()
                halved = 0.5 if name.rsplit(".", 1)[-1] in ends else 1.0
                module.weight.normal_(std=halved * fan_in**-0.5)
                if module.bias is not None:
                    module.bias.zero_()
        head = model.acoustic_decoder.head.linear
        bins = head.weight.shape[0] // 2
        head.weight[:bins] *= 0.3
        head.bias[:bins] = -1.5
    return model


def decoded_latents(model: Xcodec2Model, audio: Tensor, features: Tensor, quantised: Tensor) -> Tensor:
    """Encoder, quantiser and decoder in one go, gradients everywhere.

    Args:
        audio: `[B, 1, T * hop]`.
        features: `[B, T, 160]`, normalised filter banks, two of 10 ms a frame.
        quantised: bool `[B]`; the others pass the quantiser bounded but not rounded.

    Returns:
        Waveforms `[B, T * hop]`.
    """
    semantic = model.semantic_adapter(model.semantic_encoder(features).last_hidden_state.transpose(1, 2))
    hidden = model.fc_encoder(torch.cat([semantic, model.acoustic_encoder(audio)], dim=1).transpose(1, 2))
    quantizer = model.quantizer
    bounded = quantizer.quantizer.bound(quantizer.project_in(hidden).float())
    rounded, _ = quantizer.quantizer(bounded)
    free = quantizer.quantizer.bound(bounded) / (quantizer.quantizer.levels // 2)
    latents = quantizer.project_out(torch.where(quantised[:, None, None], rounded, free))
    return model.acoustic_decoder(latents)[:, 0]


class Segments:
    """Random segments of a corpus with the features their whole utterance gives them."""

    def __init__(self, corpus: Corpus, folder: Path, recipe: Recipe) -> None:
        self.corpus = corpus
        self.recipe = recipe
        self.lengths = np.array([-(-(each.length + 1) // HOP) for each in corpus.utterances])  # frames
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        path = folder / f"features-{len(corpus.utterances)}.npy"
        if not path.is_file():
            self._extract(path)
        self.features = np.load(path, mmap_mode="r")  # float16 [all frames, 160]
        self.usable = np.flatnonzero(self.lengths >= recipe.frames)

    def _extract(self, path: Path) -> None:
        extractor = Xcodec2FeatureExtractor()
        part = path.with_suffix(".part.npy")
        shape = (int(self.starts[-1]), 160)
        features = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
        for index, (start, length) in enumerate(zip(self.starts, self.lengths, strict=False)):
            inputs = extractor(self.corpus.audio(index).samples[0], sampling_rate=SAMPLE_RATE, return_tensors="pt")
            features[start : start + length] = inputs["input_features"][0, :length].numpy()
        features.flush()
        part.rename(path)

    def batch(self, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Waveforms `[B, 1, frames * hop]` at random gains of ±6 dB, features `[B, frames, 160]`."""
        frames, batch = self.recipe.frames, self.recipe.batch
        audio = np.zeros((batch, 1, frames * HOP), np.float32)
        features = np.zeros((batch, frames, 160), np.float32)
        for row, index in enumerate(chance.choice(self.usable, batch)):
            first = int(chance.integers(self.lengths[index] - frames + 1))
            utterance = self.corpus.utterances[index]
            start = utterance.start + first * HOP
            part = self.corpus.samples[start : min(start + frames * HOP, utterance.start + utterance.length)]
            audio[row, 0, : len(part)] = part
            features[row] = self.features[self.starts[index] + first : self.starts[index] + first + frames]
        gains = 10 ** (chance.uniform(-6, 6, (batch, 1, 1)) / 20) / 32768
        return torch.from_numpy(audio * np.float32(gains)), torch.from_numpy(features)


class Training:
    """A model, its optimiser and how far they have come; stops and goes on at any step."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self.model = new_model(small_config(), recipe.seed).train()
        self.loss = ReconstructionLoss(SAMPLE_RATE)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), recipe.peak_rate, (0.8, 0.99), weight_decay=0.01)
        self.step = 0
        self.seconds = 0.0

    def resume(self) -> None:
        """Go on where the folder's state stands."""
        state = torch.load(self.folder / STATE, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, and the checkpoint as anybody would load it."""
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(state | {"step": self.step, "seconds": self.seconds}, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / STATE)
        save_checkpoint(self.model, self.folder / CHECKPOINT)

    def take_step(self, audio: Tensor, features: Tensor, progress: float) -> dict[str, float]:
        """One step at a progress of 0..1. Returns the parts of the loss."""
        recipe = self.recipe
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        rate = recipe.last_rate + (recipe.peak_rate - recipe.last_rate) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate * warmth
        quantised = torch.rand(len(audio)) < progress / recipe.free_share
        early, late = recipe.waveform_weights
        weight = early + (late - early) * min(1.0, progress / recipe.waveform_share)
        with torch.autocast("cpu", torch.bfloat16):
            decoded = decoded_latents(self.model, audio, features, quantised)
        loss, parts = self.loss(decoded, audio[:, 0], weight)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        return {"loss": float(loss.detach()), **parts, "norm": float(norm)}

    def run(self, segments: Segments, minutes: float) -> None:
        """Train until the minutes of this and all earlier runs together are used up; log and save now and then."""
        chance = np.random.default_rng([self.recipe.seed, self.step])
        torch.manual_seed(self.recipe.seed + self.step)
        logged: list[dict[str, float]] = []
        saved = last = time.monotonic()
        while self.seconds < minutes * 60:
            logged.append(self.take_step(*segments.batch(chance), self.seconds / (minutes * 60)))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if self.step % 100 == 0:
                means = {key: round(float(np.mean([each[key] for each in logged])), 4) for key in logged[0]}
                line = json.dumps({"step": self.step, "minutes": round(self.seconds / 60, 2), **means})
                with (self.folder / LOG).open("a") as file:
                    file.write(line + "\n")
                logged.clear()
            if now - saved > self.recipe.save_minutes * 60:
                self.save()
                saved = time.monotonic()
        self.save()


def save_checkpoint(model: Xcodec2Model, folder: Path) -> None:
    """A from_pretrained directory: weights in float16, and the feature extractor's settings."""
    half = Xcodec2Model(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.float16).save_pretrained(folder)
    Xcodec2FeatureExtractor(hop_length=model.config.hop_length).save_pretrained(folder)


def main() -> None:
    """Train, or go on training, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, default=Path(".training/xcodec2"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=Recipe.utterances)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = Recipe(utterances=options.utterances)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    corpus = make_corpus("train", recipe.utterances, SAMPLE_RATE, seed=recipe.seed, cache=CACHE)
    segments = Segments(corpus, options.folder, recipe)
    training = Training(recipe, options.folder)
    if options.resume:
        training.resume()
    training.run(segments, options.minutes)


if __name__ == "__main__":
    main()
