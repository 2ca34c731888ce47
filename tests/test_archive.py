"""Archives are the same each time they are written, and cannot do harm when they are read."""

import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.archive import read_archive, write_archive
from studio.errors import StudioError

LARGEST = {"a.json": 1_000, "b.npz": 10_000}
PARTS = [("a.json", b"{}" * 100), ("b.npz", bytes(range(256)) * 4)]


def read(path: Path) -> dict[str, bytes]:
    return read_archive(path, LARGEST.get, most_entries=4, most_bytes=50_000, what="project file", name="x.higgs.zip")


def an_archive(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # names that stand twice are what is tested
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def test_it_is_read_as_it_was_written_and_written_the_same_each_time(tmp_path: Path):
    for name in ("1.zip", "2.zip"):
        write_archive(tmp_path / name, PARTS)
    assert read(tmp_path / "1.zip") == dict(PARTS)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../a.json", "/etc/passwd", "c:\\a.json", "a.json/../../x", "A.JSON", "a.json/", "\u202ea.json", "x" * 300],
)
def test_a_name_that_does_not_belong_there_is_refused(tmp_path: Path, name: str):
    with pytest.raises(StudioError, match=r"does not belong into one|far more files"):
        read(an_archive(tmp_path / "x.zip", (name, b"x")))


def test_a_link_is_refused(tmp_path: Path):
    link = zipfile.ZipInfo("a.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(StudioError, match=r"“a.json” does not belong into one"):
        read(an_archive(tmp_path / "x.zip", (link, b"/etc/passwd")))


def test_a_name_that_stands_twice_is_refused(tmp_path: Path):
    with pytest.raises(StudioError, match="two files in it have one name"):
        read(an_archive(tmp_path / "x.zip", ("a.json", b"1"), ("a.json", b"2")))


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path):
    bomb = an_archive(tmp_path / "x.zip", ("b.npz", bytes(30 * 2**20)))
    assert bomb.stat().st_size < 50_000
    with pytest.raises(StudioError, match="unfolds into more than a project file can have"):
        read(bomb)


def test_a_header_that_lies_about_its_size_unfolds_no_further(tmp_path: Path):
    data = bytearray(an_archive(tmp_path / "x.zip", ("b.npz", bytes(2**20))).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.find(mark) + offset, 100)
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(StudioError, match=r"broken|unfolds"):
        read(tmp_path / "x.zip")


def test_more_files_than_there_may_be_are_refused_before_they_are_listed(tmp_path: Path):
    with pytest.raises(StudioError, match="holds far more files than one has"):
        read(an_archive(tmp_path / "x.zip", *((f"{number}", b"") for number in range(500))))
    with pytest.raises(StudioError, match="holds 5 files; at most 4"):
        read(an_archive(tmp_path / "x.zip", *((f"{number}", b"") for number in range(5))))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(tmp_path: Path, method: int):
    with pytest.raises(StudioError, match="packed in a way that is not read here"):
        read(an_archive(tmp_path / "x.zip", ("a.json", b"{}"), method=method))


def test_a_password_is_refused(tmp_path: Path):
    data = bytearray(an_archive(tmp_path / "x.zip", ("a.json", b"{}")).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + offset] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(StudioError, match="locked with a password"):
        read(tmp_path / "x.zip")


def test_a_changed_or_cut_archive_is_broken(tmp_path: Path):
    write_archive(tmp_path / "x.zip", PARTS)
    whole = (tmp_path / "x.zip").read_bytes()
    changed = bytearray(whole)
    changed[whole.find(bytes(range(64)))] ^= 1
    for data, words in ((bytes(changed), "is broken"), (whole[:-30], "breaks off"), (b"", "breaks off")):
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(StudioError, match=words):
            read(tmp_path / "x.zip")


def test_what_is_too_large_is_not_even_opened(tmp_path: Path):
    (tmp_path / "x.zip").write_bytes(bytes(50_001))
    with pytest.raises(StudioError, match="larger than"):
        read(tmp_path / "x.zip")


@given(st.data())
def test_no_damage_fails_in_another_way_than_with_words(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    write_archive(path, PARTS)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        read(path)
    except StudioError as problem:
        assert str(problem)


def test_an_archive_in_memory_is_the_same_as_on_disk(tmp_path: Path):
    write_archive(tmp_path / "x.zip", PARTS)
    with zipfile.ZipFile(io.BytesIO((tmp_path / "x.zip").read_bytes())) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
