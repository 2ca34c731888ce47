"""A comparison runs each codec once, tells each result as it comes, and puts true units over its columns."""

import csv
import io
import time
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Audio, read_wav, silence
from studio.codecs.classic import Mp3, Opus, Pcm16
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.lab.compare import (
    MOST_AT_ONCE,
    Setting,
    as_csv,
    as_table,
    bandwidths,
    compare,
    ladder,
    measured,
    same_bitrate,
)
from studio.lab.metrics import MEASURES, Reference

ASSETS = Path(__file__).parent.parent / "assets"
QUICKEST = ("si_sdr", "si_sdr_16k")


class FakeCodec:
    """Quantises to whole frames of 10 ms, 4 codebooks of 16; counts what it is asked to do."""

    name = "Fake"
    sample_rate = 8_000
    frame_rate = 100.0
    codebooks = 4
    codebook_size = 16
    bandwidths_kbps = (0.4, 1.6)

    def __init__(self, seconds_each: float = 0.0) -> None:
        self.encodes: list[int] = []
        self.decodes: list[int] = []
        self.seconds_each = seconds_each

    def encode(self, audio: Audio) -> Codes:
        time.sleep(self.seconds_each)
        self.encodes.append(audio.channels)
        frames = max(1, round(audio.duration_seconds * 100))
        return Codes(np.arange(4 * frames).reshape(4, frames) % 16, 100.0, 16)

    def decode(self, codes: Codes) -> Audio:
        time.sleep(self.seconds_each)
        self.decodes.append(codes.codebooks)
        samples = np.sin(np.arange(codes.frames * 80 + 7)) / codes.codebooks
        return Audio(samples, 8_000)


class FakeOneBook(FakeCodec):
    name = "Fake, one codebook"
    codebooks = 1
    codebook_size = 65_536
    frame_rate = 80.0  # 1.28 kbit/s


@pytest.fixture(scope="module")
def clip() -> Audio:
    return read_wav(ASSETS / "voices" / "clara.flac").between(0, 1)


def test_one_encode_serves_every_rung(clip: Audio) -> None:
    codec = FakeCodec()
    settings = [*ladder(codec), Setting(codec), *bandwidths(codec)]
    results = list(compare({"a": clip, "b": clip}, settings, ()))
    assert len(results) == 2 * len(settings) == 14
    assert len(codec.encodes) == 2, "a clip was encoded twice"
    assert sorted(codec.decodes) == [1, 1, 2, 2, 3, 3, 4, 4], "a rung was decoded twice"
    assert [result.codes.codebooks for result in results[:7]] == [1, 2, 3, 4, 4, 1, 4]
    assert [result.encoded.bitrate_kbps for result in results[:4]] == pytest.approx([0.4, 0.8, 1.2, 1.6])


def test_results_come_as_they_finish_and_stop_when_unwanted(clip: Audio) -> None:
    first, second = FakeCodec(), FakeCodec()
    results = compare({"a": clip}, [Setting(first), Setting(second)], ())
    next(results)
    assert (len(first.encodes), len(second.encodes)) == (1, 0)
    results.close()
    assert second.encodes == []


def test_only_some_versions_are_resampled_ahead(clip: Audio) -> None:
    resampled: list[int] = []

    class Watched(Reference):
        def parts(self, decoded: Audio, keys: tuple[str, ...]) -> list:
            resampled.append(1)
            return super().parts(decoded, keys)

    results = list(compare({"a": clip}, ladder(FakeCodec()) * 3, ()))
    scored = measured(Watched(clip), results, QUICKEST)
    for count in range(1, len(results) + 1):
        assert set(next(scored).scores) == set(QUICKEST)
        assert len(resampled) <= count + MOST_AT_ONCE - 1
    assert next(scored, None) is None


def test_every_version_is_as_long_as_its_clip(clip: Audio) -> None:
    ragged = Audio(clip.samples[:, :10_001], clip.sample_rate)
    for result in compare({"a": ragged}, [Setting(FakeCodec()), Setting(Opus(12)), Setting(Mp3(64))], ()):
        assert result.audio.length == round(10_001 / 24_000 * result.audio.sample_rate)


def test_times_are_those_of_the_codec(clip: Audio) -> None:
    [result] = compare({"a": clip}, [Setting(FakeCodec(seconds_each=0.05))], ())
    assert 50 <= result.encode_ms < 250
    assert 50 <= result.decode_ms < 250
    assert result.rtf == pytest.approx((result.encode_ms + result.decode_ms) / 1000)


def test_stereo_reaches_the_codec_as_mono(clip: Audio) -> None:
    codec = FakeCodec()
    stereo = Audio(np.concatenate([clip.samples, -clip.samples]), clip.sample_rate)
    list(compare({"a": stereo}, [Setting(codec)], ()))
    assert codec.encodes == [1]


def test_higgs_beside_yardsticks(clip: Audio) -> None:
    higgs = HiggsCodec.load(ASSETS / "mini" / "higgs-audio-v2-tokenizer-mini")
    settings = [*bandwidths(higgs), Setting(Opus()), Setting(Pcm16(16_000))]
    table = as_table(compare({"clara": clip}, settings, QUICKEST))
    assert table["bitrate (kbit/s)"].tolist()[:4] == [0.5, 1.0, 1.5, 2.0]
    assert table["codebooks"].tolist()[:4] == [2, 4, 6, 8]
    assert table["bitrate (kbit/s)"].tolist()[5] == 256
    assert table["codec"].tolist()[4:] == ["Opus 6 kbit/s", "16-bit PCM at 16 kHz"]
    assert (table["entropy (kbit/s)"][:4] <= table["bitrate (kbit/s)"][:4]).all()
    assert table["entropy (kbit/s)"][4:].isna().all()
    assert table["sample rate (Hz)"].tolist() == [24_000] * 5 + [16_000]
    assert table["SI-SDR at 16 kHz (dB)"].tolist()[5] > 30
    assert table["encode (ms)"].nunique() == 3, "settings that share an encode share its time"


def test_same_bitrate_takes_the_nearest_rung() -> None:
    first, second, opus = FakeCodec(), FakeOneBook(), Opus()
    settings = same_bitrate(first, second, opus)
    assert [(setting.codec, setting.codebooks) for setting in settings] == [(first, 3), (second, None), (opus, None)]
    assert settings[0].label == "Fake, 3 codebooks"


def test_higgs_at_the_bitrate_of_xcodec2_has_three_codebooks() -> None:
    class Higgs(FakeCodec):
        codebooks, codebook_size, frame_rate = 8, 1024, 25.0

    class XCodec2(FakeOneBook):
        frame_rate = 50.0

    assert same_bitrate(Higgs(), XCodec2())[0].codebooks == 3


def test_the_table_says_why_a_value_is_missing() -> None:
    results = list(compare({"nothing": silence(1, 24_000)}, [Setting(Pcm16(16_000))]))
    table = as_table(results)
    assert table["SI-SDR (dB)"].isna().all()
    assert table["Predicted MOS"].dtype == float, "a column without values still sorts as numbers"
    assert "PESQ-WB n/a: the reference is silent" in table["notes"][0]
    assert {measure.column for measure in MEASURES.values()} < set(table.columns)
    [row] = csv.DictReader(io.StringIO(as_csv(results)))
    assert row["SI-SDR (dB)"] == "n/a"
    assert row["bitrate (kbit/s)"] == "256.0"


def test_an_empty_comparison_has_a_table() -> None:
    assert as_table([]).columns.tolist()[0] == "clip"
    assert as_csv([]).startswith('"clip"')


def test_a_name_is_no_formula(clip: Audio) -> None:
    results = list(compare({'=HYPERLINK("x")': clip}, [Setting(FakeCodec())], ()))
    [row] = csv.DictReader(io.StringIO(as_csv(results)))
    assert row["clip"] == '\'=HYPERLINK("x")'
