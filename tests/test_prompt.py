"""Prompts are those of the model's own processor, token by token, and nothing typed becomes a control token."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from studio.audio import Audio
from studio.checkpoints import CHECKPOINTS
from studio.codes import Codes
from studio.conversation import Conversation, Line, ReferencePlace, Scene, Speaker
from studio.engine.local import LocalEngine
from studio.engine.prompt import AUDIO, AUDIO_DELAY, Control, PromptBuilder, layout
from studio.errors import BadConversation
from studio.messages import to_messages
from studio.presets import load_presets
from studio.voice_library import VoiceLibrary
from studio.voices import Reference, Voice

MINI = CHECKPOINTS["mini"].folder
TOKENIZER = AutoTokenizer.from_pretrained(MINI)
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CODES = Codes(np.arange(40).reshape(8, 5), 25.0, 1024)
HOP = 960


def builder_for(tokenizer: Any, longest: int = 4096) -> PromptBuilder:
    return PromptBuilder(tokenizer, codebooks=8, stream_begin=1024, stream_end=1025, longest=longest)


def clip(seed: int, frames: int = 30) -> Audio:
    """A hum of whole frames: the processor does not pad."""
    time = np.arange(frames * HOP) / 24_000
    return Audio(0.2 * np.sin(2 * np.pi * (120 + 30 * seed) * time) * np.sin(2 * np.pi * 3 * time), 24_000)


def in_whole_frames(speaker: Speaker) -> Speaker:
    """The speaker with the first 40 frames of their recording."""
    reference = speaker.voice.reference
    short = reference and replace(reference, audio=reference.audio.between(0, 40 * HOP / 24_000))
    return replace(speaker, voice=replace(speaker.voice, reference=short))


REFERENCES = [Reference(f"{index}.wav", f"These are my words, number {index}.", clip(index)) for index in range(3)]
TWO = (Line(0, "I can't believe it!"), Line(1, "Believe what?"), Line(0, "That you did."))


def cast(*voices: Voice) -> tuple[Speaker, ...]:
    return tuple(Speaker(f"Speaker {index}", voice) for index, voice in enumerate(voices))


FORMS = {
    "smart": Conversation(TWO[:1], cast(Voice())),
    "smart, several lines": Conversation((Line(0, "One."), Line(0, "Two!"), Line(0, "…3?")), cast(Voice())),
    "smart, no scene": Conversation(TWO[:1], cast(Voice()), Scene("")),
    "described": Conversation(TWO[:1], cast(Voice("an old man, slow and warm"))),
    "several described": Conversation(TWO, cast(Voice("feminine"), Voice("masculine"))),
    "several described, no scene": Conversation(TWO, cast(Voice("feminine"), Voice("masculine")), Scene("")),
    "several smart": Conversation(TWO, cast(Voice(), Voice()), Scene("A station.\nRain falls.")),
    "clone": Conversation(TWO[:1], cast(Voice(reference=REFERENCES[0]))),
    "several clones": Conversation(TWO, cast(*(Voice(reference=it) for it in REFERENCES[:2]))),
    "clone with words": Conversation(TWO, cast(Voice("feminine", REFERENCES[0]), Voice("masculine"))),
    "clones in the scene": Conversation(
        TWO, cast(*(Voice(reference=replace(it, transcript="")) for it in REFERENCES[:2])), references_in="scene"
    ),
    "a clone in a scene without words": Conversation(
        TWO[:1], cast(Voice("feminine", replace(REFERENCES[0], transcript=""))), Scene(""), references_in="scene"
    ),
    "clones and words in the scene": Conversation(
        TWO, cast(Voice("feminine", REFERENCES[2]), Voice("masculine")), references_in="scene"
    ),
    "a system text of one's own": Conversation(TWO[:1], cast(Voice()), system="Speak.\n\nSoftly, please."),
    "other scripts": Conversation(
        (Line(0, "Grüße 你好 שלום 👋!"),), cast(Voice("weiblich, ß")), Scene("Ein Café — draußen…")
    ),
}


def trained_bpe() -> PreTrainedTokenizerFast:
    """A small byte-level BPE with Llama 3's way of splitting: punctuation merges with the line breaks behind it."""
    special = [
        token for token, _ in sorted(TOKENIZER.added_tokens_encoder.items(), key=lambda item: item[1]) if "<|" in token
    ]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    texts = [piece for form in FORMS.values() for piece in span_texts(form)] + [
        "quiet room.\n\nSPEAKER0: warm\n\n"
    ] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|pad|>"
    )


def span_texts(conversation: Conversation) -> list[str]:
    """The text between control tokens, piece by piece joined as the prompt joins it."""
    spans = [""]
    for piece in layout(conversation):
        if isinstance(piece, str):
            spans[-1] += piece
        else:
            spans.append("")
    return [span for span in spans if span]


def by_the_processor(conversation: Conversation, tokenizer: Any, engine: LocalEngine) -> tuple[list[int], torch.Tensor]:
    """Token ids and audio rows as transformers makes them from the same chat messages."""
    from transformers import AutoFeatureExtractor, HiggsAudioV2Processor  # can be imported once the engine has been

    processor = HiggsAudioV2Processor(
        AutoFeatureExtractor.from_pretrained(MINI),
        tokenizer,
        engine.codec.model,
        chat_template=(MINI / "chat_template.jinja").read_text("utf-8"),
    )
    sounds = {reference.file_name: reference.audio for reference in conversation.references}
    messages = to_messages(conversation)
    for message in messages:
        for item in message["content"]:
            if item["type"] == "audio":
                item["audio"] = sounds[item.pop("url")].samples[0]
    made = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", sampling_rate=24_000
    )
    rows = made.get("audio_input_ids")
    return made["input_ids"][0].tolist(), torch.zeros((0, 8), dtype=torch.int64) if rows is None else rows[0]


@pytest.fixture(scope="module")
def bpe() -> PreTrainedTokenizerFast:
    return trained_bpe()


# ---- the same as the processor ----


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("which", ["bundled", "with merges"])
def test_every_form_is_token_for_token_what_the_processor_makes(name: str, which: str, engine: LocalEngine, bpe: Any):
    tokenizer = TOKENIZER if which == "bundled" else bpe
    prompt = builder_for(tokenizer).build(FORMS[name], engine.codes_of, room=1)
    ids, rows = by_the_processor(FORMS[name], tokenizer, engine)
    assert tokenizer.decode(prompt.token_ids.tolist()) == tokenizer.decode(ids)
    assert prompt.token_ids.tolist() == ids
    assert torch.equal(prompt.audio_rows, rows)
    assert prompt.length == len(ids)


@pytest.mark.parametrize("preset", load_presets().values(), ids=load_presets().keys())
def test_every_preset_is_token_for_token_what_the_processor_makes(
    preset: Any, engine: LocalEngine, voices: VoiceLibrary
):
    for whole in preset.draft.conversations(voices):
        conversation = replace(whole, speakers=tuple(map(in_whole_frames, whole.speakers)))
        prompt = builder_for(TOKENIZER).build(conversation, engine.codes_of, room=1)
        ids, rows = by_the_processor(conversation, TOKENIZER, engine)
        assert prompt.token_ids.tolist() == ids
        assert torch.equal(prompt.audio_rows, rows)


def test_merges_cross_from_a_persons_full_stop_into_the_templates_line_break(bpe: Any):
    """Encoding a person's words apart from the line breaks behind them would give other ids."""
    ids = bpe("room.\n\nSPEAKER0", add_special_tokens=False)["input_ids"]
    apart = [
        token for part in ("room.", "\n\n", "SPEAKER0") for token in bpe(part, add_special_tokens=False)["input_ids"]
    ]
    assert ".ĊĊ" in bpe.convert_ids_to_tokens(ids)
    assert ids != apart


def test_a_recording_is_delayed_one_row_a_codebook_between_begin_and_end():
    rows = builder_for(TOKENIZER).delayed(CODES)
    assert rows.shape == (5 + 2 + 7, 8)
    for index in range(8):
        begin, end = index + 1, index + 6
        assert rows[:begin, index].tolist() == [1024] * begin
        assert rows[begin:end, index].tolist() == CODES.values[index].tolist()
        assert rows[end:, index].tolist() == [1025] * (14 - end)


def test_audio_positions_and_audio_rows_are_as_many():
    prompt = builder_for(TOKENIZER).build(FORMS["several clones"], lambda reference: CODES, room=1)
    ids = prompt.token_ids.tolist()
    audio, delay = TOKENIZER.convert_tokens_to_ids([AUDIO, AUDIO_DELAY])
    assert (ids.count(audio), ids.count(delay)) == (2 * 7, 2 * 7)
    assert prompt.audio_rows.shape == (28, 8)


def test_codes_of_another_number_of_codebooks_are_a_mistake():
    with pytest.raises(ValueError, match="must have 8 codebooks, not 1"):
        builder_for(TOKENIZER).delayed(Codes(np.zeros((1, 5)), 25.0, 1024))


def test_a_tokenizer_without_the_control_tokens_is_a_mistake():
    backend = Tokenizer(models.BPE())
    backend.add_special_tokens(["<|begin_of_text|>"])
    with pytest.raises(ValueError, match=r"has no .*: it is not one of Higgs Audio V2"):
        builder_for(PreTrainedTokenizerFast(tokenizer_object=backend))


# ---- safe against what people type ----

TOKENS = [token for token in TOKENIZER.added_tokens_encoder if token.startswith("<|")]
FRAGMENTS = st.lists(
    st.sampled_from(
        [*TOKENS, "<|", "|>", "<|eot", "_id|>", "<|eot<|eot_id|>_id|>", "<|audio_", "out_bos|>", "\n\n", "a", " ", "8"]
    ),
    min_size=1,
    max_size=6,
).map(lambda parts: "x" + "".join(parts) + "y")


def hostile(words: list[str], place: ReferencePlace) -> Conversation:
    text, scene, name, description, transcript, system = words
    clone = Speaker(name, Voice(description, Reference(f"{name}.wav", transcript, codes=CODES)))
    return Conversation(
        (Line(0, text), Line(1, text)), (clone, Speaker(name, Voice(description))), Scene(scene), place, system
    )


def special_ids(tokenizer: Any) -> set[int]:
    return {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}


@given(words=st.tuples(*[FRAGMENTS] * 6), place=st.sampled_from(["turns", "scene"]), merges=st.booleans())
@hypothesis_settings(max_examples=300)
def test_nothing_typed_becomes_a_control_token(bpe: Any, words: tuple, place: ReferencePlace, merges: bool):
    tokenizer = bpe if merges else TOKENIZER
    builder, special = builder_for(tokenizer, 100_000), special_ids(tokenizer)
    typed = builder.build(hostile(list(words), place), lambda reference: reference.codes, room=1).token_ids.tolist()
    harmless = builder.build(hostile(["word"] * 6, place), lambda reference: reference.codes, room=1).token_ids.tolist()
    assert [index for index in typed if index in special] == [index for index in harmless if index in special]
    for span in span_texts(hostile(list(words), place)):
        ids = builder.encode_text(span)
        assert special.isdisjoint(ids)
        assert tokenizer.decode(ids) == span


def test_the_layout_holds_control_tokens_apart_from_text():
    pieces = layout(hostile(["<|eot_id|>"] * 6, "turns"))
    assert [piece.token for piece in pieces if isinstance(piece, Control)].count("<|eot_id|>") == 4
    assert "".join(piece for piece in pieces if isinstance(piece, str)).count("<|eot_id|>") == 7, (
        "one in each text, the line twice"
    )


def test_a_tokenizer_that_breaks_its_promise_is_not_spoken_from():
    class Careless:
        """Encodes every text as the end of a turn."""

        def __getattr__(self, name: str) -> Any:
            return getattr(TOKENIZER, name)

        def __call__(self, *_: Any, **__: Any) -> dict[str, list[int]]:
            return {"input_ids": [TOKENIZER.convert_tokens_to_ids("<|end_of_text|>")]}

    with pytest.raises(BadConversation, match="The text holds a control token of the model"):
        builder_for(Careless()).encode_text("hello")


# ---- length ----


def test_a_prompt_may_fill_the_model_to_the_last_position_and_no_further():
    conversation = FORMS["several clones"]
    length = builder_for(TOKENIZER).build(conversation, lambda reference: CODES, room=1).length
    assert builder_for(TOKENIZER, length + 100).build(conversation, lambda reference: CODES, room=100).length == length
    with pytest.raises(BadConversation) as problem:
        builder_for(TOKENIZER, length + 99).build(conversation, lambda reference: CODES, room=100)
    assert str(problem.value) == (
        f"The prompt needs {length:,} tokens (28 of them reference audio) and 100 more for the speech; "
        f"this model reads {length + 99:,}. Split the line into several, or shorten the references."
    )
