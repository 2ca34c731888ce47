"""Presets load and can be spoken; a wrong one is named with its file."""

import json
from pathlib import Path

import pytest

from studio.draft import Row
from studio.errors import BadSetting
from studio.presets import FOLDER, Preset, load_presets
from studio.sampling import Sampling
from studio.voice_library import VoiceLibrary

GOOD = {
    "title": "T",
    "conversation": {"speakers": [{"name": "A"}], "lines": [{"text": "Hi."}]},
    "sampling": {"seed": 1},
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_preset_loads_and_can_be_spoken(path: Path, voices: VoiceLibrary):
    preset = Preset.read(path)
    assert preset.title
    assert preset.about.endswith(".")
    for conversation in preset.draft.conversations(voices):
        assert conversation.check() == []
        for speaker in conversation.speakers:
            assert speaker.name


def test_there_are_six_presets_or_more_and_they_show_every_form_of_conversation(voices: VoiceLibrary):
    presets = load_presets()
    assert len(presets) >= 6
    assert list(presets) == sorted(presets)
    assert len({preset.title for preset in presets.values()}) == len(presets)
    spoken = [preset.draft.conversations(voices) for preset in presets.values()]
    forms = {
        (len(item.speakers) > 1, frozenset(speaker.voice.kind for speaker in item.speakers), item.references_in)
        for conversations in spoken
        for item in conversations
    }
    assert {
        (False, frozenset({"smart"}), "turns"),
        (True, frozenset({"described"}), "turns"),
        (False, frozenset({"reference"}), "turns"),
        (True, frozenset({"reference"}), "scene"),
    } <= forms
    assert any(len(conversations) > 1 for conversations in spoken), "none shows batched conversations"


def test_a_preset_is_read_whole(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(GOOD | {"about": "A."}), "utf-8")
    preset = Preset.read(path)
    assert (preset.title, preset.about, preset.sampling) == ("T", "A.", Sampling(seed=1))
    assert preset.draft.rows == (Row(0, "Hi."),)
    assert load_presets(tmp_path) == {"mine": preset}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "mine.json: this is not JSON that can be read"),
        ("{", "mine.json: this is not JSON that can be read"),
        ("[" * 100_000, "mine.json: this is not JSON that can be read"),
        ("[]", "mine.json must be an object, not a list. Required: title, conversation. Optional: about, sampling"),
        ("{}", "mine.json: title is missing"),
        (json.dumps(GOOD | {"title": 7}), "mine.json: title must be text, not a whole number"),
        (json.dumps(GOOD | {"titel": "T"}), r"there is no key 'titel'. Do you mean 'title'\? Required: title, conv"),
        (json.dumps(GOOD | {"sampling": {"top_q": 1}}), "mine.json, sampling: there is no sampling setting 'top_q'"),
        (json.dumps(GOOD | {"sampling": {"top_p": 2}}), r"mine.json, sampling: Top-p \(top_p\) must be between"),
        (json.dumps(GOOD | {"sampling": None}), "mine.json: sampling must be an object, not null"),
        (json.dumps(GOOD | {"conversation": {"line": []}}), "mine.json, conversation: there is no key 'line'"),
        (json.dumps({"title": "T"}), "mine.json: conversation is missing"),
        (json.dumps(GOOD | {"conversation": {"lines": []}}), "mine.json, conversation: speakers is missing"),
    ],
)
def test_a_wrong_preset_is_named_with_its_file_and_key(tmp_path: Path, content: str, words: str):
    path = tmp_path / "mine.json"
    path.write_text(content, "utf-8")
    with pytest.raises(BadSetting, match=words):
        Preset.read(path)


def test_bytes_that_are_no_text_are_named_with_their_file(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSetting, match=r"mine.json: this is not JSON"):
        Preset.read(path)


def test_a_preset_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path):
    with pytest.raises(
        BadSetting, match=r"There is no preset file .*nothing.json. There are: presets/1-two-friends.json"
    ):
        Preset.read(tmp_path / "nothing.json")
