"""The three stages of the GPU run, end to end on a CPU at a toy size: shards come out, and a run goes on from them."""

import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest
import torch

import studio.training  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from transformers import HiggsAudioV2ForConditionalGeneration

from studio.codecs.higgs import HiggsCodec
from studio.training import gpu_run

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"),
]


def test_shards_hold_what_was_packed_and_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_run, "SHARD_BYTES", 5_000)
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(range(256)) * 60)
    written = gpu_run.pack([folder / "a.bin"], tmp_path / "shards", "stage")
    assert len(written) > 3
    assert all(path.stat().st_size <= 5_000 for path in written)
    assert gpu_run.unpack(tmp_path / "shards", "stage", tmp_path / "two")
    assert (tmp_path / "two" / "a.bin").read_bytes() == (folder / "a.bin").read_bytes()
    assert not gpu_run.unpack(tmp_path / "shards", "other", tmp_path / "three")


@pytest.mark.parametrize("go_on", [True, False])
def test_to_go_on_means_to_keep_what_the_model_knows_of_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, go_on: bool
) -> None:
    """Also where the tokenizer has gone on before it: its codes are nearly what they were."""
    told: list[str] = []
    monkeypatch.setattr(gpu_run.Run, "_speak", lambda run, count: None)
    monkeypatch.setattr(gpu_run.Run, "_wait_for", lambda run, count, share: None)
    monkeypatch.setattr(gpu_run.Run, "_run", lambda run, module, arguments: None)
    monkeypatch.setattr(gpu_run.Run, "_train", lambda run, stage, until, arguments: told.extend(arguments))
    own = tmp_path / "tokenizer" / "checkpoint"
    own.mkdir(parents=True)
    (own / "config.json").write_text("{}")
    gpu_run.main(["speech", "--folder", str(tmp_path), "--workers", "0", *(["--go-on"] if go_on else [])])
    assert "--new-codes" not in told
    assert ("--from-nothing" in told) == (not go_on)
    assert ("--begins-at" in told) == go_on


@pytest.mark.parametrize("has_spoken", [True, False])
def test_guidance_begins_as_what_was_trained_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_spoken: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gpu_run.Run, "_coded", lambda run, shards: None)
    monkeypatch.setattr(gpu_run.Run, "_train", lambda run, stage, until, arguments: told.extend([stage, *arguments]))
    checkpoint = tmp_path / "speech" / "checkpoint"
    checkpoint.mkdir(parents=True)
    if has_spoken:
        (checkpoint / "config.json").write_text("{}")
    gpu_run.main(["guidance", "--folder", str(tmp_path)])
    assert told[0] == "guidance"
    assert ("--teacher" in told and told[told.index("--teacher") + 1] == str(checkpoint)) == has_spoken


def test_tokenizer_then_speech_and_on_from_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(_run: gpu_run.Run, module: str, arguments: Sequence[str]) -> None:
        import_module(f"studio.training.{module}").main(list(arguments))

    monkeypatch.setattr(gpu_run.Run, "_run", in_this_process)  # as they are, without three more starts of Python

    def run(stage: str, folder: str, minutes: float) -> None:
        paths = ["--folder", str(tmp_path / folder), "--shards", str(tmp_path / "shards")]
        gpu_run.main(
            [stage, *paths, "--minutes", f"{minutes}", "--scale", "0.001", "--device", "cpu", "--workers", "0"]
        )

    def steps(stage: str, folder: str) -> int:
        return torch.load(tmp_path / folder / stage / "state.pt", weights_only=True, map_location="cpu")["step"]

    run("tokenizer", "here", 0.08)
    codec = HiggsCodec.load(tmp_path / "here" / "tokenizer" / "checkpoint")
    assert codec.codebooks == 8
    run("speech", "here", 0.1)
    first = steps("speech", "here")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / "spoken").rename(tmp_path / "elsewhere" / "spoken")
    run("speech", "elsewhere", 0.1)  # a fresh machine: only the shards are there, and what was spoken, to be quick
    assert steps("speech", "elsewhere") > first > 0
    HiggsAudioV2ForConditionalGeneration.from_pretrained(tmp_path / "elsewhere" / "speech" / "checkpoint")
    run("guidance", "elsewhere", 0.1)
    assert steps("guidance", "elsewhere") > 0
    HiggsAudioV2ForConditionalGeneration.from_pretrained(tmp_path / "elsewhere" / "guidance" / "checkpoint")
    assert {path.name.partition(".")[0] for path in (tmp_path / "shards").iterdir()} >= {"speech", "guidance"}
    assert all(path.stat().st_size < 15e6 for path in (tmp_path / "shards").iterdir())
