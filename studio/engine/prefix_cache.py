"""Prefix cache: keys and values of prompt beginnings that may come again.

A scene, its cast and their reference recordings open every prompt of a conversation. Prompts are
prefilled in stretches of fixed length, each known by a digest of everything up to its end, so a
prompt that begins like an earlier one takes those stretches over. The rest is computed in the same
stretches either way, so a warm prompt gives the same bits as a cold one.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from studio.engine.prompt import Prompt


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some positions of a prompt, to be prefilled together."""

    start: int  # position of the first
    tokens: torch.Tensor  # int64 [P]
    is_audio: torch.Tensor  # bool [P]
    audio_rows: torch.Tensor  # int64 [R, K]: one for each audio position
    key: bytes  # digest of the prompt up to the end of this stretch

    @property
    def stop(self) -> int:
        """The position after the last."""
        return self.start + len(self.tokens)


def stretches(prompt: Prompt, audio_tokens: tuple[int, ...], length: int) -> Iterator[Stretch]:
    """Cut a prompt into stretches of `length` positions; the last may be shorter."""
    tokens, rows = prompt.token_ids, prompt.audio_rows
    is_audio = torch.isin(tokens, torch.tensor(audio_tokens))
    if int(is_audio.sum()) != len(rows):
        raise ValueError(f"the prompt has {int(is_audio.sum())} audio positions and {len(rows)} audio rows")
    key, first = b"", 0
    for start in range(0, len(tokens), length):
        part = slice(start, start + length)
        last = first + int(is_audio[part].sum())
        content = tokens[part].numpy().tobytes() + rows[first:last].contiguous().numpy().tobytes()
        key = hashlib.sha256(key + content).digest()
        yield Stretch(start, tokens[part], is_audio[part], rows[first:last], key)
        first = last


class PrefixCache:
    """Keys and values of stretches, the least recently used dropped beyond `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._blocks: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def get(self, key: bytes) -> torch.Tensor | None:
        """The block kept under `key`: [layers, 2 * key heads, P, D]."""
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
        return block

    def put(self, key: bytes, block: torch.Tensor) -> None:
        """Keep a block, if it is not larger than the whole cache may be."""
        if key in self._blocks or block.nbytes > self.max_bytes:
            return
        self._blocks[key] = block
        self.bytes += block.nbytes
        while self.bytes > self.max_bytes:
            _, dropped = self._blocks.popitem(last=False)
            self.bytes -= dropped.nbytes

    def clear(self) -> None:
        """Keep nothing."""
        self._blocks.clear()
        self.bytes = 0
