"""The endpoint for programs that adds a voice: `/add_voice`. Its id is spoken with by `/speak`.

from gradio_client import Client, handle_file
client = Client("http://127.0.0.1:7860")
voice = client.predict(handle_file("me.wav"), "Me", "What I say in it.", "Ada Example", "Ada Example",
                       "I allow cloning my voice for this game.", "2026-03-31", api_name="/add_voice")
me = {"name": "Me", "kind": "reference", "reference": voice["id"]}
"""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import read_recording, shown_name
from studio.consent import Consent
from studio.errors import BadAudio
from studio.lab.doctor import advised, examine, health
from studio.lab.mends import as_json, mended
from studio.ui.answers import answering
from studio.ui.studio import Studio


def voice_endpoint(studio: Studio) -> None:
    """Add `/add_voice`."""
    with gr.Row(visible=False):
        recording = gr.Audio(label="recording", type="filepath")
        texts = [gr.Textbox(label=name) for name in ("name", "transcript", "whose", "said_by", "statement", "date")]
        mend = gr.Checkbox(True, label="mend")
        voice = gr.JSON(label="voice")
        button = gr.Button("add_voice")

    def add_voice(
        recording: str,
        name: str,
        transcript: str,
        whose: str,
        said_by: str,
        statement: str,
        date: str,
        mend: bool = True,
    ) -> dict[str, Any]:
        """Add a voice to speak with.

        Args:
            recording: WAV, FLAC, Ogg, MP3 or AIFF, 1 to 60 s, 25 MB at most; 30 s at most of it are used.
            name: What the voice is called, 40 characters at most.
            transcript: What is said in the recording, word for word.
            whose: The person who is heard.
            said_by: Who gives this consent: that person, or somebody who may speak for them.
            statement: That the voice may be used, and for what.
            date: The day on which it was said, as 2026-03-31.
            mend: Do what the reference doctor advises (trim silence, fade a loud tail, level, remove DC, mono).

        Returns:
            The voice's id for /speak, what was mended, and what the doctor finds: severity good, fair or poor.
        """
        consent = Consent.read(
            {"whose": whose, "said_by": said_by, "statement": statement, "date": date}
        )  # first of all: nothing is kept without it
        if not recording:
            raise BadAudio("Send a sound file.")
        path = Path(recording)
        given = read_recording(path, as_it_is=True)
        mends = advised(given.audio, (), transcript) if mend else ()
        added = studio.voices.add(given, name, transcript, shown_name(path.name), consent, mends)
        findings = examine(mended(given.audio, mends), added.reference.transcript)
        audio = added.reference.audio
        assert audio is not None
        return {
            "id": added.id,
            "name": added.name,
            "seconds": audio.duration_seconds,
            "mends": as_json(added.mends),
            "health": health(findings),
            "findings": [
                {"title": one.title, "severity": one.severity, "value": one.value, "effect": one.effect}
                for one in findings
            ],
            "notes": list(added.notes),
        }

    button.click(answering(add_voice), inputs=[recording, *texts, mend], outputs=[voice], api_name="add_voice")
