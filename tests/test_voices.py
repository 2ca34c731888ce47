"""Bundled voices are complete; a visitor's own are kept under ids that nobody else can guess."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from studio.audio import Audio, Recording, silence
from studio.errors import BadAudio, BadConversation, BadSetting
from studio.text import speakable
from studio.voices import LibraryVoice, VoiceLibrary
from studio.workspace import TOKEN, Workspace

FOLDER = Path(__file__).parent.parent / "assets" / "voices"
INDEX = json.loads((FOLDER / "voices.json").read_text("utf-8"))
HUM = Audio(0.3 * np.sin(2 * np.pi * 150 * np.arange(48_000) / 24_000), 24_000)
RECORDING = Recording(HUM, ("A note.",))


@pytest.fixture
def library(workspace: Workspace) -> VoiceLibrary:
    return VoiceLibrary(FOLDER, workspace)


# ---- bundled ----


@pytest.mark.parametrize("key", INDEX)
def test_every_bundled_voice_is_a_clean_recording_with_words_gender_origin_and_licence(key: str, voices: VoiceLibrary):
    voice = voices.find(f"bundled:{key}")
    audio = voice.reference.audio
    assert audio is not None
    assert (audio.channels, audio.sample_rate) == (1, 24_000)
    assert 2 <= audio.duration_seconds <= 10
    assert -30 < audio.rms_dbfs < -12
    assert audio.peak < 0.99
    assert abs(float(audio.samples.mean())) < 0.005
    assert voice.name
    assert speakable(voice.reference.transcript)
    assert voice.gender in ("feminine", "masculine")
    assert "espeak-ng" in voice.origin
    assert voice.licence == "CC0-1.0"


def test_there_are_six_bundled_voices_or_more_and_no_file_without_an_entry():
    assert len(INDEX) >= 6
    assert {path.stem for path in FOLDER.glob("*.flac")} == set(INDEX)
    assert {entry["gender"] for entry in INDEX.values()} == {"feminine", "masculine"}
    assert {soundfile.info(path).format for path in FOLDER.glob("*.flac")} == {"FLAC"}


def test_a_card_tells_what_the_page_shows(voices: VoiceLibrary):
    card = voices.find("bundled:alma").card()
    assert (card["id"], card["name"], card["gender"]) == ("bundled:alma", "Alma", "feminine")
    assert len(card["outline"]) == 96
    assert max(card["outline"]) == 1.0
    json.dumps(card)


def test_the_card_of_a_silent_voice_has_a_flat_outline(voices: VoiceLibrary):
    quiet = replace(voices.find("bundled:alma").reference, audio=silence(1, 24_000))
    assert set(LibraryVoice("own:x", "Q", quiet).card()["outline"]) == {0.0}


# ---- one's own ----


def test_an_added_voice_is_found_again_bit_for_bit_even_after_a_restart(library: VoiceLibrary, workspace: Workspace):
    added = library.add(RECORDING, "  Grand\u200bma ", " Well, well. ", "me.wav")
    found = VoiceLibrary(FOLDER, Workspace(workspace.root)).find(added.id)
    assert found == added
    assert (found.name, found.notes) == ("Grandma", ("A note.",))
    assert (found.reference.transcript, found.reference.file_name) == ("Well, well.", "me.wav")
    assert found.reference.audio is not None
    assert found.reference.audio.samples.tobytes() == HUM.samples.tobytes()


def test_a_removed_voice_is_gone_with_its_files(library: VoiceLibrary, workspace: Workspace):
    added = library.add(RECORDING, "Me", "Words.", "me.wav")
    library.remove(added.id)
    assert list(workspace.root.iterdir()) == []
    with pytest.raises(BadConversation, match=r"no longer here. Choose another, or add it again"):
        library.find(added.id)
    library.remove(added.id)


def test_bundled_voices_stay(library: VoiceLibrary):
    with pytest.raises(BadSetting, match="Bundled voices stay"):
        library.remove("bundled:alma")
    assert (FOLDER / "alma.flac").exists()


def test_ids_of_own_voices_are_128_random_bits(library: VoiceLibrary):
    tokens = [library.add(RECORDING, "Me", "Words.", "me.wav").id.removeprefix("own:") for _ in range(8)]
    assert all(TOKEN.fullmatch(token) for token in tokens)
    digits = "".join(tokens)
    assert len(set(tokens)) == 8
    assert max(map(digits.count, set(digits))) < 48, "256 random digits hold each about 16 times"


@pytest.mark.parametrize(
    "voice_id",
    [
        "",
        "own:",
        "own:..",
        "own:../voices",
        "own:/etc",
        "own:" + "0" * 32,
        "own:" + "0" * 32 + "\n",
        "bundled:",
        "bundled:../voices/alma",
        "bundled:ALMA",
        "alma",
        "other:alma",
        "own:\0",
        "own:" + "a" * 10_000,
    ],
)
def test_an_id_that_is_none_of_ours_finds_nothing(library: VoiceLibrary, voice_id: str):
    with pytest.raises(BadConversation, match="no longer here"):
        library.find(voice_id)


def test_a_folder_that_holds_no_voice_finds_nothing(library: VoiceLibrary, workspace: Workspace):
    token, _ = workspace.make()
    with pytest.raises(BadConversation, match="no longer here"):
        library.find(f"own:{token}")


@pytest.mark.parametrize(
    ("name", "transcript", "words"),
    [
        (" ", "Words.", "Give the voice a name"),
        ("Me", " …", "Type what is said in the recording"),
        ("x" * 41, "Words.", "The name has 41 characters; at most 40"),
        ("Me", "x" * 1_001, "The transcript has 1,001 characters; at most 1,000"),
    ],
)
def test_what_is_missing_for_a_voice_is_asked_for_and_nothing_is_kept(
    library: VoiceLibrary, workspace: Workspace, name: str, transcript: str, words: str
):
    with pytest.raises(BadConversation, match=words):
        library.add(RECORDING, name, transcript, "me.wav")
    assert list(workspace.root.iterdir()) == []


def test_a_reference_of_more_than_thirty_seconds_is_to_be_trimmed(library: VoiceLibrary):
    with pytest.raises(BadAudio, match=r"lasts 31 s; a reference may last 30 s. Trim it"):
        library.add(Recording(silence(31, 8_000)), "Me", "Words.", "me.wav")
