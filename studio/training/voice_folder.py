"""A folder with recordings of one voice: what can be trained on, and what cannot and why.

Sound files lie anywhere in the folder. What is said in `clip.wav` stands in `clip.txt` beside it, or in the folder's
`metadata.csv` (columns `file` and `text`; the file as a path from the folder). A clip that cannot be used is named
with the reason, and the others are used; nothing in the folder is changed.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studio.audio import CLIPPED_SHARE, Audio, read_recording, shown_name
from studio.errors import BadAudio, StudioError
from studio.text import clean, control_tokens, speakable
from studio.training.corpus import levelled, trimmed
from studio.voices import LONGEST_REFERENCE_SECONDS, MAX_TRANSCRIPT_CHARACTERS

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".m4a", ".aac", ".opus", ".wma")  # the last four by name
METADATA = "metadata.csv"
MOST_CLIPS = 5_000
SHORTEST_SECONDS = 0.5  # a single word
FEWEST_CLIPS = 6
FEWEST_SECONDS = 15.0
ADVISED_SECONDS = 300.0
FASTEST, SLOWEST = 0.025, 0.5  # seconds of speech for a byte of UTF-8 text; ordinary speech takes 0.075
HELD_OUT_SHARE = 0.1
FEWEST_HELD_OUT, MOST_HELD_OUT = 1, 20


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording that can be trained on: trimmed, levelled, with what is said in it."""

    name: str  # path from the folder
    text: str
    audio: Audio  # [1, N], at the file's own rate


@dataclass(frozen=True)
class Remark:
    """What has to be said about one file."""

    name: str
    sentence: str
    left_out: bool  # whether the clip is not used because of it

    def __str__(self) -> str:
        return f"{'left out' if self.left_out else 'note'}  {self.name}: {self.sentence}"


@dataclass(frozen=True)
class VoiceFolder:
    """What a folder holds."""

    clips: tuple[Clip, ...]
    remarks: tuple[Remark, ...]

    @property
    def duration_seconds(self) -> float:
        """Length of all clips that can be used, their quiet ends cut."""
        return sum(clip.audio.duration_seconds for clip in self.clips)

    def check(self) -> None:
        """Make sure that there is enough to train on.

        Raises:
            StudioError: there are too few clips, or too little sound.
        """
        if len(self.clips) < FEWEST_CLIPS or self.duration_seconds < FEWEST_SECONDS:
            clips = "is 1 usable clip" if len(self.clips) == 1 else f"are {len(self.clips)} usable clips"
            raise StudioError(
                f"There {clips} with {self.duration_seconds:.0f} seconds of speech; at "
                f"least {FEWEST_CLIPS} clips and {FEWEST_SECONDS:.0f} seconds are needed, and some minutes are better. "
                "Mend what is named above, or record more."
            )


def read_voice_folder(folder: Path) -> VoiceFolder:
    """Read and check every clip of a folder.

    Raises:
        StudioError: there is no such folder, it holds no sound files, or its metadata.csv cannot be read.
    """
    if not folder.is_dir():
        raise StudioError(f"There is no folder “{shown_name(str(folder))}”. Give the folder that holds the recordings.")
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    }
    if not paths:
        raise StudioError(
            f"There are no sound files in “{shown_name(str(folder))}”. Put WAV, FLAC, Ogg, MP3 or AIFF files there, "
            "each with a text file of the same name that holds its words."
        )
    if len(paths) > MOST_CLIPS:
        raise StudioError(f"There are {len(paths):,} sound files; at most {MOST_CLIPS:,} are read. Take the best ones.")
    words, remarks = _metadata(folder / METADATA, paths)
    clips: dict[str, Clip] = {}  # by a hash of the sound
    for name, path in paths.items():
        made = _read_clip(name, path, words.get(name))
        for item in made:
            if isinstance(item, Remark):
                remarks.append(item)
            elif (twin := clips.setdefault(_hash_of(item.audio), item)) is not item:
                remarks.append(Remark(name, f"It is the same sound as {twin.name}.", left_out=True))
    return VoiceFolder(tuple(clips.values()), tuple(remarks))


def _metadata(path: Path, clips: Mapping[str, Path]) -> tuple[dict[str, str], list[Remark]]:
    """Words by file name from the table, and what is wrong with its rows."""
    if not path.is_file():
        return {}, []
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError):  # pandas' errors about encodings and rows are ValueErrors
        raise StudioError(
            f"{METADATA} cannot be read. Save it as comma-separated UTF-8 text with a first row “file,text”, and put "
            "texts that hold commas between quotation marks."
        ) from None
    if not {"file", "text"} <= set(table.columns):
        found = ", ".join(map(str, table.columns[:6]))
        raise StudioError(f"{METADATA} needs the columns “file” and “text” in its first row; it has: {found}.")
    words: dict[str, str] = {}
    remarks: list[Remark] = []
    for file, text in zip(table["file"], table["text"], strict=True):
        name = str(file).strip().replace("\\", "/").removeprefix("./")
        if name not in clips:
            remarks.append(
                Remark(shown_name(name), f"{METADATA} names it, but it is no sound file in the folder.", left_out=True)
            )
        elif words.setdefault(name, str(text)) != str(text):
            remarks.append(
                Remark(name, f"{METADATA} has two different texts for it; the first is used.", left_out=False)
            )
    return words, remarks


def _read_clip(name: str, path: Path, in_table: str | None) -> Iterator[Clip | Remark]:
    """One clip if it can be used, and remarks on it."""
    try:
        text = _transcript(path, in_table)
        recording = read_recording(
            path, name, shortest_seconds=SHORTEST_SECONDS, longest_seconds=LONGEST_REFERENCE_SECONDS
        )
        audio = levelled(trimmed(recording.audio))
        _check_sound(recording.audio, audio, text)
    except (BadAudio, _Unusable) as problem:
        yield Remark(name, str(problem), left_out=True)
        return
    notes = list(recording.notes)
    if found := control_tokens(text):
        notes.append(f"{', '.join(found)} is read as ordinary text.")
    yield from (Remark(name, note, left_out=False) for note in notes)
    yield Clip(name, text, audio)


class _Unusable(Exception):
    """Why a clip is left out."""


def _transcript(path: Path, in_table: str | None) -> str:
    """What is said in a clip: the table's row, or the text file beside it."""
    beside = path.with_suffix(".txt")
    if in_table is None:
        try:
            in_table = beside.read_text("utf-8-sig")
        except FileNotFoundError:
            raise _Unusable(
                f"It has no transcript. Write what is said into {beside.name}, or into {METADATA}."
            ) from None
        except (OSError, UnicodeDecodeError):
            raise _Unusable(f"{beside.name} cannot be read. Save it as UTF-8 text.") from None
    text = " ".join(clean(in_table).split())
    if not speakable(text):
        raise _Unusable("Its transcript is empty. Write what is said in it.")
    if len(text) > MAX_TRANSCRIPT_CHARACTERS:
        raise _Unusable(
            f"Its transcript has {len(text):,} characters; at most {MAX_TRANSCRIPT_CHARACTERS:,} are read. Split it up."
        )
    return text


def _check_sound(recorded: Audio, audio: Audio, text: str) -> None:
    """Refuse what would teach the wrong thing. `audio` is `recorded`, trimmed."""
    clipped = float(np.mean(np.abs(recorded.samples) >= 0.999))
    if clipped > CLIPPED_SHARE:
        raise _Unusable(f"{clipped:.0%} of it is clipped. Record it again, quieter.")
    seconds_a_byte = audio.duration_seconds / len(text.encode())
    if not FASTEST <= seconds_a_byte <= SLOWEST:
        much = "more words than can be spoken" if seconds_a_byte < FASTEST else "too few words for what is heard"
        raise _Unusable(
            f"Its transcript has {much} in {audio.duration_seconds:.1f} s. Check that it belongs to this recording."
        )


def _hash_of(audio: Audio) -> str:
    return hashlib.sha256(f"{audio.sample_rate}|".encode() + audio.samples.tobytes()).hexdigest()


def held_out(clips: Sequence[Clip], seed: int) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and clips whose words are in none of them: about a tenth, drawn by the seed.

    Adding clips to the folder moves few of the others between the two.
    """
    wanted = min(MOST_HELD_OUT, max(FEWEST_HELD_OUT, round(HELD_OUT_SHARE * len(clips))))
    texts = sorted({clip.text.casefold() for clip in clips}, key=lambda text: random.Random(f"{seed} {text}").random())
    kept: list[Clip] = []
    apart: set[str] = set()
    for text in texts[:-1]:  # something must be left to train on
        if len(kept) >= wanted:
            break
        apart.add(text)
        kept += [clip for clip in clips if clip.text.casefold() == text]
    return [clip for clip in clips if clip.text.casefold() not in apart], kept
