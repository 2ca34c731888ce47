"""What is said when: speech by espeak-ng's library, which tells each phone's time and the word it belongs to.

The program tells only sound. Where the letters are known, a model can be led to them, see `speech_model.py`. The
library carries something over from one clip to the next, so the same text comes out a few samples and milliseconds
apart. One thread at a time.
"""

import ctypes
import shutil
import tempfile
import zlib
from collections import Counter
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from studio.audio import Audio
from studio.errors import StudioError
from studio.training.drawn_variants import add_variant, is_drawn, linked_data
from studio.training.espeak import EspeakVoice

PHONE_CLASSES = 128  # each accent has phones of its own; their names fall into so many classes by checksum
_SYNCHRONOUS, _UTF8 = 2, 1  # of espeak-ng's speak_lib.h, as are the numbers below
_PHONE_EVENTS, _DO_NOT_EXIT = 1, 0x8000
_RATE, _PITCH = 1, 3
_END_OF_LIST, _WORD, _PHONE = 0, 1, 7


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Phone:
    """One phone, and the stretch of text it stands for: a word's phones share its letters evenly."""

    name: str
    start: float  # seconds
    end: float
    from_letter: float  # of the text, counted from 0
    to_letter: float


@dataclass(frozen=True, eq=False)
class TimedText:
    """A text, and for each frame of its speech where in the text it is and which phone is heard.

    Shapes: float32 `[T]`, letters from 0; int64 `[T]`, classes under `PHONE_CLASSES`; float32 `[V]`, whose voice it is
    (`coded_voices.py`), if that is known.
    """

    text: str
    letters: np.ndarray
    phones: np.ndarray
    voice: np.ndarray | None = None


def phone_class(name: str) -> int:
    """The class of a phone's name; length marks do not count."""
    return zlib.crc32(name.rstrip(":").encode()) % PHONE_CLASSES


def timed_text(text: str, phones: tuple[Phone, ...], begin: float, frames: int, frame_rate: float) -> TimedText:
    """Letters and phones in the middle of each frame.

    Args:
        text: What is said.
        phones: In time's order, at least one.
        begin: Seconds of the speech that come before the first frame; below 0 where silence was put before it.
        frames: How many.
        frame_rate: Hz.
    """
    times = begin + (np.arange(frames) + 0.5) / frame_rate
    heard = np.searchsorted([phone.start for phone in phones], times, side="right") - 1
    letters, classes = np.zeros(frames, np.float32), np.zeros(frames, np.int64)
    for frame, (index, time) in enumerate(zip(heard.clip(min=0), times, strict=True)):
        phone = phones[index]
        done = min(1.0, max(0.0, (time - phone.start) / max(phone.end - phone.start, 1e-3)))
        letters[frame] = phone.from_letter + done * (phone.to_letter - phone.from_letter)
        classes[frame] = phone_class(phone.name)
    return TimedText(text, letters, classes)


def speak_timed(text: str, voice: EspeakVoice, sample_rate: int = 24_000) -> tuple[Audio, tuple[Phone, ...]]:
    """Speak a text, as `synthesise` does, and say when. Shape of the samples: `[1, N]`, at espeak's own level.

    Raises:
        StudioError: the library is not installed, does not know the voice, or could not speak.
    """
    library, rate, data = _library()
    if is_drawn(voice.variant):
        add_variant(data, voice.variant)
    samples, events = [np.zeros(0, np.int16)], list[tuple[int, int, int, float, str]]()

    def take(wave: Any, count: int, told: Any) -> int:
        if count > 0 and wave:
            samples.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while told[index].type != _END_OF_LIST:
            event = told[index]
            name = event.name.decode(errors="replace") if event.type == _PHONE else ""
            events.append((event.type, event.text_position - 1, event.length, event.audio_position / 1000, name))
            index += 1
        return 0

    callback = _callback_type()(take)
    library.espeak_SetSynthCallback(callback)
    name = f"{voice.accent}+{voice.variant}".encode()
    if library.espeak_SetVoiceByName(name) and library.espeak_SetVoiceByProperties(
        ctypes.byref(_Voice(languages=name))  # as the program does: some voices are known by their language alone
    ):
        raise StudioError(f"espeak-ng has no voice {voice.accent}+{voice.variant}.")
    library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
    library.espeak_SetParameter(_PITCH, voice.pitch, 0)
    written = text.encode() + b"\n\0"  # the line break ends the sentence, as in the program
    status = library.espeak_Synth(written, len(written), 0, 1, 0, _UTF8, None, None)
    if status or not any(kind == _PHONE for kind, *_ in events):
        raise StudioError(f"espeak-ng could not speak “{text}” as {voice}.")
    sound = Audio(np.concatenate(samples).astype(np.float32)[None] / 32768, rate)
    return sound.resampled(sample_rate), tuple(_phones(events, sound.duration_seconds, len(text)))


def _phones(events: list[tuple[int, int, int, float, str]], seconds: float, letters: int) -> list[Phone]:
    """Phones with their share of their word's letters; a pause stands at the letter behind what was said before it."""
    word_length = {place: length for kind, place, length, *_ in events if kind == _WORD}
    told = [(place, at, name) for kind, place, _, at, name in events if kind == _PHONE]
    ends = [at for _, at, _ in told[1:]] + [seconds]
    count = Counter(place for place, _, name in told if not name.startswith("_"))
    seen, phones, letter = Counter[int](), list[Phone](), 0.0
    for (place, at, name), end in zip(told, ends, strict=True):
        if name.startswith("_"):
            first, letter = letter, min(letter + 1, letters - 1)
        else:
            share = word_length.get(place, 1) / count[place]
            first = place + seen[place] * share
            letter = first + share
            seen[place] += 1
        phones.append(Phone(name, at, max(at, end), first, letter))
    return phones


@cache
def _callback_type() -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _library() -> tuple[Any, int, Path]:
    """The library, made ready once for this process, its sample rate in Hz, and its data, which variants can join."""
    path, data = find_library("espeak-ng"), None
    program = shutil.which("espeak-ng")
    packed = Path(program).parent if program else None
    if packed and (packed / "espeak-ng-data").is_dir():  # a folder made by scripts/pack_espeak.py
        path, data = str(_load_packed(packed / "lib")), str(packed).encode()
    if path is None:
        raise StudioError(
            "The library of espeak-ng is not installed. On Debian or Ubuntu: apt install espeak-ng; on macOS: brew "
            "install espeak-ng."
        )
    library = ctypes.CDLL(path)
    _started(library, data)
    found = ctypes.c_char_p()
    library.espeak_Info(ctypes.byref(found))
    own = linked_data(Path((found.value or b"").decode()), Path(_links().name))
    library.espeak_Terminate()
    return library, _started(library, str(own.parent).encode()), own


@cache
def _links() -> tempfile.TemporaryDirectory[str]:
    """Kept until the process ends."""
    return tempfile.TemporaryDirectory(prefix="espeak-")


def _started(library: Any, data: bytes | None) -> int:
    """Start the library with the data of a folder, or its own. Its sample rate in Hz."""
    rate: int = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONE_EVENTS | _DO_NOT_EXIT)
    if rate <= 0:
        raise StudioError("espeak-ng's library could not be started: its voices were not found.")
    return rate


def _load_packed(folder: Path) -> Path:
    """Load the libraries that espeak-ng's own needs, each after those that it needs itself; gives that one's path."""
    waiting = sorted(folder.iterdir())
    while waiting:
        failed = [path for path in waiting if not _loads(path)]
        if len(failed) == len(waiting):
            raise StudioError(f"{failed[0]} cannot be loaded here. Pack espeak-ng on a machine like this one.")
        waiting = failed
    return next(path for path in sorted(folder.iterdir()) if path.name.startswith("libespeak-ng"))


def _loads(path: Path) -> bool:
    try:
        ctypes.CDLL(str(path))
    except OSError:
        return False
    return True
