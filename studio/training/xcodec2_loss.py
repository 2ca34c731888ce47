"""What X-Codec2 lowers: errors of sound, of the head's own magnitudes and phases, of what its code says of the pitch.

All of it is tensors from end to end: how far the training has come is one, too, and no value is looked at on the host.
"""

import torch
from torch import Tensor, nn

from studio.training.losses import FLOOR, intelligibility_error, spectral_errors, waveform_error
from studio.training.pitch_track import PitchTrack

LATE = 0.6  # of a training, from which it settles
FIRST_PHASES, OCTAVES_OF_PHASES = 500.0, 1.5  # Hz; up to where phases are asked for, and how far that rises
MIDDLE_PITCH, PITCH_SLOPE = 158.0, 1.5  # Hz, and of the code an octave: the corpus uses all four levels
PARTS = ("wave", "phased", "sized", "mel", "size", "phase", "change", "unclear")


def lateness(progress: Tensor) -> Tensor:
    """0 until `LATE`, then up to 1 at the end. Shape: `[]` to `[]`."""
    return ((progress - LATE) / (1 - LATE)).clamp(0, 1)


class HeadErrors(nn.Module):
    """How far an inverse-STFT head's own log magnitudes and phases are from the original's.

    A waveform error alone finds silence first: where the phase is unknown, the smallest error is no sound, and no sound
    has no phase to learn from. Errors of the phase by itself have no such trap. After APNet (Ai and Ling, 2023), with
    a cosine for the wrapping.
    """

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.window = nn.Buffer(torch.hann_window(4 * hop), persistent=False)
        self.frequencies = nn.Buffer(torch.linspace(0, sample_rate / 2, 2 * hop + 1)[:, None], persistent=False)

    def forward(self, made: Tensor, original: Tensor, highest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean error of the log magnitude (nepers), of the phase, of its change from frame to frame.

        The latter two are 0..2, 1 by chance. Loud bins count more: between harmonics there is none.

        Args:
            made: `[B, T, 2 (2 hop + 1)]`, log magnitudes and phases before the inverse transform.
            original: `[B, T * hop]`.
            highest: `[]`, Hz; phases count up to about here. Those of low harmonics are found first.
        """
        size, phase = made.float().transpose(1, 2).chunk(2, dim=1)
        padded = nn.functional.pad(original, (3 * self.hop // 2, 3 * self.hop // 2))
        target = torch.stft(padded, 4 * self.hop, self.hop, window=self.window, center=False, return_complex=True)
        magnitude = torch.view_as_real(target).square().sum(-1).add(FLOOR**2 / 4).sqrt()
        log_error = ((size.clamp(max=5).exp() + FLOOR).log() - (magnitude + FLOOR).log()).abs().mean()
        weight = magnitude * torch.sigmoid((highest - self.frequencies) / 30)
        difference = phase - target.angle()
        changes = difference[:, :, 1:] - difference[:, :, :-1]
        between = (weight[:, :, 1:] * weight[:, :, :-1]).sqrt()
        at_once = ((1 - difference.cos()) * weight).sum() / weight.sum()
        in_time = ((1 - changes.cos()) * between).sum() / between.sum()
        return log_error, at_once, in_time


class PitchError(nn.Module):
    """How badly the first three dimensions of the code tell the pitch and its phase.

    They are to be cosine and sine of the fundamental's phase and the logarithm of its frequency. Without it the
    envelope takes all dimensions, and there is no way downhill from there to a voice.
    """

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.track = PitchTrack(sample_rate, hop)

    def forward(self, given: Tensor, original: Tensor) -> Tensor:
        """Shape: `[B, T, 8]` and `[B, T * hop]`, to `[]`."""
        pitch, phase, voicing = self.track(original)
        wanted = torch.stack([1.2 * phase.cos(), 1.2 * phase.sin(), PITCH_SLOPE * (pitch / MIDDLE_PITCH).log2()], -1)
        weight = (voicing - 0.5).clamp(min=0)[..., None]
        return ((given[..., :3] - wanted + 0.22).square() * weight).sum() / (3 * weight.sum() + 1e-6)


class ReconstructionLoss(nn.Module):
    """The weighted sum of everything that compares what is decoded with its original."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.head = HeadErrors(sample_rate, hop)

    def forward(self, decoded: Tensor, original: Tensor, made: Tensor, progress: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, `[]`, and its `PARTS`, `[8]`. Shape: `[B, N]` twice, what `HeadErrors` takes, `[]`."""
        decoded, original = decoded.float(), original.float()
        phased, sized, mel = spectral_errors(decoded, original, self.sample_rate)
        wave = waveform_error(decoded, original)
        highest = FIRST_PHASES * torch.exp2(OCTAVES_OF_PHASES * progress)
        size, phase, change = self.head(made, original, highest)
        unclear = intelligibility_error(decoded, original, self.sample_rate)
        late = lateness(progress)
        in_time = (0.1 + 0.4 * late) * phased + 0.2 * late * wave + (2 + 4 * late) * unclear
        loss = in_time + 2 * sized + 1.5 * mel + size + 4 * phase + 2 * change
        return loss, torch.stack([wave, phased, sized, mel, size, phase, change, unclear]).detach()
