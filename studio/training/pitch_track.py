"""Pitch, phase of the fundamental and voicing of speech, for losses: without a look at any value."""

import torch
from torch import Tensor, nn


class PitchTrack(nn.Module):
    """Looks at windows of four frames around each frame's middle.

    The pitch is the highest peak of the autocorrelation between 70 and 400 Hz, shorter periods preferred a little.
    Shape: `[B, T * hop]` to three of `[B, T]`: Hz, radians, 0..1.
    """

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate, self.hop = sample_rate, hop
        window = torch.hann_window(4 * hop)
        shape = torch.fft.irfft(torch.fft.rfft(window, 8 * hop).abs().square())
        self.window, self.shape = nn.Buffer(window, persistent=False), nn.Buffer(shape, persistent=False)
        self.lags = nn.Buffer(torch.arange(sample_rate // 400, sample_rate // 70), persistent=False)
        self.times = nn.Buffer(torch.arange(4 * hop) - 2 * hop, persistent=False)  # samples

    def forward(self, original: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pitch, phase, voicing."""
        hop = self.hop
        frames = nn.functional.pad(original, (3 * hop // 2, 3 * hop // 2)).unfold(-1, 4 * hop, hop) * self.window
        likeness = torch.fft.irfft(torch.fft.rfft(frames, 8 * hop).abs().square()) / self.shape
        likeness = likeness / (likeness[..., :1] + 1e-6)
        peaks = likeness[..., self.sample_rate // 400 : self.sample_rate // 70] - 0.0005 * self.lags
        best = peaks.argmax(-1, keepdim=True) + self.sample_rate // 400
        voicing = likeness.gather(-1, best)[..., 0].clamp(0, 1)
        turns = 2 * torch.pi * self.times / best
        phase = torch.atan2(-(frames * turns.sin()).sum(-1), (frames * turns.cos()).sum(-1))
        return self.sample_rate / best[..., 0], phase, voicing
