"""The small X-Codec2: its widths, how its weights begin, and its training pass.

The class is transformers' `Xcodec2Model` as it is. Two parts begin as what they would have to be found to be: the
acoustic encoder's first block as a lossless filter bank, the head as one pulse a frame.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2BertConfig, Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model
from transformers.models.xcodec2.modeling_xcodec2 import Xcodec2SnakeBeta

from studio.audio import Audio

SAMPLE_RATE = 16_000  # Hz
HOP = 320  # samples a frame: 50 frames/s
BANDS = 8  # of the fixed front, each as a cosine and a sine
FEATURES = 160  # two filter banks of 80, 10 ms each
FRONT_GAINS = (6.0, 12.0, 24.0, 32.0, 40.0, 48.0, 64.0, 80.0)  # speech has less and less above: even it out
LEVELS = 4  # of each of the code's dimensions
PULSE_REACH = 3.0  # samples that one deviation of the hidden state moves the first pulses


def small_config() -> Xcodec2Config:
    """50 frames/s, one codebook of 65,536, and widths for two CPU cores and 15 MB."""
    semantic = Wav2Vec2BertConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=384,
        conv_depthwise_kernel_size=7, feature_projection_input_dim=FEATURES,
        hidden_dropout=0.0, activation_dropout=0.0, attention_dropout=0.0,
        feat_proj_dropout=0.0, conformer_conv_dropout=0.0, layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0,
    )  # fmt: skip
    hidden_size = 320
    return Xcodec2Config(
        hidden_size=hidden_size, intermediate_size=896, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, head_dim=32, encoder_hidden_size=8, downsampling_ratios=[8, 5, 4, 2],
        semantic_model_config=semantic, quantization_dim=hidden_size + semantic.hidden_size, activation_dropout=0.0,
        max_position_embeddings=4096, sampling_rate=SAMPLE_RATE,
    )  # fmt: skip


def new_model(config: Xcodec2Config, seed: int = 0) -> Xcodec2Model:
    """A model whose narrow layers neither vanish nor blow up at the start.

    Every weight matrix is drawn with std `fan_in ** -0.5`, halved where a residual branch ends, a tenth of it in the
    acoustic encoder, whose snakes begin almost straight; the head starts quiet, at about the level of speech.
    """
    torch.manual_seed(seed)
    model = Xcodec2Model(config).eval()  # there is no dropout, and layers are not to be left out by chance
    ends = ("conv2", "o_proj", "fc2", "output_dense", "pointwise_conv2", "linear_out")
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                fan_in = module.weight[0].numel()
                share = (0.1 if ".res_unit" in name else 0.5) if name.rsplit(".", 1)[-1] in ends else 1.0
                module.weight.normal_(std=share * fan_in**-0.5)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, Xcodec2SnakeBeta):
                module.beta.fill_(1.5)  # divides the sine's square by e^1.5
        _set_filter_bank(model)
        head = model.acoustic_decoder.head.linear
        bins = head.weight.shape[0] // 2
        head.weight[:bins] *= 0.3
        head.bias[:bins] = -1.5
        _set_pulse(head, bins)
    return model


def _set_filter_bank(model: Xcodec2Model) -> None:
    """Make the encoder's first block a lapped transform: `[B, 1, N]` to `[B, 16, N / 8]`, lossless and linear.

    Its residual units add nothing and its snake is straight, so channel 0 carries the waveform to the strided
    convolution, whose kernels are the sine-windowed cosines of eight bands (Princen, Johnson and Bradley, 1987), and
    then their sines: two parts at right angles tell a phase, and their squares together a level.
    """
    encoder = model.acoustic_encoder
    block = encoder.block[0]
    encoder.conv1.weight.zero_()
    encoder.conv1.weight[0, 0, 3] = 1.0
    for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
        unit.conv2.weight.zero_()
    block.snake1.act.beta.fill_(9.0)  # divides the sine's square by e^9
    taps = block.conv1.weight.shape[2]
    time_index, band = torch.arange(taps) + 0.5, torch.arange(BANDS)[:, None] + 0.5
    turns = math.pi / BANDS * (time_index + BANDS / 2) * band
    window = torch.tensor(FRONT_GAINS)[:, None] * torch.sin(math.pi * time_index / taps) * (2 / BANDS) ** 0.5
    block.conv1.weight.zero_()
    block.conv1.weight[:, 0] = torch.cat([turns.cos() * window, turns.sin() * window])
    encoder.conv1.requires_grad_(False)
    block.requires_grad_(False)


def _set_pulse(head: nn.Linear, bins: int) -> None:
    """Start the head with one pulse in the middle of each frame, which one direction of the hidden state moves.

    Phases of chance would start every frame as noise that cancels its neighbours. A pulse at `p` samples of a window
    of `n` has the phase `-2 pi b p / n` in bin `b`.
    """
    slope = -2 * math.pi * torch.arange(bins) / (2 * (bins - 1))  # radians a sample
    direction = torch.randn(head.weight.shape[1])
    head.weight[bins:] = 0.05 * head.weight[bins:] + slope[:, None] * PULSE_REACH * direction / direction.norm()
    head.bias[bins:] = torch.remainder(slope * (bins - 1), 2 * math.pi)


def front(model: Xcodec2Model, audio: Tensor) -> Tensor:
    """The acoustic encoder's fixed part, without what is multiplied by zero. Shape: `[B, 1, N]` to `[B, 16, N / 8]`."""
    block = model.acoustic_encoder.block[0]
    straight = block.snake1.downsample(_upsampled(block.snake1.upsample, audio))
    return nn.functional.conv1d(straight, block.conv1.weight[:, :1], None, block.conv1.stride, block.conv1.padding)


def _upsampled(upsample: Any, hidden: Tensor) -> Tensor:
    """What an activation's `upsample` does, as one convolution a phase: cards are slow at grouped transposed ones.

    Shape: `[B, C, T]` to `[B, C, 2 T]`.
    """
    batch, channels, length = hidden.shape
    reach = upsample.filter.shape[-1] // 4  # samples on both sides
    padded = nn.functional.pad(hidden, (reach, reach), mode="replicate").reshape(batch * channels, 1, -1)
    odd, even = upsample.filter[..., 0::2].flip(-1), upsample.filter[..., 1::2].flip(-1)
    phases = torch.cat([nn.functional.pad(even, (0, 1)), nn.functional.pad(odd, (1, 0))])
    made = nn.functional.conv1d(padded, 2 * phases.to(padded.dtype))
    return made.transpose(1, 2).reshape(batch, channels, 2 * length)


def _snake(activation: Any, hidden: Tensor) -> Tensor:
    return activation.downsample(activation.act(_upsampled(activation.upsample, hidden)))


def _behind_front(model: Xcodec2Model, bands: Tensor) -> Tensor:
    encoder = model.acoustic_encoder
    for block in encoder.block[1:]:
        for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
            bands = bands + unit.conv2(_snake(unit.snake2, unit.conv1(_snake(unit.snake1, bands))))
        bands = block.conv1(_snake(block.snake1, bands))
    return encoder.conv2(_snake(encoder.snake1, bands))


@dataclass(frozen=True)
class Decoded:
    """What a training pass gives."""

    audio: Tensor  # [B, T * hop]
    made: Tensor  # [B, T, 2 (2 hop + 1)], by the decoder's head, before the inverse transform
    given: Tensor  # [B, T, 8], to the quantiser, before it bounds it


def decoded(model: Xcodec2Model, audio: Tensor, features: Tensor, quantised: Tensor) -> Decoded:
    """Encoder, quantiser and decoder in one go, gradients everywhere.

    Args:
        model: Without dropout.
        audio: `[B, T * hop]`.
        features: `[B, T, 160]`, normalised filter banks, two of 10 ms a frame.
        quantised: bool `[B]`; the others pass the quantiser bounded but not rounded.
    """
    with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):
        bands = front(model, audio[:, None])
    semantic = model.semantic_adapter(model.semantic_encoder(features).last_hidden_state.transpose(1, 2))
    hidden = model.fc_encoder(torch.cat([semantic, _behind_front(model, bands)], dim=1).transpose(1, 2))
    given = model.quantizer.project_in(hidden).float()
    free = _bounded(_bounded(given))
    rounded = free + (free.round() - free).detach()
    latents = model.quantizer.project_out(torch.where(quantised[:, None, None], rounded, free) / (LEVELS // 2))
    made = list[Tensor]()
    hook = model.acoustic_decoder.head.linear.register_forward_hook(lambda _module, _inputs, told: made.append(told))
    sound = model.acoustic_decoder(latents)[:, 0]
    hook.remove()
    return Decoded(sound, made[0], given)


def _bounded(given: Tensor) -> Tensor:
    """The quantiser's own `bound`, which takes its numbers from the host each time."""
    half_range = (LEVELS - 1) * 1.001 / 2
    return (given + math.atanh(0.5 / half_range)).tanh() * half_range - 0.5


def uneven_use(given: Tensor) -> Tensor:
    """How far the quantiser's inputs are from using its levels equally often and independently: 0 at best.

    The quantiser bounds twice, with its four levels parted at -0.81, -0.24 and 0.41: a normal distribution around
    -0.22 with a deviation of 0.9 uses them evenly. Left alone, inputs grow until only the outer two are used.
    Shape: `[B, T, 8]` to `[]`.
    """
    rows = given.flatten(0, 1)
    centred = (rows + 0.22) / 0.9
    moments = centred.T @ centred / len(rows)
    return (moments - torch.eye(rows.shape[1], device=rows.device)).square().sum(1).mean() + centred.mean(
        0
    ).square().mean()


def save_checkpoint(model: Xcodec2Model, folder: Path, make_up_gain: float = 1.0) -> None:
    """A from_pretrained directory: weights in float16, and the feature extractor's settings.

    The head is made louder by `make_up_gain`: the mean of log magnitudes is right in training, but where phases are
    uncertain the peaks are missing, and what is decoded has less level than its original.
    """
    with torch.device("cpu"):
        half = Xcodec2Model(model.config)
    half.load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})
    with torch.no_grad():
        half.acoustic_decoder.head.linear.bias[: half.config.n_fft // 2 + 1] += math.log(make_up_gain)
    half.half().save_pretrained(folder)
    Xcodec2FeatureExtractor(hop_length=model.config.hop_length).save_pretrained(folder)


def round_trip(model: Xcodec2Model, extractor: Xcodec2FeatureExtractor, audio: Audio) -> Audio:
    """Sound to codes and back, as anybody would do it. Shape of the samples: `[1, N]` to `[1, N]`, at 16 kHz."""
    samples = audio.mono().resampled(SAMPLE_RATE).samples
    with torch.inference_mode():
        inputs = extractor(samples[0], sampling_rate=SAMPLE_RATE, return_tensors="pt")
        codes = model.encode(inputs["input_values"], inputs["input_features"]).audio_codes
        decoded = model.decode(codes).audio_values[0, :, : samples.shape[1]]
    return Audio(decoded.numpy(), SAMPLE_RATE)
