"""The tokenizer's training pass is its own round trip, codebooks begin from data, and codes stay when they must."""

from pathlib import Path

import numpy as np
import pytest
import torch

from studio.codecs.higgs import HiggsCodec
from studio.training.tokenizer import START, Recipe, Training
from studio.training.tokenizer_model import Discriminators, decoded, encoded, latents_of_codes

pytestmark = pytest.mark.usefixtures("one_thread")


def buzz(count: int, frames: int = 8) -> torch.Tensor:
    time = np.arange(frames * 960) / 24_000
    waves = [sum(np.cos(2 * np.pi * (120 + 30 * row) * k * time) / k for k in range(1, 20)) for row in range(count)]
    return torch.from_numpy(0.05 * np.stack(waves).astype(np.float32)) + 0.002 * torch.randn(count, frames * 960)


def small(folder: Path, **changes: object) -> Training:
    torch.manual_seed(0)
    recipe = Recipe(batch=2, warmup_steps=2, beginning_batches=36, **changes)  # type: ignore[arg-type]
    return Training(recipe, folder, width=32)


def test_stages_follow_each_other_and_the_saved_state_goes_on(tmp_path: Path) -> None:
    training = small(tmp_path)
    audio = buzz(2)
    mel = [training.take_step(audio, 0.0)["mel"] for _ in range(18)]
    assert np.mean(mel[-5:]) < 0.9 * np.mean(mel[:5])  # single steps scatter: each draws its own resolutions
    training.begin_codebooks(lambda count: buzz(count, 16))
    assert all(step.codebook.embed.unique(dim=0).shape[0] > 500 for step in training.quantiser.steps)
    parts = training.take_step(audio, 0.7)
    assert {"apart", "theirs", "ours"} <= parts.keys()
    training.save()

    again = small(tmp_path)
    again.resume()
    assert again.step == 19
    assert again.quantised
    codec = HiggsCodec.load(tmp_path / "checkpoint")
    assert (codec.sample_rate, codec.hop, codec.codebooks, codec.codebook_size) == (24_000, 960, 8, 1024)
    with torch.no_grad():
        given = encoded(training.model, audio[:, None])
        latents, _ = training.quantiser(given, torch.tensor([8, 8]), learn=False)
        codes = codec.model.encode(audio[:, None]).audio_codes[..., :8]
        assert torch.allclose(latents_of_codes(codec.model, codes), latents, atol=1e-4)
        ours = decoded(training.model, latents)
        assert torch.allclose(codec.model.decode(codes).audio_values[:, 0], ours, atol=1e-4)


def test_a_deeper_code_is_nearer(tmp_path: Path) -> None:
    training = small(tmp_path)
    training.begin_codebooks(lambda count: buzz(count, 16))
    with torch.no_grad():
        given = encoded(training.model, buzz(2)[:, None])
        errors = []
        for depth in (1, 4, 8):
            latents, _ = training.quantiser(given, torch.tensor([depth] * 2), learn=False)
            errors.append(float((latents - given).square().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_with_the_decoder_alone_every_code_stays(tmp_path: Path) -> None:
    recipe = Recipe(batch=1, warmup_steps=1, adversarial=0.0, decoder_only=True)
    training = Training(recipe, tmp_path, START)
    audio = buzz(1, 16)
    before, sound = (
        training.model.encode(audio[:, None]).audio_codes,
        training.model.acoustic_decoder.conv2.weight.clone(),
    )
    training.take_step(audio, 0.5)
    assert torch.equal(training.model.encode(audio[:, None]).audio_codes, before)
    assert not torch.equal(training.model.acoustic_decoder.conv2.weight, sound)


def test_discriminators_learn_to_tell_noise_from_a_buzz() -> None:
    torch.manual_seed(0)
    judges, real, noise = Discriminators(), buzz(2), 0.05 * torch.randn(2, 8 * 960)
    optimiser = torch.optim.AdamW(judges.parameters(), 1e-3)
    first = judges.own_loss(noise, real).item()
    for _ in range(15):
        optimiser.zero_grad()
        loss = judges.own_loss(noise, real)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.8 * first
    assert judges.decoder_loss(noise, real).item() > judges.decoder_loss(real, real).item()
