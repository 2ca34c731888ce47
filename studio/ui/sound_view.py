"""The sound view: what was spoken or decoded, to hear and to see on one time axis. Its script is `sound_view.js`."""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from studio.audio import Audio, write_wav
from studio.codes import Codes
from studio.lab.pictures import codes_for_page, mel_for_page
from studio.takes import Reading, Stop
from studio.workspace import Workspace

ROUTE = "files"  # where the web app serves a workspace folder's files: /files/TOKEN/NAME
VIEW_FILE = "view.json"
PEAK_COLUMNS = 1_500

WHY_CUT = {
    Stop.BUDGET: "it reached its frame budget before the model ended it: the end may be missing or be babble",
    Stop.SILENCE: "the model fell silent without ending; the silence was cut off",
    Stop.REPETITION: "the model went round in circles; the repetition was cut off",
    Stop.STOPPED: "it was stopped by you",
}


def sound_view(empty: str, elem_id: str) -> gr.HTML:
    """An empty sound view that shows the sentence `empty`."""
    return gr.HTML(
        {"mode": "choose", "items": [], "empty": empty},
        html_template='<section class="hs-sound" aria-label="Result"></section>',
        js_on_load="HiggsStudio.mountSoundView(element, props, watch);",
        apply_default_css=False,
        elem_id=elem_id,
    )


def keep_reading(reading: Reading, title: str, readings: Workspace) -> tuple[str, dict[str, Any]]:
    """Write a reading's sound and view into a folder of its own. Returns token and view."""
    audio = reading.audio
    first_codes = reading.placements[0].take.codes
    facts = reading.facts()
    shown = [
        ("Checkpoint", facts["checkpoint"]),
        ("Seed", str(facts["seed"])),
        ("Duration", f"{reading.duration_seconds:.2f} s"),
        ("Speed", f"RTF {reading.rtf:.2f}, {reading.compute_seconds:.1f} s of work"),
        (
            "Codes",
            f"{first_codes.codebooks} × {first_codes.frame_rate:g} frames/s, {first_codes.bitrate_kbps:g} kbit/s",
        ),
        ("Ended by", ", ".join(facts["stop"])),
    ]
    view = _view(title, audio, [(place.start_seconds, place.take.codes) for place in reading.placements], shown)
    view["lanes"] = _lanes(reading)
    view["notes"] = [
        f"{_which(reading, place.lines)}: {WHY_CUT[place.take.stop]}."
        for place in reading.placements
        if place.take.stop in WHY_CUT
    ]
    return _kept(view, audio, facts, readings)


def _view(
    title: str, audio: Audio, codes: Sequence[tuple[float, Codes]], facts: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    peaks = audio.peaks(PEAK_COLUMNS)
    scaled = np.round(255 * peaks / max(float(peaks.max()), 1e-6)).astype(np.uint8)
    return {
        "title": title,
        "seconds": round(audio.duration_seconds, 4),
        "peaks": base64.b64encode(scaled.tobytes()).decode("ascii"),
        "mel": mel_for_page(audio),
        "codes": [codes_for_page(part) | {"start": start} for start, part in codes],
        "facts": [list(fact) for fact in facts],
        "notes": [],
    }


def _lanes(reading: Reading) -> list[dict[str, Any]]:
    """A lane per speaker with its lines as blocks; one lane for a conversation in one breath."""
    conversation = reading.conversation
    lanes: dict[tuple[int, ...], dict[str, Any]] = {}
    for place in reading.placements:
        speakers = tuple(sorted({conversation.lines[index].speaker for index in place.lines}))
        name = ", ".join(conversation.speakers[index].name for index in speakers)
        lane = lanes.setdefault(speakers, {"name": name, "speaker": speakers[0], "blocks": []})
        lane["blocks"].append({"start": place.start_seconds, "end": place.stop_seconds})
    return list(lanes.values())


def _which(reading: Reading, lines: tuple[int, ...]) -> str:
    first, last = reading.line_number(lines[0]), reading.line_number(lines[-1])
    return f"Line {first}" if len(lines) == 1 else f"Lines {first} to {last}"


def _kept(view: dict[str, Any], audio: Audio, facts: dict[str, Any], readings: Workspace) -> tuple[str, dict[str, Any]]:
    token, folder = readings.make()
    seed = f"-seed-{facts['seed']}" if "seed" in facts else ""
    file_name = f"{re.sub(r'[^a-z0-9]+', '-', view['title'].lower()).strip('-') or 'sound'}{seed}.wav"
    write_wav(audio, folder / file_name)
    view |= {"url": f"{ROUTE}/{token}/{file_name}", "file_name": file_name}
    (folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False), "utf-8")
    (folder / VIEW_FILE).write_text(json.dumps(view, ensure_ascii=False), "utf-8")
    return token, view


def kept_views(tokens: Sequence[str], readings: Workspace) -> list[tuple[str, dict[str, Any]]]:
    """The views that are still there, in the order of their tokens."""
    found = []
    for token in tokens:
        folder = readings.find(token) if isinstance(token, str) else None
        if folder and (folder / VIEW_FILE).exists():
            found.append((token, json.loads((folder / VIEW_FILE).read_text("utf-8"))))
    return found
