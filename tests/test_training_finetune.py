"""Fine-tuning on the bundled checkpoint, end to end; adapters; going on; ending early; what is refused."""

import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.checkpoints import CHECKPOINTS, find_checkpoint, tokenizer_of
from studio.conversation import Conversation, Line, Speaker
from studio.engine.local import LocalEngine
from studio.errors import StudioError
from studio.training import finetune, voice_checkpoint, voice_training
from studio.training.adapters import ADAPTED, merged, with_adapters
from studio.training.finetune_plan import checked
from studio.training.voice_training import Recipe, VoiceTraining, mean_loss

VOICES = Path(__file__).parent.parent / "assets" / "voices"
CONSENT = "Eight voices of espeak-ng; nobody; 2026-11-20; Nobody had to agree."
STREAM_END = 1025

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:Already found a `peft_config`")]


@pytest.fixture(scope="module")
def voice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled voices as if they were one."""
    folder = tmp_path_factory.mktemp("recordings")
    for key, entry in json.loads((VOICES / "voices.json").read_text("utf-8")).items():
        shutil.copy(VOICES / f"{key}.flac", folder)
        (folder / f"{key}.txt").write_text(entry["transcript"], "utf-8")
    return folder


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folder's codes are kept, for all tests."""
    return tmp_path_factory.mktemp("codes")


def run(voice_folder: Path, out: Path, *more: str) -> int:
    common = ("--out", str(out), "--device", "cpu", "--dtype", "float32")
    return finetune.main([str(voice_folder), *common, "--consent", CONSENT, *more])


def prepared(voice_folder: Path, codes: Path, folder: Path, method: str, **recipe: Any) -> tuple[VoiceTraining, Any]:
    """A training that keeps its state in `folder`, and its adapters."""
    chosen = finetune._arguments([str(voice_folder), "--consent", CONSENT, "--method", method])
    samples = finetune._samples(chosen, checked(chosen), codes, "cpu")
    model = finetune.load_model(CHECKPOINTS["mini"].folder, torch.float32, "cpu")
    adapted = with_adapters(model, 0) if method == "lora" else None
    folder.mkdir(exist_ok=True)
    return VoiceTraining(model, samples, Recipe(**{"batch": 2, **recipe}), folder), adapted


@contextmanager
def after_one_step():
    steps: list[int] = []

    def stopped() -> bool:
        steps.append(1)
        return len(steps) > 1

    yield stopped


def test_from_recordings_to_a_checkpoint_that_the_studio_speaks_with(
    voice_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(finetune, "SAMPLES", 1)
    monkeypatch.setattr(voice_checkpoint, "SHARD_SIZE", "20MB")  # as a large one is written
    out = tmp_path / "mine"
    with monkeypatch.context() as stopping:
        stopping.setattr(finetune, "_stop_asked", after_one_step)
        assert run(voice_folder, out, "--steps", "2") == 130
    assert "Stopped at step 1; the state is kept." in capsys.readouterr().out
    assert run(voice_folder, out, "--steps", "2", "--resume") == 0
    said = capsys.readouterr().out
    assert "step 2 · loss" in said
    assert "Held-out loss:" in said
    assert f"--checkpoint {out}" in said

    report = json.loads((out / "training" / "report.json").read_text("utf-8"))
    assert report["steps"] == 2
    assert report["held_out_loss"]["after"] <= report["held_out_loss"]["before"]
    assert report["consent"]["date"] == "2026-11-20"
    card = (out / "README.md").read_text("utf-8")
    assert "Eight voices of espeak-ng. nobody said on 2026-11-20: “Nobody had to agree.”" in card
    assert {"1-original.wav", "texts.txt"} <= {path.name for path in (out / "training" / "samples").iterdir()}

    assert len(list(out.glob("model-*.safetensors"))) > 1
    checkpoint = find_checkpoint(str(out), "generation")
    assert tokenizer_of(checkpoint).folder == out.resolve() / "audio_tokenizer"
    engine = LocalEngine.load(checkpoint, device="cpu", dtype="float32")
    conversation = Conversation((Line(0, "Good morning."),), (Speaker("Mine"),))
    assert finetune._spoken(engine, conversation, seed=7).duration_seconds > 0.2

    assert run(voice_folder, out, "--steps", "2") == 1
    assert "is not empty. Go on there with --resume" in capsys.readouterr().err
    assert run(voice_folder, out, "--steps", "2", "--resume", "--method", "full", "--seed", "1") == 1
    assert "begun with another clips and another seed" in capsys.readouterr().err


def test_adapters_learn_in_attention_and_both_paths_and_merge_into_the_plain_model(
    voice_folder: Path, codes: Path, tmp_path: Path
):
    pytest.importorskip("peft")
    training, adapted = prepared(voice_folder, codes, tmp_path / "lora", "lora", steps=3, warmup_steps=1, rate=2e-3)
    before = training.held_out_loss()
    assert all("lora_" in name for name in training.parameters)
    for path in (".self_attn.", ".mlp.", ".audio_mlp."):
        assert any(path in name for name in training.parameters)
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in training.parameters} == set(ADAPTED)
    *_, last = training.run()
    assert all(each.grad is not None for each in training.parameters.values())
    assert last.best_loss < before
    training.use_best()
    loss = training.held_out_loss()
    model = merged(adapted)
    assert mean_loss(model, training.samples.held_out) == pytest.approx(loss, abs=1e-4)
    assert (
        model.state_dict().keys()
        == finetune.load_model(CHECKPOINTS["mini"].folder, torch.float32, "cpu").state_dict().keys()
    )


def test_a_training_that_was_interrupted_ends_where_it_would_have_ended(
    voice_folder: Path, codes: Path, tmp_path: Path
):
    pytest.importorskip("peft")
    how = {"method": "lora", "steps": 3, "evaluate_every": 2, "batch": 1}
    whole, _ = prepared(voice_folder, codes, tmp_path / "whole", **how)
    *_, reached = whole.run()
    first, _ = prepared(voice_folder, codes, tmp_path / "parts", **how)
    list(first.run(until=1))
    second, _ = prepared(voice_folder, codes, tmp_path / "parts", **how)
    second.resume()
    assert second.step == 1
    *_, again = second.run()
    assert (again.held_out_loss, again.best_loss, again.best_step) == (
        reached.held_out_loss,
        reached.best_loss,
        reached.best_step,
    )
    assert all(torch.equal(each, second.parameters[name]) for name, each in whole.parameters.items())


def test_a_large_model_takes_its_batch_in_parts_and_gets_the_same_gradients(
    voice_folder: Path, codes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small, _ = prepared(voice_folder, codes, tmp_path / "small", "full", steps=1)
    monkeypatch.setattr(voice_training, "LARGE_PARAMETERS", 1)
    monkeypatch.setattr(voice_training, "POSITIONS_AT_ONCE", 1)
    large, _ = prepared(voice_folder, codes, tmp_path / "large", "full", steps=1)
    assert small.take_step() == pytest.approx(large.take_step(), rel=1e-5)
    assert large.model.is_activation_checkpointing
    for name, each in small.parameters.items():
        assert torch.allclose(each.grad, large.parameters[name].grad, atol=1e-5), name


def test_it_ends_early_when_held_out_clips_gain_nothing_and_keeps_the_best(
    voice_folder: Path, codes: Path, tmp_path: Path
):
    training, _ = prepared(
        voice_folder,
        codes,
        tmp_path / "early",
        "full",
        steps=50,
        evaluate_every=1,
        patience=2,
        rate=0.05,
        warmup_steps=1,
    )
    before = training.held_out_loss()
    progress = list(training.run())
    assert progress[-1].step < 50
    assert progress[-1].step - progress[-1].best_step == 2
    training.use_best()
    assert training.held_out_loss() == pytest.approx(progress[-1].best_loss, abs=1e-6)
    assert progress[-1].best_loss <= before


def test_every_clip_is_learnt_with_its_end_alone_and_behind_a_reference(
    voice_folder: Path, codes: Path, tmp_path: Path
):
    training, _ = prepared(voice_folder, codes, tmp_path / "samples", "full", steps=1)
    samples = training.samples
    ends = [(sample.labels == STREAM_END).sum(0).unique().tolist() for sample in samples.held_out]
    assert ends == [[1], [2]]  # one held-out clip: alone, then behind a reference, whose end is learnt too
    clips = len(samples.training)
    assert {len(sample.token_ids) for sample in samples.batch(0, clips)} != {
        len(sample.token_ids) for sample in samples.batch(1, clips)
    }
    again = training.samples.batch(3, 4)
    assert all(torch.equal(a.token_ids, b.token_ids) for a, b in zip(again, samples.batch(3, 4), strict=True))


def test_a_dry_run_checks_everything_and_writes_nothing(
    voice_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(voice_folder, tmp_path / "out", "--dry-run") == 0
    assert "7 clips to train on, 1 held out" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--consent", ""), "There is no statement of consent"),
        (("--checkpoint", "nowhere"), "There is no checkpoint “nowhere”"),
        (("--resume",), "There is no training to go on with"),
        (("--steps", "0"), "--steps must be a number from 1 on"),
        (("--minutes", "nan"), "--minutes must be a number"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(
    voice_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], sentence: str
):
    assert run(voice_folder, tmp_path / "out", *more) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_peft_the_sentence_says_how_to_get_it(
    voice_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert run(voice_folder, tmp_path / "out", "--method", "lora") == 1
    assert "LoRA needs the package peft" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_with_a_sentence(
    voice_folder: Path, codes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    training, _ = prepared(voice_folder, codes, tmp_path / "apart", "full", steps=1)
    monkeypatch.setattr(training, "held_out_loss", lambda: float("nan"))
    with pytest.raises(StudioError, match="its loss is not finite"):
        next(training.run())
