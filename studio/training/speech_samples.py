"""Samples to train Higgs Audio V2 on: a conversation and how it was spoken, as token ids, rows of codes and labels.

The ids are those of `PromptBuilder`, so training reads exactly what inference will read. The labels keep the end of
stream: transformers' own processor masks it, and a model trained on its labels never stops.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from studio.codes import Codes
from studio.conversation import Conversation, Line, ReferencePlace, Scene, Speaker
from studio.engine.prompt import PromptBuilder
from studio.training.coded_speech import CodedSpeech, TimedCodes
from studio.training.coded_voices import VOICE_NUMBERS
from studio.training.phrases import WORDS_OF, Length
from studio.training.spoken_speech import SpokenUtterance
from studio.voices import Reference, Voice

IGNORED = -100  # the label of what is not asked
DESCRIBED_SCENES = (
    "",
    "A small station at night. Rain falls on the roof.",
    "A kitchen in the morning.",
    "Two people talk in a quiet garden.",
)
OTHER_SCENE_SHARE = 0.1
CONTEXT_SHARE = 0.5
LETTERS_AHEAD = (0, 3, 6)  # rows: what is said next, and what will soon be, so that it is read before
PHONES_AHEAD = 4  # rows
SHORT_REFERENCE_SHARE = 0.3  # of references may be as short as a phrase, which hardly tells whose voice it is

Said = tuple[int, Reference]  # a line said before: who, and how


@dataclass(frozen=True, eq=False)
class Sample:
    """One conversation with its speech.

    Positions of `token_ids` that hold the audio token or the delay token stand for one row of `audio_rows` each.
    """

    token_ids: torch.Tensor  # int64 [L]
    audio_rows: torch.Tensor  # int64 [R, K]: delay pattern, begin and end of stream included
    labels: torch.Tensor  # int64 [R, K]: what follows each row; `IGNORED` where nothing is asked
    spoken_at: torch.Tensor  # float32 [R, LED]: positions of the letters spoken `LETTERS_AHEAD` later; nan: not known
    phones: torch.Tensor  # int64 [R, 2]: its phone, and the one `PHONES_AHEAD` rows later; `IGNORED` where not known
    voices: torch.Tensor  # float32 [R, V]: whose voice says it; nan where not known

    @property
    def length(self) -> int:
        """Positions the model reads (L)."""
        return len(self.token_ids)


def labels_of(rows: torch.Tensor, stream_begin: int, stream_end: int) -> torch.Tensor:
    """What follows each row of one recording: every code, and the first end of stream of each codebook.

    Not asked are the begins of stream that the delay pattern sets, the ends after the first, and what follows the last
    row. Shape: int64 `[R, K]` to `[R, K]`.
    """
    labels = torch.full_like(rows, IGNORED)
    following = rows[1:]
    asked = (following != stream_begin) & ~((following == stream_end) & (rows[:-1] == stream_end))
    labels[:-1] = torch.where(asked, following, IGNORED)
    return labels


def make_sample(
    prompts: PromptBuilder,
    conversation: Conversation,
    spoken: Codes,
    earlier: Sequence[Said] = (),
    /,
    *,
    stream_begin: int,
    stream_end: int,
) -> Sample:
    """The prompt of a conversation, followed by how it was spoken.

    Recordings that stand as turns behind their words are learnt from as well; those of a scene have no words.

    Args:
        prompts: Of the checkpoint that is trained.
        conversation: Its references must carry their codes.
        spoken: All lines, one after the other.
        earlier: Lines said before, as speaker and recording.
        stream_begin: The code that begins a stream.
        stream_end: The code that ends one.

    Raises:
        BadConversation: it is longer than the model reads.
    """
    rows, ends = prompts.delayed(spoken), (stream_begin, stream_end)
    prompt = prompts.build(conversation, own_codes, room=len(rows), earlier=earlier)
    with_words = [(reference, conversation.references_in == "turns") for reference in conversation.references]
    labels, recordings = [], list[tuple[Codes, bool]]()
    for reference, in_turn in [*with_words, *((reference, True) for _, reference in earlier)]:
        learnt = in_turn and bool(reference.transcript)
        recordings.append((own_codes(reference), learnt))
        each = prompts.delayed(own_codes(reference))
        labels.append(labels_of(each, *ends) if learnt else torch.full_like(each, IGNORED))
    token_ids = torch.cat((prompt.token_ids, torch.tensor(prompts.placeholders(len(rows)), dtype=torch.int64)))
    return Sample(
        token_ids,
        torch.cat((prompt.audio_rows, rows)),
        torch.cat((*labels, labels_of(rows, *ends))),
        *_reading(prompts, token_ids, [*recordings, (spoken, True)]),
    )


def _reading(
    prompts: PromptBuilder, token_ids: torch.Tensor, recordings: Sequence[tuple[Codes, bool]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where in the prompt each row is read from, its phones, and its voice.

    Shapes: float32 `[R, LED]`, int64 `[R, 2]`, float32 `[R, V]`. Behind the last letter stands the end of the turn.

    Args:
        prompts: Of the checkpoint that is trained. Places are told where each letter is a token.
        token_ids: The whole sample.
        recordings: In order, each with whether its words stand before it. Only those that know what is said in them,
            and whose words do, are read.
    """
    written, places, phones, voices, searched = token_ids.tolist(), [], [], [], 0
    for codes, has_words in recordings:
        count = len(prompts.delayed(codes))
        place, phone = torch.full((count + max(LETTERS_AHEAD),), torch.nan), torch.full((count, 2), IGNORED)
        voice = torch.full((count, VOICE_NUMBERS), torch.nan)
        frame = 0
        for said in codes.said if has_words and isinstance(codes, TimedCodes) else ():
            ids = prompts.encode_text(said.text)
            found = _place_of(ids, written, searched)
            frames = slice(frame, frame + len(said.letters))
            if found is not None and len(ids) == len(said.text):  # "user" and a few more are one token
                searched = found + len(ids)
                place[frames] = torch.from_numpy(said.letters) + found
                place[frames.stop : frames.stop + 1 + max(LETTERS_AHEAD)] = searched
            phone[frames, 0] = torch.from_numpy(said.phones)
            if said.voice is not None:
                voice[frames] = torch.from_numpy(said.voice)
            frame = frames.stop
        phone[: max(0, frame - PHONES_AHEAD), 1] = phone[PHONES_AHEAD : max(frame, PHONES_AHEAD), 0]
        ahead = torch.stack([place[rows : rows + count] for rows in LETTERS_AHEAD], dim=1)
        ahead[frame + 1 :] = torch.nan
        places.append(ahead)
        phones.append(phone)
        voices.append(voice)
    return torch.cat(places), torch.cat(phones), torch.cat(voices)


def _place_of(wanted: list[int], ids: list[int], start: int) -> int | None:
    """Where one sequence of ids begins in another, from `start` on. As strings, since theirs is a quick search."""
    place = "".join(map(chr, ids)).find("".join(map(chr, wanted)), start)
    return None if place < 0 else place


def own_codes(reference: Reference) -> Codes:
    """The codes a reference carries."""
    assert reference.codes is not None
    return reference.codes


@dataclass(frozen=True, eq=False)
class Dialogue:
    """A conversation, how all its lines were spoken, and what was said before it."""

    conversation: Conversation
    spoken: Codes
    earlier: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Mixture:
    """How often each form and length is drawn. The shares of a row need not add up to one."""

    lengths: tuple[float, float, float]  # phrase, short line, line
    clone: float
    smart: float
    described: float
    scene: float
    two: float  # speakers, in one breath
    several: float  # lines of two speakers: in one breath, or the last of them with the others as context


# Over the training: first short and alone, at the end as people use it.
CURRICULUM = (
    (0.0, Mixture((0.50, 0.35, 0.15), clone=0.60, smart=0.25, described=0.10, scene=0.02, two=0.03, several=0.0)),
    (0.1, Mixture((0.20, 0.45, 0.35), clone=0.65, smart=0.12, described=0.08, scene=0.05, two=0.10, several=0.0)),
    (0.35, Mixture((0.10, 0.30, 0.60), clone=0.47, smart=0.06, described=0.06, scene=0.06, two=0.26, several=0.09)),
)


def mixture_at(progress: float) -> Mixture:
    """The mixture at a progress of 0..1."""
    return [mixture for begin, mixture in CURRICULUM if progress >= begin][-1]


class SampleDrawer:
    """Draws conversations from coded speech, in every form of Higgs Audio V2, and makes samples of them."""

    def __init__(self, speech: CodedSpeech, prompts: PromptBuilder) -> None:
        self.speech = speech
        self.prompts = prompts
        self._of_length: dict[Length, list[SpokenUtterance]] = defaultdict(list)
        self._of_speaker: dict[int, list[SpokenUtterance]] = defaultdict(list)
        for utterance in speech.utterances:
            self._of_length[utterance.length_class].append(utterance)
            self._of_speaker[utterance.speaker].append(utterance)

    def draw(self, chance: random.Random, mixture: Mixture) -> Sample:
        """One sample."""
        return self.sample(self.dialogue(chance, mixture))

    def sample(self, dialogue: "Dialogue") -> Sample:
        """The sample of a conversation."""
        return make_sample(
            self.prompts,
            dialogue.conversation,
            dialogue.spoken,
            dialogue.earlier,
            stream_begin=self.prompts.stream_begin,
            stream_end=self.prompts.stream_end,
        )

    def dialogue(self, chance: random.Random, mixture: Mixture) -> "Dialogue":
        """A conversation, how it was spoken, and what was said before."""
        forms = ("clone", "smart", "described", "scene", "two", "several")
        form = chance.choices(forms, [getattr(mixture, name) for name in forms])[0]
        scene = Scene(chance.choice(DESCRIBED_SCENES)) if chance.random() < OTHER_SCENE_SHARE else Scene()
        first = self._drawn(chance, mixture)
        if form in ("two", "several"):
            return self._of_two(chance, mixture, scene, first, 2 if form == "two" else chance.randint(3, 4))
        description = first.gender if form == "described" or (form == "scene" and chance.random() < 0.5) else ""
        cloned = form in ("clone", "scene") or (form == "described" and chance.random() < 0.4)
        reference = self._reference(chance, [first]) if cloned else None
        place: ReferencePlace = "scene" if form == "scene" and reference else "turns"
        speaker = Speaker("", Voice(description, reference))
        return Dialogue(Conversation((Line(0, first.text),), (speaker,), scene, place), self.speech.codes(first))

    def _of_two(
        self, chance: random.Random, mixture: Mixture, scene: Scene, first: SpokenUtterance, count: int
    ) -> "Dialogue":
        """Two speakers in turn, both cloned (as turns or in the scene), described, or of the model's choice."""
        second = self._drawn(chance, mixture)
        while second.speaker == first.speaker:
            second = self._drawn(chance, mixture)
        said = [[first], [second]]
        for index in range(2, count):
            said[index % 2].append(chance.choice(self._of_speaker[said[index % 2][0].speaker]))
        way = chance.choices(("turns", "scene", "described", "smart"), (0.4, 0.25, 0.25, 0.1))[0]
        voices = [
            Voice(each[0].gender if way == "described" else "", self._reference(chance, each))
            if way in ("turns", "scene")
            else Voice(each[0].gender if way == "described" else "")
            for each in said
        ]
        order = [said[index % 2][index // 2] for index in range(count)]
        before = count - 1 if count > 2 and chance.random() < CONTEXT_SHARE else 0
        conversation = Conversation(
            tuple(Line(index % 2, each.text) for index, each in enumerate(order))[before:],
            tuple(Speaker("", voice) for voice in voices),
            scene,
            "scene" if way == "scene" else "turns",
        )
        spoken = [self.speech.codes(each) for each in order]
        earlier = [
            (index % 2, Reference("earlier line", each.text, codes=codes))
            for index, (each, codes) in enumerate(zip(order[:before], spoken[:before], strict=True))
        ]
        return Dialogue(conversation, joined_codes(spoken[before:]), tuple(earlier))

    def _drawn(self, chance: random.Random, mixture: Mixture) -> SpokenUtterance:
        lengths: tuple[Length, ...] = tuple(WORDS_OF)
        return chance.choice(self._of_length[chance.choices(lengths, mixture.lengths)[0]])

    def _reference(self, chance: random.Random, said: Sequence[SpokenUtterance]) -> Reference | None:
        """Another utterance of the same voice; none if there is none."""
        others = [each for each in self._of_speaker[said[0].speaker] if each not in said]
        if not others:
            return None
        longer = [each for each in others if each.length_class != "phrase"]
        other = chance.choice(others if not longer or chance.random() < SHORT_REFERENCE_SHARE else longer)
        return Reference("voice", other.text, codes=self.speech.codes(other))


def joined_codes(parts: Sequence[TimedCodes]) -> TimedCodes:
    """Codes one after the other."""
    values = np.concatenate([part.values for part in parts], axis=1)
    said = tuple(text for part in parts for text in part.said)
    return TimedCodes(values, parts[0].frame_rate, parts[0].codebook_size, said)
