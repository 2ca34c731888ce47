"""Conversation: who says what, where, in which voice. A frozen value; editing makes a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from studio.errors import BadConversation
from studio.text import MAX_CONVERSATION_CHARACTERS, check_length, clean, control_tokens, speakable
from studio.voices import Reference, Voice

QUIET_ROOM = "Audio is recorded from a quiet room."
MAX_SPEAKERS = 8
MAX_LINES = 400
MAX_SCENE_CHARACTERS = 2_000

ReferencePlace = Literal["turns", "scene"]


@dataclass(frozen=True)
class Scene:
    """Where it is spoken, in free text without blank lines (a blank line ends it in the prompt)."""

    description: str = QUIET_ROOM

    def __post_init__(self) -> None:
        rows = (row.strip() for row in clean(self.description).split("\n"))
        object.__setattr__(self, "description", "\n".join(filter(None, rows)))


@dataclass(frozen=True)
class Speaker:
    """One of the cast."""

    name: str
    voice: Voice = Voice()  # noqa: RUF009  a frozen value

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", " ".join(clean(self.name).split()))


@dataclass(frozen=True)
class Line:
    """What one speaker says in one go: text without line breaks."""

    speaker: int  # index into the cast
    text: str
    number: int = field(default=0, compare=False)  # its row on the page, from 1, for messages; 0: unknown
    row: str = field(default="", compare=False)  # the id of that row
    pause: float | None = field(default=None, compare=False)  # seconds of silence before it; None: the usual
    respelt: str = ""  # what the model is to read instead of the text; empty: the text

    def __post_init__(self) -> None:
        for name in ("text", "respelt"):
            object.__setattr__(self, name, " ".join(clean(getattr(self, name)).split()))

    @property
    def said(self) -> str:
        """What the model reads."""
        return self.respelt or self.text


@dataclass(frozen=True)
class Conversation:
    """A scene, a cast and its lines."""

    lines: tuple[Line, ...]
    speakers: tuple[Speaker, ...]
    scene: Scene = Scene()
    references_in: ReferencePlace = "turns"  # as earlier turns (zero-shot cloning), or in the scene
    system: str = ""  # empty: the text the model was documented with, see `messages`

    def __post_init__(self) -> None:
        object.__setattr__(self, "system", clean(self.system).strip())

    @property
    def tagged(self) -> bool:
        """Whether lines are marked `[SPEAKERn]`: needed as soon as the scene or another speaker tells them apart."""
        return (
            len(self.speakers) > 1
            or self.references_in == "scene"
            or any(speaker.voice.description for speaker in self.speakers)
        )

    @property
    def references(self) -> tuple[Reference, ...]:
        """The reference recordings of the cast, in its order."""
        return tuple(speaker.voice.reference for speaker in self.speakers if speaker.voice.reference)

    @property
    def text(self) -> str:
        """All that is to be spoken."""
        return "\n".join(line.text for line in self.lines)

    def line_number(self, index: int) -> int:
        """The number a person knows a line by: its row on the page, else its place here."""
        return self.lines[index].number or index + 1

    def lines_in_words(self, indices: Sequence[int]) -> str:
        """Lines as messages call them."""
        return lines_in_words([self.line_number(index) for index in indices])

    def check(self) -> list[str]:
        """Make sure that it can be spoken.

        Returns:
            Notes worth showing; none of them hinders.

        Raises:
            BadConversation: names the line or the speaker and says what to do.
        """
        if not self.lines:
            raise BadConversation("There is nothing to speak yet. Type a line, or load a preset.")
        if not self.speakers:
            raise BadConversation("There is nobody to speak. Add a speaker.")
        if len(self.speakers) > MAX_SPEAKERS:
            raise BadConversation(f"There are {len(self.speakers)} speakers; at most {MAX_SPEAKERS} can take part.")
        if len(self.lines) > MAX_LINES:
            raise BadConversation(
                f"There are {len(self.lines)} lines; at most {MAX_LINES} are taken. Split the script."
            )
        check_length(self.scene.description, "The scene", MAX_SCENE_CHARACTERS)
        check_length(self.system, "The system text", MAX_SCENE_CHARACTERS)
        check_length("\n".join(line.said for line in self.lines), "The script", MAX_CONVERSATION_CHARACTERS)
        for index, line in enumerate(self.lines):
            self._check_line(line, self.line_number(index))
        for speaker in self.speakers:
            self._check_speaker(speaker)
        return self._notes()

    def _check_line(self, line: Line, number: int) -> None:
        if not 0 <= line.speaker < len(self.speakers):
            cast = ", ".join(f"{index} is {speaker.name}" for index, speaker in enumerate(self.speakers))
            raise BadConversation(
                f"Line {number} is given to speaker {line.speaker}, who is not in the cast. Speakers count from 0: "
                f"{cast}. Give the line to one of them, or add a speaker."
            )
        if not speakable(line.text):
            raise BadConversation(f"Line {number} has nothing to speak: “{line.text[:40]}”. Type words, or remove it.")

    def _check_speaker(self, speaker: Speaker) -> None:
        check_length(speaker.voice.description, f"The voice of {speaker.name}", MAX_SCENE_CHARACTERS)
        reference = speaker.voice.reference
        if reference and reference.audio is None and reference.codes is None:
            raise BadConversation(
                f"The recording “{reference.file_name}” for {speaker.name} is not here. "
                f"Add it as a voice, then choose that voice for {speaker.name}."
            )

    def _notes(self) -> list[str]:
        texts = [self.scene.description, self.text, *(speaker.voice.description for speaker in self.speakers)]
        texts += [reference.transcript for reference in self.references]
        found = sorted({token for text in texts for token in control_tokens(text)})
        return [f"{', '.join(found)} is read as ordinary text, not as a control token."] if found else []

    def with_speaking_cast(self) -> "Conversation":
        """Only those who speak, numbered anew in the order of the cast."""
        kept = sorted({line.speaker for line in self.lines})
        lines = tuple(replace(line, speaker=kept.index(line.speaker)) for line in self.lines)
        return replace(self, lines=lines, speakers=tuple(self.speakers[index] for index in kept))

    def alone(self, index: int, voice: Voice | None = None) -> "Conversation":
        """Line `index` with its speaker and nobody else, in `voice` if one is given."""
        line = self.lines[index]
        speaker = self.speakers[line.speaker]
        speaker = replace(speaker, voice=voice) if voice else speaker
        return replace(self, lines=(replace(line, speaker=0),), speakers=(speaker,))


def lines_in_words(numbers: Sequence[int]) -> str:
    """Lines by their numbers, as messages call them: "Line 3", or from the first to the last "Lines 3 to 5"."""
    return f"Line {numbers[0]}" if len(numbers) == 1 else f"Lines {numbers[0]} to {numbers[-1]}"
