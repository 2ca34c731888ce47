"""A few steps lower the loss, training goes on where it stopped, and what is saved is an ordinary checkpoint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from studio.errors import StudioError
from studio.training import xcodec2
from studio.training.corpus import Corpus, Utterance, plan
from studio.training.espeak import EspeakVoice
from studio.training.library_corpus import speak_corpus, speak_part
from studio.training.losses import intelligibility_error, log_mel_error, loudness_error, spectrum, waveform_error
from studio.training.timed_speech import speak_timed
from studio.training.xcodec2 import TOLD, Recipe, Training
from studio.training.xcodec2_data import Batch, Segments, features_of
from studio.training.xcodec2_loss import PitchError
from studio.training.xcodec2_model import (
    HOP,
    SAMPLE_RATE,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
    decoded,
    front,
    new_model,
    small_config,
)

FRAMES = 25
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> Xcodec2Model:
    return new_model(small_config())


def buzz(pitch: float, seconds: float) -> np.ndarray:
    """A vowel of thirty harmonics."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return sum(np.cos(2 * np.pi * pitch * k * time) / k for k in range(1, 30)).astype(np.float32) * 0.03


def a_corpus() -> Corpus:
    """Three vowels of different lengths, the first too short for a segment."""
    waves = [buzz(140, 0.3), buzz(200, 0.81), buzz(170, 1.0)]
    utterances, start = [], 0
    for wave in waves:
        utterances.append(Utterance("a", EspeakVoice(), "feminine", start, len(wave)))
        start += len(wave)
    return Corpus(tuple(utterances), np.round(np.concatenate(waves) * 32767).astype(np.int16), SAMPLE_RATE)


def a_batch(size: int = 2) -> Batch:
    extractor = Xcodec2FeatureExtractor()
    waves = [buzz(140.0 + 60 * index, FRAMES * HOP / SAMPLE_RATE) for index in range(size)]
    inputs = [extractor(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt") for wave in waves]
    features = torch.cat([each["input_features"][:, :FRAMES] for each in inputs])
    return Batch(torch.from_numpy(np.stack(waves)), features)


def test_the_front_is_the_models_own_first_block(model: Xcodec2Model) -> None:
    encoder, audio = model.acoustic_encoder, 0.1 * torch.randn(1, 1, 1600)
    with torch.no_grad():
        assert torch.allclose(front(model, audio), encoder.block[0](encoder.conv1(audio)), atol=1e-2)


def test_the_training_pass_is_the_models_own_round_trip(model: Xcodec2Model) -> None:
    batch = a_batch()
    with torch.no_grad():
        codes = model.encode(batch.audio[:, None], batch.features).audio_codes
        own = model.decode(codes).audio_values[:, 0]
        trained = decoded(model, batch.audio, batch.features, torch.tensor([True, True]))
    assert codes.shape == (2, 1, FRAMES)
    assert trained.given.shape == (2, FRAMES, 8)
    assert trained.made.shape == (2, FRAMES, 4 * HOP + 2)
    assert (own - trained.audio).abs().mean() < 0.05 * own.abs().mean()


def test_features_of_several_utterances_are_the_extractors() -> None:
    corpus, extractor = a_corpus(), Xcodec2FeatureExtractor()
    audio, frames = torch.zeros(3, 60 * HOP), []
    for row, index in zip(audio, range(3), strict=True):
        samples = torch.from_numpy(corpus.audio(index).samples[0])
        row[: len(samples)] = samples
        frames.append(-(-(len(samples) + 1) // HOP))
    made = features_of(audio, torch.tensor(frames))
    for row, index, count in zip(made, range(3), frames, strict=True):
        told = extractor(corpus.audio(index).samples[0], sampling_rate=SAMPLE_RATE, return_tensors="pt")
        own = told["input_features"][0]
        assert own.shape == (count, 160)
        assert torch.allclose(row[:count], own, atol=2e-2)


def test_segments_are_parts_of_their_utterances_with_their_features() -> None:
    torch.manual_seed(0)
    corpus = a_corpus()
    batch = Segments(corpus, FRAMES, CPU).draw(6)
    assert batch.audio.shape == (6, FRAMES * HOP)
    wholes = [corpus.audio(index).samples[0] for index in (1, 2)]
    extractor = Xcodec2FeatureExtractor()
    features = [extractor(each, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"][0] for each in wholes]
    for audio, told in zip(batch.audio.numpy(), batch.features, strict=True):
        fits = []
        for whole, its in zip(wholes, features, strict=True):
            padded = np.pad(whole, (0, len(its) * HOP - len(whole)))
            for first in range(len(its) - FRAMES + 1):
                part = padded[first * HOP : (first + FRAMES) * HOP]
                gain = (audio @ part) / (part @ part)
                if np.abs(audio - gain * part).max() < 1e-4:
                    fits.append((gain, float((told - its[first : first + FRAMES]).abs().max())))
        gain, apart = min(fits, key=lambda fit: fit[1])
        assert 0.49 < gain < 2.01
        assert apart < 2e-2


def test_losses_are_nothing_for_the_same_sound_and_one_for_silence() -> None:
    sound = 0.1 * torch.randn(2, 8000)
    assert waveform_error(sound, sound) == pytest.approx(1e-3)
    assert waveform_error(torch.zeros_like(sound), sound) == pytest.approx(1.0, abs=0.01)
    spectra = spectrum(sound, 512), spectrum(10 * sound, 512)
    assert log_mel_error(spectra[0], spectra[0], 64, SAMPLE_RATE) == 0
    assert log_mel_error(*spectra, 64, SAMPLE_RATE) == pytest.approx(np.log(10), rel=0.05)
    assert intelligibility_error(sound, sound, SAMPLE_RATE) == pytest.approx(0, abs=1e-3)
    assert loudness_error(sound, sound, SAMPLE_RATE) < 1e-2
    tone = torch.from_numpy(buzz(440, 0.5))[:8000].expand(2, -1)
    hiss = 0.1 * torch.randn(2, 8000)[:, : tone.shape[1]]
    added, missing = loudness_error(tone + hiss, tone, SAMPLE_RATE), loudness_error(tone, tone + hiss, SAMPLE_RATE)
    assert added > 2 * missing
    silence = torch.zeros_like(sound)
    assert loudness_error(sound, silence, SAMPLE_RATE) > 1.2 * loudness_error(silence, sound, SAMPLE_RATE)
    assert missing > 0.1


def test_the_pitch_track_finds_pitch_and_phase_of_a_buzz() -> None:
    pitch, phase, voicing = PitchError(SAMPLE_RATE, HOP).track(torch.from_numpy(buzz(200, 1.0))[None])
    assert pitch[0, 20] == 200
    assert voicing[0, 20] > 0.95
    middle = 2 * np.pi * 200 * 20.5 * HOP / SAMPLE_RATE
    assert torch.cos(phase[0, 20] - middle) > 0.99


def test_a_corpus_spoken_in_parts_says_what_the_plan_says(tmp_path: Path) -> None:
    try:
        speak_timed("yes", EspeakVoice())
    except StudioError as missing:
        pytest.skip(str(missing))
    planned = list(plan("train", 3))
    for part in range(2):
        speak_part(planned[part::2], SAMPLE_RATE, tmp_path / "library-train-3-16000-0-2" / str(part))
    corpus = speak_corpus(3, SAMPLE_RATE, cache=tmp_path, workers=2)  # its processes find both parts
    assert {each.text for each in corpus.utterances} == {each.text for each in planned}
    assert sum(each.length for each in corpus.utterances) == len(corpus.samples)
    for index in range(3):
        assert -26 < corpus.audio(index).rms_dbfs < -22


class NothingForTheHost(TorchDispatchMode):
    """Refuses what would make a card wait, or copy a number of the host's: neither can be part of a recording."""

    LOOKS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "is_nonzero")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        assert name not in self.LOOKS, name
        if name in ("index", "index_put", "index_put_"):
            assert all(each is None or each.dtype != torch.bool for each in args[1]), "indexed by a mask"
        if name == "where":
            assert all(each.dtype != torch.float64 for each in args), "a number of Python's beside tensors"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("adversarial", [False, True])
def test_a_step_can_be_recorded(adversarial: bool, tmp_path: Path) -> None:
    training = Training(Recipe(batch=2, frames=FRAMES), tmp_path)
    segments = Segments(a_corpus(), FRAMES, CPU)
    for optimiser in (training.optimiser, training.their_optimiser):  # on a CPU, its count of steps is looked at
        optimiser.step = lambda: None  # type: ignore[method-assign]
    training.take_step(segments.draw(2))  # windows are made once
    training.prepare(0.7)
    with NothingForTheHost():
        told = training.take_step(segments.draw(2), adversarial=adversarial)
    assert told.shape == (len(TOLD),)
    assert torch.isfinite(told).all()
    assert (told[-1] > 0) == adversarial


def test_a_step_whose_gradients_are_not_finite_changes_nothing(tmp_path: Path) -> None:
    training = Training(Recipe(batch=2), tmp_path)
    before = [each.detach().clone() for each in training.trained]
    batch = a_batch()
    batch.audio[0, 100] = torch.nan
    training.prepare(0.0)
    training.take_step(batch)
    assert all(torch.equal(one, two) for one, two in zip(before, training.trained, strict=True))


def test_a_few_steps_lower_the_loss_and_the_saved_state_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    training = Training(Recipe(warmup_steps=3, batch=2), tmp_path)
    batch, mel = a_batch(), []
    for _ in range(16):
        training.prepare(0.0)
        mel.append(float(training.take_step(batch)[TOLD.index("mel")]))
        training.step += 1
    assert np.mean(mel[-4:]) < 0.8 * np.mean(mel[:4])
    training.make_up_gain = 1.2
    training.save()

    again = Training(Recipe(), tmp_path)
    again.resume()
    again.prepare(0.0)
    assert again.step == 16
    assert all(group["lr"] is again.rate for group in again.optimiser.param_groups)
    again.take_step(batch)
    loaded = Xcodec2Model.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32).eval()
    louder = loaded.state_dict()["acoustic_decoder.head.linear.bias"]
    louder[: loaded.config.n_fft // 2 + 1] -= np.log(1.2)
    for name, value in training.model.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, rtol=1e-3, atol=2e-3), name
    assert loaded.quantizer.quantizer.codebook.shape == (65_536, 8)
    assert sum(path.stat().st_size for path in (tmp_path / "checkpoint").iterdir()) < 15.5e6


@pytest.fixture
def tiny_corpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(xcodec2, "speak_corpus", lambda *_, **__: a_corpus())
    yield
    torch.set_default_device("cpu")


@pytest.mark.usefixtures("tiny_corpus")
def test_the_command_trains_logs_and_goes_on(tmp_path: Path) -> None:
    arguments = ["--folder", str(tmp_path), "--batch", "1", "--adversarial", "0.5", "--no-evaluation", "--frames", "25"]
    xcodec2.main([*arguments, "--minutes", "0.02"])
    xcodec2.main([*arguments, "--minutes", "0.03", "--resume"])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == sum(line["steps"] for line in lines)
    assert lines[-1]["minutes"] >= 0.03
    assert lines[-1]["ours"] > 0
    assert not (tmp_path / "evaluation.json").exists()
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
