"""What the status line says of a job, and how far each row of the script is. Its script is `status.js`."""

from typing import Any

from studio.errors import StudioError
from studio.serve.jobs import Job
from studio.takes import Stop
from studio.ui.studio import Studio

Data = dict[Any, Any]


def waiting(studio: Studio, job: Job) -> Data:
    """Before the first frame."""
    ahead = studio.jobs.ahead(job)
    if not ahead:
        return {"state": "running", "text": "Reading the prompt …"}
    others = "one other" if ahead == 1 else f"{ahead} others"
    return {"state": "running", "text": f"Waiting for {others} to finish …"}


def running(job: Job) -> Data:
    """While frames come."""
    progress = job.progress
    assert progress is not None
    if job.stopping:
        text = "Stopping …"
    else:
        left = progress.seconds_left
        still = "" if left is None else f", about {max(1, round(left))} s left"
        text = f"Speaking: {progress.frames} frames, {progress.audio_seconds:.1f} s of speech{still}"
    share = min(1.0, progress.frames / max(1, progress.expected_frames))
    return {"state": "running", "text": text, "share": share, "lines": line_states(job)}


def line_states(job: Job) -> list[Data]:
    """How far each row of the page is."""
    if not job.progress:
        return []
    return [
        {
            "row": job.conversations[part.conversation].lines[index].number,
            "state": part.state,
            "seconds": part.frames / job.progress.frame_rate,
        }
        for part in job.progress.lines
        for index in part.lines
        if part.frames or not job.finished
    ]


def done(job: Job, remembered: list[str]) -> Data:
    """When there is something to hear; the browser is to remember these tokens."""
    seconds = sum(reading.duration_seconds for reading in job.readings)
    cut = sum(stop not in (Stop.ENDED, Stop.STOPPED) for reading in job.readings for stop in reading.stops)
    text = f"Done: {seconds:.1f} s of speech in {sum(reading.compute_seconds for reading in job.readings):.1f} s."
    if job.stopping:
        text = f"Stopped: {seconds:.1f} s of speech were kept."
    elif cut:
        which = "One take was cut" if cut == 1 else f"{cut} takes were cut"
        text += f" {which}; the reasons stand under the pictures."
    notes = sorted({note for conversation in job.conversations for note in conversation.check()})
    return {"state": "done", "text": text, "lines": line_states(job), "notes": notes, "remember": remembered}


def drawing(job: Job) -> Data:
    """When all is spoken and the pictures are being made."""
    return {"state": "running", "text": "Drawing the pictures …", "lines": line_states(job)}


def failed(job: Job) -> Data:
    """When a job ended with nothing to hear: by itself, or because it was stopped before it began."""
    if job.stopping:
        return {"state": "done", "text": str(job.problem)}
    return {"state": "failed", "text": str(job.problem)}


def refused(problem: StudioError) -> Data:
    """When nothing was begun, with the reason."""
    return {"state": "failed", "text": str(problem)}
