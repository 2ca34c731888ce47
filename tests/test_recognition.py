"""Words by a Whisper of the hub's cache: a tiny random one runs the loading code; without one nothing is made up."""

import json
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Audio, silence
from studio.checkpoints import cached_recognisers
from studio.errors import CheckpointMissing, GenerationFailed
from studio.recognition import Recogniser, _windows

SPECIAL = ("endoftext", "startoftranscript", "en", "translate", "transcribe", "nospeech", "notimestamps")
HUM = Audio(0.3 * np.sin(2 * np.pi * 150 * np.arange(48_000) / 24_000), 24_000)


def write_whisper(cache: Path, owner: str = "tiny", width: int = 16) -> Path:
    """A Whisper of random weights, where the hub's client would put it."""
    import torch

    from studio.torchaudio_on_cpu import make_torchaudio_importable

    make_torchaudio_importable()
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    vocabulary = {chr(33 + number): number for number in range(94)}
    ids = {name: len(vocabulary) + number for number, name in enumerate(SPECIAL)}
    vocabulary |= {f"<|{name}|>": number for name, number in ids.items()}
    config = WhisperConfig(
        **{"vocab_size": len(vocabulary), "d_model": width, "encoder_layers": 1, "decoder_layers": 1},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
        **{"max_target_positions": 32, "decoder_start_token_id": ids["startoftranscript"]},
        **dict.fromkeys(("eos_token_id", "pad_token_id", "bos_token_id"), ids["endoftext"]),
    )
    folder = cache / f"models--{owner}--whisper-random" / "snapshots" / ("a" * 40)
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config.update(
        max_length=12,
        suppress_tokens=list(ids.values()),
        begin_suppress_tokens=[],
        lang_to_id={"<|en|>": ids["en"]},
        task_to_id={"transcribe": ids["transcribe"], "translate": ids["translate"]},
        no_timestamps_token_id=ids["notimestamps"],
        is_multilingual=True,
    )
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    WhisperTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_whisper(folder)
    return folder


def test_a_whisper_of_the_cache_is_loaded_and_writes_what_it_hears(cache: Path):
    recogniser = Recogniser(cache)
    assert recogniser.name == f"tiny/whisper-random@{'a' * 12}"
    words = recogniser.words(HUM)
    assert words.strip()
    assert "<|" not in words
    assert recogniser.words(HUM) == words


def test_without_a_whisper_it_says_how_to_get_one(tmp_path: Path):
    recogniser = Recogniser(tmp_path)
    assert recogniser.name == ""
    with pytest.raises(CheckpointMissing, match=r"No Whisper checkpoint .*hf download openai/whisper-small"):
        recogniser.words(HUM)


def test_silence_is_told_and_no_words_are_made_up(cache: Path, monkeypatch: pytest.MonkeyPatch):
    recogniser = Recogniser(cache)
    monkeypatch.setattr(recogniser, "_heard", lambda window: "  ")
    with pytest.raises(GenerationFailed, match="Whisper heard no words"):
        recogniser.words(HUM)


def test_the_largest_complete_checkpoint_with_safetensors_is_taken(tmp_path: Path):
    small, large = write_whisper(tmp_path, "small"), write_whisper(tmp_path, "large", width=32)
    for broken, why in (
        ("pickled", "model.safetensors"),
        ("wordless", "tokenizer.json"),
        ("deaf", "preprocessor_config.json"),
    ):
        (write_whisper(tmp_path, broken, width=64) / why).unlink()
    other = write_whisper(tmp_path, "other", width=64) / "config.json"
    other.write_text(json.dumps(json.loads(other.read_text()) | {"model_type": "wav2vec2"}))
    assert cached_recognisers(tmp_path) == [large, small]
    (large / "model.safetensors").write_bytes(b"no weights at all, and more bytes than the other one has" * 10_000)
    with pytest.raises(CheckpointMissing, match="cannot be loaded"):
        Recogniser(tmp_path).words(HUM)


@pytest.mark.parametrize(("seconds", "count"), [(1, 1), (30, 1), (30.4, 1), (31, 2), (60, 2)])
def test_long_recordings_are_heard_in_windows(seconds: float, count: int):
    windows = _windows(silence(seconds, 16_000))
    assert len(windows) == count
    assert all(window.duration_seconds <= 30 for window in windows)
