"""Durable files: killed at any moment, even by a power cut, what is on disk is the old file or the new one, whole."""

import os
from pathlib import Path

UNFINISHED = ".part"


def write_durably(path: Path, content: bytes) -> None:
    """Put a file into the place of an older one. Where others write it too, the caller keeps them apart.

    The bytes reach the disk before the name does; `settle` then makes the name itself last.

    Raises:
        OSError: the disk does not take it; the older file stays.
    """
    part = path.with_name(path.name + UNFINISHED)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def settle(folder: Path) -> None:
    """Make the names in a folder as lasting as the files they stand for."""
    if os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
