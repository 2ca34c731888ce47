"""Recognition: the words said in a recording, by a Whisper checkpoint that is already on this machine.

Nothing is fetched for it. Where there is no checkpoint it says so; it never makes words up itself.
"""

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.audio import Audio
from studio.checkpoints import cached_recognisers, repository_of
from studio.errors import CheckpointMissing, GenerationFailed

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

SAMPLE_RATE = 16_000  # Hz, of every Whisper
WINDOW_SECONDS = 30.0  # what Whisper hears at a time
SHORTEST_REST_SECONDS = 0.5  # a rest behind the last whole window that can hold no word
HOW_TO_GET_ONE = (
    "No Whisper checkpoint is in this machine's hub cache. Type the words, or fetch one once with "
    "“hf download openai/whisper-small” and press again."
)


class Recogniser:
    """The largest Whisper of the hub's cache, loaded when first needed."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """Which checkpoint would be used, `owner/name@commit`; empty where there is none."""
        found = cached_recognisers(self._cache)
        return repository_of(found[0]) if found else ""

    def words(self, audio: Audio) -> str:
        """What is said, as Whisper hears it, in the language it takes it for.

        Raises:
            CheckpointMissing: there is no Whisper here, or it cannot be loaded; with the remedy.
            GenerationFailed: it heard no words.
        """
        if not self.name:
            raise CheckpointMissing(HOW_TO_GET_ONE)
        with self._turn:
            text = " ".join(self._heard(part) for part in _windows(audio.mono().resampled(SAMPLE_RATE)))
        text = " ".join(text.split())
        if not text:
            raise GenerationFailed("Whisper heard no words. Listen to the recording, and type what is said.")
        return text

    @cached_property
    def _loaded(self) -> tuple["WhisperForConditionalGeneration", Any, Any]:
        import torch
        from safetensors import SafetensorError

        from studio.torchaudio_on_cpu import make_torchaudio_importable

        make_torchaudio_importable()
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

        folder = cached_recognisers(self._cache)[0]
        try:
            model = WhisperForConditionalGeneration.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
            ears = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
            writer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
            raise CheckpointMissing(
                f"{repository_of(folder)} is in the hub cache and cannot be loaded ({type(problem).__name__}). "
                "Type the words, or fetch it again."
            ) from None
        return model.eval(), ears, writer

    def _heard(self, window: Audio) -> str:
        import torch

        model, ears, writer = self._loaded
        features = ears(window.samples[0], sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            ids = model.generate(features)
        return writer.batch_decode(ids, skip_special_tokens=True)[0]


def _windows(audio: Audio) -> list[Audio]:
    """Stretches of at most 30 s. Shape: `[1, N]` each."""
    count = max(1, -(-int(1000 * (audio.duration_seconds - SHORTEST_REST_SECONDS)) // int(1000 * WINDOW_SECONDS)))
    return [audio.between(index * WINDOW_SECONDS, (index + 1) * WINDOW_SECONDS) for index in range(count)]
