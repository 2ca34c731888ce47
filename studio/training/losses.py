"""How far a decoded waveform is from its original: in time, in compressed complex spectra, in log-mel spectra.

Windows and filter banks are made on torch's default device, once.
"""

import random
from functools import cache

import librosa
import torch
from torch import Tensor, nn

RESOLUTIONS = ((256, 32), (512, 64), (1024, 80), (2048, 128))  # FFT length in samples, mel bands
RESOLUTIONS_AT_A_TIME = 2
LATE = 0.8  # of a training, from which it settles
COMPRESSION = 0.3  # |X| to this power: quiet harmonics count beside loud ones
FLOOR = 1e-2  # magnitude under which nothing is heard, at speech level


def waveform_error(decoded: Tensor, original: Tensor) -> Tensor:
    """Root of the error's energy over the original's, mean of the batch: 0 is exact, 1 is as bad as silence.

    Shape: `[B, N]` twice, to `[]`.
    """
    error = (decoded - original).square().mean(-1)
    energy = original.square().mean(-1) + 1e-5  # -50 dBFS: silence asks for silence, but not at any price
    return (error / energy + 1e-6).sqrt().mean()


def spectrum(audio: Tensor, n_fft: int) -> Tensor:
    """Short-time spectrum, Hann window, hop a quarter. Shape: `[B, N]` to complex `[B, n_fft / 2 + 1, frames]`."""
    return torch.stft(audio, n_fft, n_fft // 4, window=_window(n_fft), return_complex=True)


def compressed_error(decoded: Tensor, original: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of power-compressed spectra, with phase and without it, each over the original's mean.

    After Braun and Tashev, "A consolidated view of loss functions for supervised deep learning-based speech
    enhancement" (2021). Shape: complex `[B, F, frames]` twice, to two of `[]`.
    """
    size_decoded, size_original = _magnitude(decoded), _magnitude(original)
    shrunk_decoded, shrunk_original = size_decoded**COMPRESSION, size_original**COMPRESSION
    scale = 1 / shrunk_original.mean()
    shrunk = decoded * (shrunk_decoded / size_decoded), original * (shrunk_original / size_original)
    phased = torch.view_as_real(shrunk[0] - shrunk[1]).square().sum(-1).add(1e-6).sqrt()
    return phased.mean() * scale, (shrunk_decoded - shrunk_original).abs().mean() * scale


def log_mel_error(decoded: Tensor, original: Tensor, mels: int, sample_rate: int) -> Tensor:
    """Mean absolute distance of log-mel spectra in nepers. Shape: complex `[B, F, frames]` twice, to `[]`."""
    bank = _mel_bank(decoded.shape[1], mels, sample_rate)
    logs = [(bank @ _magnitude(each) + FLOOR).log() for each in (decoded, original)]
    return (logs[0] - logs[1]).abs().mean()


def intelligibility_error(decoded: Tensor, original: Tensor, sample_rate: int) -> Tensor:
    """One less the correlation of third-octave envelopes over 0.4 s, which is what STOI averages.

    After Taal and others, "An algorithm for intelligibility prediction of time-frequency weighted noisy speech" (2011),
    at 16 kHz and with other frames, so close to STOI without being it. Shape: `[B, N]` twice, to `[]`.
    """
    bank = _third_octaves(257, sample_rate)
    before, after = (
        (bank @ torch.view_as_real(spectrum(each, 512)).square().sum(-1) + 1e-6).sqrt().unfold(-1, 48, 12)
        for each in (original, decoded)
    )
    energy = before.square().sum(-1, keepdim=True)
    heard = (energy > energy.amax((1, 2, 3), keepdim=True) * 1e-4)[..., 0]
    after = after * (energy / after.square().sum(-1, keepdim=True)).sqrt()
    after = torch.minimum(after, before * (1 + 10**0.75))
    pair = [each - each.mean(-1, keepdim=True) for each in (before, after)]
    norms = [each.square().sum(-1).add(1e-8).sqrt() for each in pair]
    correlation = (pair[0] * pair[1]).sum(-1) / (norms[0] * norms[1])
    return 1 - (correlation * heard).sum() / heard.sum()


def head_errors(made: Tensor, original: Tensor, hop: int, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """How far an inverse-STFT head's own log magnitudes and phases are from the original's.

    A waveform error alone finds silence first: where the phase is unknown, the smallest error is no sound, and no sound
    has no phase to learn from. Errors of the phase by itself have no such trap. After APNet (Ai and Ling, 2023), with
    a cosine for the wrapping.

    Args:
        made: `[B, T, 2 (2 hop + 1)]`, log magnitudes and phases before the inverse transform.
        original: `[B, T * hop]`.
        hop: Samples a frame; a quarter of the window.
        bins: How many of the lowest are looked at: the phases of low harmonics are found first.

    Returns:
        Mean error of the log magnitude (nepers), of the phase, of its change from frame to frame (0..2, 1 by chance).
    """
    size, phase = (part[:, :bins] for part in made.float().transpose(1, 2).chunk(2, dim=1))
    padded = nn.functional.pad(original, (3 * hop // 2, 3 * hop // 2))
    target = torch.stft(padded, 4 * hop, hop, window=_window(4 * hop), center=False, return_complex=True)
    target = target[:, :bins]
    magnitude = _magnitude(target)
    log_error = ((size.clamp(max=5).exp() + FLOOR).log() - (magnitude + FLOOR).log()).abs().mean()
    weight = magnitude
    difference = phase - target.angle()
    changes = difference[:, :, 1:] - difference[:, :, :-1]
    between = (weight[:, :, 1:] * weight[:, :, :-1]).sqrt()
    at_once = ((1 - difference.cos()) * weight).sum() / weight.sum()
    in_time = ((1 - changes.cos()) * between).sum() / between.sum()
    return log_error, at_once, in_time


def pitch_track(original: Tensor, hop: int, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pitch, phase of the fundamental and voicing in windows of four frames around each frame's middle.

    The pitch is the highest peak of the autocorrelation between 70 and 400 Hz, shorter periods preferred a little.
    Shape: `[B, T * hop]` to three of `[B, T]`: Hz, radians, 0..1.
    """
    window = _window(4 * hop)
    frames = nn.functional.pad(original, (3 * hop // 2, 3 * hop // 2)).unfold(-1, 4 * hop, hop) * window
    shape = torch.fft.irfft(torch.fft.rfft(window, 8 * hop).abs().square())
    likeness = torch.fft.irfft(torch.fft.rfft(frames, 8 * hop).abs().square()) / shape
    likeness = likeness / (likeness[..., :1] + 1e-6)
    first, last = sample_rate // 400, sample_rate // 70
    lags = torch.arange(first, last)
    best = (likeness[..., first:last] - 0.0005 * lags).argmax(-1) + first
    voicing = likeness.gather(-1, best[..., None])[..., 0].clamp(0, 1)
    pitch = sample_rate / best
    turns = (torch.arange(4 * hop) - 2 * hop) / best[..., None]
    turned = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
    return pitch, (frames * turned).sum(-1).angle(), voicing


def pitch_error(given: Tensor, original: Tensor, hop: int, sample_rate: int) -> Tensor:
    """How badly the first three dimensions tell pitch and phase: cosine and sine of the fundamental, log of the pitch.

    Without it the envelope takes all dimensions, and there is no way downhill from there to a voice.
    Shape: `[B, T, 8]` and `[B, T * hop]`, to `[]`.
    """
    pitch, phase, voicing = pitch_track(original, hop, sample_rate)
    wanted = torch.stack([1.2 * phase.cos(), 1.2 * phase.sin(), 1.5 * (pitch / 150).log2()], dim=-1) - 0.22
    weight = (voicing - 0.5).clamp(min=0)[..., None]
    return ((given[..., :3] - wanted).square() * weight).sum() / (3 * weight.sum() + 1e-6)


class ReconstructionLoss(nn.Module):
    """The weighted sum of all of them, at resolutions drawn anew each time."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop = hop

    def forward(
        self, decoded: Tensor, original: Tensor, made: Tensor, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and its parts by name. Shape: `[B, N]` twice and what `head_errors` takes, to `[]`.

        From `LATE` of the progress (0..1) on, the phase is asked for in ever more bins, from 600 Hz to 1200 Hz.
        """
        decoded, original = decoded.float(), original.float()
        phased, sized, mel = (decoded.new_zeros(()) for _ in range(3))
        share = 1 / RESOLUTIONS_AT_A_TIME
        for n_fft, mels in random.sample(RESOLUTIONS, RESOLUTIONS_AT_A_TIME):
            spectra = spectrum(decoded, n_fft), spectrum(original, n_fft)
            with_phase, without = compressed_error(*spectra)
            phased, sized = phased + with_phase * share, sized + without * share
            mel = mel + log_mel_error(*spectra, mels, self.sample_rate) * share
        wave = waveform_error(decoded, original)
        late = min(1.0, max(0.0, (progress - LATE) / (1 - LATE)))
        bins = round(4 * self.hop * 600 * 2**late / self.sample_rate)
        size, phase, change = head_errors(made, original, self.hop, bins)
        unclear = intelligibility_error(decoded, original, self.sample_rate)
        in_time = late * (0.2 * wave + 0.2 * phased) + (2 + 4 * late) * unclear
        loss = in_time + 2 * sized + 1.5 * mel + size + 4 * phase + 2 * change
        parts = {"wave": wave, "phased": phased, "sized": sized, "mel": mel, "size": size, "phase": phase}
        parts |= {"change": change, "unclear": unclear}
        return loss, {name: float(part.detach()) for name, part in parts.items()}


def _magnitude(values: Tensor) -> Tensor:
    return torch.view_as_real(values).square().sum(-1).add(FLOOR**2 / 4).sqrt()


@cache
def _window(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft)


@cache
def _mel_bank(bins: int, mels: int, sample_rate: int) -> Tensor:
    bank = librosa.filters.mel(sr=sample_rate, n_fft=2 * (bins - 1), n_mels=mels, fmin=30.0, norm=None)
    return torch.from_numpy(bank).to(torch.get_default_device())


@cache
def _third_octaves(bins: int, sample_rate: int) -> Tensor:
    """Fifteen bands from 150 Hz, each bin in the one that holds it. Shape: `[15, bins]`."""
    centres = 150 * 2 ** (torch.arange(15)[:, None] / 3)
    frequencies = torch.linspace(0, sample_rate / 2, bins)
    return ((frequencies >= centres * 2 ** (-1 / 6)) & (frequencies < centres * 2 ** (1 / 6))).float()
