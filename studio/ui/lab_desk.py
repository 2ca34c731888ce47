"""The lab's desk: what a page of the lab comes back to after a reload, kept on the server by a token.

It holds what was chosen, the visitor's own sounds, and which clips were compared with what was measured of them. The
sounds and codes themselves lie in folders of their own (`kept_clips.py`).
"""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studio import strict_json
from studio.durable import UNFINISHED
from studio.errors import StudioError
from studio.ui.kept_clips import find_clip
from studio.workspace import Workspace

FILE = "desk.json"
INTERRUPTED = "This is what there was when the page was opened. Compare again for the rest."
NOT_MEASURED = "not measured yet when the page was opened"

Data = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Desk:
    """What one page of the lab comes back to."""

    own: Mapping[str, str] = field(default_factory=dict)  # id → name of the visitor's recordings
    sounds: Sequence[str] = ()  # ids of those that were chosen
    codecs: Sequence[str] | None = None  # keys of the settings that were compared; None before the first time
    slow: bool = False  # whether the slow measures were asked for
    clips: Sequence[str] = ()  # tokens of what was compared
    measures: Data = field(default_factory=dict)  # the table of it
    said: Data = field(default_factory=dict)  # how far it is, as the status line takes it
    busy: bool = False  # whether it goes on


TYPES = {
    **{"own": dict, "sounds": list, "codecs": list, "slow": bool},
    **{"clips": list, "measures": dict, "said": dict, "busy": bool},
}


class LabDesks:
    """One desk a page. A page that is loaded again begins with a copy, so that two tabs never write on one."""

    def __init__(self, files: Workspace) -> None:
        self._files = files
        self._guard = threading.Lock()  # of reading, changing and writing, which takes a few ms

    def change(self, token: str, **facts: Any) -> str:
        """Put facts (fields of `Desk`) on a desk; a new desk where there is none.

        What the disk does not take is only missing after a reload, so it is no error.

        Returns:
            The token of the desk.
        """
        with self._guard:
            desk = self._read(token)
            if desk is None:
                desk = Desk()
                token, _ = self._files.make()
            folder = self._files.find(token)
            assert folder is not None  # it was found, or has just been made
            try:
                _write(replace(desk, **facts), folder)
            except OSError as problem:
                log.warning("what a reload is to find again could not be written (%s)", problem.strerror)
        return token

    def resumed(self, token: Any) -> tuple[str, Desk, list[Data]]:
        """The token of a copy of a desk, the copy, and the clips as the page takes them; no token where there is none.

        A comparison whose clips were swept is gone as a whole, since its table would speak of sounds nobody can hear.
        """
        desk = self._read(token) if isinstance(token, str) else None
        if desk is None:
            return "", Desk(), []
        copy = self.change("", **vars(desk))
        for sound in desk.own:
            self._files.find(sound.rpartition(":")[2])  # looked at, so it is not swept
        try:
            views = [find_clip(self._files, clip)[0] for clip in desk.clips]
        except StudioError:
            return copy, replace(desk, clips=()), []
        if desk.busy:
            desk = replace(desk, said={"state": "done", "text": INTERRUPTED}, measures=_none_waiting(desk.measures))
        return copy, desk, views

    def _read(self, token: str) -> Desk | None:
        folder = self._files.find(token)
        if folder is None or not (folder / FILE).is_file():
            return None
        try:
            return Desk(**strict_json.keys(json.loads((folder / FILE).read_text("utf-8")), TYPES, FILE))
        except (OSError, ValueError, StudioError) as problem:
            log.warning("what a reload is to find again could not be read (%s)", problem)
            return None


def _write(desk: Desk, folder: Path) -> None:
    """Whole or not at all; a power cut may cost it, which is no reason to wait for the disk while codecs are timed."""
    facts = {name: value for name, value in vars(desk).items() if value is not None}
    part = folder / f"{FILE}{UNFINISHED}"
    part.write_text(json.dumps(facts, ensure_ascii=False), "utf-8")
    part.replace(folder / FILE)


def _none_waiting(measures: Data) -> Data:
    """A table of which nothing more comes: cells that waited for their measures say so."""
    rows = []
    for row in measures["rows"]:
        reasons = [
            NOT_MEASURED if row["pending"] and column.get("better") and cell is None else reason
            for column, cell, reason in zip(measures["columns"], row["cells"], row["reasons"], strict=True)
        ]
        rows.append(row | {"pending": False, "reasons": reasons})
    return measures | {"rows": rows}
