"""The sounds of the lab: what the menu offers of the open project, and what is heard when it is chosen."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from studio.errors import BadAudio
from studio.project import Project
from studio.project_store import ProjectStore
from studio.ui.lab_desk import Desk, LabDesks
from studio.ui.sound_choice import OWN, TAKE, SoundChoice, choices, sound_choice
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace
from tests.projects import a_draft, a_project, a_take


@pytest.fixture
def studio(tmp_path: Path, voices: VoiceLibrary) -> Any:
    return SimpleNamespace(
        voices=voices, projects=ProjectStore(Workspace(tmp_path / "p")), readings=Workspace(tmp_path / "r")
    )


@pytest.fixture
def choice(studio: Any, tmp_path: Path) -> SoundChoice:
    with gr.Blocks():
        return sound_choice(studio, gr.Textbox(), LabDesks(Workspace(tmp_path / "desks")))


def chosen(choice: SoundChoice, studio: Any, token: str, *ids: str) -> dict[str, Any]:
    return choice.chosen(studio, {choice.sounds: list(ids), choice.own: {}, choice.project: token})


def takes_offered(studio: Any, project: Project | None) -> dict[str, str]:
    return {name: one for name, one in choices(studio, {}, project) if one.startswith(TAKE)}


def test_the_take_that_is_heard_of_each_line_can_be_chosen(studio: Any, choice: SoundChoice) -> None:
    project = a_project(10, 20)
    (lines,) = project.draft.groups
    again = a_take(15, seed=9)
    project = project.adding([lines[1]], [again], 0)
    offered = takes_offered(studio, project)
    assert list(offered) == ["Line 1 · Alma, take 1", "Line 2 · Bruno, take 2"]
    token = studio.projects.new(project)
    clips = chosen(choice, studio, token, "bundled:alma", *offered.values())
    assert list(clips) == ["Alma", *offered]
    assert np.array_equal(clips["Line 2 · Bruno, take 2"].samples, again.audio.samples), "the very samples"


def test_a_take_in_one_breath_stands_once(studio: Any) -> None:
    project = Project(a_draft((0, "One."), (1, "Two."), (0, "Three.")))
    (lines,) = project.draft.groups
    assert list(takes_offered(studio, project.adding(lines, [a_take(10)], 0))) == ["Lines 1 to 3 · Alma, Bruno, take 1"]


def test_nothing_spoken_offers_no_takes(studio: Any) -> None:
    assert takes_offered(studio, None) == takes_offered(studio, Project(a_draft((0, "One.")))) == {}


def test_a_take_that_is_gone_and_another_visitors_are_not_given(studio: Any, choice: SoundChoice) -> None:
    project = a_project(10)
    [take] = takes_offered(studio, project).values()
    token, another = studio.projects.new(project), studio.projects.new(a_project(10))
    studio.projects.change(token, lambda kept: kept.deleting(take.removeprefix(TAKE)))
    for open_project in (token, another, ""):
        with pytest.raises(BadAudio, match="no longer heard in the open project"):
            chosen(choice, studio, open_project, take)


def test_a_long_conversation_is_not_run_through_codecs(studio: Any, choice: SoundChoice) -> None:
    token = studio.projects.new(a_project(25 * 61))
    with pytest.raises(BadAudio, match="lasts 61 s, and the lab takes 60 s at most"):
        chosen(choice, studio, token, "spoken")


def test_after_a_reload_what_is_still_there_is_chosen_again(studio: Any, choice: SoundChoice) -> None:
    kept, gone = (f"{OWN}{studio.readings.make()[0]}" for _ in range(2))
    studio.readings.remove(gone.removeprefix(OWN))
    desk = Desk(own={kept: "me.wav", gone: "old.wav"}, sounds=["bundled:alma", kept, gone, f"{TAKE}nobody"])
    again = choice.again(studio, desk, None)
    assert again[choice.own] == {kept: "me.wav"}
    assert again[choice.sounds]["value"] == ["bundled:alma", kept]
