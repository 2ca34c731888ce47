"""Sound while it is made: every sample as in the whole, in the order of the script."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

from studio.audio import Audio, joined
from studio.codecs.streaming import (
    PIECE_FRAMES,
    SLOW_FIRST_FRAMES,
    Reach,
    decode_between,
    first_piece_frames,
    next_piece_frames,
    reach_of,
)
from studio.codes import Codes
from studio.conversation import Conversation, Line, Speaker
from studio.engine import live_sound
from studio.engine.codec_windows import CodecWindows
from studio.engine.local import LocalEngine
from studio.sampling import Sampling
from studio.speech import Progress, SoundPiece, SpeechRequest, SpokenLines
from studio.voice_library import VoiceLibrary
from studio.voices import Voice

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


@pytest.fixture(scope="module")
def reach(engine: LocalEngine) -> Reach:
    return reach_of(engine.codec)


@pytest.fixture(scope="module")
def said(engine: LocalEngine, voices: VoiceLibrary) -> Codes:
    """Voices one after another."""
    values = [engine.codes_of(voice.reference).values for voice in voices.bundled.values()]
    return Codes(np.concatenate(values, axis=1)[:, :237], engine.codec.frame_rate, engine.codec.codebook_size)


@pytest.fixture(scope="module")
def lengths_recorded() -> list[int]:
    return []


@pytest.fixture(scope="module")
def windows(engine: LocalEngine, reach, lengths_recorded: list[int]) -> CodecWindows:
    """As on a GPU, where passes are recorded for a few lengths; here each runs as it is."""

    def run_as_it_is(run, example):
        lengths_recorded.append(example.shape[-1])

        def replay(given):
            assert given.shape == example.shape
            return run(given)

        return replay

    return CodecWindows(engine.codec, reach, run_as_it_is)


@pytest.mark.parametrize("first", [1, 2, 7])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_sound_in_pieces_is_the_sound_of_the_whole_also_at_the_seams(
    engine: LocalEngine, reach, said, windows, first, on_gpu
):
    """Codes that grow by a frame at a time; the first piece as early as it may be, the others exact."""
    pieces, given, least = [], 0, first
    for frames in range(1, said.frames + 1):
        finished = frames == said.frames
        stop = frames if finished else frames - (reach.exact_frames if given else reach.heard_frames)
        if stop - given >= least or finished:
            decode = windows.decode if on_gpu and not finished else engine.codec.decode  # the end is never a window's
            pieces.append(decode_between(decode, said.between(0, frames), given, stop, reach.exact_frames))
            given, least = stop, next_piece_frames(stop - given)
    assert len(pieces) > 5
    errors = error_db(joined(pieces), engine.codec.decode(said))
    hop = pieces[0].length // first
    assert errors.max() < SEAM_DB
    assert errors[-(-first * hop // 24) :].max() < SEAM_DB - 30, "after the first piece far below what could be heard"


def test_a_gpu_records_few_windows_and_does_without_where_it_cannot(
    engine: LocalEngine, reach, said, windows, lengths_recorded, caplog
):
    assert windows.lengths == tuple(lengths_recorded)
    assert lengths_recorded[-1] >= PIECE_FRAMES + 2 * reach.exact_frames
    assert len(lengths_recorded) <= 8
    assert not CodecWindows(engine.codec, reach).lengths, "a CPU records nothing"

    def refuse(_run, _example):
        raise RuntimeError("operation not permitted when stream is capturing")

    without = CodecWindows(engine.codec, reach, refuse)
    assert not without.lengths
    assert caplog.text.count("kernel by kernel") == 1
    part = said.between(0, 20)
    assert np.array_equal(without.decode(part).samples, engine.codec.decode(part).samples)
    assert np.array_equal(
        windows.decode(part.first_codebooks(2)).samples, engine.codec.decode(part.first_codebooks(2)).samples
    )


def test_a_gpus_first_report_has_the_frames_of_the_first_sound(engine: LocalEngine):
    assert engine._decoder.first_frames > engine._reach.heard_frames


def test_sound_would_be_wrong_if_it_were_given_a_frame_earlier(engine: LocalEngine, reach, said):
    """What is measured of a codec is what its sound needs, wherever a piece ends: no more and no less."""
    whole = engine.codec.decode(said)
    hop = whole.length // said.frames
    worst = np.full(reach.exact_frames + 1, -np.inf)
    for cut in range(40, said.frames - 1, 13):
        early = engine.codec.decode(said.between(0, cut))
        wrong = error_db(early, Audio(whole.samples[:, : early.length], whole.sample_rate))
        frames = wrong.reshape(-1, hop // 24).max(axis=1)[::-1]
        worst = np.maximum(worst, frames[: len(worst)])
    assert worst[reach.exact_frames :].max() < SEAM_DB - 30
    assert worst[reach.heard_frames :].max() < SEAM_DB
    # measured with codes by chance; of the model's own speech a frame less would err by up to -57 dB
    assert worst[reach.heard_frames - 1] > SEAM_DB - 8
    assert worst[0] > -20


@pytest.mark.parametrize(("strides", "expected"), [([8, 5, 4, 2, 3], 10), ([8, 4, 2], 11)])
def test_how_far_a_decoder_looks_is_found_from_its_layers(strides, expected):
    """The published strides with random weights, and others: it does not depend on weights or width."""
    from transformers import AutoModel, DacConfig

    torch.manual_seed(0)
    config = DacConfig(
        upsampling_ratios=strides, downsampling_ratios=strides, decoder_hidden_size=64, encoder_hidden_size=16,
        hidden_size=32,
    )  # fmt: skip
    decoder = AutoModel.from_config(config).decoder.double().eval()
    hop = int(np.prod(strides))

    class Decoding:
        """Just enough of a codec."""

        codebooks, codebook_size, frame_rate = 32, 16, 25.0

        @torch.inference_mode()
        def decode(self, codes: Codes) -> Audio:
            samples = decoder(torch.from_numpy(codes.values / 8.0 - 1)[None])[0].numpy()
            missing = codes.frames * hop - samples.shape[1]  # plain DAC gives a few samples less
            return Audio(np.pad(samples, ((0, 0), (0, missing))).astype(np.float32), 24_000)

        @torch.inference_mode()
        def samples_touched_by(self, frame: int, frames: int) -> np.ndarray:
            codes = torch.zeros(1, 32, frames, dtype=torch.float64)
            codes[..., frame] = torch.nan
            touched = decoder(codes)[0, 0].isnan().numpy()
            return np.pad(touched, (0, frames * hop - len(touched)))

    found = reach_of(Decoding())  # type: ignore[arg-type]
    assert found.exact_frames == expected
    codes = torch.randn(1, 32, 60, dtype=torch.float64)
    other = codes.clone()
    other[:, :, 30] += 1
    with torch.inference_mode():
        difference = (decoder(codes) - decoder(other)).abs()[0, 0].numpy()
    touched = np.flatnonzero(difference) * 60 / len(difference)
    assert expected - 2 < 30 - touched[0] <= expected
    assert expected - 2 < touched[-1] - 31 <= expected
    assert 1 <= found.heard_frames <= expected


@pytest.mark.parametrize("frame_seconds", [0.0005, 0.002, 0.005])
@pytest.mark.parametrize("window_seconds", [0.005, 0.03, 0.08])
def test_playing_never_waits_for_the_next_piece(frame_seconds, window_seconds):
    """A listener who begins with the first piece, and frames and pieces that take their time."""
    reach, rate = Reach(exact_frames=10, heard_frames=9, window_seconds=window_seconds), 25.0
    least = first_piece_frames(reach, frame_seconds, rate)
    given = least
    codec_free = frame_seconds * (given + reach.heard_frames) + window_seconds
    began = codec_free
    for _ in range(20):
        heard_until = began + given / rate
        least = next_piece_frames(least)
        given += least
        made = frame_seconds * (given + reach.exact_frames)
        # A window takes longer the longer it is: at most in proportion to its frames.
        codec_free = max(codec_free, made) + window_seconds * (least + 2 * reach.exact_frames) / 30
        assert codec_free < heard_until


def test_a_slower_machine_begins_with_a_longer_piece():
    reach = Reach(exact_frames=10, heard_frames=9, window_seconds=0.02)
    lengths = [first_piece_frames(reach, seconds, 25.0) for seconds in (0.0, 0.003, 0.006, 0.009)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 1
    assert lengths[-1] > 4
    assert first_piece_frames(reach, 0.04, 25.0) == SLOW_FIRST_FRAMES
    assert next_piece_frames(PIECE_FRAMES - 1) == PIECE_FRAMES


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
        hop = part.take.audio.length // part.take.codes.frames
        starts = np.cumsum([0, *(piece.audio.length for piece in own)])
        assert [piece.start_frame * hop for piece in own] == starts[:-1].tolist()
        assert error_db(joined([piece.audio for piece in own]), part.take.audio).max() < SEAM_DB


def test_the_first_sound_comes_long_before_the_line_is_done(engine: LocalEngine, dialogue: Conversation):
    made = []
    reach = Reach(engine._reach.exact_frames, engine._reach.heard_frames, window_seconds=0.0)
    decode = engine._beside.run
    with pytest.MonkeyPatch.context() as patch:

        def at_once(work: Any, *arguments: Any) -> Any:
            future = decode(work, *arguments)
            future.result()
            return future

        patch.setattr(engine._beside, "run", at_once)
        patch.setattr(engine, "_reach", reach)
        patch.setattr(live_sound, "first_piece_frames", lambda *given: 2)
        steps, spoken = streamed(engine, dialogue)
    for step in steps:
        made += [(step.lines[0].frames, piece) for piece in step.sound]
    frames, first = made[0]
    assert frames == 2 + reach.heard_frames
    assert first.audio.duration_seconds * 25 == 2
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
