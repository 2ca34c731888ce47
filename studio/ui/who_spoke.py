"""Who spoke: a project's lines against the voices of its cast, as a table of the page."""

from typing import Any

from studio.audio import Audio
from studio.errors import BadConversation, BadSetting
from studio.lab.speaker_match import SpeakerMatch
from studio.project import Project
from studio.takes import Take
from studio.ui.studio import Studio

ABOUT = (
    "Share of each voice in each line, by the shape of the spectrum and the pitch (no learnt embedding): a hint, not a "
    "proof. A line is marked when another voice of the cast is clearly closer than its own."
)

Data = dict[str, Any]


def who_spoke(studio: Studio, project: Project) -> Data:
    """The matrix of lines against voices, with the lines marked that sound like somebody else.

    Raises:
        BadSetting: there are no two voices, or no line that one speaker speaks alone.
    """
    lines = [
        (line, placement.take)
        for reading in project.readings()
        for placement in reading.placements
        if len(placement.lines) == 1
        for line in [reading.conversation.lines[placement.lines[0]]]
    ]
    if not lines:
        raise BadSetting("No line has been spoken by itself yet. Speak the conversation line by line first.")
    first: dict[int, Take] = {}
    for line, take in lines:
        first.setdefault(line.speaker, take)
    voices = {index: _voice(studio, project, index, take) for index, take in sorted(first.items())}
    if len(voices) < 2:
        raise BadSetting("Only one speaker has spoken yet, so there is nobody to be mistaken for.")
    cast = list(voices)
    match = SpeakerMatch.of([take.audio for _, take in lines], list(voices.values()))
    swapped = match.swapped([cast.index(line.speaker) for line, _ in lines])
    names = project.draft.names
    return {
        "voices": [names[index] for index in cast],
        "lines": [
            {
                "row": line.row,
                "number": line.number,
                "speaker": names[line.speaker],
                "similarity": [round(float(value), 3) for value in match.similarity[at]],
                "swapped": at in swapped,
            }
            for at, (line, _) in enumerate(lines)
        ],
        "about": ABOUT,
    }


def _voice(studio: Studio, project: Project, speaker: int, first_take: Take) -> Audio:
    """How a speaker should sound: the reference as the codec hears it, or the first line of who has none."""
    chosen = project.draft.speakers[speaker]
    if chosen["kind"] != "reference":
        return first_take.audio
    try:
        audio = studio.voices.find(chosen["reference"]).reference.audio
    except BadConversation:
        return first_take.audio
    return studio.codec.decode(studio.codec.encode(audio)) if audio else first_take.audio
