"""The lab's work on codecs, here and by a double on a GPU that gets and gives nothing but keys, sound and codes."""

import importlib
import inspect
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from studio.audio import Audio, read_wav
from studio.codecs.classic import Opus
from studio.codes import Codes
from studio.errors import StudioError
from studio.lab_codecs import LabCodecs, classic_families, lab_gpu_seconds
from studio.ui.offers import CodecFamily, Offer

if TYPE_CHECKING:
    from studio.engine.local import LocalEngine

ROOT = Path(__file__).parent.parent


class FakeCodec:
    """4 codebooks of 16 at 100 frames/s; stays where it is."""

    name, sample_rate, frame_rate, codebooks, codebook_size = "Fake", 8_000, 100.0, 4, 16

    def __init__(self) -> None:
        self.left_out: list[tuple[int, ...]] = []

    def __reduce__(self) -> Any:
        raise AssertionError("a codec was sent to another process")

    def encode(self, audio: Audio) -> Codes:
        frames = round(audio.duration_seconds * 100)
        return Codes(np.arange(4 * frames).reshape(4, frames) % 16, 100.0, 16)

    def decode(self, codes: Codes, without: tuple[int, ...] = ()) -> Audio:
        self.left_out.append(without)
        return Audio(np.full((1, codes.frames * 80), codes.codebooks / 8), 8_000)


def through_pickle(work: Callable[..., Any]) -> Callable[..., Any]:
    """What `spaces.GPU` does to arguments and results: both travel between processes."""

    def there_and_back(value: Any) -> Any:
        return pickle.loads(pickle.dumps(value))

    def generator_double(*arguments: Any) -> Iterator[Any]:
        for item in work(*there_and_back(arguments)):
            yield there_and_back(item)

    def double(*arguments: Any) -> Any:
        return there_and_back(work(*there_and_back(arguments)))

    return generator_double if inspect.isgeneratorfunction(work) else double


@pytest.fixture
def fake() -> FakeCodec:
    return FakeCodec()


@pytest.fixture(params=[lambda work: work, through_pickle], ids=["here", "by a double"])
def codecs(request: pytest.FixtureRequest, fake: FakeCodec) -> LabCodecs:
    fakes = CodecFamily("fake", "Fake", "", tuple(Offer(f"fake-{n}", "", lambda: fake, n) for n in (2, 4)), neural=True)
    return LabCodecs([fakes, *classic_families()], request.param)


TONE = Audio(0.3 * np.sin(np.arange(8_000) / 10), 8_000)


def test_a_clip_runs_through_settings_in_the_families_order(codecs: LabCodecs) -> None:
    outcomes = [*codecs.run(TONE, ["opus-6", "fake-4", "fake-2"])]
    assert [getattr(one.encoded, "codebooks", None) for one in outcomes] == [2, 4, None]
    assert outcomes[2].encoded.bits == Opus(6).encode(TONE).bits
    assert [one.audio.duration_seconds for one in outcomes] == [1, 1, 1]
    assert all(one.encode_ms > 0 and one.decode_ms > 0 for one in outcomes)


def test_codes_go_out_and_come_back(codecs: LabCodecs, fake: FakeCodec) -> None:
    codes = codecs.encode(TONE, "fake-2")
    assert codes.values.shape == (2, 100)
    assert codecs.decode(codes).peak == 0.25
    codecs.decode(codes, without=[1])
    assert fake.left_out == [(), (1,)]


def test_what_no_codec_decodes_is_said(codecs: LabCodecs) -> None:
    with pytest.raises(StudioError, match="No codec here decodes 1 × 7 codes at 3 frames/s"):
        codecs.decode(Codes(np.zeros((1, 5)), 3.0, 7))
    with pytest.raises(StudioError, match="no codec setting “mp4”"):
        next(codecs.run(TONE, ["mp4"]))


def test_a_codec_is_loaded_before_a_double_is_asked(fake: FakeCodec) -> None:
    loaded: list[str] = []

    def load() -> FakeCodec:
        loaded.append("loaded")
        return fake

    def on_gpu(work: Callable[..., Any]) -> Callable[..., Any]:
        def double(*arguments: Any) -> Any:
            assert loaded, "it would be loaded in a process that ends, and again for the next"
            return work(*arguments)

        return double

    family = CodecFamily("fake", "Fake", "", (Offer("fake", "", load),), neural=True)
    codecs = LabCodecs([family], on_gpu)
    codes = codecs.encode(TONE, "fake")
    loaded.clear()
    codecs.decode(codes)
    loaded.clear()
    list(codecs.run(TONE, ["fake"]))


def test_a_gpu_is_asked_for_as_long_as_the_sound_needs() -> None:
    assert lab_gpu_seconds(TONE, "higgs-8") == 10
    assert lab_gpu_seconds(Audio(np.zeros((1, 60 * 8_000)), 8_000)) == 40
    assert lab_gpu_seconds(Codes(np.zeros((1, 100_000)), 25.0, 16), "higgs", ()) == 120


def spaces_stand_in(asked: dict[str, int]) -> ModuleType:
    """A module `spaces` whose GPU takes what it gets and gives through pickle, and notes what it was asked for."""

    def gpu(duration: Callable[..., int]) -> Callable[..., Any]:
        def wrap(work: Callable[..., Any]) -> Callable[..., Any]:
            double = through_pickle(work)

            def generator_noted(*arguments: Any) -> Iterator[Any]:
                asked[work.__name__] = duration(*arguments)
                yield from double(*arguments)

            def noted(*arguments: Any) -> Any:
                asked[work.__name__] = duration(*arguments)
                return double(*arguments)

            return generator_noted if inspect.isgeneratorfunction(work) else noted

        return wrap

    stand_in = ModuleType("spaces")
    stand_in.GPU = gpu  # type: ignore[attr-defined]
    return stand_in


def test_on_zero_gpu_the_labs_work_goes_through_its_decorator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: "LocalEngine"
) -> None:
    asked: dict[str, int] = {}
    monkeypatch.setattr(os, "environ", os.environ.copy() | {"SPACES_ZERO_GPU": "1", "HIGGS_DATA": str(tmp_path)})
    monkeypatch.setattr(type(engine), "load", lambda *_, **__: engine)
    monkeypatch.setattr(engine, "recognise", engine.recognise)  # the app may give it one
    monkeypatch.setitem(sys.modules, "spaces", spaces_stand_in(asked))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    codecs = importlib.import_module("app").studio.codecs
    monkeypatch.delitem(sys.modules, "app")
    clip = read_wav(ROOT / "assets" / "voices" / "alma.flac").between(0, 0.5)
    codes = codecs.encode(clip, "higgs-3")
    assert codecs.decode(codes).duration_seconds >= 0.5
    assert len([*codecs.run(clip, ["higgs-1", "xcodec2", "opus-6"])]) == 3
    assert asked == {"_encode_here": 10, "_decode_here": 10, "_run_here": 10}
