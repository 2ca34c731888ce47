"""Codecs do what the transformers models called by hand do, and yardsticks spend the bits they were told to."""

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from transformers import HiggsAudioV2TokenizerModel, Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model

from studio.audio import Audio, joined, read_wav, silence
from studio.codecs.classic import Mp3, Opus, Packets, Pcm16
from studio.codecs.higgs import HiggsCodec
from studio.codecs.xcodec2 import XCodec2
from studio.errors import BadSetting

ASSETS = Path(__file__).parent.parent / "assets"
HIGGS_MINI = ASSETS / "mini" / "higgs-audio-v2-tokenizer-mini"
XCODEC2_MINI = ASSETS / "mini" / "xcodec2-mini"
TINY = Xcodec2Config(
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=32,
    encoder_hidden_size=4,
    quantization_dim=96,
    semantic_model_config={
        "model_type": "wav2vec2-bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
)


def random_xcodec2() -> XCodec2:
    """A tiny model whose weights are drawn so wide that codes vary."""
    generator = torch.Generator().manual_seed(1)
    model = Xcodec2Model(TINY)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, weights[0].numel() ** -0.5, generator=generator)
        model.quantizer.project_in.weight.mul_(20)
        model.acoustic_decoder.head.linear.bias[: model.config.n_fft // 2 + 1] = -6.0  # a spectrum that is not too loud
    return XCodec2(model, Xcodec2FeatureExtractor())


@pytest.fixture(scope="module")
def higgs() -> HiggsCodec:
    return HiggsCodec.load(HIGGS_MINI)


@pytest.fixture(scope="module")
def xcodec2() -> XCodec2:
    return random_xcodec2()


@pytest.fixture(scope="module", params=["higgs", "xcodec2"])
def codec(request: pytest.FixtureRequest) -> HiggsCodec | XCodec2:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def voices() -> list[Audio]:
    return [read_wav(path) for path in sorted((ASSETS / "voices").glob("*.flac"))]


def tone(hz: float, seconds: float, sample_rate: int = 24_000, amplitude: float = 0.3) -> Audio:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Audio(amplitude * np.sin(2 * np.pi * hz * time), sample_rate)


def lag(reference: np.ndarray, version: np.ndarray) -> int:
    """Samples by which the version is late: where the cross-correlation peaks."""
    return int(np.argmax(correlate(version, reference, method="fft"))) - (len(reference) - 1)


def test_higgs_is_the_model_called_by_hand(higgs: HiggsCodec, voices: list[Audio]) -> None:
    clip = Audio(voices[0].samples[:, : 960 * 20], 24_000)
    model = HiggsAudioV2TokenizerModel.from_pretrained(HIGGS_MINI, dtype=torch.float32).eval()
    with torch.inference_mode():
        by_hand = model.encode(torch.from_numpy(clip.samples)[None]).audio_codes
        sound = model.decode(by_hand).audio_values
        narrow = model.encode(torch.from_numpy(clip.samples)[None], bandwidth=0.5).audio_codes
    codes = higgs.encode(clip)
    assert np.array_equal(codes.values, by_hand[0].numpy())
    assert np.array_equal(higgs.decode(codes).samples, sound[0].numpy())
    assert np.array_equal(codes.first_codebooks(2).values, narrow[0].numpy()), "one encode serves every bandwidth"
    assert codes.bitrate_kbps == 2.0


def test_xcodec2_is_the_model_called_by_hand(xcodec2: XCodec2, voices: list[Audio]) -> None:
    clip = voices[1].between(0.2, 1.2).resampled(16_000)
    inputs = xcodec2.extractor(clip.samples[0], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        by_hand = xcodec2.model(**inputs)
    codes = xcodec2.encode(clip)
    assert np.array_equal(codes.values, by_hand.audio_codes[0].numpy())
    assert np.array_equal(xcodec2.decode(codes).samples, by_hand.audio_values[0].numpy())
    assert codes.bitrate_kbps == pytest.approx(0.8)
    assert len(np.unique(codes.values)) > 20, "the test model says the same of everything"


def test_xcodec2_loads_from_a_directory(xcodec2: XCodec2, voices: list[Audio], tmp_path: Path) -> None:
    xcodec2.model.save_pretrained(tmp_path)
    xcodec2.extractor.save_pretrained(tmp_path)
    loaded = XCodec2.load(tmp_path)
    clip = voices[0].between(0.5, 1)
    assert loaded.encode(clip).fingerprint == xcodec2.encode(clip).fingerprint
    assert (loaded.name, loaded.sample_rate, loaded.frame_rate, loaded.codebooks) == ("X-Codec2", 16_000, 50.0, 1)
    assert loaded.codebook_size == 65_536


@pytest.mark.skipif(not XCODEC2_MINI.is_dir(), reason="no bundled X-Codec2 checkpoint")
def test_the_bundled_xcodec2_speaks(voices: list[Audio]) -> None:
    bundled = XCodec2.load(XCODEC2_MINI)
    codes = bundled.encode(voices[0])
    sound = bundled.decode(codes)
    assert codes.bitrate_kbps == pytest.approx(0.8)
    assert abs(sound.rms_dbfs - voices[0].rms_dbfs) < 6


def test_batches_of_equal_clips_are_single_calls(codec: HiggsCodec | XCodec2, voices: list[Audio]) -> None:
    clips = [voice.between(0.5, 0.9) for voice in voices[:5]]
    singles = [codec.encode(clip) for clip in clips]
    assert [codes.fingerprint for codes in codec.encode_batch(clips)] == [codes.fingerprint for codes in singles]
    for together, alone in zip(codec.decode_batch(singles), map(codec.decode, singles), strict=True):
        assert np.abs(together.samples - alone.samples).max() < 3e-6 * max(1.0, alone.peak)


def test_batches_of_unequal_clips_are_single_calls_too(codec: HiggsCodec | XCodec2, voices: list[Audio]) -> None:
    one = voices[0].between(0.5, 1)
    clips = [one, voices[1].between(0, 0.3), voices[2].between(0.2, 0.9), voices[0].between(0, 0.05), one]
    singles = [codec.encode(clip) for clip in clips]
    assert [codes.fingerprint for codes in codec.encode_batch(clips)] == [codes.fingerprint for codes in singles]
    sounds = codec.decode_batch([singles[0], singles[0].between(0, 0), *singles[1:]])
    assert sounds.pop(1).length == 0
    for together, codes in zip(sounds, singles, strict=True):
        alone = codec.decode(codes)
        assert together.samples.shape == alone.samples.shape
        assert np.abs(together.samples - alone.samples).max() < 3e-6 * max(1.0, alone.peak)
    assert codec.encode_batch([]) == codec.decode_batch([]) == []


def test_a_batch_leaves_the_number_of_threads_alone(higgs: HiggsCodec, voices: list[Audio]) -> None:
    before = torch.get_num_threads()
    higgs.encode_batch([voice.between(0, 0.1) for voice in voices[:3]])
    assert torch.get_num_threads() == before


def test_padding_masks_keep_a_clip_from_its_neighbour(xcodec2: XCodec2, voices: list[Audio]) -> None:
    clips = [voices[0].between(0, 1.5), voices[2].between(0, 1.2), voices[0].between(0.5, 1)]
    padded = xcodec2.encode_batch(clips, padded=True)
    for codes, clip in zip(padded, clips, strict=True):
        alone = xcodec2.encode(clip)
        assert codes.frames == alone.frames
        # The acoustic encoder has no mask: its receptive field reaches a few frames back from the padding.
        assert np.array_equal(codes.values[:, :-12], alone.values[:, :-12])


@pytest.mark.parametrize("seconds", [0.05, 1 / 24_000, 0.0])
def test_very_short_clips_become_whole_frames(codec: HiggsCodec | XCodec2, seconds: float) -> None:
    codes = codec.encode(tone(440, seconds))
    assert 1 <= codes.frames <= 1 + seconds * codec.frame_rate + 1
    sound = codec.decode(codes)
    assert sound.length == codes.frames * codec.hop
    assert np.isfinite(sound.samples).all()


@pytest.mark.parametrize(
    "strange",
    [
        silence(0.5, 24_000),
        Audio(np.full((1, 12_000), 0.5), 24_000),
        Audio(np.sign(tone(300, 0.5).samples), 24_000),
        Audio(np.stack([tone(300, 0.5).samples[0], np.zeros(12_000)]), 24_000),
        tone(300, 0.5, 44_100),
        tone(300, 0.5, 8_000),
    ],
    ids=["silence", "DC", "clipped", "stereo", "44.1 kHz", "8 kHz"],
)
def test_strange_sound_is_encoded(codec: HiggsCodec | XCodec2, strange: Audio) -> None:
    codes = codec.encode(strange)
    assert codes.duration_seconds == pytest.approx(0.5, abs=1.01 / codec.frame_rate)
    assert np.isfinite(codec.decode(codes).samples).all()
    assert codes.fingerprint == codec.encode(strange.mono()).fingerprint


def test_no_codebook_is_left_out_unasked(higgs: HiggsCodec, voices: list[Audio]) -> None:
    codes = higgs.encode(voices[0].between(0.5, 1))
    whole = higgs.decode(codes).samples
    prefix = higgs.decode(codes.first_codebooks(5)).samples
    assert np.abs(higgs.decode(codes, without={5, 6, 7}).samples - prefix).max() < 1e-6
    assert np.abs(higgs.decode(codes, without={0}).samples - whole).max() > 0.01
    assert higgs.decode(codes, without=range(8)).peak == 0


@pytest.mark.parametrize("kbps", [6, 8, 12, 24, 64])
def test_opus_spends_what_it_was_told(voices: list[Audio], kbps: float) -> None:
    speech = joined(voices).between(0, 10)
    packets = Opus(kbps).encode(speech)
    assert packets.bitrate_kbps == pytest.approx(kbps, rel=0.12)
    assert packets.bits < 8 * len(packets.data), "the Ogg container was counted"


@pytest.mark.parametrize("kbps", [16, 32, 64, 96, 128])
@pytest.mark.parametrize("sample_rate", [24_000, 44_100, 48_000])
def test_mp3_spends_what_it_was_told(voices: list[Audio], kbps: float, sample_rate: int) -> None:
    speech = joined(voices).between(0, 10).resampled(sample_rate)
    assert Mp3(kbps).encode(speech).bitrate_kbps == pytest.approx(kbps, rel=0.02)


@pytest.mark.parametrize(
    "codec",
    [Opus(6), Opus(12), Opus(24), Opus(64), Mp3(16), Mp3(40), Mp3(64), Mp3(96), Mp3(160), Pcm16(16_000), Pcm16(8_000)],
    ids=lambda codec: codec.name,
)
@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_yardsticks_are_neither_late_nor_longer(
    codec: Opus | Mp3 | Pcm16, sample_rate: int, voices: list[Audio]
) -> None:
    speech = joined(voices[:2]).resampled(sample_rate)
    sound = codec.decode(codec.encode(speech))
    reference = speech.resampled(sound.sample_rate)
    assert sound.length == reference.length
    assert abs(lag(reference.samples[0], sound.samples[0])) <= 3 * sound.sample_rate / 24_000


@pytest.mark.parametrize(
    "codec", [Opus(6), Opus(64), Mp3(8), Mp3(64), Mp3(160), Pcm16(8_000)], ids=lambda codec: codec.name
)
@pytest.mark.parametrize("seconds", [0.05, 0.001, 0.0])
def test_yardsticks_take_very_short_clips(codec: Opus | Mp3 | Pcm16, seconds: float) -> None:
    clip = tone(440, seconds)
    packets = codec.encode(clip)
    sound = codec.decode(packets)
    assert sound.duration_seconds == pytest.approx(seconds, abs=1 / 8_000)
    assert packets.bitrate_kbps >= 0


def test_pcm_is_exact_arithmetic() -> None:
    clip = Audio(np.array([[0.0, 0.5, -1.0, 1.0, 2.0, 1 / 65536 + 1e-9]]), 16_000)
    packets = Pcm16(16_000).encode(clip)
    assert packets.bits == 6 * 16
    assert packets.bitrate_kbps == 256
    assert Pcm16(16_000).decode(packets).samples[0].tolist() == [0, 0.5, -1, 32767 / 32768, 32767 / 32768, 1 / 32768]


@pytest.mark.parametrize(("codec", "kbps"), [(Opus, 5.9), (Opus, 300), (Mp3, 7), (Mp3, 200), (Opus, float("nan"))])
def test_bitrates_out_of_range_are_refused_in_words(codec: type[Opus] | type[Mp3], kbps: float) -> None:
    with pytest.raises(BadSetting, match="kbit/s"):
        codec(kbps)


def test_silence_stays_silent_in_yardsticks() -> None:
    for codec in (Opus(6), Mp3(64), Pcm16(16_000)):
        packets = codec.encode(silence(1, 24_000))
        assert isinstance(packets, Packets)
        assert codec.decode(packets).peak < 1e-4
