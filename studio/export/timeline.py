"""The timeline as JSON: every line with its frames and its file, and what made them."""

from collections.abc import Mapping
from typing import Any

from studio.export.origin import Origin
from studio.takes import Placement, Reading

SCHEMA = 1


def as_timeline(
    reading: Reading,
    origin: Origin,
    mix: Mapping[str, Any],
    stems: Mapping[tuple[int, ...], str],
    lines: Mapping[Placement, str],
) -> dict[str, Any]:
    """The timeline of a reading.

    Args:
        reading: What is heard.
        origin: What made it.
        mix: The file of the mix, and the factor its samples and those of the stems and lines were multiplied by.
        stems: The file of each stem, by the speakers in it.
        lines: The file of each take.
    """
    first = reading.placements[0].take
    names = [speaker.name for speaker in reading.conversation.speakers]
    return {
        "schema": SCHEMA,
        "title": origin.title,
        "made_by": origin.as_json(reading),
        "mix": mix["mix"],
        "gain": mix["gain"],
        "mixing": reading.mixing.as_json(),
        "sample_rate": first.audio.sample_rate,
        "frame_rate": first.codes.frame_rate,
        "frames": max(place.start_frame + place.take.codes.frames for place in reading.placements),
        "seconds": reading.duration_seconds,
        "stems": [{"speakers": [names[index] for index in who], "file": file} for who, file in stems.items()],
        "lines": [_line(reading, place, lines[place]) for place in reading.placements],
    }


def _line(reading: Reading, place: Placement, file: str) -> dict[str, Any]:
    take, conversation = place.take, reading.conversation
    return {
        "numbers": [reading.conversation.line_number(index) for index in place.lines],
        "speakers": [conversation.speakers[conversation.lines[index].speaker].name for index in place.lines],
        "texts": [conversation.lines[index].text for index in place.lines],
        "start_frame": place.start_frame,
        "frames": take.codes.frames,
        "start": place.start_seconds,
        "end": place.stop_seconds,
        "file": file,
        "seed": take.sampling.seed,
        "temperature": take.sampling.temperature,
        "stop": take.stop.value,
        "findings": list(take.health.reasons),
        "codes_sha256": take.codes.fingerprint,
    }
