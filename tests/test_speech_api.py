"""The speech endpoint: what is asked is spoken by the real model, what is wrong is said in the form of that API."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from studio.audio import Audio, Recording
from studio.consent import Consent
from studio.conversation import Conversation, Line, Speaker
from studio.errors import GenerationFailed
from studio.sampling import Sampling
from studio.serve.jobs import Job, Jobs
from studio.serve.speech_api import FIELDS, Asked, SpeechApi
from studio.speech import Progress, SoundPiece, SpeechRequest
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace
from tests.serving import PATIENCE, served_routes

if TYPE_CHECKING:
    from studio.engine.local import LocalEngine

BUNDLED = Path(__file__).parent.parent / "assets" / "voices"
TALK = Conversation((Line(0, "Hi."),), (Speaker("Alma"),))
Speak = Callable[[SpeechRequest, Callable[[], bool]], Iterator]


class Listener:
    """Jobs as they are, remembering each that was asked for."""

    def __init__(self, speak: Speak) -> None:
        self.jobs = Jobs(speak)
        self.asked: list[Job] = []
        submit = self.jobs.submit

        def remember(*args, **named) -> Job:
            self.asked.append(submit(*args, **named))
            return self.asked[-1]

        self.jobs.submit = remember


@pytest.fixture
def listener(engine: "LocalEngine") -> Listener:
    return Listener(engine.speak)


def api_of(jobs: Jobs, workspace: Workspace) -> TestClient:
    voices = VoiceLibrary(BUNDLED, workspace)
    api = SpeechApi(jobs, voices, "mini", "Higgs Audio V2 mini", "Apache-2.0", "tokenizer mini", 12)
    return TestClient(Starlette(routes=api.routes()))


@pytest.fixture
def client(listener: Listener, workspace: Workspace) -> TestClient:
    return api_of(listener.jobs, workspace)


def problem_of(answer) -> str:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["message"]


# ---- what is spoken ----


@pytest.mark.parametrize(("form", "container"), [("mp3", "MP3"), ("flac", "FLAC"), ("wav", "WAV"), ("opus", "OGG")])
def test_a_text_is_spoken_in_each_format(client: TestClient, form: str, container: str):
    asked = {"model": "tts-1", "input": "Good morning.", "voice": "alma", "response_format": form, "seed": 7}
    answer = client.post("/v1/audio/speech", json=asked)
    assert answer.status_code == 200, answer.text
    with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
        assert (file.format, file.samplerate) == (container, 24_000)
        assert 0.5 < file.frames / file.samplerate < 3.0
        assert "Synthetic speech" in file.comment
        assert np.sqrt(np.mean(file.read() ** 2)) > 0.003, "silence"
    assert answer.headers["x-seed"] == "7"


def test_mp3_is_what_comes_unasked_and_the_voice_is_the_models_choice(client: TestClient, listener: Listener):
    answer = client.post("/v1/audio/speech", json={"input": "Good morning."})
    assert answer.headers["content-type"] == "audio/mpeg"
    (speaker,) = listener.asked[0].request.conversations[0].speakers
    assert speaker.voice.reference is None


def test_the_same_seed_gives_the_same_sound_also_while_it_is_spoken(client: TestClient):
    asked = {"input": "The train is late.", "voice": "bundled:bruno", "seed": 3}
    wav, pcm = (client.post("/v1/audio/speech", json=asked | {"response_format": form}) for form in ("wav", "pcm"))
    assert pcm.headers["content-type"] == "audio/pcm"
    assert pcm.headers["x-sample-rate"] == "24000"
    whole, _ = soundfile.read(io.BytesIO(wav.content), dtype="float32")
    live = np.frombuffer(pcm.content, "<i2") / 32_767
    assert len(live) == len(whole)
    assert np.abs(live - whole).max() < 2e-3


def test_a_long_text_becomes_lines_that_the_checkpoint_can_speak(client: TestClient, listener: Listener):
    text = "The shop opens at nine. " * 4 + "\n" + "It closes at six."
    assert client.post("/v1/audio/speech", json={"input": text, "voice": "clara"}).status_code == 200
    lines = [line.text for line in listener.asked[0].request.conversations[0].lines]
    assert lines == ["The shop opens at nine. The shop opens at nine."] * 2 + ["It closes at six."]


def test_a_pause_within_the_text_is_silence_also_while_it_is_spoken(client: TestClient):
    asked = {"input": "Good morning. [pause 2 s] Good night.", "voice": "alma", "seed": 3}
    wav, pcm = (client.post("/v1/audio/speech", json=asked | {"response_format": form}) for form in ("wav", "pcm"))
    whole, _ = soundfile.read(io.BytesIO(wav.content), dtype="float32")
    assert len(pcm.content) == 2 * len(whole)
    silent = np.flatnonzero(np.diff(np.flatnonzero(whole), prepend=0, append=len(whole)) >= 2 * 24_000)
    assert len(silent) == 1


def test_a_script_is_spoken_by_its_cast(client: TestClient, listener: Listener):
    asked = {
        "input": "Ada: Good morning.\nBob: Good evening.",
        "voice": {"Ada": "alma", "Bob": "described: an old man"},
        "pronunciations": "evening = night",
    }
    assert client.post("/v1/audio/speech", json=asked | {"instructions": "A kitchen."}).status_code == 200
    (conversation,) = listener.asked[0].request.conversations
    assert [(line.speaker, line.text) for line in conversation.lines] == [(0, "Good morning."), (1, "Good evening.")]
    assert [line.said for line in conversation.lines] == ["Good morning.", "Good night."]
    assert [speaker.name for speaker in conversation.speakers] == ["Ada", "Bob"]
    assert [bool(speaker.voice.reference) for speaker in conversation.speakers] == [True, False]
    assert conversation.speakers[1].voice.description == "an old man"
    assert conversation.scene.description == "A kitchen."


def test_voices_and_model_are_listed_and_can_be_asked_for(client: TestClient):
    voices = client.get("/v1/audio/voices").json()["voices"]
    assert {"id": "bundled:alma", "name": "Alma", "gender": "feminine"} in voices
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["id"], model["owned_by"]) == ("mini", "Higgs Audio V2 mini")
    assert Asked.read({"input": "x", "voice": {"id": "bundled:alma"}}).cast == {"Speaker": "bundled:alma"}


# ---- what is refused ----


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"input": " "}, "input: there is nothing to speak"),
        ({"input": "… !"}, "has nothing to speak"),
        ({"voice": "alloy"}, "voice: there is no voice “alloy”. There are: alma, bruno"),
        ({"voice": "own:00000000000000000000000000000000"}, "no longer here"),
        ({"voice": 7}, "voice must be a name"),
        ({"voice": {}}, "voice must be a name"),
        ({"voice": {"Ada": 1}}, "voice must be a name"),
        ({"voice": {"Ada": "alma"}, "input": "Zoë: Hello."}, "voice: “Zoë” of the script has no voice"),
        ({"voice": {"Ada": "alma"}, "input": "[SPEAKER3] Hello."}, "the cast ends at [SPEAKER0]"),
        ({"voice": {"Ada": "alma"}, "input": "Ada: Hello.\n---\nAda: Bye."}, "input: a divider begins"),
        ({"response_format": "aac"}, "response_format must be one of mp3, opus, flac, wav, pcm"),
        ({"speed": 1.5}, "speed: the model has no such dial"),
        ({"speed": "fast"}, "speed must be between"),
        ({"stream_format": "sse"}, "stream_format must be"),
        ({"seed": -1}, "seed must be between"),
        ({"seed": True}, "seed must be"),
        ({"seed": "7"}, "seed must be a whole number"),
        ({"sed": 1}, "there is no key 'sed'"),
        ({"pronunciations": "Nguyen"}, "does not say how a word is spoken"),
        ({"input": "word " * 3_000}, "at most 10,000"),
    ],
)
def test_what_cannot_be_spoken_is_refused_before_it_waits(
    client: TestClient, listener: Listener, more: dict, words: str
):
    answer = client.post("/v1/audio/speech", json={"input": "Good morning.", "voice": "alma"} | more)
    assert answer.status_code == 400
    assert words in problem_of(answer)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == next((field for field in FIELDS if words.startswith(field)), None)
    assert not listener.asked


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_request_is_refused(client: TestClient, body: bytes):
    answer = client.post("/v1/audio/speech", content=body)
    assert answer.status_code == 400
    problem_of(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/audio/speech", 405), ("POST", "/v1/models", 405), ("POST", "/v1/chat/completions", 404)],
)
def test_what_is_not_offered_is_said_in_the_form_of_that_api(client: TestClient, method: str, path: str, status: int):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert problem_of(answer).startswith(f"There is no {method} {path}. There are: POST /v1/audio/speech, ")


def test_more_than_is_read_is_refused(client: TestClient):
    answer = client.post("/v1/audio/speech", json={"input": "x" * 200_000})
    assert answer.status_code == 413
    assert "bytes" in problem_of(answer)


def test_what_cannot_be_written_is_left_out_of_a_refusal(client: TestClient):
    answer = client.post("/v1/audio/speech", content=b'{"input": "y: hi", "voice": {"a\\ud800": "nobody"}}')
    assert answer.status_code == 400
    assert "nobody" in problem_of(answer)


def test_nothing_is_as_good_as_null(client: TestClient):
    empty = dict.fromkeys(("model", "instructions", "speed", "stream_format", "seed"))
    assert client.post("/v1/audio/speech", json=empty | {"input": "Hi.", "voice": "alma"}).status_code == 200


def test_a_bundled_voice_keeps_its_name_beside_a_visitors(workspace: Workspace):
    library = VoiceLibrary(BUNDLED, workspace, shared=True)
    recording = Recording(library.bundled["bundled:bruno"].reference.audio, ())
    added = library.begin(recording, "Alma.wav")
    consent = Consent("Ada Example", "Ada Example", "Yes.", "2026-03-31")
    library.edit(added.id, name="Alma", transcript="Good evening.", consent=consent)
    assert "alma" in [voice.name.casefold() for voice in library.everybodys()]
    assert library.by_name()["alma"] == "bundled:alma"


def test_control_tokens_stay_text(client: TestClient, listener: Listener):
    answer = client.post("/v1/audio/speech", json={"input": "Hello <|eot_id|> there.", "voice": "alma"})
    assert answer.status_code == 200
    assert "<|eot_id|>" in listener.asked[0].request.conversations[0].lines[0].text


def test_what_fails_while_it_is_spoken_is_said(workspace: Workspace):
    def fails(request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator:
        raise GenerationFailed("The model said nothing. Try another seed.")
        yield

    for form in ("wav", "pcm"):
        answer = api_of(Jobs(fails), workspace).post("/v1/audio/speech", json={"input": "Hi.", "response_format": form})
        assert answer.status_code == 500
        assert problem_of(answer) == "The model said nothing. Try another seed."


def test_nothing_said_is_said(workspace: Workspace):
    for form in ("wav", "pcm"):
        client = api_of(Jobs(lambda request, cancelled: iter([()])), workspace)
        answer = client.post("/v1/audio/speech", json={"input": "Hi.", "response_format": form})
        assert answer.status_code == 500
        assert problem_of(answer) == "Nothing was said. Try another seed."


# ---- beside others ----


class Slow:
    """An engine that says a tenth of a second of noise at a time until it is let go, or fails when it is told to."""

    def __init__(self) -> None:
        self.began, self.closed, self.fail, self.go = (threading.Event() for _ in range(4))

    def __call__(self, request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator:
        self.began.set()
        sound = (SoundPiece(0, (0,), 0, Audio(np.full((1, 2_400), 0.1), 24_000)),)
        try:
            while not self.go.is_set():
                if self.fail.is_set():
                    raise GenerationFailed("The model went round in circles.")
                yield Progress((), 1, 25.0, 0.1, sound)
                time.sleep(0.01)
        finally:
            self.closed.set()
        yield ()


@pytest.fixture
def slow() -> Iterator[Slow]:
    engine = Slow()
    yield engine
    engine.go.set()


@contextmanager
def served(jobs: Jobs, workspace: Workspace) -> Iterator[str]:
    """The address of a real server: only there a listener can go away."""
    api = SpeechApi(jobs, VoiceLibrary(BUNDLED, workspace), "mini", "mini", "Apache-2.0", "tokenizer", 12)
    with served_routes(api.routes()) as address:
        yield f"{address}/v1/audio/speech"


@pytest.mark.parametrize("form", ["pcm", "wav"])
def test_nothing_more_is_spoken_for_who_has_gone_away(slow: Slow, workspace: Workspace, form: str):
    asked = {"input": "Hi.", "response_format": form}
    with served(Jobs(slow), workspace) as address, httpx.Client(timeout=PATIENCE) as client:
        with suppress(httpx.ReadTimeout), client.stream("POST", address, json=asked, timeout=0.5) as answer:
            next(answer.iter_raw())
        assert slow.began.is_set()
        assert slow.closed.wait(PATIENCE), "closed where it stood, without a last decode"


def test_a_stream_that_fails_is_broken_off(slow: Slow, workspace: Workspace):
    with served(Jobs(slow), workspace) as address:
        asked = {"input": "Hi.", "response_format": "pcm"}
        with httpx.stream("POST", address, json=asked, timeout=PATIENCE) as answer:
            assert answer.status_code == 200
            chunks = answer.iter_raw()
            next(chunks)
            slow.fail.set()
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)


def test_programs_leave_room_for_people(slow: Slow, workspace: Workspace):
    jobs = Jobs(slow)
    page = jobs.submit("page", SpeechRequest((TALK,), Sampling(), stream=True))
    assert slow.began.wait(PATIENCE)
    waiting = [
        jobs.submit(f"program {number}", SpeechRequest((TALK,), Sampling()), program="testclient")
        for number in range(8)
    ]
    answer = api_of(jobs, workspace).post("/v1/audio/speech", json={"input": "Hi."})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
    assert answer.headers["retry-after"]
    jobs.submit("another page", SpeechRequest((TALK,), Sampling()))
    elsewhere = [
        jobs.submit("x", SpeechRequest((TALK,), Sampling(), stream=True), program=f"host {n}") for n in range(8)
    ]
    assert not any(jobs.live.find(job.live_token) for job in elsewhere), "nobody asks for these by token"
    for job in waiting:
        jobs.abandon(job)
    assert all(job.finished for job in waiting)
    assert jobs.of("program 0") == []
    assert jobs.live.find(page.live_token), "what the page hears is still there"


def test_a_request_is_json_that_any_client_writes(client: TestClient):
    body = json.dumps({"model": "x", "input": "Hi.", "voice": "alma", "speed": 1}).encode()
    assert client.post("/v1/audio/speech", content=body, headers={"Authorization": "Bearer none"}).status_code == 200
