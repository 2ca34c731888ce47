"""How far a decoded waveform is from its original: in time, in compressed complex spectra, in log-mel spectra.

Windows and filter banks are made on torch's default device, once.
"""

from functools import cache

import librosa
import torch
from torch import Tensor

RESOLUTIONS = ((256, 32), (512, 64), (1024, 80), (2048, 128))  # FFT length in samples, mel bands
COMPRESSION = 0.3  # |X| to this power: quiet harmonics count beside loud ones
SPEECH_LEVEL = 0.07  # root mean square of the corpus
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


def spectral_errors(decoded: Tensor, original: Tensor, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means over all resolutions of both `compressed_error` and of `log_mel_error`. Shape: `[B, N]`, to three `[]`."""
    rows = []
    for n_fft, mels in RESOLUTIONS:
        spectra = spectrum(decoded, n_fft), spectrum(original, n_fft)
        rows.append(torch.stack([*compressed_error(*spectra), log_mel_error(*spectra, mels, sample_rate)]))
    phased, sized, mel = torch.stack(rows).mean(0).unbind()
    return phased, sized, mel


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


def loudness_error(decoded: Tensor, original: Tensor, sample_rate: int) -> Tensor:
    """How differently loud both are in Bark bands up to 8 kHz; what was added counts more than what is missing.

    The disturbances of PESQ (ITU-T P.862) without its alignments, after Martín-Doñas and others, "A deep learning loss
    function based on the perceptual evaluation of the speech quality" (2018). Originals at the level of the corpus.
    Shape: `[B, N]` twice, to `[]`, on PESQ's scale: 0 is no disturbance.
    """
    bank, threshold = _bark_bank(513, sample_rate)
    powers = [bank @ torch.view_as_real(spectrum(each, 1024)).square().sum(-1) for each in (decoded, original)]
    made, meant = (_loudness(power, threshold) for power in powers)
    difference, masked = (made - meant).abs(), 0.25 * torch.minimum(made, meant).detach()
    disturbance = (difference - masked).clamp(min=0)
    symmetric = disturbance.square().mean(1).add(1e-4).sqrt()
    added = ((powers[0] + 50) / (powers[1] + 50)) ** 1.2
    added = torch.where(added < 3, 0.0, added.clamp(max=12)).detach()
    asymmetric = (disturbance * added).mean(1)
    return 0.1 * symmetric.mean() + 0.0309 * asymmetric.mean()


def _loudness(power: Tensor, threshold: Tensor) -> Tensor:
    """Zwicker's loudness in sone a Bark, of power over that of 0 dB SPL. Shape: `[B, bands, frames]` twice."""
    return 0.1866 * (threshold / 0.5) ** 0.23 * ((0.5 + 0.5 * power / threshold) ** 0.23 - 1)


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
def _bark_bank(bins: int, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Bands of half a Bark, and the power that is just heard in each, over that of 0 dB SPL.

    A signal at the corpus' level is taken to be speech at 79 dB SPL. Shapes: `[B, bins]`, `[B, 1]`.
    """
    kilohertz = torch.linspace(0, sample_rate / 2000, bins)
    barks = 13 * (0.76 * kilohertz).atan() + 3.5 * (kilohertz / 7.5).square().atan()  # Zwicker and Terhardt, 1980
    edges = torch.arange(1.0, 21.5, 0.5)[:, None]
    bank = ((barks >= edges[:-1]) & (barks < edges[1:])).float()
    window_energy = 0.375 * (2 * (bins - 1)) ** 2 / 2  # of a Hann window, over the bins of one side
    centres = (bank @ kilohertz) / bank.sum(1)
    quiet = 3.64 * centres**-0.8 - 6.5 * (-0.6 * (centres - 3.3) ** 2).exp() + 1e-3 * centres**4  # dB, Terhardt, 1979
    bank = bank * (10**7.9 / SPEECH_LEVEL**2 / window_energy)
    device = torch.get_default_device()
    return bank.to(device), (10 ** (quiet / 10))[:, None].to(device)


@cache
def _third_octaves(bins: int, sample_rate: int) -> Tensor:
    """Fifteen bands from 150 Hz, each bin in the one that holds it. Shape: `[15, bins]`."""
    centres = 150 * 2 ** (torch.arange(15)[:, None] / 3)
    frequencies = torch.linspace(0, sample_rate / 2, bins)
    return ((frequencies >= centres * 2 ** (-1 / 6)) & (frequencies < centres * 2 ** (1 / 6))).float()
