"""A voice travels as one file and comes back bit for bit; files that are broken, changed or hostile are refused."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from studio.audio import Audio, Recording
from studio.consent import Consent
from studio.errors import BadAudio, BadConversation, BadSetting, StudioError
from studio.lab.mends import Gain, RemoveDc, Trim, as_json
from studio.voice_file import FLAC, WAV, keep, pack, unpack
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace

FOLDER = Path(__file__).parent.parent / "assets" / "voices"
ADA = Consent("Ada Example", "Ada Example", "For this test only.", "2026-03-31")
RNG = np.random.default_rng(0)
SIXTEEN_BIT = Audio(np.round(RNG.normal(0, 3_000, (2, 48_000))).clip(-32_768, 32_767) / 32_768 + 0.0, 24_000)
FLOAT = Audio(RNG.normal(0, 0.1, (1, 48_000)) / 3, 24_000)


@pytest.fixture
def library(workspace: Workspace) -> VoiceLibrary:
    return VoiceLibrary(FOLDER, workspace)


def full_voice(library: VoiceLibrary, recording: Audio = SIXTEEN_BIT) -> str:
    voice = library.begin(Recording(recording, ("A note.",)), "me.wav")
    library.attach_statement(voice.id, FLOAT)
    library.mend(voice.id, [RemoveDc(), Trim(1_000, 40_000), Gain(-3)])
    library.edit(voice.id, name="Ada", description="Warm.", tags=["warm"], transcript="Words.", consent=ADA)
    return voice.id


@pytest.mark.parametrize(("recording", "kind"), [(SIXTEEN_BIT, FLAC), (FLOAT, WAV)])
def test_a_voice_comes_back_bit_for_bit_with_everything(
    library: VoiceLibrary, tmp_path: Path, recording: Audio, kind: str
):
    voice = library.look(full_voice(library, recording))
    path = tmp_path / "ada.voice.zip"
    path.write_bytes(pack(library, voice))
    assert kind in zipfile.ZipFile(path).namelist()
    again = keep(library, unpack(path))
    assert again.id != voice.id
    assert (again.name, again.description, again.tags, again.mends) == ("Ada", "Warm.", ("warm",), voice.mends)
    assert again.reference == voice.reference
    assert again.consent == voice.consent
    assert again.reference.audio is not None
    assert voice.reference.audio is not None
    assert again.reference.audio.samples.tobytes() == voice.reference.audio.samples.tobytes()
    assert library.recording(again.id).samples.tobytes() == recording.samples.tobytes()
    assert library.find(again.id) == again
    assert pack(library, again) == path.read_bytes()


def test_a_bundled_voice_and_an_unfinished_one_can_be_packed_too(library: VoiceLibrary, tmp_path: Path):
    path = tmp_path / "voice.zip"
    path.write_bytes(pack(library, library.find("bundled:alma")))
    alma = keep(library, unpack(path))
    assert (alma.name, alma.missing) == ("Alma", ())
    path.write_bytes(pack(library, library.begin(Recording(FLOAT), "me.wav")))
    assert len(keep(library, unpack(path)).missing) == 2


# ---- what must not be read ----


def parts_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def with_entry(parts: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    return parts | {"voice.json": json.dumps(json.loads(parts["voice.json"]) | changes).encode()}


def with_sound(parts: dict[str, bytes], content: bytes) -> dict[str, bytes]:
    named = {"file": FLAC, "sha256": hashlib.sha256(content).hexdigest()}
    return with_entry(parts, sound=named) | {FLAC: content}


def silent_bomb(parts: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, np.zeros(3_600 * 8_000, np.int16), 8_000, format="FLAC")
    return zipped(with_sound(parts, target.getvalue()))


def lying_size(parts: dict[str, bytes]) -> bytes:
    """A part that says it has 1,000 bytes and unfolds into 10 MB."""
    content = bytearray(zipped(parts | {"voice.json": b" " * 10_000_000}))
    true = struct.pack("<I", 10_000_000)
    assert content.count(true) == 2
    return bytes(content.replace(true, struct.pack("<I", 1_000)))


def flagged_as_locked(parts: dict[str, bytes]) -> bytes:
    content = bytearray(zipped(parts))
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    return bytes(content)


def many_entries(parts: dict[str, bytes]) -> bytes:
    return zipped(parts | {f"{number}.txt": b"" for number in range(5_000)})


HOSTILE: list[tuple[Callable[[dict[str, bytes]], bytes], type[Exception], str]] = [
    (lambda parts: b"", StudioError, "no voice file"),
    (lambda parts: b"not a zip " * 100, StudioError, "no voice file"),
    (lambda parts: zipped(parts)[:-100], StudioError, "no voice file"),
    (lambda parts: zipped(parts)[200:], StudioError, "broken"),
    (lambda parts: zipped(parts | {"../../evil.txt": b"x"}), StudioError, "does not belong into one"),
    (lambda parts: zipped(parts | {"/etc/passwd": b"x"}), StudioError, "does not belong into one"),
    (lambda parts: zipped({FLAC: parts[FLAC]}), BadConversation, "has no voice.json"),
    (many_entries, StudioError, "far more files than one has"),
    (lambda parts: zipped(parts) + b"PK\x05\x06", StudioError, "no voice file"),
    (lambda parts: zipped(parts | {WAV: bytes(40_000_000)}), StudioError, "unfolds into more than"),
    (lying_size, StudioError, "broken|unfolds into more"),
    (flagged_as_locked, StudioError, "password"),
    (lambda parts: zipped(parts, zipfile.ZIP_LZMA), StudioError, "packed in a way that is not read"),
    (silent_bomb, BadAudio, "lasts 60 minutes; at most 60 seconds"),
    (lambda parts: zipped(parts | {"voice.json": b"{"}), BadConversation, "voice.json cannot be read"),
    (lambda parts: zipped(parts | {"voice.json": b"[" * 60_000}), BadConversation, "voice.json cannot be read"),
    (lambda parts: zipped(parts | {"voice.json": b"[]"}), BadConversation, "does not say which form"),
    (lambda parts: zipped(with_entry(parts, schema=2)), BadConversation, "made by a newer studio"),
    (lambda parts: zipped(with_entry(parts, schema="1")), BadConversation, "does not say which form"),
    (lambda parts: zipped(with_entry(parts, sound=None)), BadConversation, "holds no recording"),
    (lambda parts: zipped(with_entry(parts, sound={"file": "../x"})), BadConversation, "is not in it"),
    (lambda parts: zipped(with_entry(parts, sound={"file": "voice.json"})), BadConversation, "is not in it"),
    (lambda parts: zipped(parts | {FLAC: parts[FLAC][:-1] + b"x"}), BadConversation, "has been changed"),
    (
        lambda parts: zipped(with_sound(parts, b"#EXTM3U\nhttp://evil.example/x.wav\n")),
        BadAudio,
        "no recording the studio can read",
    ),
    (lambda parts: zipped(with_entry(parts, mends=[{"mend": "rm"}])), BadSetting, "This mend is not known"),
    (
        lambda parts: zipped(with_entry(parts, mends=as_json([Trim(0, 3)]))),
        BadAudio,
        "At least 1 s",
    ),
    (lambda parts: zipped(with_entry(parts, consent={"whose": "x"})), BadConversation, "Say whose voice"),
]


@pytest.mark.parametrize(("make", "kind", "words"), HOSTILE)
def test_a_file_that_is_broken_changed_or_hostile_is_refused_in_words(
    library: VoiceLibrary,
    workspace: Workspace,
    tmp_path: Path,
    make: Callable[[dict[str, bytes]], bytes],
    kind: type[Exception],
    words: str,
):
    parts = parts_of(pack(library, library.look(full_voice(library))))
    path = tmp_path / "x.voice.zip"
    path.write_bytes(make(parts))
    before = workspace.tokens()
    with pytest.raises(kind, match=words):
        keep(library, unpack(path))
    assert workspace.tokens() == before
    assert [one.name for one in tmp_path.iterdir() if one != workspace.root] == ["x.voice.zip"]


def test_a_label_that_is_too_long_is_refused_and_leaves_nothing(
    library: VoiceLibrary, workspace: Workspace, tmp_path: Path
):
    path = tmp_path / "x.voice.zip"
    parts = parts_of(pack(library, library.look(full_voice(library))))
    path.write_bytes(zipped(with_entry(parts, name="x" * 41)))
    before = workspace.tokens()
    with pytest.raises(BadConversation, match="The name has 41 characters"):
        keep(library, unpack(path))
    assert workspace.tokens() == before


def test_a_file_larger_than_an_upload_is_not_opened(tmp_path: Path):
    path = tmp_path / "x.voice.zip"
    with path.open("wb") as file:
        file.truncate(26 * 2**20)
    with pytest.raises(BadConversation, match="larger than 25 MB"):
        unpack(path)
