"""Batch: the rows being decoded together, and their state on the device."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Semaphore
from typing import TypeVar

import torch

from studio.engine import cpu_draws
from studio.engine.cpu_step import ReadyRows
from studio.engine.cuda_graph import StepGraphs
from studio.engine.kv_cache import SHORTEST, KvCache, OwnLengths, SharedSpan, bucket
from studio.engine.network import Network
from studio.engine.prefix_cache import PrefixCache, Stretch, stretches
from studio.engine.prompt import Prompt
from studio.engine.sampler import SamplerState, SpecialCodes, next_frame, plan_for
from studio.engine.second_core import SecondCore
from studio.sampling import Sampling

WORTH_SHARING = 6  # rows: the halves of fewer read all weights twice for too little


class Batch:
    """Slots for rows. Those in use are the first ones; a row that leaves is replaced by the last."""

    def __init__(
        self,
        network: Network,
        special: SpecialCodes,
        audio_tokens: tuple[int, ...],
        slots: int,
        *,
        fixed_shapes: bool,
        second_core: SecondCore | None = None,
    ) -> None:
        """Allocate the state of `slots` rows.

        Args:
            second_core: helps with prompts and with larger batches, if there is one; not with fixed shapes.
            fixed_shapes: compute whole buckets of rows and positions under a mask, so that a step can be
                recorded; else exactly the rows and positions there are.
        """
        self._network = network
        self._special = special
        self._audio_tokens = audio_tokens
        self._fixed_shapes = fixed_shapes
        self._graphs = StepGraphs() if network.device.type == "cuda" else None
        self._second_core = second_core
        self._samplings: list[Sampling] = []
        self._plan = plan_for([], network.codebook_size)
        self._lengths: list[int] = []  # positions filled, of each row in use
        self.slots = slots
        with torch.inference_mode():
            shape = (len(network.layers), slots, 2 * network.key_heads, SHORTEST, network.head_dim)
            self._cache = KvCache(shape, network.dtype, network.device)
            self._state = SamplerState.empty(slots, network.num_codebooks, network.device)
            self._ready_rows: dict[tuple[int, int], ReadyRows] = {}  # from and to which
            self._positions = torch.zeros(slots, dtype=torch.int64, device=network.device)
            self._in_use = torch.zeros(slots, dtype=torch.int64, device=network.device)
        network.cover(self._cache.capacity)

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def capacity(self) -> int:
        """How many positions a row holds at present."""
        return self._cache.capacity

    @torch.inference_mode()
    def enter(self, prompt: Prompt, sampling: Sampling, prefixes: PrefixCache, stretch_length: int) -> None:
        """Prefill a prompt into the next free slot."""
        slot, length = len(self), len(prompt.token_ids)
        self._reserve(length + 1)
        fresh: list[Stretch] = []
        for stretch in stretches(prompt, self._audio_tokens, stretch_length):
            block = None if fresh else prefixes.get(stretch.key)
            if block is not None:
                self._cache.write(slot, stretch.start, block)
            else:
                fresh.append(stretch)
        self._prefill(fresh, slot)
        for stretch in fresh:
            if len(stretch.tokens) == stretch_length:
                prefixes.put(stretch.key, self._cache.read(slot, stretch.start, stretch.stop))
        self._state.start(slot, sampling, prompt.audio_rows, self._special)
        self._positions[slot] = length
        self._in_use[slot] = 1
        self._samplings.append(sampling)
        self._plan = plan_for(self._samplings, self._network.codebook_size)
        self._lengths.append(length)

    def _prefill(self, fresh: list[Stretch], slot: int) -> None:
        """Fill the cache with what these stretches of a prompt say, two at a time where there are two cores.

        The second stretch stays a layer behind the first, whose keys and values it looks at. Each product is the
        same as without a second core, so no bit changes.
        """
        pairs = [fresh[start : start + 2] for start in range(0, len(fresh), 2)]
        for pair in pairs:
            if self._second_core is None or len(pair) < 2:
                for stretch in pair:
                    self._network.prefill(stretch, self._cache, slot)
                continue
            stored = Semaphore(0)
            first = partial(self._first_of_two, pair[0], slot, stored)
            self._second_core.both(first, partial(self._second_of_two, pair[1], slot, stored))

    def _first_of_two(self, stretch: Stretch, slot: int, stored: Semaphore) -> None:
        try:
            self._network.prefill(stretch, self._cache, slot, stored=lambda layer: stored.release())
        finally:  # whatever happened, nobody is to wait for ever
            stored.release(len(self._network.layers))

    @torch.inference_mode()
    def _second_of_two(self, stretch: Stretch, slot: int, stored: Semaphore) -> None:
        self._network.prefill(stretch, self._cache, slot, stored=lambda layer: stored.acquire())

    @torch.inference_mode()
    def log_likelihoods(
        self, prompt: Prompt, takes: Sequence[torch.Tensor], prefixes: PrefixCache, stretch_length: int
    ) -> list[float]:
        """How likely each of some takes is after a prompt, which is read once for all of them.

        Teacher-forced, without temperature, top-k or top-p: transformers' own loss with its label rules (begin and
        end of stream do not count), as a mean over codes and with the sign turned.

        Args:
            takes: each int64 [R, K], codes in the delay pattern with begin and end of stream, as in a prompt.

        Returns:
            Nats a code, at most 0.
        """
        slot, start = len(self), len(prompt.token_ids)
        self._reserve(start + max(map(len, takes)))
        self.enter(prompt, Sampling(), prefixes, stretch_length)
        means = []
        for rows in takes:
            read, expected = rows[:-1], rows[1:].to(self._network.device)
            tokens = torch.full((len(read),), self._audio_tokens[0])
            stretch = Stretch(start, tokens, torch.ones(len(read), dtype=torch.bool), read, b"")
            chances = self._network.logits(stretch, self._cache, slot).log_softmax(-1)
            found = chances.gather(-1, expected.unsqueeze(-1)).squeeze(-1)
            means.append(found[expected < self._special.begin].mean())
        self.leave(slot)
        return [float(value) for value in torch.stack(means).cpu()]

    @torch.inference_mode()
    def leave(self, slot: int) -> None:
        """Free a slot; the last row moves into it."""
        last = len(self) - 1
        _fill_gap(self._samplings, slot)
        self._plan = plan_for(self._samplings, self._network.codebook_size)
        _fill_gap(self._lengths, slot)
        if slot != last:
            self._cache.copy_row(last, slot, self._lengths[slot])
            self._state.rows(slot, slot + 1).copy_(self._state.rows(last, last + 1))
            self._positions[slot] = self._positions[last]
        self._positions[last] = 0
        self._in_use[last] = 0

    def clear(self) -> None:
        """Free all slots."""
        for slot in reversed(range(len(self))):
            self.leave(slot)

    @torch.inference_mode()
    def step(self) -> torch.Tensor:
        """Draw one frame for every row. Returns the codes, int64 [rows, K], in a buffer the next step overwrites."""
        rows = len(self)
        self._reserve(max(self._lengths) + 1)
        plan = self._plan
        if self._fixed_shapes:
            computed, span = _bucket_of_rows(rows, self.slots), bucket(max(self._lengths) + 1)

            def step() -> None:
                positions, state = self._positions[:computed], self._state.first(computed)
                places = SharedSpan(self._cache, self._network.cos, self._network.sin, positions, span)
                next_frame(self._network.step(state.codes, places), state, plan, self._special)
                positions.add_(self._in_use[:computed])

            if self._graphs is None:
                step()
            else:
                self._graphs.run((computed, span, plan), step, self._noted)
        else:
            half = (rows + 1) // 2
            self._at_once([(0, rows)] if rows < WORTH_SHARING else [(0, half), (half, rows)])
        self._lengths = [length + 1 for length in self._lengths]
        return self._state.codes[:rows]

    def _at_once(self, parts: list[tuple[int, int]]) -> None:
        """Draw one frame for the rows of one or two parts; of two at once where there are two cores."""
        in_one_call = self._network.compiled is not None and not self._plan.full
        steps = [self._ready(*part).step if in_one_call else partial(self._step_of, *part) for part in parts]
        if self._second_core is not None and len(steps) == 2:
            self._second_core.both(*steps)
        else:
            for step in steps:
                step()

    def _ready(self, start: int, stop: int) -> ReadyRows:
        """Rows `start` to `stop`, ready for a frame in one compiled call."""
        ready = self._ready_rows.get((start, stop))
        if ready is None:
            assert self._network.compiled is not None
            tables, state = (self._network.cos, self._network.sin), self._state.rows(start, stop)
            ready = ReadyRows(self._network.compiled, self._cache, tables, state, start, self._special)
            self._ready_rows[start, stop] = ready
        return ready.at(self._lengths[start:stop])

    @torch.inference_mode()
    def _step_of(self, start: int, stop: int) -> None:
        """Draw one frame for rows `start` to `stop`, by kernels whose bits for a row are the row's own."""
        state = self._state.rows(start, stop)
        places = OwnLengths(self._cache, self._network.cos, self._network.sin, self._lengths[start:stop], start)
        cpu_draws.next_frame(self._network.step(state.codes, places), state, self._plan, self._special)

    def _noted(self) -> Callable[[], None]:
        """Note the state. Returns what brings it back; keys and values are simply written again."""
        state, positions = self._state.clone(), self._positions.clone()

        def back() -> None:
            self._state.copy_(state)
            self._positions.copy_(positions)

        return back

    def _reserve(self, length: int) -> None:
        if self._cache.reserve(length):
            self._ready_rows.clear()
            self._network.cover(self._cache.capacity)
            if self._graphs is not None:
                self._graphs.forget()


_Item = TypeVar("_Item")


def _fill_gap(items: list[_Item], index: int) -> None:
    """Drop item `index` and put the last one in its place."""
    last = items.pop()
    if index < len(items):
        items[index] = last


def _bucket_of_rows(rows: int, slots: int) -> int:
    """1, 2, 4, 8 ... rows, but no more than there are slots."""
    return min(slots, 1 << (rows - 1).bit_length())
