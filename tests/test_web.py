"""Other sites cannot drive a studio on this machine, and only a token opens a file."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from studio.serve.live import LiveSounds
from studio.serve.web import web_parts
from studio.workspace import Workspace


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def client(
    files: Workspace, server_name: str = "127.0.0.1", allowed: str = "", host: str = "localhost:7860"
) -> TestClient:
    parts = web_parts((files,), LiveSounds(), server_name, allowed)
    routes = [*parts["routes"], Route("/", hello, methods=["GET", "POST", "PUT", "DELETE"])]
    return TestClient(Starlette(routes=routes, middleware=parts["middleware"]), base_url=f"http://{host}")


# ---- who may ask ----


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
@pytest.mark.parametrize("server_name", ["127.0.0.1", "localhost", "::1"])
def test_loopback_names_are_answered_on_loopback(workspace: Workspace, host: str, server_name: str):
    assert client(workspace, server_name).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::1", "[", "a b"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_foreign_and_malformed_names_are_refused_on_loopback(workspace: Workspace, host: str, method: str):
    answer = client(workspace).request(method, "/", headers={"Host": host})
    assert answer.status_code == 400
    assert "HIGGS_ALLOWED_HOSTS" in answer.text


def test_further_names_are_answered_when_they_are_named(workspace: Workspace):
    named = client(workspace, "127.0.0.1", " Studio.lan , other.lan,")
    assert [named.get("/", headers={"Host": it}).status_code for it in ("studio.lan:80", "OTHER.lan", "localhost")] == [
        200
    ] * 3
    assert named.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_on_an_open_address_any_name_is_answered_unless_some_are_named(workspace: Workspace):
    assert client(workspace, "0.0.0.0").get("/", headers={"Host": "box.lan"}).status_code == 200
    named = client(workspace, "0.0.0.0", "studio.lan")
    assert named.get("/", headers={"Host": "studio.lan"}).status_code == 200
    assert named.get("/", headers={"Host": "box.lan"}).status_code == 400


FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost:9999",
    "http://localhost.evil.example:7860",
    "http://[",
    "",
    "file://",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_writes_from_other_sites_are_refused(workspace: Workspace, origin: str, method: str):
    answer = client(workspace).request(method, "/", headers={"Origin": origin})
    assert (answer.status_code, answer.text) == (403, "Requests from other sites are refused.")


@pytest.mark.parametrize("origin", FOREIGN)
def test_other_sites_may_not_drive_an_open_address_either(workspace: Workspace, origin: str):
    open_to_all = client(workspace, "0.0.0.0", host="box.lan:7860")
    assert open_to_all.post("/", headers={"Origin": origin}).status_code == 403
    assert open_to_all.post("/", headers={"Origin": "http://box.lan:7860"}).status_code == 200


def test_the_page_itself_programs_and_reading_are_let_through(workspace: Workspace):
    page = client(workspace)
    assert page.post("/", headers={"Origin": "http://localhost:7860"}).status_code == 200
    assert page.post("/").status_code == 200
    assert page.get("/", headers={"Origin": "https://evil.example"}).status_code == 200


def test_behind_a_proxy_the_forwarded_name_counts(workspace: Workspace):
    proxied = client(workspace, "0.0.0.0", host="10.0.0.7:7860")
    headers = {"X-Forwarded-Host": "studio.example", "Origin": "https://studio.example"}
    assert proxied.post("/", headers=headers).status_code == 200
    assert proxied.post("/", headers=headers | {"Origin": "https://evil.example"}).status_code == 403


# ---- files ----


@pytest.fixture
def kept(workspace: Workspace) -> tuple[str, Path]:
    token, folder = workspace.make()
    for name in ("talk-seed-7.wav", "view.json", "secret.key", "page.html", "UPPER.wav", ".hidden.wav"):
        (folder / name).write_bytes(b"RIFF content")
    (folder / "sub.wav").mkdir()
    (workspace.root / "outside.wav").write_bytes(b"outside")
    return token, folder


@pytest.mark.parametrize(("name", "kind"), [("talk-seed-7.wav", "audio/"), ("view.json", "application/json")])
def test_a_file_is_fetched_by_its_token(workspace: Workspace, kept: tuple[str, Path], name: str, kind: str):
    answer = client(workspace).get(f"/files/{kept[0]}/{name}")
    assert (answer.status_code, answer.content) == (200, b"RIFF content")
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private")


def test_a_part_of_a_sound_can_be_fetched_to_seek_in_it(workspace: Workspace, kept: tuple[str, Path]):
    answer = client(workspace).get(f"/files/{kept[0]}/talk-seed-7.wav", headers={"Range": "bytes=5-8"})
    assert (answer.status_code, answer.content) == (206, b"cont")


@pytest.mark.parametrize(
    "path",
    [
        "{token}/other.wav",
        "{token}/secret.key",
        "{token}/page.html",
        "{token}/UPPER.wav",
        "{token}/.hidden.wav",
        "{token}/sub.wav",
        "{token}/..%2Foutside.wav",
        "{token}/%2e%2e/outside.wav",
        "{token}/..%5Coutside.wav",
        "{token}/view.json%00.wav",
        "{token}/view.json%0A",
        "{token}/",
        "{token}",
        "../outside.wav",
        "%2e%2e/outside.wav",
        "./outside.wav",
        "00000000000000000000000000000000/view.json",
        "{upper}/view.json",
        "*/view.json",
    ],
)
def test_without_token_and_name_there_is_nothing(workspace: Workspace, kept: tuple[str, Path], path: str):
    answer = client(workspace).get("/files/" + path.format(token=kept[0], upper=kept[0].upper() + "0"))
    assert answer.status_code == 404
    assert b"content" not in answer.content
    assert b"outside" not in answer.content


def test_files_are_read_and_never_written(workspace: Workspace, kept: tuple[str, Path]):
    token, folder = kept
    answers = [client(workspace).request(method, f"/files/{token}/view.json") for method in ("POST", "PUT", "DELETE")]
    assert {answer.status_code for answer in answers} == {405}
    assert (folder / "view.json").read_bytes() == b"RIFF content"
