"""What a page of the lab finds again after a reload."""

import json
from pathlib import Path
from shutil import rmtree

import pytest

from studio.audio import silence
from studio.ui.kept_clips import KeptClip, original
from studio.ui.lab_desk import FILE, INTERRUPTED, NOT_MEASURED, Desk, LabDesks
from studio.workspace import Workspace

TABLE = {
    "columns": [{"name": "Codec"}, {"name": "STOI", "better": "higher"}],
    "rows": [
        {"pending": False, "cells": ["Opus", 0.9], "reasons": ["", ""]},
        {"pending": True, "cells": ["MP3", None], "reasons": ["", ""]},
    ],
}


@pytest.fixture
def files(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def clip(files: Workspace) -> KeptClip:
    return KeptClip("tone", original(silence(0.5, 24_000)), files)


def test_a_comparison_is_found_again_by_a_copy_of_its_desk(files: Workspace) -> None:
    kept = clip(files)
    desks = LabDesks(files)
    token = desks.change("", codecs=["opus-6"])
    said = {"state": "done", "text": "Done"}
    assert desks.change(token, clips=[kept.token], measures=TABLE, said=said, busy=False) == token
    copy, desk, views = desks.resumed(token)
    assert copy != token
    assert views == [json.loads(json.dumps(kept.view))]
    assert (desk.codecs, desk.measures, desk.said) == (["opus-6"], TABLE, said)
    desks.change(copy, codecs=[])
    assert desks.resumed(token)[1].codecs == ["opus-6"], "another tab's desk was written on"


def test_what_a_reload_interrupted_says_so(files: Workspace) -> None:
    desks = LabDesks(files)
    token = desks.change("", clips=[clip(files).token], measures=TABLE, said={"state": "running"}, busy=True)
    desk = desks.resumed(token)[1]
    assert desk.said == {"state": "done", "text": INTERRUPTED}
    assert [row["pending"] for row in desk.measures["rows"]] == [False, False]
    assert [row["reasons"][1] for row in desk.measures["rows"]] == ["", NOT_MEASURED]


def test_of_sounds_that_were_swept_only_the_choice_is_left(files: Workspace) -> None:
    desks, kept = LabDesks(files), clip(files)
    token = desks.change("", codecs=["opus-6"], clips=[kept.token], measures=TABLE, said={}, busy=True)
    rmtree(files.root / kept.token)
    _, desk, views = desks.resumed(token)
    assert (views, desk.clips, desk.codecs) == ([], (), ["opus-6"])


@pytest.mark.parametrize("token", [None, 7, "", "../../etc", "0" * 32], ids=str)
def test_a_token_of_no_desk_finds_nothing(files: Workspace, token: object) -> None:
    assert LabDesks(files).resumed(token) == ("", Desk(), [])


@pytest.mark.parametrize("content", ["", "[]", '{"sounds": "alma"}', '{"colour": 1}'])
def test_a_desk_that_cannot_be_read_is_none(files: Workspace, content: str) -> None:
    desks = LabDesks(files)
    token = desks.change("", sounds=["alma"])
    (files.root / token / FILE).write_text(content)
    assert desks.resumed(token) == ("", Desk(), [])


def test_a_full_disk_ends_no_comparison(
    files: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    desks = LabDesks(files)
    token = desks.change("", sounds=["alma"])
    monkeypatch.setattr(Path, "write_text", full)
    assert desks.change(token, sounds=["hugo"]) == token
    assert "No space left on device" in caplog.text
    assert desks.resumed(token)[1].sounds == ["alma"]


def test_nothing_waits_for_the_disk(files: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", None)
    assert LabDesks(files).change("", sounds=["alma"])


def test_the_token_of_something_else_is_no_desk(files: Workspace) -> None:
    kept = clip(files)
    assert LabDesks(files).resumed(kept.token) == ("", Desk(), [])
    assert not (files.root / kept.token / FILE).exists()
