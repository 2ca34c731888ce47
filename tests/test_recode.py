"""A folder of clips becomes codes, and those become sound, as one by one."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from studio.audio import read_wav, silence, write_wav
from studio.codecs.higgs import HiggsCodec
from studio.lab.codemap import unpacked
from studio.recode import main

ASSETS = Path(__file__).parent.parent / "assets"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of equal length, a longer one, and what cannot be encoded."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, seconds in (("alma", 1.0), ("bruno", 1.0), ("clara", 1.3)):
        write_wav(read_wav(ASSETS / "voices" / f"{name}.flac").between(0, seconds), folder / f"{name}.wav")
    write_wav(silence(1, 24_000), folder / "nothing.wav")
    (folder / "broken.npz").write_bytes(b"no archive")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.mark.parametrize(("codec", "books"), [("higgs", 3), ("xcodec2", None)])
def test_a_folder_goes_to_codes_and_back(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], codec: str, books: int | None
) -> None:
    chosen = ["--codec", codec] + ([] if books is None else ["--codebooks", str(books)])
    assert main([str(recordings), "-o", str(tmp_path / "codes"), *chosen]) == 1, (
        "files that were left out are no success"
    )
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == ["alma.npz", "bruno.npz", "clara.npz"]
    assert told["audio_seconds"] == pytest.approx(3.3)
    assert "is silent" in told["left_out"]["nothing.wav"]
    assert "no .npz file of codes" in told["left_out"]["broken.npz"]
    assert main([str(tmp_path / "codes"), "-o", str(tmp_path / "sounds"), *chosen]) == 0
    for name, seconds in (("alma", 1.0), ("bruno", 1.0), ("clara", 1.3)):
        sound, rate = soundfile.read(tmp_path / "sounds" / f"{name}.wav")
        assert seconds <= len(sound) / rate < seconds + 0.1
        assert np.abs(sound).max() > 0.01


def test_codes_are_those_of_each_clip_alone(recordings: Path, tmp_path: Path) -> None:
    main([str(recordings), "-o", str(tmp_path)])
    codec = HiggsCodec.load(ASSETS / "mini" / "higgs-audio-v2-tokenizer-mini")
    for name in ("alma", "clara"):
        alone = codec.encode(read_wav(recordings / f"{name}.wav"))
        stored = unpacked((tmp_path / f"{name}.npz").read_bytes())
        assert np.array_equal(stored.codes.values, alone.values)
        assert stored.codec == codec.name
        assert stored.revision


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--codebooks", "99"], "1 to"),
        (["--checkpoint", "nowhere"], "There is no checkpoint"),
    ],
)
def test_what_cannot_be_is_said(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([str(recordings), "-o", str(tmp_path / "out"), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "There are no recordings" in capsys.readouterr().err
    assert main([str(tmp_path / "gone"), "-o", str(tmp_path / "out")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_codes_of_another_codec_are_left_out(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(recordings), "-o", str(tmp_path / "codes")])
    capsys.readouterr()
    assert main([str(tmp_path / "codes"), "-o", str(tmp_path / "out"), "--codec", "xcodec2"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == []
    assert "which X-Codec2 does not decode" in told["left_out"]["alma.npz"]
