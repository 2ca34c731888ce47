"""What the tab *Voices* asks of the studio: the shelf of voices, one voice in full, and everything done to it.

Each function takes one JSON object and gives one; what a person can mend comes back as `{"problem": …}`.
"""

import hashlib
from collections.abc import Callable, Sequence

from studio.audio import Audio
from studio.consent import Consent, today
from studio.errors import BadConversation, BadSetting
from studio.lab.codemap import StoredCodes
from studio.lab.doctor import Finding, advised, examine, health
from studio.lab.mends import Mend, Trim, in_words, kept_samples, mended, on_recording
from studio.lab.metrics import Reference as Compared
from studio.text import slug
from studio.ui.answers import Answer, Asked, answering_page
from studio.ui.kept_clips import KeptClip, Made, pictures
from studio.ui.project_view import ROUTE, peaks_for_page
from studio.ui.studio import Studio
from studio.ui.voice_panel import own_cards, visible_voices
from studio.voice_file import pack
from studio.voices import LONGEST_REFERENCE_SECONDS, LibraryVoice

PEAK_COLUMNS = 1_200
EXAMINED_KEPT = 256
RECORDING, HEARD, EXPORTED = "recording", "heard", "exported"  # kinds of copies, see VoiceLibrary
HEARD_MEASURES = ("stoi", "log_mel")


class VoiceDesk:
    """The functions, and what was examined lately."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._examined: dict[str, tuple[Finding, ...]] = {}

    def functions(self) -> list[Answer]:
        """All of them, each under its own name, as the page's script calls them."""
        asked: Sequence[Callable[[Asked], Asked]] = (
            *(self.voice_shelf, self.voice_sheet, self.save_voice, self.save_consent, self.trim_voice),
            *(self.mend_voice, self.undo_mend, self.hear_voice, self.transcribe_voice, self.export_voice),
            *(self.delete_voice, self.voice_pictures),
        )
        return [answering_page(function) for function in asked]

    # ---- looking ----

    def voice_shelf(self, asked: Asked) -> Asked:
        """All voices of a visitor (`{ids}`), and what the cast may choose of them."""
        ids = asked.get("ids")
        voices = visible_voices(self._studio, ids if isinstance(ids, list) else [])
        shelf = [*voices, *self._studio.voices.bundled.values()]
        return {
            "voices": [self._card(voice) for voice in shelf],
            "own": [voice.id for voice in voices if voice.id.startswith("own:")],
            "cast": own_cards(self._studio, ids if isinstance(ids, list) else []),
        }

    def voice_sheet(self, asked: Asked) -> Asked:
        """Everything about one voice (`{id}`)."""
        voice = self._voice(asked)
        return self._card(voice) | self._condition(voice) | {"recording": self._recording(voice)}

    def voice_pictures(self, asked: Asked) -> Asked:
        """Pictures of one version of what is heard (`{token, version}`)."""
        return pictures(self._studio.readings, asked.get("token"), asked.get("version"))

    # ---- changing ----

    def save_voice(self, asked: Asked) -> Asked:
        """Keep name, description, tags (separated by commas) and transcript."""
        voice = self._studio.voices.edit(
            _text(asked, "id"),
            name=_text(asked, "name"),
            description=_text(asked, "description"),
            tags=_text(asked, "tags").split(","),
            transcript=_text(asked, "transcript"),
        )
        return self._card(voice) | self._condition(voice)

    def save_consent(self, asked: Asked) -> Asked:
        """Keep the consent statement."""
        voice = self._studio.voices.edit(_text(asked, "id"), consent=Consent.read(asked))
        return self._card(voice) | self._condition(voice)

    def trim_voice(self, asked: Asked) -> Asked:
        """Keep the recording from sample `start` to `stop`."""
        start, stop = asked.get("start"), asked.get("stop")
        if not isinstance(start, int) or not isinstance(stop, int):
            raise BadSetting("A trim needs two whole numbers of samples.")
        return self._mended(self._voice(asked), [Trim(start, stop)])

    def mend_voice(self, asked: Asked) -> Asked:
        """Do what a finding advises (`{finding: key}`), or what all of them do (`all`)."""
        voice, wanted = self._voice(asked), _text(asked, "finding")
        recording = self._studio.voices.recording(voice.id)
        if wanted == "all":
            return self._mended(voice, advised(recording, voice.mends, voice.reference.transcript)[len(voice.mends) :])
        found = next((one for one in self._findings(voice) if one.key == wanted), None)
        if found is None or found.mend is None:
            raise BadSetting("Nothing is left to mend there.")
        return self._mended(voice, [on_recording(found.mend, recording, voice.mends)])

    def undo_mend(self, asked: Asked) -> Asked:
        """Take the last mend back."""
        voice = self._voice(asked)
        if not voice.mends:
            raise BadSetting("There is nothing to undo: this is the recording as it was given.")
        voice = self._studio.voices.mend(voice.id, voice.mends[:-1])
        return self._card(voice) | self._condition(voice)

    def delete_voice(self, asked: Asked) -> Asked:
        """Delete it, with its recording and everything made of it."""
        self._studio.voices.remove(_text(asked, "id"))
        return {}

    # ---- hearing ----

    def hear_voice(self, asked: Asked) -> Asked:
        """Before, after, and what the model hears: the codec's round trip, on one clock."""
        voice = self._voice(asked)
        recording = self._studio.voices.recording(voice.id)
        start, stop = kept_samples(recording, voice.mends)
        kept = Audio(recording.samples[:, start:stop], recording.sample_rate)
        after = mended(recording, voice.mends).mono()
        if after.duration_seconds > LONGEST_REFERENCE_SECONDS:
            raise BadConversation(f"Trim it to at most {LONGEST_REFERENCE_SECONDS:.0f} s first.")
        clip = KeptClip(voice.name, Made("As recorded", kept.mono(), _sound_facts(kept)), self._studio.readings)
        if voice.mends:
            clip.add(Made("As mended", after, _sound_facts(after)))
        clip.add(self._heard(after))
        self._studio.voices.remember_copy(voice.id, HEARD, clip.token)
        return {"clip": clip.view}

    def _heard(self, audio: Audio) -> Made:
        codec = self._studio.codec
        codes = codec.encode(audio)
        heard = codec.decode(codes)
        facts = [("Codec", self._studio.codec_title), ("Bitrate", f"{codes.bitrate_kbps:g} kbit/s")]
        for key, score in Compared(audio).scores(heard, HEARD_MEASURES).items():
            facts.append(({"stoi": "STOI", "log_mel": "Log-mel distance (dB)"}[key], str(score)))
        stored = StoredCodes(codes, codec.name, self._studio.codecs.families[0].revision)
        return Made("What the model hears", heard, facts, stored)

    def transcribe_voice(self, asked: Asked) -> Asked:
        """The words as a Whisper of the hub's cache hears them. Nothing is kept: the person reads them first."""
        voice = self._voice(asked)
        audio = mended(self._studio.voices.recording(voice.id), voice.mends)
        name = self._studio.recogniser.name
        return {"transcript": self._studio.recogniser.words(audio), "by": name}

    def export_voice(self, asked: Asked) -> Asked:
        """The voice as one file."""
        voice = self._voice(asked)
        token, folder = self._studio.readings.make()
        (folder / "voice.zip").write_bytes(pack(self._studio.voices, voice))
        self._studio.voices.remember_copy(voice.id, EXPORTED, token)
        return {
            "url": f"{ROUTE}/{token}/voice.zip",
            "file_name": f"{slug(voice.name, 'voice', any_script=True)}.voice.zip",
        }

    # ---- what the page is told ----

    def _voice(self, asked: Asked) -> LibraryVoice:
        return self._studio.voices.look(_text(asked, "id"))

    def _mended(self, voice: LibraryVoice, more: Sequence[Mend]) -> Asked:
        voice = self._studio.voices.mend(voice.id, [*voice.mends, *more])
        return self._card(voice) | self._condition(voice)

    def _findings(self, voice: LibraryVoice, mends: Sequence[Mend] | None = None) -> tuple[Finding, ...]:
        """What the doctor finds, remembered for the same sound and words."""
        mends = voice.mends if mends is None else mends
        audio = mended(self._studio.voices.recording(voice.id), mends)
        words = voice.reference.transcript
        content = audio.samples.tobytes() + f"|{audio.sample_rate}|{audio.channels}|{words}".encode()
        key = hashlib.sha256(content).hexdigest()
        if key not in self._examined:
            while len(self._examined) >= EXAMINED_KEPT:
                self._examined.pop(next(iter(self._examined)), None)
            self._examined[key] = examine(audio, words)
        return self._examined[key]

    def _card(self, voice: LibraryVoice) -> Asked:
        findings = self._findings(voice)
        amiss = [finding.title.lower() for finding in findings if finding.severity != "good"]
        return voice.card() | {
            "health": health(findings),
            "amiss": amiss,
            "editable": voice.id.startswith("own:"),
            "consent": voice.consent.as_json() if voice.consent else None,
            "today": today(),
        }

    def _condition(self, voice: LibraryVoice) -> Asked:
        """What the doctor says, before and after the mends."""
        recording = self._studio.voices.recording(voice.id)
        before = {one.key: one for one in self._findings(voice, ())}
        start, stop = kept_samples(recording, voice.mends)
        return {
            "kept": [start, stop],
            "mends": [in_words(mend, recording.sample_rate) for mend in voice.mends],
            "findings": [
                {
                    "key": one.key,
                    "title": one.title,
                    "severity": one.severity,
                    "value": one.value,
                    "before": before[one.key].value,
                    "was": before[one.key].severity,
                    "effect": one.effect,
                    "mend": one.mend_label,
                }
                for one in self._findings(voice)
            ],
        }

    def _recording(self, voice: LibraryVoice) -> Asked:
        """The whole recording, to look at and to hear while it is trimmed."""
        audio = self._studio.voices.recording(voice.id)
        return {
            "url": self._studio.sound_of(voice.id, RECORDING, audio),
            "samples": audio.length,
            "rate": audio.sample_rate,
            "channels": audio.channels,
            "peaks": peaks_for_page(audio, PEAK_COLUMNS),
        }


def _text(asked: Asked, key: str) -> str:
    value = asked.get(key)
    return value if isinstance(value, str) else ""


def _sound_facts(audio: Audio) -> list[tuple[str, str]]:
    return [
        ("Sample rate", f"{audio.sample_rate / 1000:g} kHz"),
        ("Duration", f"{audio.duration_seconds:.2f} s"),
        ("Level", f"{audio.rms_dbfs:.1f} dBFS"),
    ]
