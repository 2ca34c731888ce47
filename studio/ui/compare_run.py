"""One comparison: what it has given so far, the work that fills it, and how far it is in words."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from studio.audio import Audio
from studio.lab.codemap import StoredCodes
from studio.lab.compare import Original, Result, coded, measured
from studio.lab.metrics import Reference, Score
from studio.ui.comparison import WAITING, Running
from studio.ui.kept_clips import KeptClip, Made, original
from studio.ui.measures import measure_table
from studio.ui.offers import CodecFamily, Codecs, Offer
from studio.workspace import Workspace

PCM_BITS = 16
NOTHING_MEASURED = (
    "Press Compare: each codec's bitrate, quality and speed appear here, at full band and limited to 16 kHz, as a "
    "chart and a table."
)

Data = dict[str, Any]


@dataclass
class Run:
    """What one comparison has given so far."""

    total: int
    keys: tuple[str, ...]  # of the measures
    ladders: Mapping[int, str] = field(default_factory=dict)  # by id(codec), as the chart joins them
    clips: list[dict[str, Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)  # without their sounds
    measured: int = 0  # how many of them, from the first
    originals: list[Original] = field(default_factory=list)  # of the clips that are measured
    measuring_seconds: float = 0.0

    @property
    def table(self) -> dict[str, Any]:
        """What was measured so far, as the page shows it: copies, since the comparison's thread goes on meanwhile."""
        measured = self.measured  # first: what is copied later may be more, never less
        results, originals = [*self.results], [*self.originals]
        return measure_table(results, measured, self.keys, self.ladders, NOTHING_MEASURED, originals)

    def leave_unmeasured(self) -> None:
        """Say of what was not measured why not, once nothing more comes."""
        scores = {key: Score(None, "stopped before it was measured") for key in self.keys}
        for index in range(self.measured, len(self.results)):
            self.results[index] = replace(self.results[index], scores=scores)
        self.measured = len(self.results)


def work(
    codecs: Codecs,
    files: Workspace,
    sounds: Mapping[str, Audio],
    pairs: Sequence[tuple[CodecFamily, Offer]],
    run: Run,
) -> Generator[None, None, None]:
    """Fill a run, yielding whenever there is more in it: of each clip first all versions, then all measures.

    Each version is written down between two codecs, and measured when all are done, so that neither disturbs a
    codec's time.
    """
    settings = [offer.setting for _, offer in pairs]
    keys = [offer.key for _, offer in pairs]
    run.ladders = {id(setting.codec): family.title for (family, _), setting in zip(pairs, settings, strict=True)}
    for name, sound in sounds.items():
        kept = KeptClip(name, original(sound), files)
        run.clips.append(kept.view)
        versions: list[Result] = []
        try:
            outcomes = coded(name, sound, settings, codecs.run(sound, keys))
            for (family, _), result in zip(pairs, outcomes, strict=True):
                kept.add(_made(result, family))
                versions.append(result)
                run.results.append(result.without_sound)
                yield
        finally:  # stopped in the middle, too
            kept.match_levels()
        started = time.monotonic()
        reference = Reference(sound)
        for result in measured(reference, versions, run.keys):
            run.results[run.measured] = result.without_sound
            run.measured += 1
            run.measuring_seconds += time.monotonic() - started
            started = time.monotonic()
            yield
        run.originals.append(Original(name, sound.sample_rate, reference.own_scores(run.keys)))
        run.measuring_seconds += time.monotonic() - started
        yield


def _made(result: Result, family: CodecFamily) -> Made:
    facts = [("Bitrate", f"{result.encoded.bitrate_kbps:.3g} kbit/s")]
    codes = result.codes
    if codes:
        facts = [
            ("Codes", f"{codes.codebooks} × {codes.frames} frames"),
            ("Bitrate", f"{codes.bitrate_kbps:.3g} kbit/s nominal, {codes.entropy_kbps:.2f} by entropy"),
        ]
    pcm = result.audio.sample_rate * PCM_BITS / 1000
    facts += [
        ("Sample rate", f"{result.audio.sample_rate / 1000:g} kHz: up to {result.limited_to_khz:g} kHz of sound"),
        ("Level", f"{result.audio.rms_dbfs:.1f} dBFS"),
        ("Smaller than 16-bit PCM", f"{pcm / result.encoded.bitrate_kbps:.3g} times"),
        ("Speed", f"RTF {result.rtf:.3f}: {result.encode_ms:.0f} ms to encode, {result.decode_ms:.0f} to decode"),
    ]
    stored = StoredCodes(codes, result.setting.codec.name, family.revision) if codes else None
    return Made(result.setting.label, result.audio, facts, stored)


def progress(run: Run, running: Running) -> Data:
    """How far it is, as the status line takes it."""
    done, measured_so_far = len(run.results), run.measured
    if running.stopping:
        text = "Stopping after this one …"
    elif running.waiting:
        text = WAITING
    elif not done:
        text = f"Comparing: the first of {run.total} …"
    elif done == run.total:
        text = f"All can be heard. Measuring: {measured_so_far} of {run.total} done"
    else:
        last = run.results[-1]
        text = f"Comparing: {done} of {run.total} done, last {last.setting.label} on {last.clip}"
    share = (done + measured_so_far) / (2 * run.total)
    return {"state": "running", "text": text, "share": share or None}


def ended_words(run: Run, running: Running, seconds: float) -> Data:
    """What came of it, as the status line takes it."""
    done, missing = len(run.results), len(run.results) - run.measured
    if running.problem:
        return {"state": "failed", "text": str(running.problem)}
    if running.stopping and (done < run.total or missing):
        unmeasured = f", {missing} of them not measured" if missing else ""
        return {"state": "done", "text": f"Stopped: {done} of {run.total} results were kept{unmeasured}."}
    results = f"{done} result{'' if done == 1 else 's'}"
    return {
        "state": "done",
        "text": f"Done: {results} in {seconds:.1f} s, {run.measuring_seconds:.1f} s of it measuring.",
    }
