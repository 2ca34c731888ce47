"""Pauses are read in the ways that people type them, and nothing of them is spoken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.pauses import Paused, parted, pause, without_pauses


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Good morning.", [Paused("Good morning.")]),
        ("[pause 1.5 s] Good morning.", [Paused("Good morning.", 1.5)]),
        ("[pause:1s]Good morning.", [Paused("Good morning.", 1.0)]),
        ("[ Pause 250 ms ] Hi.", [Paused("Hi.", 0.25)]),
        ("[pause 0,5] Hi.", [Paused("Hi.", 0.5)]),
        ("[pause 2 seconds] Hi.", [Paused("Hi.", 2.0)]),
        ("Hi. [pause 1 s]", [Paused("Hi."), Paused("", 1.0)]),
        ("One. [pause 1 s] Two.", [Paused("One."), Paused("Two.", 1.0)]),
        ("[pause 1 s] [pause 2 s] Hi.", [Paused("Hi.", 3.0)]),
        ("[pause 0 s] Hi.", [Paused("Hi.", 0.0)]),
        ("[pause 1 s]", [Paused("", 1.0)]),
        ("", [Paused("")]),
        ("[pause] [pause x] [paused 1 s] (pause 1 s)", [Paused("[pause] [pause x] [paused 1 s] (pause 1 s)")]),
    ],
)
def test_a_text_is_parted_where_pauses_are(text: str, parts: list[Paused]):
    assert parted(text) == parts
    assert without_pauses(text).split() == " ".join(part.words for part in parts).split()


@given(st.lists(st.tuples(st.floats(0, 30).map(lambda one: round(one, 3)), st.sampled_from(["One.", "Two, three."]))))
def test_what_is_typed_is_read_as_it_was_meant(given_parts: list[tuple[float, str]]):
    parts = [Paused("First."), *(Paused(words, seconds) for seconds, words in given_parts)]
    assert parted(" ".join(part.text for part in parts)) == parts


def test_a_pause_is_typed_shortly():
    assert [pause(seconds) for seconds in (1.0, 0.25, 1.23456)] == ["[pause 1 s]", "[pause 0.25 s]", "[pause 1.235 s]"]
