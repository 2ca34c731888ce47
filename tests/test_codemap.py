"""Codes as things: facts, edits, and a file format that believes nobody."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from studio.codes import Codes
from studio.errors import StudioError
from studio.lab.codemap import (
    MAX_CODES_SECONDS,
    MAX_FILE_BYTES,
    StoredCodes,
    codebook_facts,
    difference,
    dropped,
    mixed,
    packed,
    read_codes,
    swapped,
    unpacked,
    usage,
)


def random_codes(seed: int, codebooks: int = 8, frames: int = 40, size: int = 1024, frame_rate: float = 25.0) -> Codes:
    values = np.random.default_rng(seed).integers(0, size, (codebooks, frames))
    return Codes(values, frame_rate, size)


def npz(**members: object) -> bytes:
    """A file as anybody might send it: good members unless overridden; None leaves one out."""
    good = {"codes": np.zeros((2, 3), np.uint16), "frame_rate": np.float64(25), "codebook_size": np.int64(1024)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: value for name, value in (good | members).items() if value is not None})
    return buffer.getvalue()


def test_facts_of_a_sequence_counted_by_hand() -> None:
    codes = Codes([[0, 0, 0, 0], [0, 1, 2, 3], [5, 5, 7, 7]], 25.0, 8)
    facts = codebook_facts(codes)
    assert facts["codebook"].tolist() == [1, 2, 3]
    assert facts["codes used"].tolist() == [1, 4, 2]
    assert facts["share used"].tolist() == [0.125, 0.5, 0.25]
    assert facts["entropy (bit/frame)"].tolist() == [0, 2, 1]
    assert facts["entropy (kbit/s)"].tolist() == [0, 0.05, 0.025]
    assert usage(codes, 2).tolist() == [0, 0, 0, 0, 0, 2, 0, 2]


def test_difference_covers_what_both_have() -> None:
    first = Codes([[1, 2, 3], [4, 5, 6]], 25.0, 8)
    second = Codes([[1, 0, 3, 3], [4, 5, 0, 0], [7, 7, 7, 7]], 25.0, 8)
    assert difference(first, second).tolist() == [[False, True, False], [False, False, True]]
    assert not difference(first, first).any()


def test_swapped_codebooks_change_places() -> None:
    first, second = random_codes(1), random_codes(2, frames=30)
    one, other = swapped(first, second, {0, 3})
    assert one.frames == other.frames == 30
    for row in range(8):
        source = (second, first) if row in (0, 3) else (first, second)
        assert np.array_equal(one.values[row], source[0].values[row, :30])
        assert np.array_equal(other.values[row], source[1].values[row, :30])
    assert mixed(first, second, ()).fingerprint == first.between(0, 30).fingerprint
    assert mixed(first, second, range(8)).fingerprint == second.fingerprint
    assert first.fingerprint == random_codes(1).fingerprint, "an edit changed its input"


def test_only_the_last_codebooks_are_dropped() -> None:
    codes = random_codes(1)
    assert dropped(codes, {6, 7}).fingerprint == codes.first_codebooks(6).fingerprint
    for wrong, message in (({3}, "Only the last"), (range(8), "Keep at least"), ({8}, "no codebook 9")):
        with pytest.raises(StudioError, match=message):
            dropped(codes, wrong)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (random_codes(2, frame_rate=50.0), "one codec"),
        (random_codes(2, size=512), "one codec"),
        (random_codes(2, codebooks=4), "8 codebooks, the other 4"),
    ],
)
def test_codes_that_do_not_fit_are_refused_in_words(second: Codes, message: str) -> None:
    with pytest.raises(StudioError, match=message):
        mixed(random_codes(1), second, {0})


@pytest.mark.parametrize(
    "codes", [random_codes(3), random_codes(4, 1, 50, 65_536, 50.0), random_codes(5, 1, 9, 70_000)]
)
def test_a_file_gives_back_the_same_codes(codes: Codes) -> None:
    data = packed(StoredCodes(codes, "Higgs Audio V2 tokenizer “mini”", "403fbacf"))
    stored = unpacked(data)
    assert stored.codes.fingerprint == codes.fingerprint
    assert (stored.codec, stored.revision) == ("Higgs Audio V2 tokenizer “mini”", "403fbacf")
    assert packed(stored) == data, "equal codes give equal files"
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["codes"], codes.values)
        assert float(arrays["frame_rate"]) == codes.frame_rate


def test_plain_numpy_files_are_read() -> None:
    stored = unpacked(npz(codes=np.arange(6).reshape(2, 3)))
    assert stored.codes.values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (stored.codec, stored.revision) == ("", "")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"codes": None}, "no “codes”"),
        ({"frame_rate": None}, "no “frame_rate”"),
        ({"codes": np.zeros((2, 3), np.float32)}, "wrong type"),
        ({"codes": np.zeros((2, 3), bool)}, "wrong type"),
        ({"codes": np.array([["a", "b"]])}, "wrong type"),
        ({"codes": np.zeros(3, np.uint16)}, "wrong shape"),
        ({"codes": np.asfortranarray(np.zeros((2, 3), np.uint16))}, "wrong shape"),
        ({"codes": np.zeros((0, 3), np.uint16)}, "shape 0 × 3"),
        ({"codes": np.zeros((65, 3), np.uint16)}, "shape 65 × 3"),
        ({"codes": np.zeros((1, 100_001), np.uint16)}, "shape 1 × 100001"),
        ({"codes": np.full((2, 3), 1024, np.uint16)}, "outside 0 to 1023"),
        ({"codes": np.full((2, 3), -1)}, "outside 0 to 1023"),
        ({"frame_rate": np.float64("nan")}, "frame rate of nan"),
        ({"frame_rate": np.float64("inf")}, "frame rate of inf"),
        ({"frame_rate": np.float64(-25)}, "frame rate of -25"),
        ({"frame_rate": np.zeros(2)}, "wrong shape"),
        ({"codebook_size": np.int64(0)}, "codebook of 0"),
        ({"codebook_size": np.int64(2**40)}, "codebook of"),
        ({"facts": np.zeros(5000, np.uint8)}, "too much"),
        ({"facts": np.zeros(50, np.uint8)}, "no .npz file"),
        ({"facts": np.frombuffer(b"[" * 4000, np.uint8)}, "no .npz file"),
    ],
)
def test_unfit_files_are_refused_in_words(members: dict[str, object], message: str) -> None:
    with pytest.raises(StudioError, match=message) as refusal:
        unpacked(npz(**members), "mine.npz")
    assert "“mine.npz”" in str(refusal.value)


def test_a_pickle_is_never_opened() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("the pickle was opened",))

    with pytest.raises(StudioError, match="wrong type"):
        unpacked(npz(codes=np.array([[Trap()]], dtype=object)))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x00" * 100, b"RIFF" * 50])
def test_other_files_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(StudioError, match=r"no \.npz file of codes"):
        unpacked(data)


def test_a_file_cut_or_changed_anywhere_is_refused_or_read_whole() -> None:
    good = packed(StoredCodes(random_codes(3), "c"))
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(good), 150):
        for broken in (good[:place], good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :]):
            try:
                unpacked(broken)
            except StudioError:
                continue


def test_a_large_file_is_refused_unread() -> None:
    with pytest.raises(StudioError, match="more than 10 MB"):
        unpacked(b"\x00" * (MAX_FILE_BYTES + 1))


def with_header(shape: str, content: bytes, descr: str = "<u2") -> bytes:
    """A .npy member that declares whatever it likes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", member)
        for name, array in (("frame_rate", np.float64(25)), ("codebook_size", np.int64(1024))):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(array))
            archive.writestr(f"{name}.npy", part.getvalue())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (with_header("(8, 100000000000)", b""), "shape 8 × 100000000000"),
        (with_header("(-8, -4)", b"\x00" * 64), "wrong shape"),
        (with_header("(8, 50000)", b"\x00" * 10), "breaks off"),
        (with_header("(2, 3)", b"\x00" * 70_000_000), "would unpack to"),
        (with_header("(True, 3)", b"\x00" * 6), "."),
        (with_header("(2, 3)", b"\x00" * 12, ">u2"), "wrong type"),
    ],
    ids=["huge shape", "negative shape", "short", "bomb", "bool shape", "big-endian"],
)
def test_what_a_header_declares_is_looked_at_before_it_is_made(data: bytes, message: str) -> None:
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(StudioError, match=message):
        unpacked(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2**20, f"{peak / 2**20:.0f} MB were allocated for a file that was refused"


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
