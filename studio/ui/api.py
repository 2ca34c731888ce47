"""The page's public endpoint for programs: `/speak`. Everything else on the page is private to it.

from gradio_client import Client
client = Client("http://127.0.0.1:7860")
path, facts = client.predict({"speakers": [{"name": "Alma", "kind": "reference", "reference": "bundled:alma"}],
                              "lines": [{"speaker": 0, "text": "Good morning."}]}, 7, api_name="/speak")
"""

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import write_wav
from studio.draft import Draft
from studio.errors import BadConversation, StudioError
from studio.sampling import Sampling, fresh_seed
from studio.speech import SpeechRequest, readings_of
from studio.ui.answers import message
from studio.ui.studio import Studio

POLL_SECONDS = 0.2


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
            conversation: Scene, speakers and lines, as the page writes them: see studio/draft.py.
            seed: The same seed gives the same speech; -1 draws one.
            takes: How many takes of each line are made; the best one is given.
            context: How many earlier lines each line hears in its prompt.

        Returns:
            A 32-bit float WAV at the codec's rate, and the facts: checkpoint, seed, times of each line.
        """
        try:
            draft = Draft.read(conversation, "conversation")
            conversations = draft.conversations(studio.voices)
            if len(conversations) > 1:
                raise BadConversation("/speak takes one conversation: send those between dividers one by one.")
            sampling = Sampling().with_seed(int(seed) if seed is not None and seed >= 0 else fresh_seed())
            wanted = SpeechRequest(
                tuple(conversations), sampling, draft.way, takes=int(takes or 1), context=int(context or 0)
            )
            job = studio.jobs.submit(secrets.token_hex(16), wanted, "/speak")
        except StudioError as problem:
            raise message(problem) from None
        try:
            while not job.finished:
                job.wait(POLL_SECONDS)
                yield gr.skip(), {"state": job.state, "frames": job.progress.frames if job.progress else 0}
        finally:
            studio.jobs.cancel(job)  # nobody listens any more
        if job.problem:
            raise message(job.problem)
        reading = readings_of(job.request, job.spoken)[0]
        job.forget()
        with tempfile.TemporaryDirectory() as folder:  # Gradio takes its own copy
            yield str(write_wav(reading.audio, Path(folder) / "speech.wav")), reading.facts()

    button.click(
        speak,
        inputs=[conversation, seed, takes, context],
        outputs=[audio, facts],
        api_name="speak",
        concurrency_limit=None,
    )
