"""`/v1/audio/speech`: what programs written for OpenAI's speech API ask for, spoken by the model that is resident here.

    POST /v1/audio/speech   {"input": "Good morning.", "voice": "alma", "response_format": "wav"}
    GET  /v1/audio/voices   the voices that may speak
    GET  /v1/models         who is speaking

It goes further than that API: `voice` may be an object of names and their voices, and `input` is then a script they
speak; `seed` gives the same speech again. The form of requests and errors: OpenAI, "API reference", Create speech.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from studio.conversation import QUIET_ROOM
from studio.draft import Draft
from studio.errors import BadConversation, BadSetting, GenerationFailed, StudioError
from studio.export.bundle import mix_file
from studio.export.origin import Origin, voices_of
from studio.export.sounds import sound_form
from studio.sampling import HIGHEST_SEED, Sampling, fresh_seed
from studio.script import parse_script
from studio.serve.jobs import Job, Jobs
from studio.serve.live import growing
from studio.speech import SpeechRequest, readings_of
from studio.strict_json import keys, number, one_of, whole
from studio.text import clean, pieces_of_words
from studio.voice_library import VoiceLibrary

MOST_BYTES = 2**17  # of a request: the longest script in four bytes a character, and room for the rest
LOOK_SECONDS = 0.02
WORDS_OF_A_LINE = 60  # where nobody has measured what a checkpoint speaks reliably
SMART = "smart"  # the voice that the model finds for the text
FIELDS = {
    **{"model": str, "input": str, "voice": object, "instructions": str, "response_format": str, "speed": object},
    **{"stream_format": str, "seed": int},
}
FORMATS = {  # by the names of that API: ours (see `export/sounds.py`), and what the answer calls it
    "mp3": ("mp3", "audio/mpeg"),
    "opus": ("opus", "audio/ogg"),
    "flac": ("flac", "audio/flac"),
    "wav": ("wav16", "audio/wav"),
    "pcm": ("", "audio/pcm"),
}


@dataclass(frozen=True)
class SpeechApi:
    """The routes, and what they need."""

    jobs: Jobs
    voices: VoiceLibrary
    checkpoint_key: str
    checkpoint_title: str
    checkpoint_licence: str
    codec_title: str
    line_words: int = 0  # that the checkpoint speaks reliably in one line; 0: unknown

    def routes(self) -> list[Route]:
        """For the app that serves the page."""
        return [
            Route("/v1/audio/speech", self._speech, methods=["POST"]),
            Route("/v1/audio/voices", self._voices),
            Route("/v1/models", self._models),
        ]

    async def _models(self, request: Request) -> Response:
        model = {"id": self.checkpoint_key, "object": "model", "owned_by": self.checkpoint_title}
        return JSONResponse({"object": "list", "data": [model]})

    async def _voices(self, request: Request) -> Response:
        found = await run_in_threadpool(lambda: [*self.voices.bundled.values(), *self.voices.everybodys()])
        listed = [{"id": voice.id, "name": voice.name, "gender": voice.gender} for voice in found]
        return JSONResponse({"voices": listed})

    async def _speech(self, request: Request) -> Response:
        try:
            asked = Asked.read(await _body(request))
            draft, speech = await run_in_threadpool(self._request, asked)
        except StudioError as problem:
            return _refused(problem)
        try:
            job = self.jobs.submit(secrets.token_hex(16), speech, "/v1/audio/speech")
        except GenerationFailed as problem:  # too many are waiting
            return _refused(problem, 429, "rate_limit_error")
        seed = {"X-Seed": str(speech.sampling.seed)}
        if asked.form == "pcm":
            return await self._streamed(request, job, seed)
        try:
            while not job.finished:
                if await request.is_disconnected():
                    return Response(status_code=204)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.jobs.cancel(job)  # nobody listens any more
        if job.problem:
            return _failed(job.problem)
        content = await run_in_threadpool(self._file, job, draft, asked.form)
        return Response(content, media_type=FORMATS[asked.form][1], headers=seed)

    async def _streamed(self, request: Request, job: Job, headers: Mapping[str, str]) -> Response:
        """16-bit mono PCM while it is spoken. Once it has begun, what fails can only end it."""
        sound = job.live
        assert sound is not None
        while not sound.sample_rate and sound.closed_at is None:
            if await request.is_disconnected():
                self.jobs.cancel(job)
                return Response(status_code=204)
            await asyncio.sleep(LOOK_SECONDS)
        if not sound.sample_rate:
            return _failed(job.problem or GenerationFailed("Nothing was said. Try another seed."))

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in growing(sound):
                    yield piece
            finally:
                self.jobs.cancel(job)

        rate = {"X-Sample-Rate": str(sound.sample_rate), "X-Accel-Buffering": "no"}
        return StreamingResponse(pieces(), media_type=FORMATS["pcm"][1], headers={**headers, **rate})

    def _request(self, asked: "Asked") -> tuple[Draft, SpeechRequest]:
        """What was asked, as a draft and as what the engine is given."""
        most = self.line_words or WORDS_OF_A_LINE
        lines = [{"speaker": who, "text": piece} for who, text in asked.lines for piece in pieces_of_words(text, most)]
        draft = Draft.read(
            {
                "scene": asked.instructions or QUIET_ROOM,
                "speakers": [self._speaker(name, voice) for name, voice in asked.cast.items()],
                "lines": lines,
            },
            "The request",
        )
        sampling = Sampling().with_seed(asked.seed if asked.seed is not None else fresh_seed())
        return draft, SpeechRequest(
            tuple(draft.conversations(self.voices)), sampling, stream=FORMATS[asked.form][0] == ""
        )

    def _speaker(self, name: str, voice: str) -> dict[str, str]:
        if voice == SMART:
            return {"name": name, "kind": "smart"}
        known = [*self.voices.bundled.values(), *self.voices.everybodys()]
        by_name = {one.name.casefold(): one.id for one in known}
        voice_id = voice if ":" in voice else by_name.get(voice.casefold())
        if voice_id is None:
            names = ", ".join(sorted(by_name))
            raise BadSetting(f"voice: there is no voice {voice!r}. There are: {names}, {SMART} (the model's choice).")
        return {"name": name, "kind": "reference", "reference": voice_id}

    def _file(self, job: Job, draft: Draft, form: str) -> bytes:
        (reading,) = readings_of(job.request, job.spoken)
        job.forget()
        origin = Origin("Speech", voices_of(draft, self.voices), self.codec_title, self.checkpoint_licence)
        return mix_file(reading, sound_form(FORMATS[form][0]), origin)


@dataclass(frozen=True)
class Asked:
    """A request whose fields are in order."""

    cast: dict[str, str]  # names and their voices
    lines: list[tuple[int, str]]  # who says what
    form: str = "mp3"
    instructions: str = ""
    seed: int | None = None

    @classmethod
    def read(cls, data: Any) -> "Asked":
        """Read a request.

        Raises:
            BadSetting: a field does not exist, holds the wrong thing, or asks for what the model has no dial for.
            BadConversation: the script cannot be read.
        """
        values = keys(data, FIELDS, "The request")
        if not values.get("input", "").strip():
            raise BadConversation("input: there is nothing to speak. Give the text.")
        if number(values.get("speed", 1.0), 0.25, 4.0, "speed") != 1.0:
            raise BadSetting("speed: the model has no such dial. Leave it at 1, or ask for a pace in `instructions`.")
        one_of(values.get("stream_format", "audio"), ("audio",), "stream_format")
        if "seed" in values:
            whole(values["seed"], HIGHEST_SEED, "seed")
        voice = values.get("voice", SMART)
        if isinstance(voice, dict) and set(voice) == {"id"}:  # that API's own object
            voice = voice["id"]
        cast = voice if isinstance(voice, dict) else {"Speaker": voice}
        if not cast or not all(isinstance(one, str) and one for one in cast.values()):
            raise BadSetting(
                'voice must be a name, or an object of names and voices like {"Alma": "alma", "Bob": "smart"}.'
            )
        text = values["input"]
        return cls(
            cast,
            _script(text, list(cast)) if isinstance(voice, dict) else _paragraphs(text),
            one_of(values.get("response_format", "mp3"), tuple(FORMATS), "response_format"),
            values.get("instructions", ""),
            values.get("seed"),
        )


def _paragraphs(text: str) -> list[tuple[int, str]]:
    return [(0, paragraph) for paragraph in clean(text).split("\n") if paragraph.strip()]


def _script(text: str, names: list[str]) -> list[tuple[int, str]]:
    parts = parse_script(text, names)
    if None in parts:
        raise BadConversation("input: a divider begins another conversation. Send those between them one by one.")
    return [(part.speaker, part.text) for part in parts if part is not None]


async def _body(request: Request) -> Any:
    """The JSON of a request, which is not read further than it may be long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BadSetting(f"The request has more than {MOST_BYTES:,} bytes. Split the text.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadSetting("The request is not JSON.") from None


def _failed(problem: StudioError) -> Response:
    """Why a job gave nothing: by what was asked, or by what the model did."""
    if isinstance(problem, GenerationFailed):
        return _refused(problem, 500, "server_error")
    return _refused(problem)


def _refused(problem: StudioError, status: int = 400, kind: str = "invalid_request_error") -> Response:
    return JSONResponse({"error": {"message": str(problem), "type": kind, "param": None, "code": None}}, status)
