"""The small Higgs tokenizer: its widths, how its weights begin, its training pass, its codebooks from data.

The class is transformers' `HiggsAudioV2TokenizerModel` as it is. Its quantiser has no training pass of its own: here
the codes are passed straight through, and the codebooks follow what they stand for by running means (van den Oord and
others, 2017).
"""

from collections.abc import Iterator
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

SAMPLE_RATE = 24_000  # Hz
HOP = 960  # samples a frame: 25 frames/s
CODEBOOKS, CODEBOOK_SIZE = 8, 1024
CODE_DIMENSIONS = 32
USE_DECAY = 0.98  # of the running means behind the codebooks
DEAD_BELOW = 0.02  # uses a step, on average: such a code is set to something just heard


def small_config(width: int = 256) -> HiggsAudioV2TokenizerConfig:
    """24 kHz, 25 frames/s, 8 codebooks of 1024, ladder of 0.5 to 2 kbit/s.

    Args:
        width: of the decoder's first layer; every upsampling halves it, so it must be a multiple of 32.
    """
    acoustic = DacConfig(  # type: ignore[call-arg]  # a wrapper of transformers hides its signature
        encoder_hidden_size=8, decoder_hidden_size=width, hidden_size=96, codebook_dim=8, sampling_rate=16_000,
        downsampling_ratios=[8, 5, 4, 2, 3], upsampling_ratios=[3, 4, 2, 5, 8],
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
    """A model whose narrow layers do not vanish: std `fan_in ** -0.5`, halved where a residual branch ends.

    The decoder's last layer begins at a tenth. The semantic encoder stays as drawn: nothing is known of it here.
    """
    torch.manual_seed(seed)
    model = HiggsAudioV2TokenizerModel(config)
    for part in (model.acoustic_encoder, model.acoustic_decoder):
        for name, module in part.named_modules():
            if isinstance(module, nn.Conv1d):
                scale = 0.5 if "res_unit" in name and name.endswith("conv2") else 1.0
                nn.init.normal_(module.weight, std=scale * module.weight[0].numel() ** -0.5)
    with torch.no_grad():
        model.acoustic_decoder.conv2.weight.mul_(0.1)
    return model


def encoded(model: HiggsAudioV2TokenizerModel, audio: Tensor) -> Tensor:
    """What the quantiser is given. Shape: `[B, 1, T * hop]` to `[B, T, C]`."""
    frames = audio.shape[-1] // model.config.hop_length
    features = model._extract_semantic_features(audio)
    semantic = model.encoder_semantic(features.transpose(1, 2))[..., :frames]
    acoustic = model.acoustic_encoder(audio)
    if acoustic.shape[-1] < frames:  # odd ratios lose a sample or two
        pad = model.config.hop_length // 2
        acoustic = model.acoustic_encoder(nn.functional.pad(audio, (pad, pad)))
    return model.fc(torch.cat((acoustic[..., :frames], semantic), dim=1).transpose(1, 2))


def decoded(model: HiggsAudioV2TokenizerModel, latents: Tensor) -> Tensor:
    """Sound of what the quantiser gives. Shape: `[B, T, C]` to `[B, T * hop]`."""
    return model.acoustic_decoder(model.fc2(latents).transpose(1, 2))[:, 0]


def latents_of_codes(model: HiggsAudioV2TokenizerModel, codes: Tensor) -> Tensor:
    """The sum of what the codes stand for. Shape: int64 `[B, K, T]` to `[B, T, C]`."""
    return model.quantizer.decode(codes.transpose(0, 1)).transpose(1, 2)


class Quantiser:
    """The model's residual quantiser while it is trained."""

    def __init__(self, model: HiggsAudioV2TokenizerModel) -> None:
        self.steps: list[Any] = list(model.quantizer.quantizers)
        for step in self.steps:
            step.requires_grad_(False)  # set from data, then moved by running means

    @torch.no_grad()
    def begin(self, rows: Tensor, rounds: int = 12) -> None:
        """Set every step from data: the residual's principal directions, and k-means along them.

        Args:
            rows: `[N, C]`, what the quantiser is given; N well above the codebooks' size.
            rounds: of k-means, for each codebook.
        """
        residual = rows.float()
        for step in self.steps:
            mean = residual.mean(0)
            _, _, directions = torch.linalg.svd(residual[: 8 * residual.shape[1]] - mean, full_matrices=False)
            turned = directions[: step.project_in.out_features]
            step.project_in.weight.zero_()[: len(turned)] = turned
            step.project_in.bias.copy_(-step.project_in.weight @ mean)
            step.project_out.weight.copy_(step.project_in.weight.T)
            step.project_out.bias.copy_(mean)
            book = step.codebook
            points = step.project_in(residual)
            book.embed.copy_(_k_means(points, book.codebook_size, rounds))
            book.cluster_size.fill_(1.0)
            book.embed_avg.copy_(book.embed)
            residual = residual - step.project_out(book.embed[book.quantize(points)])

    def __call__(self, given: Tensor, depth: Tensor, *, learn: bool) -> tuple[Tensor, Tensor]:
        """Quantise, gradients straight through.

        Args:
            given: `[B, T, C]`.
            depth: int64 `[B]`: how many codebooks each sample is told with.
            learn: move the codebooks.

        Returns:
            Latents `[B, T, C]`, and how far they are from what was given, `[]`, to be lowered by the encoder.
        """
        residual, total = given.detach().float(), torch.zeros_like(given, dtype=torch.float32)
        for index, step in enumerate(self.steps):
            points = step.project_in(residual).flatten(0, 1)
            codes = step.codebook.quantize(points)
            if learn:
                self._follow(step.codebook, points, codes)
            told = step.project_out(step.codebook.embed[codes]).view_as(residual)
            residual = residual - told
            total = total + told * (depth > index)[:, None, None]
        return given + (total - given).detach(), (given - total.detach()).square().mean()

    @staticmethod
    @torch.no_grad()
    def _follow(book: Any, points: Tensor, codes: Tensor) -> None:
        """Each code moves to the mean of what it was used for; codes nobody uses take over some of the points."""
        size = book.codebook_size
        counts = torch.zeros(size, device=points.device).index_add_(0, codes, torch.ones_like(points[:, 0]))
        sums = torch.zeros_like(book.embed).index_add_(0, codes, points)
        book.cluster_size.lerp_(counts, 1 - USE_DECAY)
        book.embed_avg.lerp_(sums, 1 - USE_DECAY)
        dead = book.cluster_size < DEAD_BELOW * len(points) / size
        book.embed.copy_(book.embed_avg / book.cluster_size.clamp(min=1e-5)[:, None])
        if dead.any():
            chosen = points[torch.randint(len(points), (int(dead.sum()),), device=points.device)]
            book.embed[dead] = chosen
            book.cluster_size[dead] = len(points) / size
            book.embed_avg[dead] = chosen * len(points) / size


def _k_means(points: Tensor, count: int, rounds: int) -> Tensor:
    """Centres of `[N, D]` points, begun at points drawn. Shape: `[count, D]`."""
    centres = points[torch.randint(len(points), (count,), device=points.device)].clone()
    for _ in range(rounds):
        nearest = torch.cdist(points, centres).argmin(1)
        counts = torch.zeros(count, device=points.device).index_add_(0, nearest, torch.ones_like(points[:, 0]))
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        used = counts > 0
        centres[used] = sums[used] / counts[used, None]
        missing = int((~used).sum())
        centres[~used] = points[torch.randint(len(points), (missing,), device=points.device)]
    return centres


class SpectrumDiscriminator(nn.Module):
    """Tells decoded sound from originals by the complex spectrum at one resolution.

    A small form of the discriminator of EnCodec (Défossez and others, 2022). Shape: `[B, N]` to what each layer says.
    """

    def __init__(self, n_fft: int, width: int = 16) -> None:
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
        hidden, said = torch.stack((shrunk.real, shrunk.imag), 1), []
        for layer in self.layers[:-1]:
            hidden = nn.functional.leaky_relu(layer(hidden), 0.2)
            said.append(hidden)
        return [*said, self.layers[-1](hidden)]


class Discriminators(nn.ModuleList):
    """One for each of three resolutions."""

    def __init__(self) -> None:
        super().__init__(SpectrumDiscriminator(n_fft) for n_fft in (2048, 1024, 512))

    def own_loss(self, made: Tensor, original: Tensor) -> Tensor:
        """What the discriminators lower: 1 for originals, 0 for what was made. Shapes: `[B, N]` twice, to `[]`."""
        return torch.stack(
            [(each(original)[-1] - 1).square().mean() + each(made.detach())[-1].square().mean() for each in self]
        ).mean()

    def decoder_loss(self, made: Tensor, original: Tensor) -> Tensor:
        """What the decoder lowers: be taken for an original, and be alike inside the discriminators."""
        return torch.stack([term for each in self for term in self._terms(each, made, original)]).sum() / len(self)

    @staticmethod
    def _terms(each: nn.Module, made: Tensor, original: Tensor) -> Iterator[Tensor]:
        said = each(made)
        with torch.no_grad():
            wanted = each(original)
        yield (said[-1] - 1).square().mean()
        for one, two in zip(said[:-1], wanted[:-1], strict=True):
            yield (one - two).abs().mean() / two.abs().mean()


def save_checkpoint(model: HiggsAudioV2TokenizerModel, folder: Path) -> None:
    """A from_pretrained directory in float32: codes must be the same everywhere."""
    model.save_pretrained(folder)
    DacFeatureExtractor(sampling_rate=SAMPLE_RATE, hop_length=1).save_pretrained(folder)
