"""The reference doctor: is a recording fit to be cloned, what is wrong with it, and what mends it.

`measure` gives numbers, `examine` turns them into findings. Both are functions of the sound (and the transcript) alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from studio.audio import Audio
from studio.lab.condition import TAIL_SECONDS, Measures, measure
from studio.lab.mends import FadeTail, Gain, Mend, RemoveDc, ToMono, Trim, mended, on_recording

# ---- where a finding begins, and why ----
# Seconds. Of the references that the bundled model learnt from, half are shorter than 2 s and one in five is longer
# than 3; the shortest are phrases of up to 1.5 s, which hardly tell whose voice it is (docs/training.md). So 2 s are
# enough, and a few more keep a voice steadier. Beyond 15 the delivery changes within it, prompts grow long, and nothing
# is gained. 30 s is the library's limit.
SHORT_SECONDS, ENOUGH_SECONDS, STEADY_SECONDS, LONG_SECONDS, MOST_SECONDS = 1.5, 2.0, 3.0, 15.0, 30.0
# LUFS. Speech comes out about as loud as the reference went in. -23 is the level of EBU R128 and of the bundled voices
# that the bundled checkpoint learned from, and leaves room for peaks. 6 LU away is heard as another level; below -35
# the codec's own noise comes near.
TARGET_LUFS, FAR_LU, QUIET_LUFS = -23.0, 6.0, -35.0
PEAK_DBFS = -1.0  # no mend raises a peak above it
# Share of samples at the ceiling. A few are inaudible; from 0.1 % on it crackles, and the model learns the crackle.
CLIPPED_SOME, CLIPPED_MUCH = 0.0001, 0.001
# dB between speech and pauses. Under 35 the noise is heard, under 20 it is part of the voice for the model.
NOISY_SNR_DB, BAD_SNR_DB = 35.0, 20.0
# Seconds of silence before, behind and within. Silence at the ends is imitated at the ends of lines; pauses of more
# than a second teach the model to stop in mid-sentence.
LONG_END_SECONDS, LONG_PAUSE_SECONDS, KEPT_END_SECONDS = 0.4, 1.0, 0.1
# dB of the last 20 ms below speech. A tail near the speech's own level is a word cut off; one above -30 is hiss or
# room that comes back at the end of every line.
CUT_TAIL_DB, LOUD_TAIL_DB = 15.0, 30.0
FADE_SECONDS = 0.15  # by which a tail as loud as speech ends more than 30 dB below it
# Hz. A telephone passes 3.4 kHz, and below 7 kHz sibilants are gone; the codecs carry up to 8 and 12 kHz.
TELEPHONE_HZ, DULL_HZ = 4_500.0, 7_000.0
DC_SHARE = 0.005  # of full scale: it costs headroom, and clicks where lines join
# Channels that differ: correlation under 0.5 loses sound when mixed, and 20 dB apart one of them is but noise.
UNLIKE_CORRELATION, UNEQUAL_DB = 0.5, 20.0
# Letters a second of speech (see `condition.letters`). People speak 8 to 20.
SLOW_LETTERS, FAST_LETTERS = 4.0, 26.0

Severity = Literal["good", "fair", "poor"]
ORDER: tuple[Severity, ...] = ("good", "fair", "poor")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was measured, what it does to the result, and what mends it."""

    key: str
    title: str
    severity: Severity
    value: str  # with unit
    effect: str
    mend: Mend | None = None
    mend_label: str = ""


def examine(audio: Audio, transcript: str = "") -> tuple[Finding, ...]:
    """Everything the doctor looks at, in the order in which it is shown."""
    found = measure(audio, transcript)
    return (
        _duration(found),
        _level(found),
        _clipping(found),
        _noise(found),
        _ends(found, audio),
        _pauses(found),
        _tail(found),
        _bandwidth(found),
        _dc(found),
        _mono(found),
        _words(found),
    )


def health(findings: Sequence[Finding]) -> Severity:
    """The worst of them."""
    return max((finding.severity for finding in findings), key=ORDER.index, default="good")


def advised(recording: Audio, mends: Sequence[Mend] = (), transcript: str = "") -> tuple[Mend, ...]:
    """The mends so far and those the doctor would add; the level last, since it is measured on the rest."""
    for kind in (ToMono, RemoveDc, Trim, FadeTail, Gain):
        found = examine(mended(recording, mends), transcript)
        wanted = [one.mend for one in found if isinstance(one.mend, kind)]
        mends = (*mends, *(on_recording(mend, recording, mends) for mend in wanted))
    return tuple(mends)


def _duration(found: Measures) -> Finding:
    seconds = found.seconds
    value = f"{seconds:.1f} s"
    if seconds > MOST_SECONDS:
        effect = f"At most {MOST_SECONDS:.0f} s can be used. Trim it to the 5 to 10 s that sound best."
        return Finding("duration", "Length", "poor", value, effect)
    if seconds < SHORT_SECONDS:
        return Finding(
            "duration", "Length", "poor", value, "Too little to tell a voice by: it will change between lines."
        )
    if seconds < ENOUGH_SECONDS:
        return Finding("duration", "Length", "fair", value, "It works; 3 to 10 s keep the voice steadier.")
    if seconds > LONG_SECONDS:
        effect = (
            "Longer than needed: every line takes longer to begin, and delivery that changes within it blurs the voice."
        )
        return Finding("duration", "Length", "fair", value, effect)
    more = "" if seconds >= STEADY_SECONDS else f" {STEADY_SECONDS:.0f} to 10 s keep it steadier still."
    return Finding("duration", "Length", "good", value, f"Enough to tell the voice by.{more}")


def _level(found: Measures) -> Finding:
    if found.loudness_lufs is None:
        return Finding(
            "level", "Level", "poor", "not measurable", "Too quiet or too short to have a loudness. Record it again."
        )
    wanted = TARGET_LUFS - found.loudness_lufs
    gain = min(wanted, PEAK_DBFS - found.peak_dbfs)
    value = f"{found.loudness_lufs:.1f} LUFS"
    if abs(wanted) <= FAR_LU:
        return Finding("level", "Level", "good", value, "Speech comes out about as loud as the reference went in.")
    severity: Severity = "poor" if found.loudness_lufs < QUIET_LUFS else "fair"
    effect = (
        f"Lines will come out too {'quiet' if wanted > 0 else 'loud'}: the model imitates the level of its reference."
    )
    if abs(gain) < 1:
        return Finding("level", "Level", severity, value, f"{effect} Single peaks leave no room to raise it.")
    reached = found.loudness_lufs + gain
    return Finding("level", "Level", severity, value, effect, Gain(round(gain, 2)), f"Level to {reached:.0f} LUFS")


def _clipping(found: Measures) -> Finding:
    value = f"{found.clipped_share:.2%} of the samples"
    if found.clipped_share >= CLIPPED_MUCH:
        effect = (
            "It crackles, and so will every line. This cannot be mended: record it again with the gain turned down."
        )
        return Finding("clipping", "Clipping", "poor", value, effect)
    if found.clipped_share >= CLIPPED_SOME:
        return Finding("clipping", "Clipping", "fair", value, "Some peaks are cut off; loud words may crackle.")
    return Finding("clipping", "Clipping", "good", value, "Peaks are whole.")


def _noise(found: Measures) -> Finding:
    value = f"{found.noise_floor_dbfs:.0f} dBFS in pauses, {found.snr_db:.0f} dB below speech"
    if found.snr_db < BAD_SNR_DB:
        effect = "The noise is taken for part of the voice and heard in every line. Record again in a quieter room."
        return Finding("noise", "Noise", "poor", value, effect)
    if found.snr_db < NOISY_SNR_DB:
        return Finding("noise", "Noise", "fair", value, "Noise will be heard faintly behind the lines.")
    return Finding("noise", "Noise", "good", value, "Pauses are quiet.")


def _ends(found: Measures, audio: Audio) -> Finding:
    head, tail = found.head_silence_seconds, found.tail_silence_seconds
    value = f"{head:.2f} s before, {tail:.2f} s behind"
    if max(head, tail) <= LONG_END_SECONDS:
        return Finding("ends", "Silence at the ends", "good", value, "Speech begins and ends with the recording.")
    start = max(0, round((head - KEPT_END_SECONDS) * audio.sample_rate))
    stop = min(audio.length, audio.length - round((tail - KEPT_END_SECONDS) * audio.sample_rate))
    effect = "Silence at the ends is imitated: lines begin late and end in long pauses."
    return Finding("ends", "Silence at the ends", "fair", value, effect, Trim(start, stop), "Trim the silence")


def _pauses(found: Measures) -> Finding:
    value = f"longest {found.longest_pause_seconds:.2f} s; {found.silence_share:.0%} silence in all"
    if found.longest_pause_seconds > LONG_PAUSE_SECONDS:
        effect = (
            "Long pauses teach the model to stop in mid-sentence. Trim it to the speech before or behind the pause."
        )
        return Finding("pauses", "Pauses", "fair", value, effect)
    return Finding("pauses", "Pauses", "good", value, "No pause is long enough to be imitated.")


def _tail(found: Measures) -> Finding:
    below = found.speech_dbfs - found.tail_dbfs
    value = f"last {TAIL_SECONDS * 1000:.0f} ms at {found.tail_dbfs:.0f} dBFS"
    fade = (FadeTail(FADE_SECONDS), "Fade the tail")
    if below < CUT_TAIL_DB:
        effect = "It ends in the middle of a sound: lines may end in a click, in hiss, or not at all."
        return Finding("tail", "Tail", "poor", value, effect, *fade)
    if below < LOUD_TAIL_DB:
        return Finding(
            "tail", "Tail", "fair", value, "What is heard at its end comes back as hiss at the end of lines.", *fade
        )
    return Finding("tail", "Tail", "good", value, "It ends in silence, and so will the lines.")


def _bandwidth(found: Measures) -> Finding:
    value = f"up to {found.bandwidth_hz / 1000:.1f} kHz, of {found.sample_rate / 2000:g} kHz"
    if found.bandwidth_hz < TELEPHONE_HZ:
        effect = "Telephone sound: every line will sound like a call. No mend brings highs back; record it again."
        return Finding("bandwidth", "Bandwidth", "poor", value, effect)
    if found.bandwidth_hz < DULL_HZ:
        return Finding("bandwidth", "Bandwidth", "fair", value, "Sibilants are weak: the voice will sound dull.")
    return Finding("bandwidth", "Bandwidth", "good", value, "The highs of speech are there.")


def _dc(found: Measures) -> Finding:
    value = f"{found.dc_share + 0:+.2%} of full scale".replace("-0.00", "0.00").replace("+0.00", "0.00")
    if abs(found.dc_share) > DC_SHARE:
        effect = "A constant offset costs headroom and clicks where lines are joined."
        return Finding("dc", "DC offset", "fair", value, effect, RemoveDc(), "Remove the offset")
    return Finding("dc", "DC offset", "good", value, "None to speak of.")


def _mono(found: Measures) -> Finding:
    if found.channels == 1:
        return Finding("mono", "Channels", "good", "mono", "One channel, as the model hears it.")
    value = f"stereo, correlation {found.correlation:.2f}, {found.channel_difference_db:+.1f} dB left to right"
    if abs(found.channel_difference_db) > UNEQUAL_DB:
        side: Literal["left", "right"] = "left" if found.channel_difference_db > 0 else "right"
        effect = f"Only the {side} channel has speech; mixing both would bring in the other's noise."
        return Finding("mono", "Channels", "fair", value, effect, ToMono(side), f"Take the {side} channel")
    if found.correlation < UNLIKE_CORRELATION:
        effect = "Both channels differ so much that mixing them, as the model does, cancels part of the voice."
        side = "left" if found.channel_difference_db >= 0 else "right"
        return Finding("mono", "Channels", "poor", value, effect, ToMono(side), f"Take the {side} channel")
    return Finding("mono", "Channels", "good", value, "The model hears both mixed.", ToMono(), "Mix to mono")


def _words(found: Measures) -> Finding:
    rate = found.letters_a_second
    if rate is None:
        effect = "Without the words said in it the model cannot tell the voice from the text. Type them, word for word."
        return Finding("words", "Transcript", "poor", "none yet", effect)
    value = f"{rate:.0f} letters a second of speech"
    if rate > FAST_LETTERS:
        effect = "The transcript has more words than fit into the recording: lines will be rushed or lose words."
        return Finding("words", "Transcript", "poor", value, effect)
    if rate < SLOW_LETTERS:
        effect = "The transcript has fewer words than are said: words of the recording leak into the lines."
        return Finding("words", "Transcript", "poor", value, effect)
    return Finding(
        "words",
        "Transcript",
        "good",
        value,
        "It fits the length of the speech. Whether it is word for word, only you can hear.",
    )
