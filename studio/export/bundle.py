"""The files of readings: mix, stems and lines, subtitles, labels, timeline, and a page that plays them, as one archive.

    index.html              plays the mix, the transcript follows
    mix.wav                 or .flac, .mp3, .opus, as chosen
    stems/01-alma.wav       each speaker over the whole length: they sum to the mix
    lines/012-alma.wav      each line by its number in the script
    subtitles.srt, subtitles.vtt, labels.txt, timeline.json

Where dividers make several conversations, each has a folder: `conversation-1/` and so on.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from studio.archive import write_archive
from studio.audio import Audio
from studio.errors import BadConversation
from studio.export.cues import as_labels, as_srt, as_vtt, cues_of
from studio.export.origin import Origin
from studio.export.page import as_page
from studio.export.sounds import SoundForm, headroom, scaled, sound_file
from studio.export.timeline import as_timeline
from studio.takes import Placement, Reading
from studio.text import slug

Part = tuple[str, bytes]
NOTHING = "Nothing is spoken yet. Press Generate first: what is heard is what is exported."


def mix_file(reading: Reading, form: SoundForm, origin: Origin) -> bytes:
    """The mix as a sound file with its tags."""
    factor = headroom(reading.audio.peak, form)
    return sound_file(scaled(reading.audio, factor), form, origin.tags(reading, origin.title or "Conversation"))


def stem_names(reading: Reading) -> dict[tuple[int, ...], str]:
    """File names of the stems, without ending: the number in the cast, then the name."""
    return {speakers: f"{speakers[0] + 1:02}-{_who(reading, speakers)}" for speakers in reading.stems}


def line_name(reading: Reading, placement: Placement) -> str:
    """File name of a line, without ending: its number in the script, then who speaks."""
    return f"{reading.conversation.line_number(placement.lines[0]):03}-{_who(reading, reading.speakers(placement))}"


def _who(reading: Reading, speakers: tuple[int, ...]) -> str:
    names = (slug(reading.conversation.speakers[index].name, f"speaker-{index + 1}") for index in speakers)
    return "-".join(names)[:80].strip("-")


def parts_of(reading: Reading, form: SoundForm, origin: Origin) -> Iterator[Part]:
    """Every file of one reading, made one by one. Sounds share one factor where their form has less room."""
    title = origin.title or "Conversation"
    factor = headroom(max(audio.peak for audio in (reading.audio, *reading.stems.values())), form)

    def sound(audio: Audio, about: str) -> bytes:
        return sound_file(scaled(audio, factor), form, origin.tags(reading, f"{title}: {about}" if about else title))

    cues = cues_of(reading)
    stems = {speakers: f"stems/{name}.{form.ending}" for speakers, name in stem_names(reading).items()}
    lines = {place: f"lines/{line_name(reading, place)}.{form.ending}" for place in reading.placements}
    mix = f"mix.{form.ending}"
    timeline = as_timeline(reading, origin, {"mix": mix, "gain": factor}, stems, lines)
    yield "index.html", as_page(reading, origin, mix).encode()
    yield "timeline.json", json.dumps(timeline, indent=1, ensure_ascii=False).encode("utf-8", "replace")
    yield "subtitles.srt", as_srt(cues).encode()
    yield "subtitles.vtt", as_vtt(cues, origin.tags(reading, title)["comment"]).encode()
    yield "labels.txt", as_labels(cues).encode()
    yield mix, sound(reading.audio, "")
    for speakers, name in stems.items():
        yield name, sound(reading.stems[speakers], Path(name).stem)
    for place, name in lines.items():
        yield name, sound(reading.heard(place), Path(name).stem)


def write_bundle(path: Path, readings: Sequence[Reading], form: SoundForm, origin: Origin) -> None:
    """Write the archive of one reading, or of several, each in a folder of its own.

    Raises:
        BadConversation: nothing has been spoken.
    """
    if not readings:
        raise BadConversation(NOTHING)
    write_archive(path, _in_folders(readings, form, origin))


def _in_folders(readings: Sequence[Reading], form: SoundForm, origin: Origin) -> Iterator[Part]:
    for number, reading in enumerate(readings, 1):
        folder = f"conversation-{number}/" if len(readings) > 1 else ""
        for name, content in parts_of(reading, form, origin):
            yield folder + name, content
