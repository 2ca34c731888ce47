"""The endpoints for programs, called as their documentation says."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

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


def test_the_best_of_several_takes_is_given_and_lines_may_hear_those_before_them(client: Client):
    lines = [{"speaker": 0, "text": text} for text in ("Good morning.", "Come in.")]
    _, facts = client.predict({"speakers": [ALMA], "lines": lines}, 7, 2, 1, api_name="/speak")
    first, second = facts["takes"]
    assert first["log_likelihood"] < 0
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["frames"]
    with pytest.raises(AppError, match="takes must be between 1 and 16"):
        client.predict({"speakers": [ALMA], "lines": lines}, 7, 99, 0, api_name="/speak")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lines": []}, "conversation: there is nothing to speak. lines needs at least one line with text"),
        ({"speakers": []}, "conversation: speakers is empty. Give at least one"),
        ({"lines": [{"speaker": 4, "text": "Hello."}]}, "Line 1 is given to speaker 4, .* from 0: 0 is Alma"),
        ({"lines": [{"speaker": "Alma", "text": "Hello."}]}, "line 1: speaker must be a whole number, not text"),
        ({"lines": [{"text": "One."}, {"divider": True}, {"text": "Two."}]}, "/speak takes one conversation"),
        ({"lines": [{"speaker": 0, "text": "word " * 20_000}]}, "at most 10,000 are taken"),
        ({"speakers": [{"name": "X", "kind": "reference", "reference": "own:../../etc"}]}, "no longer here"),
        ({"speakers": [{"name": "X", "kind": "reference", "reference": "/etc/passwd"}]}, "no voice “/etc/passwd”"),
        (
            {"speakers": [{"name": "X", "kind": "reference", "reference": "alma"}]},
            "no voice “alma”. Those .*bundled:alma",
        ),
        (
            {"speekers": []},
            "there is no key 'speekers'. Do you mean 'speakers'.* Required: speakers, lines. Optional: sc",
        ),
    ],
)
def test_bad_input_is_refused_in_words(client: Client, changes: dict, words: str):
    with pytest.raises(AppError, match=words):
        say(client, "Hello.", **changes)


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        (["Hello."], "conversation must be an object, not a list. Required: speakers, lines. Optional: scene, way"),
        (None, "conversation must be an object, not null"),
        ({}, "conversation: speakers is missing. Required: speakers, lines"),
        ({"speakers": [ALMA]}, "conversation: lines is missing"),
    ],
)
def test_what_a_conversation_needs_is_said(client: Client, conversation: object, words: str):
    with pytest.raises(AppError, match=words):
        client.predict(conversation, 7, api_name="/speak")


def test_a_lines_own_seed_and_the_conversations_own_context_count(client: Client):
    lines = [{"speaker": 0, "text": "Good morning.", "seed": 5}, {"speaker": 0, "text": "Come in."}]
    alone, heard = (
        say(client, "", seed, lines=lines, context=context)[1]["takes"] for seed, context in ((7, 0), (8, 1))
    )
    assert alone[0]["codes_sha256"] == heard[0]["codes_sha256"]
    assert heard[1]["prompt_tokens"] > alone[1]["prompt_tokens"] + heard[0]["frames"]


CONSENT = ("Ada Example", "Ada Example", "2026-03-31", "I agree that my voice is cloned for this test.")


def test_a_voice_is_added_with_consent_mended_and_spoken_with(client: Client, tmp_path: Path):
    samples, rate = soundfile.read("assets/voices/bruno.flac")
    quiet = np.concatenate([np.zeros(rate), 0.1 * samples, np.zeros(rate)])
    soundfile.write(tmp_path / "me.wav", np.stack([quiet, quiet], axis=1), rate)
    words = "Good evening. The last train leaves at nine."
    voice = client.predict(handle_file(tmp_path / "me.wav"), "Me", words, *CONSENT, api_name="/add_voice")
    assert voice["id"].startswith("own:")
    assert [mend["mend"] for mend in voice["mends"]] == ["mono", "trim", "gain"]
    assert voice["health"] == "good"
    assert voice["seconds"] < len(quiet) / rate - 1.5
    me = {"name": "Me", "kind": "reference", "reference": voice["id"]}
    path, _ = say(client, "Good morning.", speakers=[me])
    assert len(soundfile.read(path)[0]) > rate / 4
    as_it_is = client.predict(handle_file(tmp_path / "me.wav"), "Me", words, *CONSENT, False, api_name="/add_voice")
    assert as_it_is["mends"] == []
    assert as_it_is["health"] == "poor"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("Me", "Words.", "", "Ada", "2026-03-31", "Yes."), r"Missing: whose voice \(whose\)."),
        (("Me", "Words.", "Ada", "Ada", "2026-03-31", " "), r"Missing: what it may be used for \(statement\)."),
        (("Me", "Words.", "Ada", "Ada", "soon", "Yes."), "year-month-day, for example 2026-03-31, not “soon”"),
        (("Me", "", *CONSENT), "Type what is said"),
        (("", "Words.", *CONSENT), "Give the voice a name"),
    ],
)
def test_a_voice_without_consent_words_or_name_is_not_added(client: Client, texts: tuple[str, ...], words: str):
    with pytest.raises(AppError, match=words):
        client.predict(handle_file("assets/voices/alma.flac"), *texts, api_name="/add_voice")


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
    assert [row["checkpoint"] for row in rows] == ["higgs-audio-v2-tokenizer-mini", ""]
    assert rows[0]["bitrate (kbit/s)"] == 2
    assert rows[1]["codebooks"] is None
    assert rows[0]["STOI"] > 0.5
    assert rows[0]["PESQ-WB (MOS-LQO)"] is None
    [slow] = client.predict(handle_file("assets/voices/alma.flac"), ["opus-6"], True, api_name="/compare")
    assert slow["PESQ-WB (MOS-LQO)"] or "PESQ-WB n/a: the package pesq is not installed" in slow["notes"]
    assert slow["Predicted MOS"] or "Predicted MOS n/a: the package" in slow["notes"]
    with pytest.raises(AppError, match="There is no codec setting “mp4”"):
        client.predict(handle_file("assets/voices/alma.flac"), ["mp4"], api_name="/compare")


def test_only_what_is_meant_for_programs_is_listed(client: Client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {
        "/speak",
        "/add_voice",
        "/encode",
        "/decode",
        "/compare",
    }


EXAMPLES_IN_ORDER = ("/speak", "/add_voice", "/encode", "/decode", "/compare")


def test_no_address_is_opened(client: Client):
    for address in ("https://example.com/voice.wav", "http://127.0.0.1:1/voice.wav"):
        with pytest.raises(AppError, match=r"Addresses are not opened here\. Send the file itself"):
            client.predict(audio=handle_file(address), codec="higgs-3", api_name="/encode")


def test_what_is_asked_for_is_described_by_a_schema(client: Client, studio_url: str):
    with urllib.request.urlopen(f"{studio_url}gradio_api/info") as answer:
        endpoints = json.load(answer)["named_endpoints"]
    kinds = {name: [one["type"].get("type") for one in told["parameters"]] for name, told in endpoints.items()}
    assert all(isinstance(kind, str) for of_one in kinds.values() for kind in of_one), "MCP clients read them strictly"
    assert kinds["/speak"][0] == "object"
    assert kinds["/compare"][1] == "array"


def test_the_examples_that_are_shown_work_as_they_stand(client: Client, studio_url: str, tmp_path: Path):
    with urllib.request.urlopen(f"{studio_url}gradio_api/info") as answer:
        endpoints = json.load(answer)["named_endpoints"]
    given: list = []
    for name in EXAMPLES_IN_ORDER:
        parameters = endpoints[name]["parameters"]
        assert all(one["python_type"]["description"] for one in parameters), "each says what it takes"
        assert all(len(one["python_type"]["description"]) < 130 for one in parameters), "in our words, not Gradio's"
        assert "github.com" not in json.dumps(parameters)
        named = {one["parameter_name"]: _sent(one["example_input"], given) for one in parameters}
        given.append(client.predict(**named, api_name=name))
    assert given[0][1]["seed"] == 7
    assert given[1]["health"] in ("good", "fair")
    assert given[2][1]["codebooks"] == 8
    assert len(given[4]) == 3
    assert "handle_file('assets/voices/alma.flac')" in endpoints["/encode"]["code_snippets"]["python"]


def _sent(example: object, given: list) -> object:
    """An example as a program sends it; the file of codes is what /encode gave."""
    if not isinstance(example, dict) or "path" not in example:
        return example
    return handle_file(given[2][0] if example["path"].endswith(".npz") else example["path"])


def test_the_panel_for_programs_offers_only_what_is_served(page: Page, studio_url: str):
    page.goto(studio_url)
    page.get_by_role("button", name="Use via API").click()
    panel = page.locator(".api-docs")
    languages = panel.locator(".endpoint > .snippets > *")
    expect(languages).to_contain_text(["Python", "JavaScript", "CLI", "cURL", "MCP"])
    for index in range(4):
        expect(languages.nth(index)).to_be_visible()
    expect(languages.last).to_be_hidden()
    expect(panel.get_by_text("bundled:alma").first).to_be_visible()
