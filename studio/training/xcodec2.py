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
BANDS, BAND_FRAMES = 8, HOP // 8  # what the fixed front makes of a frame
FEATURES = 160  # two filter banks of 80, 10 ms each
FRONT_GAINS = (6.0, 12.0, 24.0, 32.0, 40.0, 48.0, 64.0, 80.0)  # speech has less and less above: even it out
STATE = "state.pt"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the time it is given."""

    utterances: int = 10_000
    frames: int = 50  # of a segment
    batch: int = 8
    peak_rate: float = 7e-4  # of learning
    last_rate: float = 2e-5
    warmup_steps: int = 150
    free_share: float = 0.08  # of the time, until which more and more segments are quantised
    seed: int = 0
    save_minutes: float = 3.0


def small_config() -> Xcodec2Config:
    """50 frames/s, one codebook of 65,536, and widths for two CPU cores and 14 MB."""
    semantic = Wav2Vec2BertConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=384, conv_depthwise_kernel_size=7,
        feature_projection_input_dim=FEATURES, hidden_dropout=0.0, activation_dropout=0.0, attention_dropout=0.0,
        feat_proj_dropout=0.0, conformer_conv_dropout=0.0, layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0,
    )  # fmt: skip
    hidden_size = 288
    return Xcodec2Config(
        hidden_size=hidden_size, intermediate_size=896, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, head_dim=32, encoder_hidden_size=4, downsampling_ratios=[8, 5, 4, 2],
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
        _set_filter_bank(model)
        head = model.acoustic_decoder.head.linear
        bins = head.weight.shape[0] // 2
        head.weight[:bins] *= 0.3
        head.bias[:bins] = -1.5
        _set_pulse(head, bins)
    return model


def _set_filter_bank(model: Xcodec2Model) -> None:
    """Make the encoder's first block a modified cosine transform: `[B, 1, N]` to `[B, 8, N / 8]`, lossless and linear.

    Its residual units add nothing and its snake is straight, so channel 0 carries the waveform to the strided
    convolution, whose kernels are the sine-windowed cosines (Princen, Johnson and Bradley, 1987).
    """
    encoder = model.acoustic_encoder
    block = encoder.block[0]
    encoder.conv1.weight.zero_()
    encoder.conv1.weight[0, 0, 3] = 1.0
    for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
        unit.conv2.weight.zero_()
    block.snake1.act.beta.fill_(9.0)  # divides the sine's square by e^9
    bands, taps = block.conv1.weight.shape[0], block.conv1.weight.shape[2]
    time_index, band = torch.arange(taps) + 0.5, torch.arange(bands)[:, None] + 0.5
    cosines = torch.cos(math.pi / bands * (time_index + bands / 2) * band) * (2 / bands) ** 0.5
    block.conv1.weight.zero_()
    gains = torch.tensor(FRONT_GAINS)[:, None]
    block.conv1.weight[:, 0] = gains * cosines * torch.sin(math.pi * time_index / taps)
    encoder.conv1.requires_grad_(False)
    block.requires_grad_(False)


def _set_pulse(head: nn.Linear, bins: int) -> None:
    """Start the head with one pulse in the middle of each frame, which one direction of the hidden state moves.

    Phases of chance would start every frame as noise that cancels its neighbours. A pulse at `p` samples of a window
    of `n` has the phase `-2 pi b p / n` in bin `b`.
    """
    slope = -2 * math.pi * torch.arange(bins) / (2 * (bins - 1))  # radians a sample
    direction = torch.randn(head.weight.shape[1])
    head.weight[bins:] = 0.2 * head.weight[bins:] + slope[:, None] * 8.0 * direction / direction.norm()
    head.bias[bins:] = torch.remainder(slope * (bins - 1), 2 * math.pi)


def front(model: Xcodec2Model, audio: Tensor) -> Tensor:
    """The acoustic encoder's fixed part, without what is multiplied by zero. Shape: `[B, 1, N]` to `[B, 8, N / 8]`."""
    block = model.acoustic_encoder.block[0]
    straight = block.snake1.downsample(block.snake1.upsample(audio))
    return nn.functional.conv1d(straight, block.conv1.weight[:, :1], None, block.conv1.stride, block.conv1.padding)


def _behind_front(model: Xcodec2Model, bands: Tensor) -> Tensor:
    encoder = model.acoustic_encoder
    for block in encoder.block[1:]:
        bands = block(bands)
    return encoder.conv2(encoder.snake1(bands))


def decoded_latents(
    model: Xcodec2Model, bands: Tensor, features: Tensor, quantised: Tensor
) -> tuple[Tensor, Tensor]:
    """Encoder, quantiser and decoder in one go, gradients everywhere.

    Args:
        bands: `[B, 8, T * hop / 8]`, what `front` makes of the waveforms.
        features: `[B, T, 160]`, normalised filter banks, two of 10 ms a frame.
        quantised: bool `[B]`; the others pass the quantiser bounded but not rounded.

    Returns:
        Waveforms `[B, T * hop]`, and what the quantiser is given before it bounds it, `[B, T, 8]`.
    """
    semantic = model.semantic_adapter(model.semantic_encoder(features).last_hidden_state.transpose(1, 2))
    hidden = model.fc_encoder(torch.cat([semantic, _behind_front(model, bands)], dim=1).transpose(1, 2))
    quantizer = model.quantizer
    given = quantizer.project_in(hidden).float()
    bounded = quantizer.quantizer.bound(given)
    rounded, _ = quantizer.quantizer(bounded)
    free = quantizer.quantizer.bound(bounded) / (quantizer.quantizer.levels // 2)
    latents = quantizer.project_out(torch.where(quantised[:, None, None], rounded, free))
    return model.acoustic_decoder(latents)[:, 0], given


def uneven_use(given: Tensor) -> Tensor:
    """How far the quantiser's inputs are from using its levels equally often and independently: 0 at best.

    The quantiser bounds twice, with its four levels parted at -0.81, -0.24 and 0.41: a normal distribution around
    -0.22 with a deviation of 0.9 uses them evenly. Left alone, inputs grow until only the outer two are used.
    Shape: `[B, T, 8]` to `[]`.
    """
    rows = given.flatten(0, 1)
    centred = (rows + 0.22) / 0.9
    moments = centred.T @ centred / len(rows)
    return (moments - torch.eye(rows.shape[1])).square().sum(1).mean() + centred.mean(0).square().mean()


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
        extractor, model = Xcodec2FeatureExtractor(), new_model(small_config())
        total = int(self.starts[-1])
        features = np.lib.format.open_memmap(features_path, "w+", np.float16, (total, FEATURES))
        bands = np.lib.format.open_memmap(bands_path.with_suffix(".part"), "w+", np.float16, (total, BAND_FRAMES, BANDS))
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
        return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))


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

    def take_step(self, batch: Batch, progress: float) -> dict[str, float]:
        """One step at a progress of 0..1. Returns the parts of the loss."""
        recipe = self.recipe
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        rate = recipe.last_rate + (recipe.peak_rate - recipe.last_rate) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate * warmth
        quantised = torch.rand(len(batch.audio)) < progress / recipe.free_share
        with torch.autocast("cpu", torch.bfloat16):
            decoded, given = decoded_latents(self.model, batch.bands, batch.features, quantised)
        loss, parts = self.loss(decoded, batch.audio, self.made, progress)
        uneven = uneven_use(given)
        loss = loss + 0.1 * uneven
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._trained(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        return {"loss": float(loss.detach()), **parts, "uneven": float(uneven.detach()), "norm": float(norm)}

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
