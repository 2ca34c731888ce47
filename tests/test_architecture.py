"""No arrow turns round: what each module imports, held against the floors of the house (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    9: {"app", "studio.speak", "studio.batch", "studio.recode", "studio.lab_codecs"},
    8: {"studio.ui"},
    7: {"studio.serve", "studio.batch_queue"},
    6: {"studio.engine", "studio.export", "studio.script_files", "studio.project_file", "studio.verify"},
    5: {
        *("studio.takes", "studio.mixing", "studio.speech", "studio.draft", "studio.presets"),
        *("studio.project", "studio.project_json", "studio.project_store"),
    },
    4: {"studio.conversation", "studio.script", "studio.messages", "studio.health"},
    3: {
        *("studio.voices", "studio.voice_entry", "studio.voice_library", "studio.voice_file", "studio.recognition"),
        *("studio.codecs", "studio.lab"),
    },
    2: {
        *("studio.audio", "studio.codes", "studio.sampling", "studio.checkpoints", "studio.consent"),
        *(
            "studio.text",
            "studio.pauses",
            "studio.pronunciations",
            "studio.workspace",
            "studio.settings",
            "studio.torchaudio_on_cpu",
        ),
        *("studio.strict_json", "studio.durable", "studio.archive"),
    },
    1: {"studio.errors", "studio.version"},
}
TRAINING = "studio.training"  # makes what is bundled: may import all but ui and serve, and nothing imports it

# On one floor a room may use its neighbours as written here, and no others.
NEIGHBOURS = {
    "app": {"studio.lab_codecs"},
    "studio.codes": {"studio.audio"},
    "studio.consent": {"studio.text"},
    "studio.pauses": {"studio.text"},
    "studio.pronunciations": {"studio.text"},
    "studio.voices": {"studio.lab"},
    "studio.voice_entry": {"studio.voices", "studio.lab"},
    "studio.voice_library": {"studio.voices", "studio.voice_entry", "studio.lab"},
    "studio.voice_file": {"studio.voices", "studio.voice_entry", "studio.voice_library", "studio.lab"},
    "studio.archive": {"studio.audio"},
    "studio.script": {"studio.conversation"},
    "studio.messages": {"studio.conversation"},
    "studio.presets": {"studio.draft"},
    "studio.speech": {"studio.takes"},
    "studio.takes": {"studio.mixing"},
    "studio.project": {"studio.draft", "studio.mixing", "studio.takes"},
    "studio.project_json": {"studio.draft", "studio.mixing", "studio.project", "studio.takes"},
    "studio.project_store": {"studio.draft", "studio.project", "studio.project_json"},
}
# Lower floors that a room does without all the same.
KEPT_APART = {
    "studio.ui": {"studio.engine", "studio.codecs", "studio.checkpoints"},
    "studio.lab": {"studio.codecs"},
    "studio.serve": {"studio.engine", "studio.codecs", "studio.checkpoints"},
}
ONLY_HERE = {
    "gradio": {"app", "studio.ui", "studio.serve.web"},
    "starlette": {"studio.serve"},
    "transformers": {"studio.engine", "studio.codecs", "studio.recognition", TRAINING},
    "torch": {"studio.engine", "studio.codecs", "studio.recognition", TRAINING},
    "torchaudio": {TRAINING},
    "huggingface_hub": {"studio.checkpoints"},
    "librosa": {"studio.lab", TRAINING},
    "peft": {TRAINING},
    "spaces": {"app"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Full names of all modules a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            whole = node.module or ""
            found |= {f"{whole}.{alias.name}" for alias in node.names} if whole == "studio" else {whole}
    return found


def within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


MODULES = {
    module_name(path): imports_of(path)
    for path in [ROOT / "app.py", *sorted((ROOT / "studio").rglob("*.py"))]
    if module_name(path) != "studio"
}
ROOMS = {room: floor for floor, rooms in FLOORS.items() for room in rooms}


def room_of(module: str) -> str:
    rooms = [room for room in (*ROOMS, TRAINING) if within(module, {room})]
    assert len(rooms) == 1, f"{module} has no room: add it to FLOORS and to docs/architecture.md"
    return rooms[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_below(module: str):
    room = room_of(module)
    for imported in sorted(name for name in MODULES[module] if name.split(".")[0] in ("studio", "app")):
        other = room_of(imported)
        assert other != TRAINING or room == TRAINING, f"{module} imports {imported}: only training may"
        if room == TRAINING:
            assert other not in ("studio.ui", "studio.serve", "app"), f"{module} imports {imported}"
        elif other != room:
            below = ROOMS[other] < ROOMS[room] or other in NEIGHBOURS.get(room, set())
            assert below, f"{module} (floor {ROOMS[room]}) imports {imported} (floor {ROOMS[other]})"
            assert other not in KEPT_APART.get(room, set()), f"{module} imports {imported}, which it shall not know"


@pytest.mark.parametrize("library", ONLY_HERE)
def test_a_library_is_used_only_in_its_rooms(library: str):
    users = {module for module, imported in MODULES.items() if within_any(imported, library)}
    assert {module for module in users if not within(module, ONLY_HERE[library])} == set()


def within_any(imported: set[str], library: str) -> bool:
    return any(within(name, {library}) for name in imported)


def test_every_room_of_the_table_exists_and_stands_in_the_picture():
    picture = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for room in (*ROOMS, TRAINING):
        assert any(within(module, {room}) for module in MODULES), f"{room} is empty"
        assert room.removeprefix("studio.") in picture, f"{room} is missing in docs/architecture.md"


def test_neighbours_are_on_one_floor_and_used():
    for room, others in NEIGHBOURS.items():
        for other in others:
            assert ROOMS[room] == ROOMS[other]
            assert any(within(name, {other}) for name in MODULES[room]), f"{room} no longer needs {other}"


def test_rooms_called_utils_do_not_exist():
    last = {module.rsplit(".", 1)[-1] for module in MODULES}
    assert last.isdisjoint({"utils", "common", "helpers", "manager", "misc"})
