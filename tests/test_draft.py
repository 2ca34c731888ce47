"""What page and preset files hold becomes conversations, or a sentence that names the key."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.conversation import QUIET_ROOM, Conversation, Line, Scene, Speaker
from studio.draft import MAX_ROWS, NEEDED, Draft, Row, draft_of, same_ids, voice_in_words
from studio.errors import BadConversation, BadSetting, StudioError
from studio.voice_library import VoiceLibrary
from studio.voices import Voice

FULL = {
    "scene": "A kitchen.",
    "way": "breath",
    "references": "scene",
    "speakers": [
        {"name": "Alma", "kind": "reference", "description": "", "reference": "bundled:alma"},
        {"name": "Ben", "kind": "described", "description": "masculine", "reference": ""},
    ],
    "lines": [{"speaker": 0, "text": "One."}, {"divider": True}, {"speaker": 1, "text": "Two.", "id": "a1", "seed": 7}],
    "context": 2,
    "system": "Speak.",
    "pronunciations": "Nguyen = Win",
}


def conversations(voices: VoiceLibrary, **changes: Any) -> list[Conversation]:
    return Draft.read(FULL | changes).conversations(voices)


def test_a_draft_is_written_as_it_was_read():
    assert Draft.read(FULL).as_json() == FULL


def test_what_is_absent_has_a_default():
    assert Draft.read({}).as_json() == {
        "scene": QUIET_ROOM,
        "way": "lines",
        "references": "turns",
        "speakers": [],
        "lines": [],
        "context": 0,
        "system": "",
        "pronunciations": "",
    }
    assert Draft.read({"speakers": [{}], "lines": [{}]}).as_json()["speakers"][0]["kind"] == "smart"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "p.json must be an object, not null. Its keys, all optional: scene, way"),
        ([], "p.json must be an object, not a list"),
        ({"scenes": ""}, r"p.json: there is no key 'scenes'. Do you mean 'scene'\? Its keys, all optional: scene, way"),
        ({"x": ""}, "p.json: there is no key 'x'. Its keys, all optional: scene, way"),
        ({"scene": 5}, r"p.json: scene must be text, not a whole number \(5\)"),
        ({"lines": {}}, "p.json: lines must be a list, not an object"),
        ({"way": "song"}, "p.json: way must be one of lines, breath, not 'song'"),
        ({"references": "up"}, "p.json: references must be one of turns, scene, not 'up'"),
        ({"speakers": [{}, {"kind": "robot"}]}, "p.json, speaker 2: kind must be one of smart, described, reference"),
        ({"speakers": [{"voice": ""}]}, "p.json, speaker 1: there is no key 'voice'"),
        ({"speakers": ["Alma"]}, r"p.json, speaker 1 must be an object, not text \('Alma'\). Its keys, all"),
        ({"speakers": [{}] * 9}, "p.json: there are 9 speakers; at most 8"),
        ({"lines": [{}, {"speaker": "0"}]}, "p.json, line 2: speaker must be a whole number, not text"),
        ({"lines": [{"speaker": True}]}, "p.json, line 1: speaker must be a whole number, not true"),
        ({"lines": [{"text": None}]}, "p.json, line 1: text must be text, not null"),
        ({"lines": [{"id": "../x"}]}, "p.json, line 1: id must be at most 16 digits and small letters, not '../x'"),
        ({"lines": [{"seed": -1}]}, "p.json, line 1: seed must be between 0 and"),
        ({"context": 9}, "p.json: context must be between 0 and 8, not 9"),
        ({"lines": [{}] * 1_001}, "p.json: there are 1001 lines; at most 1000"),
    ],
)
def test_a_wrong_key_is_named_with_its_place(data: Any, words: str):
    with pytest.raises(BadSetting, match=words):
        Draft.read(data, "p.json")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "must be an object, not a list. Required: speakers, lines. Optional: scene, way, references, context"),
        ({}, "p.json: speakers is missing. Required: speakers, lines"),
        ({"speakers": []}, "p.json: lines is missing"),
        ({"speekers": []}, r"p.json: there is no key 'speekers'. Do you mean 'speakers'\? Required: speakers, lines"),
    ],
)
def test_what_is_to_be_spoken_as_it_stands_must_have_speakers_and_lines(data: Any, words: str):
    with pytest.raises(BadSetting, match=words):
        Draft.read(data, "p.json", NEEDED)


def test_seeds_of_single_lines_are_known_by_conversation_and_line():
    rows = [{"text": "A.", "seed": 5}, {"text": " ", "seed": 6}, {"text": "B."}, {"divider": True}, FULL["lines"][2]]
    assert Draft.read(FULL | {"lines": rows}).seeds == {(0, 0): 5, (1, 0): 7}


def test_dividers_begin_conversations_with_the_same_cast(voices: VoiceLibrary):
    first, second = conversations(voices)
    assert [speaker.name for speaker in first.speakers] == ["Alma", "Ben"]
    assert first.speakers[0].voice == Voice(reference=voices.find("bundled:alma").reference)
    assert second.speakers == first.speakers, "or colours and numbers would change from one to the next"
    assert second.lines == (Line(1, "Two."),)
    assert [conversation.scene for conversation in (first, second)] == [Scene("A kitchen.")] * 2
    assert {(item.references_in, item.system) for item in (first, second)} == {("scene", "Speak.")}


def test_empty_rows_and_dividers_are_left_out_but_counted(voices: VoiceLibrary):
    rows = [{"divider": True}, {"text": "  "}, {"speaker": 1, "text": "Hi."}, {"divider": True}, {"divider": True}]
    (only,) = conversations(voices, lines=rows)
    assert [(line.text, line.number) for line in only.lines] == [("Hi.", 2)], "as the page counts: lines only"


def test_a_description_counts_only_where_the_kind_says_so(voices: VoiceLibrary):
    speaker = {"name": "", "kind": "smart", "description": "masculine", "reference": "bundled:alma"}
    (only,) = conversations(voices, speakers=[speaker], lines=[{"text": "Hi."}])
    assert only.speakers == (Speaker("Speaker 1", Voice()),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lines": []}, "There is nothing to speak yet"),
        ({"lines": [{"text": " "}, {"divider": True}]}, "There is nothing to speak yet"),
        ({"speakers": []}, "There is nobody to speak"),
        ({"lines": [{"text": "Hi."}, {"speaker": 5, "text": "Hi."}]}, "Line 2 is given to speaker 5, who is not"),
        ({"lines": [{"text": "\u200b"}]}, "Line 1 has nothing to speak"),
        ({"speakers": [{"name": "Al", "kind": "reference"}]}, "Al has no voice yet: a reference voice needs its id"),
        ({"speakers": [{"kind": "reference", "reference": "alma"}]}, "no voice “alma”. Those .*: bundled:alma,"),
        ({"speakers": [{"kind": "reference", "reference": "own:gone"}]}, "voice is no longer here"),
        ({"lines": [{"text": "word " * 1_900}, {"divider": True}] * 2}, "The script has 19,001 characters"),
    ],
)
def test_what_cannot_be_spoken_is_said(voices: VoiceLibrary, changes: dict, words: str):
    with pytest.raises(BadConversation, match=words):
        conversations(voices, **changes)


def test_a_speaker_without_a_voice_hinders_nobody_else(voices: VoiceLibrary):
    cast = [{"name": "Ben"}, {"name": "Al", "kind": "reference"}, {"kind": "reference", "reference": "own:gone"}]
    (only,) = conversations(voices, speakers=cast, lines=[{"text": "Hi."}])
    assert [speaker.name for speaker in only.with_speaking_cast().speakers] == ["Ben"]


def test_the_draft_of_a_conversation_stands_for_it(voices: VoiceLibrary):
    both = [{"speaker": 0, "text": "One."}, {"speaker": 1, "text": "Two."}]
    (conversation,) = conversations(voices, lines=both)
    draft = draft_of(conversation, ["bundled:alma", ""])
    assert Draft.read(draft.as_json()) == draft
    assert draft.conversations(voices) == [conversation]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(list(FULL)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*FULL, "text", "kind", "x"]), inner),
    max_leaves=20,
)


@given(JSON)
def test_no_json_fails_in_another_way_than_with_words(voices: VoiceLibrary, data: Any):
    try:
        Draft.read(data).conversations(voices)
    except StudioError as problem:
        assert str(problem)


def test_rows_read_anew_keep_their_ids_by_their_words_or_their_place():
    before = (Row(0, "One.", "a"), None, Row(1, "Two.", "b", seed=5), Row(0, "Three.", "c"))
    changed = same_ids((Row(0, "One."), None, Row(1, "Two, too."), Row(0, "Three."), Row(1, "Four.")), before)
    assert [row and row.id for row in changed] == ["a", None, "b", "c", ""]
    assert changed[2] == Row(1, "Two, too.", "b", seed=5)
    inserted = same_ids((Row(0, "Zero."), Row(0, "One."), None, Row(1, "Two."), Row(0, "Three.")), before)
    assert [row and row.id for row in inserted] == ["", "a", None, "b", "c"]


def test_long_rows_are_cut_and_the_first_piece_stays_the_row_it_was():
    long = {"speaker": 1, "text": "One two. Three four five.", "id": "a1", "seed": 7}
    draft = Draft.read({"lines": [{"text": "Short  one."}, {"divider": True}, long, long | {"id": "b2"}]})
    pieces = (Row(1, "One two.", "a1", 7), Row(1, "Three four five.", "", 7))
    assert draft.with_short_rows(3).rows == (draft.rows[0], None, *pieces, replace(pieces[0], id="b2"), pieces[1])
    assert draft.with_short_rows(3, only="a1").rows == (draft.rows[0], None, *pieces, draft.rows[3])
    assert draft.with_short_rows(5) == draft


def test_what_would_be_too_many_rows_when_cut_is_refused():
    draft = Draft.read({"lines": [{"text": "One two."}] * MAX_ROWS})
    assert draft.with_short_rows(2) == draft
    with pytest.raises(BadConversation, match="2000 lines; at most 1000"):
        draft.with_short_rows(1)


@pytest.mark.parametrize(
    ("words", "voice"),
    [
        ("smart", {"kind": "smart"}),
        ("Described: An old man", {"kind": "described", "description": "An old man"}),
        (" ALMA ", {"kind": "reference", "reference": "bundled:alma"}),
        ("Bundled:Alma", {"kind": "reference", "reference": "bundled:alma"}),
        ("nobody", None),
        ("", None),
    ],
)
def test_a_voice_is_known_by_its_words(voices: VoiceLibrary, words: str, voice: dict[str, str] | None):
    assert voice_in_words(words, voices.by_name()) == voice


def paused(*texts: str | None) -> Draft:
    """A draft of rows with these texts, one after another by two speakers; None is a divider."""
    rows = [{"divider": True} if text is None else {"speaker": at % 2, "text": text} for at, text in enumerate(texts)]
    return Draft.read({"speakers": [{"name": "Ada"}, {"name": "Ben"}], "lines": rows})


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (("One.", "[pause 2 s] Two."), [("One.", None), ("Two.", 2.0)]),
        (("One. [pause 2 s]", "Two."), [("One.", None), ("Two.", 2.0)]),
        (("One. [pause 2 s]", "[pause 1 s] Two."), [("One.", None), ("Two.", 3.0)]),
        (("One.", "[pause 2 s]", "Two."), [("One.", None), ("Two.", 2.0)]),
        (("[pause 1 s]", "One.", "", "Two."), [("One.", 1.0), ("Two.", None)]),
        (("One. [pause 2 s]", None, "Two."), [("One.", None), ("Two.", None)]),
        (("One. [pause 30 s]", "[pause 30 s] Two."), [("One.", None), ("Two.", 30.0)]),
        (("One.", "[pause 0 s] Two. [pause 5 s]"), [("One.", None), ("Two.", 0.0)]),
    ],
)
def test_a_pause_is_silence_before_the_next_line(
    voices: VoiceLibrary, texts: tuple[str | None, ...], lines: list[tuple[str, float | None]]
):
    spoken = [line for one in paused(*texts).conversations(voices) for line in one.lines]
    assert [(line.text, line.pause) for line in spoken] == lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("One. [pause 1 s] Two.", "Line 2 has a pause in its middle. Split it there"),
        ("[pause 31 s] One.", "Line 2 asks for a pause of 31 s; at most 30 s"),
        ("[pause 2 secs] One.", "Line 2: “[pause 2 secs]” is no pause. Write it like [pause 1.5 s]."),
        ("One. [Pause]", "Line 2: “[Pause]” is no pause"),
        ("One. [pause 99999 s]", "Line 2 asks for a pause of 99999 s"),
    ],
)
def test_a_pause_that_cannot_be_made_names_its_line(voices: VoiceLibrary, text: str, words: str):
    with pytest.raises(BadConversation, match=re.escape(words)):
        paused("Zero.", text).conversations(voices)


def test_rows_are_cut_at_pauses_whatever_their_length():
    draft = paused("[pause 1 s] One two. [pause 2 s] Three. [pause 3 s]", "[pause 4 s] Four.", "[pause 5 s]")
    cut = [row.text for row in draft.with_short_rows(99).rows if row]
    assert cut == ["[pause 1 s] One two.", "[pause 2 s] Three. [pause 3 s]", "[pause 4 s] Four.", "[pause 5 s]"]
    assert [row.text for row in draft.with_short_rows(1).rows if row][:2] == ["[pause 1 s] One", "two."]


def test_nobody_needs_a_voice_for_a_pause(voices: VoiceLibrary):
    rows = [{"speaker": 0, "text": "One."}, {"speaker": 1, "text": "[pause 1 s]"}]
    cast = [{"name": "Ada"}, {"name": "Ben", "kind": "reference", "reference": ""}]
    (spoken,) = Draft.read({"speakers": cast, "lines": rows}).conversations(voices)
    assert [line.text for line in spoken.lines] == ["One."]


def test_the_model_reads_how_words_are_spoken_and_people_what_is_written(voices: VoiceLibrary):
    (talk,) = conversations(voices, lines=[{"text": "Nguyen is here."}, {"text": "Who?"}])
    assert [line.text for line in talk.lines] == ["Nguyen is here.", "Who?"]
    assert [line.said for line in talk.lines] == ["Win is here.", "Who?"]


def test_a_pronunciation_that_says_nothing_is_refused(voices: VoiceLibrary):
    with pytest.raises(BadConversation, match="Pronunciations, line 2: “SQL” does not say how"):
        conversations(voices, pronunciations="Nguyen = Win\nSQL")


def test_no_pause_is_longer_than_a_pause_may_be_also_where_nothing_is_checked():
    (lines,) = paused("One.", "[pause 1500 s] Two.").groups
    assert lines[1].pause == 30.0
