"""Who asks for a port gets it or is told why not; who asks for none gets the next free one, and is told."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import BadSetting
from studio.serve import port as ports
from studio.serve.port import chosen_port

ROOT = Path(__file__).parent.parent


@pytest.fixture
def busy() -> Iterator[int]:
    """A port where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def silent(words: str) -> None:
    pytest.fail(f"it said: {words}")


def test_a_free_port_is_taken_as_it_was_asked_for(free: int):
    assert chosen_port(f" {free} ", "127.0.0.1", silent) == free
    assert chosen_port(str(free), "0.0.0.0", silent) == free


@pytest.mark.parametrize("server_name", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_port_in_use_is_refused_with_what_to_do(busy: int, server_name: str):
    with pytest.raises(BadSetting, match=f"^port {busy} is in use. Stop what .* another with GRADIO_SERVER_PORT.$"):
        chosen_port(str(busy), server_name, silent)


@pytest.mark.parametrize("asked", ["abc", "0", "-1", "65536", "7860.5", "7 8", "²", "9" * 5_000])
def test_what_is_no_port_is_refused(asked: str):
    with pytest.raises(BadSetting, match="GRADIO_SERVER_PORT must be a port from 1 to 65535, not “"):
        chosen_port(asked, "127.0.0.1", silent)


@pytest.mark.parametrize(("server_name", "words"), [("192.0.2.1", "no address of this machine"), ("a b", "no address")])
def test_an_address_that_is_not_here_is_named_as_such(free: int, server_name: str, words: str):
    with pytest.raises(BadSetting, match=f"GRADIO_SERVER_NAME.*{words}.*0.0.0.0"):
        chosen_port(str(free), server_name, silent)


def test_without_a_wish_another_port_is_taken_aloud(busy: int, free: int, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr(ports, "DEFAULT", free)
    assert chosen_port("", "127.0.0.1", said.append) is None
    assert said == []
    monkeypatch.setattr(ports, "DEFAULT", busy)
    assert chosen_port("", "127.0.0.1", said.append) is None
    assert said[0].startswith(f"Port {busy} is in use: the studio takes the next free one")


def start(tmp_path: Path, port: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GRADIO_SERVER_PORT": port, "HIGGS_DATA": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_studio_ends_at_once_where_its_port_is_taken(busy: int, tmp_path: Path):
    began = time.monotonic()
    for port, words in ((str(busy), f"port {busy} is in use. "), ("abc", "GRADIO_SERVER_PORT must be a port ")):
        done = start(tmp_path, port)
        assert done.returncode == 1
        assert done.stderr.startswith(f"Higgs Studio: {words}")
        assert done.stderr.count("\n") == 1, "one sentence, no traceback"
        assert done.stdout == ""
    assert list(tmp_path.iterdir()) == [], "before anything is loaded or made"
    assert time.monotonic() - began < 50
