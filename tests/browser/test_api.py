"""The endpoint for programs, called as its documentation says."""

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

ALMA = {"name": "Alma", "kind": "reference", "reference": "bundled:alma"}


@pytest.fixture(scope="module")
def client(studio_url: str) -> Client:
    return Client(studio_url, verbose=False)


def say(client: Client, text: str, seed: int = 7, **changes):
    return client.predict(
        {"speakers": [ALMA], "lines": [{"speaker": 0, "text": text}]} | changes, seed, api_name="/speak"
    )


def test_a_conversation_goes_in_and_a_wav_comes_out(client: Client):
    path, facts = say(client, "Good morning.")
    samples, rate = soundfile.read(path)
    assert rate == facts["sample_rate"] == 24_000
    assert len(samples) / rate == pytest.approx(facts["duration_seconds"], abs=1e-3)
    assert facts["seed"] == 7


def test_the_same_seed_gives_the_same_codes(client: Client):
    codes = [say(client, "Good morning.", seed)[1]["takes"][0]["codes_sha256"] for seed in (7, 7, 8)]
    assert codes[0] == codes[1] != codes[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lines": []}, "There is nothing to speak yet"),
        ({"lines": [{"speaker": 4, "text": "Hello."}]}, "Line 1 is spoken by [SPEAKER4]"),
        ({"lines": [{"speaker": 0, "text": "word " * 20_000}]}, "at most 10,000 are taken"),
        ({"speakers": [{"name": "X", "kind": "reference", "reference": "own:../../etc"}]}, "no longer here"),
        ({"speakers": [{"name": "X", "kind": "reference", "reference": "/etc/passwd"}]}, "no longer here"),
        ({"speekers": []}, "there is no key 'speekers'"),
    ],
)
def test_bad_input_is_refused_in_words(client: Client, changes: dict, words: str):
    with pytest.raises(AppError, match=words.replace("[", r"\[")):
        say(client, "Hello.", **changes)


def test_sound_becomes_codes_and_sound_again(client: Client):
    codes, facts = client.predict(handle_file("assets/voices/alma.flac"), "higgs-3", api_name="/encode")
    assert facts["codebooks"] == 3
    assert facts["bitrate_kbps"] == 0.75
    with np.load(codes, allow_pickle=False) as stored:
        assert stored["codes"].shape == (3, facts["frames"])
    path, again = client.predict(handle_file(codes), api_name="/decode")
    samples, rate = soundfile.read(path)
    assert rate == again["sample_rate"] == 24_000
    assert len(samples) / rate == pytest.approx(facts["frames"] / facts["frame_rate"])


def test_codecs_are_compared(client: Client):
    rows = client.predict(handle_file("assets/voices/alma.flac"), ["higgs-8", "opus-6"], api_name="/compare")
    assert [row["codec"] for row in rows] == ["Higgs Audio V2 tokenizer, 8 codebooks", "Opus 6 kbit/s"]
    assert rows[0]["bitrate (kbit/s)"] == 2
    assert rows[1]["codebooks"] is None
    with pytest.raises(AppError, match="There is no codec setting “mp4”"):
        client.predict(handle_file("assets/voices/alma.flac"), ["mp4"], api_name="/compare")


def test_only_what_is_meant_for_programs_is_listed(client: Client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/speak", "/encode", "/decode", "/compare"}
