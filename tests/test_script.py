"""Plain script and rows are two views of the same lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.conversation import Line
from studio.errors import BadConversation, StudioError
from studio.script import UnknownSpeakers, parse_script, print_script

CAST = ["Alma", "Bruno", "Old Tom"]

READABLE = {
    "names": ("Alma: Hello.\nBruno: Hi.", [(0, "Hello."), (1, "Hi.")]),
    "tags": ("[SPEAKER0] Hello.\n[SPEAKER1] Hi.", [(0, "Hello."), (1, "Hi.")]),
    "tags and names": ("[SPEAKER1] Hello.\nOld Tom: Hi.", [(1, "Hello."), (2, "Hi.")]),
    "lower case": ("alma: Hello.\n[speaker2] Hi.\nBRUNO: Ho.", [(0, "Hello."), (2, "Hi."), (1, "Ho.")]),
    "spaces": ("  Alma :   Hello. \n [ Speaker 1 ]Hi.\nOld   Tom: Ho.", [(0, "Hello."), (1, "Hi."), (2, "Ho.")]),
    "no space after the colon": ("Alma:Hello.\nBruno:12:30.", [(0, "Hello."), (1, "12:30.")]),
    "a wide colon": ("Alma：你好。\nBruno： 好。", [(0, "你好。"), (1, "好。")]),
    "empty lines between": ("\n\nAlma: Hello.\n\n\nBruno: Hi.\n\n", [(0, "Hello."), (1, "Hi.")]),
    "going on": ("Alma: Hello,\nmy friend.\n  How are you?", [(0, "Hello, my friend. How are you?")]),
    "going on with a clock": ("Alma: It is\n12:30 now.", [(0, "It is 12:30 now.")]),
    "going on with an address": ("Alma: See\nhttps://example.org/a now.", [(0, "See https://example.org/a now.")]),
    "going on with a small word": ("Alma: I say\nthat is: no.", [(0, "I say that is: no.")]),
    "a name mid-line": ("Alma: I told Bruno: no.", [(0, "I told Bruno: no.")]),
    "a divider": ("Alma: One.\n---\nAlma: Two.", [(0, "One."), None, (0, "Two.")]),
    "other dividers": ("Alma: One.\n———\n*****\n-----\nAlma: Two.", [(0, "One."), None, None, None, (0, "Two.")]),
    "a dash is no divider": ("Alma: One.\n--", [(0, "One. --")]),
    "a name without text": ("Alma:\nHello.", [(0, "Hello.")]),
    "a tag alone": ("[SPEAKER1]", [(1, "")]),
    "nothing": ("  \n\t\n", []),
    "Windows line ends": ("Alma: One.\r\nBruno: Two.\r\n", [(0, "One."), (1, "Two.")]),
    "invisible marks": ("\ufeffAl\u200bma: Hi\u202e.", [(0, "Hi.")]),
    "control tokens are text": ("Alma: <|eot_id|> Hi.", [(0, "<|eot_id|> Hi.")]),
}


@pytest.mark.parametrize(("script", "lines"), READABLE.values(), ids=READABLE)
def test_a_script_reads_as_it_looks(script: str, lines: list):
    assert [part and (part.speaker, part.text) for part in parse_script(script, CAST)] == lines


UNREADABLE = {
    "a tag beyond the cast": (
        "Alma: Hi.\n\n[SPEAKER9] Ho.",
        r"Line 3 names \[SPEAKER9\], but the cast ends at \[SPEAKER2\]",
    ),
    "an unknown name": ("Alma: Hi.\nDora: Ho.", "Line 2 is spoken by “Dora”, who is not in the cast"),
    "an unknown name in another script": ("Alma: Hi.\n小明：你好。", "Line 2 is spoken by “小明”"),
    "an unknown name of three words": (
        "Alma: Hi.\nOld Mother Hubbard: Ho.",
        "Line 2 is spoken by “Old Mother Hubbard”",
    ),
    "text before the first tag": (
        "\nHello.\nAlma: Hi.",
        r"Line 2 has no speaker. Begin it with “Alma:” or \[SPEAKER0\]",
    ),
    "text after a divider": ("Alma: Hi.\n---\nHello.", "Line 3 has no speaker"),
    "several at once": ("Dora: Hi.\nAlma: Ho.\n[SPEAKER7] Hm.", "(?s)Line 1 is spoken by “Dora”.*\nLine 3 names"),
    "100,000 characters": ("Alma: " + "a " * 50_000, "The script has 100,006 characters; at most 40,000"),
}


@pytest.mark.parametrize(("script", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_understood_is_named_with_its_line(script: str, words: str):
    with pytest.raises(BadConversation, match=words):
        parse_script(script, CAST)


def test_two_of_the_same_name_need_tags():
    with pytest.raises(BadConversation, match="Line 1: several speakers are called “tom”"):
        parse_script("tom: Hi.", ["Tom", "TOM"])
    assert print_script([Line(1, "Hi.")], ["Tom", "TOM"]) == "[SPEAKER1] Hi."


def test_one_speaker_needs_no_tag():
    assert parse_script("Hello.\nHow are you?", ["Alma"]) == [Line(0, "Hello. How are you?")]


def test_an_empty_cast_is_said_and_an_empty_script_is_no_fault_of_it():
    assert parse_script(" \n", []) == []
    for script in ("Hello.", "[SPEAKER0] Hello.", "Alma: Hello."):
        with pytest.raises(BadConversation, match=r"There is nobody in the cast. Add a speaker first."):
            parse_script(script, [])


def test_lines_remember_where_in_the_script_they_begin():
    assert [part.number for part in parse_script("\nAlma: One\nand more.\n\nBruno: Two.", CAST) if part] == [2, 5]


def test_a_name_is_known_however_its_accent_was_typed():
    assert parse_script("Ren\u00e9e: Oui.", ["Rene\u0301e"]) == [Line(0, "Oui.")]


@pytest.mark.parametrize("name", ["", "a:b", "[SPEAKER1] x", "x" * 41, "  "])
def test_a_name_that_could_be_misread_is_printed_as_a_tag(name: str):
    assert print_script([Line(0, "Hi.")], [name, "B"]) == "[SPEAKER0] Hi."


NAMES = st.lists(
    st.text(min_size=0, max_size=45) | st.sampled_from(["Al", "al", "[SPEAKER1]", "---", "A: b"]),
    min_size=1,
    max_size=4,
)
TEXTS = st.text(max_size=60) | st.sampled_from(
    ["---", "Al: hi", "[SPEAKER1] hi", ": x", "***", "：", "Al:", "a\n---\nb"]
)


@given(st.data())
def test_printing_and_reading_again_is_the_identity(data: st.DataObject):
    names = data.draw(NAMES)
    lines = st.builds(Line, st.integers(0, len(names) - 1), TEXTS)
    parts = data.draw(st.lists(lines | st.none(), max_size=6))
    script = print_script(parts, names)
    assert parse_script(script, names) == parts
    assert print_script(parse_script(script, names), names) == script


@given(st.text(st.characters(codec=None)), st.lists(st.text(st.characters(codec=None)), max_size=3))
def test_no_script_fails_in_another_way_than_with_words(script: str, names: list[str]):
    try:
        parts = parse_script(script, names)
    except StudioError as problem:
        assert str(problem).endswith((".", "。"))
    else:
        assert parse_script(print_script(parts, names), names) == parts


def test_an_unknown_speaker_is_told_once_and_named_for_the_page():
    with pytest.raises(UnknownSpeakers) as caught:
        parse_script("Alma: One.\nMira: Two.\nTom: Three.\nMira: Four.\n[SPEAKER9] Five.", ["Alma", "Bruno"])
    assert caught.value.names == ("Mira", "Tom")
    told = str(caught.value).split("\n")
    assert [words.split(" is")[0].split(" names")[0] for words in told] == ["Line 2", "Line 3", "Line 5"]


def test_many_problems_are_cut_short_and_say_so():
    script = "\n".join(f"[SPEAKER9] {number}" for number in range(12))
    with pytest.raises(BadConversation, match=r"And 4 more\.$"):
        parse_script(script, ["Alma"])
