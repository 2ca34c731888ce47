"""The likelihood of a take is transformers' own loss, by its own processor's labels."""

from typing import Any

import pytest
import torch

from studio.audio import Audio
from studio.checkpoints import CHECKPOINTS
from studio.conversation import Conversation, Line, Speaker
from studio.engine.local import LocalEngine
from studio.messages import to_messages
from studio.voice_library import VoiceLibrary
from studio.voices import Reference, Voice

MINI = CHECKPOINTS["mini"].folder
pytestmark = pytest.mark.usefixtures("one_thread")


def said(text: str, reference: Reference) -> Conversation:
    return Conversation((Line(0, text),), (Speaker("Alma", Voice(reference=reference)),))


def losses(conversation: Conversation, takes: list[Audio], engine: LocalEngine) -> list[float]:
    """transformers' loss of each take as the answer to a conversation, a mean over codebooks."""
    from transformers import (
        AutoFeatureExtractor,
        AutoTokenizer,
        HiggsAudioV2ForConditionalGeneration,
        HiggsAudioV2Processor,
    )

    assert MINI
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(MINI, dtype=torch.float32).eval()
    processor = HiggsAudioV2Processor(
        AutoFeatureExtractor.from_pretrained(MINI),
        AutoTokenizer.from_pretrained(MINI),
        engine.codec.model,
        chat_template=(MINI / "chat_template.jinja").read_text("utf-8"),
    )
    sounds = [reference.audio.samples[0] for reference in conversation.references if reference.audio]
    answer = {"role": "assistant", "content": [{"type": "audio", "url": "take"}]}
    text = processor.apply_chat_template([*to_messages(conversation), answer], tokenize=False)
    found = []
    for take in takes:
        made: Any = processor(
            text=text, audio=[*sounds, take.samples[0]], output_labels=True, return_tensors="pt", sampling_rate=24_000
        )
        labels = made["audio_labels"]
        own = engine.codec.encode(take).frames + 9
        labels[:, :-own] = -100  # the reference is given, not judged
        made = {key: made[key] for key in ("input_ids", "attention_mask", "audio_input_ids", "audio_input_ids_mask")}
        with torch.inference_mode():
            found.append(float(model(**made, audio_labels=labels).loss) / 8)
    return found


def test_the_likelihood_is_the_librarys_loss(engine: LocalEngine, voices: VoiceLibrary):
    alma, bruno, clara = (voices.find(f"bundled:{key}").reference for key in ("alma", "bruno", "clara"))
    assert alma.audio and bruno.audio and clara.audio
    # Whole frames: the processor pads what is left over in its own way.
    conversation = said("Good morning.", Reference("alma.flac", alma.transcript, alma.audio.between(0.0, 2.0)))
    takes = [bruno.audio.between(0.0, 2.4), clara.audio.between(0.0, 1.2)]
    codes = [engine.codec.encode(take) for take in takes]
    prompt = engine._prompts.build(conversation, engine.codes_of, 100)
    rows = [engine._prompts.delayed(each) for each in codes]
    ours = engine._decoder.log_likelihoods(prompt, rows)
    assert [-value for value in ours] == pytest.approx(losses(conversation, takes, engine), abs=1e-4)
    alone = [engine._decoder.log_likelihoods(prompt, [each])[0] for each in rows]
    assert ours == pytest.approx(alone, abs=1e-5)


def test_the_words_and_the_voice_of_a_recording_make_it_likelier(engine: LocalEngine, voices: VoiceLibrary):
    """Under its own transcript the model finds a voice's sound likelier than under another's."""
    alma, bruno = (voices.find(f"bundled:{key}").reference for key in ("alma", "bruno"))
    prompts = [engine._prompts.build(said(words.transcript, alma), engine.codes_of, 100) for words in (alma, bruno)]
    rows = engine._prompts.delayed(engine.codes_of(alma))
    right, wrong = (engine._decoder.log_likelihoods(prompt, [rows])[0] for prompt in prompts)
    assert wrong < right < 0


def test_a_take_that_reaches_beyond_the_models_positions_is_scored_as_far_as_it_goes(
    engine: LocalEngine, voices: VoiceLibrary, monkeypatch: pytest.MonkeyPatch
):
    alma = voices.find("bundled:alma").reference
    prompt = engine._prompts.build(said("Good morning.", alma), engine.codes_of, 100)
    rows = engine._prompts.delayed(engine.codes_of(alma))
    (whole,) = engine._decoder.log_likelihoods(prompt, [rows])
    monkeypatch.setattr(engine._decoder, "_longest", prompt.length + 40)
    (cut,) = engine._decoder.log_likelihoods(prompt, [rows])
    monkeypatch.undo()
    assert [cut] == engine._decoder.log_likelihoods(prompt, [rows[:40]])
    assert cut != whole
