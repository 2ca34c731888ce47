"""Projects on disk: every change is saved at once, and a process killed in the middle leaves the old or the new one.

A project's folder holds `project.json` and, for each take, its codes (`ID.npz`) and its exact sound (`ID.wav`). A
save writes the files of new takes first, then the JSON that names them, and removes last what nothing names any more.
One process writes a store; a second one would not see the first one's changes.
"""

import io
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import soundfile

from studio.audio import Audio, read_wav
from studio.codes import Codes
from studio.draft import Draft
from studio.durable import UNFINISHED, settle, write_durably
from studio.errors import StudioError
from studio.lab.codemap import StoredCodes, packed, unpacked
from studio.project import KeptTake, Project
from studio.project_json import project_as_json, read_project
from studio.workspace import Workspace

PROJECT = "project.json"
TAKE_FILE = re.compile(r"([0-9a-f]{12})\.(npz|wav)")
GONE = "This project is no longer here. Open its file, or begin a new one."
MOST_BYTES_IN_MEMORY = 512 * 2**20
MOST_IN_MEMORY = 32
LOCKS = 64


class ProjectStore:
    """The projects of all visitors, each known by its token."""

    def __init__(self, projects: Workspace, most_bytes: int = MOST_BYTES_IN_MEMORY) -> None:
        """Keep them in the folders of a workspace, and up to `most_bytes` of sound of those used last in memory."""
        self._folders = projects
        self._most_bytes = most_bytes
        self._used_last: OrderedDict[str, Project] = OrderedDict()
        self._used_last_lock = threading.Lock()
        self._locks = tuple(threading.Lock() for _ in range(LOCKS))  # shared among tokens: they never run out

    def new(self, project: Project | None = None) -> str:
        """Begin a project. Returns its token.

        Raises:
            StudioError: the disk does not take it.
        """
        token, folder = self._folders.make()
        with self._lock(token):
            self._save(token, folder, None, project or Project(Draft.read({})))
        return token

    def load(self, token: str) -> Project | None:
        """A project as it was changed last; None if there is none of this token, or it was swept.

        Raises:
            StudioError: its files are damaged.
        """
        with self._lock(token):
            found = self._found(token)
        return found[1] if found else None

    def change(self, token: str, edit: Callable[[Project], Project]) -> Project:
        """Change a project and save it, one change after another. What `edit` raises leaves it as it was.

        Raises:
            StudioError: it is no longer here, its files are damaged, or the disk does not take it.
        """
        with self._lock(token):
            found = self._found(token)
            if found is None:
                raise StudioError(GONE)
            folder, before = found
            after = edit(before)
            if after is not before:
                self._save(token, folder, before, after)
        return after

    def folder(self, token: str) -> Path:
        """Where the files of a project lie: the sound of a take is `TAKE_ID.wav`.

        Raises:
            StudioError: it is no longer here.
        """
        folder = self._folders.find(token) if isinstance(token, str) else None
        if folder is None or not (folder / PROJECT).is_file():
            raise StudioError(GONE)
        return folder

    def remove(self, token: str) -> None:
        """Delete a project with all its files."""
        with self._lock(token):
            with self._used_last_lock:
                self._used_last.pop(token, None)
            self._folders.remove(token)

    def _lock(self, token: str) -> threading.Lock:
        return self._locks[hash(token) % LOCKS]

    def _found(self, token: str) -> tuple[Path, Project] | None:
        folder = self._folders.find(token) if isinstance(token, str) else None
        if folder is None or not (folder / PROJECT).is_file():
            return None
        with self._used_last_lock:
            project = self._used_last.get(token)
        if project is None:
            project = _read(folder)
        self._remember(token, project)
        return folder, project

    def _remember(self, token: str, project: Project) -> None:
        with self._used_last_lock:
            self._used_last[token] = project
            self._used_last.move_to_end(token)
            sizes = {key: _bytes(one) for key, one in self._used_last.items()}
            while len(sizes) > 1 and (len(sizes) > MOST_IN_MEMORY or sum(sizes.values()) > self._most_bytes):
                oldest, _ = self._used_last.popitem(last=False)
                del sizes[oldest]

    def _save(self, token: str, folder: Path, before: Project | None, after: Project) -> None:
        known = {kept.id for kept in before.takes} if before else set()
        try:
            for kept in after.takes:
                if kept.id not in known:  # a take never changes
                    _write_take(kept, folder)
            settle(folder)
            write_durably(folder / PROJECT, json.dumps(project_as_json(after)).encode("ascii"))
            settle(folder)
        except OSError as problem:
            raise StudioError(
                f"The project could not be saved ({problem.strerror}); it is as it was before. "
                "Save its file, and tell the server's operator."
            ) from None
        self._remember(token, after)
        _tidy(folder, after)


def _write_take(kept: KeptTake, folder: Path) -> None:
    sound = io.BytesIO()
    audio = kept.take.audio
    soundfile.write(sound, audio.samples.T, audio.sample_rate, format="WAV", subtype="FLOAT")
    write_durably(folder / f"{kept.id}.wav", sound.getvalue())
    write_durably(folder / f"{kept.id}.npz", packed(StoredCodes(kept.take.codes, kept.take.checkpoint)))


def _tidy(folder: Path, project: Project) -> None:
    """Remove takes that nothing names any more, and what a killed process left unfinished."""
    named = {kept.id for kept in project.takes}
    for path in folder.iterdir():
        take_file = TAKE_FILE.fullmatch(path.name)
        if path.name.endswith(UNFINISHED) or (take_file and take_file[1] not in named):
            path.unlink(missing_ok=True)


def _read(folder: Path) -> Project:
    def sounds(take_id: str) -> tuple[Codes, Audio]:
        codes = unpacked((folder / f"{take_id}.npz").read_bytes(), f"{take_id}.npz").codes
        return codes, read_wav(folder / f"{take_id}.wav")

    try:
        return read_project(json.loads((folder / PROJECT).read_bytes()), sounds)
    except (OSError, ValueError, soundfile.LibsndfileError):
        raise StudioError(
            "The files of this project are damaged. Open its project file if you saved one, or begin a new one."
        ) from None


def _bytes(project: Project) -> int:
    return sum(kept.take.audio.samples.nbytes + kept.take.codes.values.nbytes for kept in project.takes)
