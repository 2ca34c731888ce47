"""The speech endpoint: what is asked is spoken by the real model, what is wrong is said in the form of that API."""

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from studio.errors import GenerationFailed
from studio.serve.jobs import Job, Jobs
from studio.serve.speech_api import Asked, SpeechApi
from studio.speech import SpeechRequest
from studio.voice_library import VoiceLibrary
from studio.workspace import Workspace

if TYPE_CHECKING:
    from studio.engine.local import LocalEngine

BUNDLED = Path(__file__).parent.parent / "assets" / "voices"
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


def test_a_script_is_spoken_by_its_cast(client: TestClient, listener: Listener):
    asked = {"input": "Ada: Good morning.\nBob: Good evening.", "voice": {"Ada": "alma", "Bob": "smart"}}
    assert client.post("/v1/audio/speech", json=asked | {"instructions": "A kitchen."}).status_code == 200
    (conversation,) = listener.asked[0].request.conversations
    assert [(line.speaker, line.text) for line in conversation.lines] == [(0, "Good morning."), (1, "Good evening.")]
    assert [speaker.name for speaker in conversation.speakers] == ["Ada", "Bob"]
    assert [bool(speaker.voice.reference) for speaker in conversation.speakers] == [True, False]
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
        ({"voice": "alloy"}, "there is no voice 'alloy'. There are: alma, bruno"),
        ({"voice": "own:00000000000000000000000000000000"}, "no longer here"),
        ({"voice": 7}, "voice must be a name"),
        ({"voice": {}}, "voice must be a name"),
        ({"voice": {"Ada": 1}}, "voice must be a name"),
        ({"voice": {"Ada": "alma"}, "input": "Zoë: Hello."}, "Zoë"),
        ({"voice": {"Ada": "alma"}, "input": "Ada: Hello.\n---\nAda: Bye."}, "one by one"),
        ({"response_format": "aac"}, "response_format must be one of mp3, opus, flac, wav, pcm"),
        ({"speed": 1.5}, "speed: the model has no such dial"),
        ({"speed": "fast"}, "speed must be between"),
        ({"stream_format": "sse"}, "stream_format"),
        ({"seed": -1}, "seed must be between"),
        ({"seed": True}, "seed must be"),
        ({"sed": 1}, "there is no key 'sed'"),
        ({"input": "word " * 3_000}, "at most 10,000"),
        ({"input": "x" * 200_000}, "bytes"),
    ],
)
def test_what_cannot_be_spoken_is_refused_before_it_waits(
    client: TestClient, listener: Listener, more: dict, words: str
):
    answer = client.post("/v1/audio/speech", json={"input": "Good morning.", "voice": "alma"} | more)
    assert answer.status_code == 400
    assert words in problem_of(answer)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not listener.asked


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_request_is_refused(client: TestClient, body: bytes):
    answer = client.post("/v1/audio/speech", content=body)
    assert answer.status_code == 400
    problem_of(answer)


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


def test_who_comes_when_too_many_wait_is_told_to_come_again(workspace: Workspace):
    def never_ends(request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator:
        while not cancelled():
            time.sleep(0.01)
        yield ()

    jobs = Jobs(never_ends)
    request = SpeechRequest((), None)
    running = jobs.submit("first", request)
    while running.state == "waiting":
        time.sleep(0.01)
    waiting = [jobs.submit(f"other {number}", request) for number in range(20)]
    answer = api_of(jobs, workspace).post("/v1/audio/speech", json={"input": "Hi."})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
    for job in [*waiting, running]:
        jobs.cancel(job)


def test_a_request_is_json_that_any_client_writes(client: TestClient):
    body = json.dumps({"model": "x", "input": "Hi.", "voice": "alma", "speed": 1}).encode()
    assert client.post("/v1/audio/speech", content=body, headers={"Authorization": "Bearer none"}).status_code == 200
