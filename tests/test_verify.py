"""Spoken again with the same seeds, takes give the same codes; where they do not, or cannot be, that is said."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from studio.draft import Draft
from studio.project import Project
from studio.sampling import Sampling
from studio.speech import SpeechRequest, SpokenLines
from studio.verify import Verdict, checks_of, verdicts
from studio.voice_library import VoiceLibrary
from tests.projects import a_project

if TYPE_CHECKING:
    from studio.engine.local import LocalEngine

DRAFT = Draft.read(
    {
        "speakers": [{"name": "Alma", "kind": "reference", "reference": "bundled:alma"}, {"name": "Bruno"}],
        "lines": [
            {"speaker": 0, "text": "Good morning.", "id": "a"},
            {"speaker": 1, "text": "Hello.", "id": "b"},
            {"speaker": 1, "text": "Sit down.", "id": "c"},
        ],
    }
)


def speak(engine: "LocalEngine", request: SpeechRequest) -> tuple[SpokenLines, ...]:
    for step in engine.speak(request):
        if isinstance(step, tuple):
            return step
    raise AssertionError


def spoken_project(engine: "LocalEngine", voices: VoiceLibrary, draft: Draft) -> Project:
    request = SpeechRequest(
        tuple(draft.conversations(voices)), Sampling(seed=3, max_seconds=1.0), draft.way, context=draft.context
    )
    project = Project(draft)
    for part in speak(engine, request):
        lines = [request.conversations[part.conversation].lines[index] for index in part.lines]
        project = project.adding(lines, part.takes, part.best)
    return project


def verified(engine: "LocalEngine", voices: VoiceLibrary, project: Project, checkpoint: str = "") -> list[Verdict]:
    checks, unchecked = checks_of(project, voices, checkpoint)
    found = [verdict for check in checks for verdict in verdicts(check, speak(engine, check.request))]
    return sorted([*found, *unchecked], key=lambda verdict: verdict.lines)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "changes", [{}, {"context": 2}, {"way": "breath"}], ids=["alone", "in context", "in one breath"]
)
def test_the_same_seeds_give_the_same_codes(engine: "LocalEngine", voices: VoiceLibrary, changes: dict):
    project = spoken_project(engine, voices, replace(DRAFT, **changes))
    found = verified(engine, voices, project)
    assert {verdict.same for verdict in found} == {True}
    assert [number for verdict in found for number in verdict.lines] == [1, 2, 3]
    kept = project.takes[0]
    values = kept.take.codes.values.copy()
    values[0, 3] = (values[0, 3] + 1) % 1024
    forged = replace(kept, take=replace(kept.take, codes=replace(kept.take.codes, values=values)))
    (first, *_) = verified(engine, voices, replace(project, takes=(forged, *project.takes[1:])))
    assert (first.same, first.about) == (False, "Differs from 0.12 s on.")


def test_what_cannot_be_checked_says_why(voices: VoiceLibrary):
    project = a_project(5, 6, 7)
    rows = list(project.draft.rows)
    rows[1] = replace(rows[1], text="Other words.")
    project = project.on_this_draft(replace(project.draft, rows=tuple(rows)))
    checks, unchecked = checks_of(project, voices)
    assert [(verdict.lines, verdict.same) for verdict in unchecked] == [((2,), None)]
    assert "changed since it was spoken" in unchecked[0].about
    assert unchecked[0].row[:2] == ["2", "Line 2."]
    assert sum(len(check.expected) for check in checks) == 2
    checks, unchecked = checks_of(project, voices, checkpoint="another")
    assert checks == []
    assert "it was spoken by mini; here speaks another" in unchecked[0].about


def test_lines_that_hear_no_others_go_together_and_others_hear_what_is_heard_now(voices: VoiceLibrary):
    draft = replace(DRAFT, rows=tuple(replace(row, speaker=0) for row in DRAFT.rows if row))
    project = Project(draft)
    from tests.projects import a_take

    for line in draft.groups[0]:
        project = project.adding([line], [a_take(5)], 0)
    (check,) = checks_of(project, voices)[0]
    assert check.request.seeds == {(0, 0): 0, (0, 1): 0, (0, 2): 0}
    assert check.request.spoken == {}
    with_context = replace(project, draft=replace(draft, context=1))
    checks, _ = checks_of(with_context, voices)
    assert [sorted(check.request.spoken) for check in checks] == [[], [(0, 0)], [(0, 0), (0, 1)]]


def test_nothing_heard_again_is_said(voices: VoiceLibrary):
    checks, _ = checks_of(a_project(5), voices)
    (verdict,) = verdicts(checks[0], ())
    assert (verdict.same, verdict.about) == (False, "Nothing was heard this time.")
