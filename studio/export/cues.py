"""Cues: when which words are heard, as subtitles and labels. Every time is a frame's: frames / frame rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from studio.takes import Reading


@dataclass(frozen=True)
class Cue:
    """What is heard from one frame to another."""

    start_frame: int
    stop_frame: int  # end excluded
    frame_rate: float  # Hz
    lines: tuple[tuple[str, str], ...]  # (speaker, text): several when spoken in one breath

    @property
    def start_seconds(self) -> float:
        """When it begins."""
        return self.start_frame / self.frame_rate

    @property
    def stop_seconds(self) -> float:
        """When it ends."""
        return self.stop_frame / self.frame_rate


def cues_of(reading: Reading) -> list[Cue]:
    """The cues of a reading, by their beginning."""
    conversation = reading.conversation
    cues = [
        Cue(
            place.start_frame,
            place.start_frame + place.take.codes.frames,
            place.take.codes.frame_rate,
            tuple(
                (conversation.speakers[line.speaker].name, line.text)
                for line in map(conversation.lines.__getitem__, place.lines)
            ),
        )
        for place in reading.placements
    ]
    return sorted(cues, key=lambda cue: (cue.start_frame, cue.stop_frame))


def as_srt(cues: Sequence[Cue]) -> str:
    """SubRip subtitles. The speaker stands before the text, as subtitles for the deaf do."""
    blocks = [
        f"{number}\n{_clock(cue.start_frame, cue, ',')} --> {_clock(cue.stop_frame, cue, ',')}\n{_plain(cue)}\n"
        for number, cue in enumerate(cues, 1)
    ]
    return "\n".join(blocks)


def as_vtt(cues: Sequence[Cue], note: str = "") -> str:
    """WebVTT subtitles with the speaker as voice span: `<v Alma>Good morning.`."""
    head = f"WEBVTT\n\n{f'NOTE {_one_line(note)}{chr(10)}{chr(10)}' if note else ''}"
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = "\n".join(f"<v {_escaped(name).replace(chr(39), '’')}>{_escaped(words)}" for name, words in cue.lines)
        times = f"{_clock(cue.start_frame, cue, '.')} --> {_clock(cue.stop_frame, cue, '.')}"
        blocks.append(f"{number}\n{times}\n{text}\n")
    return head + "\n".join(blocks)


def as_labels(cues: Sequence[Cue]) -> str:
    """A label track for Audacity: start, end and text, by tabs, in seconds."""
    rows = [
        f"{cue.start_seconds:.6f}\t{cue.stop_seconds:.6f}\t{' / '.join(f'{name}: {text}' for name, text in cue.lines)}"
        for cue in cues
    ]
    return "".join(f"{row}\n" for row in rows)


def _clock(frame: int, cue: Cue, comma: str) -> str:
    """Hours, minutes, seconds and milliseconds: all that subtitles can say (25 frames/s are 40 ms each, exactly)."""
    milliseconds = round(frame * 1000 / Fraction(cue.frame_rate))
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{comma}{rest:03}"


def _plain(cue: Cue) -> str:
    """Text that cannot be taken for times or for another cue."""
    return "\n".join(_one_line(f"{name}: {text}").replace("-->", "→") for name, text in cue.lines)


def _escaped(text: str) -> str:
    return _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("-->", "→")
