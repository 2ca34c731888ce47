"""Samples read as inference reads, the end of stream is learnt, and the packed pass is transformers' own."""

import json
import math
import os
import random
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import studio.training  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from transformers import AutoTokenizer, HiggsAudioV2ForConditionalGeneration

from studio.codes import Codes
from studio.conversation import Conversation, Line, Speaker
from studio.engine.prompt import PromptBuilder
from studio.training.coded_speech import TimedCodes, read_coded_speech
from studio.training.coded_voices import VOICE_NUMBERS, code_statistics, describe
from studio.training.deadline import minutes_until
from studio.training.phrases import WORDS_OF, invented_word, known_words, text_of
from studio.training.speech import START, TEXT_FILES, Batches, Recipe, Training, draw_code_tables
from studio.training.speech_model import TrainingPass, pack
from studio.training.speech_samples import (
    IGNORED,
    LETTERS_AHEAD,
    Sample,
    SampleDrawer,
    joined_codes,
    make_sample,
)
from studio.training.spoken_speech import SpokenUtterance, plan_shard, timed_clip
from studio.training.timed_speech import PHONE_CLASSES, TimedText, phone_class
from studio.voices import Reference, Voice
from tests.small_training import BEGIN, END, LAST, K, a_corpus, small_start, some_speech, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


def codes_of(frames: int, seed: int = 0) -> Codes:
    return Codes(np.random.default_rng(seed).integers(0, 1024, (K, frames)), 25.0, 1024)


@pytest.fixture(scope="module")
def prompts() -> PromptBuilder:
    tokenizer = AutoTokenizer.from_pretrained(START)
    return PromptBuilder(tokenizer, codebooks=K, stream_begin=BEGIN, stream_end=END, longest=4096)


def sample_of(prompts: PromptBuilder, conversation: Conversation, spoken: Codes) -> Sample:
    return make_sample(prompts, conversation, spoken, stream_begin=BEGIN, stream_end=END)


def drawn(prompts: PromptBuilder, count: int) -> list[Sample]:
    drawer = SampleDrawer(some_speech(), prompts)
    chance = random.Random(0)
    return [drawer.draw(chance, LAST) for _ in range(count)]


def test_a_sample_begins_as_the_prompt_and_asks_for_every_code_and_the_first_end(prompts: PromptBuilder) -> None:
    conversation, spoken = Conversation((Line(0, "Good morning."),), (Speaker("Alma"),)), codes_of(5)
    sample = sample_of(prompts, conversation, spoken)
    prompt = prompts.build(conversation, lambda reference: codes_of(1), room=0)
    assert sample.token_ids[: prompt.length].tolist() == prompt.token_ids.tolist()
    assert sample.length - prompt.length == len(sample.audio_rows) == 5 + 2 + K - 1
    for k in range(K):
        labels = sample.labels[:, k].tolist()
        assert labels == [IGNORED] * k + spoken.values[k].tolist() + [END] + [IGNORED] * (K - k)


def test_references_with_words_are_learnt_from_and_those_of_a_scene_are_not(prompts: PromptBuilder) -> None:
    reference = Reference("voice", "It is late.", codes=codes_of(4, seed=2))
    speaker = Speaker("Alma", Voice(reference=reference))
    in_turns = Conversation((Line(0, "Hello."),), (speaker,))
    in_scene = replace(in_turns, references_in="scene")
    samples = [sample_of(prompts, each, codes_of(3)) for each in (in_turns, in_scene)]
    asked = [(sample.labels != IGNORED).sum(0).tolist() for sample in samples]
    assert asked == [[4 + 1 + 3 + 1] * K, [3 + 1] * K]
    silent = Speaker("Alma", Voice(reference=replace(reference, transcript="")))
    labels = sample_of(prompts, replace(in_turns, speakers=(silent,)), codes_of(3)).labels
    assert (labels != IGNORED).sum(0).tolist() == [3 + 1] * K


def test_what_was_said_before_stands_in_the_prompt_and_is_learnt_from(prompts: PromptBuilder) -> None:
    said = (0, Reference("earlier line", "It is late.", codes=codes_of(4, seed=2)))
    conversation = Conversation((Line(0, "Hello."),), (Speaker("Alma"),))
    sample = make_sample(prompts, conversation, codes_of(3), (said,), stream_begin=BEGIN, stream_end=END)
    prompt = prompts.build(conversation, lambda reference: reference.codes, 0, (said,))
    assert sample.token_ids[: prompt.length].tolist() == prompt.token_ids.tolist()
    assert (sample.labels != IGNORED).sum(0).tolist() == [4 + 1 + 3 + 1] * K


def test_a_sample_knows_where_each_row_is_read_from_and_its_phone(prompts: PromptBuilder) -> None:
    """Of references in turns and of two lines in one breath; in the delay pattern's rows nothing is asked."""

    def told(text: str, frames: int, voice: float | None = None) -> TimedCodes:
        letters = np.linspace(0, len(text) - 1, frames).astype(np.float32)
        values = codes_of(frames).values
        known = None if voice is None else np.full(VOICE_NUMBERS, voice, np.float32)
        return TimedCodes(values, 25.0, 1024, (TimedText(text, letters, np.arange(frames), known),))

    reference = Reference("voice", "It is late.", codes=told("It is late.", 6))
    speakers = (Speaker("Alma", Voice(reference=reference)), Speaker("Bruno"))
    conversation = Conversation((Line(0, "Hello."), Line(1, "Hello, you.")), speakers)
    sample = sample_of(prompts, conversation, joined_codes([told("Hello.", 5, 1.0), told("Hello, you.", 7, 2.0)]))
    ids = sample.token_ids.tolist()
    first, second = sample.spoken_at[: 6 + K + 1, 0], sample.spoken_at[6 + K + 1 :, 0]
    assert ids[int(first[0]) : int(first[5]) + 1] == prompts.encode_text("It is late.")
    assert ids[int(second[0]) : int(second[4]) + 1] == prompts.encode_text("Hello.")
    assert ids[int(second[5]) : int(second[11]) + 1] == prompts.encode_text("Hello, you.")
    assert second[5] > second[4] > first[5]
    assert first[7:].isnan().all()
    assert second[13:].isnan().all()
    assert (
        ids[int(first[6]) - 1] == prompts.encode_text("It is late.")[-1]
    )  # behind the words stands the end of their turn
    for column, ahead in enumerate(LETTERS_AHEAD):
        later = sample.spoken_at[:7, column]
        assert later.tolist() == [*first[ahead:7].tolist(), *[first[6].item()] * ahead][:7]
    assert sample.phones[: 6 + K + 1, 0].tolist() == [*range(6)] + [IGNORED] * (K + 1)
    assert sample.phones[: 6 + K + 1, 1].tolist() == [4, 5] + [IGNORED] * (K + 5)
    voices = sample.voices[6 + K + 1 :]
    assert voices[:12, 0].tolist() == [1.0] * 5 + [2.0] * 7
    assert voices[12:].isnan().all()
    assert sample.voices[: 6 + K + 1].isnan().all()


def test_espeak_tells_what_is_said_when() -> None:
    planned = next(each for each in plan_shard(0, voices=1) if len(each.text) > 20)
    planned = replace(planned, text="Bees are asleep, maybe.")
    audio, said, _ = timed_clip(planned, 24_000, 960)
    assert len(said.letters) == len(said.phones) == -(-audio.length // 960)
    assert (np.diff(said.letters) >= 0).all()
    hissing = phone_class("s") == said.phones
    assert hissing.any()
    assert all(planned.text[int(letter)] in "aasleep" for letter in said.letters[hissing])
    block = audio.samples[0, : len(hissing) * 960 - 960].reshape(-1, 960)
    changes = np.abs(np.diff(np.sign(block), axis=1)).mean(1)  # a hiss crosses zero most often
    assert changes[hissing[:-1]].mean() > 3 * changes[~hissing[:-1]].mean()


def test_every_form_is_drawn_and_a_reference_is_another_utterance_of_the_same_voice(prompts: PromptBuilder) -> None:
    speech, chance = some_speech(), random.Random(0)
    drawer = SampleDrawer(speech, prompts)
    speaker_of = {each.text: each.speaker for each in speech.utterances}
    dialogues = [drawer.dialogue(chance, LAST) for _ in range(300)]
    made = [(each.conversation, each.spoken) for each in dialogues]
    forms = {
        (len(each.speakers), len(each.lines) > 2, each.references_in, each.speakers[0].voice.kind) for each, _ in made
    }
    assert {form[0] for form in forms} == {1, 2}
    assert {(1, False, "turns", kind) for kind in ("reference", "smart", "described")} < forms
    assert {
        (1, False, "scene", "reference"),
        (2, False, "scene", "reference"),
        (2, False, "turns", "described"),
    } < forms
    assert any(form[1] for form in forms)
    before = [each for each in dialogues if each.earlier]
    assert before
    for each in before:
        (line,), said = each.conversation.lines, [speaker for speaker, _ in each.earlier]
        assert said == [index % 2 for index in range(len(said))]
        assert line.speaker == len(said) % 2
        assert all(reference.codes.frames for _, reference in each.earlier)
    for conversation, spoken in made:
        assert spoken.frames == sum(
            each.frames for line in conversation.lines for each in speech.utterances if each.text == line.text
        )
        for line in conversation.lines:
            reference = conversation.speakers[line.speaker].voice.reference
            if reference:
                assert speaker_of[reference.transcript] == speaker_of[line.text]
                assert reference.transcript not in {each.text for each in conversation.lines}


@pytest.mark.parametrize("key_heads", [1, 2])
def test_the_packed_pass_is_transformers_own(prompts: PromptBuilder, key_heads: int) -> None:
    model = tiny_model(key_heads)
    ours, samples = TrainingPass(model), drawn(prompts, 4)
    losses = ours.losses(pack(samples, ours.audio_tokens))
    losses.sum().backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()

    total, counts = torch.zeros(K), sum((sample.labels != IGNORED).sum(0) for sample in samples)
    for sample in samples:
        logits = model(
            input_ids=sample.token_ids[None],
            audio_input_ids=sample.audio_rows[None],
            audio_input_ids_mask=torch.ones(1, len(sample.audio_rows), dtype=torch.bool),
        ).logits[0]
        is_audio = torch.isin(sample.token_ids, torch.tensor(ours.audio_tokens))
        flat = logits[is_audio].reshape(-1, 1026)
        each = torch.nn.functional.cross_entropy(flat, sample.labels.reshape(-1), reduction="none")
        total = total + each.view(-1, K).sum(0)
    theirs = total / counts
    theirs.sum().backward()
    assert torch.allclose(losses, theirs, atol=1e-4)
    assert len(gradients) > 20
    for name, value in model.named_parameters():
        if value.grad is not None and value.grad.abs().max() > 0:
            assert torch.allclose(gradients[name], value.grad, atol=1e-4), name


def test_voices_are_told_by_codes_and_those_of_short_utterances_are_not(tmp_path: Path) -> None:
    """Voices that lean to other places of the grid; what they say is by chance."""
    chance, lines, values = np.random.default_rng(0), [], []
    for index in range(60):
        speaker, frames = index // 6, 30 if index // 6 < 9 else 10
        lean = np.random.default_rng(speaker).integers(0, 1024, K)
        codes = np.where(chance.random((frames, K)) < 0.3, lean, chance.integers(0, 1024, (frames, K)))
        lines.append(SpokenUtterance("A text.", "line", speaker, "feminine", sum(map(len, values)), frames))
        values.append(codes.astype(np.uint16))
    np.save(tmp_path / "train-0000.npy", np.concatenate(values))
    np.save(tmp_path / "train-0000.times.npy", np.zeros((sum(map(len, values)), 2), np.int16))
    (tmp_path / "train-0000.jsonl").write_text("".join(json.dumps(vars(each)) + "\n" for each in lines))
    (tmp_path / "codec.json").write_text('{"frame_rate": 25.0, "codebook_size": 1024}')
    assert len(code_statistics(values[0].astype(int))) == 40 + 40 * 41 // 2 + 40
    assert read_coded_speech(tmp_path).voices is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="coded_speech"):
        describe(tmp_path / "empty")
    describe(tmp_path)
    (tmp_path / "train-0001.jsonl").write_bytes((tmp_path / "train-0000.jsonl").read_bytes())
    for kind in ("npy", "times.npy"):
        (tmp_path / f"train-0001.{kind}").write_bytes((tmp_path / f"train-0000.{kind}").read_bytes())
    told = read_coded_speech(tmp_path).voices
    assert told.shape == (20, VOICE_NUMBERS)
    assert np.isnan(told[9:]).all(), "too short, or not described yet"
    apart = np.linalg.norm(told[:9, None] - told[None, :9], axis=-1)[np.triu_indices(9, 1)]
    assert apart.min() > 2, "in deviations of what varies within a voice"
    describe(tmp_path)
    assert np.array_equal(read_coded_speech(tmp_path).voices[10:19], told[:9])


def test_codebooks_come_to_count_more_evenly() -> None:
    training_pass = TrainingPass(tiny_model())
    first, half, last = (training_pass.weights(evenness) for evenness in (0.0, 0.5, 1.0))
    assert all(weights.sum().item() == pytest.approx(1) for weights in (first, half, last))
    assert first[0] / first[-1] > half[0] / half[-1] > last[0] / last[-1] >= 1


def test_a_few_steps_lower_the_loss_and_the_saved_state_goes_on_as_an_ordinary_checkpoint(tmp_path: Path) -> None:
    start, codes = small_start(tmp_path / "start"), a_corpus(tmp_path / "codes")
    recipe = Recipe(positions=400, pooled_batches=2, warmup_steps=2, rate=2e-2)
    training = Training(recipe, tmp_path, start)
    batches = Batches(codes, training.prompts(), training.training_pass.audio_tokens, recipe)
    chance = random.Random(0)
    batch = batches.next(chance, 0.9)
    steps = [training.take_step(batch, 0.1) for _ in range(12)]
    losses, (first, last) = [step[:K].mean().item() for step in steps], (steps[0][K:], steps[-1][K:])
    assert (last < first).all()  # it is led to the letters, hears phones and knows voices
    assert first[3].item() == pytest.approx(3, rel=0.2), "nothing of the voice is known at first"
    assert first[1].item() == pytest.approx(np.log(PHONE_CLASSES), rel=0.15)
    assert losses[0] == pytest.approx(np.log(1026), rel=0.05)
    assert losses[-1] < losses[0] - 0.5
    training.save()

    again = Training(recipe, tmp_path, start)
    again.resume()
    assert again.step == 12
    assert again.take_step(batch, 0.1).tolist() == pytest.approx(training.take_step(batch, 0.1).tolist())
    loaded = HiggsAudioV2ForConditionalGeneration.from_pretrained(tmp_path / "checkpoint")
    assert loaded.dtype == torch.bfloat16
    assert all((tmp_path / "checkpoint" / name).is_file() for name in TEXT_FILES)
    head = loaded.audio_lm_head.weight.float()
    assert torch.allclose(head, again.mean["audio_lm_head.weight"], atol=2e-2)


def test_a_run_stops_when_its_minutes_are_over_and_batches_are_of_the_size_asked_for(tmp_path: Path) -> None:
    start, codes = small_start(tmp_path / "start"), a_corpus(tmp_path / "codes")
    recipe = Recipe(positions=500, pooled_batches=2)
    training = Training(recipe, tmp_path, start)
    batches = Batches(codes, training.prompts(), training.training_pass.audio_tokens, recipe)
    assert all(len(batches.next(random.Random(0), 0.0).place) <= 500 for _ in range(10))
    training.run(batches, 0.01)
    assert training.seconds >= 0.6
    assert training.step > 0
    assert (tmp_path / "state.pt").is_file()


def test_codes_of_another_tokenizer_begin_anew_and_neighbours_begin_alike(tmp_path: Path) -> None:
    start = small_start(tmp_path / "start")
    before = HiggsAudioV2ForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    after = HiggsAudioV2ForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    draw_code_tables(after)
    shape = (before.config.num_codebooks, before.config.codebook_size, -1)
    for weights_of in (
        lambda model: model.audio_lm_head,
        lambda model: model.model.embed_audio_tokens.embed_audio_tokens,
    ):
        new, old = (weights_of(model).weight.view(shape) for model in (after, before))
        assert torch.equal(new[:, 1024:], old[:, 1024:])
        assert not torch.equal(new[:, :1024], old[:, :1024])
        assert new[:, :1024].std().item() == pytest.approx(old.std().item(), rel=0.2)
        first, neighbour, far = new[0, 0], new[0, 1], new[0, 1023]  # 1023 differs in every dimension
        assert (first - neighbour).norm() < (first - far).norm()
    assert torch.equal(after.model.embed_tokens.weight, before.model.embed_tokens.weight)


def test_the_hour_ends_a_training_before_its_minutes() -> None:
    assert minutes_until(5.0, math.inf, 60.0) == 5.0
    assert minutes_until(math.inf, time.time() + 30, 60.0) == pytest.approx(1.5, abs=0.01)
    assert minutes_until(5.0, time.time() - 30, 60.0) == pytest.approx(1.0, abs=0.001)


def test_texts_are_of_the_length_asked_for_and_of_a_broad_vocabulary() -> None:
    chance = random.Random(0)
    for length, (least, most) in WORDS_OF.items():
        texts = [text_of(chance, length) for _ in range(400)]
        assert all(least <= len(text.split()) <= most for text in texts)
        assert all(text[-1] in ".?!" and not text[0].islower() for text in texts)
    assert len(known_words()) > 2_400
    invented = {invented_word(chance) for _ in range(300)}
    assert len(invented - set(known_words())) > 150
    assert all(3 <= len(word) <= 10 and word.isalpha() for word in invented)


def test_shards_are_decided_by_their_number_and_read_end_to_end(tmp_path: Path) -> None:
    assert plan_shard(3, voices=2) == plan_shard(3, voices=2)
    assert plan_shard(3, voices=2) != plan_shard(4, voices=2)
    folder = a_corpus(tmp_path / "codes")
    for name in ("npy", "times.npy", "jsonl"):
        (folder / f"train-0001.{name}").write_bytes((folder / f"train-0000.{name}").read_bytes())
    speech, single = read_coded_speech(folder), some_speech()
    assert len(speech.utterances) == 2 * len(single.utterances)
    second = speech.utterances[len(single.utterances)]
    assert second.speaker == 4
    assert np.array_equal(speech.codes(second).values, single.codes(single.utterances[0]).values)
    with pytest.raises(FileNotFoundError, match="coded_speech"):
        read_coded_speech(tmp_path)


SHARED_STEP = """
import torch
from studio.training.together import Together
together = Together()
one, none, other = torch.full((2, 3), float(together.number)), None, torch.tensor([4.0 * together.number])
together.average([one, none, other])
print(one.unique().tolist(), other.tolist(), together.of_first(7.0 + together.number), together.is_first)
"""


def test_processes_that_train_together_take_the_same_step() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SHARED_STEP],
            env=os.environ | shared | {"RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=120)[0].strip() for process in started]
    assert said == ["[0.5] [2.0] 7.0 True", "[0.5] [2.0] 7.0 False"]
