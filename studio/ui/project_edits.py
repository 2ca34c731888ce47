"""What a person does to a project on the timeline and among the takes: each edit is named, checked and undoable."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from studio.draft import Draft
from studio.errors import BadSetting, StudioError
from studio.lab.pictures import codes_for_page
from studio.mixing import Mixing
from studio.project import KeptTake, Project
from studio.ui.editor import read_draft
from studio.ui.studio import Studio
from studio.ui.who_spoke import who_spoke

MOST_UNDONE = 50
MOST_REMEMBERED = 32  # projects

Data = dict[str, Any]
Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class _Step:
    """What one edit changed, and nothing else: taken back, it leaves alone what was spoken since.

    It holds on to no take but the one that it deleted or starred, so that fifty steps weigh little.
    """

    takes: tuple[tuple[int, KeptTake], ...]  # as they were, with their places
    chosen: Mapping[str, str | None]  # row id -> what was heard; None: nothing
    gaps: Mapping[str, int | None]
    mixing: Mixing

    @classmethod
    def between(cls, before: Project, after: Project) -> "_Step":
        """The way back from one project to the one before."""
        left = {id(kept) for kept in after.takes}
        takes = tuple((place, kept) for place, kept in enumerate(before.takes) if id(kept) not in left)
        return cls(takes, _before(before.chosen, after.chosen), _before(before.gaps, after.gaps), before.mixing)

    def undone(self, now: Project) -> Project:
        """A project without the edit."""
        mine = {kept.id for _, kept in self.takes}
        takes = [kept for kept in now.takes if kept.id not in mine]
        for place, kept in self.takes:
            takes.insert(place, kept)
        chosen, gaps = _restored(now.chosen, self.chosen), _restored(now.gaps, self.gaps)
        return replace(now, takes=tuple(takes), chosen=chosen, gaps=gaps, mixing=self.mixing)


def _before(before: Mapping[str, Kept], after: Mapping[str, Kept]) -> dict[str, Kept | None]:
    return {key: before.get(key) for key in {*before, *after} if before.get(key) != after.get(key)}


def _restored(now: Mapping[str, Kept], then: Mapping[str, Kept | None]) -> dict[str, Kept]:
    return {key: value for key, value in {**now, **then}.items() if value is not None}


class ProjectEdits:
    """Edits of projects by token, and the way back while the server runs."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._past: OrderedDict[str, list[_Step]] = OrderedDict()
        self._lock = threading.Lock()  # several visitors edit at once

    def view(self, token: str, project: Project) -> Data:
        """A project as the page shows it."""
        with self._lock:
            can_undo = bool(self._past.get(token))
        return self._studio.views.of(token, project, can_undo=can_undo)

    def apply(self, token: str, page: Any, edit: Any) -> Data:
        """Do an edit, or undo the last.

        Args:
            token: The project.
            page: The editor's value: the draft as it is typed now.
            edit: `{"act": …}` and what that act needs.

        Raises:
            StudioError: it cannot be done; the message says why.
        """
        edit = edit if isinstance(edit, dict) else {}
        if edit.get("act") == "undo":
            return self.view(token, self._undo(token))
        draft = read_draft(page)
        if edit.get("act") == "pauses":  # typed into the script, where they are undone, too
            return self.view(token, self._studio.projects.change(token, lambda now: _with_typed_pauses(now, draft)))
        steps: list[_Step] = []

        def edited(now: Project) -> Project:  # `now` has what jobs have added up to this moment
            after = _edited(now.on_this_draft(draft), edit, self._studio.codec.frame_rate)
            steps.append(_Step.between(now, after))
            return after

        after = self._studio.projects.change(token, edited)
        with self._lock:
            past = self._past.setdefault(token, [])
            past += steps
            del past[:-MOST_UNDONE]
            self._past.move_to_end(token)
            while len(self._past) > MOST_REMEMBERED:
                self._past.popitem(last=False)
        return self.view(token, after)

    def _undo(self, token: str) -> Project:
        """The project before the last edit, with what was spoken since."""
        with self._lock:
            past = self._past.get(token)
            if not past:
                raise BadSetting("There is nothing to undo.")
            step = past.pop()
        try:
            return self._studio.projects.change(token, step.undone)
        except StudioError:
            with self._lock:
                self._past.setdefault(token, []).append(step)  # not saved, so not undone
            raise

    def who_spoke(self, token: str) -> Data:
        """Each line against every voice of the cast.

        Raises:
            BadSetting: there is nothing to measure.
        """
        return who_spoke(self._studio, self._found(token))

    def compare(self, token: str, take_ids: Any) -> Data:
        """Two takes with their codes.

        Raises:
            BadSetting: a take is gone.
        """
        project = self._found(token)
        shown = {one["id"]: one for row in self._studio.views.rows(token, project).values() for one in row["takes"]}
        kept = [project.take(str(take_id)) for take_id in list(take_ids or ())[:2]]
        return {"takes": [shown[one.id] | {"codes": codes_for_page(one.take.codes)} for one in kept if one.id in shown]}

    def _found(self, token: str) -> Project:
        project = self._studio.projects.load(token)
        if project is None:
            raise BadSetting("This project is no longer here. Reload the page.")
        return project


def _with_typed_pauses(project: Project, draft: Draft) -> Project:
    """With a newer draft; where its pause before a row is another, a silence set on the timeline gives way to it."""
    before, after = ({line.row: line.pause for lines in one.groups for line in lines} for one in (project.draft, draft))
    gaps = {row: gap for row, gap in project.gaps.items() if before.get(row) == after.get(row)}
    return replace(project.on_this_draft(draft), gaps=gaps)


def _edited(project: Project, edit: Mapping[str, Any], frame_rate: float) -> Project:
    match edit:
        case {"act": "choose", "take": str(take)}:
            return project.choosing(take)
        case {"act": "star" | "unstar" as act, "take": str(take)}:
            return project.starring(take, act == "star")
        case {"act": "delete", "take": str(take)}:
            return project.deleting(take)
        case {"act": "nudge", "row": str(row), "seconds": int() | float() as seconds} if project.takes_of(row):
            return project.nudging(row, seconds, frame_rate)
        case {"act": "usual gap", "row": str(row)}:
            return replace(project, gaps={one: gap for one, gap in project.gaps.items() if one != row})
        case {"act": "mix", **mixing}:
            return replace(project, mixing=Mixing.read(mixing, "The mix"))
    raise BadSetting("The page asked for something this studio does not know. Reload the page.")
