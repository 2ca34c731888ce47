"""Decoder: the frame loop. Prompts go in, codes come out, one frame of every row a step.

Rows enter and leave at frame boundaries: a prompt is prefilled into a free slot, decoded beside the
others, and its slot goes to the next request that waits.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studio.engine import cpu_draws, cpu_kernels, cpu_step
from studio.engine.batch import Batch
from studio.engine.kv_cache import SHORTEST
from studio.engine.network import Network
from studio.engine.prefix_cache import PrefixCache
from studio.engine.prompt import Prompt
from studio.engine.sampler import SpecialCodes
from studio.engine.second_core import SecondCore, cores
from studio.errors import BadConversation
from studio.sampling import Sampling

FRAMES_BETWEEN_LOOKS = 8  # how often `watch` sees a row, and how far a GPU runs between two copies
STRETCH_CPU, STRETCH_GPU = 48, 256  # positions prefilled together: a GPU must read all weights for each stretch


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
    """Where the requests stand."""

    frames: list[int]  # frames of each request so far, complete in all codebooks
    finished: dict[int, Decoded]  # requests that finished since the last report
    values: Callable[[int], np.ndarray]  # index of a request -> its codes so far, int64 [K, T]


class Decoder:
    """Decodes on the weights of one model, for as long as it lives."""

    def __init__(
        self,
        model: Any,
        *,
        slots: int = 8,
        prefix_bytes: int = 256 * 2**20,
        quantize: str = "none",
        fixed_shapes: bool | None = None,
        fused: bool | None = None,
        first_frames: int = FRAMES_BETWEEN_LOOKS,
    ) -> None:
        """Take over a `HiggsAudioV2ForConditionalGeneration`, with its device and dtype.

        Args:
            model: its weights are merged and moved here; it cannot be used afterwards.
            slots: how many rows are decoded at once.
            prefix_bytes: how much to keep of the keys and values of prompt beginnings; 0 keeps none.
            quantize: `none`, or `int8` for 8-bit weights.
            fixed_shapes: see `Batch`; None is right for the device.
            fused: take kernels of our own in a step; None is right for the device: see `Network.fuse`.
            first_frames: what a GPU makes before its first report: as many as the first sound needs.

        Raises:
            BadSetting: there is no such `quantize`.
        """
        config = model.config
        self.num_codebooks: int = config.num_codebooks
        self.slots = slots
        self.first_frames = first_frames
        self._audio_tokens = (config.audio_token_id, config.audio_delay_token_id)
        self._opening_token = config.audio_bos_token_id
        self._longest = config.max_position_embeddings
        self._special = SpecialCodes(config.audio_stream_bos_id, config.audio_stream_eos_id, config.codebook_size)
        with torch.inference_mode():
            self._network = Network(model, quantize, fused)
            if self._network.device.type == "cpu":
                cpu_kernels.prepare()
                cpu_draws.prepare()
                cpu_step.prepare()
        on_gpu = self._network.device.type == "cuda"
        if on_gpu:  # cuDNN's attention plans anew for every length, and every prompt has its own
            torch.backends.cuda.enable_cudnn_sdp(False)
        self._fixed_shapes = self._network.device.type != "cpu" if fixed_shapes is None else fixed_shapes
        self._stretch = STRETCH_GPU if on_gpu else STRETCH_CPU
        # A GPU is kept busy with the next frames while the last ones are copied and looked at.
        self._frames_a_launch, self._launches_ahead = (FRAMES_BETWEEN_LOOKS, 1) if on_gpu else (1, 0)
        self._second_core = SecondCore() if cores() > 1 and not on_gpu and not self._fixed_shapes else None
        self._prefixes = PrefixCache(prefix_bytes)
        self._idle_batch: Batch | None = None

    def decode(
        self,
        requests: Sequence[Request],
        watch: Callable[[int, np.ndarray], str | None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[DecodeProgress]:
        """Decode `requests`. Yields after every frame; on a GPU after every few.

        Args:
            watch: is shown each request's index and codes so far, int64 [K, T], every few frames; the reason
                it returns, if any, ends that row.
            cancelled: is asked before every report; once true, all rows end with what they have.

        Raises:
            BadConversation: a prompt is longer than the model's positions.
        """
        rows = [self._row(index, request) for index, request in enumerate(requests)]
        batch = self._take_batch()
        try:
            yield from self._loop(rows, batch, watch, cancelled)
        finally:
            self._give_back(batch)

    def forget_prefixes(self) -> None:
        """Let go of what is kept of prompt beginnings."""
        self._prefixes.clear()

    def log_likelihoods(self, prompt: Prompt, takes: Sequence[torch.Tensor]) -> list[float]:
        """How likely takes are after the prompt they were made from, as far as the model's positions reach.

        See `Batch.log_likelihoods`.
        """
        room = self._longest - len(prompt.token_ids)
        batch = self._take_batch()
        try:
            return batch.log_likelihoods(prompt, [rows[:room] for rows in takes], self._prefixes, self._stretch)
        finally:
            self._give_back(batch)

    def _loop(
        self,
        rows: list["_Row"],
        batch: Batch,
        watch: Callable[[int, np.ndarray], str | None] | None,
        cancelled: Callable[[], bool],
    ) -> Iterator[DecodeProgress]:
        waiting, speaking = deque(rows), list[_Row]()
        launches = deque[_Launch]()
        while waiting or speaking:
            if cancelled():
                stopped = {row.index: row.decoded("stopped") for row in [*speaking, *waiting]}
                yield _progress(rows, stopped)
                return
            while waiting and len(speaking) < batch.slots and not cancelled():
                speaking.append(waiting.popleft())
                request = speaking[-1].request
                batch.enter(request.prompt, request.sampling, self._prefixes, self._stretch)
            if not speaking:
                continue  # cancelled before the first prompt was in
            frames = self._frames_a_launch
            if self._launches_ahead and all(row.steps_asked == 0 for row in speaking):
                # Nobody waits for a report that no sound can be made of; the delay completes frames later.
                frames = self.first_frames + self.num_codebooks - 1
            launches.append(_Launch(batch, list(speaking), frames))
            if len(launches) <= self._launches_ahead:
                continue
            finished = {}
            for row, drawn in launches.popleft().read():
                reason = row.take_in(drawn, watch) if row in speaking else None
                if row in speaking and (row.over or reason is not None):
                    finished[row.index] = row.decoded(reason)
            for slot in reversed(range(len(speaking))):
                if speaking[slot].index in finished:
                    batch.leave(slot)
                    speaking[slot] = speaking[-1]
                    speaking.pop()
            yield _progress(rows, finished)

    def _row(self, index: int, request: Request) -> "_Row":
        tokens = request.prompt.token_ids
        if len(tokens) == 0 or int(tokens[-1]) != self._opening_token:
            raise ValueError("a prompt must end with the token that opens the audio")
        steps = request.max_frames + self.num_codebooks - 1
        room = self._longest - len(tokens)
        if room < self.num_codebooks:
            raise BadConversation(
                f"This conversation takes {len(tokens)} of the model's {self._longest} positions and leaves no room to "
                "speak. Use fewer or shorter reference recordings, or keep fewer earlier lines."
            )
        return _Row(index, request, min(steps, room), self._special, self.num_codebooks)

    def _take_batch(self) -> Batch:
        batch, self._idle_batch = self._idle_batch, None
        if batch is None:
            batch = Batch(
                self._network,
                self._special,
                self._audio_tokens,
                self.slots,
                fixed_shapes=self._fixed_shapes,
                second_core=self._second_core,
            )
        return batch

    def _give_back(self, batch: Batch) -> None:
        batch.clear()
        # A cache that has grown is let go, except where recorded steps point into it.
        if batch.capacity <= SHORTEST or self._network.device.type == "cuda":
            self._idle_batch = batch


class _Row:
    """One request on its way: the frames drawn for it, in the delay pattern."""

    def __init__(self, index: int, request: Request, steps: int, special: SpecialCodes, num_codebooks: int) -> None:
        self.index = index
        self.request = request
        self._special = special
        self._frames = np.empty((steps, num_codebooks), dtype=np.int64)
        self.steps_asked = 0  # of the device
        self._drawn = 0
        self._ended = False

    @property
    def over(self) -> bool:
        """The model has ended the stream, or the frame budget is used up."""
        return self._ended or self._drawn == len(self._frames)

    @property
    def complete_frames(self) -> int:
        """How many frames all codebooks have said."""
        return max(0, self._drawn - self._ended - self._frames.shape[1] + 1)

    def take_in(self, frames: np.ndarray, watch: Callable[[int, np.ndarray], str | None] | None) -> str | None:
        """Add frames, int64 [F, K], up to the row's end. Returns the reason to stop it, if `watch` gives one."""
        for frame in frames:
            self._frames[self._drawn] = frame
            self._drawn += 1
            self._ended = bool((frame == self._special.end).all())
            if self.over:
                return None
            if watch is not None and self._drawn % FRAMES_BETWEEN_LOOKS == 0:
                reason = watch(self.index, self.values())
                if reason is not None:
                    return reason
        return None

    def values(self) -> np.ndarray:
        """Codes so far, delay undone, up to the first codebook's end of stream. Shape: int64 [K, T]."""
        length = self.complete_frames
        values = np.stack([self._frames[k : k + length, k] for k in range(self._frames.shape[1])])
        ends = np.flatnonzero(values[0] == self._special.end)
        return values[:, : ends[0] if len(ends) else length].clip(0, self._special.begin - 1)

    def decoded(self, reason: str | None) -> Decoded:
        """The outcome."""
        return Decoded(self.values(), ended=self._ended and reason is None, stopped_because=reason)


class _Launch:
    """Some frames of some rows, on their way from the device."""

    def __init__(self, batch: Batch, rows: list[_Row], frames: int) -> None:
        self._rows = rows
        for row in rows:
            row.steps_asked += frames
        steps = [batch.step().clone() for _ in range(frames)]
        self._codes = torch.stack(steps)
        self._arrived: torch.cuda.Event | None = None
        if self._codes.device.type == "cuda":
            host = torch.empty(self._codes.shape, dtype=self._codes.dtype, pin_memory=True)
            self._codes = host.copy_(self._codes, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> Iterator[tuple[_Row, np.ndarray]]:
        """Each row with its frames, int64 [F, K]; waits for them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        codes = self._codes.cpu().numpy()
        for slot, row in enumerate(self._rows):
            yield row, codes[:, slot]


def _progress(rows: list[_Row], finished: dict[int, Decoded]) -> DecodeProgress:
    return DecodeProgress([row.complete_frames for row in rows], finished, lambda index: rows[index].values())
