"""The small Higgs tokenizer: its widths, how its weights begin, its training pass.

The class is transformers' `HiggsAudioV2TokenizerModel` as it is. Its residual quantiser learns nothing here: every
codebook is a grid of four levels in five dimensions of its own (finite scalar quantisation: Mentzer and others, 2023),
so that nearest neighbours are roundings, no code dies, and the encoder alone decides what forty numbers a frame say.
The published model hears words by HuBERT; of a small one nothing is known, so its share is zero here, and the first
codebooks are asked for phones and pitch instead.

Nothing here looks at a value on the host, so that a step can be recorded (`recorded_step.py`).
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    DacConfig,
    DacFeatureExtractor,
    HiggsAudioV2TokenizerConfig,
    HiggsAudioV2TokenizerModel,
    HubertConfig,
)
from transformers.models.dac.modeling_dac import Snake1d

from studio.training.losses import SPEECH_LEVEL
from studio.training.pitch_track import PitchTrack
from studio.training.timed_speech import PHONE_CLASSES

SAMPLE_RATE = 24_000  # Hz
HOP = 960  # samples a frame: 25 frames/s
CODEBOOKS, CODEBOOK_SIZE = 8, 1024
LEVELS, CODE_DIMENSIONS = 4, 5  # of a codebook's grid: 4 ** 5 codes
WIDEST = 1.8  # of what is rounded to -1.5, -0.5, 0.5 or 1.5
DEVIATION = 1.1  # of evenly used levels


def small_config(width: int = 512) -> HiggsAudioV2TokenizerConfig:
    """24 kHz, 25 frames/s, 8 codebooks of 1024, ladder of 0.5 to 2 kbit/s.

    Args:
        width: of the decoder's first layer and the encoder's last one, a multiple of 32; every step in rate halves it.
    """
    acoustic = DacConfig(  # type: ignore[call-arg]  # a wrapper of transformers hides its signature
        encoder_hidden_size=width // 32, decoder_hidden_size=width, hidden_size=96, codebook_dim=8,
        sampling_rate=16_000, downsampling_ratios=[8, 5, 2, 4, 3], upsampling_ratios=[3, 4, 2, 5, 8],
    )  # fmt: skip
    semantic = HubertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, conv_dim=[16] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return HiggsAudioV2TokenizerConfig(
        target_bandwidths=[0.5, 1, 1.5, 2], sample_rate=SAMPLE_RATE, semantic_sample_rate=16_000, downsample_factor=320,
        codebook_size=CODEBOOK_SIZE, codebook_dim=CODE_DIMENSIONS, acoustic_model_config=acoustic.to_dict(),
        semantic_model_config=semantic.to_dict(),
    )  # fmt: skip


def new_model(config: HiggsAudioV2TokenizerConfig, seed: int = 0) -> HiggsAudioV2TokenizerModel:
    """A model whose narrow layers do not vanish, and that begins almost linear.

    Weights have std `fan_in ** -0.5`, a twentieth of it where a residual branch ends; snakes outside of these begin at
    0.1. The semantic encoder's share is zero.
    """
    torch.manual_seed(seed)
    model = HiggsAudioV2TokenizerModel(config)
    with torch.no_grad():
        for part in (model.acoustic_encoder, model.acoustic_decoder):
            for name, module in part.named_modules():
                if isinstance(module, nn.Conv1d):
                    scale = 0.05 if "res_unit" in name and name.endswith("conv2") else 1.0
                    nn.init.normal_(module.weight, std=scale * module.weight[0].numel() ** -0.5)
                elif isinstance(module, Snake1d) and "res_unit" not in name:
                    module.alpha.fill_(0.1)
        model.fc.weight[:, _acoustic_size(model) :] = 0
        _set_grids(model)
    return model


def places_in_grid() -> Tensor:
    """Where each code of a codebook stands in each of its dimensions. Shape: int64 `[1024, 5]`, 0..3."""
    return torch.arange(CODEBOOK_SIZE)[:, None] // LEVELS ** torch.arange(CODE_DIMENSIONS) % LEVELS


def _set_grids(model: HiggsAudioV2TokenizerModel) -> None:
    """Make every codebook a grid in its own dimensions of what the quantiser is given."""
    steps: list[Any] = list(model.quantizer.quantizers)
    for index, step in enumerate(steps):
        step.requires_grad_(False)
        own = torch.arange(CODE_DIMENSIONS)
        for linear in (step.project_in, step.project_out):
            linear.weight.zero_()
            linear.bias.zero_()
        step.project_in.weight[own, index * CODE_DIMENSIONS + own] = 1
        step.project_out.weight[index * CODE_DIMENSIONS + own, own] = 1
        step.codebook.embed.copy_(places_in_grid() - (LEVELS - 1) / 2)
        step.codebook.embed_avg.copy_(step.codebook.embed)
        step.codebook.cluster_size.fill_(1)


@torch.no_grad()
def begin_with_principal_components(model: HiggsAudioV2TokenizerModel, audio: Tensor) -> None:
    """Set the strided layers so that the whole begins as a transform and its inverse.

    Drawn by chance, a network first finds silence, which is the smallest error where the phase is unknown, and takes
    thousands of steps to leave it. Here each step down in rate keeps the principal components of the samples it joins,
    and the decoder's step up puts them back: its ratios are the encoder's, backwards. Shape: `[B, 1, N]`.
    """
    encoder, decoder = model.acoustic_encoder, model.acoustic_decoder
    for layer in (encoder.conv1, decoder.conv2):  # one channel carries the waveform, the others what chance gave them
        layer.bias.zero_()
    encoder.conv1.weight[0] = 0
    encoder.conv1.weight[0, 0, 3] = 1
    encoder.conv1.weight.div_(SPEECH_LEVEL)  # loud enough for the snakes of residual branches to bend it
    decoder.conv2.weight.zero_()
    decoder.conv2.weight[0, 0, 3] = SPEECH_LEVEL
    hidden = encoder.conv1(audio)
    for down, up in zip(encoder.block, reversed(decoder.block), strict=True):
        for unit in (down.res_unit1, down.res_unit2, down.res_unit3, down.snake1):
            hidden = unit(hidden)
        pad, stride, kept = down.conv1.padding[0], down.conv1.stride[0], down.conv1.out_channels
        directions, loudest = _principal(hidden, stride, kept)
        own = slice(pad, pad + stride)  # the samples that are this step's alone
        for layer, gain in ((down.conv1, 1 / loudest), (up.conv_t1, loudest)):  # [kept, channels, 2 * stride] both
            layer.weight.zero_()
            layer.weight[: len(directions), :, own] = directions * gain
            layer.bias.zero_()
        hidden = down.conv1(hidden)
    directions, loudest = _principal(encoder.snake1(hidden), 1, encoder.conv2.out_channels)
    directions = directions[..., 0]
    for layer in (encoder.conv2, decoder.conv1):
        layer.weight.zero_()
        layer.bias.zero_()
    encoder.conv2.weight[: len(directions), :, encoder.conv2.padding[0]] = directions / loudest
    decoder.conv1.weight[:, : len(directions), decoder.conv1.padding[0]] = directions.T * loudest
    given = encoder.conv2(encoder.snake1(hidden))
    gains = DEVIATION / (given.square().mean((0, 2)).sqrt() + 1e-3)  # every level is used, also of faint directions
    for linear, scale in ((model.fc, gains), (model.fc2, 1 / gains)):
        linear.weight.zero_()
        linear.weight[: len(scale), : len(scale)] = torch.diag(scale)
        linear.bias.zero_()


def _principal(hidden: Tensor, stride: int, kept: int) -> tuple[Tensor, Tensor]:
    """The directions of most variance of blocks of `stride`, and how loud the first is: what is too loud snakes bend.

    Shape: `[B, C, N]` to `[min(kept, C * stride), C, stride]` and `[]`, a root mean square.
    """
    channels = hidden.shape[1]
    whole = hidden[..., : hidden.shape[2] // stride * stride]
    rows = whole.unflatten(2, (-1, stride)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1).double()
    squares, directions = torch.linalg.eigh(rows.T @ rows / len(rows))  # ascending
    directions = directions.flip(1)[:, :kept].T.float().unflatten(1, (channels, stride))
    return directions, squares[-1].sqrt().float()


def _acoustic_size(model: HiggsAudioV2TokenizerModel) -> int:
    return int(model.acoustic_encoder.conv2.out_channels)


def hears_semantics(model: HiggsAudioV2TokenizerModel) -> bool:
    """Whether the semantic encoder has any share in the codes."""
    return bool(model.fc.weight[:, _acoustic_size(model) :].any())


def encoded(model: HiggsAudioV2TokenizerModel, audio: Tensor) -> Tensor:
    """What the quantiser is given by a model without semantics. Shape: `[B, 1, T * hop]` to `[B, T, C]`."""
    acoustic = model.acoustic_encoder(audio).transpose(1, 2)
    return nn.functional.linear(acoustic, model.fc.weight[:, : acoustic.shape[2]], model.fc.bias)


def decoded(model: HiggsAudioV2TokenizerModel, latents: Tensor) -> Tensor:
    """Sound of what the quantiser gives. Shape: `[B, T, C]` to `[B, T * hop]`."""
    return model.acoustic_decoder(model.fc2(latents).transpose(1, 2))[:, 0]


def fuse_snakes() -> None:
    """Let every snake of this process be one compiled kernel each way instead of a dozen: for a GPU."""
    torch._dynamo.config.recompile_limit = 32  # with and without gradients, and for some bounds of the size
    Snake1d.forward = _fused_snake  # type: ignore[method-assign]


def _fused_snake(self: Snake1d, hidden: Tensor) -> Tensor:
    # a copy, since compilers hold the shapes of parameters to be fixed, and here each layer has another
    return _snake(hidden, self.alpha.clone())


@torch.compile(dynamic=True)
def _snake(hidden: Tensor, alpha: Tensor) -> Tensor:
    bent = hidden + (alpha + 1e-9).reciprocal() * torch.sin(alpha * hidden).square()
    return bent.to(hidden.dtype)


def latents_of_codes(model: HiggsAudioV2TokenizerModel, codes: Tensor) -> Tensor:
    """The sum of what the codes stand for. Shape: int64 `[B, K, T]` to `[B, T, C]`."""
    return model.quantizer.decode(codes.transpose(0, 1)).transpose(1, 2)


def rounded(given: Tensor) -> Tensor:
    """What the codes of all codebooks stand for, gradients passed straight through. Shape: `[B, T, C]` twice.

    Of the C dimensions the first `CODEBOOKS * CODE_DIMENSIONS` are told, the others are zero.
    """
    told = given[..., : CODEBOOKS * CODE_DIMENSIONS]
    nearest = told.clamp(-WIDEST, WIDEST).sub(0.5).round().add(0.5)
    return _padded(told + (nearest - told).detach(), given)


def blurred(given: Tensor) -> Tensor:
    """As uncertain as what is rounded, but smooth: for a beginning. Shape: `[B, T, C]` twice."""
    told = given[..., : CODEBOOKS * CODE_DIMENSIONS]
    return _padded(told + torch.rand_like(told) - 0.5, given)


def _padded(told: Tensor, like: Tensor) -> Tensor:
    return nn.functional.pad(told, (0, like.shape[-1] - told.shape[-1]))


def without_last_codebooks(told: Tensor, depth: Tensor) -> Tensor:
    """What the first codebooks tell, as many as `depth`, int64 `[B]`, says. Shape: `[B, T, C]` twice."""
    dimensions = torch.arange(told.shape[-1], device=told.device)
    return told * (dimensions < depth[:, None] * CODE_DIMENSIONS)[:, None]


def out_of_range(given: Tensor) -> Tensor:
    """How far what is to be rounded lies beyond the outer levels. Shape: `[B, T, C]` to `[]`."""
    told = given[..., : CODEBOOKS * CODE_DIMENSIONS]
    return (told.abs() - WIDEST).clamp(min=0).square().mean()


class Questions(nn.Module):
    """What the first codebooks are asked for, so that codes begin with what a language model can know of a text.

    The first one for the two phones of a frame, the first two for the pitch and its phase.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pitch = PitchTrack(SAMPLE_RATE, HOP // 2)  # of each half frame
        self.to_phones = nn.Sequential(nn.Linear(CODE_DIMENSIONS, 256), nn.SiLU(), nn.Linear(256, 2 * PHONE_CLASSES))
        self.to_pitch = nn.Sequential(nn.Linear(2 * CODE_DIMENSIONS, 128), nn.SiLU(), nn.Linear(128, 3))

    def phone_loss(self, told: Tensor, phones: Tensor) -> Tensor:
        """Cross entropy in nats. Shapes: `[B, T, C]`, int64 `[B, T, 2]`, to `[]`."""
        said = self.to_phones(told[..., :CODE_DIMENSIONS]).view(-1, PHONE_CLASSES)
        return nn.functional.cross_entropy(said, phones.flatten())

    def pitch_loss(self, told: Tensor, audio: Tensor) -> Tensor:
        """Squared error of cosine and sine of the fundamental's phase and of the pitch in octaves, where voiced.

        Shapes: `[B, T, C]`, `[B, T * hop]`, to `[]`.
        """
        pitch, phase, voicing = (each[:, ::2] for each in self.pitch(audio))
        wanted = torch.stack((phase.cos(), phase.sin(), (pitch / 150).log2()), -1)
        weight = (voicing - 0.5).clamp(min=0)[..., None]
        said = self.to_pitch(told[..., : 2 * CODE_DIMENSIONS])
        return ((said - wanted).square() * weight).sum() / (weight.sum() + 1e-6)


class SpectrumDiscriminator(nn.Module):
    """Tells decoded sound from originals by the complex spectrum at one resolution.

    A small form of the discriminator of EnCodec (Défossez and others, 2022). Shape: `[B, N]` to what each layer says.
    """

    def __init__(self, n_fft: int, width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(2, width, (7, 5), (2, 1), (3, 2)),
                nn.Conv2d(width, width, (5, 3), (2, 1), (2, 1)),
                nn.Conv2d(width, width, (5, 3), (2, 2), (2, 1)),
                nn.Conv2d(width, 1, 3, 1, 1),
            ]
        )

    def forward(self, audio: Tensor) -> list[Tensor]:
        """What each layer says, the judgement last. Shape: `[B, N]` to several `[B, C, F, frames]`."""
        window = torch.hann_window(self.n_fft, device=audio.device)
        values = torch.stft(audio, self.n_fft, self.n_fft // 4, window=window, return_complex=True)
        shrunk = values / values.abs().clamp(min=1e-4).sqrt()  # quiet harmonics count beside loud ones
        return _said(self.layers, torch.stack((shrunk.real, shrunk.imag), 1))


class PeriodDiscriminator(nn.Module):
    """Tells decoded sound from originals by samples one period apart, all phases side by side.

    A small form of the discriminator of HiFi-GAN (Kong and others, 2020). Shape: `[B, N]` to what each layer says.
    """

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            [
                *(nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0)) for before, after in pairwise(widths)),
                nn.Conv2d(4 * width, 4 * width, (5, 1), 1, (2, 0)),
                nn.Conv2d(4 * width, 1, (3, 1), 1, (1, 0)),
            ]
        )

    def forward(self, audio: Tensor) -> list[Tensor]:
        """What each layer says, the judgement last. Shape: `[B, N]` to several `[B, C, frames, period]`."""
        whole = audio[:, : audio.shape[1] // self.period * self.period]
        return _said(self.layers, whole.view(len(audio), 1, -1, self.period) / SPEECH_LEVEL)


def _said(layers: nn.ModuleList, hidden: Tensor) -> list[Tensor]:
    said = []
    for layer in layers[:-1]:
        hidden = nn.functional.leaky_relu(layer(hidden), 0.2)
        said.append(hidden)
    return [*said, layers[-1](hidden)]


class Discriminators(nn.ModuleList):
    """One for each of three resolutions, and for each of some periods."""

    def __init__(self, width: int = 16, periods: Sequence[int] = ()) -> None:
        super().__init__(
            [
                *(SpectrumDiscriminator(n_fft, width) for n_fft in (2048, 1024, 512)),
                *(PeriodDiscriminator(period, width // 2) for period in periods),
            ]
        )

    def losses(self, made: Tensor, original: Tensor) -> tuple[Tensor, Tensor]:
        """What the discriminators lower, and what the decoder lowers. Shapes: `[B, N]` twice, to `[]` twice.

        Theirs: 1 for originals, 0 for what was made (least squares: Mao and others, 2017). The decoder's: be taken for
        an original, and be alike inside the discriminators; its gradient reaches what was made, not their weights.
        """
        theirs, ours = list[Tensor](), list[Tensor]()
        for each in self:
            real, fake = each(original), each(made.detach())
            theirs.append((real[-1] - 1).square().mean() + fake[-1].square().mean())
            each.requires_grad_(False)
            said = each(made)
            each.requires_grad_(True)
            ours.append((said[-1] - 1).square().mean())
            ours += [
                (one - two.detach()).abs().mean() / two.detach().abs().mean()
                for one, two in zip(said[:-1], real[:-1], strict=True)
            ]
        return torch.stack(theirs).mean(), torch.stack(ours).sum() / len(self)


def save_checkpoint(model: HiggsAudioV2TokenizerModel, folder: Path) -> None:
    """A from_pretrained directory, float16 on disk.

    Its configuration says float32: so it is computed in whichever way it is loaded, and codes are the same everywhere.
    """
    half = HiggsAudioV2TokenizerModel(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text("utf-8")) | {"dtype": "float32"}, indent=2) + "\n", "utf-8"
    )
    DacFeatureExtractor(sampling_rate=SAMPLE_RATE, hop_length=1).save_pretrained(folder)
