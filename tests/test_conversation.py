"""A conversation says what hinders it from being spoken, by line or by name."""

from dataclasses import replace

import numpy as np
import pytest

from studio.audio import silence
from studio.codes import Codes
from studio.conversation import MAX_LINES, MAX_SPEAKERS, QUIET_ROOM, Conversation, Line, Scene, Speaker
from studio.errors import BadConversation
from studio.voices import Reference, Voice

ALMA, BRUNO = Speaker("Alma"), Speaker("Bruno", Voice("masculine"))
REFERENCE = Reference("clara.flac", "I found the letter.", silence(1, 24_000))


def spoken(*lines: tuple[int, str], speakers: tuple[Speaker, ...] = (ALMA, BRUNO)) -> Conversation:
    return Conversation(tuple(Line(*line) for line in lines), speakers)


# ---- the values ----


def test_a_line_is_one_line_of_clean_text():
    assert Line(0, " one\n two\t\u200bthree\0 ").text == "one two three"


def test_a_scene_has_no_blank_lines_since_one_would_end_it_in_the_prompt():
    assert Scene("  A station.\n\n \r\nRain. ").description == "A station.\nRain."
    assert Scene().description == QUIET_ROOM


def test_names_and_descriptions_are_one_line():
    assert Speaker(" Old\n Tom ").name == "Old Tom"
    assert Voice("an old man,\n\nslow\u202e ").description == "an old man, slow"


def test_the_kind_of_a_voice_follows_from_what_is_known_of_it():
    assert [Voice().kind, Voice("feminine").kind, Voice("x", REFERENCE).kind] == ["smart", "described", "reference"]


@pytest.mark.parametrize(
    ("speakers", "place", "tagged"),
    [
        ((ALMA,), "turns", False),
        ((Speaker("Clara", Voice(reference=REFERENCE)),), "turns", False),
        ((Speaker("Clara", Voice(reference=REFERENCE)),), "scene", True),
        ((BRUNO,), "turns", True),
        ((ALMA, Speaker("Eve")), "turns", True),
    ],
)
def test_lines_are_tagged_as_soon_as_something_must_tell_speakers_apart(speakers: tuple, place: str, tagged: bool):
    assert replace(spoken((0, "Hello."), speakers=speakers), references_in=place).tagged is tagged


# ---- what hinders ----


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        (spoken(), "There is nothing to speak yet. Type a line, or load a preset."),
        (spoken((0, "Hello."), speakers=()), "There is nobody to speak. Add a speaker."),
        (spoken((0, "Hi."), speakers=(ALMA,) * 9), f"There are 9 speakers; at most {MAX_SPEAKERS}"),
        (spoken(*[(0, "Hi.")] * 401), f"There are 401 lines; at most {MAX_LINES}"),
        (
            spoken((0, "Hi."), (2, "Who?")),
            "Line 2 is given to speaker 2, who is not in the cast. Speakers count from 0: 0 is Alma, 1 is Bruno.",
        ),
        (spoken((-1, "Hi.")), "Line 1 is given to speaker -1, who is not in the cast"),
        (spoken((0, "Hi."), (1, "…?!")), "Line 2 has nothing to speak: “…\\?!”"),
        (spoken((0, "👋")), "Line 1 has nothing to speak"),
        (spoken((0, "word " * 20_000)), "The script has 99,999 characters; at most 10,000"),
        (replace(spoken((0, "Hi.")), scene=Scene("x" * 2_001)), "The scene has 2,001 characters; at most 2,000"),
        (replace(spoken((0, "Hi.")), system="x" * 2_001), "The system text has 2,001 characters"),
        (spoken((0, "Hi."), speakers=(Speaker("Al", Voice("x" * 2_001)),)), "The voice of Al has 2,001 characters"),
        (
            spoken((0, "Hi."), speakers=(Speaker("Al", Voice(reference=Reference("me.wav", "Hi."))),)),
            "The recording “me.wav” for Al is not here. Add it as a voice, then choose that voice for Al.",
        ),
    ],
)
def test_what_cannot_be_spoken_is_refused_with_its_place_and_a_remedy(conversation: Conversation, words: str):
    with pytest.raises(BadConversation, match=words):
        conversation.check()


def test_a_message_counts_lines_as_the_page_does():
    with pytest.raises(BadConversation, match="Line 12 has nothing to speak"):
        Conversation((Line(0, "…", 12),), (ALMA,)).check()


def test_known_codes_do_for_a_recording():
    codes = Codes(np.zeros((8, 5)), 25.0, 1024)
    speaker = Speaker("Al", Voice(reference=Reference("first line", "Hi.", codes=codes)))
    assert spoken((0, "Hi."), speakers=(speaker,)).check() == []


def test_typed_control_tokens_are_noted_wherever_they_stand_and_hinder_nothing():
    clone = Speaker("C", Voice(reference=replace(REFERENCE, transcript="so <|audio_eos|>")))
    conversation = Conversation(
        (Line(0, "Hi <|eot_id|>"), Line(1, "Ho.")),
        (Speaker("D", Voice("<|begin_of_text|>")), clone),
        Scene("<|AUDIO|>"),
    )
    assert conversation.check() == [
        "<|AUDIO|>, <|audio_eos|>, <|begin_of_text|>, <|eot_id|> is read as ordinary text, not as a control token."
    ]


# ---- parts of it ----


def test_only_those_who_speak_are_kept_and_numbered_anew():
    cast = (ALMA, BRUNO, Speaker("Clara"))
    kept = spoken((2, "One."), (1, "Two."), (2, "Three."), speakers=cast).with_speaking_cast()
    assert [speaker.name for speaker in kept.speakers] == ["Bruno", "Clara"]
    assert [(line.speaker, line.text) for line in kept.lines] == [(1, "One."), (0, "Two."), (1, "Three.")]


def test_a_line_alone_takes_its_speaker_or_another_voice_with_it():
    conversation = spoken((0, "One."), (1, "Two."))
    alone = conversation.alone(1)
    assert [(line.speaker, line.text) for line in alone.lines] == [(0, "Two.")]
    assert alone.speakers == (BRUNO,)
    assert conversation.alone(1, Voice("another")).speakers == (Speaker("Bruno", Voice("another")),)
    assert alone.scene == conversation.scene


def test_lines_are_called_by_their_rows_on_the_page():
    lines = (Line(0, "One.", 2), Line(0, "Two."), Line(0, "Three.", 5))
    conversation = Conversation(lines, (Speaker("Alma"),))
    assert [conversation.line_number(index) for index in range(3)] == [2, 2, 5]
    assert conversation.lines_in_words((0,)) == "Line 2"
    assert conversation.lines_in_words((0, 1, 2)) == "Lines 2 to 5"
