"""The documentation is true: commands, file tree, checkpoints, settings, pictures."""

import ast
import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from studio.batch_queue import COLUMNS, read_batch
from studio.checkpoints import CHECKPOINTS
from studio.conversation import MAX_LINES, MAX_SCENE_CHARACTERS, MAX_SPEAKERS
from studio.draft import MAX_ROWS, MOST_CONTEXT, NEEDED, TYPES, Draft
from studio.errors import BadSetting
from studio.presets import load_presets
from studio.sampling import HIGHEST_SEED, Sampling
from studio.text import MAX_CONVERSATION_CHARACTERS
from studio.training import consent as consent_of_training
from studio.ui import api, codec_api, voice_api
from studio.voice_library import VoiceLibrary

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
TREE = README.split("## Where things are")[1].split("```")[1]


def tree_paths() -> set[str]:
    """The files named by the tree, as paths from the root."""
    folders: list[str] = []
    found = set()
    for row in TREE.splitlines():
        if not row.strip() or row.startswith("text"):
            continue
        depth = (len(row) - len(row.lstrip())) // 2
        name = row.split()[0]
        folders = folders[:depth]
        if name.endswith("/"):
            folders.append(name)
        found.add("".join(folders) + ("" if name.endswith("/") else name))
    return found


def test_every_module_is_in_the_tree_with_a_clause():
    named = tree_paths()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "studio").rglob("*.py") if path.name != "__init__.py"}
    assert modules - named == set()
    for row in TREE.splitlines()[1:]:
        assert len(row.split()) != 1 or row.strip().endswith("/"), f"no clause: {row}"


def test_the_tree_names_nothing_that_is_not_there():
    assert [path for path in tree_paths() if not (ROOT / path).exists()] == []


def test_the_two_commands_come_first_and_exist():
    commands = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert commands[:2] == ["run", "test"]
    for command in commands:
        planned = subprocess.run(["make", "-n", command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert planned.returncode == 0, planned.stderr


@pytest.mark.parametrize("key", CHECKPOINTS)
def test_every_checkpoint_stands_in_the_readme_with_licence_and_revision(key: str):
    checkpoint = CHECKPOINTS[key]
    row = next(line for line in README.splitlines() if line.startswith(f"| `{key}`"))
    assert checkpoint.licence.split(" (")[0].split()[0] in row or "as above" in row
    assert (checkpoint.revision or checkpoint.revision_setting or checkpoint.folder.name) in row


def test_links_and_pictures_exist():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_space_front_matter_agrees_with_the_requirements():
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    version = re.search(r"^sdk_version: (\S+)", README, re.MULTILINE)[1]
    assert re.search(rf"^gradio=={re.escape(version)}\s", requirements, re.MULTILINE)
    assert 'python_version: "3.12.12"' in README
    assert len(re.search(r"^short_description: (.+)", README, re.MULTILINE)[1]) <= 60


def test_every_requirement_is_pinned():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            requirement = line.split("#")[0].strip()
            assert not requirement or re.fullmatch(r"[\w-]+==[\w.]+", requirement), f"{name}: {requirement}"


def test_the_bundled_checkpoints_stay_small_and_have_cards():
    folders = [folder for folder in (ROOT / "assets" / "mini").iterdir() if folder.is_dir()]
    assert sum(path.stat().st_size for folder in folders for path in folder.rglob("*")) < 60e6
    assert all("license: apache-2.0" in (folder / "README.md").read_text("utf-8") for folder in folders)


# ---- docs/conversation-object.md ----

OBJECT = (ROOT / "docs" / "conversation-object.md").read_text("utf-8")
OBJECTS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", OBJECT, re.DOTALL)]


def rows_of(heading: str) -> dict[str, list[str]]:
    """The table below some words: for each field its other cells."""
    table = OBJECT.split(heading)[1].split("\n|---")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]
    return {first.strip("`"): others for first, *others in cells}


def test_the_examples_of_a_conversation_can_be_spoken(voices: VoiceLibrary):
    for example in OBJECTS[:2]:
        (conversation,) = Draft.read(example, "example", NEEDED).conversations(voices)
        assert conversation.check() == []
    full = Draft.read(OBJECTS[0])
    assert set(OBJECTS[0]) == set(full.as_json()), "the example shows every field"
    assert {speaker["kind"] for speaker in full.speakers} == {"smart", "described", "reference"}


def test_the_example_of_a_preset_is_one(tmp_path: Path, voices: VoiceLibrary):
    (tmp_path / "mine.json").write_text(json.dumps(OBJECTS[2]), "utf-8")
    preset = load_presets(tmp_path)["mine"]
    assert (preset.title, preset.seed) == ("Good morning", 7)
    assert preset.draft.conversations(voices)


def test_every_field_stands_in_its_table_with_its_default_and_limits(voices: VoiceLibrary):
    fields = rows_of("everything else is optional.")
    assert set(fields) == set(TYPES)
    empty = Draft.read({}).as_json()
    for name, (_, default, _) in fields.items():
        assert (default == "required") == (name in NEEDED)
        assert default == "required" or json.loads(default.strip("`")) == empty[name]
    (speaker,) = Draft.read({"speakers": [{}]}).speakers
    assert {name: json.loads(cells[1].strip("`")) for name, cells in rows_of("A speaker:").items()} == speaker
    assert all(key.removeprefix("bundled:") in rows_of("A speaker:")["reference"][2] for key in voices.bundled)
    with pytest.raises(BadSetting, match=r"optional: (.*)\.") as refused:
        Draft.read({"lines": [7]})
    assert set(rows_of("A line:")) == set(re.search(r"optional: (.*)\.", str(refused.value))[1].split(", "))
    for limit in (MAX_SCENE_CHARACTERS, MAX_SPEAKERS, MAX_ROWS, MAX_LINES, MAX_CONVERSATION_CHARACTERS, HIGHEST_SEED):
        assert f"{limit:,}" in OBJECT or str(limit) in OBJECT
    assert f"0 to {MOST_CONTEXT}." in fields["context"][2]


def test_every_dial_of_a_preset_stands_there_with_default_and_range():
    rows = rows_of("each left out keeping its default:")
    assert set(rows) == {dial.name for dial in Sampling.dials()}
    for dial in Sampling.dials():
        default, within, _ = rows[dial.name]
        high = dial.high if dial.whole else f"{dial.high:g}"
        assert within.removesuffix(", whole") == f"{dial.low:g} to {high}"
        assert within.endswith("whole") == dial.whole
        assert dial.name == "seed" or float(default) == dial.default


# ---- the examples of the README ----


def test_the_table_of_the_readme_is_one_that_the_batch_reads(voices: VoiceLibrary):
    table = re.search(r"```csv\n(.*?)```", README, re.DOTALL)[1]
    items = read_batch(table, voices)
    assert [(item.name, len(item.draft.rows), item.seed) for item in items] == [("door", 2, 7), ("lamp", 2, None)]
    for item in items:
        assert item.draft.conversations(voices)
    assert all(f"| `{column}` |" in README for column in COLUMNS), "every column is explained"


def test_the_python_of_the_readme_names_endpoints_and_arguments_that_exist():
    sources = "".join(inspect.getsource(module) for module in (api, voice_api, codec_api))
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    calls = [
        node
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "predict"
    ]
    assert len(calls) == 5
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}  # None is **consent
        endpoint = ast.literal_eval(given.pop("api_name")).strip("/")
        arguments = re.search(rf"def {endpoint}\((.*?)\) ->", sources, re.DOTALL)[1]
        assert call.args == [], "names say more than an order"
        assert [name for name in given if not re.search(rf"\b{name}:", arguments)] == []


def test_a_consent_has_its_four_parts_in_one_order_everywhere():
    parts = ["whose", "said_by", "date", "statement"]
    table = README.split("## Consent")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == parts
    assert list(consent_of_training.PARTS) == parts
    assert [name for name in voice_api.TEXTS if name in parts] == parts


def test_the_commands_of_the_readme_take_what_they_are_given():
    commands = re.findall(r"^(?:.*\| )?\.venv/bin/python -m studio\.speak (.*)$", README, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        arguments = shlex.split(command)
        assert arguments[arguments.index("-o") + 1].startswith("out/"), "git does not see what lies there"
