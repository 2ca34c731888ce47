"""The engine on the bundled checkpoint: repeatable, stoppable, bounded, exact in time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from studio.audio import Audio, joined, silence
from studio.codes import Codes
from studio.conversation import Conversation, Line, Scene, Speaker
from studio.engine import local
from studio.engine.decoder import Decoded, DecodeProgress, Request
from studio.engine.local import LocalEngine
from studio.errors import BadConversation, BadSetting, GenerationFailed
from studio.sampling import Sampling
from studio.speech import Progress, SpeechRequest, readings_of
from studio.takes import Reading, Stop
from studio.voice_library import VoiceLibrary
from studio.voices import Reference, Voice

SEED = Sampling(seed=7)
HOP = 960


def saying(*texts: str, voice: Voice = Voice()) -> Conversation:  # noqa: B008  a frozen value
    return Conversation(tuple(Line(0, text) for text in texts), (Speaker("Alma", voice),))


HELLO, COFFEE, CLOCK = saying("Hello there."), saying("Is the coffee ready?"), saying("What time is it?")


def followed(
    engine: LocalEngine,
    conversations: Sequence[Conversation],
    sampling: Sampling = SEED,
    cancelled: Callable[[], bool] = lambda: False,
    **how: Any,
) -> tuple[list[Progress], list[Reading]]:
    """All progress, and the readings at the end."""
    request = SpeechRequest(tuple(conversations), sampling, **how)
    *steps, lines = engine.speak(request, cancelled)
    assert isinstance(lines, tuple)
    return [step for step in steps if isinstance(step, Progress)], readings_of(request, lines)


def spoken(
    engine: LocalEngine, conversations: Sequence[Conversation], sampling: Sampling = SEED, **how: Any
) -> list[Reading]:
    return followed(engine, conversations, sampling, **how)[1]


def fingerprints(reading: Reading) -> list[str]:
    return [place.take.codes.fingerprint for place in reading.placements]


@pytest.fixture
def requests(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the decoder is asked, while it goes on working."""
    asked: list[Request] = []
    decode = engine._decoder.decode

    def listening(batch: Sequence[Request], *arguments: Any, **named: Any) -> Iterator[DecodeProgress]:
        asked.extend(batch)
        return decode(batch, *arguments, **named)

    monkeypatch.setattr(engine._decoder, "decode", listening)
    return asked


class FakeDecoder:
    """Ends every request at once with the codes it was given."""

    def __init__(self, values: np.ndarray, ended: bool = True, stopped_because: str | None = None) -> None:
        self.decoded = Decoded(values, ended, stopped_because)

    def decode(self, requests: Sequence[Request], *_: Any) -> Iterator[DecodeProgress]:
        frames = [self.decoded.values.shape[1]] * len(requests)
        yield DecodeProgress(
            frames, dict.fromkeys(range(len(requests)), self.decoded), lambda index: self.decoded.values
        )


# ---- repeatable ----


def test_the_same_seed_gives_the_same_codes_and_sound_twice(engine: LocalEngine):
    (one,), (other,) = spoken(engine, [HELLO]), spoken(engine, [HELLO])
    assert fingerprints(one) == fingerprints(other)
    assert np.array_equal(one.audio.samples, other.audio.samples)


def test_the_same_seed_gives_the_same_codes_alone_and_among_others(engine: LocalEngine):
    together = spoken(engine, [COFFEE, HELLO, saying("One.", "Two."), CLOCK])
    assert fingerprints(together[1]) == fingerprints(spoken(engine, [HELLO])[0])
    assert fingerprints(together[2]) == fingerprints(spoken(engine, [saying("One.", "Two.")])[0])


def test_another_seed_gives_other_codes_and_lines_of_equal_text_differ(engine: LocalEngine, requests: list[Request]):
    (seven,), (eight,) = spoken(engine, [HELLO]), spoken(engine, [HELLO], SEED.with_seed(8))
    assert fingerprints(seven) != fingerprints(eight)
    requests.clear()
    spoken(engine, [saying("Yes.", "Yes.")])
    assert [request.sampling for request in requests] == [SEED.for_line(0), SEED.for_line(1)]


def test_the_seed_of_a_reading_gives_it_again(engine: LocalEngine):
    (reading,) = spoken(engine, [HELLO], Sampling(seed=12_345))
    again = spoken(engine, [HELLO], Sampling(seed=reading.facts()["seed"]))[0]
    assert fingerprints(again) == fingerprints(reading)


def test_two_threads_at_once_are_served_one_after_the_other(engine: LocalEngine):
    alone = {conversation: fingerprints(spoken(engine, [conversation])[0]) for conversation in (HELLO, CLOCK)}
    found: dict[Conversation, list[str]] = {}

    def speak(conversation: Conversation) -> None:
        found[conversation] = fingerprints(spoken(engine, [conversation])[0])

    threads = [threading.Thread(target=speak, args=[conversation]) for conversation in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


# ---- what it says while it works ----


def test_progress_is_told_every_frame_until_all_lines_are_done(engine: LocalEngine):
    conversation = saying("One two three.", "Four.")
    steps, readings = followed(engine, [conversation])
    frames = [step.frames for step in steps]
    takes = [place.take for place in readings[0].placements]
    assert all(0 <= after - before <= len(takes) for before, after in pairwise(frames))
    assert len(steps) >= sum(take.codes.frames for take in takes), (
        "the second line follows the first: every frame is told"
    )
    assert frames[-1] == sum(take.codes.frames for take in takes)
    assert [line.state for line in steps[0].lines] == ["waiting", "waiting"]
    assert [line.state for line in steps[-1].lines] == ["done", "done"]
    assert {line.state for step in steps for line in step.lines} == {"waiting", "speaking", "done"}
    assert steps[-1].expected_frames == steps[-1].frames
    assert steps[-1].seconds_left == 0
    assert [line.lines for line in steps[-1].lines] == [(0,), (1,)]


def test_a_reading_for_each_conversation_in_their_order(engine: LocalEngine):
    readings = spoken(engine, [HELLO, COFFEE, CLOCK])
    assert [reading.conversation for reading in readings] == [HELLO, COFFEE, CLOCK]


def test_a_conversation_that_cannot_be_spoken_is_refused_before_anything_is_generated(
    engine: LocalEngine, requests: list[Request]
):
    for bad in (saying(), saying("…"), saying("Hi.", voice=Voice(reference=Reference("gone.wav", "Words.")))):
        with pytest.raises(BadConversation):
            next(engine.speak(SpeechRequest((HELLO, bad), SEED)))
    assert requests == []


def test_a_line_longer_than_the_model_reads_is_refused_with_counts(engine: LocalEngine, requests: list[Request]):
    with pytest.raises(BadConversation, match=r"The prompt needs [\d,]+ tokens .* this model reads 4,096"):
        next(engine.speak(SpeechRequest((saying("word " * 1_500),), SEED)))
    assert requests == []


def test_a_later_line_that_is_too_long_is_refused_before_the_first_is_spoken(
    engine: LocalEngine, requests: list[Request]
):
    """The second line waits for the voice of the first, and would lose it."""
    with pytest.raises(BadConversation, match=r"Line 2: The prompt needs [\d,]+ tokens"):
        next(engine.speak(SpeechRequest((saying("Hello there.", "word " * 1_500),), SEED)))
    assert requests == []


# ---- stopping ----


def stop_after(frames: int) -> Callable[[], bool]:
    asked = iter(range(1_000_000))
    return lambda: next(asked) >= frames


def test_stopping_ends_within_a_frame_and_keeps_what_was_spoken(engine: LocalEngine):
    (whole,) = spoken(engine, [COFFEE])
    steps, readings = followed(engine, [COFFEE], cancelled=stop_after(20))
    take = readings[0].placements[0].take
    assert len(steps) in (20, 21)
    assert take.stop == Stop.STOPPED
    assert 10 <= take.codes.frames <= 20
    assert np.array_equal(take.codes.values, whole.placements[0].take.codes.values[:, : take.codes.frames])
    assert readings[0].audio.length == take.codes.frames * HOP
    assert [line.state for line in steps[-1].lines] == ["flagged"]


def test_stopping_keeps_lines_that_were_done_and_begins_no_others(engine: LocalEngine):
    long = saying("Hi.", "This is the second line, and it takes a good deal longer to say than the first one did.")
    first_frames = spoken(engine, [saying("Hi.")])[0].placements[0].take.codes.frames
    readings = spoken(engine, [long], cancelled=stop_after(first_frames + 30))
    assert [place.lines for place in readings[0].placements] == [(0,), (1,)]
    assert readings[0].stops == (Stop.ENDED, Stop.STOPPED)


def test_stopping_before_the_first_sound_says_so(engine: LocalEngine):
    with pytest.raises(GenerationFailed, match="stopped before there was anything to hear"):
        spoken(engine, [HELLO], cancelled=lambda: True)


def test_stopping_keeps_the_conversations_that_were_heard_when_others_were_not(engine: LocalEngine):
    many = [replace(COFFEE, scene=Scene(f"Room {index}.")) for index in range(engine._decoder.slots + 1)]
    readings = spoken(engine, many, cancelled=stop_after(40))
    assert [reading.conversation for reading in readings] == many[:-1]


def test_closing_the_iterator_leaves_the_engine_free(engine: LocalEngine):
    unfinished = engine.speak(SpeechRequest((COFFEE,), SEED))
    next(unfinished)
    unfinished.close()
    assert not engine._lock.locked()
    assert fingerprints(spoken(engine, [HELLO])[0]) == fingerprints(spoken(engine, [HELLO])[0])


def test_forgetting_a_recording_waits_for_nobody_who_speaks(engine: LocalEngine):
    hum = Reference("hum.wav", "Hm.", Audio(0.3 * np.sin(np.arange(24_000) / 20, dtype=np.float32)[None], 24_000))
    speaking = engine.speak(SpeechRequest((saying("Hello.", voice=Voice(reference=hum)),), SEED))
    before = list(engine._reference_codes)
    next(speaking)
    (heard,) = set(engine._reference_codes) - set(before)
    engine.forget(hum)
    assert heard in engine._reference_codes, "they go on with what they have"
    *_, lines = speaking
    assert isinstance(lines, tuple)
    assert heard not in engine._reference_codes
    assert engine._decoder._prefixes.bytes == 0


# ---- bounds ----


def test_the_frame_budget_ends_a_take_and_says_so(engine: LocalEngine):
    steps, readings = followed(engine, [COFFEE], Sampling(seed=7, max_seconds=0.4))
    take = readings[0].placements[0].take
    assert (take.codes.frames, take.stop) == (10, Stop.BUDGET)
    assert [line.state for line in steps[-1].lines] == ["flagged"]


def test_the_budget_grows_with_the_text_and_with_digits(engine: LocalEngine):
    short, long, digits, wide = (engine.frame_budget(text, SEED) for text in ("Hi.", "Hi." * 20, "123", "你好吗"))
    assert 25 < short < digits < long
    assert wide > short
    assert engine.frame_budget("Hi.", Sampling(max_seconds=2.0)) == 50
    assert engine.frame_budget("Hi.", Sampling(max_seconds=0.01)) == 1


def test_a_take_that_falls_silent_is_cut_and_flagged(
    engine: LocalEngine, voices: VoiceLibrary, monkeypatch: pytest.MonkeyPatch
):
    voice = voices.find("bundled:bruno").reference.audio  # 78 frames
    values = engine.codec.encode(joined([voice, silence(3.0, 24_000)])).values[:, :140]
    monkeypatch.setattr(engine, "_decoder", FakeDecoder(values, ended=False, stopped_because=Stop.SILENCE))
    (reading,) = spoken(engine, [HELLO])
    assert reading.stops == (Stop.SILENCE,)
    assert 70 <= reading.placements[0].take.codes.frames <= 90


def test_a_take_without_a_frame_is_tried_once_more_and_then_refused(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "_decoder", FakeDecoder(np.zeros((8, 0), np.int64)))
    with pytest.raises(GenerationFailed, match="The model ended every line before it said anything"):
        spoken(engine, [HELLO])


def test_sound_that_is_not_finite_is_not_published(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "_decoder", FakeDecoder(np.zeros((8, 5), np.int64)))
    monkeypatch.setattr(engine.codec, "decode", lambda codes: Audio(np.full((1, codes.frames * HOP), np.nan), 24_000))
    with pytest.raises(GenerationFailed, match="The codec gave invalid samples"):
        spoken(engine, [HELLO])


# ---- voices ----


def row_codes(rows: Any, frames: int) -> np.ndarray:
    """The codes that delayed rows stand for. Shape: [R, 8] to [8, frames]."""
    return np.stack([rows[index + 1 : index + 1 + frames, index].numpy() for index in range(8)])


def test_a_speaker_without_a_reference_keeps_the_voice_of_their_first_line(
    engine: LocalEngine, requests: list[Request]
):
    conversation = Conversation(
        (Line(0, "Good morning."), Line(1, "Hello."), Line(0, "How are you?")),
        (Speaker("Ada", Voice("feminine")), Speaker("Ben", Voice())),
    )
    (reading,) = spoken(engine, [conversation])
    first = reading.placements[0].take.codes
    by_line = {request.sampling: request.prompt for request in requests}
    assert [len(by_line[SEED.for_line(index)].audio_rows) for index in (0, 1)] == [0, 0]
    rows = by_line[SEED.for_line(2)].audio_rows
    assert len(rows) == first.frames + 9
    assert np.array_equal(row_codes(rows, first.frames), first.values)
    assert reading.placements[2].take.prompt_tokens == by_line[SEED.for_line(2)].length


def test_a_reference_is_in_every_prompt_of_its_speaker_and_encoded_once(
    engine: LocalEngine, requests: list[Request], monkeypatch: pytest.MonkeyPatch
):
    encoded: list[Audio] = []
    encode = engine.codec.encode
    monkeypatch.setattr(engine.codec, "encode", lambda audio: encoded.append(audio) or encode(audio))
    hum = Audio(0.2 * np.sin(np.arange(24_000) * 0.05), 24_000)
    for _ in range(2):
        copy = Audio(hum.samples.copy(), 24_000)
        spoken(engine, [saying("One.", "Two.", voice=Voice(reference=Reference("hum.wav", "Hm.", copy)))])
    assert len(encoded) == 1
    codes = encode(hum)
    assert len(requests) == 4
    assert all(np.array_equal(row_codes(request.prompt.audio_rows, codes.frames), codes.values) for request in requests)


def test_the_same_samples_at_another_rate_are_another_reference(engine: LocalEngine):
    samples = 0.2 * np.sin(np.arange(24_000) * 0.05)
    fast, slow = (engine.codes_of(Reference("x.wav", "", Audio(samples, rate))) for rate in (24_000, 12_000))
    assert (fast.frames, slow.frames) == (25, 50)


def test_of_many_references_the_codes_of_the_latest_are_kept(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch):
    encoded: list[Audio] = []
    known = Codes(np.zeros((8, 1), np.int64), 25.0, 1024)
    monkeypatch.setattr(engine.codec, "encode", lambda audio: encoded.append(audio) or known)
    monkeypatch.setattr(engine, "_reference_codes", OrderedDict())
    monkeypatch.setattr(local, "CACHED_REFERENCES", 2)
    one, two, three = (Reference("x.wav", "Hum.", silence(seconds, 24_000)) for seconds in (0.1, 0.2, 0.3))
    for reference in (one, two, one, three, one, two):
        engine.codes_of(reference)
    seconds = [round(audio.duration_seconds, 1) for audio in encoded]
    assert seconds == [0.1, 0.2, 0.3, 0.2], "what was not used for longest went first"
    assert len(engine._reference_codes) == 2


def test_codes_that_are_known_are_not_encoded(engine: LocalEngine):
    codes = Codes(np.zeros((8, 5)), 25.0, 1024)
    assert engine.codes_of(Reference("first line", "Hi.", codes=codes)) is codes


# ---- ways, times, sound ----


def test_in_one_breath_a_conversation_is_one_take(engine: LocalEngine, requests: list[Request]):
    conversation = Conversation(
        (Line(0, "Did you see it?"), Line(1, "No.")),
        (Speaker("Ada", Voice("feminine")), Speaker("Ben", Voice("masculine"))),
    )
    (reading,) = spoken(engine, [conversation], way="breath")
    assert [place.lines for place in reading.placements] == [(0, 1)]
    assert len(requests) == 1
    assert reading.facts()["takes"][0]["speakers"] == ["Ada", "Ben"]


def test_times_are_exact_to_a_frame_and_the_sound_is_the_codes_decoded(engine: LocalEngine, voices: VoiceLibrary):
    alma, bruno = (Voice(reference=voices.find(f"bundled:{key}").reference) for key in ("alma", "bruno"))
    cast = (Speaker("Alma", alma), Speaker("Bruno", bruno))
    conversation = Conversation((Line(0, "Good morning."), Line(1, "Come in."), Line(0, "Thank you.")), cast)
    (reading,) = spoken(engine, [conversation])
    samples = reading.audio.samples[0]
    assert [place.lines for place in reading.placements] == [(0,), (1,), (2,)]
    end = 0
    for place in reading.placements:
        start, stop = (round(seconds * 24_000) for seconds in (place.start_seconds, place.stop_seconds))
        assert start == place.start_frame * HOP
        assert not samples[end:start].any()
        # The engine decodes on one core: on several the sums are taken in another order.
        assert np.allclose(samples[start:stop], engine.codec.decode(place.take.codes).samples[0], rtol=0, atol=1e-6)
        end = stop
    assert end == len(samples)
    assert reading.audio.rms_dbfs > -50


def test_a_take_knows_how_it_was_made(engine: LocalEngine):
    (reading,) = spoken(engine, [HELLO])
    take = reading.placements[0].take
    assert take.checkpoint == "higgs-audio-v2-mini"
    assert take.sampling == SEED.for_line(0)
    assert reading.sampling == SEED
    assert take.codes.codebooks == 8
    assert reading.compute_seconds > 0


def test_loading_for_a_device_that_is_not_there_fails_before_anything_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("studio.engine.local.locate", lambda *_: pytest.fail("the weights were looked for"))
    from studio.checkpoints import CHECKPOINTS

    with pytest.raises(BadSetting, match="There is no device “tpu”"):
        LocalEngine.load(CHECKPOINTS["mini"], device="tpu")
