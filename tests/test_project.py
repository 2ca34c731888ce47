"""Takes keep to their lines, exactly one is heard of each, and every start is a whole frame."""

from dataclasses import replace

import numpy as np
import pytest

from studio.draft import Row
from studio.errors import BadSetting
from studio.mixing import Mixing
from studio.pauses import LONGEST_GAP_SECONDS
from studio.project import Project
from tests.projects import FRAME_RATE, HOP, a_draft, a_project, a_take


def test_new_takes_are_kept_and_the_best_is_heard():
    project = Project(a_draft((0, "One."), (1, "Two.")))
    lines = project.draft.groups[0]
    project = project.adding(lines[:1], [a_take(5), a_take(6), a_take(7)], best=1)
    assert [kept.take.codes.frames for kept in project.takes_of("r1")] == [5, 6, 7]
    assert project.take(project.chosen["r1"]).take.codes.frames == 6
    assert len({kept.id for kept in project.takes}) == 3
    again = project.adding(lines[:1], [a_take(8)], best=0)
    assert again.take(again.chosen["r1"]).take.codes.frames == 8
    assert len(again.takes) == 4, "the others are kept"
    assert len(project.takes) == 3, "editing makes a new one"


def test_a_take_of_several_lines_and_takes_of_single_ones_exclude_each_other():
    project = a_project(5, 5)
    lines = project.draft.groups[0]
    breath = project.adding(lines, [a_take(12)], best=0)
    assert set(breath.chosen.values()) == {breath.takes[-1].id}
    single = breath.choosing(breath.takes[0].id)
    assert single.chosen == {"r1": breath.takes[0].id}, "the other line is unspoken again: its half went with the whole"


def test_deleting_the_heard_take_lets_the_latest_other_be_heard():
    project = a_project(5)
    (line,) = project.draft.groups[0]
    project = project.adding([line], [a_take(6), a_take(7)], best=1)
    first, second, third = (kept.id for kept in project.takes)
    assert project.deleting(third).chosen == {"r1": second}
    assert project.deleting(first).chosen == {"r1": third}
    assert project.deleting(third).deleting(second).deleting(first).chosen == {}


def test_stars_are_put_and_taken():
    project = a_project(5)
    starred = project.starring(project.takes[0].id, True)
    assert starred.takes[0].starred
    assert starred.starring(project.takes[0].id, False).takes[0].starred is False


def test_a_take_that_is_gone_is_said():
    with pytest.raises(BadSetting, match="no longer here"):
        a_project(5).choosing("0" * 12)


def test_takes_of_another_codec_are_refused():
    project = a_project(5)
    take = a_take(5)
    other = replace(take, codes=replace(take.codes, frame_rate=50.0))
    with pytest.raises(BadSetting, match="another codec"):
        project.adding(project.draft.groups[0], [other], best=0)


def test_lines_without_ids_keep_no_takes_until_they_have_some():
    draft = replace(
        a_draft((0, "One."), (0, "Two.")), rows=(Row(0, "One."), None, Row(0, "Two.", "a"), Row(0, "3", "a"))
    )
    with pytest.raises(BadSetting, match="no ids"):
        Project(draft).adding(draft.groups[0], [a_take(5)], 0)
    named = draft.with_ids()
    ids = [row.id for row in named.rows if row]
    assert len(set(ids)) == 3
    assert all(ids)
    assert named.rows[2] == draft.rows[2]
    assert named.rows[1] is None


# ---- in time ----


def starts(project: Project) -> list[int]:
    return [place.start_frame for place in project.readings()[0].placements]


def test_takes_follow_one_another_with_the_usual_gap():
    assert starts(a_project(10, 20, 5)) == [0, 19, 48]


def test_a_gap_is_rounded_to_frames_and_moves_what_follows():
    project = a_project(10, 20, 5)
    assert starts(project.nudging("r2", 1.0, FRAME_RATE)) == [0, 35, 64]
    assert starts(project.nudging("r2", 0.05, FRAME_RATE)) == [0, 11, 40]
    assert starts(project.nudging("r1", 2.0, FRAME_RATE)) == [50, 69, 98]


def test_a_negative_gap_overlaps_and_nothing_begins_before_zero():
    project = a_project(10, 20, 5)
    assert starts(project.nudging("r2", -0.2, FRAME_RATE)) == [0, 5, 34]
    assert starts(project.nudging("r2", -9.0, FRAME_RATE)) == [0, 0, 29]
    assert starts(project.nudging("r1", -1.0, FRAME_RATE)) == [0, 19, 48]


def test_a_short_take_within_a_long_one_does_not_pull_the_next_into_it():
    project = a_project(50, 5, 5).nudging("r2", -1.6, FRAME_RATE)
    assert starts(project) == [0, 10, 59], "the silence before a line is silence"


@pytest.mark.parametrize("seconds", [LONGEST_GAP_SECONDS + 0.1, -31.0, float("nan"), float("inf")])
def test_a_gap_beyond_sense_is_refused(seconds: float):
    with pytest.raises(BadSetting, match="30 s at most"):
        a_project(5).nudging("r1", seconds, FRAME_RATE)


def test_the_sound_is_the_takes_on_their_frames():
    project = a_project(10, 20).nudging("r2", -0.2, FRAME_RATE)
    expected = np.zeros(25 * HOP, np.float32)
    for kept, start in zip(project.takes, (0, 5), strict=True):
        expected[start * HOP : start * HOP + kept.take.audio.length] += kept.take.audio.samples[0]
    assert np.array_equal(project.readings()[0].audio.samples[0], expected)


def test_dividers_make_readings_of_their_own_and_unspoken_lines_are_left_out():
    project = Project(a_draft((0, "One."), None, (1, "Two."), (1, "Three."), None, (2, "Four.")))
    groups = project.draft.groups
    project = project.adding(groups[0], [a_take(5)], 0).adding(groups[1][1:], [a_take(7)], 0)
    first, second = project.readings()
    assert [place.lines for place in first.placements] == [(0,)]
    assert [(place.lines, place.start_frame) for place in second.placements] == [((1,), 0)]
    assert [speaker.name for speaker in second.conversation.speakers] == ["Alma", "Bruno", "Clara"]


def test_stems_sum_to_the_mix_whatever_the_mixing():
    mixing = Mixing((-3.0, 2.0), -18.0, 0.05)
    project = replace(a_project(10, 20, 5, 30).nudging("r3", -0.3, FRAME_RATE), mixing=mixing)
    (reading,) = project.readings()
    assert set(reading.stems) == {(0,), (1,), (2,)}
    total = np.sum([stem.samples.astype(np.float64) for stem in reading.stems.values()], axis=0)
    difference = total - reading.audio.samples
    assert 20 * np.log10(np.abs(difference).max() + 1e-12) < -90


# ---- what has changed since ----


def test_a_line_has_changed_when_it_was_asked_to_be_something_else():
    project = a_project(5, 5, 5)
    assert project.changed_rows() == set()
    rows = list(project.draft.rows)
    rows[1] = replace(rows[1], text="Other words.")
    assert project.on_this_draft(replace(project.draft, rows=tuple(rows))).changed_rows() == {"r2"}
    speakers = ({**project.draft.speakers[0], "kind": "smart"}, *project.draft.speakers[1:])
    assert project.on_this_draft(replace(project.draft, speakers=speakers)).changed_rows() == {"r1"}
    assert project.on_this_draft(replace(project.draft, scene="A hall.")).changed_rows() == {"r1", "r2", "r3"}
    assert project.deleting(project.takes[2].id).changed_rows() == {"r3"}


def test_a_reading_says_what_its_takes_say():
    project = a_project(5, 6)
    rows = tuple(replace(row, text=f"New {row.text}") for row in project.draft.rows if row)
    (reading,) = project.on_this_draft(replace(project.draft, rows=rows)).readings()
    assert [line.text for line in reading.conversation.lines] == ["Line 1.", "Line 2."]
    breath = project.adding(project.draft.groups[0], [a_take(12)], 0)
    (reading,) = breath.on_this_draft(replace(project.draft, rows=rows[1:])).readings()
    assert [line.text for line in reading.conversation.lines] == ["Line 2."]


def test_moving_a_line_changes_nothing_and_a_line_that_comes_back_finds_its_takes():
    project = a_project(5, 6, 7)
    rows = project.draft.rows
    moved = project.on_this_draft(replace(project.draft, rows=(rows[2], rows[0], rows[1])))
    assert moved.changed_rows() == set()
    assert [place.take.codes.frames for place in moved.readings()[0].placements] == [7, 5, 6]
    without = project.on_this_draft(replace(project.draft, rows=rows[1:]))
    assert [place.take.codes.frames for place in without.readings()[0].placements] == [6, 7]
    assert without.on_this_draft(project.draft).readings()[0].placements[0].take is project.takes[0].take


def test_too_many_takes_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("studio.project.MOST_TAKES", 2)
    project = a_project(5, 5)
    with pytest.raises(BadSetting, match="at most 2 takes"):
        project.adding(project.draft.groups[0][:1], [a_take(5)], 0)
