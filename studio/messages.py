"""Chat messages ⇄ conversation: the two JSON forms in which Higgs Audio V2 conversations travel.

*Typed* (transformers): a `system` and a `scene` role, content as lists of `{"type": "text"}` and
`{"type": "audio", "url": file}` items. *Plain* (the 2025 checkpoints): content as strings, the scene between
scene tokens inside the system text, recordings as `{"type": "audio", "audio_url": file}`.

Recordings are named by bare file names and attached by upload: nothing in an imported file is opened or fetched.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from studio.conversation import MAX_SPEAKERS, Conversation, Line, Scene, Speaker
from studio.errors import BadConversation
from studio.text import clean
from studio.voices import Reference, Voice

SINGLE_SPEAKER_SYSTEM = "Generate audio following instruction."
SEVERAL_SPEAKERS_SYSTEM = (
    "You are an AI assistant designed to convert text into speech.\n"
    "If the user's message includes a [SPEAKER*] tag, do not read out the tag and generate speech for the following "
    "text, using the specified voice.\n"
    "If no speaker tag is present, select a suitable voice on your own."
)
SCENE_START, SCENE_END = "<|scene_desc_start|>", "<|scene_desc_end|>"

SCENE_SPEAKER = re.compile(r"SPEAKER(\d{1,4}):\s*(.*)", re.DOTALL)
TAGGED_LINE = re.compile(r"\[SPEAKER(\d{1,4})\]\s*(.*)", re.DOTALL)
PLAIN_SCENE = re.compile(re.escape(SCENE_START) + r"(.*?)" + re.escape(SCENE_END), re.DOTALL)
REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

Form = Literal["typed", "plain"]
Item = str | Reference  # what a message holds: text, or a recording
Message = dict[str, Any]


def system_text(conversation: Conversation) -> str:
    """The conversation's own system text, or the one the model was documented with."""
    default = SEVERAL_SPEAKERS_SYSTEM if conversation.tagged else SINGLE_SPEAKER_SYSTEM
    return conversation.system or default


def scene_items(conversation: Conversation) -> list[Item]:
    """The scene: its description, then who sounds how, recordings included where they belong there."""
    items: list[Item] = [conversation.scene.description] if conversation.scene.description else []
    for index, speaker in enumerate(conversation.speakers):
        voice = speaker.voice
        in_scene = voice.reference if conversation.references_in == "scene" else None
        if voice.description or in_scene:
            items.append(f"SPEAKER{index}: {voice.description}".strip())
        if in_scene:
            items.append(in_scene)
    return items


def turns(conversation: Conversation, earlier: Sequence[tuple[int, Reference]] = ()) -> list[tuple[str, Item]]:
    """User and assistant turns: reference recordings with their transcripts, then what is to be spoken.

    Args:
        conversation: What to speak.
        earlier: Lines said before, as speaker and recording; they stand between the two.
    """
    found: list[tuple[str, Item]] = []
    for index, speaker in enumerate(conversation.speakers):
        reference = speaker.voice.reference
        if reference and conversation.references_in == "turns":
            found.append(("user", _tagged(conversation, index, reference.transcript)))
            found.append(("assistant", reference))
    for index, said in earlier:
        found += [("user", _tagged(conversation, index, said.transcript)), ("assistant", said)]
    spoken = "\n".join(_tagged(conversation, line.speaker, line.said) for line in conversation.lines)
    return [*found, ("user", spoken)]


def _tagged(conversation: Conversation, speaker: int, text: str) -> str:
    text = " ".join(text.split())
    return f"[SPEAKER{speaker}] {text}" if conversation.tagged else text


def to_messages(conversation: Conversation, form: Form = "typed") -> list[Message]:
    """The conversation as chat messages. Names of speakers and notes of the page are not part of them."""
    system, scene = system_text(conversation), scene_items(conversation)
    if form == "plain":
        messages: list[Message] = [{"role": "system", "content": _plain_system(system, scene)}]
        key = "audio_url"
    else:
        messages = [{"role": "system", "content": [{"type": "text", "text": system}]}]
        if scene:
            messages.append({"role": "scene", "content": [_typed_item(item, "url") for item in scene]})
        key = "url"
    for role, item in turns(conversation):
        plain_text = form == "plain" and isinstance(item, str)
        messages.append({"role": role, "content": item if plain_text else [_typed_item(item, key)]})
    return messages


def _typed_item(item: Item, url_key: str) -> dict[str, str]:
    if isinstance(item, Reference):
        return {"type": "audio", url_key: item.file_name}
    return {"type": "text", "text": item}


def _plain_system(system: str, scene: Sequence[Item]) -> str | list[dict[str, str]]:
    """System text with the scene inside: a string, or a list where recordings stand between the text."""
    if not scene:
        return system
    parts: list[Item] = [f"{system}\n\n{SCENE_START}\n"]
    for index, item in enumerate(scene):
        if isinstance(item, Reference):
            parts[-1] = f"{parts[-1]} "
            parts += [item, ""]
        else:
            between = "" if index == 0 else "\n\n" if index == 1 else "\n"
            parts[-1] = f"{parts[-1]}{between}{item}"
    parts[-1] = f"{parts[-1]}\n{SCENE_END}"
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return [_typed_item(part, "audio_url") for part in parts]


def from_messages(
    messages: Any, find_recording: Callable[[str], Reference | None] = lambda file_name: None
) -> Conversation:
    """Read chat messages in either form.

    Args:
        messages: What `json.loads` gave: a list of messages, or an object with a `messages` list.
        find_recording: Gives the recording of a file name if there is one (a bundled voice, an upload);
            the others stay named and unattached.

    Raises:
        BadConversation: it is neither form, or it names a remote file; the message is counted from 1.
    """
    if isinstance(messages, dict):
        messages = messages.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise BadConversation("The file is not a list of chat messages. Each needs a role and content.")
    roles = [message.get("role") for message in messages]
    contents = [list(_items(message.get("content"), number)) for number, message in enumerate(messages, 1)]
    if roles[0] != "system":
        raise BadConversation("Message 1 must have the role system.")
    system, scene, in_system = _read_system(contents[0])
    start = 1
    if len(roles) > 1 and roles[1] == "scene":
        if in_system:
            raise BadConversation("The scene stands twice: in the system text and as message 2. Keep one.")
        scene, start = contents[1], 2
    return _Reading(find_recording).conversation(system, scene, list(zip(roles, contents, strict=True))[start:], start)


class _FileName(str):
    """A recording as a message names it, to tell it from text."""


def _items(content: Any, number: int) -> Iterator[str]:
    """Text and file names of a message, in order, whichever form it has."""
    for item in content if isinstance(content, list) else [content]:
        if isinstance(item, str):
            yield clean(item)
        elif isinstance(item, dict) and item.get("type") == "text" and isinstance(item.get("text"), str):
            yield clean(item["text"])
        elif isinstance(item, dict) and item.get("type") == "audio":
            yield _file_name(item.get("url") or item.get("audio_url") or item.get("path"), number)
        else:
            raise BadConversation(f"Message {number} has content that is neither text nor audio.")


def _file_name(value: Any, number: int) -> _FileName:
    if not isinstance(value, str):
        value = ""
    if REMOTE.match(value.strip()) or value.strip().startswith("//"):
        raise BadConversation(
            f"Message {number} points to “{clean(value)[:60]}”. Remote files are not fetched: "
            "download it, write its bare file name, and attach it under “Add a voice”."
        )
    name = clean(value).replace("\\", "/").rsplit("/", 1)[-1].strip()
    if not name:
        raise BadConversation(f"Message {number} has audio without a file name. Name the file you will attach.")
    return _FileName(name)


def _read_system(items: list[str]) -> tuple[str, list[str], bool]:
    """System text, scene items, and whether the scene stood inside the system text."""
    whole = ""
    recordings: list[_FileName] = []
    for item in items:
        if isinstance(item, _FileName):
            recordings.append(item)
            whole += "\0"  # cannot occur in cleaned text
        else:
            whole += item
    found = PLAIN_SCENE.search(whole)
    if not found:
        if recordings:
            raise BadConversation("Message 1 has audio outside its scene. Put it between the scene tokens.")
        return whole.strip(), [], False
    scene: list[str] = []
    waiting = iter(recordings)
    paragraphs = found[1].strip().split("\n\n", 1)
    description = [] if SCENE_SPEAKER.match(paragraphs[0]) else [paragraphs.pop(0).strip()]
    for row in "\n".join(paragraphs).split("\n"):
        for index, piece in enumerate(row.split("\0")):
            if index:
                scene.append(next(waiting))
            if piece.strip():
                scene.append(piece.strip())
    return PLAIN_SCENE.sub("", whole).strip(), [*description, *scene], True


class _Reading:
    """What is learnt about the cast while messages are read."""

    def __init__(self, find_recording: Callable[[str], Reference | None]) -> None:
        self._find = find_recording
        self._descriptions: dict[int, str] = {}
        self._references: dict[int, Reference] = {}

    def conversation(
        self, system: str, scene: list[str], rest: list[tuple[Any, list[str]]], before: int
    ) -> Conversation:
        description, place = self._read_scene(scene)
        if not rest or rest[-1][0] != "user":
            raise BadConversation("The last message must have the role user: it holds what is to be spoken.")
        for offset in range(0, len(rest) - 1, 2):
            self._read_turn(rest[offset], rest[offset + 1], before + offset + 1)
        lines = self._read_lines("\n".join(rest[-1][1]), before + len(rest))
        count = 1 + max([*self._descriptions, *self._references, *(line.speaker for line in lines)], default=0)
        if count > MAX_SPEAKERS:
            raise BadConversation(f"The messages name [SPEAKER{count - 1}]; at most {MAX_SPEAKERS} can take part.")
        speakers = tuple(
            Speaker(f"Speaker {index}", Voice(self._descriptions.get(index, ""), self._references.get(index)))
            for index in range(count)
        )
        conversation = Conversation(tuple(lines), speakers, Scene(description), place)
        own = system if system != system_text(conversation) else ""
        return Conversation(tuple(lines), speakers, Scene(description), place, own)

    def _read_scene(self, items: list[str]) -> tuple[str, Literal["turns", "scene"]]:
        described: list[str] = []
        speaker: int | None = None
        for item in items:
            if isinstance(item, _FileName):
                if speaker is None:
                    raise BadConversation("The scene has audio that no SPEAKERn: stands before.")
                self._attach(speaker, item, "")
            elif found := SCENE_SPEAKER.match(item.strip()):
                speaker = int(found[1])
                if found[2].strip():
                    self._descriptions[speaker] = found[2].strip()
            else:
                described.append(item.strip())
        return "\n".join(described), "scene" if self._references else "turns"

    def _attach(self, speaker: int, file_name: str, transcript: str) -> None:
        if speaker in self._references:
            raise BadConversation(f"There are two recordings of [SPEAKER{speaker}]. Keep the one it shall sound like.")
        known = self._find(file_name)
        words = transcript or (known.transcript if known else "")
        self._references[speaker] = Reference(file_name, words, known.audio if known else None)

    def _read_turn(self, user: tuple[Any, list[str]], assistant: tuple[Any, list[str]], number: int) -> None:
        (user_role, words), (assistant_role, recordings) = user, assistant
        if user_role != "user" or assistant_role != "assistant":
            raise BadConversation(f"Messages {number} and {number + 1} must be a user and an assistant turn.")
        if len(recordings) != 1 or not isinstance(recordings[0], _FileName):
            raise BadConversation(f"Message {number + 1} must hold one recording of the words before it.")
        speaker, transcript = _tag("\n".join(words))
        self._attach(speaker, recordings[0], transcript)

    def _read_lines(self, text: str, number: int) -> list[Line]:
        lines: list[Line] = []
        for row in filter(None, map(str.strip, text.split("\n"))):
            speaker, words = _tag(row)
            lines.append(Line(speaker, words, len(lines) + 1))
        if not lines:
            raise BadConversation(f"Message {number} has no text to speak.")
        return lines


def _tag(text: str) -> tuple[int, str]:
    found = TAGGED_LINE.match(text.strip())
    return (int(found[1]), found[2].strip()) if found else (0, text.strip())
