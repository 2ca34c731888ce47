"""Several takes of a line, lines that hear what was said before, and lines spoken again, on the bundled checkpoint."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from studio.conversation import Conversation, Line, Speaker
from studio.engine.local import LocalEngine
from studio.health import CodeHealth
from studio.sampling import Sampling
from studio.speech import Progress, SpeechRequest, SpokenLines, readings_of
from studio.takes import Take
from studio.voice_library import VoiceLibrary
from studio.voices import Voice

SEED = Sampling(seed=7)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dialogue(voices: VoiceLibrary) -> Conversation:
    alma, bruno = (Voice(reference=voices.find(f"bundled:{key}").reference) for key in ("alma", "bruno"))
    lines = (Line(0, "Good morning."), Line(1, "Come in."), Line(0, "Is the coffee ready?"), Line(1, "Yes."))
    return Conversation(lines, (Speaker("Alma", alma), Speaker("Bruno", bruno)))


def speak(engine: LocalEngine, *conversations: Conversation, **how: Any) -> tuple[SpokenLines, ...]:
    *_, spoken = engine.speak(SpeechRequest(conversations, SEED, **how))
    assert isinstance(spoken, tuple)
    return spoken


def prints(part: SpokenLines) -> list[str]:
    return [take.codes.fingerprint for take in part.takes]


def test_takes_are_the_same_alone_together_and_beside_other_lines(engine: LocalEngine, dialogue: Conversation):
    alone = speak(engine, dialogue)
    several = speak(engine, dialogue, takes=3)
    assert [prints(part)[0] for part in several] == [prints(part)[0] for part in alone]
    (one,) = speak(engine, dialogue, lines=frozenset({(0, 2)}), takes=3)
    assert prints(one) == prints(several[2])
    assert len(set(prints(one))) == 3
    second = one.takes[1].sampling.seed
    (again,) = speak(engine, dialogue, lines=frozenset({(0, 2)}), seeds={(0, 2): second})
    assert prints(again) == prints(one)[1:2]


def test_each_take_knows_its_seed_health_likelihood_and_time(engine: LocalEngine, dialogue: Conversation):
    request = SpeechRequest((dialogue,), SEED, lines=frozenset({(0, 1)}), takes=4)
    *steps, (part,) = engine.speak(request)
    assert [take.sampling for take in part.takes] == [SEED.for_line(1).for_take(index) for index in range(4)]
    assert all(take.compute_seconds > 0 and take.health.seconds == take.seconds for take in part.takes)
    scores = [take.log_likelihood for take in part.takes]
    assert all(-8 < score < 0 for score in scores)
    passed = [index for index, take in enumerate(part.takes) if take.health.passed]
    assert part.best == max(passed, key=lambda index: scores[index])
    last = steps[-1]
    assert isinstance(last, Progress)
    assert last.lines[0].take_frames == tuple(take.codes.frames for take in part.takes)
    assert last.frames == last.expected_frames == sum(last.lines[0].take_frames)
    (reading,) = readings_of(request, (part,))
    assert reading.placements[0].take is part.take
    assert reading.compute_seconds == pytest.approx(sum(take.compute_seconds for take in part.takes))


def test_a_single_take_is_scored_when_wished(engine: LocalEngine, dialogue: Conversation):
    line = frozenset({(0, 1)})
    (plain,), (scored,) = speak(engine, dialogue, lines=line), speak(engine, dialogue, lines=line, score=True)
    (among,) = speak(engine, dialogue, lines=line, takes=2)
    assert plain.take.log_likelihood is None
    assert scored.take.log_likelihood == pytest.approx(among.takes[0].log_likelihood, abs=1e-5)


def test_a_recogniser_is_asked_where_there_is_a_choice_and_its_word_goes_before_likelihood(
    engine: LocalEngine, dialogue: Conversation, monkeypatch: pytest.MonkeyPatch
):
    heard = iter(["Come out.", "Come in!", "Home in."])
    monkeypatch.setattr(engine, "recognise", lambda audio: next(heard))
    (part,) = speak(engine, dialogue, lines=frozenset({(0, 1)}), takes=3)
    assert [take.words_wrong for take in part.takes] == [1, 0, 1]
    assert part.best == 1 or not part.takes[1].health.passed
    monkeypatch.setattr(engine, "recognise", lambda audio: pytest.fail("there is nothing to choose from"))
    assert speak(engine, dialogue, lines=frozenset({(0, 1)}))[0].take.words_wrong is None


def test_takes_go_on_until_one_passes_but_not_beyond_the_limit(
    engine: LocalEngine, dialogue: Conversation, monkeypatch: pytest.MonkeyPatch
):
    made: list[Take] = []
    take_of = engine._take

    def third_passes(*how: Any) -> Take:
        take = take_of(*how)
        made.append(take)
        bad = CodeHealth.of(take.codes, take.audio, "", cut_by="frame budget")
        return take if len(made) == passes else replace(take, health=bad)

    monkeypatch.setattr(engine, "_take", third_passes)
    for passes, most, count in ((3, 5, 3), (99, 5, 5), (99, 0, 1)):
        made.clear()
        (part,) = speak(engine, dialogue, lines=frozenset({(0, 1)}), most_takes=most)
        assert len(part.takes) == count
        assert [take.sampling for take in part.takes] == [SEED.for_line(1).for_take(each) for each in range(count)]
        assert part.take.health.passed == (passes == 3)


def test_with_context_a_line_hears_those_before_it_and_keeps_its_own_codes(engine: LocalEngine, dialogue: Conversation):
    alone, spoken = speak(engine, dialogue), speak(engine, dialogue, context=2)
    assert prints(spoken[0]) == prints(alone[0])
    assert prints(spoken[2]) != prints(alone[2])
    third, frames = spoken[2].take, [part.take.codes.frames for part in spoken]
    assert third.prompt_tokens > alone[2].take.prompt_tokens + frames[0] + frames[1]
    kept = {(0, part.lines[0]): part.take.codes for part in spoken if part.lines != (2,)}
    (again,) = speak(engine, dialogue, context=2, lines=frozenset({(0, 2)}), spoken=kept)
    assert prints(again) == prints(spoken[2]), "spoken again with the same lines before it, it is the same"


def test_with_context_conversations_and_takes_do_not_disturb_each_other(engine: LocalEngine, dialogue: Conversation):
    alone = speak(engine, dialogue, context=1)
    beside = speak(engine, dialogue, replace(dialogue, lines=dialogue.lines[:2]), context=1)
    assert [prints(part) for part in beside[:4]] == [prints(part) for part in alone]


def test_the_best_take_of_a_line_is_the_context_of_the_next(engine: LocalEngine, dialogue: Conversation):
    two = replace(dialogue, lines=dialogue.lines[:2])
    first, second = speak(engine, two, context=1, takes=3)
    kept = {(0, 0): first.take.codes}
    (again,) = speak(engine, two, context=1, takes=3, lines=frozenset({(0, 1)}), spoken=kept)
    assert prints(again) == prints(second)


def test_context_that_has_no_room_is_left_out_and_said(
    engine: LocalEngine, dialogue: Conversation, voices: VoiceLibrary
):
    codes = engine.codes_of(voices.find("bundled:alma").reference)
    long = replace(codes, values=np.tile(codes.values, 48))
    kept = {(0, 0): long, (0, 1): codes, (0, 2): codes}
    (part,) = speak(engine, dialogue, lines=frozenset({(0, 3)}), spoken=kept, context=3)
    assert part.notes == ("The oldest line of the context had no room in the prompt.",)


def test_a_speaker_without_reference_keeps_the_voice_of_what_is_kept(engine: LocalEngine, dialogue: Conversation):
    nobody = replace(dialogue, speakers=(Speaker("Alma"), dialogue.speakers[1]))
    spoken = speak(engine, nobody)
    kept = {(0, 0): spoken[0].take.codes}
    (again,) = speak(engine, nobody, lines=frozenset({(0, 2)}), spoken=kept)
    assert prints(again) == prints(spoken[2])
