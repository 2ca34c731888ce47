"""Bundled voices are complete; a visitor's own are kept under ids that nobody else can guess."""

import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from studio.audio import Audio, Recording, silence
from studio.consent import Consent
from studio.errors import BadAudio, BadConversation, BadSetting
from studio.lab.mends import Gain, ToMono, Trim, mended
from studio.text import speakable
from studio.voice_library import VoiceLibrary, public_id
from studio.voices import LibraryVoice, Reference
from studio.workspace import TOKEN, Workspace

FOLDER = Path(__file__).parent.parent / "assets" / "voices"
INDEX = json.loads((FOLDER / "voices.json").read_text("utf-8"))
HUM = Audio(0.3 * np.sin(2 * np.pi * 150 * np.arange(48_000) / 24_000), 24_000)
RECORDING = Recording(HUM, ("A note.",))
ADA = Consent("Ada Example", "Ada Example", "I agree that my voice is cloned for this test.", "2026-03-31")


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
    assert voice.consent is not None
    assert "No person" in voice.consent.whose
    assert voice.missing == ()


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
    added = library.add(RECORDING, "  Grand\u200bma ", " Well, well. ", "me.wav", ADA)
    found = VoiceLibrary(FOLDER, Workspace(workspace.root)).find(added.id)
    assert found == added
    assert (found.name, found.notes) == ("Grandma", ("A note.",))
    assert (found.reference.transcript, found.reference.file_name) == ("Well, well.", "me.wav")
    assert found.reference.audio is not None
    assert found.reference.audio.samples.tobytes() == HUM.samples.tobytes()


def test_a_removed_voice_is_gone_with_its_files(library: VoiceLibrary, workspace: Workspace):
    added = library.add(RECORDING, "Me", "Words.", "me.wav", ADA)
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
    tokens = [library.add(RECORDING, "Me", "Words.", "me.wav", ADA).id.removeprefix("own:") for _ in range(8)]
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
    known_kind = voice_id.startswith("own:")
    words = "no longer here" if known_kind else "There is no voice “.*”. Those .*: bundled:alma, "
    with pytest.raises(BadConversation, match=words):
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
        library.add(RECORDING, name, transcript, "me.wav", ADA)
    assert list(workspace.root.iterdir()) == []


def test_a_reference_of_more_than_thirty_seconds_is_to_be_trimmed(library: VoiceLibrary):
    with pytest.raises(BadAudio, match=r"lasts 31 s; a reference may last 30 s. Trim it"):
        library.add(Recording(silence(31, 8_000)), "Me", "Words.", "me.wav", ADA)


# ---- consent ----


def test_a_voice_without_words_or_consent_is_kept_and_may_not_speak(library: VoiceLibrary):
    begun = library.begin(RECORDING, "Grandma at home.wav")
    assert begun.name == "Grandma at home"
    assert library.look(begun.id) == begun
    with pytest.raises(BadConversation, match=r"“Grandma at home” cannot .* Type what is said .* Give the consent"):
        library.find(begun.id)
    library.edit(begun.id, transcript="Words.")
    with pytest.raises(BadConversation, match=r"cannot speak yet \(tab Voices\)\. Give the consent statement"):
        library.find(begun.id)
    library.edit(begun.id, consent=ADA)
    found = library.find(begun.id)
    assert found.consent == found.reference.consent == ADA


def test_a_voice_of_an_earlier_studio_asks_for_consent(library: VoiceLibrary, workspace: Workspace):
    token, folder = workspace.make()
    soundfile.write(folder / "reference.wav", HUM.samples.T, 24_000)
    old = {"name": "Old", "transcript": "Words.", "file_name": "old.wav", "notes": []}
    (folder / "voice.json").write_text(json.dumps(old))
    with pytest.raises(BadConversation, match="Give the consent statement"):
        library.find(f"own:{token}")
    assert library.edit(f"own:{token}", consent=ADA).missing == ()
    assert library.recording(f"own:{token}").length == HUM.length


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"whose": " "}, "Say whose voice it is"),
        ({"said_by": "…"}, "Say whose voice it is"),
        ({"statement": ""}, "what it may be used for"),
        ({"statement": 7}, "what it may be used for"),
        ({"statement": "x" * 1_001}, "The statement has 1,001 characters"),
        ({"date": "31.3.2026"}, "year-month-day"),
        ({"date": "2026-02-30"}, "year-month-day"),
        ({"date": "2999-01-01"}, "in the future"),
        ({"recording": "x"}, "no SHA-256"),
    ],
)
def test_a_consent_statement_that_says_too_little_is_refused(change: dict, words: str):
    assert Consent.read(ADA.as_json()) == ADA
    with pytest.raises(BadConversation, match=words):
        Consent.read(ADA.as_json() | change)


def test_a_spoken_statement_is_kept_with_its_fingerprint_and_goes_with_the_voice(
    library: VoiceLibrary, workspace: Workspace
):
    added = library.begin(RECORDING, "me.wav")
    library.attach_statement(added.id, HUM)
    consent = library.edit(added.id, consent=ADA).consent
    assert consent is not None
    path = library.statement(added.id)
    assert path is not None
    assert consent.recording == hashlib.sha256(path.read_bytes()).hexdigest()
    again = library.attach_statement(added.id, silence(2, 8_000)).consent
    assert again is not None
    assert again.recording != consent.recording
    library.remove(added.id)
    assert list(workspace.root.iterdir()) == []


# ---- changing ----


def test_mends_make_the_reference_anew_from_the_recording_and_are_undone(library: VoiceLibrary):
    stereo = Recording(Audio(np.stack([HUM.samples[0], 0.5 * HUM.samples[0]]), 24_000))
    voice = library.begin(stereo, "me.wav")
    mends = [ToMono("left"), Trim(0, 30_000), Gain(-6)]
    after = library.mend(voice.id, mends)
    assert after.mends == tuple(mends)
    assert after.reference.audio is not None
    assert np.array_equal(after.reference.audio.samples, mended(stereo.audio, mends).samples)
    assert library.recording(voice.id).channels == 2
    undone = library.mend(voice.id, after.mends[:-1])
    assert undone.reference.audio is not None
    assert undone.reference.audio.peak == pytest.approx(0.3, abs=1e-3)
    with pytest.raises(BadAudio, match="At least 1 s must be kept"):
        library.mend(voice.id, [Trim(0, 10)])
    assert library.look(voice.id) == undone


def test_what_was_computed_of_a_reference_is_forgotten_when_it_changes_or_goes(workspace: Workspace):
    forgotten: list[Reference] = []
    library = VoiceLibrary(FOLDER, workspace, forget=forgotten.append)
    voice = library.add(RECORDING, "Me", "Words.", "me.wav", ADA)
    library.mend(voice.id, [Gain(-6)])
    library.remove(voice.id)
    peaks = [round(reference.audio.peak, 2) for reference in forgotten if reference.audio]
    assert peaks == [0.3, 0.15]


def test_copies_for_listening_go_with_the_voice(tmp_path: Path, workspace: Workspace):
    copies = Workspace(tmp_path / "copies")
    library = VoiceLibrary(FOLDER, workspace, copies=copies)
    voice = library.begin(RECORDING, "me.wav")
    first, second = copies.make()[0], copies.make()[0]
    library.remember_copy(voice.id, "heard", first)
    library.remember_copy(voice.id, "heard", second)
    library.remember_copy("bundled:alma", "heard", second)
    assert library.copy_of("bundled:alma", "heard") == second
    assert library.copy_of(voice.id, "heard") == second
    assert copies.find(first) is not None
    library.remove(voice.id)
    assert copies.tokens() == []


def test_labels_are_cleaned_and_bounded(library: VoiceLibrary):
    voice = library.begin(RECORDING, "audio.wav")
    assert voice.name == "New voice"
    named = library.edit(voice.id, description=" Warm\u200b. ", tags=[" Warm ", "warm", "", "old  man"])
    assert (named.description, named.tags) == ("Warm.", ("warm", "old man"))
    with pytest.raises(BadConversation, match="At most 12 tags"):
        library.edit(voice.id, tags=[str(number) for number in range(13)])
    with pytest.raises(BadSetting, match="Bundled voices stay as they are"):
        library.edit("bundled:alma", name="Mine")


# ---- the operator's store ----


def test_a_store_lists_finished_voices_for_everybody_and_lets_only_their_owner_change_them(tmp_path: Path):
    store = Workspace(tmp_path / "store", kept_seconds=None)
    library = VoiceLibrary(FOLDER, store, shared=True)
    unfinished = library.begin(RECORDING, "unfinished.wav")
    voice = library.add(RECORDING, "Me", "Words.", "me.wav", ADA)
    listed = library.everybodys()
    assert [one.name for one in listed] == ["Me"]
    assert listed[0].id == public_id(voice.id)
    assert voice.id.removeprefix("own:") not in listed[0].id
    assert library.find(listed[0].id).reference == voice.reference
    for change in (library.remove, lambda key: library.edit(key, name="Mine now")):
        with pytest.raises(BadSetting, match="Only who added this voice"):
            change(listed[0].id)
    old = time.time() - 30 * 24 * 3600
    for folder in store.root.iterdir():
        os.utime(folder, (old, old))
        os.utime(folder / "voice.json", (old, old))
    assert store.sweep() == 0
    fresh = library.begin(RECORDING, "begun today.wav")
    with pytest.raises(BadConversation, match="no longer here"):
        library.look(unfinished.id)
    assert library.look(fresh.id).missing
    library.remove(voice.id)
    assert library.everybodys() == []


def test_a_voice_that_is_being_deleted_hinders_nobody(tmp_path: Path):
    store = Workspace(tmp_path / "store", kept_seconds=None)
    library = VoiceLibrary(FOLDER, store, shared=True)
    going = library.add(RECORDING, "Going", "Words.", "going.wav", ADA)
    library.add(RECORDING, "Staying", "Words.", "staying.wav", ADA)
    (store.root / going.id.removeprefix("own:") / "reference.wav").unlink()
    assert [voice.name for voice in library.everybodys()] == ["Staying"]
    with pytest.raises(BadConversation, match="no longer here"):
        library.look(going.id)


def test_without_a_store_nothing_is_listed_and_public_ids_find_nothing(library: VoiceLibrary):
    voice = library.add(RECORDING, "Me", "Words.", "me.wav", ADA)
    assert library.everybodys() == []
    with pytest.raises(BadConversation, match="no longer here"):
        library.find(public_id(voice.id))
