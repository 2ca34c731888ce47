"""The command speaks a preset into a WAV and tells the facts, or says in one sentence why not."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from studio import speak
from studio.audio import read_wav
from studio.engine.local import LocalEngine
from studio.errors import BadConversation
from studio.presets import FOLDER
from studio.speech import SpeechRequest
from studio.voices import Voice

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
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out.wav", tmp_path / "folder.wav"):
        assert "is no file that can be written. Give another name" in refusal(capsys, SMART, "-o", str(out))


@pytest.mark.usefixtures("loaded")
def test_the_folder_of_the_output_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out" / "new" / "hello.wav"
    assert speak.main([preset(tmp_path, "Hello."), "-o", str(out)]) == 0
    assert read_wav(out).duration_seconds > 0.2
    capsys.readouterr()


# ---- scripts of one's own ----


class Asked:
    """What the engine was asked to speak, when it would have begun."""

    request: SpeechRequest

    @classmethod
    def load(cls, *_: object, **__: object) -> "Asked":
        return cls()

    def speak(self, request: SpeechRequest) -> None:
        type(self).request = request
        raise BadConversation("spoken")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> type[Asked]:
    monkeypatch.setattr("studio.engine.local.LocalEngine", Asked)
    return Asked


def spoken(asked: type[Asked], *arguments: str, out: Path) -> list[list[tuple[str, str, str]]]:
    """For each conversation who says what and how they sound: the file of the reference, or the description."""
    assert speak.main([*arguments, "-o", str(out / "o.wav")]) == 1
    conversations = asked.request.conversations
    return [
        [(one.speakers[line.speaker].name, line.text, sound_of(one.speakers[line.speaker].voice)) for line in one.lines]
        for one in conversations
    ]


def sound_of(voice: Voice) -> str:
    return voice.reference.file_name if voice.reference else voice.description


def test_a_text_is_spoken_by_whom_it_names_in_the_bundled_voice_of_that_name(asked: type[Asked], tmp_path: Path):
    lines = ("--text", "Alma: Good morning.", "--text", "Ben: Come in.")
    assert spoken(asked, *lines, out=tmp_path) == [
        [("Alma", "Good morning.", "alma.flac"), ("Ben", "Come in.", "")],
    ]
    assert spoken(asked, "--text", "Good morning.", out=tmp_path) == [[("Narrator", "Good morning.", "")]]


def test_voices_are_chosen_by_id_name_or_description_for_one_or_for_all(asked: type[Asked], tmp_path: Path):
    lines = ("--text", "Alma: One.", "--text", "ben: Two.", "--text", "Ben: Three.", "--text", "Cy: Four.")
    chosen = ("--voice", "Alma=bundled:clara", "--voice", "Ben=described: an old man", "--voice", "bruno")
    assert [sound for _, _, sound in spoken(asked, *lines, *chosen, out=tmp_path)[0]] == [
        *("clara.flac", "an old man", "an old man", "bruno.flac"),
    ]
    assert spoken(asked, "--text", "Alma: One.", "--voice", "Alma=smart", out=tmp_path)[0][0][2] == ""
    assert spoken(asked, "--text", "Hello.", "--voice", "alma", out=tmp_path)[0][0][2] == "alma.flac"


def test_scripts_come_from_files_and_from_standard_input(
    asked: type[Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = "Alma: One.\nand more\n---\nBruno: Two.\n"
    wanted = [[("Alma", "One. and more", "alma.flac")], [("Bruno", "Two.", "bruno.flac")]]
    (tmp_path / "script.txt").write_text(script, "utf-8")
    assert spoken(asked, str(tmp_path / "script.txt"), out=tmp_path) == wanted
    monkeypatch.setattr("sys.stdin", io.StringIO(script))
    assert spoken(asked, "-", out=tmp_path) == wanted
    (tmp_path / "lines.csv").write_text("speaker,text,seed\nAlma,One.,7\n", "utf-8")
    assert spoken(asked, str(tmp_path / "lines.csv"), out=tmp_path) == [[("Alma", "One.", "alma.flac")]]
    assert asked.request.seeds == {(0, 0): 7}, "a line's own seed counts"
    (tmp_path / "lines.csv").write_text("speaker,text,gap\nAlma,One.,\nAlma,Two.,1.5\nAlma,Three.,-1\n", "utf-8")
    spoken(asked, str(tmp_path / "lines.csv"), out=tmp_path)
    assert [line.pause for line in asked.request.conversations[0].lines] == [None, 1.5, None]


def test_long_lines_are_spoken_in_pieces_and_that_is_said(
    asked: type[Asked], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = "The kettle is on, so come in and sit down with us. We have been waiting for you since nine."
    (lines,) = spoken(asked, "--text", words, out=tmp_path)
    assert " ".join(text for _, text, _ in lines) == words
    assert max(len(text.split()) for _, text, _ in lines) <= 12
    assert "more than 12 words are spoken in pieces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing.txt",), "There is no file “nothing.txt”. A text is spoken with --text"),
        (("Alma: Good morning.",), "There is no file “Alma: Good morning.”. A text is spoken with --text"),
        (("app.py",), "is no script file that can be read"),
        (("--text", " "), "There is nothing to speak in the text"),
        (("--text", "Alma: …"), "Line 1 has nothing to speak"),
        (("--text", "Hi.", "--voice", "alma2"), "there is no voice “alma2”. Take bundled:alma, "),
        (("--text", "Hi.", "--voice", "=alma"), "--voice must be NAME=VOICE"),
        (("--text", "Hi.", "--voice", "Ada="), "--voice must be NAME=VOICE"),
        (("--text", "Alma: Hi.", "--voice", "Ada=alma"), "nobody called “Ada” speaks in the script. There are: Alma"),
        ((SMART, "--voice", "alma"), "--voice and --say are for scripts: a preset says these things itself"),
    ],
)
def test_a_script_that_cannot_be_spoken_is_said(
    asked: type[Asked], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
):
    assert speak.main([*arguments, "-o", str(tmp_path / "o.wav")]) == 1
    assert words in capsys.readouterr().err


def test_a_text_and_a_file_are_not_taken_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in ((), (SMART, "--text", "Hi.")):
        with pytest.raises(SystemExit):
            speak.main([*arguments, "-o", str(tmp_path / "o.wav")])
        assert "usage: python -m studio.speak" in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_a_text_of_ones_own_becomes_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "morning.wav"
    assert speak.main(["--text", "Alma: Good morning.", "--seed", "7", "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["seed"] == 7
    assert "Speaking: Alma (reference: bundled:alma)" in said.err
    assert 0.3 < read_wav(out).duration_seconds < 5


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
