"""Project: a draft, the takes of its lines, which of them are chosen, and how they stand in time. A frozen value."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from studio.conversation import Conversation, Line, Scene, Speaker
from studio.draft import Draft
from studio.errors import BadSetting
from studio.mixing import Mixing
from studio.pauses import LONGEST_GAP_SECONDS
from studio.sampling import Sampling
from studio.takes import Placement, Reading, Take, gap_frames

MOST_TAKES = 2_000
MAX_TITLE_CHARACTERS = 120


@dataclass(frozen=True)
class Asked:
    """What a take was to speak. When the draft asks for something else now, the line has changed since."""

    text: str
    voice: str  # "smart", "described: …" or "reference: …"
    scene: str
    respelt: str = ""  # what the model read, where it is not the text

    @classmethod
    def of(cls, draft: Draft, lines: Sequence[Line]) -> "Asked":
        """What a draft asks of some of its lines, spoken together."""
        voices = {line.speaker: draft.voice_of(line.speaker) for line in lines}
        text, said = ("\n".join(words) for words in zip(*((line.text, line.said) for line in lines), strict=True))
        scene = Scene(draft.scene).description
        return cls(text, " + ".join(voices.values()), scene, said if said != text else "")


@dataclass(frozen=True, eq=False)
class KeptTake:
    """A take as a project keeps it."""

    id: str  # 12 hex digits, unique in its project
    rows: tuple[str, ...]  # ids of the rows it speaks; several in one breath
    asked: Asked
    take: Take
    starred: bool = False


@dataclass(frozen=True, eq=False)
class Project:
    """Everything one sitting is about. Editing makes a new one."""

    draft: Draft
    takes: tuple[KeptTake, ...] = ()  # in the order they were made
    chosen: Mapping[str, str] = field(default_factory=dict)  # row id -> id of the take that is heard
    gaps: Mapping[str, int] = field(default_factory=dict)  # row id -> frames of silence before it; negative: overlaps
    mixing: Mixing = Mixing()  # noqa: RUF009  a frozen value
    sampling: Sampling = Sampling()  # noqa: RUF009  a frozen value; as last used
    title: str = ""

    def take(self, take_id: str) -> KeptTake:
        """One take.

        Raises:
            BadSetting: there is none of this id.
        """
        if take_id not in self._by_id:
            raise BadSetting("This take is no longer here. Reload the page to see those that are.")
        return self._by_id[take_id]

    def takes_of(self, row: str) -> tuple[KeptTake, ...]:
        """The takes of a row, in the order they were made."""
        return tuple(kept for kept in self.takes if row in kept.rows)

    def adding(
        self, lines: Sequence[Line], takes: Sequence[Take], best: int, asked_by: Draft | None = None
    ) -> "Project":
        """With new takes of some lines, the best of them chosen. A take that was made before is not kept twice.

        Args:
            lines: What they speak, together.
            takes: At least one.
            best: Index of the one to be heard.
            asked_by: The draft they were asked for by; by default that of the project.

        Raises:
            BadSetting: there are too many takes, or one whose frames are not those of the others.
        """
        if len(self.takes) + len(takes) > MOST_TAKES:
            raise BadSetting(f"A project keeps at most {MOST_TAKES} takes. Delete some that you no longer need.")
        if not all(line.row for line in lines):
            raise BadSetting("These lines have no ids yet, so no take can keep to them. Reload the page.")
        if len({_clock(take) for take in (*takes, *(kept.take for kept in self.takes[-1:]))}) > 1:
            raise BadSetting("These takes come from another codec than the project's. Begin a new project for them.")
        rows, asked = tuple(line.row for line in lines), Asked.of(asked_by or self.draft, lines)
        known = {one.take.codes.fingerprint: one for one in self.takes if (one.rows, one.asked) == (rows, asked)}
        kept = [
            known.get(take.codes.fingerprint) or KeptTake(secrets.token_hex(6), rows, asked, take) for take in takes
        ]
        new = tuple(one for one in kept if one.id not in {old.id for old in known.values()})
        return replace(self, takes=(*self.takes, *new)).choosing(kept[best].id)

    def choosing(self, take_id: str) -> "Project":
        """With this take heard. A take of several rows and takes of single ones of them exclude each other."""
        rows = self.take(take_id).rows
        replaced = {self.chosen[row] for row in rows if row in self.chosen}
        chosen = {row: kept for row, kept in self.chosen.items() if kept not in replaced}
        return replace(self, chosen=chosen | dict.fromkeys(rows, take_id))

    def starring(self, take_id: str, starred: bool) -> "Project":
        """With a take marked, or no longer marked."""
        kept = replace(self.take(take_id), starred=starred)
        return replace(self, takes=tuple(kept if one.id == take_id else one for one in self.takes))

    def deleting(self, take_id: str) -> "Project":
        """Without a take; the latest other one of its rows is heard instead."""
        rows = self.take(take_id).rows
        rest = replace(
            self,
            takes=tuple(kept for kept in self.takes if kept.id != take_id),
            chosen={row: kept for row, kept in self.chosen.items() if kept != take_id},
        )
        for row in rows:
            others = [kept for kept in rest.takes_of(row) if kept.rows == rows]
            if others and row not in rest.chosen:
                rest = rest.choosing(others[-1].id)
        return rest

    def nudging(self, row: str, gap_seconds: float, frame_rate: float) -> "Project":
        """With so much silence before a row, rounded to whole frames; negative: it begins before the other ends.

        Raises:
            BadSetting: the gap is longer than any that makes sense.
        """
        if not abs(gap_seconds) <= LONGEST_GAP_SECONDS:
            raise BadSetting(f"The silence before a line may last {LONGEST_GAP_SECONDS:g} s at most.")
        return replace(self, gaps=dict(self.gaps) | {row: round(gap_seconds * frame_rate)})

    def on_this_draft(self, draft: Draft) -> "Project":
        """With a newer draft. Takes of rows that are gone stay, so that Undo finds them again."""
        return replace(self, draft=draft)

    def changed_rows(self) -> set[str]:
        """Rows that have words but no chosen take of what the draft asks for now."""
        changed = set()
        for lines in self.draft.groups:
            by_row = {line.row: line for line in lines}
            for row in by_row:
                kept = self.take(self.chosen[row]) if row in self.chosen else None
                together = [by_row[one] for one in kept.rows if one in by_row] if kept else []
                if kept is None or kept.asked != Asked.of(self.draft, together):
                    changed.add(row)
        return changed

    def readings(self) -> list[Reading]:
        """What is heard of each group of lines between dividers; groups without a take are left out.

        Their lines say what the takes say, also where the draft has been changed since.
        """
        speakers = tuple(Speaker(name) for name in self.draft.names)
        groups = [
            Conversation(tuple(map(self._as_heard, lines)), speakers, Scene(self.draft.scene))
            for lines in self.draft.groups
        ]
        placed = [(group, tuple(self._placements(group.lines))) for group in groups]
        return [
            Reading(
                group,
                placements,
                self.sampling,
                sum(placement.take.compute_seconds for placement in placements),
                self.mixing,
            )
            for group, placements in placed
            if placements
        ]

    def _as_heard(self, line: Line) -> Line:
        """A line with the words of its take."""
        kept = self._by_id.get(self.chosen.get(line.row, ""))
        words = kept.asked.text.split("\n") if kept else []
        if kept is None or len(words) != len(kept.rows):
            return line
        return replace(line, text=words[kept.rows.index(line.row)])

    @cached_property
    def _by_id(self) -> dict[str, KeptTake]:
        return {kept.id: kept for kept in self.takes}

    def _placements(self, lines: Sequence[Line]) -> Iterable[Placement]:
        """Chosen takes one after another, each behind its gap; every start on a whole frame, none before zero."""
        end: int | None = None
        seen: set[str] = set()
        for line in lines:
            kept = self._by_id.get(self.chosen.get(line.row, ""))
            if kept is None or kept.id in seen:
                continue
            seen.add(kept.id)
            usual = gap_frames(line, kept.take.codes.frame_rate, first=end is None)
            start = max(0, (end or 0) + self.gaps.get(line.row, usual))
            indices = tuple(index for index, other in enumerate(lines) if other.row in kept.rows)
            yield Placement(kept.take, indices, start)
            end = max(end or 0, start + kept.take.codes.frames)  # a short one may end within the one before it


def _clock(take: Take) -> tuple[float, int]:
    """Frames and samples a second: takes of different ones cannot stand on one timeline."""
    return take.codes.frame_rate, take.audio.sample_rate
