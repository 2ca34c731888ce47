"""A few steps lower the loss, training goes on where it stopped, and what is saved is an ordinary checkpoint."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.training.losses import intelligibility_error, log_mel_error, pitch_track, spectrum, waveform_error
from studio.training.xcodec2 import Batch, Recipe, Training
from studio.training.xcodec2_model import (
    HOP,
    MAKE_UP_GAIN,
    SAMPLE_RATE,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
    decoded_latents,
    front,
    new_model,
    small_config,
)

FRAMES = 25


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def a_batch(model: Xcodec2Model, size: int = 2) -> Batch:
    """Buzzing vowels: 140 Hz and up, thirty harmonics."""
    time = np.arange(FRAMES * HOP) / SAMPLE_RATE
    pitches = [140.0 + 60 * index for index in range(size)]
    waves = [sum(np.cos(2 * np.pi * pitch * k * time) / k for k in range(1, 30)) * 0.03 for pitch in pitches]
    extractor = Xcodec2FeatureExtractor()
    inputs = [extractor(wave.astype(np.float32), sampling_rate=SAMPLE_RATE, return_tensors="pt") for wave in waves]
    audio = torch.from_numpy(np.stack(waves).astype(np.float32))
    features = torch.cat([each["input_features"][:, :FRAMES] for each in inputs])
    with torch.no_grad():
        return Batch(audio, front(model, audio[:, None]), features)


def test_the_front_computed_ahead_is_the_models_own() -> None:
    model = new_model(small_config())
    encoder, audio = model.acoustic_encoder, 0.1 * torch.randn(1, 1, 1600)
    with torch.no_grad():
        assert torch.allclose(front(model, audio), encoder.block[0](encoder.conv1(audio)), atol=1e-2)


def test_the_training_pass_is_the_models_own_round_trip() -> None:
    model = new_model(small_config()).eval()
    batch = a_batch(model)
    with torch.no_grad():
        codes = model.encode(batch.audio[:, None], batch.features).audio_codes
        decoded = model.decode(codes).audio_values[:, 0]
        trained, _ = decoded_latents(model, batch.bands, batch.features, torch.tensor([True, True]))
    assert codes.shape == (2, 1, FRAMES)
    assert (decoded - trained).abs().mean() < 0.05 * trained.abs().mean()


def test_losses_are_nothing_for_the_same_sound_and_one_for_silence() -> None:
    sound = 0.1 * torch.randn(2, 8000)
    assert waveform_error(sound, sound) == pytest.approx(1e-3)
    assert waveform_error(torch.zeros_like(sound), sound) == pytest.approx(1.0, abs=0.01)
    spectra = spectrum(sound, 512), spectrum(10 * sound, 512)
    assert log_mel_error(spectra[0], spectra[0], 64, SAMPLE_RATE) == 0
    assert log_mel_error(*spectra, 64, SAMPLE_RATE) == pytest.approx(np.log(10), rel=0.05)
    assert intelligibility_error(sound, sound, SAMPLE_RATE) == pytest.approx(0, abs=1e-3)


def test_the_pitch_track_finds_pitch_and_phase_of_a_buzz() -> None:
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    buzz = sum(0.05 * torch.cos(2 * np.pi * 200 * k * time) for k in range(1, 8))
    pitch, phase, voicing = pitch_track(buzz[None], HOP, SAMPLE_RATE)
    assert pitch[0, 20] == 200
    assert voicing[0, 20] > 0.95
    middle = 2 * np.pi * 200 * 20.5 * HOP / SAMPLE_RATE
    assert torch.cos(phase[0, 20] - middle) > 0.99


def test_a_few_steps_lower_the_loss_and_the_saved_state_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    random.seed(0)  # the loss draws its resolutions from here
    training = Training(Recipe(warmup_steps=3, batch=2), tmp_path)
    batch = a_batch(training.model)
    mel = [training.take_step(batch, 0.0)["mel"] for _ in range(24)]
    assert np.mean(mel[-6:]) < 0.8 * np.mean(mel[:6])  # single steps scatter: each draws its own segments
    training.save()

    again = Training(Recipe(), tmp_path)
    again.resume()
    assert again.step == 24
    loaded = Xcodec2Model.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32).eval()
    louder = loaded.state_dict()["acoustic_decoder.head.linear.bias"]
    louder[: loaded.config.n_fft // 2 + 1] -= np.log(MAKE_UP_GAIN)
    for name, value in again.model.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, rtol=1e-3, atol=2e-3), name
    assert loaded.quantizer.quantizer.codebook.shape == (65_536, 8)
    assert sum(path.stat().st_size for path in (tmp_path / "checkpoint").iterdir()) < 14e6
