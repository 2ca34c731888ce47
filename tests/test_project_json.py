"""A project is read as it was written, and strictly."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import BadSetting, StudioError
from studio.mixing import Mixing
from studio.project import Project
from studio.project_json import SCHEMA, project_as_json, read_project
from tests.projects import a_draft, a_project


def full() -> Project:
    project = a_project(5, 6)
    project = project.nudging("r2", -0.2, 25.0)
    return replace(project.starring(project.takes[1].id, True), mixing=Mixing((-3.0,), -16.0, 0.1), title="Kitchen")


def sounds_of(project: Project) -> Any:
    return lambda take_id: (project.take(take_id).take.codes, project.take(take_id).take.audio)


PROJECT = full()
DATA = project_as_json(PROJECT)


def test_it_is_read_as_it_was_written():
    read = read_project(json.loads(json.dumps(DATA)), sounds_of(PROJECT))
    assert project_as_json(read) == DATA
    assert (read.draft, read.chosen, read.gaps) == (PROJECT.draft, PROJECT.chosen, PROJECT.gaps)
    assert (read.mixing, read.sampling, read.title) == (PROJECT.mixing, PROJECT.sampling, "Kitchen")
    assert [kept.starred for kept in read.takes] == [False, True]
    assert read.takes[0].take.stop is PROJECT.takes[0].take.stop


def test_any_text_survives():
    draft = a_draft((0, "\ud800 \u202e 🎙️ \x00"))
    read = read_project(json.loads(json.dumps(project_as_json(Project(draft)))), sounds_of(PROJECT))
    assert read.draft == draft


TAKE = ("takes", 0)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("schema",), SCHEMA + 1, "P was made by a newer studio"),
        (("schema",), True, "P is no project"),
        (("schema",), "1", "P is no project"),
        (("scheme",), 1, "P: there is no key 'scheme'"),
        (("title",), "x" * 200, "P: the title has 200 characters"),
        (("draft", "way"), "song", "P, draft: way must be one of lines, breath"),
        (("sampling", "temperature"), 9, "P, sampling: Temperature"),
        (("mixing", "join_seconds"), 9, "P, mixing: The fade at joins"),
        ((*TAKE, "id"), "../../etc/pw", "P, take 1: id must be 12 hex digits"),
        ((*TAKE, "id"), DATA["takes"][1]["id"], "P, take 2: another take has this id"),
        ((*TAKE, "rows"), [], "P, take 1: rows must name the lines"),
        ((*TAKE, "rows"), ["r1", "r1"], "P, take 1: rows must name the lines it speaks, each once"),
        ((*TAKE, "rows"), [["r1"]], "P, take 1: rows: ids of lines"),
        ((*TAKE, "asked"), {"text": ""}, "P, take 1, asked: voice is missing"),
        ((*TAKE, "starred"), 1, "P, take 1: starred must be true or false, not a whole number"),
        ((*TAKE, "stop"), "tired", "P, take 1: stop must be one of"),
        ((*TAKE, "prompt_tokens"), -1, "P, take 1: prompt_tokens must be between 0"),
        ((*TAKE, "compute_seconds"), float("nan"), "P, take 1: compute_seconds must be between 0"),
        ((*TAKE, "log_likelihood"), "likely", "P, take 1: log_likelihood must be between -1000 and 1000"),
        ((*TAKE, "health", "silent_share"), "half", "P, take 1, health: silent_share must be between 0"),
        ((*TAKE, "health"), {}, "P, take 1, health: seconds is missing"),
        ((*TAKE, "sampling", "seed"), -1, "P, take 1, sampling: Seed"),
        (("chosen", "r1"), "0" * 12, "P: chosen: line r1 has no such take"),
        (("chosen", "r1"), DATA["takes"][1]["id"], "P: chosen: line r1 has no such take"),
        (("chosen", "../x"), DATA["takes"][1]["id"], "P: chosen: ids of lines"),
        (("gaps", "r1"), 10**6, "P: gaps: the gap before line r1"),
        (("gaps", "r1"), 1.5, "P: gaps: the gap before line r1 must be a whole number"),
    ],
    ids=lambda value: "the other's id" if value == DATA["takes"][1]["id"] else None,  # drawn anew in each process
)
def test_a_wrong_key_is_named_with_its_place(path: tuple, value: Any, words: str):
    data = copy.deepcopy(DATA)
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StudioError, match=words):
        read_project(data, sounds_of(PROJECT), "P")


@pytest.mark.parametrize("key", DATA)
def test_every_key_must_be_there(key: str):
    with pytest.raises(BadSetting):
        read_project({name: value for name, value in DATA.items() if name != key}, sounds_of(PROJECT))


NASTY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DATA, "r1"]), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(DATA)), NASTY)
def test_no_json_fails_in_another_way_than_with_words(key: str, value: Any):
    try:
        read_project(DATA | {key: value}, sounds_of(PROJECT))
    except StudioError as problem:
        assert str(problem)
