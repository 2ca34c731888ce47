"""What was measured, as a table and as a chart of quality over bitrate. Its script is `measures.js`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from studio.lab.compare import COLUMNS, Original, Result, as_csv, as_table
from studio.lab.metrics import MEASURES

TEXT_COLUMNS = ("clip", "codec")
DIGITS = {"si_sdr": 1, "si_sdr_16k": 1, "stft": 3, "stft_16k": 3, "log_mel": 2, "log_mel_16k": 2, "stoi": 3}
COST_DIGITS = {"encode (ms)": 0, "decode (ms)": 0, "RTF": 3, "bitrate (kbit/s)": 2, "entropy (kbit/s)": 2}
FULL, LIMITED, BOTH = "Full band", "Limited to 16 kHz", "Other"
BITS, TIME, FRAMES = "Bits", "Time", "Frames and samples"
ORDER = ("", BITS, FULL, LIMITED, BOTH, TIME, FRAMES)  # quality before cost: the table is wider than most screens
WAVEFORM = "SI-SDR asks for the same waveform: a codec that makes sound anew scores low and may still sound right."
COSTS = set(COLUMNS) - {measure.column for measure in MEASURES.values()} - {"checkpoint", "notes"}
AT_LIMIT = ("stoi", "pesq_wb", "mos")  # measured at 16 kHz or below, whatever the clip's rate


def measure_view(empty: str) -> gr.HTML:
    """An empty table and chart."""
    return gr.HTML(
        {"rows": [], "empty": empty},
        html_template='<section class="hs-measures" aria-label="Measurements"></section>',
        js_on_load="HiggsStudio.mountMeasures(element, props, watch);",
        apply_default_css=False,
        elem_id="hs-measures",
    )


def measure_table(
    results: Sequence[Result],
    measured: int,
    keys: Sequence[str],
    ladders: Mapping[int, str],
    empty: str,
    originals: Sequence[Original] = (),
) -> dict[str, Any]:
    """The value of the view.

    Args:
        results: What there is so far.
        measured: How many of them, from the first, have their scores; the others' cells say that they are to come.
        keys: Which measures there will be: each has its column from the beginning, and keeps it without any value.
        ladders: The name of the ladder each codec is a rung of, by `id(codec)`: what the chart joins by a line.
        empty: What to say when there is nothing yet.
        originals: The clips themselves, as rows of their own.
    """
    table = as_table(results)
    wanted = {MEASURES[key].column for key in keys}
    present = [
        name for name in COLUMNS if name in (*TEXT_COLUMNS, *wanted) or (name in COSTS and table[name].notna().any())
    ]
    columns = {name: _column(name) for name in present}
    shown = sorted(present, key=lambda name: ORDER.index(columns[name]["group"]))
    rows = [
        {"series": ladders[id(result.setting.codec)], "pending": index >= measured, **_row(result, cells, shown)}
        for index, (result, cells) in enumerate(zip(results, table.to_dict("records"), strict=True))
    ]
    own_cells = as_table(originals).to_dict("records")
    return {
        "columns": [columns[name] for name in shown],
        "rows": rows,
        "originals": [_row(one, cells, shown) for one, cells in zip(originals, own_cells, strict=True)],
        "notes": _notes(results),
        "csv": as_csv([*originals, *results]) if results else "",
        "empty": empty,
    }


def _row(result: Result | Original, cells: Mapping[Any, Any], shown: Sequence[str]) -> dict[str, Any]:
    reasons = {MEASURES[key].column: score.reason for key, score in result.scores.items() if score.value is None}
    return {"cells": [_cell(cells[name]) for name in shown], "reasons": [reasons.get(name, "") for name in shown]}


def _notes(results: Sequence[Result]) -> list[str]:
    """What a reader of the table must know of it."""
    widest = max((result.limited_to_khz for result in results), default=0.0)
    narrow = {result.setting.label: result.limited_to_khz for result in results if result.limited_to_khz < widest}
    weights = {result.setting.codec.name: result.setting.checkpoint for result in results if result.setting.checkpoint}
    notes = [WAVEFORM] if results else []
    if weights:
        made = ", ".join(f"{name} with the weights of {checkpoint}" for name, checkpoint in weights.items())
        notes.append(f"Measured was {made}. Another checkpoint of the same codec would get other figures.")
    if narrow:
        listed = ", ".join(f"{label} (up to {khz:g} kHz)" for label, khz in narrow.items())
        notes.append(f"Full band counts what lies above a codec's sample rate as lost: {listed}.")
    return notes


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value
    number = float(value) if value is not None else math.nan
    if math.isnan(number):
        return None
    return str(number) if math.isinf(number) else round(number, 6)


def _column(name: str) -> dict[str, Any]:
    """A column as the page takes it; `better` is absent for what is no measure of quality."""
    for key, measure in MEASURES.items():
        if measure.column == name:
            limited = key.endswith("_16k") or key in AT_LIMIT
            full = key + "_16k" in MEASURES
            return {
                "name": name.replace(" at 16 kHz", ""),
                "group": LIMITED if limited else FULL if full else BOTH,
                "better": measure.better,
                "first": key == "log_mel",  # what the chart shows until another is chosen
                "judged": key == "mos",  # of each sound alone, so what the original gets is worth a line
                "digits": DIGITS.get(key, 2),
                "about": f"{measure.source}. Range: {measure.range}. Better: {measure.better}.",
            }
    group = "" if name in TEXT_COLUMNS else BITS if "kbit" in name else TIME if name in COST_DIGITS else FRAMES
    return {"name": name[0].upper() + name[1:], "group": group, "digits": COST_DIGITS.get(name, 0), "about": ""}
