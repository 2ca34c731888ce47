"""Every change is on disk at once, whole or not at all; nobody finds another's project; opening is quick."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio import durable
from studio.durable import write_durably
from studio.errors import BadSetting, StudioError
from studio.project import Project
from studio.project_json import project_as_json
from studio.project_store import ProjectStore
from studio.workspace import Workspace
from tests.conftest import ROOT
from tests.projects import a_draft, a_project, a_take


@pytest.fixture
def store(workspace: Workspace) -> ProjectStore:
    return ProjectStore(workspace)


def reopened(store: ProjectStore) -> ProjectStore:
    """Another process's view of the same disk."""
    return ProjectStore(store._folders)


def titled(title: str) -> Callable[[Project], Project]:
    return lambda project: replace(project, title=title)


def same(first: Project, second: Project) -> bool:
    return project_as_json(first) == project_as_json(second) and all(  # which compares the ids of the takes too
        np.array_equal(one.take.audio.samples, other.take.audio.samples)
        and one.take.codes.fingerprint == other.take.codes.fingerprint
        for one, other in zip(first.takes, second.takes, strict=True)
    )


def test_a_project_comes_back_bit_for_bit(store: ProjectStore):
    project = replace(a_project(5, 7).nudging("r2", -0.1, 25.0), title="Kitchen")
    token = store.new(project)
    loaded = reopened(store).load(token)
    assert loaded is not None
    assert same(loaded, project)
    assert np.array_equal(loaded.readings()[0].audio.samples, project.readings()[0].audio.samples)


def test_a_new_one_is_empty(store: ProjectStore):
    loaded = reopened(store).load(store.new())
    assert loaded is not None
    assert (loaded.takes, loaded.draft.rows) == ((), ())


def test_a_change_is_on_disk_at_once_and_takes_keep_their_files(store: ProjectStore):
    token = store.new(a_project(5, 6))
    project = store.load(token)
    assert project is not None
    changed = store.change(token, lambda project: project.adding(project.draft.groups[0][:1], [a_take(9, seed=5)], 0))
    names = {path.name for path in store.folder(token).iterdir()}
    assert names == {"project.json"} | {f"{kept.id}.{kind}" for kept in changed.takes for kind in ("npz", "wav")}
    loaded = reopened(store).load(token)
    assert loaded is not None
    assert same(loaded, changed)


def test_a_deleted_take_takes_its_files_along_and_may_come_back(store: ProjectStore):
    project = a_project(5, 6)
    token = store.new(project)
    store.change(token, lambda project: project.deleting(project.takes[0].id))
    assert len(list(store.folder(token).glob("*.wav"))) == 1
    store.change(token, lambda _: project)
    loaded = reopened(store).load(token)
    assert loaded is not None
    assert same(loaded, project)


def test_an_edit_that_fails_changes_nothing(store: ProjectStore):
    project = a_project(5)
    token = store.new(project)
    with pytest.raises(BadSetting):
        store.change(token, lambda project: project.nudging("r1", 99.0, 25.0))
    assert store.load(token) is project


def test_who_has_no_token_finds_nothing(store: ProjectStore):
    token = store.new()
    store.remove(token)
    for unknown in (token, "0" * 32, "../..", ""):
        assert store.load(unknown) is None
        with pytest.raises(StudioError, match="no longer here"):
            store.change(unknown, titled("x"))
        with pytest.raises(StudioError, match="no longer here"):
            store.folder(unknown)


def test_a_folder_of_something_else_is_no_project(store: ProjectStore, workspace: Workspace):
    token, _ = workspace.make()
    assert store.load(token) is None


def test_changes_at_the_same_time_come_one_after_another(store: ProjectStore):
    token = store.new(a_project(5))

    def add_line() -> None:
        for _ in range(5):
            store.change(token, lambda project: replace(project, title=project.title + "x"))

    threads = [threading.Thread(target=add_line) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = reopened(store).load(token)
    assert loaded is not None
    assert loaded.title == "x" * 20


@pytest.mark.parametrize("damage", ["project.json", "npz", "wav"])
def test_damaged_files_are_said(store: ProjectStore, damage: str):
    token = store.new(a_project(5))
    for path in store.folder(token).iterdir():
        if path.name.endswith(damage):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if damage == "wav":  # what is left of a sound file can still be read: missing is what is noticed
        next(store.folder(token).glob("*.wav")).unlink()
    with pytest.raises(StudioError, match="damaged"):
        reopened(store).load(token)


def test_only_what_was_used_last_stays_in_memory(workspace: Workspace):
    store = ProjectStore(workspace, most_bytes=1_500_000)
    tokens = [store.new(a_project(100, 100)) for _ in range(4)]
    assert len(store._used_last) == 1
    assert all(store.load(token) is not None for token in tokens)
    assert store.load(tokens[-1]) is store.load(tokens[-1])


def test_a_full_disk_leaves_the_old_project(store: ProjectStore, monkeypatch: pytest.MonkeyPatch):
    project = a_project(5)
    token = store.new(project)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(StudioError, match=r"could not be saved .No space left on device.; it is as it was before"):
        store.change(token, titled("New"))
    monkeypatch.undo()
    assert store.load(token) is project
    loaded = reopened(store).load(token)
    assert loaded is not None
    assert same(loaded, project)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    write_durably(path, b"old")
    monkeypatch.setattr(durable.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        write_durably(path, b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.json", b"old")]


KILLED = """
import json, os, random, signal, sys
from dataclasses import replace
from pathlib import Path
from studio.project_json import project_as_json
from studio.project_store import ProjectStore
from studio.workspace import Workspace
from tests.projects import a_project, a_take
from tests.test_project_store import same

KILLS, drawn = 200, random.Random(7)
workspace = Workspace(Path(sys.argv[1]))
project = a_project(3, 4, 5)
store = ProjectStore(workspace)
token = store.new(project)
os.fsync = lambda descriptor: None  # it is for power cuts, and slow

def edited(project, number):
    kind = number % 4
    if kind == 0 or len(project.takes) < 3:
        return project.adding(project.draft.groups[0][:1], [a_take(3, seed=number), a_take(4, seed=number + 1)], 1)
    if kind == 1:
        return project.deleting(drawn.choice(project.takes).id)
    if kind == 2:
        return replace(project.nudging("r2", drawn.uniform(-1, 1), 25.0), title=f"Title {number}")
    new = project.adding(project.draft.groups[0][1:2], [a_take(2, seed=number)], 0)
    return new.deleting(project.takes[0].id)

def saving(store, after, kill_at, once_in):
    # In a child: change the project, and be killed at some line of Python, counted from when `once_in` is called.
    child = os.fork()
    if child == 0:
        lines, counting = 0, False
        def trace(frame, event, argument):
            nonlocal lines, counting
            counting = counting or frame.f_code.co_name == once_in
            lines += counting
            if lines == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace
        sys.settrace(trace)
        store.change(token, lambda _: after)
        sys.settrace(None)
        print(lines, file=sys.stderr)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

found = {"old": 0, "new": 0}
for number in range(KILLS):
    after = edited(project, number)
    added = sum(kept.id not in {one.id for one in project.takes} for kept in after.takes)
    most, once_in = drawn.choice([(2_000 + 2_400 * added, "_save"), (40 + 12 * len(project.takes), "_tidy")])
    while not saving(store, after, drawn.randrange(1, most), once_in):
        store.change(token, lambda _: project)  # it had ended before it was killed: begin again
    store = ProjectStore(workspace)  # which has seen nothing but the disk
    on_disk = store.load(token)
    new = same(on_disk, after)
    assert new or same(on_disk, project), f"kill {number}: neither the old nor the new"
    found["new" if new else "old"] += 1
    project = on_disk
    while len(project.takes) > 8:
        project = store.change(token, lambda _: project.deleting(project.takes[0].id))
ProjectStore(workspace).change(token, lambda one: replace(one, title="Last"))
found["files"] = len(list(ProjectStore(workspace).folder(token).iterdir()))
found["takes"] = len(project.takes)
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_hundred_kills_while_saving_lose_nothing(tmp_path: Path):
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "projects")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["old"] + found["new"] == 200
    assert found["old"] > 20
    assert found["new"] > 20
    assert found["files"] == 1 + 2 * found["takes"], "what a killed save left behind is tidied by the next"


def test_a_project_of_two_hundred_takes_is_read_whole(store: ProjectStore):
    draft = a_draft(*((0, f"Line {number}.") for number in range(200)))
    project = Project(draft)
    for index, line in enumerate(draft.groups[0]):
        project = project.adding([line], [a_take(2, seed=index)], 0)
    token = store.new(project)
    loaded = reopened(store).load(token)
    assert loaded is not None
    assert same(loaded, project)
