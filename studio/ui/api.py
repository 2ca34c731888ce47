"""The page's public endpoint for programs: `/speak`. Everything else on the page is private to it.

from gradio_client import Client
client = Client("http://127.0.0.1:7860")
alma = {"name": "Alma", "kind": "reference", "reference": "bundled:alma"}
talk = {"speakers": [alma], "lines": [{"speaker": 0, "text": "Good morning."}]}
path, facts = client.predict(conversation=talk, seed=7, api_name="/speak")
"""

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import write_wav
from studio.draft import NEEDED, Draft
from studio.errors import BadConversation, StudioError
from studio.sampling import Sampling, fresh_seed
from studio.speech import SpeechRequest
from studio.ui.answers import message
from studio.ui.examples import explain
from studio.ui.studio import Studio

POLL_SECONDS = 0.2
EXAMPLE = {
    "scene": "Audio is recorded from a quiet room.",
    "speakers": [
        {"name": "Alma", "kind": "reference", "reference": "bundled:alma"},
        {"name": "Bruno", "kind": "reference", "reference": "bundled:bruno"},
    ],
    "lines": [{"speaker": 0, "text": "Good morning."}, {"speaker": 1, "text": "Please come in."}],
}


def speak_endpoint(studio: Studio) -> None:
    """Add `/speak`: a draft (see `studio/draft.py`) and a seed go in, a WAV and its facts come out."""
    with gr.Row(visible=False):
        conversation = gr.JSON(label="conversation")
        seed = gr.Number(-1, label="seed", precision=0)
        takes = gr.Number(1, label="takes", precision=0)
        context = gr.Number(0, label="context", precision=0)
        audio = gr.Audio(label="audio", type="filepath")
        facts = gr.JSON(label="facts")
        button = gr.Button("speak")

    def speak(conversation: dict[str, Any], seed: int, takes: int, context: int) -> Iterator[tuple[Any, Any]]:
        """Speak one conversation.

        Args:
            conversation: An object with speakers and lines; the rest is optional. See docs/conversation-object.md.
            seed: 0 to 4294967295. The same seed gives the same speech; -1 (default) draws one.
            takes: 1 (default) to 16. How many takes of each line are made; the best one is given.
            context: 0 to 32. How many earlier lines each line hears; 0 (default) leaves it to the conversation's own.

        Returns:
            A 32-bit float WAV at the codec's rate, and the facts: checkpoint, seed, times of each line.
        """
        try:
            draft = _read(conversation)
            conversations = draft.conversations(studio.voices)
            if len(conversations) > 1:
                raise BadConversation(
                    "conversation: there are dividers among its lines. /speak takes one conversation: send those "
                    "between dividers one by one."
                )
            sampling = Sampling().with_seed(int(seed) if seed is not None and seed >= 0 else fresh_seed())
            wanted = SpeechRequest(
                tuple(conversations),
                sampling,
                draft.way,
                takes=1 if takes is None else int(takes),
                context=int(context or draft.context),
                seeds=draft.seeds,
            )
            job = studio.jobs.submit(secrets.token_hex(16), wanted, "/speak", program="/speak")
        except StudioError as problem:
            raise message(problem) from None
        try:
            while not job.finished:
                job.wait(POLL_SECONDS)
                yield gr.skip(), {"state": job.state, "frames": job.progress.frames if job.progress else 0}
        finally:
            if not job.finished:  # nobody listens any more
                studio.jobs.abandon(job)
        try:
            reading = job.reading()
        except StudioError as problem:
            raise message(problem) from None
        with tempfile.TemporaryDirectory() as folder:  # Gradio takes its own copy
            yield str(write_wav(reading.audio, Path(folder) / "speech.wav")), reading.facts()

    inputs = [conversation, seed, takes, context]
    explain(speak, inputs, [EXAMPLE, 7, 1, 0])
    button.click(
        speak,
        inputs=inputs,
        outputs=[audio, facts],
        api_name="speak",
        concurrency_limit=None,
    )


def _read(conversation: Any) -> Draft:
    """A conversation that somebody is to speak; what is missing is said in the words of the object."""
    draft = Draft.read(conversation, "conversation", NEEDED)
    if not draft.speakers:
        raise BadConversation('conversation: speakers is empty. Give at least one, for example {"name": "Alma"}.')
    if not draft.groups:
        raise BadConversation(
            "conversation: there is nothing to speak. lines needs at least one line with text, for example "
            '{"speaker": 0, "text": "Good morning."}.'
        )
    return draft
