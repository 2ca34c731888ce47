"""The Higgs Audio V2 tokenizer as a codec: 8 codebooks, each one a rung of the bitrate ladder."""

from pathlib import Path

import numpy as np
import torch
from transformers import HiggsAudioV2TokenizerModel

from studio.audio import Audio
from studio.codes import Codes


class HiggsCodec:
    """Sound to codes and back, through a resident `HiggsAudioV2TokenizerModel`."""

    name = "Higgs Audio V2 tokenizer"

    def __init__(self, model: HiggsAudioV2TokenizerModel) -> None:
        self.model = model.eval()
        config = model.config
        self.sample_rate: int = config.sample_rate  # Hz
        self.hop: int = config.hop_length  # samples a frame
        self.frame_rate: float = self.sample_rate / self.hop  # Hz
        self.codebooks: int = config.num_quantizers
        self.codebook_size: int = config.codebook_size
        self.bandwidths_kbps: tuple[float, ...] = tuple(config.target_bandwidths)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "HiggsCodec":
        """Load from a checkpoint directory; float32, since a codec's sound is what is compared."""
        model = HiggsAudioV2TokenizerModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        return cls(model.to(device))

    @torch.inference_mode()
    def encode(self, audio: Audio) -> Codes:
        """Codes of a recording, all codebooks.

        The sound is mixed to mono, resampled, and padded with silence to whole frames.

        Returns:
            Codes `[K, T]`, T = ceil(seconds * frame_rate).
        """
        samples = audio.mono().resampled(self.sample_rate).samples
        frames = max(1, -(-samples.shape[1] // self.hop))
        padded = np.pad(samples, ((0, 0), (0, frames * self.hop - samples.shape[1])))
        values = torch.from_numpy(padded)[None].to(self.model.device)
        codes = self.model.encode(values).audio_codes[0, :, :frames]
        return Codes(codes.cpu().numpy(), self.frame_rate, self.codebook_size)

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Audio:
        """Sound of codes with any number of codebooks from 1 up. T frames give T * hop samples."""
        if codes.frames == 0:
            return Audio(np.zeros((1, 0), np.float32), self.sample_rate)
        values = torch.from_numpy(codes.values)[None].to(self.model.device)
        samples = self.model.decode(values).audio_values[0, :, : codes.frames * self.hop]
        return Audio(samples.float().cpu().numpy(), self.sample_rate)
