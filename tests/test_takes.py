"""Takes stand on one timeline, every start on a whole frame, and the sound is theirs bit for bit."""

import json
from dataclasses import replace

import numpy as np
import pytest

from studio.audio import Audio
from studio.codes import Codes
from studio.conversation import Conversation, Line, Speaker
from studio.health import CodeHealth
from studio.sampling import Sampling
from studio.takes import GAP_SECONDS, Reading, Stop, Take

HOP, RATE = 960, 24_000
GAP_FRAMES = 9
CONVERSATION = Conversation((Line(0, "One."), Line(1, "Two."), Line(0, "Three.")), (Speaker("Alma"), Speaker("Bruno")))


def a_take(frames: int, level: float = 0.5, stop: Stop = Stop.ENDED, frame_rate: float = 25.0) -> Take:
    codes = Codes(np.full((8, frames), frames), frame_rate, 1024)
    audio = Audio(np.full((1, frames * round(RATE / frame_rate)), level), RATE)
    health = CodeHealth.of(codes, audio, "One.")
    return Take(codes, audio, Sampling(seed=frames), "mini", stop, prompt_tokens=40, health=health)


def reading_of(*takes: Take) -> Reading:
    spoken = [((index,), take) for index, take in enumerate(takes)]
    return Reading.one_after_another(CONVERSATION, spoken, Sampling(seed=7), compute_seconds=2.0)


def test_takes_follow_one_another_with_a_gap_of_whole_frames():
    reading = reading_of(a_take(10), a_take(20), a_take(5))
    assert round(GAP_SECONDS * 25) == GAP_FRAMES
    assert [place.start_frame for place in reading.placements] == [0, 19, 48]
    assert [place.start_seconds for place in reading.placements] == [0.0, 0.76, 1.92]
    assert [place.stop_seconds for place in reading.placements] == [0.4, 1.56, 2.12]
    assert reading.duration_seconds == 2.12
    assert reading.rtf == pytest.approx(2.0 / 2.12)


def test_a_pause_takes_the_place_of_the_gap():
    lines = (Line(0, "One.", pause=0.4), Line(1, "Two.", pause=2.0), Line(0, "Three.", pause=0.0))
    spoken = [((index,), a_take(10)) for index in range(3)]
    reading = Reading.one_after_another(replace(CONVERSATION, lines=lines), spoken, Sampling(), 1.0)
    assert [place.start_frame for place in reading.placements] == [10, 10 + 10 + 50, 10 + 10 + 50 + 10]


def test_the_sound_is_the_takes_at_their_times_and_nothing_between():
    reading = reading_of(a_take(10, 0.1), a_take(20, -0.2), a_take(5, 0.3))
    samples = reading.audio.samples[0]
    assert len(samples) == 53 * HOP
    expected = np.zeros(53 * HOP, np.float32)
    for place in reading.placements:
        start = place.start_frame * HOP
        expected[start : start + place.take.audio.length] = place.take.audio.samples[0]
    assert np.array_equal(samples, expected)


@pytest.mark.parametrize("frame_rate", [12.5, 24_000 / 1_001, 50.0, 75.0])
def test_many_takes_do_not_drift_from_their_frames(frame_rate: float):
    hop = round(RATE / frame_rate)
    spoken = [((0,), a_take(7, frame_rate=RATE / hop)) for _ in range(300)]
    reading = Reading.one_after_another(CONVERSATION, spoken, Sampling(), 1.0)
    last = reading.placements[-1]
    assert reading.audio.length == pytest.approx((last.start_frame + 7) * hop, abs=1)


def test_a_reading_of_one_breath_is_its_take():
    take = a_take(12)
    reading = Reading.one_after_another(CONVERSATION, [((0, 1, 2), take)], Sampling(), 1.0)
    assert np.array_equal(reading.audio.samples, take.audio.samples)
    assert reading.facts()["takes"][0]["speakers"] == ["Alma", "Bruno"]
    assert reading.facts()["takes"][0]["lines"] == [1, 2, 3]


def test_the_facts_are_json_and_say_how_to_get_it_again():
    facts = json.loads(json.dumps(reading_of(a_take(10), a_take(20, stop=Stop.SILENCE)).facts()))
    assert (facts["checkpoint"], facts["seed"]) == ("mini", 7)
    assert (facts["duration_seconds"], facts["rtf"]) == (1.56, round(2.0 / 1.56, 3))
    assert (facts["frame_rate"], facts["bitrate_kbps"], facts["sample_rate"]) == (25.0, 2.0, 24_000)
    assert facts["stop"] == ["end of speech", "silence"]
    first = facts["takes"][0]
    assert (first["lines"], first["speakers"], first["seed"], first["stop"]) == ([1], ["Alma"], 10, "end of speech")
    assert (first["start"], first["end"], first["frames"], first["prompt_tokens"]) == (0.0, 0.4, 10, 40)
    assert first["codes_sha256"] == a_take(10).codes.fingerprint[:16]


def test_nothing_spoken_lasts_nothing():
    reading = Reading(CONVERSATION, (), Sampling(), 1.0)
    assert (reading.duration_seconds, reading.rtf, reading.stops) == (0.0, 0.0, ())
