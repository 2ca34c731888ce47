"""Whatever is typed becomes text that can be compared, counted and spoken, and nothing typed makes it fail."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import BadConversation
from studio.text import check_length, clean, control_tokens, pieces_of_words, slug, speakable, words_wrong

ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates too


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("plain", "plain"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("nul\0 bell\x07 escape\x1b[31m", "nul bell escape[31m"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("right\u202eleft\u2066", "rightleft"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("e\u0301", "é"),
        ("क्\u200dष 👩\u200d🚀", "क्\u200dष 👩\u200d🚀"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_what_cannot_be_seen_or_said_is_dropped(typed: str, kept: str):
    assert clean(typed) == kept


@given(ANY_TEXT)
def test_cleaning_never_fails_and_needs_doing_once(typed: str):
    cleaned = clean(typed)
    assert clean(cleaned) == cleaned == unicodedata.normalize("NFC", cleaned)
    cleaned.encode("utf-8")
    assert not set(cleaned) & {"\0", "\r", "\u200b", "\u202e", "\ufeff"}


def test_ten_thousand_combining_marks_are_taken():
    assert len(clean("a" + "\u0301" * 10_000)) == 10_000


@pytest.mark.parametrize("text", ["a", "5", "你好", "Да.", "…7", "ⅷ", "שלום"])
def test_letters_and_numbers_of_any_script_can_be_spoken(text: str):
    assert speakable(text)


@pytest.mark.parametrize("text", ["", "  \n", "...", "👋🎉", "—!?", "<|>", "\u0301"])
def test_marks_alone_cannot_be_spoken(text: str):
    assert not speakable(text)


def test_control_tokens_are_found_for_a_note():
    text = "a <|eot_id|> b <|AUDIO_OUT|> <|eot<|eot_id|>_id|> <| spaced |> <||> <eot_id>"
    assert control_tokens(text) == ["<|eot_id|>", "<|AUDIO_OUT|>", "<|eot_id|>"]


def test_too_long_a_text_is_refused_with_both_counts():
    check_length("x" * 10_000, "The script")
    with pytest.raises(BadConversation, match="The script has 100,000 characters; at most 10,000 are taken"):
        check_length("x" * 100_000, "The script")
    with pytest.raises(BadConversation, match="The name has 41 characters; at most 40"):
        check_length("x" * 41, "The name", 40)


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        ("Good morning, come in.", 0),
        ("good  MORNING come in", 0),
        ("Good evening, come in.", 1),
        ("Morning, come in.", 1),
        ("Good good morning, come on in.", 2),
        ("", 4),
    ],
)
def test_words_wrong_are_counted_by_the_fewest_changes(heard: str, wrong: int):
    assert words_wrong("Good morning, come in.", heard) == wrong


@pytest.mark.parametrize(
    ("name", "plain", "any_script"),
    [
        ("Alma", "alma", "alma"),
        ("Jörg Groß", "jorg-gross", "jörg-groß"),
        ("../../x", "x", "x"),
        ("CON", "con", "con"),
        ("小明", "absent", "小明"),
        ("… _", "absent", "absent"),
        ("", "absent", "absent"),
        ("ab c", "ab", "ab"),
    ],
)
def test_names_of_files_hold_no_surprises(name: str, plain: str, any_script: str):
    longest = 3 if name == "ab c" else 40
    assert slug(name, "absent", longest) == plain
    assert slug(name, "absent", longest, any_script=True) == any_script


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Good morning. How are you?", ["Good morning. How are you?"]),
        ("One two three four. Five six seven.", ["One two three four.", "Five six seven."]),
        ("One two. Three. Four five six seven.", ["One two. Three.", "Four five six seven."]),
        ("One two three, four five six seven.", ["One two three,", "four five six seven."]),
        ("He said: “Come in.” Nobody came in.", ["He said: “Come in.”", "Nobody came in."]),
        ("one two three four five six seven", ["one two three", "four five six seven"]),
        ("a short of the other one two", ["a short", "of the other one two"]),
        ("  one \n two ", ["one two"]),
        ("", []),
    ],
)
def test_a_text_is_cut_between_sentences_then_clauses_then_words(text: str, pieces: list[str]):
    assert pieces_of_words(text, 5) == pieces


def test_pieces_lose_nothing_and_keep_the_limit():
    text = " ".join(f"w{number}{',' * (number % 7 == 0)}" for number in range(400))
    pieces = pieces_of_words(text, 12)
    assert " ".join(pieces) == text
    assert max(len(piece.split()) for piece in pieces) <= 12
