"""A table of conversations is spoken one by one; stopped anywhere, the next run goes on; the report tells of all."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from studio.batch import main
from studio.batch_queue import BatchItem, BatchProgress, BatchResult, batch_archive, read_batch, report, run_batch
from studio.errors import BadConversation, GenerationFailed, StudioError
from studio.export.origin import Origin
from studio.export.sounds import FORMS
from studio.sampling import Sampling
from studio.speech import LineProgress, Progress, SpeechRequest, SpokenLines
from studio.voice_library import VoiceLibrary
from tests.projects import HOP, a_take

TABLE = """conversation,speaker,text,voice,seed
Morning,Alma,Good morning.,alma,7
,Bruno,Hello.,described: an old man,
Evening,Alma,Good night.,Alma,
=Odd,,Well.,,
"""


class Spoken:
    """An engine that counts what it is asked, and fails where it is told to."""

    def __init__(self, fails: str = "", stops_after: int = 99) -> None:
        self.requests: list[SpeechRequest] = []
        self._fails, self._left = fails, stops_after

    def __call__(self, request: SpeechRequest) -> Iterator[Progress | tuple[SpokenLines, ...]]:
        lines = request.conversations[0].lines
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        self.requests.append(request)
        if self._fails and self._fails in lines[0].text:
            raise GenerationFailed("The model gave no speech.")
        yield Progress((LineProgress(0, (0,), (3,), "speaking"),), 10, 25.0, 1.0)
        yield tuple(SpokenLines(0, (index,), (a_take(5 + index),), 0) for index in range(len(lines)))


def run(folder: Path, items: list[BatchItem], voices: VoiceLibrary, speak: Spoken) -> list[BatchProgress]:
    return list(run_batch(folder, items, voices, speak, Sampling(seed=1), FORMS["wav16"], Origin()))


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "report.csv").read_text("utf-8-sig"))))


def test_a_row_is_cut_where_a_pause_stands_within_it(voices: VoiceLibrary):
    (item,) = read_batch("conversation,text\nx,One. [pause 1 s] Two.\nx,[pause 2 s] Three.\n", voices)
    (spoken,) = item.draft.conversations(voices)
    assert [(line.text, line.pause) for line in spoken.lines] == [("One.", None), ("Two.", 1.0), ("Three.", 2.0)]
    assert [line.row for line in spoken.lines] == ["r1", "r2", "r3"]


def test_pronunciations_count_where_their_words_are_spoken(voices: VoiceLibrary):
    plain = read_batch(TABLE, voices)
    respelt = read_batch(TABLE, voices, (), "hello = hi")
    assert [line.said for line in respelt[0].draft.groups[0]] == ["Good morning.", "hi."]
    same = [one.fingerprint == other.fingerprint for one, other in zip(plain, respelt, strict=True)]
    assert same == [False, True, True], "only what sounds otherwise is spoken again"
    with pytest.raises(BadConversation, match="Pronunciations, line 1"):
        read_batch(TABLE, voices, (), "hello")


def test_a_table_gives_conversations_with_voices_and_seeds(voices: VoiceLibrary):
    morning, evening, odd = read_batch(TABLE, voices)
    assert [item.stem for item in (morning, evening, odd)] == ["001-morning", "002-evening", "003-odd"]
    alma, bruno = morning.draft.speakers
    assert (alma["kind"], alma["reference"]) == ("reference", "bundled:alma")
    assert (bruno["kind"], bruno["description"]) == ("described", "an old man")
    assert (morning.seed, evening.seed) == (7, None)
    assert odd.draft.names == ["Narrator"]


def test_every_wrong_row_is_told_at_once(voices: VoiceLibrary):
    table = "conversation,speaker,text,voice,seed\n,A,Hi.,,\nX,A,…,,\n,A,Hi.,nobody,\n,A,Hi.,alma,x\n,A,Hi.,bruno,\n"
    with pytest.raises(BadConversation) as caught:
        read_batch(table, voices)
    assert [line.split(" ", 2)[1].rstrip(":") for line in str(caught.value).splitlines()] == list("23456")
    with pytest.raises(BadConversation, match="no rows"):
        read_batch("conversation,text\n", voices)
    with pytest.raises(BadConversation, match="no column “conversation”"):
        read_batch("text\nHi\n", voices)


def test_all_are_spoken_and_told_of(tmp_path: Path, voices: VoiceLibrary):
    speak = Spoken()
    told = run(tmp_path, read_batch(TABLE, voices), voices, speak)
    assert told[-1] == BatchProgress(3, 3, "")
    assert [one.frames for one in told if one.name == "Morning"] == [0, 3]
    assert speak.requests[0].seeds == {(0, 0): 7}
    found = rows(tmp_path)
    assert [row["conversation"] for row in found] == ["Morning", "Evening", "'=Odd"], "no spreadsheet computes it"
    assert [row["file"] for row in found] == ["001-morning.wav", "002-evening.wav", "003-odd.wav"]
    samples, _ = soundfile.read(tmp_path / "001-morning.wav")
    assert len(samples) == (5 + 9 + 6) * HOP
    assert float(found[0]["seconds"]) == len(samples) / 24_000
    assert "Bruno: Hello." in (tmp_path / "001-morning.srt").read_text("utf-8")


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, voices: VoiceLibrary):
    items = read_batch(TABLE, voices)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, items, voices, Spoken(stops_after=2))
    before = (tmp_path / "001-morning.wav").read_bytes()
    again = Spoken()
    run(tmp_path, items, voices, again)
    assert [request.conversations[0].lines[0].text for request in again.requests] == ["Well."]
    assert (tmp_path / "001-morning.wav").read_bytes() == before
    assert len(rows(tmp_path)) == 3


def test_what_was_changed_or_lost_is_spoken_again(tmp_path: Path, voices: VoiceLibrary):
    run(tmp_path, read_batch(TABLE, voices), voices, Spoken())
    (tmp_path / "002-evening.srt").unlink()
    again = Spoken()
    run(tmp_path, read_batch(TABLE.replace("Well.", "So."), voices), voices, again)
    assert [request.conversations[0].lines[0].text for request in again.requests] == ["Good night.", "So."]


def test_one_that_fails_is_put_down_and_tried_again(tmp_path: Path, voices: VoiceLibrary):
    items = read_batch(TABLE, voices)
    told = run(tmp_path, items, voices, Spoken(fails="Good night"))
    assert (told[-1].done, told[-1].failed) == (3, 1)
    assert [row["error"] for row in rows(tmp_path)] == ["", "The model gave no speech.", ""]
    again = Spoken()
    assert run(tmp_path, items, voices, again)[-1].failed == 0
    assert len(again.requests) == 1


@pytest.mark.parametrize("state", [b"", b"[]", b'{"schema": 9, "items": {}}'])
def test_a_state_that_cannot_be_read_begins_anew(tmp_path: Path, voices: VoiceLibrary, state: bytes):
    (tmp_path / "state.json").write_bytes(state)
    assert run(tmp_path, read_batch(TABLE, voices), voices, Spoken())[-1].done == 3


def test_the_archive_holds_what_is_finished(tmp_path: Path, voices: VoiceLibrary):
    items = read_batch(TABLE, voices)
    run(tmp_path, items, voices, Spoken(fails="Good night"))
    batch_archive(tmp_path / "all.zip", tmp_path, items)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["report.csv", "001-morning.wav", "001-morning.srt", "003-odd.wav", "003-odd.srt"]


def test_no_cell_of_the_report_is_computed():
    text = report([BatchResult('=HYPERLINK("x")', error="@x"), BatchResult("-1", findings="+a")])
    for row in list(csv.reader(io.StringIO(text)))[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_the_command_speaks_with_the_bundled_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture):
    table = tmp_path / "table.csv"
    table.write_text("conversation,speaker,text,voice\nA,Alma,Yes.,alma\nB,Alma,No.,nobody\n", "utf-8")
    assert main([str(table), "-o", str(tmp_path / "out")]) == 1
    assert "Row 3: there is no voice “nobody”" in capsys.readouterr().err
    table.write_text("conversation,speaker,text,voice\nA,Alma,Yes.,alma\n", "utf-8")
    assert main([str(table), "-o", str(tmp_path / "out"), "--form", "flac", "--zip", str(tmp_path / "a.zip")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["conversations"], facts["failed"]) == (1, 0)
    with soundfile.SoundFile(tmp_path / "out" / "001-a.flac") as file:
        assert "Synthetic speech" in file.comment
        assert file.frames > 0
    assert zipfile.is_zipfile(tmp_path / "a.zip")


def test_the_command_hands_all_its_settings_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given: dict[str, object] = {}

    def load(_: object, **settings: object) -> None:
        given.update(settings)
        raise StudioError("Enough.")

    monkeypatch.setattr("studio.engine.local.LocalEngine.load", load)
    table = tmp_path / "table.csv"
    table.write_text("conversation,speaker,text\nA,Alma,Yes.\n", "utf-8")
    asked = ["--device", "cpu", "--dtype", "bfloat16", "--quantize", "int8"]
    assert main([str(table), "-o", str(tmp_path / "out"), *asked]) == 1
    assert (given["device"], given["dtype"], given["quantize"]) == ("cpu", "bfloat16", "int8")
