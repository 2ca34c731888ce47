"""The endpoint for programs that adds a voice: `/add_voice`. Its id is spoken with by `/speak`.

from gradio_client import Client, handle_file
client = Client("http://127.0.0.1:7860")
voice = client.predict(recording=handle_file("me.wav"), name="Me", transcript="What I say in it.",
                       whose="Ada Example", said_by="Ada Example", date="2026-03-31",
                       statement="I allow cloning my voice for this game.", api_name="/add_voice")
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
from studio.ui.examples import SOUND, explain, file_example
from studio.ui.studio import Studio

TEXTS = {  # with an example for each; the four of a consent in the order of the form and of every command
    "name": "My voice",
    "transcript": "The kettle is on. Come in and sit down.",
    "whose": "No person: a synthetic voice",
    "said_by": "Ada Example",
    "date": "2026-03-31",
    "statement": "Made with espeak-ng and given away under CC0-1.0: any use.",
}


def voice_endpoint(studio: Studio) -> None:
    """Add `/add_voice`."""
    with gr.Row(visible=False):
        recording = gr.Audio(label="recording", type="filepath")
        texts = [gr.Textbox(label=name) for name in TEXTS]
        mend = gr.Checkbox(True, label="mend")
        voice = gr.JSON(label="voice")
        button = gr.Button("add_voice")

    def add_voice(
        recording: str,
        name: str,
        transcript: str,
        whose: str,
        said_by: str,
        date: str,
        statement: str,
        mend: bool = True,
    ) -> dict[str, Any]:
        """Add a voice to speak with.

        Args:
            recording: WAV, FLAC, Ogg, MP3 or AIFF, 1 to 60 s, 25 MB at most; what is used of it lasts 30 s at most.
            name: What the voice is called, 40 characters at most.
            transcript: What is said in the recording, word for word.
            whose: The person who is heard.
            said_by: Who gives this consent: that person, or somebody who may speak for them.
            date: The day on which it was said, as 2026-03-31.
            statement: That the voice may be used, and for what.
            mend: True (default): do what the reference doctor advises (trim, fade a loud tail, level, remove DC, mono).

        Returns:
            The voice's id for /speak, what was mended, and what the doctor finds: severity good, fair or poor.
        """
        consent = Consent.read(
            {"whose": whose, "said_by": said_by, "statement": statement, "date": date}
        )  # first of all: nothing is kept without it
        if not recording:
            raise BadAudio("recording is missing. Send a sound file: WAV, FLAC, Ogg, MP3 or AIFF.")
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

    inputs = [recording, *texts, mend]
    explain(add_voice, inputs, [file_example(SOUND), *TEXTS.values(), True])
    button.click(answering(add_voice), inputs=inputs, outputs=[voice], api_name="add_voice")
