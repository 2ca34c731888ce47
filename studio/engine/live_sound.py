"""Live sound: codes become sound beside the frame loop, and the listener hears the script from its beginning.

The line that is heard first may be one of many that are being made: its sound is given piece by piece as it settles,
while that of later lines waits for its turn. Of a line with several takes the best is given, once it is known.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

from studio.audio import Audio
from studio.codecs.streaming import Reach, decode_between, first_piece_frames, next_piece_frames
from studio.codes import Codec, Codes
from studio.engine.parts import Part
from studio.speech import SoundPiece

Result = TypeVar("Result")


class BesideTheLoop:
    """One thread for the codec, on one core (or a stream of the card) of its own."""

    def __init__(self, device: torch.device) -> None:
        # A thread takes torch's number over when it first asks; only then does a limit of its own hold.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="codec", initializer=torch.get_num_threads)
        self._threads = ThreadpoolController()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def run(self, work: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Have `work` done after what was given before."""
        return self._pool.submit(self._apart, work, arguments)

    def _apart(self, work: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
        if self._stream is not None:
            with torch.cuda.stream(self._stream):
                return work(*arguments)
        with self._threads.limit(limits=1, user_api="openmp"):
            return work(*arguments)


class LiveSound:
    """The sound of the parts of a request, in the order of the script, as far as it is settled."""

    def __init__(
        self,
        codec: Codec,
        reach: Reach,
        parts: list[Part],
        beside: BesideTheLoop,
        *,
        decode: Callable[[Codes], Audio] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin with the first of `parts`.

        Args:
            codec: Makes the sound.
            reach: Of the codec.
            parts: In the order of the script.
            beside: Where the codec works.
            decode: Of windows; None: as the codec does.
            clock: Seconds; tells how fast frames are made.
        """
        self._codec = codec
        self._decode = decode or codec.decode
        self._reach = reach
        self._clock = clock
        self._beside = beside
        self._waiting = deque(parts)  # the first is on air
        self._given = 0  # frames of it that have been given
        self._last_piece = 0  # frames of the one begun last
        self._seen: tuple[float, int] | None = None  # when it was first looked at, and its frames then
        self._pieces: deque[Future[SoundPiece]] = deque()

    def take_in(self) -> tuple[SoundPiece, ...]:
        """Begin the pieces that can be made by now. Returns those that are ready."""
        while self._waiting and self._waiting[0].settled:
            self._give_rest(self._waiting.popleft())
        if self._waiting:
            self._give_settled(self._waiting[0])
        ready = []
        while self._pieces and self._pieces[0].done():
            ready.append(self._pieces.popleft().result())
        return tuple(ready)

    def rest(self) -> tuple[SoundPiece, ...]:
        """What is still to be given once all is spoken, also of what was stopped."""
        while self._waiting:
            self._give_rest(self._waiting.popleft())
        return tuple(piece.result() for piece in self._pieces)

    def close(self) -> None:
        """Nobody listens any more: pieces that have not been begun are not made."""
        for piece in self._pieces:
            piece.cancel()

    def _give_rest(self, part: Part) -> None:
        """What has not been given yet of a finished part: its sound is there already."""
        take = part.best
        if take and take.codes.frames > self._given:
            hop = take.audio.length // take.codes.frames
            audio = Audio(take.audio.samples[:, self._given * hop :], take.audio.sample_rate)
            piece: Future[SoundPiece] = Future()
            piece.set_result(SoundPiece(part.conversation, part.lines, self._given, audio))
            self._pieces.append(piece)
        self._given, self._last_piece, self._seen = 0, 0, None

    def _give_settled(self, part: Part) -> None:
        """The next piece of a part that grows, if it is long enough to be worth its context."""
        attempt = part.attempts[0] if part.only_take and part.attempts else None
        if attempt is None or attempt.coming or attempt.values is None:
            return
        if self._seen is None:
            self._seen = self._clock(), attempt.frames
        # The first piece is heard a little early; the others have time to be exact.
        ahead = self._reach.exact_frames if self._given else self._reach.heard_frames
        settled = attempt.frames - ahead - self._given
        if settled < 1 or settled < (least := self._least(attempt.frames)):
            return
        codes = Codes(attempt.values(), self._codec.frame_rate, self._codec.codebook_size)
        stop = codes.frames - ahead  # the last frames may be the stream's end
        if stop - self._given >= least:
            self._pieces.append(self._beside.run(self._piece, part, codes, self._given, stop))
            self._given, self._last_piece = stop, stop - self._given

    def _least(self, frames: int) -> int:
        """How long the next piece is to be at least, when there are so many frames."""
        if self._last_piece:
            return next_piece_frames(self._last_piece)
        assert self._seen is not None
        since, before = self._seen
        frame_seconds = (self._clock() - since) / max(1, frames - before)
        return first_piece_frames(self._reach, frame_seconds, self._codec.frame_rate)

    def _piece(self, part: Part, codes: Codes, start: int, stop: int) -> SoundPiece:
        audio = decode_between(self._decode, codes, start, stop, self._reach.exact_frames)
        return SoundPiece(part.conversation, part.lines, start, audio)
