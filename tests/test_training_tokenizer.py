"""The tokenizer's training pass is its own round trip, codebooks begin from data, and codes stay when they must."""

from pathlib import Path

import numpy as np
import pytest
import torch

from studio.codecs.higgs import HiggsCodec
from studio.training.phrases import Length
from studio.training.spoken_speech import SpokenSpeech, SpokenUtterance
from studio.training.tokenizer import PARTS, Recipe, Segments, Stage, Training
from studio.training.tokenizer_model import Discriminators, decoded, encoded, hears_semantics, latents_of_codes

pytestmark = pytest.mark.usefixtures("one_thread")


def buzz(count: int, frames: int = 8) -> torch.Tensor:
    time = np.arange(frames * 960) / 24_000
    waves = [sum(np.cos(2 * np.pi * (120 + 30 * row) * k * time) / k for k in range(1, 20)) for row in range(count)]
    return torch.from_numpy(0.05 * np.stack(waves).astype(np.float32)) + 0.002 * torch.randn(count, frames * 960)


PHRASE: Length = "phrase"


def small(folder: Path, **changes: object) -> Training:
    torch.manual_seed(0)
    recipe = Recipe(**{"batch": 2, "warmup_steps": 2, "beginning_batches": 36, "frames": 8} | changes)  # type: ignore[arg-type]
    return Training(recipe, folder, width=32)


def segments(training: Training, frames: int = 64) -> Segments:
    """Of one long buzz of no phone."""
    samples = (buzz(1, frames)[0] * 32767).to(torch.int16).view(frames, 960).numpy()
    speech = SpokenSpeech(
        (SpokenUtterance("", PHRASE, 0, "feminine", 0, frames),), samples, np.zeros((frames, 4), np.int16)
    )
    return Segments(speech, training.recipe.frames, training.device)


def parts_of(training: Training, audio: torch.Tensor, progress: float, stage: Stage) -> dict[str, float]:
    phones = torch.zeros(len(audio), audio.shape[1] // 960, 2, dtype=torch.int64)
    told = training.take_step(audio, phones, torch.tensor(progress), stage)
    training.step += 1
    return dict(zip(PARTS, told.tolist(), strict=True))


def test_stages_follow_each_other_and_the_saved_state_goes_on(tmp_path: Path) -> None:
    training = small(tmp_path)
    audio = buzz(2)
    assert training.stage(0.9) == "free"
    parts = [parts_of(training, audio, 0.0, "free") for _ in range(18)]
    assert parts[-1]["mel"] < 0.9 * parts[0]["mel"]
    assert parts[-1]["phones"] < parts[0]["phones"]
    training.begin_codebooks(segments(training))
    assert all(step.codebook.embed.unique(dim=0).shape[0] > 500 for step in training.quantiser.steps)
    assert (training.stage(0.1), training.stage(0.9)) == ("quantised", "adversarial")
    parts_now = parts_of(training, audio, 0.7, "adversarial")
    assert parts_now["theirs"] > 0
    assert parts_now["apart"] > 0
    training.save()

    again = small(tmp_path)
    again.resume()
    assert again.step == 19
    assert again.quantised
    codec = HiggsCodec.load(tmp_path / "checkpoint")
    assert (codec.sample_rate, codec.hop, codec.codebooks, codec.codebook_size) == (24_000, 960, 8, 1024)
    assert not hears_semantics(codec.model)
    codec.model.load_state_dict(training.model.state_dict())  # on disk are halves
    with torch.no_grad():
        given = encoded(training.model, audio[:, None])
        latents = training.quantiser(given, torch.tensor([8, 8]), learn=False).latents
        codes = codec.model.encode(audio[:, None]).audio_codes[..., :8]
        assert torch.allclose(latents_of_codes(codec.model, codes), latents, atol=1e-4)
        ours = decoded(training.model, latents)
        assert torch.allclose(codec.model.decode(codes).audio_values[:, 0], ours, atol=1e-4)


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path: Path) -> None:
    training = small(tmp_path)
    parts_of(training, buzz(2), 0.0, "free")
    before = training.model.acoustic_decoder.conv2.weight.clone()
    parts_of(training, torch.full((2, 8 * 960), torch.nan), 0.0, "free")
    assert torch.equal(training.model.acoustic_decoder.conv2.weight, before)


def test_a_deeper_code_is_nearer(tmp_path: Path) -> None:
    training = small(tmp_path)
    training.begin_codebooks(segments(training))
    with torch.no_grad():
        given = encoded(training.model, buzz(2)[:, None])
        errors = []
        for depth in (1, 4, 8):
            latents = training.quantiser(given, torch.tensor([depth] * 2), learn=False).latents
            errors.append(float((latents - given).square().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_with_the_decoder_alone_every_code_stays(tmp_path: Path) -> None:
    first = small(tmp_path)
    first.begin_codebooks(segments(first))
    first.save()
    recipe = Recipe(batch=1, warmup_steps=1, adversarial=0.0, decoder_only=True)
    training = Training(recipe, tmp_path, tmp_path / "checkpoint")
    audio = buzz(1, 16)
    before, sound = (
        training.model.encode(audio[:, None]).audio_codes,
        training.model.acoustic_decoder.conv2.weight.clone(),
    )
    parts_of(training, audio, 0.5, "adversarial")
    assert torch.equal(training.model.encode(audio[:, None]).audio_codes, before)
    assert not torch.equal(training.model.acoustic_decoder.conv2.weight, sound)


@pytest.mark.parametrize("periods", [(), (2, 3)])
def test_discriminators_learn_to_tell_noise_from_a_buzz(periods: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    judges, real, noise = Discriminators(16, periods), buzz(2), 0.05 * torch.randn(2, 8 * 960)
    optimiser = torch.optim.AdamW(judges.parameters(), 1e-3)
    first = judges.losses(noise, real)[0].item()
    for _ in range(15):
        optimiser.zero_grad()
        theirs, _ = judges.losses(noise, real)
        theirs.backward()
        optimiser.step()
    assert theirs.item() < 0.8 * first
    assert judges.losses(noise, real)[1].item() > judges.losses(real, real)[1].item()
