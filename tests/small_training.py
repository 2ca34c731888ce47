"""A corpus and a model small enough to train in a test."""

import json
from pathlib import Path

import numpy as np
import torch

import studio.training  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from studio.training.coded_speech import CodedSpeech
from studio.training.coded_voices import VOICE_NUMBERS
from studio.training.phrases import WORDS_OF
from studio.training.speech import START, TEXT_FILES
from studio.training.speech_samples import CURRICULUM
from studio.training.spoken_speech import LETTER_STEPS, SpokenUtterance, plan_shard
from studio.training.timed_speech import PHONE_CLASSES

K, BEGIN, END = 8, 1024, 1025
LAST = CURRICULUM[-1][1]


def some_speech() -> CodedSpeech:
    """Four speakers, six texts each, codes and voices by chance; of the last the voice is not known."""
    utterances, start = [], 0
    for index, each in enumerate(plan_shard(0, voices=4, drawn_share=0.0)):
        length = tuple(WORDS_OF)[index % 3]
        utterances.append(SpokenUtterance(each.text, length, index // 6, each.gender, start, 6 + index))
        start += 6 + index
    values = np.random.default_rng(1).integers(0, 1024, (start, K)).astype(np.uint16)
    letters = [np.linspace(0, len(each.text) - 1, each.frames) * LETTER_STEPS for each in utterances]
    times = np.stack([np.concatenate(letters), np.arange(start) % PHONE_CLASSES], axis=1).astype(np.int16)
    voices = np.random.default_rng(2).normal(0, 3, (4, VOICE_NUMBERS)).astype(np.float32)
    voices[3] = np.nan
    return CodedSpeech(tuple(utterances), values, times, 25.0, 1024, voices)


def tiny_model(key_heads: int = 2) -> HiggsAudioV2ForConditionalGeneration:
    config = HiggsAudioV2Config.from_pretrained(START)
    config.update({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 7, "num_attention_heads": 2})
    config.update({"num_key_value_heads": key_heads, "head_dim": 16})
    torch.manual_seed(0)
    return HiggsAudioV2ForConditionalGeneration(config)


def small_start(folder: Path) -> Path:
    tiny_model().save_pretrained(folder)
    for name in TEXT_FILES:
        (folder / name).write_bytes((START / name).read_bytes())
    return folder


def a_corpus(folder: Path) -> Path:
    folder.mkdir()
    speech = some_speech()
    np.save(folder / "train-0000.npy", speech.values)
    np.save(folder / "train-0000.times.npy", speech.times)
    np.save(folder / "train-0000.voices.npy", speech.voices)
    lines = [json.dumps(vars(each)) for each in speech.utterances]
    (folder / "train-0000.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "codec.json").write_text('{"frame_rate": 25.0, "codebook_size": 1024}')
    return folder
