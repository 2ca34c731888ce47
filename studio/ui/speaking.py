"""Speaking rows of a project: jobs are begun, followed, and stopped; what they give is kept in the project.

A job belongs to the project, not to the page that began it: whoever opens the project next follows it.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from studio.codes import Codes
from studio.conversation import Conversation
from studio.draft import Draft
from studio.errors import BadConversation
from studio.project import Project
from studio.sampling import Sampling
from studio.serve.jobs import Job
from studio.speech import Place, SpeechRequest
from studio.ui.studio import Studio

REFRESH_SECONDS = 0.12


@dataclass(frozen=True)
class Wanted:
    """What is to be spoken of a draft, and how."""

    draft: Draft
    sampling: Sampling
    rows: frozenset[str] = frozenset()  # ids; empty: all
    takes: int = 1
    most_takes: int = 0
    stream: bool = False


def begin(studio: Studio, token: str, wanted: Wanted) -> Job:
    """Queue a job for some rows of a project; when it is done, its takes are in the project.

    Raises:
        StudioError: it cannot be spoken, or the queue is full; the message says what to do.
    """
    draft = wanted.draft
    conversations = draft.conversations(studio.voices)
    project = studio.projects.change(token, lambda kept: kept.on_this_draft(draft))
    places = _places(conversations, wanted.rows)
    if wanted.rows and not places:
        raise BadConversation("There is nothing to speak in this line yet. Type its words first.")
    breath = draft.way == "breath" and not wanted.rows
    request = SpeechRequest(
        tuple(conversations),
        wanted.sampling,
        "breath" if breath else "lines",
        frozenset(places) if wanted.rows else None,
        wanted.takes,
        wanted.most_takes,
        0 if breath else draft.context,
        _kept_codes(project, conversations, places if wanted.rows else None),
        draft.seeds,
        score=True,  # a later take is compared with this one
        stream=wanted.stream,
    )

    def keep(job: Job) -> None:
        def with_takes(kept: Project) -> Project:
            for part in job.spoken:
                lines = [conversations[part.conversation].lines[index] for index in part.lines]
                kept = kept.adding(lines, part.takes, part.best, draft)
            return replace(kept, sampling=wanted.sampling)

        studio.projects.change(token, with_takes)

    return studio.jobs.submit(token, request, _title(conversations, places, wanted), keep)


def _places(conversations: Sequence[Conversation], rows: frozenset[str]) -> list[Place]:
    return [
        (index, number)
        for index, conversation in enumerate(conversations)
        for number, line in enumerate(conversation.lines)
        if not rows or line.row in rows
    ]


def _kept_codes(
    project: Project, conversations: Sequence[Conversation], places: Sequence[Place] | None
) -> dict[Place, Codes]:
    """Codes of the chosen takes of the lines that are not spoken anew."""
    if places is None:
        return {}
    by_id = {kept.id: kept for kept in project.takes}
    spoken = {}
    for index, conversation in enumerate(conversations):
        for number, line in enumerate(conversation.lines):
            kept = by_id.get(project.chosen.get(line.row, ""))
            if kept and len(kept.rows) == 1 and (index, number) not in places:
                spoken[(index, number)] = kept.take.codes
    return spoken


def _title(conversations: Sequence[Conversation], places: Sequence[Place], wanted: Wanted) -> str:
    numbers = [conversations[index].lines[line].number for index, line in places]
    what = f"Line {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} lines"
    return what if wanted.takes == 1 else f"{what}, {wanted.takes} takes"


@dataclass
class Followers:
    """Who follows the jobs of a project: in each page the latest one, so that none reports twice."""

    _latest: dict[str, object] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def follow(
        self, studio: Studio, token: str, page: str, begun: Job | None = None
    ) -> Iterator[tuple[list[Job], bool]]:
        """The jobs of a project again and again until none is left to do, and whether one has finished since.

        Args:
            studio: Its jobs.
            token: The project.
            page: Which page follows: a later call for the same page ends this one.
            begun: The job begun just now, which may be done already.
        """
        mine = object()
        with self._lock:
            self._latest[page] = mine
        over = {job.id for job in studio.jobs.of(token) if job.finished and job is not begun}
        try:
            while self._latest.get(page) is mine:
                jobs = studio.jobs.of(token)
                now_over = {job.id for job in jobs if job.finished}
                yield jobs, bool(now_over - over)
                over = now_over
                left = [job for job in jobs if not job.finished]
                if not left:
                    return
                left[0].wait(REFRESH_SECONDS)
        finally:  # also when the page is closed meanwhile, or pages would pile up here
            with self._lock:
                if self._latest.get(page) is mine:  # and not the one that took over
                    del self._latest[page]
