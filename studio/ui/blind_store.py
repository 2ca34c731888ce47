"""Blind tests in progress: kept on the server by a token, so that no page ever holds an answer."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import BadSetting
from studio.lab.abx import AbxTest
from studio.lab.mushra import MushraTest
from studio.ui.project_view import ROUTE
from studio.workspace import Workspace

MOST_TESTS = 100
MOST_BYTES = 1024 * 2**20  # of sound in memory: a minute at 24 kHz with eight versions takes 58 MB
GONE = "This test is no longer here. Start a new one."


@dataclass
class Kept:
    """One test, and the lock that keeps two answers from arriving at once."""

    test: AbxTest | MushraTest
    token: str
    folder: Path
    lock: threading.Lock

    def url(self, path: Path) -> str:
        """Where a page fetches a stimulus: the token of the test and the random name of the file."""
        return f"{ROUTE}/{self.token}/{path.name}"


class BlindStore:
    """The newest tests; the oldest and its files go when there are too many, or too much sound in them."""

    def __init__(self, files: Workspace, most_bytes: int = MOST_BYTES) -> None:
        self._files = files
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._guard = threading.Lock()

    def room(self) -> tuple[str, Path]:
        """A folder for a test's files, and its token."""
        return self._files.make()

    def keep(self, test: AbxTest | MushraTest, token: str, folder: Path) -> Kept:
        """Keep a test under the token of its folder."""
        kept = Kept(test, token, folder, threading.Lock())
        with self._guard:
            self._kept[token] = kept
            while len(self._kept) > 1 and (len(self._kept) > MOST_TESTS or self._bytes() > self._most_bytes):
                oldest, _ = self._kept.popitem(last=False)
                self._files.remove(oldest)
        return kept

    def _bytes(self) -> int:
        return sum(kept.test.nbytes for kept in self._kept.values())

    def find(self, token: Any, *kinds: type) -> Kept:
        """A test by its token, of one of these kinds.

        Raises:
            BadSetting: it is not here, or of another kind.
        """
        with self._guard:
            kept = self._kept.get(token) if isinstance(token, str) else None
        if kept is None or not isinstance(kept.test, kinds):
            raise BadSetting(GONE)
        return kept

    def end(self, token: Any) -> None:
        """Forget a test and its files."""
        with self._guard:
            known = isinstance(token, str) and self._kept.pop(token, None) is not None
        if known:
            self._files.remove(token)
