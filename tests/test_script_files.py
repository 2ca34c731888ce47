"""Scripts from files become drafts, or a sentence that names the place."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.draft import Draft
from studio.errors import BadConversation, StudioError
from studio.script_files.documents import DOCUMENT, WORD
from studio.script_files.reading import ScriptFile, read_script_file
from studio.script_files.said import of_paragraphs
from studio.script_files.subtitles import of_subtitles
from tests.projects import CAST

DRAFT = Draft.read({"scene": "A kitchen.", "speakers": CAST[:2], "lines": [{"text": "Old."}], "context": 2})


def read(folder: Path, name: str, content: str | bytes, *, with_gaps: bool = False) -> ScriptFile:
    path = folder / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_script_file(path, DRAFT, name, with_gaps=with_gaps)


def said(file: ScriptFile) -> list[tuple[str, str] | None]:
    return [row and (file.draft.names[row.speaker], row.text) for row in file.draft.rows]


# ---- text ----


def test_a_text_keeps_known_voices_and_brings_new_people(tmp_path: Path):
    file = read(tmp_path, "scene.txt", "ALMA: Good\nmorning.\n\nZoë van Dijk: It is 12:30: tea.\n---\nbruno: Yes?\n")
    assert said(file) == [("Alma", "Good morning."), ("Zoë van Dijk", "It is 12:30: tea."), None, ("Bruno", "Yes?")]
    assert file.draft.speakers[0]["reference"] == "bundled:alma"
    assert (file.draft.scene, file.draft.context) == ("A kitchen.", 2), "what the file does not say stays"
    assert file.notes == ("New in the cast: Zoë van Dijk; choose their voices.",)
    assert all(row.id for row in file.draft.rows if row)


def test_speaker_tags_mean_the_cast(tmp_path: Path):
    file = read(tmp_path, "a.txt", "[SPEAKER1] Hi.\n[speaker0] Ho.\n[SPEAKER4] Who?")
    assert said(file) == [("Bruno", "Hi."), ("Alma", "Ho."), ("Speaker 5", "Who?")]


def test_text_without_names_is_spoken_by_the_first(tmp_path: Path):
    file = read(tmp_path, "a.md", "Once upon a time:\nhttp://x and 10:15.")
    assert said(file) == [("Alma", "Once upon a time: http://x and 10:15.")]
    assert file.notes == ("1 line names nobody: Alma speaks it.",)


def test_more_people_than_can_take_part_are_named(tmp_path: Path):
    with pytest.raises(BadConversation, match=r"names 9 speakers; at most 8 can take part: Aa, Bb, .*Ii"):
        read(tmp_path, "a.txt", "\n".join(f"{letter.upper()}{letter}: Hi." for letter in "abcdefghi"))


@pytest.mark.parametrize(
    ("data", "words", "note"),
    [
        ("Zoë: Ja.".encode(), "Ja.", ""),
        ("Zoë: Ja.".encode("utf-8-sig"), "Ja.", ""),
        ("Zoë: Ja.".encode("utf-16"), "Ja.", ""),
        ("Zoë: Ja.\r\nZoë: Nee.".encode("cp1252"), "Ja.", "Windows-1252"),
    ],
)
def test_encodings_are_found_out_or_said(tmp_path: Path, data: bytes, words: str, note: str):
    file = read(tmp_path, "a.txt", data)
    assert said(file)[0] == ("Zoë", words)
    assert any(note in one for one in file.notes)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.doc", b"x", "Save it as .docx first"),
        ("a.pdf", b"x", "Save it as .txt first"),
        ("a.exe", b"x", "Use one of .txt, .md"),
        ("a.txt", b" \n ", "nothing to speak in “a.txt”. Write one line"),
        ("a.txt", b"a\0b", "is no text file"),
        ("a.txt", b"x" * (2 * 2**20 + 1), "larger than 2 MB"),
        ("a.txt", b"Al: x\n" * 1001, "has 1001 lines; at most 1000"),
        ("a.srt", b"Hello", "Subtitles have times"),
        ("a.csv", b"", "The table is empty"),
        ("a.csv", b"speaker,words of it\nA,b", "no column “text”"),
        ("a.csv", b"speaker,text\n", "Its first row must name the columns"),
        ("a.docx", b"x", "no Word document"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, words: str):
    with pytest.raises(StudioError, match=words):
        read(tmp_path, name, content)


# ---- subtitles ----

SRT = """1
00:00:01,000 --> 00:00:02,500
Alma: Good <i>morning</i>.

2
00:00:03,500 --> 00:00:05,000
{\\an8}- Who is there?
- Me.

3
0:00:04.500 --> 0:00:06.000
[music]
♪♪

4
00:01:00,000 --> 00:01:01,000
♪♪
"""
VTT = """WEBVTT - a file
Kind: captions

NOTE this is --> no cue
at all

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start
<v.loud Alma>Tea &amp; <b>milk</b></v>
<v Zoë>Please.</v>

00:03.000 --> 00:04.000
Bruno: No.
"""


def test_srt_is_read_with_gaps(tmp_path: Path):
    file = read(tmp_path, "a.srt", "\ufeff" + SRT.replace("\n", "\r\n"), with_gaps=True)
    assert said(file) == [
        ("Alma", "Good morning."),
        ("Alma", "Who is there?"),
        ("Alma", "Me."),
        ("Alma", "[music] ♪♪"),
    ]
    rows = [row for row in file.draft.rows if row]
    assert file.gaps == {rows[1].id: 1.0, rows[3].id: -0.5}, "the first begins it; parts of a cue follow as usual"
    assert read(tmp_path, "a.srt", SRT).gaps == {}


def test_vtt_is_read_with_its_voices(tmp_path: Path):
    file = read(tmp_path, "a.vtt", VTT, with_gaps=True)
    assert said(file) == [("Alma", "Tea & milk"), ("Zoë", "Please."), ("Bruno", "No.")]
    assert list(file.gaps.values()) == [0.5]


def test_wrong_times_are_told_at_once_with_their_lines():
    text = "1\n00:00:01 --> 00:00:02\nHi\n\n2\nHi\nHo\n00:00:01,000 --> 00:00:02,000\n\n00:00:01,0 --> x\nHi"
    with pytest.raises(BadConversation) as caught:
        of_subtitles(text, [], vtt=False, with_gaps=False)
    assert [row.split(":")[0] for row in str(caught.value).splitlines()] == ["Line 2", "Line 5", "Line 10"]


def test_what_is_exported_is_read_back(tmp_path: Path):
    from studio.export.cues import as_srt, as_vtt, cues_of
    from tests.projects import a_project

    (reading,) = a_project(10, 20, 5).nudging("r3", -0.2, 25.0).readings()
    for name, text in (("a.srt", as_srt(cues_of(reading))), ("a.vtt", as_vtt(cues_of(reading)))):
        file = read(tmp_path, name, text, with_gaps=True)
        assert said(file) == [("Alma", "Line 1."), ("Bruno", "Line 2."), ("Clara", "Line 3.")]
        assert list(file.gaps.values()) == pytest.approx([0.36, -0.2])


# ---- tables ----


def test_a_table_gives_speakers_seeds_and_gaps(tmp_path: Path):
    rows = 'Character;Line;Seed;Pause;Mood\nAlma;"Good; morning";7;;glad\nZoë;=1+1;;-0,5;\n;---;;;\n'
    rows += 'Bruno;"Two\nrows";3.0;2;\n;;;;'
    file = read(tmp_path, "a.csv", rows)
    assert said(file) == [("Alma", "Good; morning"), ("Zoë", "=1+1"), None, ("Bruno", "Two rows")]
    lines = [row for row in file.draft.rows if row]
    assert [row.seed for row in lines] == [7, None, 3]
    assert file.gaps == {lines[1].id: -0.5, lines[2].id: 2.0}
    assert file.notes[0] == "Not read: the column Mood."


def test_every_wrong_row_is_told_at_once(tmp_path: Path):
    rows = "speaker,text,seed,gap\nA,Hi,x,\nB,…,1,\nC,Ho,-1,soon\nD,Ha,1e9,99\n"
    with pytest.raises(BadConversation) as caught:
        read(tmp_path, "a.csv", rows)
    told = str(caught.value).splitlines()
    assert [row.split(":")[0].split(" has")[0] for row in told] == [
        "Row 2",
        "Row 3",
        "Row 4",
        "Row 4",
        "Row 5",
        "Row 5",
    ]
    many = "text,seed\n" + "Hi,x\n" * 20
    with pytest.raises(BadConversation, match="And 12 more like these"):
        read(tmp_path, "a.csv", many)


def test_a_row_that_is_too_long_is_named(tmp_path: Path):
    with pytest.raises(BadConversation, match="Row 3 has more cells than the header: put text with commas"):
        read(tmp_path, "a.csv", "speaker,text\nA,Hi\nB,Well, yes\n")


# ---- Word ----


def a_document(path: Path, body: str, head: str = "", name: str = DOCUMENT) -> bytes:
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, xml)
    return path.read_bytes()


def paragraph(*runs: str) -> str:
    return "<w:p>" + "".join(f"<w:r><w:t>{run}</w:t></w:r>" for run in runs) + "</w:p>"


def test_a_document_is_read_paragraph_by_paragraph(tmp_path: Path):
    body = (
        paragraph("Al", "ma: Good ", "morning.")
        + "<w:tbl><w:tr><w:tc>"
        + paragraph("Bruno: Tea?")
        + "</w:tc></w:tr></w:tbl>"
    )
    body += (
        "<w:p><w:del><w:r><w:t>Gone</w:t></w:r></w:del><w:r><w:t>Alma: Yes</w:t><w:br/><w:t>Bruno: No</w:t></w:r></w:p>"
    )
    file = read(tmp_path, "a.docx", a_document(tmp_path / "d.docx", body))
    assert said(file) == [("Alma", "Good morning."), ("Bruno", "Tea?"), ("Alma", "Yes"), ("Bruno", "No")]


@pytest.mark.parametrize(
    ("head", "body", "name"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>', paragraph("&b;"), DOCUMENT),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', paragraph("&a;"), DOCUMENT),
        ("", "<w:p><w:r>", DOCUMENT),
        ("", paragraph("Alma: Hi."), "word/other.xml"),
    ],
    ids=["entity bomb", "file entity", "broken", "something else"],
)
def test_a_hostile_or_damaged_document_is_refused(tmp_path: Path, head: str, body: str, name: str):
    with pytest.raises(BadConversation, match="Word document"):
        read(tmp_path, "a.docx", a_document(tmp_path / "d.docx", body, head, name))


def test_a_document_that_unfolds_beyond_sense_is_refused(tmp_path: Path):
    with pytest.raises(StudioError, match="unfolds into more"):
        read(tmp_path, "a.docx", a_document(tmp_path / "d.docx", " " * (33 * 2**20)))


# ---- anything ----


@given(st.text(), st.booleans())
def test_no_text_fails_in_another_way_than_with_words(text: str, vtt: bool):
    of_paragraphs(text.split("\n"), ["Alma"])
    try:
        of_subtitles(text, ["Alma"], vtt=vtt, with_gaps=True)
    except StudioError as problem:
        assert str(problem)


@given(st.binary(max_size=400), st.sampled_from(["a.txt", "a.srt", "a.vtt", "a.csv", "a.tsv", "a.docx"]))
def test_no_bytes_fail_in_another_way_than_with_words(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str):
    try:
        read(tmp_path_factory.getbasetemp(), name, data)
    except StudioError as problem:
        assert str(problem)
