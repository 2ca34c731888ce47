"""Codes from strangers are bounded before any codec sees them."""

from pathlib import Path

import numpy as np
import pytest

from studio.codes import Codes
from studio.errors import StudioError
from studio.lab.codemap import MAX_FILE_BYTES, StoredCodes, packed
from studio.ui.codes_panel import MAX_CODES_SECONDS, read_codes


def a_file(folder: Path, frames: int) -> Path:
    path = folder / "codes.npz"
    path.write_bytes(packed(StoredCodes(Codes(np.zeros((8, frames), np.int64), 25.0, 1024), "Higgs")))
    return path


def test_codes_of_two_minutes_are_read_and_of_more_refused(tmp_path: Path) -> None:
    longest = round(25 * MAX_CODES_SECONDS)
    assert read_codes(a_file(tmp_path, longest), "mine.npz").codes.frames == longest
    with pytest.raises(StudioError, match="for 3600 s of sound"):
        read_codes(a_file(tmp_path, 25 * 3600), "mine.npz")


def test_a_file_of_more_than_10_mb_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(StudioError, match="has more than 10 MB"):
        read_codes(path, path.name)
