"""Workspace: a visitor's files, each in a folder whose name nobody can guess.

Who knows the token may read the folder. Folders not touched for a while are swept.
"""

import re
import secrets
import shutil
import time
from pathlib import Path

from studio.errors import StudioError

TOKEN = re.compile(r"[0-9a-f]{32}")
KEPT_SECONDS = 24 * 3600.0
SWEEP_SECONDS = 600.0


class Workspace:
    """Folders by unguessable token below one root, swept after a day or kept for good."""

    def __init__(self, root: Path, kept_seconds: float | None = KEPT_SECONDS, setting: str = "--data") -> None:
        """Open or make it.

        Args:
            root: The folder of the folders.
            kept_seconds: A folder nobody looked at for so long is swept; None: nothing ever is.
            setting: What chose the root, for the message when it cannot be written.
        """
        self.root = root.resolve()
        self._kept_seconds = kept_seconds
        self._swept = -SWEEP_SECONDS
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # others on this machine may not list it
        except OSError as problem:
            raise StudioError(
                f"{root} cannot be written ({problem.strerror}). Give another folder with {setting}."
            ) from None

    def make(self) -> tuple[str, Path]:
        """A new empty folder and its token (128 random bits). Now and then stale ones are swept on the way.

        Raises:
            StudioError: the disk does not take it.
        """
        token = secrets.token_hex(16)
        folder = self.root / token
        try:
            folder.mkdir(parents=True)  # the root too, should somebody have tidied it away
        except OSError as problem:
            raise StudioError(f"Nothing can be stored on the server ({problem.strerror}). Tell its operator.") from None
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self.sweep()
        return token, folder

    def find(self, token: str) -> Path | None:
        """The folder of a token; None if it is none of ours. Looking keeps it from being swept."""
        if not TOKEN.fullmatch(token):
            return None
        folder = self.root / token
        if not folder.is_dir():
            return None
        folder.touch()
        return folder

    def tokens(self) -> list[str]:
        """The tokens of all folders, for the studio's own use: knowing one gives its right away."""
        return sorted(folder.name for folder in self.root.iterdir() if TOKEN.fullmatch(folder.name))

    def remove(self, token: str) -> None:
        """Delete a folder and all in it; nothing happens if it is not there."""
        if (folder := self.find(token)) is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> int:
        """Delete the folders nobody looked at for so long. Returns how many."""
        self._swept = time.monotonic()
        if self._kept_seconds is None:
            return 0
        oldest = time.time() - self._kept_seconds
        stale = [folder for folder in self.root.iterdir() if folder.is_dir() and folder.stat().st_mtime < oldest]
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)
        return len(stale)
