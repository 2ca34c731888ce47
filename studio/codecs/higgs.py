"""The Higgs Audio V2 tokenizer as a codec: 8 codebooks, each one a rung of the bitrate ladder."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import HiggsAudioV2TokenizerModel

from studio.audio import Audio
from studio.codecs.batching import in_equal_stacks
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
        return cls(model.to(device))  # type: ignore[arg-type]  # a wrapper of transformers hides its signature

    def encode(self, audio: Audio) -> Codes:
        """Codes of a recording, all codebooks.

        The sound is mixed to mono, resampled, and padded with silence to whole frames.

        Returns:
            Codes `[K, T]`, T = ceil(seconds * frame_rate).
        """
        return self._encode_stack([self._whole_frames(audio)])[0]

    def encode_batch(self, clips: Sequence[Audio]) -> list[Codes]:
        """Codes of many recordings. Clips of equal frame count share passes; the others run beside them.

        Nothing is padded beyond `encode`'s own whole frames. Codes were equal to those of `encode` in all
        measurements; sums in another order (1e-7) could in principle tip a tie between two codes.
        """
        framed = [self._whole_frames(clip) for clip in clips]
        return in_equal_stacks(framed, lambda clip: (clip.length,), self._encode_stack, self.model.device)

    def decode(self, codes: Codes, without: Collection[int] = ()) -> Audio:
        """Sound of codes with any number of codebooks from 1 up. T frames give T * hop samples.

        Args:
            codes: `[K, T]`.
            without: Codebooks (from 0) whose share of the sound is left out, to hear what they carry.
        """
        if codes.frames == 0:
            return Audio(np.zeros((1, 0), np.float32), self.sample_rate)
        return self._decode_stack([codes], without)[0]

    def decode_batch(self, batch: Sequence[Codes]) -> list[Audio]:
        """Sound of many code sequences. Equal shapes share passes; the others run beside them.

        Equal to `decode` within 3e-7 (sums in another order), whatever the lengths: nothing is padded.
        """
        empty = Audio(np.zeros((1, 0), np.float32), self.sample_rate)
        full = [codes for codes in batch if codes.frames]
        sounds = iter(in_equal_stacks(full, lambda codes: codes.values.shape, self._decode_stack, self.model.device))
        return [next(sounds) if codes.frames else empty for codes in batch]

    @torch.inference_mode()
    def samples_touched_by(self, frame: int, frames: int) -> np.ndarray:
        """Which samples of so many frames depend on one of them. Shape: bool [frames * hop].

        Found by a number that is none: whatever it is added to becomes none as well.
        """
        hidden = torch.zeros(1, self.model.fc2.out_features, frames, device=self.model.device)
        hidden[..., frame] = torch.nan
        return self.model.acoustic_decoder(hidden)[0, 0, : frames * self.hop].isnan().cpu().numpy()

    def _whole_frames(self, audio: Audio) -> Audio:
        """Mono at the model's rate, padded to whole frames. Shape: `[C, N]` to `[1, T * hop]`."""
        samples = audio.mono().resampled(self.sample_rate).samples
        frames = max(1, -(-samples.shape[1] // self.hop))
        return Audio(np.pad(samples, ((0, 0), (0, frames * self.hop - samples.shape[1]))), self.sample_rate)

    @torch.inference_mode()
    def _encode_stack(self, stack: list[Audio]) -> list[Codes]:
        values = torch.from_numpy(np.stack([clip.samples for clip in stack])).to(self.model.device)
        frames = values.shape[-1] // self.hop
        codes = self.model.encode(values).audio_codes[:, :, :frames].cpu().numpy()
        return [Codes(values, self.frame_rate, self.codebook_size) for values in codes]

    @torch.inference_mode()
    def _decode_stack(self, stack: list[Codes], without: Collection[int] = ()) -> list[Audio]:
        values = torch.from_numpy(np.stack([codes.values for codes in stack])).to(self.model.device)
        length = values.shape[-1] * self.hop
        samples = self._decode_without(values, without) if without else self.model.decode(values).audio_values
        return [Audio(sound, self.sample_rate) for sound in samples[:, :, :length].float().cpu().numpy()]

    def _decode_without(self, values: torch.Tensor, without: Collection[int]) -> torch.Tensor:
        """The model's own `decode` with codebooks left out of its sum. Shape: `[B, K, T]` to `[B, 1, N]`."""
        kept = [index for index in range(values.shape[1]) if index not in without]
        if not kept:
            return torch.zeros(values.shape[0], 1, values.shape[-1] * self.hop)
        quantized = sum(self.model.quantizer.quantizers[index].decode(values[:, index]) for index in kept)
        samples: torch.Tensor = self.model.acoustic_decoder(self.model.fc2(quantized.transpose(1, 2)).transpose(1, 2))
        return samples
