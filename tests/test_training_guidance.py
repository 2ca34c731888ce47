"""What a model says with guidance is learnt in one pass: who is guided, towards what, and that it is learnt."""

import json
import random
from pathlib import Path

import pytest
import torch

import studio.training  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from transformers import HiggsAudioV2ForConditionalGeneration

from studio.engine.prompt import PromptBuilder
from studio.training import guidance
from studio.training.guidance import GuidedSample, GuidedTraining, guided_sample, pack_guided, without_voices
from studio.training.speech import Recipe
from studio.training.speech_model import TrainingPass, pack
from studio.training.speech_samples import IGNORED, Dialogue, SampleDrawer
from tests.small_training import LAST, K, a_corpus, small_start, some_speech

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = Recipe(positions=400, pooled_batches=2, warmup_steps=2, rate=5e-3, begins_at=1.0)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> GuidedTraining:
    folder = tmp_path_factory.mktemp("guidance")
    return GuidedTraining(SMALL, folder, small_start(folder / "start"))


def dialogues(prompts: PromptBuilder, count: int) -> tuple[SampleDrawer, list[Dialogue]]:
    drawer, chance = SampleDrawer(some_speech(), prompts), random.Random(0)
    return drawer, [drawer.dialogue(chance, LAST) for _ in range(count)]


def samples(prompts: PromptBuilder, count: int) -> list[GuidedSample]:
    drawer, drawn = dialogues(prompts, count)
    return [guided_sample(drawer, each) for each in drawn]


def test_without_voices_the_words_are_the_same_and_no_recording_is_heard(training: GuidedTraining) -> None:
    _, drawn = dialogues(training.prompts(), 60)
    pairs = [(each, without_voices(each)) for each in drawn]
    assert {without is None for _, without in pairs} == {True, False}
    for each, without in pairs:
        assert (without is None) == (not each.conversation.references and not each.earlier)
        if without:
            assert without.conversation.lines == each.conversation.lines
            assert without.spoken is each.spoken
            assert not without.conversation.references
            assert not without.earlier
            described = [speaker.voice.description for speaker in each.conversation.speakers]
            assert [speaker.voice.description for speaker in without.conversation.speakers] == described


def test_the_same_rows_are_asked_with_references_and_without(training: GuidedTraining) -> None:
    drawn = samples(training.prompts(), 12)
    assert {each.untold is None for each in drawn} == {True, False}
    batch = pack_guided(drawn, training.training_pass.audio_tokens)
    assert batch.untold is not None
    assert len(batch.guided) == len(batch.untold.asked) < len(batch.asked)
    assert torch.equal(batch.labels[batch.guided], batch.untold.labels)
    read = batch.audio_rows[batch.asked[batch.guided]]
    assert torch.equal(read, batch.untold.audio_rows[batch.untold.asked]), "each reads the frame before"
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.guided, batch.guided)
    assert moved.untold is not None


def test_the_teacher_goes_so_much_further_where_there_is_a_reference(training: GuidedTraining) -> None:
    drawn = samples(training.prompts(), 12)
    batch, ours = pack_guided(drawn, training.training_pass.audio_tokens), training.teacher
    with torch.no_grad():
        told = ours.logits(ours.heard(batch)).log_softmax(-1)
        untold = ours.logits(ours.heard(batch.untold)).log_softmax(-1)
    expected = told.clone()
    expected[batch.guided] = (told[batch.guided] + (training.scale - 1) * (told[batch.guided] - untold)).log_softmax(-1)
    assert training.scale > 1
    assert torch.allclose(training.targets(batch), expected, atol=1e-4)
    assert not torch.allclose(expected, told, atol=1e-2)
    without = pack_guided([each for each in drawn if each.untold is None], ours.audio_tokens)
    assert without.untold is None
    plain = pack([each for each in drawn if each.untold is None], ours.audio_tokens)
    with torch.no_grad():
        assert torch.equal(training.targets(without), ours.logits(ours.heard(plain)).log_softmax(-1))


def test_a_few_steps_bring_the_model_nearer_and_leave_the_teacher_as_it_was(training: GuidedTraining) -> None:
    for layer in training.model.model.layers:  # a model by chance hardly hears its references
        layer.self_attn.o_proj.weight.data *= 8
    again = GuidedTraining(SMALL, training.folder, training.folder / "start")
    again.model.load_state_dict(training.model.state_dict())
    again.teacher.model.load_state_dict(training.model.state_dict())
    batch = pack_guided(samples(again.prompts(), 6), again.training_pass.audio_tokens)
    before = again.targets(batch)
    apart = [again.take_step(batch, 0.1).mean().item() for _ in range(12)]
    assert len(again.take_step(batch, 0.1)) == K
    assert apart[-1] < 0.7 * apart[0]
    assert torch.equal(again.targets(batch), before)


def test_it_learns_from_what_it_says_itself_and_leaves_an_ordinary_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guidance, "RECIPE", SMALL)
    start, codes = small_start(tmp_path / "start"), a_corpus(tmp_path / "codes")
    training = GuidedTraining(SMALL, tmp_path / "by-hand", start)
    batches = training.batches(codes)
    chance = random.Random(0)
    drawn = [batches.drawer.dialogue(chance, LAST) for _ in range(5)]
    first, second = (training.speak(training.prompts(), drawn, random.Random(1)) for _ in range(2))
    assert [each.values.tolist() for each in first] == [each.values.tolist() for each in second]
    for each, said in zip(drawn, first, strict=True):
        assert 0 < said.frames <= 1.5 * each.spoken.frames + 9
        assert said.values.tolist() != each.spoken.values.tolist()
    folder = tmp_path / "guidance"
    arguments = ["--codes", str(codes), "--teacher", str(start), "--folder", str(folder), "--positions", "400"]
    guidance.main([*arguments, "--minutes", "0.02"])
    line = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert len(line["apart"]) == K
    assert min(line["apart"]) >= 0
    assert json.loads((folder / "recipe.json").read_text())["scale"] == guidance.SCALE
    HiggsAudioV2ForConditionalGeneration.from_pretrained(folder / "checkpoint")
    guidance.main([*arguments, "--minutes", "0.03", "--resume"])
    assert json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["step"] > line["step"]


def test_only_what_is_spoken_last_is_asked(training: GuidedTraining) -> None:
    drawer, drawn = dialogues(training.prompts(), 20)
    for each in drawn:
        sample = guided_sample(drawer, each)
        asked = (sample.labels != IGNORED).any(1).nonzero()
        assert len(sample.labels) - asked[0].item() == len(drawer.prompts.delayed(each.spoken))


def test_losses_of_the_pass_are_those_of_its_logits(training: GuidedTraining) -> None:
    ours = TrainingPass(training.model)
    batch = pack(samples(training.prompts(), 3), ours.audio_tokens)
    chances = ours.logits(ours.heard(batch)).log_softmax(-1)
    asked = batch.labels != IGNORED
    each = -chances.gather(-1, batch.labels.clamp(min=0)[..., None])[..., 0] * asked
    assert torch.allclose(ours.losses(batch), each.sum(0) / asked.sum(0), atol=1e-5)
