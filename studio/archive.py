"""ZIP archives: written so that equal content gives equal bytes, read as if whoever made them meant harm.

Reading unpacks nothing onto the disk. The directory's size is looked at before it is parsed, names must be among those
that the reader knows, and every file is bounded by what its kind may have, whatever the archive says of itself.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from studio.audio import shown_name
from studio.errors import StudioError

SAME_MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can say
END_BYTES, LONGEST_COMMENT = 22, 65_535
BYTES_A_NAME = 400  # of the directory, for each entry: its name, its sizes, and what some packers add
ALREADY_SMALL = (".flac", ".mp3", ".opus", ".npz", ".zip", ".wav")  # deflating these costs more than it gives
PLAIN_FILE = (0, stat.S_IFREG)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def write_archive(target: Path | BinaryIO, parts: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive file by file, in the order given, all of one date."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts:
            entry = zipfile.ZipInfo(name, SAME_MOMENT)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(ALREADY_SMALL) else zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)


def read_archive(
    path: Path,
    largest: Callable[[str], int | None],
    *,
    most_entries: int,
    most_bytes: int,
    what: str,
    name: str | None = None,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, bytes]:
    """The files of an archive from anybody.

    Args:
        path: The archive.
        largest: The most bytes a file of this name may have; None for a name that does not belong there.
        most_entries: More files are refused.
        most_bytes: More in all, packed or unpacked, are refused.
        what: What it should be, for the messages: "project file".
        name: What the person calls it; the file's own name if absent.
        wanted: Which files are read at all, of an archive that may hold others.

    Raises:
        StudioError: it is none, broken, locked, or meant to do harm; nothing has been written then.
    """
    shown = shown_name(name or path.name)
    if path.stat().st_size > most_bytes:
        raise StudioError(f"“{shown}” is larger than {most_bytes // 2**20} MB; a {what} is smaller.")
    _check_directory(path, most_entries, what, shown)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive.infolist(), largest, most_entries, what, shown)
            entries = [entry for entry in archive.infolist() if wanted(entry.filename)]
            if sum(entry.file_size for entry in entries) > most_bytes:
                raise StudioError(f"“{shown}” unfolds into more than a {what} can have. It is not read.")
            return {entry.filename: _bounded(archive, entry, largest, what, shown) for entry in entries}
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, struct.error),
        *(RuntimeError, UnicodeError),
    ):
        raise StudioError(f"“{shown}” is broken. Save or export it again where it comes from.") from None


def _check_directory(path: Path, most_entries: int, what: str, shown: str) -> None:
    """Refuse an archive whose list of files is longer than it may be, before the list is read."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - END_BYTES - LONGEST_COMMENT))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END_BYTES:
        raise StudioError(f"“{shown}” is no {what}: it is no ZIP archive, or breaks off.")
    (directory_bytes,) = struct.unpack("<I", tail[at + 12 : at + 16])
    if directory_bytes > most_entries * BYTES_A_NAME or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise StudioError(f"“{shown}” is no {what}: it holds far more files than one has.")


def _check_entries(
    entries: list[zipfile.ZipInfo], largest: Callable[[str], int | None], most: int, what: str, shown: str
) -> None:
    names = [entry.filename for entry in entries]
    if len(entries) > most:
        raise StudioError(f"“{shown}” is no {what}: it holds {len(entries)} files; at most {most} are read.")
    if len(set(names)) != len(names):
        raise StudioError(f"“{shown}” is no {what}: two files in it have one name.")
    for entry in entries:
        if stat.S_IFMT(entry.external_attr >> 16) not in PLAIN_FILE or largest(entry.filename) is None:
            raise StudioError(f"“{shown}” is no {what}: “{shown_name(entry.filename)}” does not belong into one.")
        if entry.flag_bits & 1:
            raise StudioError(f"“{shown}” is locked with a password. Pack it without one.")
        if entry.compress_type not in METHODS:
            raise StudioError(f"“{shown}” is packed in a way that is not read here. Pack it as an ordinary ZIP.")


def _bounded(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, largest: Callable[[str], int | None], what: str, shown: str
) -> bytes:
    most = largest(entry.filename) or 0
    content = b""
    if entry.file_size <= most:
        with archive.open(entry) as part:
            content = part.read(most + 1)  # the header may say less than there is
    if entry.file_size > most or len(content) > most:
        raise StudioError(f"“{shown}” unfolds into more than a {what} can have. It is not read.")
    return content
