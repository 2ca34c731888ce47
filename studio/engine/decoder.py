"""Decoder: the frame loop. Prompts go in, codes come out, one frame of every row a step.

Rows enter and leave at frame boundaries: a row is prefilled into a free slot, decoded beside the
others, and its slot goes to the next request that waits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studio.engine.kv_cache import KvCache, OwnLengths
from studio.engine.network import Network
from studio.engine.prompt import Prompt
from studio.engine.sampler import SamplerState, SpecialCodes, next_frame, plan_for
from studio.errors import BadConversation
from studio.sampling import Sampling

STRETCH = 128  # positions prefilled at a time
FRAMES_BETWEEN_LOOKS = 8  # how often `watch` sees a row


@dataclass(frozen=True, eq=False)
class Request:
    """One row of the batch."""

    prompt: Prompt
    sampling: Sampling
    max_frames: int  # frames of speech; the delay's extra steps are not counted


@dataclass(frozen=True, eq=False)
class Decoded:
    """What one request gave."""

    values: np.ndarray  # int64 [K, T]: codes 0..1023, delay undone, end of stream cut
    ended: bool  # the model ended the stream itself
    stopped_because: str | None  # what `watch` returned, or "stopped" after a cancel


@dataclass(frozen=True, eq=False)
class DecodeProgress:
    """Where the requests stand after a frame."""

    frames: list[int]  # complete frames of each request so far
    finished: dict[int, Decoded]  # requests that finished with this frame


class Decoder:
    """Decodes on the weights of one model, for as long as it lives."""

    def __init__(self, model: Any, *, slots: int = 8) -> None:
        """Take over a `HiggsAudioV2ForConditionalGeneration`, with its device and dtype.

        Args:
            model: its weights are merged and moved here; it cannot be used afterwards.
            slots: how many rows are decoded at once.
        """
        config = model.config
        self.num_codebooks: int = config.num_codebooks
        self._slots = slots
        self._audio_tokens = (config.audio_token_id, config.audio_delay_token_id)
        self._opening_token = config.audio_bos_token_id
        self._longest = config.max_position_embeddings
        self._special = SpecialCodes(config.audio_stream_bos_id, config.audio_stream_eos_id, config.codebook_size)
        with torch.inference_mode():
            self._network = Network(model)

    def decode(
        self,
        requests: Sequence[Request],
        watch: Callable[[int, np.ndarray], str | None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[DecodeProgress]:
        """Decode `requests`, yielding after every frame step.

        Args:
            watch: is shown each row's index and codes so far, int64 [K, T], every few frames; the reason it
                returns, if any, ends the row.
            cancelled: is asked before every frame; once true, all rows end with what they have.
        """
        rows = [_Row(index, request, self._special, self.num_codebooks) for index, request in enumerate(requests)]
        waiting, batch = rows[::-1], _Batch(self)
        while waiting or batch.rows:
            stop = cancelled()
            while waiting and len(batch.rows) < self._slots and not stop:
                batch.enter(waiting.pop())
            if stop:
                finished = {row.index: row.decoded("stopped") for row in [*batch.rows, *waiting]}
                yield DecodeProgress([row.complete_frames for row in rows], finished)
                return
            batch.step()
            finished = {}
            for slot in reversed(range(len(batch.rows))):
                row = batch.rows[slot]
                reason = None
                if watch is not None and row.emitted % FRAMES_BETWEEN_LOOKS == 0:
                    reason = watch(row.index, row.values())
                if reason is not None or row.over:
                    finished[row.index] = row.decoded(reason)
                    batch.leave(slot)
            yield DecodeProgress([row.complete_frames for row in rows], finished)


class _Row:
    """One request on its way: what has been drawn for it."""

    def __init__(self, index: int, request: Request, special: SpecialCodes, num_codebooks: int) -> None:
        self.index = index
        self.request = request
        self.special = special
        self.frames = np.empty((request.max_frames + num_codebooks - 1, num_codebooks), dtype=np.int64)
        self.emitted = 0  # frames drawn, delay included
        self.ended = False

    @property
    def complete_frames(self) -> int:
        return max(0, self.emitted - self.ended - self.frames.shape[1] + 1)

    @property
    def over(self) -> bool:
        return self.ended or self.emitted == len(self.frames)

    def append(self, frame: np.ndarray) -> None:
        self.frames[self.emitted] = frame
        self.emitted += 1
        self.ended = bool((frame == self.special.end).all())

    def values(self) -> np.ndarray:
        """Codes so far, int64 [K, T]: frames complete in all codebooks, up to the end of the first codebook."""
        length = self.complete_frames
        delayed = self.frames
        values = np.stack([delayed[k : k + length, k] for k in range(delayed.shape[1])])
        ends = np.flatnonzero(values[0] == self.special.end)
        return values[:, : ends[0] if len(ends) else length].clip(0, self.special.begin - 1)

    def decoded(self, reason: str | None = None) -> Decoded:
        return Decoded(self.values(), self.ended and reason is None, reason)


class _Batch:
    """The rows being decoded and their state on the device. Slots in use are the first ones."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.rows: list[_Row] = []
        self.lengths: list[int] = []
        network = decoder._network
        with torch.inference_mode():
            self.cache = KvCache(
                len(network.layers), decoder._slots, network.key_heads, network.head_dim, network.dtype, network.device
            )
            self.sampler = SamplerState.empty(decoder._slots, network.num_codebooks, network.device)

    @torch.inference_mode()
    def enter(self, row: _Row) -> None:
        decoder, network, slot = self.decoder, self.decoder._network, len(self.rows)
        prompt, sampling = row.request.prompt, row.request.sampling
        tokens = prompt.token_ids
        is_audio = torch.isin(tokens, torch.tensor(decoder._audio_tokens))
        self._reserve(len(tokens) + 1)
        first = 0
        for start in range(0, len(tokens), STRETCH):
            stretch = slice(start, start + STRETCH)
            count = int(is_audio[stretch].sum())
            network.prefill(
                tokens[stretch], prompt.audio_rows[first : first + count], is_audio[stretch], self.cache, slot, start
            )
            first += count
        self.sampler.start(slot, sampling, prompt.audio_rows, decoder._special)
        self.rows.append(row)
        self.lengths.append(len(tokens))

    @torch.inference_mode()
    def leave(self, slot: int) -> None:
        last = len(self.rows) - 1
        if slot != last:
            self.cache.copy_row(last, slot, self.lengths[last])
            self.sampler.rows(slot, slot + 1).copy_(self.sampler.rows(last, last + 1))
            self.rows[slot], self.lengths[slot] = self.rows[last], self.lengths[last]
        self.rows.pop()
        self.lengths.pop()

    @torch.inference_mode()
    def step(self) -> None:
        network, count = self.decoder._network, len(self.rows)
        self._reserve(max(self.lengths) + 1)
        places = OwnLengths(self.cache, network.cos, network.sin, self.lengths)
        state = self.sampler.first(count)
        logits = network.step(state.codes, places)
        plan = plan_for([row.request.sampling for row in self.rows], network.codebook_size)
        codes = next_frame(logits, state, plan, self.decoder._special).cpu().numpy()
        for slot, row in enumerate(self.rows):
            row.append(codes[slot])
            self.lengths[slot] += 1

    def _reserve(self, length: int) -> None:
        if length > self.decoder._longest:
            raise BadConversation("too long")
        self.cache.reserve(length)
        self.decoder._network.cover(self.cache.capacity)
