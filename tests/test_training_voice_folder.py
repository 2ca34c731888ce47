"""What is said of a folder of recordings: every problem by file, in words; the sound clips are used all the same."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Audio, write_flac, write_wav
from studio.consent import Consent
from studio.errors import StudioError
from studio.training.consent import read_consent
from studio.training.voice_folder import Clip, VoiceFolder, held_out, read_voice_folder

RATE = 16_000
WORDS = "Come in and sit down."


def humming(seconds: float, seed: int = 0, level: float = 0.1) -> Audio:
    """Something that is neither silent nor clipped; another seed is another sound."""
    time = np.arange(round(seconds * RATE)) / RATE
    return Audio((level * np.sin(2 * np.pi * (150 + seed) * time))[None], RATE)


def add(folder: Path, name: str, audio: Audio, words: str | None = WORDS) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    (write_flac if path.suffix == ".flac" else write_wav)(audio, path)
    if words is not None:
        path.with_suffix(".txt").write_text(words, "utf-8")


def left_out(found: VoiceFolder) -> dict[str, str]:
    return {remark.name: remark.sentence for remark in found.remarks if remark.left_out}


def test_each_problem_is_told_by_file_and_the_others_are_used(tmp_path: Path):
    add(tmp_path, "good.wav", humming(2))
    add(tmp_path, "sub/also-good.flac", humming(2, 1), "Es ist schön — hier.")
    add(tmp_path, "silent.wav", Audio(np.zeros((1, 2 * RATE)), RATE))
    add(tmp_path, "short.wav", humming(0.2))
    add(tmp_path, "long.wav", humming(31))
    clipped = np.sign(humming(2, 2).samples)
    add(tmp_path, "clipped.wav", Audio(clipped, RATE))
    (tmp_path / "broken.mp3").write_bytes(b"not sound at all")
    (tmp_path / "broken.txt").write_text(WORDS)
    (tmp_path / "apple.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (tmp_path / "apple.txt").write_text(WORDS)
    add(tmp_path, "wordless.wav", humming(2, 3), None)
    add(tmp_path, "blank.wav", humming(2, 4), " … \n")
    add(tmp_path, "other-words.wav", humming(1, 5), WORDS * 10)
    add(tmp_path, "hardly-words.wav", humming(9, 6), "No.")
    add(tmp_path, "twin.wav", humming(2))
    (tmp_path / "latin.txt").write_bytes("für".encode("latin-1"))
    add(tmp_path, "latin.wav", humming(2, 7), None)

    found = read_voice_folder(tmp_path)

    assert {clip.name: clip.text for clip in found.clips} == {
        "good.wav": WORDS,
        "sub/also-good.flac": "Es ist schön — hier.",
    }
    told = left_out(found)
    for name, part in {
        "silent.wav": "is silent",
        "short.wav": "lasts 0.20 s; at least 0.5 s",
        "long.wav": "lasts 31 seconds; at most 30",
        "clipped.wav": "of it is clipped. Record it again, quieter.",
        "broken.mp3": "is no recording the studio can read",
        "apple.m4a": "Choose WAV, FLAC, Ogg, MP3 or AIFF",
        "wordless.wav": "It has no transcript. Write what is said into wordless.txt",
        "blank.wav": "transcript is empty",
        "other-words.wav": "more words than can be spoken in 1.",
        "hardly-words.wav": "too few words for what is heard in 9.",
        "twin.wav": "the same sound as good.wav",
        "latin.wav": "latin.txt cannot be read. Save it as UTF-8",
    }.items():
        assert part in told.pop(name), name
    assert told == {}
    with pytest.raises(StudioError, match="There are 2 usable clips with 4 seconds of speech; at least 6 clips"):
        found.check()


def test_words_may_stand_in_a_table_and_its_faults_are_told(tmp_path: Path):
    for number in range(3):
        add(tmp_path, f"wavs/{number}.wav", humming(2, number), None)
    rows = ["file,text", 'wavs/0.wav,"Come in, and sit down."', "wavs\\1.wav,Come in now.", "wavs/9.wav,Gone away."]
    (tmp_path / "metadata.csv").write_text("\n".join([*rows, "wavs/0.wav,Something else."]), "utf-8-sig")
    found = read_voice_folder(tmp_path)
    assert [clip.text for clip in found.clips] == ["Come in, and sit down.", "Come in now."]
    assert "no sound file in the folder" in left_out(found)["9.wav"]
    assert "no transcript" in left_out(found)["wavs/2.wav"]
    assert any("two different texts" in remark.sentence and not remark.left_out for remark in found.remarks)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("path,words\na.wav,Hello there.", "needs the columns “file” and “text” in its first row; it has: path, words"),
        ('file,text\na.wav,"Hello\nb.wav,x,y,z', "cannot be read. Save it as comma-separated UTF-8"),
        ("", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, table: str, sentence: str):
    add(tmp_path, "a.wav", humming(2), None)
    (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(StudioError, match=sentence):
        read_voice_folder(tmp_path)


def test_a_folder_that_is_not_there_or_holds_nothing_is_refused(tmp_path: Path):
    with pytest.raises(StudioError, match="There is no folder"):
        read_voice_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(StudioError, match="There are no sound files"):
        read_voice_folder(tmp_path)


def test_held_out_words_are_in_no_clip_that_is_trained_on():
    clips = [Clip(f"{number}.wav", f"Sentence {number // 2}.", humming(1, number)) for number in range(40)]
    training, apart = held_out(clips, seed=3)
    assert len(training) + len(apart) == 40
    assert len(apart) == 4
    assert {clip.text for clip in training}.isdisjoint(clip.text for clip in apart)
    assert [clip.name for clip in held_out(clips, seed=3)[1]] == [clip.name for clip in apart]
    assert [clip.name for clip in held_out(clips, seed=4)[1]] != [clip.name for clip in apart]
    few_training, few_apart = held_out(clips[:6], seed=3)
    assert few_training
    assert few_apart


# ---- consent ----


def test_consent_is_stated_or_lies_in_the_folder(tmp_path: Path):
    stated = read_consent(tmp_path, "Alma  Example; her guardian; 2026-11-20; For us; not for others.")
    assert stated == Consent("Alma Example", "her guardian", "For us; not for others.", "2026-11-20")
    assert stated.sentence == (
        "The voice is that of Alma Example. her guardian said on 2026-11-20: “For us; not for others.”"
    )
    in_folder = Consent("Alma", "Alma", "Any use.", "2026-11-19")
    (tmp_path / "consent.json").write_text(json.dumps(in_folder.as_json() | {"more": "is ignored"}))
    assert read_consent(tmp_path) == in_folder
    assert read_consent(tmp_path, "B; B; 2026-01-01; Any use.").whose == "B"


@pytest.mark.parametrize(
    ("stated", "file", "sentence"),
    [
        ("", None, "There is no statement of consent. State whose voice it is, who says so, when"),
        ("yes", None, "--consent is not enough. Say whose voice it is, who says so"),
        ("Alma; ; 2026-11-20; Any use.", None, "Say whose voice it is, who says so"),
        ("Alma; Alma; 2026-11-20", None, "what it may be used for"),
        ("Alma; Alma; last week; Any use.", None, "Give the day on which it was said"),
        (f"Alma; Alma; {date.today() + timedelta(days=2)}; Any use.", None, "is in the future"),
        ("", "{", "consent.json cannot be read as JSON"),
        ("", "[" * 100_000, "consent.json cannot be read as JSON"),
        ("", "[]", "consent.json is not enough"),
        (
            "",
            '{"whose": "Alma", "said_by": "Alma", "statement": "Any use."}',
            "consent.json is not enough. Give the day",
        ),
    ],
)
def test_without_whose_by_whom_and_when_there_is_no_consent(
    tmp_path: Path, stated: str, file: str | None, sentence: str
):
    if file is not None:
        (tmp_path / "consent.json").write_text(file)
    with pytest.raises(StudioError, match=sentence):
        read_consent(tmp_path, stated)
