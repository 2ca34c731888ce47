"""`/v1/audio/speech`: what programs written for OpenAI's speech API ask for, spoken by the model that is resident here.

    POST /v1/audio/speech   {"input": "Good morning.", "voice": "alma", "response_format": "wav"}
    GET  /v1/audio/voices   the voices that may speak
    GET  /v1/models         who is speaking; the `model` of a request chooses nothing

It goes further than that API: `voice` may be an object of names and their voices, and `input` is then a script they
speak; `seed` gives the same speech again, `pronunciations` say how words are spoken. The form of requests and errors:
OpenAI, "API reference", Create speech.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from studio.conversation import QUIET_ROOM
from studio.draft import SMART, Draft, voice_in_words
from studio.errors import BadConversation, BadSetting, GenerationFailed, StudioError
from studio.export.bundle import mix_file
from studio.export.origin import Origin, voices_of
from studio.export.sounds import sound_form
from studio.sampling import HIGHEST_SEED, Sampling, fresh_seed
from studio.script import UnknownSpeakers, parse_script
from studio.serve.jobs import NOTHING_SAID, Job, Jobs
from studio.serve.live import begun, growing
from studio.speech import SpeechRequest
from studio.strict_json import keys, number, one_of, whole
from studio.text import WORDS_OF_A_LINE, clean
from studio.voice_library import VoiceLibrary

MOST_BYTES = 2**17  # of a request: the longest script in four bytes a character, and room for the rest
LOOK_SECONDS = 0.02
RETRY_SECONDS = "10"  # told to who comes when too many wait
FIELDS = {
    "model": str,
    "input": str,
    "voice": object,
    "instructions": str,
    "response_format": str,
    "speed": object,
    "stream_format": str,
    "seed": int,
    "pronunciations": str,
}
OFFERED = {"/v1/audio/speech": "POST", "/v1/audio/voices": "GET", "/v1/models": "GET"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
SOURCE = "The request"
PCM = "pcm"
FILES = {  # by the names of that API: ours (see `export/sounds.py`), and what the answer calls it
    "mp3": ("mp3", "audio/mpeg"),
    "opus": ("opus", "audio/ogg"),
    "flac": ("flac", "audio/flac"),
    "wav": ("wav16", "audio/wav"),
}


class TooLarge(StudioError):
    """A request that is longer than anybody needs."""


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
            Route("/v1/{path:path}", self._nothing, methods=METHODS),
        ]

    async def _nothing(self, request: Request) -> Response:
        """What is asked for and not here."""
        offered = ", ".join(f"{method} {path}" for path, method in OFFERED.items())
        asked = BadSetting(f"There is no {request.method} {request.url.path}. There are: {offered}.")
        allowed = OFFERED.get(request.url.path)
        return _error(asked, 405, headers={"Allow": allowed}) if allowed else _error(asked, 404)

    async def _models(self, request: Request) -> Response:
        model = {"id": self.checkpoint_key, "object": "model", "owned_by": self.checkpoint_title}
        return JSONResponse({"object": "list", "data": [model]})

    async def _voices(self, request: Request) -> Response:
        found = await run_in_threadpool(lambda: [*self.voices.bundled.values(), *self.voices.everybodys()])
        listed = [{"id": voice.id, "name": voice.name, "gender": voice.gender} for voice in found]
        return JSONResponse({"voices": listed})

    async def _speech(self, request: Request) -> Response:
        try:
            data = await _body(request)
            asked, draft, speech = await run_in_threadpool(self._understood, data)
        except TooLarge as problem:
            return _error(problem, 413)
        except StudioError as problem:
            return _error(problem)
        try:
            place = request.client.host if request.client else "unknown"
            job = self.jobs.submit(secrets.token_hex(16), speech, "/v1/audio/speech", program=place)
        except GenerationFailed as problem:  # too many are waiting
            return _error(problem, 429, "rate_limit_error", {"Retry-After": RETRY_SECONDS})
        answer: Response | None = None
        try:
            answer = await (self._stream if asked.form == PCM else self._file)(request, job, draft, asked)
            answer.headers["X-Seed"] = str(speech.sampling.seed)
            return answer
        finally:  # also where a server that goes down cancels its handlers
            if not isinstance(answer, _Heard):  # which goes on until it has been heard
                self.jobs.abandon(job)

    async def _file(self, request: Request, job: Job, draft: Draft, asked: "Asked") -> Response:
        """The whole, as a file that says what made it. `X-Findings` counts lines that the health check complains of."""
        while not job.finished:
            if await request.is_disconnected():
                return Response(status_code=204)
            await asyncio.sleep(LOOK_SECONDS)
        try:
            reading = job.reading()
            form, media_type = FILES[asked.form]
            origin = Origin("Speech", await run_in_threadpool(voices_of, draft, self.voices), *self._made_by)
            content = await run_in_threadpool(mix_file, reading, sound_form(form), origin)
        except StudioError as problem:
            return _job_error(problem)
        findings = sum(not place.take.health.passed for place in reading.placements)
        return Response(content, media_type=media_type, headers={"X-Findings": str(findings)})

    async def _stream(self, request: Request, job: Job, draft: Draft, asked: "Asked") -> Response:
        """16-bit mono PCM while it is spoken. What fails once it has begun breaks the answer off."""
        sound = job.live
        assert sound is not None
        if not await begun(sound, request) or not sound.sample_rate:
            return _job_error(job.problem or GenerationFailed(NOTHING_SAID))

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in growing(sound):
                yield piece
            while not job.finished:  # it closes the sound first
                await asyncio.sleep(LOOK_SECONDS)
            if job.problem:
                raise job.problem

        headers = {"X-Sample-Rate": str(sound.sample_rate), "X-Accel-Buffering": "no"}
        return _Heard(lambda: self.jobs.abandon(job), pieces(), media_type="audio/pcm", headers=headers)

    @property
    def _made_by(self) -> tuple[str, str]:
        return self.codec_title, self.checkpoint_licence

    def _understood(self, data: Any) -> tuple["Asked", Draft, SpeechRequest]:
        """What was asked, as a draft, and as what the engine is given."""
        asked = Asked.read(data)
        known = self.voices.by_name()
        whole = Draft.read(
            {
                "scene": asked.instructions or QUIET_ROOM,
                "speakers": [{"name": name} | _voice(voice, known) for name, voice in asked.cast.items()],
                "lines": [{"speaker": who, "text": text} for who, text in asked.lines],
                "pronunciations": asked.pronunciations,
            },
            SOURCE,
        )
        draft = whole.with_short_rows(self.line_words or WORDS_OF_A_LINE)
        sampling = Sampling().with_seed(asked.seed if asked.seed is not None else fresh_seed())
        conversations = tuple(draft.conversations(self.voices))
        return asked, draft, SpeechRequest(conversations, sampling, stream=asked.form == PCM)


class _Heard(StreamingResponse):
    """A stream that tells when nobody hears it any more, also where it was never begun."""

    def __init__(self, over: Callable[[], None], *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


@dataclass(frozen=True)
class Asked:
    """A request whose fields are in order."""

    cast: dict[str, str]  # names and their voices
    lines: list[tuple[int, str]]  # who says what
    form: str = "mp3"
    instructions: str = ""
    seed: int | None = None
    pronunciations: str = ""

    @classmethod
    def read(cls, data: Any) -> "Asked":
        """Read a request.

        Raises:
            BadSetting: a field does not exist, holds the wrong thing, or asks for what the model has no dial for.
            BadConversation: the script cannot be read.
        """
        given = {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data
        values = keys(given, FIELDS, SOURCE)
        if not values.get("input", "").strip():
            raise BadConversation("input: there is nothing to speak. Give the text.")
        if number(values.get("speed", 1.0), 0.25, 4.0, "speed") != 1.0:
            raise BadSetting("speed: the model has no such dial. Leave it at 1.")
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
            one_of(values.get("response_format", "mp3"), (*FILES, PCM), "response_format"),
            values.get("instructions", ""),
            values.get("seed"),
            values.get("pronunciations", ""),
        )


def _voice(voice: str, known: Mapping[str, str]) -> dict[str, str]:
    """A voice as a draft has it. Who knows the id of a visitor's voice may speak with it."""
    if voice.startswith("own:"):
        return {"kind": "reference", "reference": voice}
    found = voice_in_words(voice, known)
    if found is None:
        names = ", ".join(sorted(name for name in known if ":" not in name))
        raise BadSetting(
            f"voice: there is no voice “{voice[:60]}”. There are: {names}, “described: an old man”, and smart (the "
            "model's choice)."
        )
    return found


def _paragraphs(text: str) -> list[tuple[int, str]]:
    return [(0, paragraph) for paragraph in clean(text).split("\n") if paragraph.strip()]


def _script(text: str, names: list[str]) -> list[tuple[int, str]]:
    try:
        parts = parse_script(text, names)
    except UnknownSpeakers as problem:
        if not problem.names:
            raise
        unknown = ", ".join(f"“{name}”" for name in problem.names)
        raise BadSetting(f"voice: {unknown} of the script has no voice. Name everybody who speaks.") from None
    if None in parts:
        raise BadConversation("input: a divider begins another conversation. Send those between them one by one.")
    return [(part.speaker, part.text) for part in parts if part is not None]


async def _body(request: Request) -> Any:
    """The JSON of a request, which is not read further than it may be long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise TooLarge(f"The request has more than {MOST_BYTES:,} bytes. Split the text.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadSetting("The request is not JSON.") from None


def _job_error(problem: StudioError) -> Response:
    """Why a job gave nothing: by what was asked, or by what the model did."""
    return _error(problem, 500, "server_error") if isinstance(problem, GenerationFailed) else _error(problem)


def _error(
    problem: StudioError,
    status: int = 400,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Response:
    message = clean(str(problem))
    field = message.removeprefix(f"{SOURCE}: ").split(" ", 1)[0].rstrip(":")  # what is said of one begins with it
    error = {"message": message, "type": kind, "param": field if field in FIELDS else None, "code": None}
    return JSONResponse({"error": error}, status, headers)
