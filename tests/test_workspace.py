"""Who knows the token may have the folder; nobody else, and not for ever."""

import os
import stat
import time
from pathlib import Path

import pytest

from studio.workspace import Workspace


def test_a_folder_is_found_by_its_token_alone(workspace: Workspace):
    token, folder = workspace.make()
    assert workspace.find(token) == folder
    assert len(token) == 32
    assert workspace.make()[0] != token


@pytest.mark.parametrize("token", ["", ".", "..", "/", "0" * 31, "0" * 32, "G" * 32, "../" + "0" * 29, "0" * 32 + "\n"])
def test_what_is_no_token_of_ours_finds_nothing(workspace: Workspace, token: str):
    workspace.make()
    assert workspace.find(token) is None


def test_upper_case_is_another_token(workspace: Workspace):
    (workspace.root / ("AB" * 16)).mkdir()
    assert workspace.find("AB" * 16) is None


def test_a_file_of_that_name_is_no_folder(workspace: Workspace):
    (workspace.root / ("a" * 32)).write_bytes(b"")
    assert workspace.find("a" * 32) is None


def test_removing_takes_the_files_along_and_may_be_done_twice(workspace: Workspace):
    token, folder = workspace.make()
    (folder / "a.wav").write_bytes(b"x")
    workspace.remove(token)
    workspace.remove(token)
    workspace.remove("../..")
    assert workspace.find(token) is None
    assert workspace.root.is_dir()


def test_folders_nobody_looked_at_are_swept_and_looking_keeps_them(workspace: Workspace):
    (stale, stale_folder), (seen, seen_folder), (fresh, _) = workspace.make(), workspace.make(), workspace.make()
    two_days_ago = time.time() - 48 * 3600
    for folder in (stale_folder, seen_folder):
        (folder / "a.wav").write_bytes(b"x")
        os.utime(folder, (two_days_ago, two_days_ago))
    workspace.find(seen)
    assert workspace.sweep() == 1
    assert workspace.find(stale) is None
    assert workspace.find(seen) == seen_folder
    assert workspace.find(fresh) is not None


def test_others_on_the_machine_cannot_list_the_folders(tmp_path: Path):
    assert stat.S_IMODE(Workspace(tmp_path / "data" / "voices").root.stat().st_mode) == 0o700


def test_a_root_that_was_tidied_away_comes_back(workspace: Workspace):
    workspace.root.rmdir()
    token, folder = workspace.make()
    assert workspace.find(token) == folder
