"""A project file opens to the same sound, is the same when saved again, and is refused when it is not what it says."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.archive import write_archive
from studio.audio import Audio, Recording
from studio.codes import Codes
from studio.consent import Consent
from studio.errors import StudioError
from studio.mixing import Mixing
from studio.project import Project
from studio.project_file import OpenedProject, open_project, save_project
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace
from tests.conftest import ROOT
from tests.projects import FRAME_RATE, HOP, RATE, a_draft, a_take

THEN, LATER = datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 21, 12, tzinfo=UTC)
ADA = Consent("Ada Example", "Ada Example", "For this test only.", "2026-03-31")
TITLE = "a codec of tests"


@dataclass
class Tones:
    """A codec whose sound is a function of its codes, and nothing else."""

    name: str = "tones"
    sample_rate: int = RATE
    frame_rate: float = FRAME_RATE
    codebooks: int = 8
    codebook_size: int = 1024

    def encode(self, audio: Audio) -> Codes:
        raise AssertionError("opening needs no encoder")

    def decode(self, codes: Codes) -> Audio:
        return Audio(np.repeat(codes.values.sum(axis=0), HOP)[None] / 10_000, RATE)


CODEC = Tones()


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(ROOT / "assets" / "voices", Workspace(tmp_path / "voices"))


@pytest.fixture
def own_voice(library: VoiceLibrary) -> str:
    sound = Audio(np.random.default_rng(0).normal(0, 0.1, (1, 2 * RATE)), RATE)
    return library.add(Recording(sound, ("A note.",)), "Ada", "Some words.", "me.wav", ADA).id


@pytest.fixture
def project(own_voice: str) -> Project:
    draft = a_draft((0, "One."), (1, "Two."), (2, "Three."))
    cast = list(draft.speakers)
    cast[1] = cast[1] | {"kind": "reference", "reference": own_voice}
    project = Project(replace(draft, speakers=tuple(cast)), mixing=Mixing((-3.0,), -16.0, 0.02), title="Kitchen")
    for index, line in enumerate(project.draft.groups[0]):
        takes = [a_take(5 + index, seed=index), a_take(6, seed=9)]
        takes = [replace(take, audio=CODEC.decode(take.codes)) for take in takes]
        project = project.adding([line], takes, 0)
    return project.nudging("r2", -0.1, FRAME_RATE).starring(project.takes[1].id, True)


def saved(path: Path, project: Project, library: VoiceLibrary, when: datetime = THEN) -> Path:
    save_project(path, project, library, CODEC, TITLE, when)
    return path


def opened(path: Path, library: VoiceLibrary, own: tuple[str, ...] = (), codec: Any = CODEC) -> OpenedProject:
    return open_project(path, library, codec, TITLE, name="k.higgs.zip", own=own)


def test_it_opens_to_the_same_sound_in_another_library(project: Project, library: VoiceLibrary, tmp_path: Path):
    path = saved(tmp_path / "k.higgs.zip", project, library)
    other = VoiceLibrary(ROOT / "assets" / "voices", Workspace(tmp_path / "other"))
    found = opened(path, other)
    again = found.project
    assert np.array_equal(again.readings()[0].audio.samples, project.readings()[0].audio.samples)
    assert again.changed_rows() == set(), "its takes still are what the draft asks for"
    assert (again.title, again.mixing, again.gaps, again.chosen) == (
        *("Kitchen", project.mixing),
        *(project.gaps, project.chosen),
    )
    (voice_id,) = found.added
    assert again.draft.speakers[1]["reference"] == voice_id
    assert again.draft.speakers[0]["reference"] == "bundled:alma"
    voice = other.find(voice_id)
    assert (voice.name, voice.reference.transcript, voice.consent) == ("Ada", "Some words.", ADA)


def test_saved_again_it_is_the_same_but_for_the_date(project: Project, library: VoiceLibrary, tmp_path: Path):
    first = saved(tmp_path / "1.zip", project, library)
    other = VoiceLibrary(ROOT / "assets" / "voices", Workspace(tmp_path / "other"))
    again = opened(first, other).project
    assert saved(tmp_path / "2.zip", again, other).read_bytes() == first.read_bytes()
    later = parts_of(saved(tmp_path / "3.zip", again, other, LATER))
    before = parts_of(first)
    entries = [json.loads(parts.pop("project.json")) for parts in (before, later)]
    assert [entry.pop("saved") for entry in entries] == ["2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z"]
    assert entries[0] == entries[1]
    assert before == later


def test_a_voice_that_is_there_already_is_not_added_again(
    project: Project, library: VoiceLibrary, own_voice: str, tmp_path: Path
):
    found = opened(saved(tmp_path / "k.zip", project, library), library, own=(own_voice,))
    assert found.added == ()
    assert found.project.draft == project.draft


def test_the_right_to_change_a_voice_does_not_travel(
    project: Project, library: VoiceLibrary, own_voice: str, tmp_path: Path
):
    parts = parts_of(saved(tmp_path / "k.zip", project, library))
    assert not any(own_voice.removeprefix("own:").encode() in content for content in parts.values())


def test_a_voice_that_is_gone_leaves_its_takes(project: Project, library: VoiceLibrary, own_voice: str, tmp_path: Path):
    library.remove(own_voice)
    again = opened(saved(tmp_path / "k.zip", project, library), library).project
    assert again.draft.speakers[1]["reference"] == ""
    assert len(again.takes) == len(project.takes)
    assert again.changed_rows() == {"r2"}


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """The archive with another project.json, well packed."""
    parts = parts_of(path)
    entry = json.loads(parts["project.json"])
    edit(entry)
    write_archive(path, (parts | {"project.json": json.dumps(entry).encode()}).items())


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda entry: entry.update(schema=2), "“k.higgs.zip” was made by a newer studio .form 2"),
        (lambda entry: entry.pop("schema"), "does not say which form"),
        (lambda entry: entry.update(extra=1), "there is no key 'extra'"),
        (lambda entry: entry["codec"].update(title="another"), "was made with another codec, another"),
        (lambda entry: entry["codec"].update(frame_rate=50.0), "at 50.0 frames/s.; this studio speaks with a codec"),
        (lambda entry: entry["takes"].update({next(iter(entry["takes"])): "0" * 64}), "is not what was saved"),
        (lambda entry: entry["takes"].popitem(), "the codes of a take are missing"),
        (lambda entry: entry["voices"][0].update(sha256="0" * 64), "1.voice.zip is not what was saved"),
        (lambda entry: entry["voices"][0].update(file="project.json"), "project.json is missing in it"),
        (lambda entry: entry["voices"].extend(entry["voices"] * 9), "more voices than can take part"),
        (lambda entry: entry["project"].update(draft={"way": "song"}), "draft: way must be one of"),
        (lambda entry: entry["project"]["chosen"].update(r1="0" * 12), "chosen: line r1 has no such take"),
        (lambda entry: entry["project"]["gaps"].update(r1=10**9), "the gap before line r1"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused_in_words(
    project: Project, library: VoiceLibrary, tmp_path: Path, edit: Callable[[dict[str, Any]], None], words: str
):
    path = saved(tmp_path / "k.zip", project, library)
    changed(path, edit)
    other = VoiceLibrary(ROOT / "assets" / "voices", Workspace(tmp_path / "other"))
    with pytest.raises(StudioError, match=words):
        opened(path, other)
    assert list((tmp_path / "other").iterdir()) == [], "nothing of it is kept"


def test_another_studios_codec_is_named(project: Project, library: VoiceLibrary, tmp_path: Path):
    path = saved(tmp_path / "k.zip", project, library)
    with pytest.raises(StudioError, match=r"made with another codec, a codec of tests .8 codebooks of 1024 at 25"):
        opened(path, library, codec=Tones(codebooks=4))


def test_a_strangers_id_in_a_file_gives_no_voice(
    project: Project, library: VoiceLibrary, own_voice: str, tmp_path: Path
):
    path = saved(tmp_path / "k.zip", project, library)
    changed(path, lambda entry: entry["project"]["draft"]["speakers"][2].update(kind="reference", reference=own_voice))
    assert opened(path, library).project.draft.speakers[2]["reference"] == ""


def test_an_archive_of_something_else_is_no_project(tmp_path: Path, library: VoiceLibrary):
    write_archive(tmp_path / "x.zip", [("takes/000000000000.npz", b"x")])
    with pytest.raises(StudioError, match=r"it has no project.json"):
        opened(tmp_path / "x.zip", library)
    write_archive(tmp_path / "x.zip", [("project.json", b"[" * 100_000)])
    with pytest.raises(StudioError, match="cannot be read"):
        opened(tmp_path / "x.zip", library)


def test_opening_tells_how_far_it_is(project: Project, library: VoiceLibrary, tmp_path: Path):
    told: list[tuple[int, int]] = []
    path = saved(tmp_path / "k.zip", project, library)
    open_project(path, library, CODEC, TITLE, say=lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(6)]
