"""What the benchmarks of decoding count, on clocks and decoders made for it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import decode, in_parts


def test_a_frame_is_timed_between_reports_of_eight_and_not_by_the_one_that_finishes(monkeypatch):
    now = [0.0]

    def reports(_):
        for number in range(1, 6):
            now[0] += 0.016
            yield SimpleNamespace(frames=[8 * number - 7], finished={0: None} if number == 5 else {})

    monkeypatch.setattr(decode, "clock", lambda: now[0])
    assert decode.our_frame_ms(SimpleNamespace(decode=reports), [], "cpu") == pytest.approx(2.0)


def test_first_audio_is_timed_from_the_prompt_to_the_samples_and_waits_for_all_that_a_frame_looks_at(engine):
    audio, given = decode.FirstAudio(engine.codec), []

    def reports(_):
        for frames in (audio.frames - 1, audio.frames):
            given.append(frames)
            yield SimpleNamespace(frames=[frames], values=lambda _, frames=frames: np.zeros((8, frames), np.int64))
        raise AssertionError("it goes on when it has what it needs")

    decoder = SimpleNamespace(decode=reports)
    assert audio.ms(decoder, None, "cpu") > 0
    assert given == [audio.frames - 1, audio.frames]
    assert decoder.first_frames == audio.frames == audio._ahead + 1


def test_parts_are_written_as_they_end_and_left_out_beyond_the_limit(monkeypatch, tmp_path):
    now, out = [decode.BEGUN], tmp_path / "out.json"
    for module in (decode, in_parts):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0], strftime=lambda _: "today"))

    def first():
        now[0] += 6
        return {"a": 1}

    def second():
        assert json.loads(out.read_text())["a"] == 1
        now[0] += 6
        raise ValueError("no")

    decode.measured({"first": first, "second": second, "third": first}, {}, out, limit=10)
    report = json.loads(out.read_text())
    assert report["left out"] == ["third"]
    assert report["failed"] == {"second": "ValueError('no')"}
    assert report["seconds"] == {"from the imports to the first part": 0, "first": 6, "second": 6}


def test_a_decoder_whose_rows_have_left_still_tells_whether_it_recorded():
    def decoder(graphs):
        return SimpleNamespace(_idle_batch=type("Empty", (), {"__len__": lambda _: 0, "_graphs": graphs})())

    assert decode._recorded(decoder(SimpleNamespace(_broken=False)))
    assert not decode._recorded(decoder(SimpleNamespace(_broken=True)))
    assert not decode._recorded(decoder(None))
    assert not decode._recorded(SimpleNamespace(_idle_batch=None))
