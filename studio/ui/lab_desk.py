"""The lab's desk: what a page of the lab comes back to after a reload, kept on the server by a token.

It holds what was chosen, the visitor's own sounds, and which clips were compared with what was measured of them. The
sounds and codes themselves lie in folders of their own (`kept_clips.py`).
"""

import json
import threading
from typing import Any

from studio.durable import write_durably
from studio.errors import StudioError
from studio.ui.kept_clips import find_clip
from studio.workspace import Workspace

FILE = "desk.json"
INTERRUPTED = "The page was loaded again while this was going on: what was there by then was kept."
NOT_MEASURED = "interrupted before it was measured"

Desk = dict[str, Any]


class LabDesks:
    """One desk a page. A page that is loaded again begins with a copy, so that two tabs never write on one."""

    def __init__(self, files: Workspace) -> None:
        self._files = files
        self._guard = threading.Lock()

    def change(self, token: str, **facts: Any) -> str:
        """Put facts on a desk in place of those of the same name; a new desk where there is none.

        Returns:
            The token of the desk.
        """
        with self._guard:
            desk = self._read(token)
            if desk is None:
                desk = {}
                token, _ = self._files.make()
            folder = self._files.find(token)
            assert folder is not None  # it was found, or has just been made
            write_durably(folder / FILE, json.dumps(desk | facts, ensure_ascii=False).encode())
        return token

    def resumed(self, token: Any) -> tuple[str, Desk]:
        """A copy of a desk, with the clips as the page takes them; empty where there is none.

        A comparison whose clips were swept is gone as a whole, since its table would speak of sounds nobody can hear.
        """
        desk = self._read(token) if isinstance(token, str) else None
        if desk is None:
            return "", {}
        copy = self.change("", **desk)
        try:
            desk["views"] = [find_clip(self._files, clip)[0] for clip in desk.get("clips", [])]
        except StudioError:
            return copy, desk | {"views": [], "clips": []}
        for sound in desk.get("own", {}):
            self._files.find(sound.rpartition(":")[2])  # looked at, so it is not swept
        if desk.get("busy"):
            desk["said"] = {"state": "done", "text": INTERRUPTED}
            _end_waiting(desk["measures"])
        return copy, desk

    def _read(self, token: str) -> Desk | None:
        folder = self._files.find(token)
        if folder is None or not (folder / FILE).is_file():
            return None
        desk: Desk = json.loads((folder / FILE).read_text("utf-8"))
        return desk


def _end_waiting(measures: dict[str, Any]) -> None:
    """Nothing more comes: cells that waited for their measures say so."""
    for row in measures["rows"]:
        if row["pending"]:
            row["pending"] = False
            row["reasons"] = [
                NOT_MEASURED if column.get("better") and cell is None else reason
                for column, cell, reason in zip(measures["columns"], row["cells"], row["reasons"], strict=True)
            ]
