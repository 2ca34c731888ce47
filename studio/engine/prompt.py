"""Prompt: a conversation as token ids and reference codes, safe against whatever people type.

The layout is the chat template's. Control tokens are placed as ids, and only here. All text between two of
them, a person's words and the template's own line breaks alike, is encoded in one piece with special tokens
turned off: the ids equal those of the template for ordinary text (byte-pair merges may cross from a full
stop into the line break after it), and a typed `<|eot_id|>` stays eight ordinary characters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from studio.codes import Codes
from studio.conversation import Conversation
from studio.errors import BadConversation
from studio.messages import SCENE_END, SCENE_START, Item, scene_items, system_text, turns
from studio.voices import Reference

BEGIN, TURN, TURN_NAMED, TURN_END = "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"
AUDIO_BEGIN, AUDIO, AUDIO_END = "<|audio_out_bos|>", "<|AUDIO_OUT|>", "<|audio_eos|>"
AUDIO_DELAY = "<|reserved_special_token_6|>"


@dataclass(frozen=True, eq=False)
class Prompt:
    """One prompt, ready for prefill.

    Positions of `token_ids` that hold the audio token or the delay token stand for one row of
    `audio_rows` each, in order.
    """

    token_ids: torch.Tensor  # int64 [L]
    audio_rows: torch.Tensor  # int64 [R, K]: codes in the delay pattern, begin and end of stream included

    @property
    def length(self) -> int:
        """Positions the model reads (L)."""
        return len(self.token_ids)


@dataclass(frozen=True)
class Control:
    """A control token, by name: the one thing text can never become."""

    token: str


Piece = Control | str | Reference


def layout(conversation: Conversation, earlier: Sequence[tuple[int, Reference]] = ()) -> list[Piece]:
    """The chat template written out: control tokens, text and recordings, in order, up to where speech begins."""
    pieces: list[Piece] = [Control(BEGIN), *_header("system"), system_text(conversation).strip()]
    if scene := scene_items(conversation):
        pieces += ["\n\n", Control(SCENE_START), "\n", *_scene(scene), "\n", Control(SCENE_END)]
    pieces.append(Control(TURN_END))
    for role, item in turns(conversation, earlier):
        body: list[Piece] = [item.strip()] if isinstance(item, str) else _recording(item)
        pieces += [*_header(role), *body, Control(TURN_END)]
    return [*pieces, *_header("assistant"), Control(AUDIO_BEGIN)]


def _header(role: str) -> list[Piece]:
    return [Control(TURN), role, Control(TURN_NAMED), "\n\n"]


def _recording(reference: Reference) -> list[Piece]:
    return [Control(AUDIO_BEGIN), reference, Control(AUDIO_END)]


def _scene(items: list[Item]) -> list[Piece]:
    """Scene items with the template's line breaks: a blank line after the first, then one item a line."""
    pieces: list[Piece] = []
    for index, item in enumerate(items):
        following = items[index + 1] if index + 1 < len(items) else None
        if isinstance(item, Reference):
            pieces += [" ", *_recording(item)]
            line_break = "\n" if following is not None else ""
        else:
            pieces.append(item.strip())
            line_break = (
                "" if following is None else "\n\n" if index == 0 else "\n" if isinstance(following, str) else ""
            )
        pieces.append(line_break)
    return pieces


class PromptBuilder:
    """Makes prompts for one checkpoint: its text tokenizer, its number of codebooks, its longest prompt."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        codebooks: int,
        stream_begin: int,
        stream_end: int,
        longest: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._codebooks = codebooks
        self.stream_begin = stream_begin
        self.stream_end = stream_end
        self._longest = longest
        added = tokenizer.added_tokens_decoder.items()
        self._special_ids = {*tokenizer.all_special_ids, *(token_id for token_id, token in added if token.special)}
        self._control_ids = {
            token: self._control_id(token)
            for token in (
                *(BEGIN, TURN, TURN_NAMED, TURN_END, SCENE_START, SCENE_END),
                *(AUDIO_BEGIN, AUDIO, AUDIO_END, AUDIO_DELAY),
            )
        }

    def _control_id(self, token: str) -> int:
        token_id = self._tokenizer.convert_tokens_to_ids(token)
        if not isinstance(token_id, int) or self._tokenizer.convert_ids_to_tokens(token_id) != token:
            raise ValueError(f"the checkpoint's tokenizer has no {token}: it is not one of Higgs Audio V2")
        self._special_ids.add(token_id)
        return token_id

    def build(
        self,
        conversation: Conversation,
        codes_of: Callable[[Reference], Codes],
        room: int,
        earlier: Sequence[tuple[int, Reference]] = (),
    ) -> Prompt:
        """Encode a conversation.

        Args:
            conversation: What to speak.
            codes_of: Gives the codes of a reference recording.
            room: Frames that must fit behind the prompt.
            earlier: Lines said before, as speaker and recording.

        Raises:
            BadConversation: prompt and room together are longer than the model reads.
        """
        ids: list[int] = []
        rows: list[torch.Tensor] = []
        text = ""
        for piece in layout(conversation, earlier):
            if isinstance(piece, str):
                text += piece
                continue
            ids += self.encode_text(text)
            text = ""
            if isinstance(piece, Control):
                ids.append(self._control_ids[piece.token])
            else:
                rows.append(self.delayed(codes_of(piece)))
                ids += self.placeholders(len(rows[-1]))
        self._check_length(len(ids), sum(map(len, rows)), room)
        audio_rows = torch.cat(rows) if rows else torch.zeros((0, self._codebooks), dtype=torch.int64)
        return Prompt(torch.tensor(ids, dtype=torch.int64), audio_rows)

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text; none of them is special, whatever the text says."""
        if not text:
            return []
        ids = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if not self._special_ids.isdisjoint(ids):  # the tokenizer broke its promise: never speak from this
            raise BadConversation("The text holds a control token of the model. Remove what stands between <| and |>.")
        return ids

    def delayed(self, codes: Codes) -> torch.Tensor:
        """Codes between begin and end of stream, codebook k running k rows late.

        Shape: `[K, T]` to `[T + K + 1, K]`.
        """
        count, frames = codes.values.shape
        if count != self._codebooks:
            raise ValueError(f"a reference must have {self._codebooks} codebooks, not {count}")
        rows = torch.full((frames + count + 1, count), self.stream_end, dtype=torch.int64)
        for index in range(count):
            rows[: index + 1, index] = self.stream_begin
            rows[index + 1 : index + 1 + frames, index] = torch.from_numpy(codes.values[index])
        return rows

    def placeholders(self, rows: int) -> list[int]:
        """The ids of a recording of so many rows, one each.

        The audio token, and for the last K - 1, which trail behind the stream, the delay token.
        """
        trailing = self._codebooks - 1
        return [self._control_ids[AUDIO]] * (rows - trailing) + [self._control_ids[AUDIO_DELAY]] * trailing

    def _check_length(self, total: int, audio: int, room: int) -> None:
        if total + room > self._longest:
            raise BadConversation(
                f"The prompt needs {total:,} tokens ({audio:,} of them reference audio) and {room:,} more for the "
                f"speech; this model reads {self._longest:,}. "
                "Split the line into several, or shorten the references."
            )
