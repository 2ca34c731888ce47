"""The tokenizer's training pass is its own round trip, codebooks begin from data, and codes stay when they must."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import HiggsAudioV2TokenizerModel

from studio.codecs.higgs import HiggsCodec
from studio.training.phrases import Length
from studio.training.spoken_speech import SpokenSpeech, SpokenUtterance
from studio.training.tokenizer import PARTS, Recipe, Segments, Stage, Training
from studio.training.tokenizer_model import (
    CODE_DIMENSIONS,
    CODEBOOKS,
    Discriminators,
    blurred,
    decoded,
    encoded,
    hears_semantics,
    latents_of_codes,
    new_model,
    out_of_range,
    rounded,
    small_config,
    without_last_codebooks,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def buzz(count: int, frames: int = 8) -> torch.Tensor:
    time = np.arange(frames * 960) / 24_000
    waves = [sum(np.cos(2 * np.pi * (120 + 30 * row) * k * time) / k for k in range(1, 20)) for row in range(count)]
    return torch.from_numpy(0.05 * np.stack(waves).astype(np.float32)) + 0.002 * torch.randn(count, frames * 960)


PHRASE: Length = "phrase"


def small(folder: Path, **changes: object) -> Training:
    torch.manual_seed(0)
    recipe = Recipe(**{"batch": 2, "warmup_steps": 2, "beginning_segments": 36, "frames": 8} | changes)  # type: ignore[arg-type]
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
    assert [training.stage(progress) for progress in (0.0, 0.3, 0.9)] == ["blurred", "rounded", "adversarial"]
    parts = [parts_of(training, audio, 0.0, "blurred") for _ in range(18)]
    assert parts[-1]["mel"] < 0.9 * parts[0]["mel"]
    assert parts[-1]["phones"] < parts[0]["phones"]
    assert parts_of(training, audio, 0.4, "rounded")["theirs"] == 0
    assert parts_of(training, audio, 0.7, "adversarial")["theirs"] > 0
    training.save()

    again = small(tmp_path)
    again.resume()
    assert again.step == 20
    codec = HiggsCodec.load(tmp_path / "checkpoint")
    assert (codec.sample_rate, codec.hop, codec.codebooks, codec.codebook_size) == (24_000, 960, 8, 1024)
    assert not hears_semantics(codec.model)
    assert HiggsAudioV2TokenizerModel.from_pretrained(tmp_path / "checkpoint").dtype == torch.float32
    codec.model.load_state_dict(training.model.state_dict())  # on disk are halves
    with torch.no_grad():
        latents = rounded(encoded(training.model, audio[:, None]))
        codes = codec.model.encode(audio[:, None]).audio_codes[..., :8]
        assert torch.allclose(latents_of_codes(codec.model, codes), latents, atol=1e-4)
        ours = decoded(training.model, latents)
        assert torch.allclose(codec.model.decode(codes).audio_values[:, 0], ours, atol=1e-4)


def test_it_begins_as_a_transform_and_its_inverse(tmp_path: Path) -> None:
    training = Training(Recipe(frames=8, beginning_segments=40), tmp_path, width=128)
    audio = 0.05 * torch.sin(2 * np.pi * 110 * torch.arange(16 * 960) / 24_000)[None]

    def error() -> float:
        with torch.no_grad():
            made = decoded(training.model, encoded(training.model, audio[:, None]))
        return float((made - audio)[:, 960:-960].square().mean() / audio.square().mean())

    assert error() > 0.9
    training.begin(segments(training))
    assert error() < 0.5


def test_rounding_is_what_the_codes_say(tmp_path: Path) -> None:
    model = new_model(small_config(32))
    given = 3 * torch.randn(2, 5, 128)
    codes = model.quantizer.encode(given.transpose(1, 2), 2.0).transpose(0, 1)
    assert torch.equal(latents_of_codes(model, codes), rounded(given))
    told = CODEBOOKS * CODE_DIMENSIONS
    assert set(rounded(given)[..., :told].unique().tolist()) == {-1.5, -0.5, 0.5, 1.5}
    assert (blurred(given) - given)[..., :told].abs().max() <= 0.5
    assert out_of_range(given) > out_of_range(given / 3) > 0
    kept = without_last_codebooks(rounded(given), torch.tensor([1, 8]))
    assert (kept[0, :, CODE_DIMENSIONS:] == 0).all()
    assert torch.equal(kept[1], rounded(given)[1])


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path: Path) -> None:
    training = small(tmp_path)
    parts_of(training, buzz(2), 0.0, "blurred")
    before = training.model.acoustic_decoder.conv2.weight.clone()
    parts_of(training, torch.full((2, 8 * 960), torch.nan), 0.0, "blurred")
    assert torch.equal(training.model.acoustic_decoder.conv2.weight, before)


def test_with_the_decoder_alone_every_code_stays(tmp_path: Path) -> None:
    small(tmp_path).save()
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


def test_going_on_begins_with_the_weights_that_are_there_and_whole_codes(tmp_path: Path) -> None:
    before = small(tmp_path)
    before.save()
    training = Training(Recipe(batch=1, frames=8, goes_on=True), tmp_path, tmp_path / "checkpoint")
    assert training.stage(0.0) == "rounded"
    kept, moved = before.model.acoustic_encoder.conv1.weight, training.model.acoustic_encoder.conv1.weight
    assert torch.allclose(kept, moved, atol=1e-3)  # float16 on disk
    start = moved.clone()
    parts_of(training, buzz(1), 0.0, "rounded")
    assert not torch.equal(training.model.acoustic_encoder.conv1.weight, start)


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
