"""A folder of clips becomes codes, and those become sound, as one by one."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from studio import recode
from studio.audio import read_wav, silence, write_wav
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.lab.codemap import MAX_CODES_SECONDS, StoredCodes, packed, unpacked
from studio.recode import main

ASSETS = Path(__file__).parent.parent / "assets"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder with one recording of 0.3 s, alma.wav."""
    folder = tmp_path / "clip"
    folder.mkdir()
    write_wav(read_wav(ASSETS / "voices" / "alma.flac").between(0, 0.3), folder / "alma.wav")
    return folder


def told_by(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


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
    told = told_by(capsys)
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
    assert not [*tmp_path.rglob("*.npz")]


def test_an_empty_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "There are no recordings" in capsys.readouterr().err
    assert main([str(tmp_path / "gone"), "-o", str(tmp_path / "out")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_two_files_never_become_one(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = read_wav(clip / "alma.wav")
    soundfile.write(clip / "Alma.flac", sound.samples.T, sound.sample_rate)  # the same file where case tells nothing
    assert main([str(clip), "-o", str(tmp_path / "out")]) == 1
    told = told_by(capsys)
    assert told["written"] == ["Alma.npz"]
    assert told["left_out"] == {"alma.wav": "alma.npz is what “Alma.flac” becomes. Rename one of the two."}


def test_a_persons_own_files_are_never_replaced(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clip / "alma.npz").write_bytes(b"mine")
    before = (clip / "alma.wav").read_bytes()
    for output in (clip, clip / ".." / clip.name):
        assert main([str(clip), "-o", str(output), "--overwrite"]) == 1
        assert "among the files it is made of" in capsys.readouterr().err
    assert ((clip / "alma.npz").read_bytes(), (clip / "alma.wav").read_bytes()) == (b"mine", before)


def test_what_is_there_already_is_only_replaced_when_asked(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "alma.npz").write_bytes(b"older")
    assert main([str(clip), "-o", str(out)]) == 1
    assert "is there already" in told_by(capsys)["left_out"]["alma.wav"]
    assert (out / "alma.npz").read_bytes() == b"older"
    assert main([str(clip), "-o", str(out), "--overwrite"]) == 0
    assert unpacked((out / "alma.npz").read_bytes()).codes.frames > 0


def test_codes_are_bounded_as_on_the_page(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hour = Codes(np.zeros((8, round(25 * MAX_CODES_SECONDS) + 25), np.int64), 25.0, 1024)
    (clip / "long.npz").write_bytes(packed(StoredCodes(hour, "Higgs")))
    assert main([str(clip), "-o", str(tmp_path / "out")]) == 1
    told = told_by(capsys)
    assert "stands for 121 s of sound" in told["left_out"]["long.npz"]
    assert told["written"] == ["alma.npz"]


def test_fewer_codebooks_are_decoded(clip: Path, tmp_path: Path) -> None:
    main([str(clip), "-o", str(tmp_path / "codes")])
    for name, more in (("all", []), ("two", ["--codebooks", "2"])):
        assert main([str(tmp_path / "codes"), "-o", str(tmp_path / name), *more]) == 0
    codec = HiggsCodec.load(ASSETS / "mini" / "higgs-audio-v2-tokenizer-mini")
    codes = unpacked((tmp_path / "codes" / "alma.npz").read_bytes()).codes
    sound = read_wav(tmp_path / "two" / "alma.wav").samples
    assert np.allclose(sound, codec.decode(codes.first_codebooks(2)).samples, atol=1e-5)
    assert not np.allclose(sound, read_wav(tmp_path / "all" / "alma.wav").samples, atol=1e-3)


def test_what_the_disk_refuses_costs_that_file_only(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (clip / "folder.npz").mkdir()
    (clip / "locked.npz").write_bytes(b"x")
    out = tmp_path / "out"
    (out / "bruno.npz").mkdir(parents=True)
    write_wav(read_wav(clip / "alma.wav"), clip / "bruno.wav")

    def refused(path: Path, name: str) -> StoredCodes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(recode, "read_codes", refused)
    assert main([str(clip), "-o", str(out), "--overwrite"]) == 1
    told = told_by(capsys)
    assert told["written"] == ["alma.npz"]
    assert told["left_out"]["locked.npz"] == "It cannot be read (Permission denied)."
    assert "cannot be written" in told["left_out"]["bruno.wav"]
    assert "folder.npz" not in told["left_out"]


def test_an_output_that_is_a_file_is_said_before_anything_is_loaded(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(HiggsCodec, "load", None)
    assert main([str(clip), "-o", str(tmp_path / "out")]) == 1
    assert "cannot be made (File exists). Give another folder." in capsys.readouterr().err


def test_files_are_held_by_their_seconds_and_notes_are_kept(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = read_wav(clip / "alma.wav")
    for name in ("bruno", "clara"):
        soundfile.write(clip / f"{name}.wav", np.repeat(sound.samples, 2, axis=0).T, sound.sample_rate)
    monkeypatch.setattr(recode, "SECONDS_AT_ONCE", 0.5)
    assert main([str(clip), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert [line for line in said.err.splitlines() if "written" in line] == ["2 of 3 written.", "3 of 3 written."]
    mixed = ["2 channels were mixed to one."]
    assert json.loads(said.out)["notes"] == {"bruno.wav": mixed, "clara.wav": mixed}


def test_codes_of_another_codec_are_left_out(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(recordings), "-o", str(tmp_path / "codes")])
    capsys.readouterr()
    assert main([str(tmp_path / "codes"), "-o", str(tmp_path / "out"), "--codec", "xcodec2"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == []
    assert "which X-Codec2 does not decode" in told["left_out"]["alma.npz"]
