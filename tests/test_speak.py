"""The command speaks a preset into a WAV and tells the facts, or says in one sentence why not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from studio import speak
from studio.audio import read_wav
from studio.engine.local import LocalEngine
from studio.presets import FOLDER

ROOT = Path(__file__).parent.parent
SMART = str(FOLDER / "2-smart-voice.json")


@pytest.fixture
def loaded(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the other tests, so that the weights need not be loaded for each command."""
    monkeypatch.setattr(LocalEngine, "load", lambda *_, **__: engine)


def preset(folder: Path, *texts: str, **more: object) -> str:
    rows = [{"divider": True} if text == "---" else {"text": text} for text in texts]
    path = folder / "mine.json"
    path.write_text(
        json.dumps({"title": "T", "conversation": {"speakers": [{"name": "A"}], "lines": rows}} | more), "utf-8"
    )
    return str(path)


def test_the_command_of_the_readme_writes_a_wav_and_prints_its_facts(tmp_path: Path):
    out = tmp_path / "out.wav"
    command = [sys.executable, "-m", "studio.speak", preset(tmp_path, "Hello there."), "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    audio = read_wav(out)
    assert facts["file"] == str(out)
    assert facts["checkpoint"] == "higgs-audio-v2-mini"
    assert facts["duration_seconds"] == round(audio.duration_seconds, 3)
    assert facts["sample_rate"] == audio.sample_rate == 24_000
    assert audio.rms_dbfs > -50
    assert [take["stop"] for take in facts["takes"]] == facts["stop"]


@pytest.mark.usefixtures("loaded")
def test_the_presets_seed_or_another_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine = preset(tmp_path, "Hello.", sampling={"seed": 7})
    seeds = []
    for arguments in ([mine], [mine, "--seed", "8"], [SMART], [SMART]):
        assert speak.main([*arguments, "-o", str(tmp_path / "out.wav")]) == 0
        seeds.append(json.loads(capsys.readouterr().out)["seed"])
    assert seeds[:2] == [7, 8]
    assert seeds[2] != seeds[3], "without a seed each run draws its own"


@pytest.mark.usefixtures("loaded")
def test_several_conversations_are_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert speak.main([preset(tmp_path, "One.", "---", "Two."), "-o", str(tmp_path / "out.wav")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [Path(item["file"]).name for item in facts] == ["out-1.wav", "out-2.wav"]
    assert all(Path(item["file"]).exists() for item in facts)
    assert not (tmp_path / "out.wav").exists()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it ends with status 1: one line, on the error stream."""
    assert speak.main(list(arguments)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("studio.speak: ")
    assert said.err.count("\n") == 1
    return said.err


def test_a_bad_preset_is_one_sentence_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "out.wav")
    assert "There is no preset file nothing.json" in refusal(capsys, "nothing.json", "-o", out)
    assert "mine.json: there is no key 'x'" in refusal(capsys, preset(tmp_path, "Hi.", x=1), "-o", out)
    assert "nothing to speak yet" in refusal(capsys, preset(tmp_path), "-o", out)
    assert not Path(out).exists()


def test_a_checkpoint_or_device_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "out.wav")
    assert "There is no checkpoint “maxi”" in refusal(capsys, SMART, "-o", out, "--checkpoint", "maxi")
    assert "There is no device “tpu”" in refusal(capsys, SMART, "-o", out, "--device", "tpu")
    assert "There is no number type “int4”" in refusal(capsys, SMART, "-o", out, "--dtype", "int4")
    codec = str(ROOT / "assets" / "mini" / "higgs-audio-v2-tokenizer-mini")
    assert "holds a model of type higgs_audio_v2_tokenizer" in refusal(capsys, SMART, "-o", out, "--checkpoint", codec)


@pytest.mark.usefixtures("loaded")
def test_a_seed_out_of_range_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "Seed (seed) must be between" in refusal(
        capsys, SMART, "-o", str(tmp_path / "o.wav"), "--seed", "99999999999"
    )


def test_a_place_that_cannot_be_written_is_said_before_anything_is_spoken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(LocalEngine, "load", lambda *_, **__: pytest.fail("the weights were loaded"))
    (tmp_path / "folder.wav").mkdir()
    for out in (tmp_path / "nowhere" / "out.wav", tmp_path / "folder.wav"):
        assert "is no file that can be written. Give a name in a folder that exists" in refusal(
            capsys, SMART, "-o", str(out)
        )


def test_only_wav_files_are_written(capsys: pytest.CaptureFixture[str]):
    assert "Give a name that ends in .wav, not out.mp3" in refusal(capsys, SMART, "-o", "out.mp3")


def test_settings_come_from_the_environment_and_empty_ones_are_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HIGGS_CHECKPOINT", "maxi")
    assert "There is no checkpoint “maxi”" in refusal(capsys, SMART, "-o", "out.wav")
    monkeypatch.setenv("HIGGS_CHECKPOINT", "")
    monkeypatch.setenv("HIGGS_DEVICE", "tpu")
    assert "There is no device “tpu”" in refusal(capsys, SMART, "-o", "out.wav")
