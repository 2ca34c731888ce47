"""Live sound grows, is heard by any number of listeners, and is gone after a while."""

import threading
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from studio.audio import Audio
from studio.serve import live
from studio.serve.live import LiveSounds, pcm16
from studio.speech import SoundPiece
from studio.takes import GAP_SECONDS
from tests.serving import PATIENCE, served_routes

RATE = 24_000


def piece(line: int, value: float, samples: int = 960, start: int = 0) -> SoundPiece:
    return SoundPiece(0, (line,), start, Audio(np.full((1, samples), value), RATE))


def samples(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2") / 32_767


@pytest.fixture(scope="module")
def sounds() -> LiveSounds:
    return LiveSounds()


@pytest.fixture(scope="module")
def address(sounds: LiveSounds) -> Iterator[str]:
    with served_routes([sounds.route()]) as address:
        yield address


def test_pieces_are_joined_each_behind_its_gap(sounds: LiveSounds):
    sound = sounds.make()
    for each, gap_seconds in ((piece(0, 0.5), 0.0), (piece(0, 0.25, start=1), 0.0), (piece(1, -0.5), GAP_SECONDS)):
        sound.add(each, gap_seconds)
    gap = round(GAP_SECONDS * RATE)
    found = samples(sound.read(0))
    assert len(found) == 3 * 960 + gap
    expected = np.concatenate([np.full(960, 0.5), np.full(960, 0.25), np.zeros(gap), np.full(960, -0.5)])
    assert np.allclose(found, expected, atol=1 / 32_767)
    assert sound.seconds == pytest.approx(len(found) / RATE)


def test_samples_beyond_full_scale_are_limited():
    assert samples(pcm16(Audio(np.array([[2.0, -3.0, 0.0]]), RATE))).tolist() == [1.0, -1.0, 0.0]


def test_a_listener_hears_each_piece_while_the_next_is_not_there_yet(sounds: LiveSounds, address: str):
    sound = sounds.make()
    sound.add(piece(0, 0.5))
    with httpx.stream("GET", f"{address}/live/{sound.token}", timeout=PATIENCE) as answer:
        assert answer.status_code == 200
        assert answer.headers["x-sample-rate"] == str(RATE)
        chunks = answer.iter_raw()
        assert samples(next(chunks))[0] == pytest.approx(0.5, abs=1e-4)
        sound.add(piece(0, -0.25, start=1))
        assert samples(next(chunks))[-1] == pytest.approx(-0.25, abs=1e-4)
        sound.close()
        assert b"".join(chunks) == b""


def test_listeners_who_come_before_the_first_sound_and_after_the_last_hear_all(sounds: LiveSounds, address: str):
    sound = sounds.make()
    heard: list[bytes] = []
    early = [
        threading.Thread(
            target=lambda: heard.append(httpx.get(f"{address}/live/{sound.token}", timeout=PATIENCE).content)
        )
        for _ in range(3)
    ]
    for each in early:
        each.start()
    sound.add(piece(0, 0.5, 50_000))
    sound.add(piece(0, 0.25, 50_000))
    sound.close()
    for each in early:
        each.join(PATIENCE)
    heard.append(httpx.get(f"{address}/live/{sound.token}", timeout=PATIENCE).content)
    assert [len(content) for content in heard] == [200_000] * 4
    assert len(set(heard)) == 1


def test_one_who_goes_away_leaves_the_sound_to_the_others(sounds: LiveSounds, address: str):
    sound = sounds.make()
    sound.add(piece(0, 0.5))
    with httpx.stream("GET", f"{address}/live/{sound.token}", timeout=PATIENCE) as answer:
        next(answer.iter_raw())
    sound.add(piece(0, 0.5, start=1))
    sound.close()
    assert len(httpx.get(f"{address}/live/{sound.token}", timeout=PATIENCE).content) == 2 * 960 * 2


def test_a_job_without_sound_ends_in_silence(sounds: LiveSounds, address: str):
    sound = sounds.make()
    sound.close()
    answer = httpx.get(f"{address}/live/{sound.token}", timeout=PATIENCE)
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_unknown_sound_and_one_that_is_gone_are_not_found(
    sounds: LiveSounds, address: str, monkeypatch: pytest.MonkeyPatch
):
    sound = sounds.make()
    sound.close()
    assert httpx.get(f"{address}/live/{sound.token}", timeout=PATIENCE).status_code == 200
    monkeypatch.setattr(live, "KEPT_SECONDS", -1.0)
    for token in (sound.token, "0" * 32, "x"):
        assert httpx.get(f"{address}/live/{token}", timeout=PATIENCE).status_code == 404


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "MOST_SECONDS", 1.0)
    monkeypatch.setattr(live, "MOST_SOUNDS", 3)
    store = LiveSounds()
    made = [store.make() for _ in range(5)]
    assert [store.find(sound.token) is not None for sound in made] == [False, False, True, True, True]
    for start in range(100):
        made[-1].add(piece(0, 0.1, start=start))
    assert made[-1].seconds == pytest.approx(1.0, abs=0.05)
