"""Project ⇄ JSON. Codes and sound of takes are kept beside it, by the takes' ids.

    {"schema": 1, "title": "…", "draft": {…}, "sampling": {…}, "mixing": {…},
     "takes": [{"id": "0f3a…", "rows": ["a1"], "asked": {"text": "…", "voice": "…", "scene": "…"}, "starred": false,
                "sampling": {…}, "checkpoint": "…", "stop": "…", "prompt_tokens": 40, "compute_seconds": 1.5,
                "log_likelihood": -2.5, "health": {…}}, …],
     "chosen": {"a1": "0f3a…"}, "gaps": {"a1": 9}}

The draft is as `studio/draft.py` writes it. Gaps are frames.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from studio.audio import Audio
from studio.codes import Codes
from studio.conversation import MAX_SCENE_CHARACTERS
from studio.draft import MAX_ROWS, ROW_ID, Draft
from studio.errors import BadSetting
from studio.health import CodeHealth
from studio.mixing import Mixing
from studio.pauses import LONGEST_GAP_SECONDS
from studio.project import MAX_TITLE_CHARACTERS, MOST_TAKES, Asked, KeptTake, Project
from studio.sampling import Sampling
from studio.strict_json import all_keys, keys, number, one_of, whole
from studio.takes import Stop, Take
from studio.text import MAX_CONVERSATION_CHARACTERS, check_length

SCHEMA = 1
TAKE_ID = re.compile(r"[0-9a-f]{12}")
MAX_NAME_CHARACTERS = 200
MOST_PROMPT_TOKENS = 2**20
MOST_COMPUTE_SECONDS = 1e6
MOST_NATS = 1e3
PROJECT = {
    **{"schema": int, "title": str, "draft": dict, "sampling": dict, "mixing": dict},
    **{"takes": list, "chosen": dict, "gaps": dict},
}
TAKE = {
    **{"id": str, "rows": list, "asked": dict, "starred": bool, "sampling": dict, "checkpoint": str, "stop": str},
    **{"prompt_tokens": int, "compute_seconds": object, "log_likelihood": object, "health": dict},
}
HEALTH = {item.name: str if item.name == "cut_by" else object for item in fields(CodeHealth)}
ASKED = {"text": str, "voice": str, "scene": str}

Sounds = Callable[[str], tuple[Codes, Audio]]


def project_as_json(project: Project) -> dict[str, Any]:
    """The project without codes and sound."""
    return {
        "schema": SCHEMA,
        "title": project.title,
        "draft": project.draft.as_json(),
        "sampling": asdict(project.sampling),
        "mixing": project.mixing.as_json(),
        "takes": [_take_as_json(kept) for kept in project.takes],
        "chosen": dict(project.chosen),
        "gaps": dict(project.gaps),
    }


def _take_as_json(kept: KeptTake) -> dict[str, Any]:
    take = kept.take
    return {
        "id": kept.id,
        "rows": list(kept.rows),
        "asked": {key: value for key, value in asdict(kept.asked).items() if value or key in ASKED},
        "starred": kept.starred,
        "sampling": asdict(take.sampling),
        "checkpoint": take.checkpoint,
        "stop": take.stop.value,
        "prompt_tokens": take.prompt_tokens,
        "compute_seconds": take.compute_seconds,
        "log_likelihood": take.log_likelihood if math.isfinite(take.log_likelihood or 0.0) else None,
        "health": asdict(take.health),
    }


def read_project(data: Any, sounds: Sounds, source: str = "The project") -> Project:
    """Read what `project_as_json` wrote, or somebody else in its place.

    Args:
        data: What `json.loads` gave.
        sounds: Gives codes and sound of a take by its id; what it raises is passed on.
        source: What the person calls it.

    Raises:
        StudioError: a newer studio wrote it, or a key is missing, does not exist, or holds the wrong thing.
    """
    check_schema(data, source)
    values = all_keys(data, PROJECT, source)
    check_length(values["title"], f"{source}: the title", MAX_TITLE_CHARACTERS)
    if len(values["takes"]) > MOST_TAKES:
        raise BadSetting(f"{source}: there are {len(values['takes'])} takes; at most {MOST_TAKES} are kept.")
    takes: dict[str, KeptTake] = {}
    for index, item in enumerate(values["takes"], 1):
        kept = _take(item, sounds, f"{source}, take {index}")
        if kept.id in takes:
            raise BadSetting(f"{source}, take {index}: another take has this id.")
        takes[kept.id] = kept
    _check_clock(takes, source)
    return Project(
        Draft.read(values["draft"], f"{source}, draft"),
        tuple(takes.values()),
        _chosen(values["chosen"], takes, f"{source}: chosen"),
        _gaps(values["gaps"], takes, f"{source}: gaps"),
        Mixing.read(values["mixing"], f"{source}, mixing"),
        Sampling.from_dict(values["sampling"], f"{source}, sampling"),
        values["title"],
    )


def check_schema(data: Any, source: str) -> None:
    """Refuse what this studio cannot know how to read.

    Raises:
        BadSetting: it does not say which form it has, or a newer one.
    """
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise BadSetting(f"{source} is no project: it does not say which form it has (schema).")
    if schema > SCHEMA:
        raise BadSetting(
            f"{source} was made by a newer studio (form {schema}; this one reads up to {SCHEMA}). Update this studio."
        )


def _take(item: Any, sounds: Sounds, source: str) -> KeptTake:
    values = all_keys(item, TAKE, source)
    if not TAKE_ID.fullmatch(values["id"]):
        raise BadSetting(f"{source}: id must be 12 hex digits.")
    rows = values["rows"]
    if not 0 < len(rows) <= MAX_ROWS or len(set(map(str, rows))) != len(rows):
        raise BadSetting(f"{source}: rows must name the lines it speaks, each once.")
    for row in rows:
        _check_row(row, f"{source}: rows")
    asked = keys(values["asked"], ASKED | {"respelt": str}, f"{source}, asked", tuple(ASKED))
    for text in (asked["text"], asked.get("respelt", "")):
        check_length(text, f"{source}: its text", MAX_CONVERSATION_CHARACTERS)
    check_length(asked["voice"], f"{source}: its voice", 8 * MAX_SCENE_CHARACTERS)
    check_length(asked["scene"], f"{source}: its scene", MAX_SCENE_CHARACTERS)
    check_length(values["checkpoint"], f"{source}: its checkpoint", MAX_NAME_CHARACTERS)
    stop = one_of(values["stop"], [stop.value for stop in Stop], f"{source}: stop")
    sampling = Sampling.from_dict(values["sampling"], f"{source}, sampling")
    tokens = whole(values["prompt_tokens"], MOST_PROMPT_TOKENS, f"{source}: prompt_tokens")
    seconds = number(values["compute_seconds"], 0, MOST_COMPUTE_SECONDS, f"{source}: compute_seconds")
    likelihood = values["log_likelihood"]
    if likelihood is not None:
        likelihood = number(likelihood, -MOST_NATS, MOST_NATS, f"{source}: log_likelihood")
    health = _health(values["health"], f"{source}, health")
    codes, audio = sounds(values["id"])
    take = Take(codes, audio, sampling, values["checkpoint"], Stop(stop), tokens, health, seconds, likelihood)
    return KeptTake(values["id"], tuple(rows), Asked(**asked), take, values["starred"])


def _health(data: Any, source: str) -> CodeHealth:
    values = dict(all_keys(data, HEALTH, source))
    for name, kind in HEALTH.items():
        if kind is object:
            values[name] = number(values[name], 0, MOST_COMPUTE_SECONDS, f"{source}: {name}")
    check_length(values["cut_by"], f"{source}: cut_by", MAX_NAME_CHARACTERS)
    return CodeHealth(**values)


def _check_clock(takes: Mapping[str, KeptTake], source: str) -> None:
    clocks = {(kept.take.codes.frame_rate, kept.take.audio.sample_rate) for kept in takes.values()}
    if len(clocks) > 1:
        raise BadSetting(f"{source}: its takes come from different codecs and cannot stand on one timeline.")


def _check_row(row: Any, what: str) -> None:
    if not isinstance(row, str) or not row or not ROW_ID.fullmatch(row):
        raise BadSetting(f"{what}: ids of lines have 1 to 16 digits and small letters.")


def _chosen(data: Mapping[str, Any], takes: Mapping[str, KeptTake], what: str) -> dict[str, str]:
    for row, take_id in data.items():
        _check_row(row, what)
        if not isinstance(take_id, str) or take_id not in takes or row not in takes[take_id].rows:
            raise BadSetting(f"{what}: line {row} has no such take.")
    return dict(data)


def _gaps(data: Mapping[str, Any], takes: Mapping[str, KeptTake], what: str) -> dict[str, int]:
    if len(data) > MAX_ROWS:
        raise BadSetting(f"{what}: there are {len(data)} of them; at most {MAX_ROWS} are taken.")
    rate = next((kept.take.codes.frame_rate for kept in takes.values()), 0.0)
    for row, frames in data.items():
        _check_row(row, what)
        if isinstance(frames, bool) or not isinstance(frames, int):
            raise BadSetting(f"{what}: the gap before line {row} must be a whole number of frames.")
        most = round(LONGEST_GAP_SECONDS * rate)
        whole(frames, most, f"{what}: the gap before line {row} (frames)", -most)
    return dict(data)
