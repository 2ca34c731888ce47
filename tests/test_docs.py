"""The documentation is true: commands, file tree, checkpoints, settings, pictures."""

import re
import subprocess
from pathlib import Path

import pytest

from studio.checkpoints import CHECKPOINTS

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
