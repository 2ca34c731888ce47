"""What the status line says of the jobs of a project, and how far each row is. Its script is `status.js`."""

from collections.abc import Sequence
from typing import Any

from studio.errors import StudioError
from studio.serve.jobs import Job
from studio.takes import Stop
from studio.ui.studio import Studio

LISTED = 6  # jobs, the latest
FINDINGS = 3  # told in the status line; all stand with the takes

Data = dict[Any, Any]


def of_jobs(studio: Studio, jobs: Sequence[Job]) -> Data:
    """Where the jobs of a project stand: the running one in words, all of them as a list when there are several."""
    active = [job for job in jobs if not job.finished]
    listed = jobs[-max(LISTED, len(active)) :]
    several = [_listed(studio, job) for job in listed] if len(active) > 1 else []
    if not active:
        return _over(jobs[-1]) if jobs else {"state": "idle"}
    first = active[0]
    live = {"live": first.live_token} if first.live_token and first.progress else {}
    states = [state for job in active for state in line_states(job)]
    if not first.progress:
        return {"state": "running", "text": _waiting(studio, first), "lines": states, "jobs": several} | live
    return _running(first) | {"lines": states, "jobs": several} | live


def _waiting(studio: Studio, job: Job) -> str:
    ahead = studio.jobs.ahead(job)
    if not ahead:
        return "Reading the prompt …"
    others = "one other" if ahead == 1 else f"{ahead} others"
    return f"Waiting for {others} to finish …"


def _running(job: Job) -> Data:
    progress = job.progress
    assert progress is not None
    if job.stopping:
        text = "Stopping …"
    else:
        left = progress.seconds_left
        still = "" if left is None else f", about {max(1, round(left))} s left"
        text = f"Speaking: {progress.frames} frames, {progress.audio_seconds:.1f} s of speech{still}"
    return {"state": "running", "text": text, "share": _share(job)}


def _share(job: Job) -> float:
    return min(1.0, job.progress.frames / max(1, job.progress.expected_frames)) if job.progress else 0.0


def _listed(studio: Studio, job: Job) -> Data:
    words = {"waiting": "waiting", "running": "speaking", "done": "done", "failed": "not done"}[job.state]
    ahead = studio.jobs.ahead(job)
    return {
        "id": job.id,
        "title": job.title,
        "state": job.state,
        "words": f"{words}, {ahead} before it" if ahead else words,
        "share": 1.0 if job.state == "done" else _share(job),
    }


def line_states(job: Job) -> list[Data]:
    """How far each row of the page is; the seconds of lines in one breath stand at the first of them."""
    if not job.progress:
        return []
    return [
        {
            "row": job.request.conversations[part.conversation].lines[index].row,
            "state": part.state,
            "seconds": part.frames / job.progress.frame_rate if index == part.lines[0] else None,
        }
        for part in job.progress.lines
        for index in part.lines
    ]


def _over(job: Job) -> Data:
    """When nothing is left to do: what came of the last job."""
    if job.problem:
        return {"state": "done" if job.stopping else "failed", "text": str(job.problem)}
    seconds = sum(part.take.seconds for part in job.spoken)
    compute = sum(take.compute_seconds for part in job.spoken for take in part.takes)
    text = f"Done: {_which(job)}{seconds:.1f} s of speech in {compute:.1f} s."
    if job.stopping:
        text = f"Stopped: {seconds:.1f} s of speech were kept."
    notes = sorted({note for conversation in job.request.conversations for note in conversation.check()})
    notes += sorted({note for part in job.spoken for note in part.notes})
    return {"state": "done", "text": text, "notes": notes + _findings(job), "stopped": job.stopping}


def _which(job: Job) -> str:
    """Which lines were spoken, where it is not all of them, and of how many takes the best is heard."""
    lines = [line for part in job.spoken for line in part.lines]
    words = []
    if len(lines) < sum(len(conversation.lines) for conversation in job.request.conversations):
        one = len(job.spoken) == 1
        conversation = job.request.conversations[job.spoken[0].conversation] if one else None
        words.append(conversation.lines_in_words(lines).lower() if conversation else f"{len(lines)} lines")
    takes = max((len(part.takes) for part in job.spoken), default=0)
    if takes > 1:
        words.append(f"the best of {takes} takes")
    return "".join(f"{one}, " for one in words)


def _findings(job: Job) -> list[str]:
    """What is to be looked at in the takes that were chosen, by the numbers of their lines; the first few of them."""
    found = []
    for part in job.spoken:
        if part.take.health.reasons and part.take.stop != Stop.STOPPED:
            which = job.request.conversations[part.conversation].lines_in_words(part.lines)
            found.append(f"{which}: {'; '.join(part.take.health.reasons)}. Listen to it, or speak it again.")
    more = len(found) - FINDINGS
    return found[:FINDINGS] + ([f"… and {more} more, marked with ! in the script."] if more > 0 else [])


def refused(problem: StudioError) -> Data:
    """When nothing was begun, with the reason."""
    return {"state": "failed", "text": str(problem)}
