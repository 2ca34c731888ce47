"""What the page is told of a project, what it may do to it, and how a job's takes come into it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studio.audio import read_wav
from studio.errors import BadConversation, BadSetting, StudioError
from studio.project import Project
from studio.project_store import ProjectStore
from studio.sampling import Sampling
from studio.serve.jobs import Job, Jobs
from studio.speech import SpeechRequest, SpokenLines
from studio.ui.project_edits import ProjectEdits
from studio.ui.project_view import ROUTE, ProjectViews
from studio.ui.speaking import Followers, Wanted, begin
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace
from tests.projects import FRAME_RATE, a_draft, a_project, a_take

PATIENCE = 10  # seconds; only a failing test waits so long


def speaking(frames: int = 10) -> Callable[..., Iterator[Any]]:
    """An engine that gives every wanted line takes of known codes."""

    def speak(request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator[Any]:
        yield tuple(
            SpokenLines(
                index,
                (line,),
                tuple(a_take(frames, seed=request.sampling.seed + 100 * line + take) for take in range(request.takes)),
                request.takes - 1,
            )
            for index, conversation in enumerate(request.conversations)
            for line in range(len(conversation.lines))
            if request.wants(index, line)
        )

    return speak


@pytest.fixture
def studio(tmp_path: Path, voices: VoiceLibrary) -> Any:
    files = Workspace(tmp_path / "readings")
    return SimpleNamespace(
        projects=ProjectStore(Workspace(tmp_path / "projects")),
        views=ProjectViews(files),
        files=files,
        jobs=Jobs(speaking()),
        codec=SimpleNamespace(frame_rate=FRAME_RATE),
        voices=voices,
    )


def page_of(project: Project) -> dict[str, Any]:
    return {"draft": project.draft.as_json(), "script": None, "own": []}


def edit(studio: Any, edits: ProjectEdits, token: str, what: dict[str, Any]) -> dict[str, Any]:
    return edits.apply(token, page_of(studio.projects.load(token)), what)


def sound(studio: Any, view: dict[str, Any], index: int = 0) -> Any:
    _, folder, name = view["items"][index]["url"].split("/")
    return read_wav(studio.files.find(folder) / name)


def test_a_view_has_the_mix_as_a_file_and_the_takes_of_each_row(studio: Any):
    project = a_project(10, 20, 5)
    token = studio.projects.new(project)
    view = studio.views.of(token, project)
    (reading,) = project.readings()
    assert (sound(studio, view).samples == reading.audio.samples).all()
    assert [block["row"] for lane in view["items"][0]["lanes"] for block in lane["blocks"]] == ["r1", "r2", "r3"]
    (take,) = view["project"]["rows"]["r2"]["takes"]
    assert take["url"] == f"{ROUTE}/{token}/{take['id']}.wav"
    assert (take["seconds"], take["passed"]) == (0.8, True)
    assert view["project"]["rows"]["r2"]["chosen"] == take["id"]
    assert not view["project"]["rows"]["r2"]["changed"]


def test_what_sounds_the_same_is_not_written_again_and_what_no_longer_does_is_removed(studio: Any):
    project = a_project(10, 20)
    token = studio.projects.new(project)
    first = studio.views.of(token, project)["items"][0]["url"]
    starred = project.starring(project.takes[0].id, True)
    assert studio.views.of(token, starred)["items"][0]["url"] == first
    moved = project.nudging("r2", 2.0, FRAME_RATE)
    assert studio.views.of(token, moved)["items"][0]["url"] != first
    _, folder, name = first.split("/")
    assert not (studio.files.find(folder) / name).exists()


def test_edits_are_undone_one_by_one_and_later_takes_stay(studio: Any):
    project = a_project(10, 20)
    token, edits = studio.projects.new(project), ProjectEdits(studio)
    nudged = edit(studio, edits, token, {"act": "nudge", "row": "r2", "seconds": 1.01})
    assert nudged["project"]["can_undo"]
    assert studio.projects.load(token).gaps == {"r2": 25}
    edit(studio, edits, token, {"act": "delete", "take": project.takes[0].id})
    assert len(studio.projects.load(token).takes) == 1
    (lines,) = project.draft.groups
    studio.projects.change(token, lambda now: now.adding([lines[0]], [a_take(7, seed=99)], 0))
    edit(studio, edits, token, {"act": "undo"})
    back = studio.projects.load(token)
    assert [kept.take.codes.frames for kept in back.takes] == [10, 20, 7]
    assert back.chosen["r1"] == project.takes[0].id
    view = edit(studio, edits, token, {"act": "undo"})
    assert studio.projects.load(token).gaps == {}
    assert not view["project"]["can_undo"]
    with pytest.raises(BadSetting, match="nothing to undo"):
        edit(studio, edits, token, {"act": "undo"})


def test_a_pause_that_is_typed_takes_the_place_of_the_silence_set_before(studio: Any):
    project = a_project(10, 20).nudging("r2", 0.2, 25.0)
    token, edits = studio.projects.new(project), ProjectEdits(studio)
    typed = project.draft.as_json()
    edits.apply(token, {"draft": typed}, {"act": "pauses"})
    assert studio.projects.load(token).gaps == {"r2": 5}, "nothing about it was typed"
    typed["lines"][1]["text"] = "[pause 2 s] Line 2."
    edits.apply(token, {"draft": typed}, {"act": "pauses"})
    kept = studio.projects.load(token)
    assert kept.gaps == {}
    assert [place.start_frame for place in kept.readings()[0].placements] == [0, 10 + 50]


def test_undoing_an_edit_leaves_alone_what_was_spoken_since(studio: Any):
    project = a_project(10, 20)
    token, edits = studio.projects.new(project), ProjectEdits(studio)
    edit(studio, edits, token, {"act": "nudge", "row": "r2", "seconds": 1.0})
    (lines,) = project.draft.groups
    spoken = studio.projects.change(token, lambda now: now.adding([lines[0]], [a_take(7, seed=99)], 0))
    edit(studio, edits, token, {"act": "undo"})
    back = studio.projects.load(token)
    assert back.chosen == spoken.chosen, "the new take of line 1 is still heard"
    assert back.gaps == {}


def test_an_undo_that_cannot_be_saved_can_be_tried_again(studio: Any, monkeypatch: pytest.MonkeyPatch):
    token, edits = studio.projects.new(a_project(10, 20)), ProjectEdits(studio)
    edit(studio, edits, token, {"act": "nudge", "row": "r2", "seconds": 1.0})
    with monkeypatch.context() as full:

        def refuse(*_: Any) -> None:
            raise StudioError("The disk is full.")

        full.setattr(studio.projects, "change", refuse)
        with pytest.raises(StudioError, match="full"):
            edit(studio, edits, token, {"act": "undo"})
    edit(studio, edits, token, {"act": "undo"})
    assert studio.projects.load(token).gaps == {}


def test_a_star_is_undone_at_its_place(studio: Any):
    project = a_project(10, 20)
    token, edits = studio.projects.new(project), ProjectEdits(studio)
    edit(studio, edits, token, {"act": "star", "take": project.takes[0].id})
    edit(studio, edits, token, {"act": "undo"})
    back = studio.projects.load(token).takes
    assert [(kept.id, kept.starred) for kept in back] == [(kept.id, False) for kept in project.takes]


def test_a_loudness_that_peaks_leave_no_room_for_is_told(studio: Any):
    project, take = a_project(100), a_take(100, seed=7)
    take.audio.samples[0, 0] = 1.0  # one click at full scale
    (lines,) = project.draft.groups
    token, edits = studio.projects.new(project.adding(lines, [take], 0)), ProjectEdits(studio)
    mix = {"act": "mix", "gains_db": [], "loudness_lufs": -10, "join_seconds": 0}
    (note,) = edit(studio, edits, token, mix)["items"][0]["notes"]
    assert "instead of -10: its peaks leave no more room" in note
    assert edit(studio, edits, token, mix | {"loudness_lufs": -30})["items"][0]["notes"] == []


def test_a_later_view_has_a_later_revision(studio: Any):
    project = a_project(10)
    token = studio.projects.new(project)
    first, second = (studio.views.of(token, project)["revision"] for _ in range(2))
    assert first < second


def test_the_mix_is_set_and_a_gain_out_of_range_is_refused_and_changes_nothing(studio: Any):
    token, edits = studio.projects.new(a_project(10, 20)), ProjectEdits(studio)
    mix = {"act": "mix", "gains_db": [-6, 0, 0], "loudness_lufs": -20, "join_seconds": 0.02}
    view = edit(studio, edits, token, mix)
    assert view["project"]["mixing"]["gains_db"] == [-6, 0, 0]
    with pytest.raises(BadSetting, match="gain must be between"):
        edit(studio, edits, token, mix | {"gains_db": [99]})
    with pytest.raises(BadSetting, match="more gains than speakers"):  # or the project could not be read again
        edit(studio, edits, token, mix | {"gains_db": [0] * 99})
    assert studio.projects.load(token).mixing.gains_db == (-6, 0, 0)


@pytest.mark.parametrize(
    "what",
    [
        None,
        {},
        {"act": "nudge", "row": "r1"},
        {"act": "nudge", "row": "r1", "seconds": "9"},
        {"act": "nudge", "row": "who?", "seconds": 1},
        {"act": "format disk"},
    ],
)
def test_an_edit_nobody_knows_is_refused(studio: Any, what: Any):
    token, edits = studio.projects.new(a_project(10)), ProjectEdits(studio)
    with pytest.raises(BadSetting, match="Reload the page"):
        edit(studio, edits, token, what)


def test_two_takes_are_compared_by_their_codes(studio: Any):
    project = a_project(10)
    (lines,) = project.draft.groups
    project = project.adding([lines[0]], [a_take(12, seed=5)], 0)
    token = studio.projects.new(project)
    pair = ProjectEdits(studio).compare(token, [kept.id for kept in project.takes])
    assert [take["codes"]["columns"] for take in pair["takes"]] == [10, 12]
    with pytest.raises(BadSetting, match="no longer here"):
        ProjectEdits(studio).compare(token, ["0" * 12])


def finished(job: Job) -> Job:
    job.wait(PATIENCE)
    assert job.finished
    assert job.problem is None
    return job


def test_a_job_puts_its_takes_into_the_project_and_the_best_is_chosen(studio: Any):
    draft = a_draft((0, "One."), (1, "Two."), None, (0, "Three."))
    token = studio.projects.new(Project(draft))
    finished(begin(studio, token, Wanted(draft, Sampling(seed=5), takes=2)))
    kept = studio.projects.load(token)
    assert [one.rows for one in kept.takes] == [("r1",)] * 2 + [("r2",)] * 2 + [("r4",)] * 2
    assert kept.chosen["r2"] == kept.takes_of("r2")[1].id
    assert kept.sampling.seed == 5
    assert kept.changed_rows() == set()


def test_only_the_wanted_rows_are_spoken_and_the_same_take_is_not_kept_twice(studio: Any):
    draft = a_draft((0, "One."), (1, "Two."))
    token = studio.projects.new(Project(draft))
    finished(begin(studio, token, Wanted(draft, Sampling(seed=5))))
    again = finished(begin(studio, token, Wanted(draft, Sampling(seed=5), rows=frozenset(["r2"]))))
    assert again.title == "Line 2"
    assert again.request.lines == frozenset([(0, 1)])
    assert list(again.request.spoken) == [(0, 0)]
    assert len(studio.projects.load(token).takes) == 2


def test_a_take_belongs_to_the_words_it_was_asked_for_even_if_they_changed_meanwhile(studio: Any):
    draft = a_draft((0, "One."))
    go_on = threading.Event()

    def slow(*arguments: Any) -> Iterator[Any]:
        assert go_on.wait(PATIENCE)
        yield from speaking()(*arguments)

    studio.jobs = Jobs(slow)
    token = studio.projects.new(Project(draft))
    job = begin(studio, token, Wanted(draft, Sampling()))
    studio.projects.change(token, lambda now: now.on_this_draft(a_draft((0, "Another."))))
    go_on.set()
    finished(job)
    kept = studio.projects.load(token)
    assert kept.takes[0].asked.text == "One."
    assert kept.changed_rows() == {"r1"}


def test_a_row_without_words_says_so(studio: Any):
    draft = a_draft((0, "One."), (1, " "))
    token = studio.projects.new(Project(draft))
    with pytest.raises(BadConversation, match="nothing to speak in this line yet"):
        begin(studio, token, Wanted(draft, Sampling(), rows=frozenset(["r2"])))


def test_a_row_with_a_seed_of_its_own_is_spoken_with_it(studio: Any):
    draft = a_draft((0, "One."), (1, "Two."))
    first, second = draft.rows
    draft = replace(draft, rows=(first, replace(second, seed=77)))
    token = studio.projects.new(Project(draft))
    assert dict(finished(begin(studio, token, Wanted(draft, Sampling()))).request.seeds) == {(0, 1): 77}


def test_a_page_follows_the_jobs_of_its_project_until_none_is_left(studio: Any):
    draft = a_draft((0, "One."))
    token = studio.projects.new(Project(draft))
    job = finished(begin(studio, token, Wanted(draft, Sampling())))
    followers = Followers()
    (jobs, seen), *more = followers.follow(studio, token, "page", job)
    assert (jobs, seen, more) == ([job], True, [])
    assert [seen for _, seen in followers.follow(studio, token, "page")] == [False]


def test_a_follower_that_ends_does_not_end_the_one_that_took_over(studio: Any):
    draft = a_draft((0, "One."))
    token = studio.projects.new(Project(draft))
    followers, go_on = Followers(), threading.Event()
    first = followers.follow(studio, token, "page", finished(begin(studio, token, Wanted(draft, Sampling()))))
    next(first)  # it has told that all is done, and has not gone on yet

    def slow(*arguments: Any) -> Iterator[Any]:
        assert go_on.wait(PATIENCE)
        yield from speaking()(*arguments)

    studio.jobs = Jobs(slow)
    second = followers.follow(studio, token, "page", begin(studio, token, Wanted(draft, Sampling(seed=1))))
    next(second)
    assert next(first, None) is None
    go_on.set()
    assert any(seen for _, seen in second)


def test_a_later_follower_of_the_same_page_takes_over(studio: Any):
    go_on = threading.Event()

    def slow(*_: Any) -> Iterator[Any]:
        assert go_on.wait(PATIENCE)
        yield ()

    studio.jobs = Jobs(slow)
    draft = a_draft((0, "One."))
    token = studio.projects.new(Project(draft))
    begin(studio, token, Wanted(draft, Sampling()))
    followers = Followers()
    first = followers.follow(studio, token, "page")
    next(first)
    second = followers.follow(studio, token, "page")
    next(second)
    assert next(first, None) is None
    go_on.set()
    assert list(second)


def test_a_page_that_is_closed_is_forgotten(studio: Any):
    go_on = threading.Event()

    def slow(*_: Any) -> Iterator[Any]:
        assert go_on.wait(PATIENCE)
        yield ()

    studio.jobs = Jobs(slow)
    draft = a_draft((0, "One."))
    token = studio.projects.new(Project(draft))
    begin(studio, token, Wanted(draft, Sampling()))
    followers = Followers()
    following = followers.follow(studio, token, "page")
    next(following)
    following.close()
    assert followers == Followers()
    go_on.set()
