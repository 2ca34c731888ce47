"""Codes as things: what each codebook carries, where two sequences differ, what happens when they are mixed, and a file
format for them that a stranger's file cannot abuse.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studio.codes import Codec, Codes
from studio.errors import StudioError

MAX_FILE_BYTES = 10 * 2**20
MAX_CODES_SECONDS = 120.0  # the bundled codec takes some 11 MB of memory a second while it decodes
MAX_MEMBER_BYTES = 64 * 2**20  # unpacked: 10 minutes of 64 codebooks at 75 frames/s are 12 MB
MAX_CODEBOOKS = 64
MAX_FRAMES = 100_000  # over an hour at 25 frames/s
MAX_CODEBOOK_SIZE = 2**20
MAX_FRAME_RATE = 1000.0  # Hz
MAX_FACTS_BYTES = 4096
CODE_TYPES = ("|u1", "<u2", "<u4", "<i2", "<i4", "<i8")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class StoredCodes:
    """Codes with what made them."""

    codes: Codes
    codec: str  # name of the codec
    revision: str = ""  # of its checkpoint


def fits(codec: Codec, codes: Codes) -> bool:
    """Whether a codec can turn these codes into sound."""
    alike = (codec.frame_rate, codec.codebook_size) == (codes.frame_rate, codes.codebook_size)
    return alike and codes.codebooks <= codec.codebooks


def codebook_facts(codes: Codes) -> pd.DataFrame:
    """One row a codebook: how many codes occur, as a share of those there are, and the entropy.

    Entropy is bounded by log2 of the number of frames, so that of a short clip understates the codebook.
    """
    used = [len(np.unique(row)) for row in codes.values]
    return pd.DataFrame(
        {
            "codebook": np.arange(1, codes.codebooks + 1),
            "codes used": used,
            "share used": [count / codes.codebook_size for count in used],
            "entropy (bit/frame)": codes.entropy_bits,
            "entropy (kbit/s)": codes.entropy_bits * codes.frame_rate / 1000,
        }
    )


def usage(codes: Codes, codebook: int) -> np.ndarray:
    """How often each code of one codebook (from 0) occurs. Shape: int64 [codebook_size]."""
    return np.bincount(codes.values[codebook], minlength=codes.codebook_size)


def difference(first: Codes, second: Codes) -> np.ndarray:
    """Where two sequences differ, over the codebooks and frames both have. Shape: bool [K, T].

    Raises:
        StudioError: they are not of one kind (see `mixed`).
    """
    _check_one_kind(first, second)
    rows, frames = min(first.codebooks, second.codebooks), min(first.frames, second.frames)
    differs: np.ndarray = first.values[:rows, :frames] != second.values[:rows, :frames]
    return differs


def mixed(first: Codes, second: Codes, from_second: Collection[int]) -> Codes:
    """The first sequence with some codebooks (from 0) taken from the second, over the frames both have.

    Raises:
        StudioError: frame rates, codebook sizes or numbers of codebooks differ, or a codebook does not exist.
    """
    _check_one_kind(first, second)
    if first.codebooks != second.codebooks:
        raise StudioError(
            f"One sequence has {first.codebooks} codebooks, the other {second.codebooks}. Choose two of equal number."
        )
    _check_codebooks(first, from_second)
    frames = min(first.frames, second.frames)
    values = first.values[:, :frames].copy()
    rows = sorted(from_second)
    values[rows] = second.values[rows, :frames]
    return Codes(values, first.frame_rate, first.codebook_size)


def swapped(first: Codes, second: Codes, codebooks: Collection[int]) -> tuple[Codes, Codes]:
    """Both sequences with some codebooks (from 0) exchanged, cut to the frames both have.

    Raises:
        StudioError: as `mixed`.
    """
    return mixed(first, second, codebooks), mixed(second, first, codebooks)


def dropped(codes: Codes, codebooks: Collection[int]) -> Codes:
    """A sequence without its last codebooks.

    A codebook in the middle cannot be taken out of a sequence, since the next would move into its place; the Higgs
    codec's `decode(codes, without=...)` leaves one out of the sum.

    Raises:
        StudioError: others than the last are named, or all.
    """
    _check_codebooks(codes, codebooks)
    kept = codes.codebooks - len(set(codebooks))
    if kept == 0:
        raise StudioError("All codebooks are dropped. Keep at least the first.")
    if set(codebooks) != set(range(kept, codes.codebooks)):
        raise StudioError("Only the last codebooks can be dropped from a sequence. Choose a number to keep.")
    return codes.first_codebooks(kept)


def _check_one_kind(first: Codes, second: Codes) -> None:
    if first.frame_rate != second.frame_rate or first.codebook_size != second.codebook_size:
        raise StudioError(
            f"These codes do not fit together: {first.frame_rate:g} frames/s of {first.codebook_size} codes, and "
            f"{second.frame_rate:g} of {second.codebook_size}. Choose two clips of one codec."
        )


def _check_codebooks(codes: Codes, codebooks: Collection[int]) -> None:
    wrong = [index for index in codebooks if not 0 <= index < codes.codebooks]
    if wrong:
        raise StudioError(f"There is no codebook {wrong[0] + 1}; these codes have {codes.codebooks}.")


def packed(stored: StoredCodes) -> bytes:
    """The codes as a `.npz` file, also readable by `numpy.load(allow_pickle=False)`.

    Arrays: `codes` [K, T], `frame_rate` (Hz), `codebook_size`, and `facts`, UTF-8 JSON with `codec` and `revision`.
    Equal codes give equal bytes.
    """
    codes = stored.codes
    facts = json.dumps({"codec": stored.codec, "revision": stored.revision}).encode()
    members = {
        "codes": codes.values.astype("<u2" if codes.codebook_size <= 2**16 else "<u4"),
        "frame_rate": np.float64(codes.frame_rate),
        "codebook_size": np.int64(codes.codebook_size),
        "facts": np.frombuffer(facts, np.uint8),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in members.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(name + ".npy", ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def read_codes(path: Path, name: str) -> StoredCodes:
    """A stranger's file of codes.

    Args:
        path: The file.
        name: What the person calls it.

    Raises:
        StudioError: it is too large, no file of codes, or of more sound than is decoded at once.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise StudioError(f"“{name}” has more than {MAX_FILE_BYTES // 2**20} MB. Codes of an hour need less.")
    stored = unpacked(path.read_bytes(), name)
    if (seconds := stored.codes.duration_seconds) > MAX_CODES_SECONDS:
        raise StudioError(
            f"“{name}” stands for {seconds:.0f} s of sound; at most {MAX_CODES_SECONDS:.0f} s are decoded at once. "
            "Cut the sequence into shorter files."
        )
    return stored


def unpacked(data: bytes, name: str = "The file") -> StoredCodes:
    """Read a `.npz` file of codes from anybody.

    Sizes, types and shapes are checked where they are declared, before anything of that size is allocated.

    Args:
        data: The file; for one on disk, look at its size against `MAX_FILE_BYTES` before reading it.
        name: What the person calls it.

    Raises:
        StudioError: with the name, what is wrong and what to do.
    """
    if len(data) > MAX_FILE_BYTES:
        raise StudioError(f"“{name}” has more than {MAX_FILE_BYTES // 2**20} MB. Codes of an hour need less.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            values = _array(archive, "codes", CODE_TYPES, 2)
            frame_rate = float(_array(archive, "frame_rate", ("<f8", "<f4", *CODE_TYPES), 0))
            codebook_size = int(_array(archive, "codebook_size", CODE_TYPES, 0))
            facts = _facts(_array(archive, "facts", ("|u1",), 1)) if "facts.npy" in archive.namelist() else {}
    except _Unfit as problem:
        raise StudioError(f"“{name}” {problem}. Upload a file that was downloaded here.") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError, NotImplementedError):
        raise StudioError(f"“{name}” is no .npz file of codes, or is damaged. Download it again.") from None
    wrong = _out_of_range(values, frame_rate, codebook_size)
    if wrong:
        raise StudioError(f"“{name}” {wrong}. Upload a file that was downloaded here.")
    codes = Codes(values.astype(np.int64), frame_rate, codebook_size)
    return StoredCodes(codes, facts.get("codec", ""), facts.get("revision", ""))


class _Unfit(Exception):
    """What is wrong with a file, as the end of a sentence about it."""


def _array(archive: zipfile.ZipFile, name: str, types: tuple[str, ...], dimensions: int) -> np.ndarray:
    """One array of the archive, after its declared type, shape and size were looked at."""
    try:
        entry = archive.getinfo(name + ".npy")
    except KeyError:
        raise _Unfit(f"has no “{name}” in it") from None
    if entry.file_size > MAX_MEMBER_BYTES:
        raise _Unfit(f"would unpack to {entry.file_size / 2**20:.0f} MB")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise _Unfit("is of another version of the .npy format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=10_000)
        if dtype.str not in types:
            raise _Unfit(f"has “{name}” of the wrong type ({dtype.str})")
        counted = all(type(size) is int and size >= 0 for size in shape)  # True and -1 pass numpy's own check
        if len(shape) != dimensions or not counted or (fortran_order and dimensions > 1):
            raise _Unfit(f"has “{name}” of the wrong shape")
        if name == "codes" and not (1 <= shape[0] <= MAX_CODEBOOKS and 1 <= shape[1] <= MAX_FRAMES):
            raise _Unfit(f"has codes of shape {shape[0]} × {shape[1]}; at most {MAX_CODEBOOKS} × {MAX_FRAMES} are read")
        if name == "facts" and shape[0] > MAX_FACTS_BYTES:
            raise _Unfit("says too much about itself")
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        content = file.read(size)  # never more than was declared, whatever the archive holds
    if len(content) != size:
        raise _Unfit("breaks off")
    return np.frombuffer(content, dtype).reshape(shape)


def _facts(array: np.ndarray) -> dict[str, str]:
    """What a file says of its origin: shown as text, never believed."""
    facts = json.loads(array.tobytes().decode())
    if not isinstance(facts, dict):
        raise ValueError("facts are no object")
    return {key: value[:200] for key, value in facts.items() if isinstance(value, str)}


def _out_of_range(values: np.ndarray, frame_rate: float, codebook_size: int) -> str:
    if not 0 < frame_rate <= MAX_FRAME_RATE:  # false for NaN too
        return f"has a frame rate of {frame_rate:g} Hz"
    if not 1 < codebook_size <= MAX_CODEBOOK_SIZE:
        return f"has a codebook of {codebook_size} codes"
    if values.min() < 0 or values.max() >= codebook_size:
        return f"has codes outside 0 to {codebook_size - 1}"
    return ""
