"""A request is taken apart into generations: seeds, what waits for what, and what stands in a prompt."""

import numpy as np
import pytest

from studio.codes import Codes
from studio.conversation import Conversation, Line, Speaker
from studio.engine.parts import Part, parts_of
from studio.errors import BadConversation, BadSetting
from studio.sampling import Sampling
from studio.speech import SpeechRequest
from studio.voices import Reference, Voice

SEED = Sampling(seed=7)
REFERENCE = Reference("ada.wav", "Words.", codes=Codes(np.full((8, 3), 9), 25.0, 1024))


def codes(value: int) -> Codes:
    return Codes(np.full((8, 4), value), 25.0, 1024)


def talk(*lines: int, own: tuple[int, ...] = ()) -> Conversation:
    """A conversation whose speakers say lines in this order; those of `own` have a reference of their own."""
    cast = tuple(
        Speaker(name, Voice(reference=REFERENCE if index in own else None)) for index, name in enumerate("ABC")
    )
    return Conversation(tuple(Line(speaker, f"Line {number}.") for number, speaker in enumerate(lines)), cast)


def parts(*conversations: Conversation, **how) -> list[Part]:
    return parts_of(SpeechRequest(conversations, SEED, **how))


def test_every_line_is_a_part_with_the_seed_it_would_have_alone():
    every = parts(talk(0, 1, 0), talk(1))
    assert [(part.conversation, part.lines) for part in every] == [(0, (0,)), (0, (1,)), (0, (2,)), (1, (0,))]
    assert [part.sampling for part in every] == [SEED.for_line(index) for index in (0, 1, 2, 0)]
    (one,) = parts(talk(0, 1, 0), lines=frozenset({(0, 2)}))
    assert (one.lines, one.sampling) == ((2,), SEED.for_line(2))


def test_a_seed_may_be_given_for_a_single_line():
    assert [part.sampling.seed for part in parts(talk(0, 1), seeds={(0, 1): 99})] == [SEED.for_line(0).seed, 99]


def test_the_seeds_of_takes_follow_from_the_lines_alone():
    part, other = parts(talk(0, 1))
    part.begin(2)
    part.begin(2)
    seeds = [attempt.sampling for attempt in part.attempts]
    assert seeds == [part.sampling.for_take(index) for index in range(4)]
    assert seeds[0] == SEED.for_line(0)
    other.begin(4)
    assert len({attempt.sampling.seed for each in (part, other) for attempt in each.attempts}) == 8


def test_only_a_speaker_without_reference_waits_for_their_first_line():
    waits = parts(talk(0, 1, 0, 1, 0, own=(1,)))
    assert [part.wave for part in waits] == [0, 0, 1, 0, 1]
    assert [part.voice.index if part.voice else None for part in waits] == [None, None, 0, None, 0]


def test_with_context_lines_wait_for_those_before_them_and_conversations_do_not():
    both = parts(talk(0, 1, 0, 1, own=(0, 1)), talk(0, 1, own=(0, 1)), context=2)
    assert [part.wave for part in both] == [0, 1, 2, 3, 0, 1]
    assert [[earlier.index for earlier in part.context] for part in both] == [[], [0], [0, 1], [1, 2], [], [0]]


def test_what_is_kept_is_context_and_voice_and_nothing_waits_for_it():
    kept = {(0, 0): codes(1), (0, 1): codes(2), (0, 3): codes(3)}
    (part,) = parts(talk(0, 1, 0, 1), lines=frozenset({(0, 2)}), spoken=kept, context=2)
    assert part.wave == 0
    assert part.voice and part.voice.codes is kept[0, 0]
    asked, earlier = part.among(2, with_voice=True)
    assert [(speaker, said.transcript, said.codes) for speaker, said in earlier] == [
        (0, "Line 0.", kept[0, 0]),
        (1, "Line 1.", kept[0, 1]),
    ]
    assert asked.lines == (Line(0, "Line 2."),)
    assert asked.speakers[0].voice.reference is None, "the line that gives the voice stands in the context already"


def test_the_voice_is_given_when_its_line_is_not_in_the_context():
    kept = {(0, 0): codes(1), (0, 1): codes(2)}
    (part,) = parts(talk(0, 1, 0), lines=frozenset({(0, 2)}), spoken=kept, context=1)
    asked, earlier = part.among(1, with_voice=True)
    assert [speaker for speaker, _ in earlier] == [1]
    assert asked.speakers[0].voice.reference and asked.speakers[0].voice.reference.codes is kept[0, 0]
    assert part.among(0, with_voice=False)[0].speakers == (Speaker("A"),)


def test_a_first_line_spoken_again_keeps_the_voice_of_the_later_ones():
    (part,) = parts(talk(0, 1, 0), lines=frozenset({(0, 0)}), spoken={(0, 2): codes(3)})
    assert part.voice and part.voice.index == 2


def test_a_line_that_is_spoken_now_does_not_stand_as_it_was():
    first, second = parts(talk(0, 0), spoken={(0, 0): codes(1), (0, 1): codes(2)}, context=1)
    assert first.voice is None
    assert second.voice and second.voice.part is first
    assert [earlier.part for earlier in second.context] == [first]


def test_only_those_who_take_part_are_in_the_prompt():
    kept = {(0, 0): codes(1), (0, 1): codes(2)}
    part = parts(talk(2, 1, 2, own=(0, 1, 2)), lines=frozenset({(0, 2)}), spoken=kept, context=1)[0]
    asked, earlier = part.among(1, with_voice=True)
    assert [speaker.name for speaker in asked.speakers] == ["B", "C"]
    assert (asked.lines[0].speaker, earlier[0][0]) == (1, 0)


def test_in_one_breath_a_conversation_is_one_part():
    (part,) = parts(talk(0, 1, 0), way="breath")
    assert (part.lines, part.sampling) == ((0, 1, 2), SEED.for_line(0))
    assert part.text == "Line 0.\nLine 1.\nLine 2."


def test_two_hundred_lines_with_context_are_taken_apart_at_once():
    assert max(part.wave for part in parts(talk(*[0, 1] * 100, own=(0, 1)), context=8)) == 199


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"takes": 0}, BadSetting),
        ({"takes": 17}, BadSetting),
        ({"context": -1}, BadSetting),
        ({"most_takes": 99}, BadSetting),
        ({"lines": frozenset()}, BadConversation),
        ({"lines": frozenset({(0, 3)})}, BadConversation),
        ({"lines": frozenset({(1, 0)})}, BadConversation),
    ],
)
def test_what_cannot_be_asked_is_refused(how, problem):
    with pytest.raises(problem):
        SpeechRequest((talk(0, 1, 0),), SEED, **how)
