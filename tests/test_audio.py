"""Sound goes through files unchanged; what people upload is looked at before it is believed."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from studio.audio import (
    MAX_UPLOAD_BYTES,
    Audio,
    joined,
    read_recording,
    read_wav,
    shown_name,
    silence,
    write_flac,
    write_wav,
)
from studio.errors import BadAudio

ROOT = Path(__file__).parent.parent
SINE_DBFS = -3.0103  # level of a sine of amplitude 1


def sine(hz: float = 440.0, seconds: float = 2.0, sample_rate: int = 24_000, amplitude: float = 0.5) -> Audio:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Audio(amplitude * np.sin(2 * np.pi * hz * time), sample_rate)


def strongest_hz(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio.samples[0] * np.hanning(audio.length)))
    return float(np.argmax(spectrum) * audio.sample_rate / audio.length)


def file_of(folder: Path, data: bytes, name: str = "take.wav") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ---- the value ----


def test_samples_become_float32_with_a_channel_axis():
    audio = Audio(np.zeros(4), 8_000)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (1, 4)
    with pytest.raises(ValueError, match="C, N"):
        Audio(np.zeros((1, 2, 3)), 8_000)


def test_duration_peak_and_level_of_known_signals():
    audio = sine(1000, seconds=1.5, amplitude=0.5)
    assert audio.duration_seconds == 1.5
    assert audio.peak == pytest.approx(0.5, abs=1e-4)
    assert audio.rms_dbfs == pytest.approx(SINE_DBFS - 6.0206, abs=0.01)
    assert silence(1, 8_000).rms_dbfs == -float("inf")
    empty = Audio(np.zeros((1, 0)), 8_000)
    assert (empty.peak, empty.rms_dbfs, empty.duration_seconds) == (0.0, -float("inf"), 0.0)


def test_mono_is_the_mean_of_the_channels():
    audio = Audio(np.array([[1.0, 0.0], [0.0, 0.5]]), 8_000)
    assert audio.mono().samples.tolist() == [[0.5, 0.25]]
    assert audio.mono().mono() is not audio.mono()
    assert silence(1, 8_000).mono().channels == 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_frequency_level_and_duration(rate: int):
    there = sine(1000, sample_rate=24_000).resampled(rate)
    assert there.sample_rate == rate
    assert there.duration_seconds == pytest.approx(2.0, abs=1 / rate)
    assert strongest_hz(there) == pytest.approx(1000, abs=0.6)
    assert there.rms_dbfs == pytest.approx(SINE_DBFS - 6.0206, abs=0.05)


def test_resampling_to_its_own_rate_changes_nothing():
    audio = sine()
    assert audio.resampled(24_000) is audio


def test_resampling_nothing_gives_nothing():
    assert Audio(np.zeros((1, 0)), 24_000).resampled(16_000).length == 0


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    steady = sine(7000, sample_rate=24_000).resampled(8_000).between(0.1, 1.9)
    assert steady.rms_dbfs < -100


def test_between_cuts_at_samples_and_joined_puts_together_again():
    audio = sine(seconds=1.0)
    parts = [audio.between(0, 0.25), audio.between(0.25, 1.0)]
    assert [part.length for part in parts] == [6_000, 18_000]
    assert np.array_equal(joined(parts).samples, audio.samples)


@given(st.lists(st.floats(-1, 1, width=32), max_size=300), st.integers(0, 50))
def test_peaks_hold_the_largest_sample_of_each_stretch(values: list[float], columns: int):
    peaks = Audio(np.array([values]), 8_000).peaks(columns)
    assert peaks.shape == (max(1, min(columns, len(values))),)
    assert peaks.max() == max(map(abs, values), default=0.0)


def test_peaks_show_where_it_is_loud():
    audio = Audio(np.array([[0, 0.1, 0, -0.7, 0, 0, 0.2, 0]]), 8_000)
    assert audio.peaks(4).tolist() == pytest.approx([0.1, 0.7, 0.0, 0.2])


# ---- files of our own ----


@pytest.mark.parametrize("amplitude", [0.01, 0.5, 1.0, 3.0])
def test_a_written_wav_is_read_back_bit_for_bit(tmp_path: Path, amplitude: float):
    audio = Audio(np.stack([sine(amplitude=amplitude).samples[0], sine(700).samples[0]]), 24_000)
    back = read_wav(write_wav(audio, tmp_path / "out.wav"))
    assert back.sample_rate == 24_000
    assert back.samples.tobytes() == audio.samples.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.wav"]


def test_a_written_flac_is_read_back_to_24_bits(tmp_path: Path):
    audio = sine(amplitude=0.01)
    back = read_wav(write_flac(audio, tmp_path / "out.flac"))
    assert np.abs(back.samples - audio.samples).max() <= 2**-23


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    path = write_wav(sine(), tmp_path / "out.wav")
    before = path.read_bytes()
    with pytest.raises(soundfile.LibsndfileError):
        write_wav(Audio(np.zeros((2_000, 1)), 24_000), path)  # more channels than a WAV can have
    assert path.read_bytes() == before


# ---- files of other people: what is refused ----

HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\0\x08free" + bytes(2000)
UNREADABLE = {
    "thirty bytes of a header": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\xc0]",
    "random bytes": np.random.default_rng(0).bytes(50_000),
    "a text": b"This is not sound.\n" * 100,
    "an HLS playlist": HLS,
    "an MP4 film": MP4,
    "only a WAV header": b"RIFF",
    "only zeros": bytes(4096),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("name", ["take.wav", "take.mp3", "take.raw", "take"])
def test_what_is_no_sound_is_refused_by_name(tmp_path: Path, data: bytes, name: str):
    with pytest.raises(BadAudio, match=f"“{name}” is no recording the studio can read. Choose WAV"):
        read_recording(file_of(tmp_path, data, name))


def test_an_empty_file_is_refused(tmp_path: Path):
    with pytest.raises(BadAudio, match=r"“take.wav” is empty"):
        read_recording(file_of(tmp_path, b""))


def test_a_file_that_is_gone_is_refused(tmp_path: Path):
    with pytest.raises(BadAudio, match="no longer there"):
        read_recording(tmp_path / "gone.wav")


def test_a_file_of_more_than_25_mb_is_not_opened(tmp_path: Path):
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    with pytest.raises(BadAudio, match="at most 25 MB"):
        read_recording(path)


def test_other_formats_are_refused_by_their_name(tmp_path: Path):
    path = tmp_path / "take.wav"
    soundfile.write(path, sine().samples[0], 24_000, format="AU", subtype="PCM_16")
    with pytest.raises(BadAudio, match="no recording the studio can read"):
        read_recording(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_invalid_samples_are_refused(tmp_path: Path, bad: float):
    samples = sine().samples[0].copy()
    samples[40_000] = bad
    path = tmp_path / "take.wav"
    soundfile.write(path, samples, 24_000, subtype="FLOAT")
    with pytest.raises(BadAudio, match="invalid samples"):
        read_recording(path)


@pytest.mark.parametrize("audio", [silence(2, 24_000), sine(amplitude=1e-4), Audio(np.full(48_000, 0.3), 24_000)])
def test_silence_is_refused_even_with_an_offset(tmp_path: Path, audio: Audio):
    with pytest.raises(BadAudio, match="is silent"):
        read_recording(write_wav(audio, tmp_path / "take.wav"))


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.99])
def test_what_is_shorter_than_a_second_is_refused(tmp_path: Path, seconds: float):
    with pytest.raises(BadAudio, match=rf"lasts {seconds:.2f} s; at least 1 s"):
        read_recording(write_wav(sine(seconds=seconds), tmp_path / "take.wav"))


@pytest.mark.parametrize("rate", [2_000, 3_999, 192_001, 384_000])
def test_sample_rates_out_of_range_are_refused(tmp_path: Path, rate: int):
    path = tmp_path / "take.wav"
    soundfile.write(path, np.zeros(100), rate)
    with pytest.raises(BadAudio, match=f"sample rate of {rate} Hz"):
        read_recording(path)


def test_more_than_eight_channels_are_refused(tmp_path: Path):
    path = tmp_path / "take.wav"
    soundfile.write(path, np.zeros((100, 9)), 24_000)
    with pytest.raises(BadAudio, match="9 channels; at most 8"):
        read_recording(path)


READ_AND_TELL_GROWTH = """
import resource, sys
from pathlib import Path
from studio.audio import read_recording
from studio.errors import BadAudio
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
for path in sys.argv[1:]:
    try:
        read_recording(Path(path))
    except BadAudio as problem:
        print(problem)
print(peak() - before)
"""


def an_hour_of_silence(path: Path, kind: str, sample_rate: int) -> Path:
    with soundfile.SoundFile(path, "w", samplerate=sample_rate, channels=1, format=kind) as file:
        for _ in range(60):
            file.write(np.zeros(60 * sample_rate, np.float32))
    return path


def an_hour_of_mp3_without_a_header(path: Path) -> Path:
    minute = path.with_suffix(".minute")
    soundfile.write(minute, np.zeros(60 * 8_000), 8_000, format="MP3")
    data = minute.read_bytes()
    first_frame = data.index(data[:2], 2)  # LAME's header, which knows the length
    path.write_bytes(60 * data[first_frame:])
    return path


def test_an_hour_in_a_small_file_is_refused_from_its_header_without_unfolding(tmp_path: Path):
    paths = [
        an_hour_of_silence(tmp_path / "hour.flac", "FLAC", 48_000),
        an_hour_of_silence(tmp_path / "hour.ogg", "OGG", 4_000),
        an_hour_of_mp3_without_a_header(tmp_path / "hour.mp3"),
    ]
    assert max(path.stat().st_size for path in paths) < 4_000_000
    command = [sys.executable, "-c", READ_AND_TELL_GROWTH, *paths]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    for line in told[:-1]:
        assert re.search("lasts 60 minutes; at most 60 seconds are read. Cut out the part you need.$", line), line
    assert len(told) == 4
    assert float(told[-1]) < 20, "megabytes; an hour of samples at 4 kHz would be 58"


def flac_that_says(frames: int, path: Path, seconds: float) -> Path:
    """A FLAC whose header claims this many frames; 0 stands for not known, as streams say it."""
    soundfile.write(path, sine(seconds=seconds).samples[0], 24_000, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the count's upper four bits; the block of facts begins at byte 8
    data[22:26] = frames.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def test_a_stream_that_does_not_know_its_length_is_refused(tmp_path: Path):
    with pytest.raises(BadAudio, match=r"does not say how long it is. Save it again"):
        read_recording(flac_that_says(0, tmp_path / "stream.flac", seconds=3.0))


def test_a_header_that_claims_too_much_is_taken_at_its_word(tmp_path: Path):
    with pytest.raises(BadAudio, match="lasts 100 minutes"):
        read_recording(flac_that_says(6_000 * 24_000, tmp_path / "take.flac", seconds=2.0))


# ---- files of other people: what is mended, and said ----


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_the_same_sine_has_the_same_level_in_every_number_format(tmp_path: Path, subtype: str):
    path = tmp_path / "take.wav"
    soundfile.write(path, sine(amplitude=0.25).samples[0], 24_000, subtype=subtype)
    recording = read_recording(path)
    assert recording.audio.rms_dbfs == pytest.approx(SINE_DBFS - 12.0412, abs=0.1)
    assert recording.notes == ()


@pytest.mark.parametrize("channels", range(1, 9))
def test_up_to_eight_channels_are_mixed_to_one(tmp_path: Path, channels: int):
    path = tmp_path / "take.wav"
    soundfile.write(path, np.repeat(sine().samples.T, channels, axis=1), 24_000, subtype="FLOAT")
    recording = read_recording(path)
    assert recording.audio.channels == 1
    assert np.allclose(recording.audio.samples, sine().samples, atol=1e-6)
    assert recording.notes == ((f"{channels} channels were mixed to one.",) if channels > 1 else ())


@pytest.mark.parametrize("rate", [4_000, 8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_rates_from_4_to_192_khz_are_kept_and_dull_ones_noted(tmp_path: Path, rate: int):
    recording = read_recording(write_wav(sine(440, sample_rate=rate), tmp_path / "take.wav"))
    assert recording.audio.sample_rate == rate
    assert strongest_hz(recording.audio.resampled(24_000)) == pytest.approx(440, abs=0.6)
    assert any("dull" in note for note in recording.notes) == (rate < 16_000)


def test_an_offset_of_ten_percent_is_removed_and_said(tmp_path: Path):
    recording = read_recording(write_wav(Audio(sine().samples + 0.1, 24_000), tmp_path / "take.wav"))
    assert abs(float(recording.audio.samples.mean())) < 1e-4
    assert recording.notes == ("A DC offset of +10% was removed.",)


def test_a_small_offset_leaves_the_very_samples(tmp_path: Path):
    audio = Audio(sine().samples + np.float32(0.005), 24_000)
    assert np.array_equal(read_recording(write_wav(audio, tmp_path / "take.wav")).audio.samples, audio.samples)


def test_clipping_is_said(tmp_path: Path):
    clipped = Audio(np.clip(sine(amplitude=1.5).samples, -1, 1), 24_000)
    recording = read_recording(write_wav(clipped, tmp_path / "take.wav"))
    share = float(np.mean(np.abs(clipped.samples) >= 1))
    assert recording.notes == (f"{share:.0%} of it is clipped; a quieter recording will sound better.",)


@pytest.mark.parametrize(("share", "note"), [(0.4, True), (0.9, True), (1.0, False)])
def test_a_wav_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path, share: float, note: bool):
    whole = write_wav(sine(seconds=5.0), tmp_path / "whole.wav").read_bytes()
    recording = read_recording(file_of(tmp_path, whole[: round(share * len(whole))]))
    assert recording.audio.duration_seconds == pytest.approx(share * 5, abs=0.01)
    assert [text for text in recording.notes if "breaks off" in text] == (
        [f"“take.wav” breaks off: {share:.0%} of what its header says is there."] if note else []
    )


def test_a_missing_padding_byte_is_no_truncation(tmp_path: Path):
    whole = write_wav(sine(), tmp_path / "whole.wav").read_bytes()
    assert read_recording(file_of(tmp_path, whole[:-1])).notes == ()


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF"])
def test_other_formats_are_read_under_any_file_name(tmp_path: Path, kind: str):
    path = tmp_path / "mislabelled.wav"
    soundfile.write(path, sine().samples[0], 24_000, format=kind)
    assert strongest_hz(read_recording(path).audio) == pytest.approx(440, abs=1)


@given(st.binary(max_size=400))
def test_hostile_bytes_give_words_or_sound_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, tail: bytes):
    path = file_of(tmp_path_factory.getbasetemp(), b"RIFF\xff\0\0\0WAVEfmt \x10\0\0\0" + tail, "hostile.wav")
    try:
        assert read_recording(path).audio.duration_seconds >= 1
    except BadAudio as problem:
        assert "hostile.wav" in str(problem)


# ---- names ----


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\voice.wav", "voice.wav"),
        ("evil\u202evaw.exe", "evilvaw.exe"),
        ("a" * 400 + ".wav", "a" * 59 + "…"),
        ("\0\x1b[31mred.wav", "[31mred.wav"),
        ("", "file"),
        ("folder/", "file"),
        ("Grüße 👋.wav", "Grüße 👋.wav"),
    ],
)
def test_a_file_name_is_shown_without_folders_or_tricks(name: str, shown: str):
    assert shown_name(name) == shown


def test_messages_use_the_name_the_person_gave(tmp_path: Path):
    with pytest.raises(BadAudio, match=r"“holiday.wav” is empty"):
        read_recording(file_of(tmp_path, b"", "3f9a.wav"), "../uploads/holiday.wav")
