"""What is exported says exactly when each frame is, sums to the mix, tells what made it, and is the same each time."""

import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from studio.audio import Audio
from studio.errors import BadConversation, BadSetting
from studio.export.bundle import line_name, mix_file, stem_names, write_bundle
from studio.export.cues import as_labels, as_srt, as_vtt, cues_of
from studio.export.origin import Origin, VoiceOrigin, voices_of
from studio.export.sounds import FORMS, headroom, sound_file, sound_form
from studio.mixing import Mixing
from studio.project import Project
from studio.takes import Reading
from studio.version import STUDIO, VERSION
from studio.voice_library import VoiceLibrary
from tests.conftest import ROOT
from tests.projects import FRAME_RATE, HOP, RATE, a_draft, a_project, a_take

CONSENT = {"whose": "Alma", "said_by": "Alma A.", "statement": "Use it for tests.", "date": "2026-01-02"}
PLAIN = Mixing()
ORIGIN = Origin("Kitchen <b>", (VoiceOrigin("Alma", "reference", "Alma", "CC0", CONSENT),), "a codec", "a licence")


def a_reading(mixing: Mixing = PLAIN) -> Reading:
    project = replace(a_project(10, 20, 5, 30), mixing=mixing).nudging("r3", -0.2, FRAME_RATE)
    (reading,) = project.readings()
    return reading


def db(values: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(values, dtype=np.float64)) + 1e-30))


def seconds_of(clock: str) -> float:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


# ---- times ----


def test_cues_are_frames_over_frame_rate():
    reading = a_reading()
    cues = cues_of(reading)
    assert [(cue.start_frame, cue.stop_frame) for cue in cues] == [(0, 10), (19, 39), (34, 39), (48, 78)]
    for written in (as_srt(cues), as_vtt(cues)):
        clocks = re.findall(r"(\S+) --> (\S+)", written)
        exact = [(cue.start_frame / FRAME_RATE, cue.stop_frame / FRAME_RATE) for cue in cues]
        assert [(seconds_of(start), seconds_of(stop)) for start, stop in clocks] == exact
    labels = [row.split("\t") for row in as_labels(cues).splitlines()]
    assert [(float(start), float(stop)) for start, stop, _ in labels] == exact


def test_cues_hold_after_hours_and_at_any_frame_rate():
    cue = replace(cues_of(a_reading())[0], start_frame=25 * 36_061, stop_frame=25 * 36_061 + 1)
    assert "10:01:01,000 --> 10:01:01,040" in as_srt([cue])
    odd = replace(cue, frame_rate=24_000 / 1_001, start_frame=1_001, stop_frame=10_010)
    start, stop = re.findall(r"\d\d:\d\d:\d\d,\d{3}", as_srt([odd]))
    assert seconds_of(start) == pytest.approx(1_001 / odd.frame_rate, abs=0.0005)
    assert seconds_of(stop) == pytest.approx(10_010 / odd.frame_rate, abs=0.0005)


def test_subtitles_say_who_speaks():
    cues = cues_of(a_reading())
    assert as_srt(cues).startswith("1\n00:00:00,000 --> 00:00:00,400\nAlma: Line 1.\n\n2\n")
    assert as_vtt(cues, "Made --> here").startswith(
        "WEBVTT\n\nNOTE Made → here\n\n1\n00:00:00.000 --> 00:00:00.400\n<v Alma>Line 1.\n\n2\n"
    )
    assert as_labels(cues).splitlines()[1] == "0.760000\t1.560000\tBruno: Line 2."


def test_words_cannot_be_taken_for_times_or_markup():
    project = Project(a_draft((0, "1 --> 2 <b> & {x}\t|")))
    (reading,) = project.adding(project.draft.groups[0], [a_take(5)], 0).readings()
    cues = cues_of(reading)
    assert "Alma: 1 → 2 <b> & {x} |" in as_srt(cues)
    assert "<v Alma>1 → 2 &lt;b&gt; &amp; {x} |" in as_vtt(cues)
    assert as_labels(cues).count("\t") == 2


def test_lines_in_one_breath_are_one_cue():
    project = Project(a_draft((0, "One."), (1, "Two.")))
    (reading,) = project.adding(project.draft.groups[0], [a_take(12)], 0).readings()
    (cue,) = cues_of(reading)
    assert "Alma: One.\nBruno: Two.\n" in as_srt([cue])
    assert list(stem_names(reading).values()) == ["01-alma-bruno"]
    assert line_name(reading, reading.placements[0]) == "001-alma-bruno"


# ---- sound ----


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_every_form_is_read_back_at_its_length_with_its_tags(form):
    reading = a_reading()
    data = mix_file(reading, form, ORIGIN)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        samples = file.read(dtype="float32", always_2d=True).T
        assert (file.samplerate, file.channels) == (RATE, 1)
        assert samples.shape == reading.audio.samples.shape
        assert file.title == "Kitchen <b>"
        for words in ("Synthetic speech", STUDIO, "checkpoint mini", "seeds 0, 1, 2, 3", "Use it for tests."):
            assert words in file.comment
        assert form.key == "mp3" or STUDIO in file.software  # ID3 has no such field here
    difference = samples - reading.audio.samples
    if form.exact:
        assert db(difference) < {"wav32": -290, "wav24": -140, "flac": -140, "wav16": -95}[form.key]
    else:
        assert db(difference) > -90, "a lossy form is said to be one"


def test_an_exact_wav_is_the_mix_bit_for_bit():
    reading = a_reading(Mixing((-2.0,), -20.0, 0.02))
    samples, _ = soundfile.read(io.BytesIO(mix_file(reading, FORMS["wav32"], ORIGIN)), dtype="float32")
    assert np.array_equal(samples, reading.audio.samples[0])


def test_what_is_too_loud_for_a_form_is_lowered_not_clipped():
    loud = Audio(np.array([[0.0, 2.0, -1.0]]), RATE)
    assert headroom(loud.peak, FORMS["wav32"]) == 1.0
    factor = headroom(loud.peak, FORMS["wav16"])
    data = sound_file(Audio(loud.samples * factor, RATE), FORMS["wav16"])
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert samples == pytest.approx([0, 1, -0.5], abs=1e-4)


@pytest.mark.parametrize("key", ["mp3", "opus"])
def test_a_rate_that_a_form_does_not_know_is_converted(key: str):
    audio = Audio(0.1 * np.random.default_rng(0).standard_normal((1, 11_025)), 11_025)
    samples, rate = soundfile.read(io.BytesIO(sound_file(audio, FORMS[key])))
    assert rate in FORMS[key].rates
    assert len(samples) / rate == pytest.approx(1.0, abs=0.01)


def test_an_unknown_form_is_said():
    with pytest.raises(BadSetting, match=r"no sound format “aac”. There are: wav32, wav24, wav16, flac, mp3, opus"):
        sound_form("aac")


# ---- all of it ----


def unzipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("key", ["wav32", "wav24", "wav16", "flac"])
@pytest.mark.parametrize("mixing", [Mixing(), Mixing((12.0, -3.0), None, 0.05), Mixing(loudness_lufs=-14.0)])
def test_stems_and_lines_sum_to_the_mix(tmp_path: Path, key: str, mixing: Mixing):
    reading = a_reading(mixing)
    write_bundle(tmp_path / "x.zip", [reading], FORMS[key], ORIGIN)
    parts = unzipped(tmp_path / "x.zip")
    ending = FORMS[key].ending

    def sound(name: str) -> np.ndarray:
        return soundfile.read(io.BytesIO(parts[name]), dtype="float64")[0]

    timeline = json.loads(parts["timeline.json"])
    mix = sound(f"mix.{ending}")
    assert len(mix) == 78 * HOP
    assert db(mix - timeline["gain"] * reading.audio.samples[0].astype(np.float64)) < -90
    stems = [sound(stem["file"]) for stem in timeline["stems"]]
    assert {len(stem) for stem in stems} == {len(mix)}, "every stem has the whole length"
    assert db(np.sum(stems, axis=0) - mix) < -90
    lines = np.zeros_like(mix)
    for line in timeline["lines"]:
        start = round(line["start"] * RATE)
        lines[start : start + line["frames"] * HOP] += sound(line["file"])
    assert db(lines - mix) < -90


def test_names_and_numbers_are_stable_and_bytes_the_same(tmp_path: Path):
    for name in ("a.zip", "b.zip"):
        write_bundle(tmp_path / name, [a_reading()], FORMS["wav24"], ORIGIN)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert list(unzipped(tmp_path / "a.zip")) == [
        *("index.html", "timeline.json", "subtitles.srt", "subtitles.vtt", "labels.txt", "mix.wav"),
        *("stems/01-alma.wav", "stems/02-bruno.wav", "stems/03-clara.wav"),
        *("lines/001-alma.wav", "lines/002-bruno.wav", "lines/003-clara.wav", "lines/004-alma.wav"),
    ]


def test_several_conversations_have_folders_and_lines_keep_their_numbers(tmp_path: Path):
    project = Project(a_draft((0, "One."), None, (1, "Two.")))
    for lines in project.draft.groups:
        project = project.adding(lines, [a_take(5)], 0)
    write_bundle(tmp_path / "x.zip", project.readings(), FORMS["wav16"], ORIGIN)
    names = set(unzipped(tmp_path / "x.zip"))
    assert {"conversation-1/lines/001-alma.wav", "conversation-2/lines/002-bruno.wav"} < names


def test_nothing_spoken_is_said(tmp_path: Path):
    with pytest.raises(BadConversation, match="Nothing is spoken yet"):
        write_bundle(tmp_path / "x.zip", [], FORMS["wav16"], ORIGIN)


def test_the_timeline_tells_frames_files_and_what_made_it(tmp_path: Path):
    reading = a_reading()
    write_bundle(tmp_path / "x.zip", [reading], FORMS["wav16"], ORIGIN)
    timeline = json.loads(unzipped(tmp_path / "x.zip")["timeline.json"])
    made = timeline["made_by"]
    assert (made["synthetic"], made["studio"], made["checkpoints"]) == (True, STUDIO, ["mini"])
    assert made["seeds"] == [0, 1, 2, 3]
    assert made["voices"][0]["consent"] == CONSENT
    assert (timeline["frames"], timeline["seconds"], timeline["frame_rate"]) == (78, 3.12, 25.0)
    second = timeline["lines"][1]
    assert (second["numbers"], second["speakers"], second["texts"]) == ([2], ["Bruno"], ["Line 2."])
    assert (second["start_frame"], second["frames"], second["start"], second["end"]) == (19, 20, 0.76, 1.56)
    assert second["codes_sha256"] == reading.placements[1].take.codes.fingerprint


def test_the_page_asks_nothing_of_other_sites_and_escapes_what_people_wrote(tmp_path: Path):
    project = Project(a_draft((0, "<script>alert(1)</script> $mix ${title}")))
    (reading,) = project.adding(project.draft.groups[0], [a_take(5)], 0).readings()
    write_bundle(tmp_path / "x.zip", [reading], FORMS["mp3"], ORIGIN)
    page = unzipped(tmp_path / "x.zip")["index.html"].decode()
    assert "://" not in page
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $mix ${title}" in page
    assert "<h1>Kitchen &lt;b&gt;</h1>" in page
    assert 'src="mix.mp3"' in page
    assert 'data-start="0.0" data-stop="0.2"' in page


def test_voices_are_told_with_their_origin(voices: VoiceLibrary):
    alma, bruno, _ = voices_of(a_draft(), voices)
    assert (alma.kind, alma.about, alma.licence) == ("reference", "Alma", voices.find("bundled:alma").licence)
    assert (bruno.kind, bruno.about) == ("smart", "")
    gone = replace(a_draft(), speakers=({"name": "X", "kind": "reference", "description": "", "reference": "own:1"},))
    assert voices_of(gone, voices)[0].about == "own"


def test_the_version_is_the_one_of_the_package():
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text("utf-8")
