"""Live sound: codes become sound beside the frame loop, and the listener hears the script from its beginning.

The line that is heard first may be one of many that are being made: its sound is given piece by piece as it settles,
while that of later lines waits for its turn. Of a line with several takes the best is given, once it is known.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

from studio.audio import Audio
from studio.codecs.streaming import FIRST_FRAMES, PIECE_FRAMES, decode_between, settled_frames
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

    def __init__(self, codec: Codec, parts: list[Part], beside: BesideTheLoop) -> None:
        self._codec = codec
        self._beside = beside
        self._waiting = deque(parts)  # the first is on air
        self._given = 0  # frames of it that have been given
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
        self._given = 0

    def _give_settled(self, part: Part) -> None:
        """The next piece of a part that grows, if it is long enough to be worth its context."""
        attempt = part.attempts[0] if part.only_take and part.attempts else None
        if attempt is None or attempt.coming or attempt.values is None:
            return
        least = PIECE_FRAMES if self._given else FIRST_FRAMES
        if settled_frames(attempt.frames, finished=False) - self._given < least:
            return
        codes = Codes(attempt.values(), self._codec.frame_rate, self._codec.codebook_size)
        stop = settled_frames(codes.frames, finished=False)  # the last frames may be the stream's end
        if stop - self._given >= least:
            self._pieces.append(self._beside.run(self._piece, part, codes, self._given, stop))
            self._given = stop

    def _piece(self, part: Part, codes: Codes, start: int, stop: int) -> SoundPiece:
        audio = decode_between(self._codec, codes, start, stop)
        return SoundPiece(part.conversation, part.lines, start, audio)
