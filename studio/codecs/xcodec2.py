"""X-Codec2 as a codec: 16 kHz, one codebook, 50 frames a second."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
from transformers import Xcodec2FeatureExtractor, Xcodec2Model

from studio.audio import Audio
from studio.codecs.batching import in_equal_stacks
from studio.codes import Codes


class XCodec2:
    """Sound to codes and back, through a resident `Xcodec2Model` and its feature extractor."""

    name = "X-Codec2"
    codebooks = 1

    def __init__(self, model: Xcodec2Model, extractor: Xcodec2FeatureExtractor) -> None:
        self.model = model.eval()
        self.extractor = extractor
        config = model.config
        self.sample_rate: int = config.sampling_rate  # Hz
        self.hop: int = config.hop_length  # samples a frame
        self.frame_rate: float = self.sample_rate / self.hop  # Hz
        self.codebook_size: int = prod(config.quantization_levels)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "XCodec2":
        """Load from a checkpoint directory; float32, since a codec's sound is what is compared."""
        model = Xcodec2Model.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)
        model.to(device)  # type: ignore[arg-type]  # a wrapper of transformers hides its signature
        return cls(model, Xcodec2FeatureExtractor.from_pretrained(folder, local_files_only=True))

    def encode(self, audio: Audio) -> Codes:
        """Codes of a recording: mixed to mono, resampled, and padded by the model's own feature extractor.

        Returns:
            Codes `[1, T]`, T = floor(seconds * frame_rate) + 1: the extractor adds one sample before it pads to
            whole frames, so the last frame stands for less than a frame of sound.
        """
        return self._encode_stack([self._mono(audio)])[0]

    def encode_batch(self, clips: Sequence[Audio], *, padded: bool = False) -> list[Codes]:
        """Codes of many recordings.

        Args:
            clips: Any lengths.
            padded: Off: clips of equal length share passes, the others run beside them, and codes are those of
                `encode`. On: all clips share passes, padded to the longest with the extractor's padding masks,
                which is what fills a GPU. The masks reach the semantic encoder only; the acoustic one sees silence
                after the end, so codes near the end of shorter clips differ: with the bundled checkpoint 2 to 6 of
                about 140, all within the last 18 frames.
        """
        mono = [self._mono(clip) for clip in clips]
        if padded:
            return self._encode_stack(mono) if mono else []
        return in_equal_stacks(mono, lambda clip: (clip.length,), self._encode_stack, self.model.device)

    def decode(self, codes: Codes) -> Audio:
        """Sound of codes. T frames give T * hop samples; a round trip is trimmed to the input's length."""
        if codes.codebooks != 1:
            raise ValueError(f"X-Codec2 has one codebook, not {codes.codebooks}")
        if codes.frames == 0:
            return Audio(np.zeros((1, 0), np.float32), self.sample_rate)
        return self._decode_stack([codes])[0]

    def decode_batch(self, batch: Sequence[Codes]) -> list[Audio]:
        """Sound of many code sequences. Equal lengths share passes; the others run beside them.

        Equal to `decode` up to the order of sums (relative 1e-6), whatever the lengths. Nothing is padded, since the
        decoder has no mask and its group norms average over time: a padded clip would change throughout.
        """
        empty = Audio(np.zeros((1, 0), np.float32), self.sample_rate)
        full = [codes for codes in batch if codes.frames]
        sounds = iter(in_equal_stacks(full, lambda codes: codes.values.shape, self._decode_stack, self.model.device))
        return [next(sounds) if codes.frames else empty for codes in batch]

    def _mono(self, audio: Audio) -> Audio:
        """One channel at the model's rate. Shape: `[C, N]` to `[1, N']`."""
        return audio.mono().resampled(self.sample_rate)

    @torch.inference_mode()
    def _encode_stack(self, stack: list[Audio]) -> list[Codes]:
        """Codes of clips, padded to the longest where lengths differ."""
        samples = [clip.samples[0] for clip in stack]
        inputs = self.extractor(samples, sampling_rate=self.sample_rate, padding=True, return_tensors="pt")
        codes = self.model.encode(**inputs.to(self.model.device)).audio_codes.cpu().numpy()
        # The model's own code mask rounds down and would lose the end of a clip: keep every frame it sounds in.
        return [
            Codes(values[:, : clip.length // self.hop + 1], self.frame_rate, self.codebook_size)
            for values, clip in zip(codes, stack, strict=True)
        ]

    @torch.inference_mode()
    def _decode_stack(self, stack: list[Codes]) -> list[Audio]:
        values = torch.from_numpy(np.stack([codes.values for codes in stack])).to(self.model.device)
        samples = self.model.decode(values).audio_values[:, :, : values.shape[-1] * self.hop]
        return [Audio(sound, self.sample_rate) for sound in samples.float().cpu().numpy()]
