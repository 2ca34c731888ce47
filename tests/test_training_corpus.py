"""The corpus is decided by its seed, keeps its hold-outs apart, and is trimmed and levelled."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Audio
from studio.training.bundled_voices import VOICES
from studio.training.corpus import (
    HELD_OUT_VARIANTS,
    PADDING_SECONDS,
    VARIANTS,
    is_held_out,
    levelled,
    make_corpus,
    plan,
    trimmed,
)
from studio.training.drawn_variants import drawn_name, variant_text
from studio.training.espeak import EspeakVoice
from studio.training.likeness import cepstra
from studio.training.sentences import sentence
from studio.training.timed_speech import speak_timed

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def test_sentences_are_many_and_whole() -> None:
    chance = random.Random(0)
    sentences = [sentence(chance) for _ in range(5000)]
    assert len(set(sentences)) > 4000
    assert not any(mark in text for text in sentences for mark in "{}_")
    assert all(1 <= len(text.split()) <= 40 and text[0].isupper() for text in sentences)
    assert len({word.strip(".,!?") for text in sentences for word in text.split()}) > 800


def test_a_plan_is_decided_by_its_seed_and_a_longer_one_begins_with_it() -> None:
    short = list(plan("train", 50, seed=3))
    assert short == list(plan("train", 90, seed=3))[:50]
    assert short != list(plan("train", 50, seed=4))


def test_held_out_voices_and_sentences_are_never_trained_on() -> None:
    trained, held_out = list(plan("train", 2000)), list(plan("held-out", 400))
    assert not {each.text for each in trained} & {each.text for each in held_out}
    assert not {each.voice.variant for each in trained} & {each.voice.variant for each in held_out}
    assert {each.voice.variant for each in held_out} == set(HELD_OUT_VARIANTS)
    assert all(is_held_out(text) for *_, text in VOICES.values())


def test_voices_are_many_of_both_genders_and_include_the_bundled_accents_and_variants() -> None:
    trained = list(plan("train", 4000))
    assert len({each.voice for each in trained}) > 900
    feminine = sum(each.gender == "feminine" for each in trained) / len(trained)
    assert 0.42 < feminine < 0.58
    assert all(VARIANTS[each.voice.variant] == each.gender for each in trained)
    bundled = {(voice.accent, voice.variant) for _, _, voice, _ in VOICES.values()}
    assert {accent for accent, _ in bundled} <= {each.voice.accent for each in trained}
    assert {variant for _, variant in bundled} <= {each.voice.variant for each in trained}


def test_trimmed_and_levelled() -> None:
    rate = 16_000
    tone = 0.01 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate)
    audio = trimmed(Audio(np.pad(tone, rate)[None], rate))
    assert audio.duration_seconds == pytest.approx(1 + 2 * PADDING_SECONDS, abs=0.011)
    assert levelled(audio).rms_dbfs == pytest.approx(-23.0, abs=0.01)
    assert levelled(audio, 0.0).peak == pytest.approx(0.95, abs=1e-3)
    assert levelled(Audio(np.zeros((1, 100)), rate)).peak == 0


@needs_espeak
@pytest.mark.parametrize("sample_rate", [16_000, 24_000])
def test_a_corpus_is_made_once_and_the_same_each_time(tmp_path: Path, sample_rate: int) -> None:
    made = make_corpus("held-out", 3, sample_rate, cache=tmp_path / "one")
    again = make_corpus("held-out", 3, sample_rate, cache=tmp_path / "two", workers=1)
    assert made.utterances == again.utterances
    assert np.array_equal(made.samples, again.samples)
    assert sum(each.length for each in made.utterances) == len(made.samples)
    index = tmp_path / "one" / f"held-out-3-{sample_rate}-0" / "utterances.jsonl"
    written = index.stat().st_mtime_ns
    kept = make_corpus("held-out", 3, sample_rate, cache=tmp_path / "one")
    assert index.stat().st_mtime_ns == written
    audio = kept.audio(2)
    assert audio.sample_rate == sample_rate
    assert 0.5 < audio.duration_seconds < 15
    assert -40 < audio.rms_dbfs <= -22.9


def test_drawn_variants_are_decided_by_their_names_and_differ() -> None:
    chance = random.Random(0)
    names = [drawn_name(chance, "feminine") for _ in range(20)]
    assert variant_text(names[0]) == variant_text(names[0])
    assert len({variant_text(name).split("\n", 2)[2] for name in names}) == len(set(names)) == 20
    assert all("gender female" in variant_text(name) for name in names)
    assert "gender male" in variant_text(drawn_name(chance, "masculine"))


@needs_espeak
def test_espeak_speaks_with_drawn_variants_as_with_its_own() -> None:
    text, chance = "The kettle sings.", random.Random(1)
    own, _ = speak_timed(text, EspeakVoice(variant="f1"))
    drawn = [speak_timed(text, EspeakVoice(variant=drawn_name(chance, "feminine"))) for _ in range(2)]
    assert [phone.name for phone in drawn[0][1]] == [phone.name for phone in drawn[1][1]]
    sounds = [cepstra(audio).mean(0) for audio in (own, *(audio for audio, _ in drawn))]
    assert all(np.abs(sounds[one] - sounds[two]).max() > 2 for one, two in ((0, 1), (0, 2), (1, 2)))
