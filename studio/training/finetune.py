"""Fine-tune a checkpoint on one voice: `python -m studio.training.finetune VOICE_FOLDER --consent "…" --minutes 10`.

VOICE_FOLDER holds recordings of one person and what is said in them (docs/finetuning.md). They are checked first;
nothing is trained without a statement of consent. The result is a checkpoint: `make run ARGS="--checkpoint out/NAME"`.
"""

import argparse
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.audio import Audio, write_wav
from studio.checkpoints import Checkpoint, find_checkpoint
from studio.conversation import Conversation, Line, Speaker
from studio.errors import GenerationFailed, StudioError
from studio.sampling import Sampling
from studio.settings import add_engine_arguments
from studio.speech import SpeechRequest
from studio.training.finetune_plan import METHODS, TRAINING, Plan, checked
from studio.training.voice_folder import ADVISED_SECONDS

if TYPE_CHECKING:
    import torch
    from transformers import HiggsAudioV2ForConditionalGeneration

    from studio.engine.local import LocalEngine
    from studio.training.voice_samples import VoiceSamples
    from studio.training.voice_training import Progress, VoiceTraining

MINUTES = 10.0
SAMPLES = 2  # held-out texts spoken before and after


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    chosen = _arguments(arguments)
    try:
        return _finetune(chosen)
    except StudioError as problem:
        print(f"studio.training.finetune: {problem}", file=sys.stderr)
        return 1


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m studio.training.finetune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("voice_folder", type=Path, help="recordings of one voice, with their words")
    parser.add_argument(
        "--consent", default="", help="“whose voice; who says so; when (year-month-day); what it may be used for”"
    )
    parser.add_argument("--method", choices=METHODS, help="adapters or all weights; full where the model is small")
    parser.add_argument("--minutes", type=float, help=f"of training at most, all runs together ({MINUTES:g})")
    parser.add_argument("--steps", type=int, help="of training at most, instead of minutes or besides")
    parser.add_argument("--rate", type=float, help="of learning, at its peak (2e-4)")
    parser.add_argument("--seed", type=int, default=0, help="of what is held out, drawn and spoken")
    parser.add_argument("--out", type=Path, help="directory of the result (out/ and the folder's name)")
    parser.add_argument("--resume", action="store_true", help="go on where the training in --out stopped")
    parser.add_argument("--dry-run", action="store_true", help="check everything, train nothing")
    add_engine_arguments(parser)
    chosen = parser.parse_args(arguments)
    if chosen.minutes is None and chosen.steps is None:
        chosen.minutes = MINUTES
    if chosen.out is None:
        name = re.sub(r"[^a-z0-9]+", "-", chosen.voice_folder.resolve().name.lower()).strip("-")
        chosen.out = Path("out") / (name or "voice")
    return chosen


def _finetune(chosen: argparse.Namespace) -> int:
    plan = checked(chosen)
    print(
        f"{plan.base.title}, on the voice of {plan.consent.whose}, {plan.method}: {len(plan.training)} clips to train "
        f"on, {len(plan.held_out)} held out, {plan.folder.duration_seconds / 60:.1f} minutes in all."
    )
    if plan.folder.duration_seconds < ADVISED_SECONDS:
        print(f"note  That is little: {ADVISED_SECONDS / 60:.0f} minutes or more are better.")
    if chosen.dry_run:
        print("Everything is in order. Nothing was trained (--dry-run).")
        return 0
    return _train(chosen, plan)


# ---- training ----


def _train(chosen: argparse.Namespace, plan: Plan) -> int:
    from studio.training.voice_checkpoint import Lineage, save_checkpoint

    folder = chosen.out / TRAINING
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_voice(folder, chosen, plan)
    _speak_samples(folder, "before", plan.base, chosen, plan)
    training, finish = _prepared(chosen, plan, folder)
    with _stop_asked() as stop_asked:
        for progress in training.run(stop_asked):
            print(_line_of(progress), flush=True)
    if not training.finished:
        print(f"Stopped at step {training.step}; the state is kept. Go on with the same command and --resume.")
        return 130
    training.use_best()
    model = finish()
    report = _report(chosen, plan, training)
    report["held_out_loss"]["after"] = round(training.held_out_loss(), 4)
    lineage = Lineage(plan.base, plan.base_folder, plan.tokenizer, plan.tokenizer_folder, plan.consent)
    save_checkpoint(model, chosen.out, lineage, report)
    del training, model, finish
    _speak_samples(folder, "after", find_checkpoint(str(chosen.out), "generation"), chosen, plan)
    losses = report["held_out_loss"]
    print(f"Held-out loss: {losses['before']:.3f} before, {losses['after']:.3f} after (nats a code).")
    print(f"Samples before and after: {folder / 'samples'}")
    print(f'Hear it: make run ARGS="--checkpoint {chosen.out}"')
    return 0


def _prepared(chosen: argparse.Namespace, plan: Plan, folder: Path) -> tuple["VoiceTraining", Callable[[], Any]]:
    """The training, resumed if asked, and what gives the finished model afterwards."""
    import torch

    from studio.engine.local import choose_device
    from studio.training.adapters import merged, with_adapters
    from studio.training.voice_training import Recipe, VoiceTraining

    device, dtype = choose_device(chosen.device, chosen.dtype)
    if plan.method == "full":
        dtype = torch.float32  # steps are too small for half the digits
    samples = _samples(chosen, plan, folder, device)
    model = load_model(plan.base_folder, dtype, device)
    adapted = with_adapters(model, chosen.seed) if plan.method == "lora" else None
    given = {"rate": chosen.rate} if chosen.rate else {}
    recipe = Recipe(steps=chosen.steps, minutes=chosen.minutes, seed=chosen.seed, **given)
    training = VoiceTraining(model, samples, recipe, folder)
    if chosen.resume:
        training.resume()
    return training, (lambda: model) if adapted is None else (lambda: merged(adapted))


def load_model(folder: Path, dtype: "torch.dtype", device: str) -> "HiggsAudioV2ForConditionalGeneration":
    """The weights that training begins with, as transformers' class."""
    from transformers import HiggsAudioV2ForConditionalGeneration

    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True
    )
    return model.to(device)  # type: ignore[arg-type]  # a wrapper of transformers hides its signature


def _samples(chosen: argparse.Namespace, plan: Plan, folder: Path, device: str) -> "VoiceSamples":
    """The clips as codes, and the prompts they are learnt behind."""
    from transformers import AutoConfig, AutoTokenizer

    from studio.codecs.higgs import HiggsCodec
    from studio.engine.local import LONGEST_PROMPT
    from studio.engine.prompt import PromptBuilder
    from studio.training.voice_samples import VoiceSamples, encode_clips

    codec = HiggsCodec.load(plan.tokenizer_folder, device)
    clips = [*plan.training, *plan.held_out]

    def say(done: int) -> None:
        if done % 50 == 0 or done == len(clips):
            print(f"{done} of {len(clips)} clips encoded", flush=True)

    coded = encode_clips(clips, codec, plan.tokenizer_folder, folder / "codes", say)
    config = AutoConfig.from_pretrained(plan.base_folder, local_files_only=True)
    stream = {"stream_begin": config.audio_stream_bos_id, "stream_end": config.audio_stream_eos_id}
    prompts = PromptBuilder(
        AutoTokenizer.from_pretrained(plan.base_folder, local_files_only=True, trust_remote_code=False),
        codebooks=config.num_codebooks,
        longest=min(config.max_position_embeddings, LONGEST_PROMPT),
        **stream,
    )
    count = len(plan.training)
    return VoiceSamples(coded[:count], coded[count:], prompts, seed=chosen.seed, **stream)


def _check_same_voice(folder: Path, chosen: argparse.Namespace, plan: Plan) -> None:
    """Note what a training is begun with; refuse to go on with something else."""
    path = folder / "begun_with.json"
    now = plan.identity | {"seed": chosen.seed}
    if not chosen.resume:
        path.write_text(json.dumps(now, indent=2) + "\n", "utf-8")
        return
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if changed := [name for name in now if now[name] != before.get(name)]:
        raise StudioError(
            f"The training in {chosen.out} was begun with another {' and another '.join(changed)}. Give the same, or "
            "choose another --out."
        )


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl+C has been pressed: a step that runs is finished first."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _line_of(progress: "Progress") -> str:
    best = f"best {progress.best_loss:.3f} at {progress.best_step}"
    left = f" · at most {_duration(progress.seconds_left)} left" if progress.step else ""
    return f"step {progress.step} · loss {progress.loss:.3f} · held-out {progress.held_out_loss:.3f} ({best}){left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


# ---- what comes of it ----


def _report(chosen: argparse.Namespace, plan: Plan, training: "VoiceTraining") -> dict[str, Any]:
    import torch
    import transformers

    return {
        "checkpoint": plan.base.source,
        "tokenizer": plan.tokenizer.source,
        "method": plan.method,
        "consent": plan.consent.as_json(),
        "clips": {
            "training": len(plan.training),
            "held_out": len(plan.held_out),
            "seconds": round(plan.folder.duration_seconds, 1),
        },
        "left_out": [str(remark) for remark in plan.folder.remarks if remark.left_out],
        "held_out_names": [clip.name for clip in plan.held_out],
        "trained_parameters": sum(each.numel() for each in training.parameters.values()),
        "steps": training.step,
        "best_step": training.best_step,
        "batch": training.recipe.batch,
        "rate": training.recipe.rate,
        "seconds": round(training.seconds, 1),
        "seed": chosen.seed,
        "device": str(training.model.device),
        "held_out_loss": {"before": round(training.first_loss, 4)},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _speak_samples(folder: Path, when: str, checkpoint: Checkpoint, chosen: argparse.Namespace, plan: Plan) -> None:
    """Held-out texts spoken by a checkpoint, alone and behind a reference, with the same seeds; the original beside.

    A checkpoint that says nothing is noted, not hidden: the studio would refuse such a take too.
    """
    from studio.engine.local import LocalEngine
    from studio.voices import Reference, Voice

    place = folder / "samples"
    if when == "before" and chosen.resume and place.is_dir():
        return
    place.mkdir(exist_ok=True)
    named = chosen.tokenizer if when == "before" else ""
    engine = LocalEngine.load(checkpoint, tokenizer=named, device=chosen.device, dtype=chosen.dtype)
    first = plan.training[0]
    reference = Reference(first.name, first.text, first.audio)
    for number, clip in enumerate(plan.held_out[:SAMPLES], 1):
        write_wav(clip.audio, place / f"{number}-original.wav")
        for how, voice in (("alone", Voice()), ("cloned", Voice(reference=reference))):
            conversation = Conversation((Line(0, clip.text),), (Speaker(plan.consent.whose, voice),))
            try:
                write_wav(_spoken(engine, conversation, chosen.seed), place / f"{number}-{how}-{when}.wav")
            except GenerationFailed as problem:
                print(f"note  Sample {number}, {how}, {when}: {problem}")
    (place / "texts.txt").write_text("\n".join(clip.text for clip in plan.held_out[:SAMPLES]) + "\n", "utf-8")


def _spoken(engine: "LocalEngine", conversation: Conversation, seed: int) -> Audio:
    *_, spoken = engine.speak(SpeechRequest((conversation,), Sampling(seed=seed)))
    assert isinstance(spoken, tuple)
    return spoken[0].take.audio


if __name__ == "__main__":
    sys.exit(main())
