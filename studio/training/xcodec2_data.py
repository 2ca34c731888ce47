"""What X-Codec2 learns from, all of it on the device: sound, its features, and segments drawn without the host.

The features are those of transformers' `Xcodec2FeatureExtractor`, which makes them one utterance at a time.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torchaudio.compliance.kaldi import get_mel_banks

from studio.training.corpus import Corpus
from studio.training.xcodec2_model import FEATURES, HOP, SAMPLE_RATE

FRAME, SHIFT, N_FFT, MELS = 400, 160, 512, 80  # of the filter bank: 25 ms every 10 ms
LOWEST = torch.finfo(torch.float32).eps
UTTERANCES_AT_A_TIME = 64


@dataclass(frozen=True)
class Batch:
    """Segments of equal length."""

    audio: Tensor  # float32 [B, T * hop]
    features: Tensor  # float32 [B, T, 160]


def features_of(audio: Tensor, frames: Tensor) -> Tensor:
    """The extractor's features of several utterances at once.

    Args:
        audio: float32 `[B, T * hop]`, zeros behind each utterance.
        frames: int64 `[B]`, how many of the T each utterance has: they decide its mean and deviation.

    Returns:
        float32 `[B, T, 160]`; what lies behind an utterance means nothing.
    """
    padded = nn.functional.pad(audio, (HOP // 2, HOP // 2)) * 2**15
    windows = padded.unfold(-1, FRAME, SHIFT)
    windows = windows - windows.mean(-1, keepdim=True)
    windows = windows - 0.97 * torch.cat([windows[..., :1], windows[..., :-1]], dim=-1)
    power = torch.fft.rfft(windows * _povey_window(audio.device), N_FFT).abs().square()
    logs = (power @ _mel_bank(audio.device)).clamp(min=LOWEST).log()
    count = 2 * frames[:, None, None]
    inside = torch.arange(logs.shape[1], device=audio.device)[:, None] < count
    mean = (logs * inside).sum(1, keepdim=True) / count
    variance = ((logs - mean).square() * inside).sum(1, keepdim=True) / (count - 1)
    return ((logs - mean) / (variance + 1e-7).sqrt()).reshape(len(audio), -1, FEATURES)


@cache
def _povey_window(device: torch.device) -> Tensor:
    return torch.hann_window(FRAME, periodic=False, device=device) ** 0.85


@cache
def _mel_bank(device: torch.device) -> Tensor:
    """Shape: `[257, 80]`; kaldi has no filter over the last bin."""
    with torch.device("cpu"):
        bank, _ = get_mel_banks(MELS, N_FFT, SAMPLE_RATE, 20.0, SAMPLE_RATE / 2, 100.0, -500.0, 1.0)
    return nn.functional.pad(bank, (0, 1)).T.contiguous().to(device)


class Segments:
    """Random segments of a corpus at random gains, with the features that their whole utterances give."""

    def __init__(self, corpus: Corpus, frames: int, device: torch.device) -> None:
        self._frames = frames
        self._samples = torch.from_numpy(np.array(corpus.samples)).to(device)  # int16
        starts = np.array([each.start for each in corpus.utterances])
        lengths = np.array([each.length for each in corpus.utterances])
        counts = -(-(lengths + 1) // HOP)  # of frames
        first_frames = np.concatenate([[0], np.cumsum(counts)[:-1]])
        table = torch.from_numpy(np.stack([starts, lengths, counts, first_frames], axis=1)).to(device)
        self._features = self._all_features(table, np.argsort(counts))
        self._usable = table[torch.from_numpy(counts >= frames).to(device)]
        self._within = torch.arange(frames * HOP, device=device)

    @torch.inference_mode()
    def _all_features(self, table: Tensor, order: np.ndarray) -> Tensor:
        """Shape: int64 `[U, 4]` to float16 `[all frames, 160]`; utterances of like length are done together."""
        features = torch.empty(int(table[:, 2].sum()), FEATURES, dtype=torch.float16, device=table.device)
        for first in range(0, len(order), UTTERANCES_AT_A_TIME):
            rows = table[torch.from_numpy(order[first : first + UTTERANCES_AT_A_TIME]).to(table.device)]
            counts = rows[:, 2]
            longest = int(counts.max())
            audio = self._audio(rows[:, 0], rows[:, 1], torch.arange(longest * HOP, device=table.device))
            inside = torch.arange(longest, device=table.device) < counts[:, None]
            places = rows[:, 3, None] + torch.arange(longest, device=table.device)
            features[places[inside]] = features_of(audio, counts)[inside].half()
        return features.clone()

    def _audio(self, starts: Tensor, lengths: Tensor, within: Tensor) -> Tensor:
        """Sound from each start on, zeros behind its length."""
        places = (starts[:, None] + within).clamp(max=len(self._samples) - 1)
        return self._samples[places] * (within < lengths[:, None]) / 32768

    def draw(self, count: int) -> Batch:
        """Segments by torch's own chance, gains within ±6 dB. Nothing of it is looked at on the host."""
        device = self._samples.device
        rows = self._usable[torch.randint(len(self._usable), (count,), device=device)]
        starts, lengths, counts, first_frames = rows.unbind(1)
        first = (torch.rand(count, device=device) * (counts - self._frames + 1)).long().clamp(max=counts - self._frames)
        audio = self._audio(starts + first * HOP, lengths - first * HOP, self._within)
        gain = torch.exp2(torch.rand(count, 1, device=device) * 2 - 1)
        places = (first_frames + first)[:, None] + self._within[: self._frames]
        return Batch(audio * gain, self._features[places].float())
