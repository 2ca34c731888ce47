"""A project as the page shows it: its mixes as files and pictures, and what is known of the takes of each row."""

import base64
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from studio.audio import Audio, write_wav
from studio.draft import Draft, Row
from studio.lab.metrics import loudness_lufs
from studio.lab.pictures import codes_for_page, mel_for_page
from studio.pauses import without_pauses
from studio.project import KeptTake, Project
from studio.pronunciations import Pronunciations
from studio.takes import Reading, Stop
from studio.text import slug
from studio.workspace import Workspace

ROUTE = "files"  # where the web app serves a folder's files: /files/TOKEN/NAME
PEAK_COLUMNS = 1_500
LOUDNESS_TOLERANCE_LU = 0.2
SHOWN_SILENCE_SECONDS = 0.05
MOST_SHOWN = 64  # projects whose pictures are at hand

WHY_CUT = {
    Stop.BUDGET: "it reached its frame budget before the model ended it: the end may be missing or be babble",
    Stop.SILENCE: "the model fell silent without ending; the silence was cut off",
    Stop.REPETITION: "the model went round in circles; the repetition was cut off",
    Stop.STOPPED: "it was stopped by you",
}

Data = dict[str, Any]


class ProjectViews:
    """Draws projects. What has not changed since it was last drawn is not drawn again."""

    def __init__(self, files: Workspace, peak_memory_bytes: Callable[[], int] = lambda: 0) -> None:
        """Draw into folders of `files`; the facts name the most memory that speaking has taken."""
        self._files = files
        self._peak_memory_bytes = peak_memory_bytes
        self._drawn: OrderedDict[str, tuple[str, dict[str, Data]]] = OrderedDict()  # project -> folder, views by key
        self._revision = 0  # by the clock, so that it also grows over a restart of the server
        self._lock = threading.Lock()

    def of(self, token: str, project: Project, *, can_undo: bool = False) -> Data:
        """What the page needs to show of a project; the mixes lie in a folder of their own, which may be shared."""
        with self._lock:
            self._revision = max(self._revision + 1, time.time_ns() // 1000)
            return {
                "revision": self._revision,  # an older view that comes late is not shown
                "items": self._items(token, project),
                "project": {
                    "token": token,
                    "rows": self.rows(token, project),
                    "mixing": project.mixing.as_json(),
                    "speakers": project.draft.names,
                    "can_undo": can_undo,
                },
            }

    def _items(self, token: str, project: Project) -> list[Data]:
        folder_token, before = self._drawn.pop(token, ("", {}))
        folder = self._files.find(folder_token)
        if folder is None:
            (folder_token, folder), before = self._files.make(), {}
        readings = project.readings()
        drawn: dict[str, Data] = {}
        for index, reading in enumerate(readings):
            title = "Conversation" if len(readings) == 1 else f"Conversation {index + 1}"
            key = _key(project, reading, title)
            if key not in before:
                write_wav(reading.audio, folder / f"{key}.wav")
                before[key] = _view(reading, title) | {"url": f"{ROUTE}/{folder_token}/{key}.wav"}
            drawn[key] = before[key] | {"facts": self._facts(project, reading), "lanes": _lanes(project, reading)}
        for file in folder.glob("*.wav"):
            if file.stem not in drawn:
                file.unlink(missing_ok=True)
        self._drawn[token] = (folder_token, drawn)
        while len(self._drawn) > MOST_SHOWN:
            self._drawn.popitem(last=False)
        return list(drawn.values())

    def _facts(self, project: Project, reading: Reading) -> list[list[str]]:
        facts = reading.facts()
        codes = reading.placements[0].take.codes
        memory = self._peak_memory_bytes()
        return [
            ["Checkpoint", facts["checkpoint"]],
            ["Seed", _seed(project, reading)],
            ["Duration", f"{reading.duration_seconds:.2f} s{_of_it_speech(reading)}"],
            ["Speed", f"RTF {reading.rtf:.2f}, {reading.compute_seconds:.1f} s of work"],
            ["Codes", f"{codes.codebooks} × {codes.frame_rate:g} frames/s, {codes.bitrate_kbps:g} kbit/s"],
            ["Ended by", ", ".join(facts["stop"])],
            *([["Memory", f"{memory / 1e9:.1f} GB at its peak"]] if memory else []),
        ]

    @staticmethod
    def rows(token: str, project: Project) -> dict[str, Data]:
        """What is kept of each row of the draft: its takes, which is heard, and what the row asked for just now."""
        changed = project.changed_rows()
        spoken = Pronunciations(project.draft.pronunciations)
        shown = {}
        for row in project.draft.rows:
            if row and row.id and (kept := project.takes_of(row.id)):
                shown[row.id] = {
                    "chosen": project.chosen.get(row.id, ""),
                    "changed": row.id in changed,
                    "asked": _asked(project.draft, row, spoken),
                    "takes": [_take(token, number, one) for number, one in enumerate(kept, 1)],
                }
        return shown


def _key(project: Project, reading: Reading, title: str) -> str:
    """The same for what sounds and looks the same."""
    said = [(one.start_frame, one.lines, one.take.codes.fingerprint) for one in reading.placements]
    who = [(line.speaker, line.number, line.row) for line in reading.conversation.lines]
    names = [speaker.name for speaker in reading.conversation.speakers]
    return hashlib.sha256(repr((said, who, names, project.mixing, title)).encode()).hexdigest()[:16]


def _view(reading: Reading, title: str) -> Data:
    audio = reading.audio
    return {
        "title": title,
        "file_name": f"{slug(title, 'conversation')}.wav",
        "seconds": round(audio.duration_seconds, 4),
        "peaks": peaks_for_page(audio),
        "mel": mel_for_page(audio),
        "codes": [codes_for_page(one.take.codes) | {"start": one.start_seconds} for one in reading.placements],
        "notes": [
            *(
                f"{reading.conversation.lines_in_words(one.lines)}: {WHY_CUT[one.take.stop]}."
                for one in reading.placements
                if one.take.stop in WHY_CUT
            ),
            *_missed_loudness(reading),
        ],
    }


def _missed_loudness(reading: Reading) -> list[str]:
    """Where the mix is not as loud as was wished, why."""
    wished = reading.mixing.loudness_lufs
    if wished is None:
        return []
    reached = loudness_lufs(reading.audio).value
    if reached is None:
        return ["The mix is too short or too quiet for its loudness to be measured; it is left as it comes."]
    if reached > wished - LOUDNESS_TOLERANCE_LU:
        return []
    return [f"The mix has {reached:.1f} LUFS instead of {wished:g}: its peaks leave no more room."]


def peaks_for_page(audio: Audio, columns: int = PEAK_COLUMNS) -> str:
    """The outline of a sound in 256 steps of its own peak, base64."""
    peaks = audio.peaks(columns)
    scaled = np.round(255 * peaks / max(float(peaks.max()), 1e-6)).astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode("ascii")


def _seed(project: Project, reading: Reading) -> str:
    """The one seed that gives all of it again, if there is one."""
    of_lines = {project.sampling.for_line(index).seed for index in range(len(reading.conversation.lines))}
    if all(one.take.sampling.seed in of_lines for one in reading.placements):
        return str(project.sampling.seed)
    return "one for each take"


def _of_it_speech(reading: Reading) -> str:
    """How much of a duration is no silence between takes, where there is any."""
    silent = reading.duration_seconds - reading.spoken_seconds
    return f", {reading.spoken_seconds:.1f} s of it speech" if silent >= SHOWN_SILENCE_SECONDS else ""


def _lanes(project: Project, reading: Reading) -> list[Data]:
    """A lane per speaker with its takes as blocks; one lane for a conversation in one breath."""
    conversation = reading.conversation
    lanes: dict[tuple[int, ...], Data] = {}
    end = 0.0
    for one in reading.placements:
        speakers = reading.speakers(one)
        name = ", ".join(conversation.speakers[index].name for index in speakers)
        lane = lanes.setdefault(speakers, {"name": name, "speakers": list(speakers), "blocks": []})
        first = conversation.lines[one.lines[0]]
        lane["blocks"].append(
            {
                "row": first.row,
                "rows": [conversation.lines[index].row for index in one.lines],
                "number": first.number,
                "start": one.start_seconds,
                "end": one.stop_seconds,
                "gap": round(one.start_seconds - end, 4),
                "least": -round(end, 4),  # no take begins before zero
            }
        )
        end = one.stop_seconds
    return list(lanes.values())


def _asked(draft: Draft, row: Row, spoken: Pronunciations) -> list[str]:
    """What a row asks for, as it is typed: the page compares it with what is typed by then."""
    return [spoken.said(without_pauses(row.text)), draft.voice_of(row.speaker), draft.scene]


def _take(token: str, number: int, kept: KeptTake) -> Data:
    take = kept.take
    return {
        "id": kept.id,
        "number": number,
        "url": f"{ROUTE}/{token}/{kept.id}.wav",
        "seconds": round(take.seconds, 3),
        "seed": take.sampling.seed,
        "rows": list(kept.rows),  # several: in one breath
        "starred": kept.starred,
        "passed": take.health.passed,
        "health": list(take.health.reasons),
        "likelihood": take.log_likelihood,
    }
