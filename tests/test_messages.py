"""Conversations travel as chat messages in two forms and come back as they were."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.conversation import Conversation, Line, Scene, Speaker
from studio.errors import BadConversation, StudioError
from studio.messages import (
    SEVERAL_SPEAKERS_SYSTEM,
    SINGLE_SPEAKER_SYSTEM,
    Form,
    from_messages,
    to_messages,
)
from studio.presets import load_presets
from studio.voice_library import VoiceLibrary
from studio.voices import Reference, Voice

FORMS = get_args(Form)
ROOM = "Audio is recorded from a quiet room."


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def sound(file_name: str) -> dict[str, str]:
    return {"type": "audio", "url": file_name}


def message(role: str, *items: Any) -> dict[str, Any]:
    return {"role": role, "content": list(items)}


def plain(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


# The forms as the documentation of Higgs Audio V2 writes them.
TYPED = {
    "single speaker, smart voice": [
        message("system", text(SINGLE_SPEAKER_SYSTEM)),
        message("scene", text(ROOM)),
        message("user", text("The sun rises in the east and sets in the west.")),
    ],
    "several speakers, smart voices": [
        message("system", text(SEVERAL_SPEAKERS_SYSTEM)),
        message("scene", text(ROOM), text("SPEAKER0: feminine"), text("SPEAKER1: masculine")),
        message("user", text("[SPEAKER0] I can't believe you did that.\n[SPEAKER1] Did what?\n[SPEAKER0] You know.")),
    ],
    "zero-shot cloning": [
        message("system", text(SINGLE_SPEAKER_SYSTEM)),
        message("scene", text(ROOM)),
        message("user", text("It was the night before my birthday.")),
        message("assistant", sound("belinda.wav")),
        message("user", text("The sun rises in the east and sets in the west.")),
    ],
    "several clones as turns": [
        message("system", text(SEVERAL_SPEAKERS_SYSTEM)),
        message("scene", text(ROOM)),
        message("user", text("[SPEAKER0] One.")),
        message("assistant", sound("a.wav")),
        message("user", text("[SPEAKER1] Two.")),
        message("assistant", sound("b.wav")),
        message("user", text("[SPEAKER0] Three.\n[SPEAKER1] Four.")),
    ],
    "several clones in the scene": [
        message("system", text(SEVERAL_SPEAKERS_SYSTEM)),
        message("scene", text(ROOM), text("SPEAKER0:"), sound("a.wav"), text("SPEAKER1:"), sound("b.wav")),
        message("user", text("[SPEAKER0] I can't believe you did that.\n[SPEAKER1] Did what?")),
    ],
}
PLAIN = {
    "single speaker, smart voice": [
        plain("system", f"{SINGLE_SPEAKER_SYSTEM}\n\n<|scene_desc_start|>\n{ROOM}\n<|scene_desc_end|>"),
        plain("user", "The sun rises in the east and sets in the west."),
    ],
    "several speakers, smart voices": [
        plain(
            "system",
            f"{SEVERAL_SPEAKERS_SYSTEM}\n\n<|scene_desc_start|>\n{ROOM}\n\n"
            "SPEAKER0: feminine\nSPEAKER1: masculine\n<|scene_desc_end|>",
        ),
        plain("user", "[SPEAKER0] I can't believe you did that.\n[SPEAKER1] Did what?\n[SPEAKER0] You know."),
    ],
    "zero-shot cloning": [
        plain("system", f"{SINGLE_SPEAKER_SYSTEM}\n\n<|scene_desc_start|>\n{ROOM}\n<|scene_desc_end|>"),
        plain("user", "It was the night before my birthday."),
        plain("assistant", [{"type": "audio", "audio_url": "belinda.wav"}]),
        plain("user", "The sun rises in the east and sets in the west."),
    ],
    "several clones as turns": [
        plain("system", f"{SEVERAL_SPEAKERS_SYSTEM}\n\n<|scene_desc_start|>\n{ROOM}\n<|scene_desc_end|>"),
        plain("user", "[SPEAKER0] One."),
        plain("assistant", [{"type": "audio", "audio_url": "a.wav"}]),
        plain("user", "[SPEAKER1] Two."),
        plain("assistant", [{"type": "audio", "audio_url": "b.wav"}]),
        plain("user", "[SPEAKER0] Three.\n[SPEAKER1] Four."),
    ],
    "several clones in the scene": [
        plain(
            "system",
            [
                text(f"{SEVERAL_SPEAKERS_SYSTEM}\n\n<|scene_desc_start|>\n{ROOM}\n\nSPEAKER0: "),
                {"type": "audio", "audio_url": "a.wav"},
                text("\nSPEAKER1: "),
                {"type": "audio", "audio_url": "b.wav"},
                text("\n<|scene_desc_end|>"),
            ],
        ),
        plain("user", "[SPEAKER0] I can't believe you did that.\n[SPEAKER1] Did what?"),
    ],
}


@pytest.mark.parametrize("name", TYPED)
def test_every_documented_form_comes_back_as_it_was_and_turns_into_the_other(name: str):
    for given_messages in (TYPED[name], PLAIN[name]):
        conversation = from_messages(given_messages)
        assert conversation.system == ""
        assert to_messages(conversation, "typed") == TYPED[name]
        assert to_messages(conversation, "plain") == PLAIN[name]


def test_what_the_messages_say_is_understood():
    conversation = from_messages(TYPED["several speakers, smart voices"])
    assert conversation.scene == Scene(ROOM)
    assert [speaker.voice for speaker in conversation.speakers] == [Voice("feminine"), Voice("masculine")]
    assert conversation.lines == (Line(0, "I can't believe you did that."), Line(1, "Did what?"), Line(0, "You know."))
    clone = from_messages(TYPED["zero-shot cloning"]).speakers[0].voice.reference
    assert clone == Reference("belinda.wav", "It was the night before my birthday.")
    in_scene = from_messages(TYPED["several clones in the scene"])
    assert in_scene.references_in == "scene"
    assert [reference.file_name for reference in in_scene.references] == ["a.wav", "b.wav"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("preset", load_presets().values(), ids=load_presets().keys())
def test_every_preset_comes_back_from_its_messages(preset: Any, form: Form, voices: VoiceLibrary):
    by_name = {voice.reference.file_name: voice.reference for voice in voices.bundled.values()}
    for conversation in preset.draft.conversations(voices):
        travelled = json.loads(json.dumps(to_messages(conversation, form)))
        back = from_messages(travelled, by_name.get)
        named = tuple(replace(it, name=was.name) for it, was in zip(back.speakers, conversation.speakers, strict=True))
        assert replace(back, speakers=named) == conversation
        assert [reference.audio for reference in back.references] == [it.audio for it in conversation.references]
        assert to_messages(back, form) == travelled


WORDS = st.sampled_from(["Hello.", "A station at night.", "12:30, then.", "Grüße", "你好", "<|eot_id|>", "one: two"])


@given(
    lines=st.lists(st.tuples(st.integers(0, 2), WORDS), min_size=1, max_size=5),
    scene=st.lists(WORDS, max_size=2).map("\n".join),
    system=st.sampled_from(["", "Speak slowly."]),
    voices=st.tuples(*[st.tuples(st.sampled_from(["", "feminine"]), st.booleans())] * 3),
    place=st.sampled_from(["turns", "scene"]),
    form=st.sampled_from(FORMS),
)
def test_round_trip_is_the_identity(lines: list, scene: str, system: str, voices: tuple, place: Any, form: Form):
    cast = tuple(
        Speaker(
            f"Speaker {index}",
            Voice(words, Reference(f"{index}.wav", "Hi." if place == "turns" else "") if clone else None),
        )
        for index, (words, clone) in enumerate(voices)
    )
    there = Conversation(tuple(Line(*line) for line in lines), cast, Scene(scene), place, system).with_speaking_cast()
    there = replace(there, speakers=tuple(replace(it, name=f"Speaker {i}") for i, it in enumerate(there.speakers)))
    there = there if there.references else replace(there, references_in="turns")
    assert from_messages(to_messages(there, form)) == there


def test_messages_may_stand_in_an_object():
    assert from_messages({"messages": TYPED["zero-shot cloning"]}) == from_messages(TYPED["zero-shot cloning"])


def test_a_system_text_of_ones_own_is_kept():
    conversation = from_messages([plain("system", "Whisper."), plain("user", "Hello.")])
    assert conversation.system == "Whisper."
    assert to_messages(conversation, "plain") == [plain("system", "Whisper."), plain("user", "Hello.")]


def test_a_recording_that_is_not_known_stays_named_and_is_asked_for():
    with pytest.raises(BadConversation, match=r"The recording “belinda.wav” for Speaker 0 is not here. Add it"):
        from_messages(TYPED["zero-shot cloning"]).check()


def test_folders_are_cut_off_file_names_and_nothing_is_opened(tmp_path: Any):
    (tmp_path / "secret.wav").write_bytes(b"")
    for name in (str(tmp_path / "secret.wav"), "../../secret.wav", "..\\secret.wav"):
        messages = [
            plain("system", "S."),
            plain("user", "Hi."),
            message("assistant", sound(name)),
            plain("user", "Ho."),
        ]
        assert from_messages(messages).references == (Reference("secret.wav", "Hi."),)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a.wav",
        "HTTP://169.254.169.254/",
        " ftp://host/a.wav",
        "file:///etc/passwd",
        "data:audio/wav;base64,AAAA",
        "//host/share.wav",
    ],
)
@pytest.mark.parametrize("key", ["url", "audio_url", "path"])
def test_remote_files_are_refused_and_the_message_is_counted(address: str, key: str):
    turn = {"role": "assistant", "content": [{"type": "audio", key: address}]}
    with pytest.raises(BadConversation, match=r"Message 3 points to .*Remote files are not fetched: download it"):
        from_messages([plain("system", "S."), plain("user", "Hi."), turn, plain("user", "Ho.")])


SYSTEM, LAST = plain("system", "S."), plain("user", "Ho.")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (None, "not a list of chat messages"),
        ([], "not a list of chat messages"),
        (["hello"], "not a list of chat messages"),
        ({"text": "hello"}, "not a list of chat messages"),
        ([LAST], "Message 1 must have the role system"),
        ([SYSTEM], "The last message must have the role user"),
        ([SYSTEM, plain("assistant", "Hi.")], "The last message must have the role user"),
        ([SYSTEM, plain("user", "  ")], "Message 2 has no text to speak"),
        ([SYSTEM, {"role": "user"}], "Message 2 has content that is neither text nor audio"),
        ([SYSTEM, message("user", {"type": "image", "url": "a.png"})], "Message 2 has content that is neither"),
        ([SYSTEM, plain("user", "A."), plain("user", "B."), LAST], "Messages 2 and 3 must be a user and an assistant"),
        ([SYSTEM, plain("user", "A."), plain("assistant", "B."), LAST], "Message 3 must hold one recording"),
        ([SYSTEM, plain("user", "A."), message("assistant", sound(" ")), LAST], "Message 3 has audio without a file"),
        ([SYSTEM, plain("user", "A."), message("assistant", sound("a/")), LAST], "Message 3 has audio without a file"),
        ([SYSTEM, plain("user", "A."), message("assistant", {"type": "audio"}), LAST], "Message 3 has audio without"),
        ([message("system", text("S."), sound("a.wav")), LAST], "Message 1 has audio outside its scene"),
        ([SYSTEM, message("scene", sound("a.wav")), LAST], "The scene has audio that no SPEAKERn: stands before"),
        ([PLAIN["zero-shot cloning"][0], message("scene", text("R.")), LAST], "The scene stands twice"),
        ([SYSTEM, plain("user", "[SPEAKER9999] Hi.")], r"The messages name \[SPEAKER9999\]; at most 8"),
        (
            [SYSTEM, plain("user", "A."), message("assistant", sound("a.wav"))] * 2 + [LAST],
            "Messages 4 and 5 must be a user and an assistant turn",
        ),
        (
            [SYSTEM, *[plain("user", "A."), message("assistant", sound("a.wav"))] * 2, LAST],
            r"There are two recordings of \[SPEAKER0\]. Keep the one",
        ),
    ],
)
def test_what_is_neither_form_is_refused_with_the_message_counted(messages: Any, words: str):
    with pytest.raises(BadConversation, match=words):
        from_messages(messages)


ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "audio", "image", None])},
    optional={key: st.text(max_size=12) | st.none() | st.integers() for key in ("text", "url", "audio_url", "path")},
)
CONTENT = st.none() | st.integers() | st.text(max_size=30) | st.lists(ITEMS | st.text(max_size=12), max_size=4) | ITEMS
SCENES = st.text("SPEAKR0123: \n\0<|scenedtr_a>", max_size=60).map(
    lambda it: f"<|scene_desc_start|>{it}<|scene_desc_end|>"
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={"role": st.sampled_from(["system", "scene", "user", "assistant", 1, None]), "content": CONTENT | SCENES},
)


@given(st.lists(MESSAGES, max_size=6), st.booleans())
def test_hostile_json_gives_words_or_a_conversation_and_nothing_else(messages: list, well_begun: bool):
    if well_begun:
        messages = [message("system", *([messages[0].get("content", "")] if messages else [])), *messages, LAST]
    try:
        conversation = from_messages(messages)
        for form in FORMS:
            to_messages(conversation, form)
    except StudioError as problem:
        assert str(problem)
