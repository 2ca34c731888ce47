"""Live sound: what is being spoken, to be listened to while it grows. A program or the page fetches /live/TOKEN.

Samples are kept as 16-bit PCM in memory, by a token nobody can guess, for a while after they are complete. The exact
sound is the file that is written at the end.
"""

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from studio.audio import Audio, silence
from studio.speech import SoundPiece

MOST_SECONDS = 1_200.0  # of one live sound; 58 MB at 24 kHz
MOST_SOUNDS = 24
KEPT_SECONDS = 120.0  # after it is complete
LOOK_SECONDS = 0.01
CHUNK_BYTES = 65_536
BYTES_A_SAMPLE = 2


class LiveSound:
    """One sound that grows. Written by one thread, read by any number of listeners, each from its beginning."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.sample_rate = 0  # Hz; 0: nothing has come yet
        self.closed_at: float | None = None
        self._bytes = bytearray()
        self._change = threading.Lock()

    @property
    def seconds(self) -> float:
        """Its length so far."""
        return len(self._bytes) / BYTES_A_SAMPLE / self.sample_rate if self.sample_rate else 0.0

    def add(self, piece: SoundPiece, gap_seconds: float = 0.0) -> None:
        """Append a piece, after so much silence. Beyond MOST_SECONDS nothing is kept."""
        if self.seconds > MOST_SECONDS:
            return
        samples = pcm16(silence(gap_seconds, piece.audio.sample_rate)) + pcm16(piece.audio)
        with self._change:
            self.sample_rate = piece.audio.sample_rate
            self._bytes += samples

    def close(self) -> None:
        """Nothing more will come."""
        self.closed_at = time.monotonic()

    def read(self, start: int) -> bytes:
        """Up to CHUNK_BYTES from byte `start` on; empty when there are none yet."""
        with self._change:
            return bytes(self._bytes[start : start + CHUNK_BYTES])


class LiveSounds:
    """The sounds that may be listened to now, by token."""

    def __init__(self) -> None:
        self._sounds: OrderedDict[str, LiveSound] = OrderedDict()
        self._change = threading.Lock()

    def make(self) -> LiveSound:
        """A new one. Those complete for a while are dropped, and the oldest beyond MOST_SOUNDS."""
        sound = LiveSound()
        with self._change:
            self._sweep()
            self._sounds[sound.token] = sound
            while len(self._sounds) > MOST_SOUNDS:
                self._sounds.popitem(last=False)
        return sound

    def find(self, token: str) -> LiveSound | None:
        """The sound of a token; None if it was never there or is gone."""
        with self._change:
            self._sweep()
            return self._sounds.get(token)

    def _sweep(self) -> None:
        oldest = time.monotonic() - KEPT_SECONDS
        for token, sound in list(self._sounds.items()):
            if sound.closed_at is not None and sound.closed_at < oldest:
                del self._sounds[token]

    def route(self) -> Route:
        """GET /live/TOKEN: 16-bit little-endian mono PCM until it is complete; its rate stands in X-Sample-Rate."""

        async def live(request: Request) -> Response:
            sound = self.find(request.path_params["token"])
            if sound is None:
                return PlainTextResponse("This sound is no longer live.", 404)
            if not await begun(sound, request):
                return Response(status_code=204)
            headers = {
                "X-Sample-Rate": str(sound.sample_rate or 24_000),
                "X-Content-Type-Options": "nosniff",
                "X-Accel-Buffering": "no",  # a proxy is to pass it on as it comes
                "Cache-Control": "no-store",
            }
            return StreamingResponse(growing(sound), media_type="application/octet-stream", headers=headers)

        return Route("/live/{token}", live)


async def begun(sound: LiveSound, request: Request) -> bool:
    """Wait for the first sound, or until it is known that there will be none. False: whoever asked has gone away."""
    while not sound.sample_rate and sound.closed_at is None:
        if await request.is_disconnected():
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


async def growing(sound: LiveSound) -> AsyncIterator[bytes]:
    """All of a sound as it comes."""
    start = 0
    while True:
        complete = sound.closed_at is not None
        chunk = sound.read(start)
        if chunk:
            start += len(chunk)
            yield chunk
        elif complete:
            return
        else:
            await asyncio.sleep(LOOK_SECONDS)


def pcm16(audio: Audio) -> bytes:
    """The first channel as 16-bit little-endian samples, limited to full scale."""
    return np.round(np.clip(audio.samples[0], -1.0, 1.0) * 32_767).astype("<i2").tobytes()
