"""The measures know known answers: edits, warped words, pitch, ends; and the page escapes what it is given."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.audio import Audio, joined
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.engine.local import LocalEngine
from studio.health import CodeHealth
from studio.sampling import Sampling
from studio.takes import Stop, Take
from studio.training.corpus import HELD_OUT_VARIANTS, is_held_out
from studio.training.evaluation_page import spectrogram_page
from studio.training.likeness import cepstra, mel_cepstral_distortion, rank_of_first, warped, word_distance
from studio.training.recogniser import Recogniser, _loss, edits, features, phones_of
from studio.training.speech_evaluation import (
    _turned,
    evaluate_speech,
    evaluate_turns,
    own_voice_figures,
    plan_items,
    speak_items,
    word_error_rate,
)
from studio.training.voice_measure import (
    DescribedVoices,
    VoiceMeasure,
    described_voices,
    learn,
    planned_voices,
    rank_of_own,
    voice_statistics,
)

pytestmark = pytest.mark.usefixtures("one_thread")
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
RATE = 24_000


def glide(*pitches: float, seconds: float = 1.0) -> Audio:
    """A buzz that moves between pitches."""
    count = round(seconds * RATE)
    pitch = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(pitches)), pitches)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return Audio(sum(np.sin(k * phase) / k for k in range(1, 12))[None].astype(np.float32) * 0.1, RATE)


def test_edits_are_counted() -> None:
    assert edits("kitten", "sitting") == 3
    assert edits("", "abc") == edits("abc", "") == 3
    assert edits(["a", "b"], ["a", "b"]) == 0


def test_warping_forgives_pace_and_level_but_not_another_tune() -> None:
    tune, slow = cepstra(glide(200, 800, 300)), cepstra(glide(200, 800, 300, seconds=1.5))
    other = cepstra(glide(800, 200, 900))
    assert warped(tune, tune)[0] == pytest.approx(0, abs=1e-4)
    assert word_distance(tune, slow) < 0.5 * word_distance(tune, other)
    assert mel_cepstral_distortion(tune, tune) == pytest.approx(0, abs=1e-4)
    assert mel_cepstral_distortion(tune, slow) < mel_cepstral_distortion(tune, other)
    assert rank_of_first(slow, [tune, other]) == 1
    assert rank_of_first(slow, [other, tune, tune]) == 3


def test_statistics_of_a_voice_hold_its_pitch_and_bear_silence_and_whispers() -> None:
    low, high = (voice_statistics(glide(pitch, pitch * 1.05)) for pitch in (110, 250))
    median = 5 * 24 + 2
    assert high[median] - low[median] == pytest.approx(np.log2(250 / 110), abs=0.05)
    assert low[-2] > 0.9, "all of it is voiced"
    silence = Audio(np.zeros((1, 10), np.float32), RATE)
    noise = Audio(np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32), RATE)
    for audio in (silence, noise):
        assert voice_statistics(audio).shape == low.shape == (129,)
        assert np.isfinite(voice_statistics(audio)).all()


def test_the_measure_finds_what_tells_voices_apart_and_forgets_the_rest(tmp_path: Path) -> None:
    """Voices that differ in two numbers a little, where all others vary much: by plain distance they are not found."""
    chance = np.random.default_rng(0)
    voices = np.repeat(np.arange(60), 20)

    def uttered(places: np.ndarray) -> np.ndarray:
        rows = chance.normal(0, 3.0, (len(places), 129))
        rows[:, 5:7] = places + chance.normal(0, 0.05, (len(places), 2))
        return rows

    measure = learn(DescribedVoices(uttered(chance.normal(0, 1, (60, 2))[voices]), voices, voices // 6), steps=60)
    new = chance.normal(0, 1, (200, 2))
    spoken, references = uttered(new), uttered(new)

    def share_found(spoken: np.ndarray, references: np.ndarray) -> float:
        groups = (index - index % 10 for index in range(200))
        return np.mean(
            [
                rank_of_own(each, references[first : first + 10], own % 10) == 1
                for own, (each, first) in enumerate(zip(spoken, groups, strict=True))
            ]
        )

    assert share_found(spoken, references) < 0.3
    assert share_found(measure.placed(spoken), measure.placed(references)) > 0.5
    measure.save(tmp_path / "measure")
    assert np.array_equal(VoiceMeasure.load(tmp_path / "measure").placed(spoken), measure.placed(spoken))


@needs_espeak
def test_what_the_measure_learns_from_is_never_what_is_asked_of_it() -> None:
    planned = list(planned_voices(variants_drawn=2, voices_of_a_variant=1, seed=0))
    assert len(planned) == 5 * (planned[-1][0] + 1)
    assert not set(HELD_OUT_VARIANTS) & {its.voice.variant for _, its in planned}
    assert not any(is_held_out(its.text) for _, its in planned)
    described = described_voices(variants_drawn=1, voices_of_a_variant=1)
    assert described.statistics.shape == (5 * (planned[-1][0]), 129)
    assert described.variants.tolist() == described.voices.tolist()


def pitch_measure() -> VoiceMeasure:
    """Hears the median pitch alone."""
    projection = np.zeros((129, 1))
    projection[5 * 24 + 2] = 1
    return VoiceMeasure(np.zeros(129), np.ones(129), projection)


def test_own_voices_are_ranked_among_ten_and_what_was_not_heard_is_the_last() -> None:
    measure = pitch_measure()
    clips = [glide(pitch, pitch * 1.05) for pitch in (100, 150, 220)]
    references = [measure.embedding(clip) for clip in clips]
    assert own_voice_figures(clips, references, measure) == {"closest_share": 1.0, "mean_rank": 1.0}
    assert own_voice_figures([clips[1], clips[0], None], references, measure)["mean_rank"] == pytest.approx(8 / 3, 0.01)


@needs_espeak
def test_a_turn_is_right_where_both_halves_are_nearer_to_their_own_reference() -> None:
    measure, (first, second) = pitch_measure(), plan_items(2)
    low, high = (
        glide(100, 105, seconds=first.original.duration_seconds),
        glide(220, 225, seconds=second.original.duration_seconds),
    )
    references = [measure.embedding(low), measure.embedding(high)]
    assert _turned((first, second), joined([low, high]), references, measure)
    assert not _turned((first, second), joined([low, low]), references, measure)
    assert not _turned((first, second), Audio(np.zeros((1, 1), np.float32), RATE), references, measure)


@needs_espeak
def test_phones_are_espeaks_without_stress() -> None:
    voice = plan_items(1)[0].voice
    phones = phones_of("The last train.", voice)
    assert phones == phones_of("The last train!", voice)
    assert phones[-4:-1] == ["t", "r", "eI"]
    assert not any(mark in phone for phone in phones for mark in "',%_ ")


@needs_espeak
def test_the_recogniser_learns_and_hears(tmp_path: Path) -> None:
    torch.manual_seed(0)
    item = plan_items(1)[0]
    said = phones_of(item.text, item.voice)
    model = Recogniser(sorted(set(said)))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    rows, target = features(item.original), [1 + model.phones.index(phone) for phone in said]
    first = last = 0.0
    for step in range(60):
        loss = _loss(model, [rows], [target])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        first, last = (loss.item(), last) if step == 0 else (first, loss.item())
    assert last < 0.3 * first
    assert edits(said, model.eval().heard(item.original)) < 0.6 * len(said)


@needs_espeak
def test_a_plan_is_decided_by_its_seed_and_holds_only_what_was_never_trained_on() -> None:
    items, again = plan_items(2), plan_items(1)
    assert items[0].text == again[0].text
    assert np.array_equal(items[0].original.samples, again[0].original.samples)
    assert len({item.text for item in items}) == 2
    assert len(items[0].others) == 19
    assert items[0].text not in items[0].others


@needs_espeak
def test_the_original_itself_is_right_in_all_figures_and_silence_in_none(engine: LocalEngine) -> None:
    items = plan_items(2)
    codes = Codes(np.zeros((8, 1), int), 25.0, 1024)
    takes = [
        Take(codes, each.original, Sampling(), "", Stop.ENDED, 1, CodeHealth.of(codes, each.original, each.text))
        for each in items
    ]
    figures = evaluate_speech(items, takes, engine.codec, None, pitch_measure())
    assert figures["stop"] == 1.0
    assert figures["spoken"]["right_text_share"] == 1.0
    assert figures["spoken"]["mel_cepstral_distortion_db"] == 0.0
    assert figures["codec_round_trip"]["mel_cepstral_distortion_db"] > 1.0
    assert "recogniser" in figures["phone_error_rate"]
    assert figures["own_voice"]["original"] == {"closest_share": 1.0, "mean_rank": 1.0}
    silent = evaluate_speech(items, [None, None], engine.codec, None, None)
    assert "voice_measure" in silent["own_voice"]
    assert silent["stop"] == silent["spoken"]["right_text_share"] == 0.0
    assert silent["spoken"]["right_text_mean_rank"] == 20


@needs_espeak
def test_the_bundled_checkpoint_can_be_measured(engine: LocalEngine) -> None:
    items = plan_items(2)
    takes = speak_items(engine, items)
    assert [take.codes.fingerprint for take in takes] == [t.codes.fingerprint for t in speak_items(engine, items)]
    turns = evaluate_turns(engine, items, pitch_measure())
    assert turns["pairs"] == 1
    assert turns["both_halves_right_share"] in (0.0, 1.0)
    assert "voice_measure" in evaluate_turns(engine, items, None)["both_halves_right_share"]


def test_without_whisper_the_reason_is_told_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(name: str, *, local_files_only: bool) -> None:
        assert local_files_only
        raise OSError(name)

    monkeypatch.setattr("studio.training.speech_evaluation.WhisperProcessor.from_pretrained", not_here)
    assert word_error_rate(["Hello."], [None]) == "n/a: openai/whisper-base.en is not in the hub's cache"


def test_the_page_escapes_and_says_what_is_missing() -> None:
    page = spectrogram_page("<b>", [("a < b", (glide(200, 300), None))])
    assert "<b>" not in page
    assert "a &lt; b" in page
    assert page.count("<img") == 1
    assert "nothing was heard" in page


def test_the_ladder_has_a_rung_for_each_codebook(engine: LocalEngine) -> None:
    from studio.training.codec_evaluation import bundled_voices
    from studio.training.evaluate import evaluate_ladder

    codec = HiggsCodec(engine.codec.model)
    codec.codebooks = 2
    ladder = evaluate_ladder(codec, bundled_voices()[:1])
    assert list(ladder) == ["1", "2"]
    assert 0.5 < ladder["1"]["stoi"] < ladder["2"]["stoi"] <= 1
