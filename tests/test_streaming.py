"""Sound while it is made: every sample as in the whole, in the order of the script."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

from studio.audio import Audio, joined
from studio.codecs.streaming import CONTEXT_FRAMES, FIRST_FRAMES, PIECE_FRAMES, decode_between, settled_frames
from studio.codes import Codes
from studio.conversation import Conversation, Line, Speaker
from studio.engine.local import LocalEngine
from studio.sampling import Sampling
from studio.speech import Progress, SoundPiece, SpeechRequest, SpokenLines
from studio.voices import Voice, VoiceLibrary

SEED = Sampling(seed=7)
SEAM_DB = -60.0
pytestmark = pytest.mark.usefixtures("one_thread")


def error_db(found: Audio, whole: Audio) -> np.ndarray:
    """Energy of the difference in each millisecond beside that of the whole. Shape: [milliseconds]."""
    assert found.length == whole.length
    difference = np.square(found.samples[0] - whole.samples[0], dtype=np.float64)
    loud = np.square(whole.samples[0], dtype=np.float64).mean()
    parts = difference[: len(difference) // 24 * 24].reshape(-1, 24).mean(axis=1)
    return 10 * np.log10(parts / loud + 1e-20)


def test_sound_in_pieces_is_the_sound_of_the_whole_also_at_the_seams(engine: LocalEngine, voices: VoiceLibrary):
    """Voices one after another, decoded while they grow by 5 frames at a time."""
    values = np.concatenate([engine.codes_of(voice.reference).values for voice in voices.bundled.values()], axis=1)
    codes = Codes(values[:, :237], 25.0, 1024)
    pieces, given = [], 0
    for frames in (*range(5, codes.frames, 5), codes.frames):
        stop = settled_frames(frames, finished=frames == codes.frames)
        if stop - given >= (PIECE_FRAMES if given else FIRST_FRAMES) or frames == codes.frames:
            pieces.append(decode_between(engine.codec, codes.between(0, frames), given, stop))
            given = stop
    assert len(pieces) > 5
    errors = error_db(joined(pieces), engine.codec.decode(codes))
    assert errors.max() < SEAM_DB - 30, "far below what could be heard, everywhere"


def test_less_context_would_be_heard(engine: LocalEngine, voices: VoiceLibrary):
    """That the context is needed: a window cut at its own end is wrong there."""
    codes = engine.codes_of(voices.find("bundled:alma").reference)
    whole = engine.codec.decode(codes)
    early = engine.codec.decode(codes.between(0, 40)).samples[0]
    wrong = error_db(Audio(early, 24_000), Audio(whole.samples[:, : 40 * 960], 24_000))
    assert wrong[: (40 - CONTEXT_FRAMES) * 40].max() < SEAM_DB - 30
    assert wrong[-40:].max() > -20


def test_the_published_decoder_reaches_no_further_than_the_context():
    """Its strides with random weights: how far a frame reaches does not depend on the weights, nor on the width."""
    from transformers import AutoModel, DacConfig

    torch.manual_seed(0)
    strides = [8, 5, 4, 2, 3]
    config = DacConfig(
        upsampling_ratios=strides,
        downsampling_ratios=strides,
        decoder_hidden_size=64,
        encoder_hidden_size=16,
        hidden_size=32,
    )
    decoder = AutoModel.from_config(config).decoder.double().eval()
    frames, changed = 60, 30
    codes = torch.randn(1, 32, frames, dtype=torch.float64)
    other = codes.clone()
    other[:, :, changed] += 1
    with torch.inference_mode():
        difference = (decoder(codes) - decoder(other)).abs()[0, 0].numpy()
    touched = np.flatnonzero(difference) * frames / len(difference)
    assert 8 < changed - touched[0] < CONTEXT_FRAMES
    assert 8 < touched[-1] - changed - 1 < CONTEXT_FRAMES


# ---- the engine ----


@pytest.fixture(scope="module")
def dialogue(voices: VoiceLibrary) -> Conversation:
    alma, bruno = (Voice(reference=voices.find(f"bundled:{key}").reference) for key in ("alma", "bruno"))
    lines = (
        Line(0, "Good morning, come in and sit down beside me."),
        Line(1, "Come in."),
        Line(0, "Is the coffee ready, or shall I make some?"),
    )
    return Conversation(lines, (Speaker("Alma", alma), Speaker("Bruno", bruno)))


def streamed(
    engine: LocalEngine, conversation: Conversation, **how: Any
) -> tuple[list[Progress], tuple[SpokenLines, ...]]:
    *steps, spoken = engine.speak(SpeechRequest((conversation,), SEED, stream=True, **how))
    assert isinstance(spoken, tuple)
    return [step for step in steps if isinstance(step, Progress)], spoken


def pieces_of(steps: list[Progress]) -> list[SoundPiece]:
    return [piece for step in steps for piece in step.sound]


def test_the_stream_is_the_sound_of_the_takes_in_the_order_of_the_script(engine: LocalEngine, dialogue: Conversation):
    steps, spoken = streamed(engine, dialogue)
    pieces = pieces_of(steps)
    assert [piece.lines for piece in pieces] == sorted(piece.lines for piece in pieces)
    for part in spoken:
        own = [piece for piece in pieces if piece.lines == part.lines]
        starts = np.cumsum([0, *(piece.audio.length for piece in own)])
        assert [piece.start_frame * 960 for piece in own] == starts[:-1].tolist()
        assert error_db(joined([piece.audio for piece in own]), part.take.audio).max() < SEAM_DB - 30


def test_the_first_sound_comes_long_before_the_line_is_done(engine: LocalEngine, dialogue: Conversation):
    made = []
    decode = engine._beside.run
    with pytest.MonkeyPatch.context() as patch:

        def at_once(work: Any, *arguments: Any) -> Any:
            future = decode(work, *arguments)
            future.result()
            return future

        patch.setattr(engine._beside, "run", at_once)
        steps, spoken = streamed(engine, dialogue)
    for step in steps:
        made += [(step.lines[0].frames, piece) for piece in step.sound]
    frames, first = made[0]
    assert frames == FIRST_FRAMES + CONTEXT_FRAMES
    assert first.audio.length == FIRST_FRAMES * 960
    assert sum(piece.lines == (0,) for _, piece in made) > 2
    assert spoken[0].take.codes.frames > 2 * frames


def test_streaming_changes_no_code_and_is_not_done_unasked(engine: LocalEngine, dialogue: Conversation):
    _, spoken = streamed(engine, dialogue)
    *steps, silent = engine.speak(SpeechRequest((dialogue,), SEED))
    assert isinstance(silent, tuple)
    assert [part.take.codes.fingerprint for part in spoken] == [part.take.codes.fingerprint for part in silent]
    assert not any(step.sound for step in steps if isinstance(step, Progress))


def test_of_several_takes_the_best_is_streamed(engine: LocalEngine, dialogue: Conversation):
    steps, spoken = streamed(engine, dialogue, takes=2)
    pieces = pieces_of(steps)
    assert [piece.lines for piece in pieces] == [(0,), (1,), (2,)]
    for piece, part in zip(pieces, spoken, strict=True):
        assert np.array_equal(piece.audio.samples, part.take.audio.samples)


def test_what_is_stopped_is_streamed_to_its_end(engine: LocalEngine, dialogue: Conversation):
    asked = iter(range(10_000))
    request = SpeechRequest((dialogue,), SEED, stream=True)
    *steps, spoken = engine.speak(request, lambda: next(asked) > 45)
    assert isinstance(spoken, tuple)
    pieces = pieces_of([step for step in steps if isinstance(step, Progress)])
    assert sum(piece.audio.length for piece in pieces) == sum(part.take.audio.length for part in spoken)


def test_who_leaves_leaves_no_pieces_to_be_made(engine: LocalEngine, dialogue: Conversation, monkeypatch):
    made: list[Any] = []
    monkeypatch.setattr("studio.engine.live_sound.decode_between", lambda *given: made.append(given))
    gate = threading.Event()
    engine._beside.run(gate.wait)
    speaking = engine.speak(SpeechRequest((dialogue,), SEED, stream=True))
    while engine._beside._pool._work_queue.empty():
        next(speaking)
    speaking.close()
    gate.set()
    engine._beside.run(int).result()
    assert made == []
