"""Whole words are spoken otherwise than they are written, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import BadConversation
from studio.pronunciations import MAX_CHARACTERS, MOST_WORDS, Pronunciations


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ("Nguyen = Win", "Nguyen, nguyen and NGUYENs.", "Win, Win and NGUYENs."),
        ("SQL=sequel", "SQL, MySQL, SQL2, sql_x, SQL.", "sequel, MySQL, SQL2, sql_x, sequel."),
        ("New York = Noo York\nYork = Yawk", "New York and York.", "Noo York and Yawk."),
        ("read = red\nred = blue", "I read red.", "I red blue."),
        ("C++ = see plus plus", "C++ and C.", "see plus plus and C."),
        ("a = b = c", "a", "b = c"),
        ("x = one\nx = two", "x", "two"),
        ("e\u0301 = accent", "É", "accent"),
        ("京都 = Kyoto", "京都.", "Kyoto."),
        ("1 = one", "1 of 10", "one of 10"),
        ("half\n= nothing\nnothing =\n\nok = fine", "half nothing ok", "half nothing fine"),
        ("", "As it is.", "As it is."),
    ],
)
def test_whole_words_are_replaced_once(words: str, text: str, said: str):
    assert Pronunciations(words).said(text) == said


@given(st.text(), st.text())
def test_any_text_can_be_read(words: str, text: str):
    Pronunciations(words).said(text)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("Nguyen", "line 1: “Nguyen” does not say"),
        ("a = b\n\nc =", "line 3: “c =” does not say"),
        ("a = …", "line 1"),
        ("= b", "line 1"),
        ("x" * (MAX_CHARACTERS + 1), "too many"),
        ("\n".join(f"w{number} = x" for number in range(MOST_WORDS + 1)), "too many"),
    ],
)
def test_what_says_nothing_is_refused(words: str, problem: str):
    with pytest.raises(BadConversation, match=problem):
        Pronunciations(words).check()


def test_empty_lines_are_no_fault():
    Pronunciations("\n a = b \n\n").check()
