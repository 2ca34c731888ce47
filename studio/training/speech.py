"""Train the small Higgs Audio V2: `python -m studio.training.speech --minutes 60 --folder .training/speech [--resume]`.

It goes on from a checkpoint (the bundled one, unless told otherwise) with an optimiser of its own, on codes of the very
tokenizer that the checkpoint speaks with. The minutes are those of the processor, so that a busy machine or a paused
process changes nothing but the hour; they also decide the curriculum. The corpus may grow meanwhile.

Matrices inside the layers are trained by Muon (Jordan, 2024: steps made orthogonal), all else by AdamW. What is saved
as a checkpoint is the running mean of the weights.
"""

import argparse
import json
import multiprocessing
import random
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import AutoTokenizer, HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from studio.checkpoints import MINI
from studio.engine.prompt import PromptBuilder
from studio.training.coded_speech import FOLDER as CODES
from studio.training.coded_speech import read_coded_speech
from studio.training.deadline import add_end_by, minutes_until
from studio.training.muon import StackedMuon
from studio.training.speech_model import Batch, Questions, TrainingPass, pack
from studio.training.speech_samples import Mixture, Sample, SampleDrawer, mixture_at
from studio.training.together import Together
from studio.training.tokenizer_model import CODE_DIMENSIONS, CODEBOOK_SIZE, LEVELS, places_in_grid

START = MINI / "higgs-audio-v2-mini"
STATE, LOG, CHECKPOINT = "state.pt", "log.jsonl", "checkpoint"
TEXT_FILES = (
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
STEPS_OF_A_LOG_LINE = 20


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the minutes it is given and the corpus."""

    positions: int = 4_000  # read in a step, text and audio rows together
    pooled_batches: int = 6  # drawn together and sorted by length, for little padding
    lead: float = 1.0  # of the loss for reading where the letters are known
    last_lead: float = 0.1
    voice_lead: float = 0.5  # of the loss for knowing the voice, where it is known
    led: float = 0.5  # of the curriculum, over which it falls and the codebooks come to count more evenly
    rate: float = 1.5e-3  # of learning, the size of a step relative to the weights' root mean square
    last_rate: float = 5e-5
    warmup_steps: int = 60
    settling: float = 0.4  # of the minutes, from which the rate falls
    begins_at: float = 0.0  # of the curriculum: who reads already need not begin with single words
    mean_decay: float = 0.98  # of the running mean of the weights
    weight_decay: float = 0.01
    seed: int = 0
    save_minutes: float = 3.0


class Optimiser:
    """Muon for the matrices of the layers, AdamW for embeddings, head and norms, at one rate."""

    def __init__(self, model: HiggsAudioV2ForConditionalGeneration, questions: Questions, recipe: Recipe) -> None:
        matrices = [each for each in model.model.layers.parameters() if each.ndim == 2]
        known = {id(each) for each in matrices}
        others = [each for each in (*model.parameters(), *questions.parameters()) if id(each) not in known]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            StackedMuon(matrices, recipe.rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, recipe.rate, (0.9, 0.95), weight_decay=recipe.weight_decay, fused=True),
        )

    def step(self, rate: float) -> None:
        """Move the weights, then forget the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)


class Batches:
    """Batches of samples of like length from the corpus as it stands."""

    def __init__(self, codes: Path, prompts: PromptBuilder, audio_tokens: tuple[int, int], recipe: Recipe) -> None:
        self._codes, self._prompts, self._recipe = codes, prompts, recipe
        self.audio_tokens = audio_tokens
        self._ready: deque[list[Sample]] = deque()
        self.look_again()

    def look_again(self) -> None:
        """Take in what the corpus has grown by."""
        self.speech = read_coded_speech(self._codes)
        self.drawer = SampleDrawer(self.speech, self._prompts)

    def next(self, chance: random.Random, progress: float) -> Batch:
        """One batch, at a progress of 0..1."""
        if not self._ready:
            self._draw(chance, progress)
        return self.packed(self._ready.popleft())

    def samples(self, chance: random.Random, mixture: Mixture, positions: int) -> Sequence[Sample]:
        """At least so many positions."""
        drawn, length = list[Sample](), 0
        while length < positions:
            drawn.append(self.drawer.draw(chance, mixture))
            length += drawn[-1].length
        return drawn

    def packed(self, samples: Sequence[Sample]) -> Batch:
        """A batch of these samples."""
        return pack(samples, self.audio_tokens)

    def _draw(self, chance: random.Random, progress: float) -> None:
        wanted = self._recipe.positions
        drawn = self.samples(chance, mixture_at(progress), wanted * self._recipe.pooled_batches)
        batches: list[list[Sample]] = [[]]
        for sample in sorted(drawn, key=lambda sample: sample.length):
            if batches[-1] and (len(batches[-1]) + 1) * sample.length > wanted:
                batches.append([])
            batches[-1].append(sample)
        chance.shuffle(batches)
        self._ready.extend(batches)


class DrawnByOthers(IterableDataset[Batch]):
    """Endless batches, drawn in other processes: one core draws for no more than a few cores' worth of training."""

    def __init__(self, batches: Batches, seed: str) -> None:
        self._batches, self._seed = batches, seed
        self.progress = multiprocessing.Value("d", 0.0)  # told to the others

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        chance = random.Random(f"{self._seed} {worker.id if worker else 0}")
        while True:
            yield self._batches.next(chance, self.progress.value)

    def drawn(self, workers: int, *, pinned: bool) -> Iterator[Batch]:
        """The batches, a few drawn ahead, in memory that a GPU can fetch from by itself if asked for."""
        loader = DataLoader(self, batch_size=None, num_workers=workers, prefetch_factor=2, pin_memory=pinned)
        return iter(loader)


class Training:
    """A model, its optimiser and how far they have come; stops and goes on at any step."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        start: Path,
        device: str = "cpu",
        *,
        from_nothing: bool = False,
        new_codes: bool = False,
    ) -> None:
        self.recipe, self.folder, self.start = recipe, folder, start
        self.device = torch.device(device)
        if from_nothing:  # the shape and the text tokenizer of the start, weights drawn anew
            torch.manual_seed(recipe.seed)
            loaded = HiggsAudioV2ForConditionalGeneration(HiggsAudioV2Config.from_pretrained(start)).float()
        else:
            loaded = HiggsAudioV2ForConditionalGeneration.from_pretrained(
                start, dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        if new_codes:
            draw_code_tables(loaded, recipe.seed)
        self.model: HiggsAudioV2ForConditionalGeneration = loaded.to(self.device)  # type: ignore[arg-type]  # a wrapper hides its signature
        self.training_pass = TrainingPass(self.model)
        self.questions = Questions(self.model.config.hidden_size).to(self.device)
        self.optimiser = Optimiser(self.model, self.questions, recipe)
        self.mean = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.trained = [*self.model.parameters(), *self.questions.parameters()]
        self.together = Together()
        self.step = 0
        self.seconds = 0.0

    def prompts(self) -> PromptBuilder:
        """What writes the prompts of this checkpoint."""
        config = self.model.config
        return PromptBuilder(
            AutoTokenizer.from_pretrained(self.start, local_files_only=True, trust_remote_code=False),
            codebooks=config.num_codebooks,
            stream_begin=config.audio_stream_bos_id,
            stream_end=config.audio_stream_eos_id,
            longest=config.max_position_embeddings,
        )

    def resume(self) -> None:
        """Go on where the folder's state stands."""
        state = torch.load(self.folder / STATE, weights_only=True, map_location=self.device)
        if "questions" not in state:
            raise SystemExit(
                f"{self.folder / STATE} is of an earlier version of this training: begin without --resume."
            )
        self.model.load_state_dict(state["model"])
        self.questions.load_state_dict(state["questions"])
        self.mean = state["mean"]
        for part, saved in zip(self.optimiser.parts, state["optimiser"], strict=True):
            part.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, and the mean of the weights as a checkpoint that anybody can load."""
        if not self.together.is_first:
            return
        state = {
            "model": self.model.state_dict(),
            "questions": self.questions.state_dict(),
            "mean": self.mean,
            "optimiser": [part.state_dict() for part in self.optimiser.parts],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / STATE)
        save_checkpoint(self.model, self.mean, self.folder / CHECKPOINT, self.start)

    def take_step(self, batch: Batch, progress: float) -> Tensor:
        """One step at a progress of 0..1. Returns the losses of codebooks, reading (3) and voice. Shape: `[K + 4]`."""
        with torch.autocast(self.device.type, torch.bfloat16):
            loss, losses, reading = self.training_pass.led_loss(
                batch.to(self.device), self.questions, self._lead(progress), self.recipe.voice_lead, self._led(progress)
            )
        self._descend(loss, progress)
        return torch.cat((losses, reading))

    def _descend(self, loss: Tensor, progress: float) -> None:
        """Move the weights, and their running mean, by the gradients of all processes."""
        loss.backward()
        self.together.average(each.grad for each in self.trained)
        for each in self.trained:  # without a look at the norm: a GPU's host must not wait for it
            if each.grad is not None:
                each.grad.nan_to_num_(0.0, 0.0, 0.0)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step(self._rate(progress))
        self.step += 1
        decay = min(self.recipe.mean_decay, self.step / (self.step + 10))
        values = self.model.state_dict()
        with torch.no_grad():
            torch._foreach_lerp_([self.mean[name] for name in values], list(values.values()), 1 - decay)

    def told(self, means: list[float]) -> dict[str, object]:
        """What a line of the log says of the means of what steps returned."""
        return {"losses": means[:-4], "reading": means[-4:-1], "voice": means[-1]}

    def learnt(self, progress: float) -> float:
        """How far the curriculum is at a progress of 0..1."""
        begin = self.recipe.begins_at
        return begin + (1 - begin) * progress

    def _led(self, progress: float) -> float:
        """How much of the way from words to voices is gone, 0..1."""
        return min(1.0, self.learnt(progress) / self.recipe.led)

    def _lead(self, progress: float) -> float:
        """How much reading counts beside the codes: fully at first, then less and less."""
        recipe = self.recipe
        return recipe.lead + (recipe.last_lead - recipe.lead) * self._led(progress)

    def _rate(self, progress: float) -> float:
        """Risen at the start, then level, then falling straight to the last rate."""
        recipe = self.recipe
        warmth = min(1.0, (self.step + 1) / recipe.warmup_steps)
        settling = min(1.0, max(0.0, (progress - recipe.settling) / (1 - recipe.settling)))
        return warmth * (recipe.rate + (recipe.last_rate - recipe.rate) * settling)

    def run(self, batches: Batches, minutes: float, workers: int = 0) -> None:
        """Train until the minutes of this and all earlier runs together are used up; log and save now and then.

        Args:
            batches: Where the samples come from.
            minutes: Of this process (of several the first) on a CPU, by the clock on a GPU.
            workers: Other processes that draw the samples; with any, what the corpus grows by is not seen.
        """
        seed = f"{self.recipe.seed} {self.step} {self.together.number}"
        chance, others = random.Random(seed), DrawnByOthers(batches, seed)
        waiting = others.drawn(workers, pinned=self.device.type == "cuda") if workers else None
        logged, positions = list[Tensor](), 0
        clock = time.process_time if self.device.type == "cpu" else time.monotonic
        last, saved = clock(), time.monotonic()
        while (progress := self.together.of_first(self.seconds / (minutes * 60))) < 1:
            others.progress.value = self.learnt(progress)
            batch = batches.next(chance, self.learnt(progress)) if waiting is None else next(waiting)
            logged.append(self.take_step(batch, progress))
            positions += len(batch.positions)
            now = clock()
            self.seconds, last = self.seconds + now - last, now
            if self.step % STEPS_OF_A_LOG_LINE == 0:
                self._log(logged, positions, len(batches.speech.utterances))
                logged, positions = [], 0
            if time.monotonic() - saved > self.recipe.save_minutes * 60:
                self.save()
                if waiting is None:
                    batches.look_again()
                saved = time.monotonic()
        if logged:
            self._log(logged, positions, len(batches.speech.utterances))
        self.save()

    def _log(self, losses: list[Tensor], positions: int, utterances: int) -> None:
        if not self.together.is_first:
            return
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2), "hour": time.strftime("%H:%M")}
        line |= self.told([round(value, 3) for value in torch.stack(losses).mean(0).tolist()])
        line |= {"positions": positions, "utterances": utterances}
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")


@torch.no_grad()
def draw_code_tables(model: HiggsAudioV2ForConditionalGeneration, seed: int = 0) -> None:
    """Draw embeddings and head of all codes anew: the tokenizer is another, but reading need not be learnt again.

    As the bundled tokenizer's codes are points of a grid, a code begins as the sum of what stands for its places in
    each dimension: neighbours begin alike. Begin and end of stream stay.
    """
    chance = torch.Generator().manual_seed(seed)
    places = places_in_grid()
    config = model.config
    for weight in (model.model.embed_audio_tokens.embed_audio_tokens.weight, model.audio_lm_head.weight):
        std = float(weight.std()) * CODE_DIMENSIONS**-0.5
        for table in weight.view(config.num_codebooks, config.codebook_size, -1):
            parts = torch.randn(CODE_DIMENSIONS, LEVELS, table.shape[1], generator=chance) * std
            table[:CODEBOOK_SIZE] = sum(part[place] for part, place in zip(parts, places.T, strict=True))


def save_checkpoint(
    model: HiggsAudioV2ForConditionalGeneration, weights: dict[str, Tensor], folder: Path, like: Path
) -> None:
    """A from_pretrained directory: weights in bfloat16, text tokenizer and chat template as in the directory `like`."""
    half = HiggsAudioV2ForConditionalGeneration(model.config)
    half.load_state_dict(weights)
    half.bfloat16().save_pretrained(folder)
    for name in TEXT_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)


def add_arguments(parser: argparse.ArgumentParser, minutes: float, folder: Path, recipe: Recipe) -> None:
    """What every training of the language model is told, with these defaults."""
    parser.add_argument("--minutes", type=float, default=minutes, help="of training in all, earlier runs included")
    parser.add_argument("--folder", type=Path, default=folder)
    parser.add_argument("--codes", type=Path, default=CODES, help="made by studio.training.coded_speech")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's own state")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--positions", type=int, default=recipe.positions, help="of a step, text and audio together")
    parser.add_argument("--rate", type=float, default=recipe.rate, help="of learning, at its height")
    add_end_by(parser)


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, 60.0, Path(".training/speech"), Recipe())
    parser.add_argument("--start", type=Path, default=START, help="directory of the checkpoint to go on from")
    parser.add_argument("--from-nothing", action="store_true", help="the start's shape, weights drawn anew")
    parser.add_argument("--new-codes", action="store_true", help="the start spoke the codes of another tokenizer")
    parser.add_argument(
        "--begins-at", type=float, default=0.0, help="share of the curriculum, leading included, that is left out"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that draw samples; 0: this one")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(Recipe.seed)
    recipe = Recipe(positions=options.positions, rate=options.rate, begins_at=options.begins_at)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    training = Training(
        recipe,
        options.folder,
        options.start,
        options.device,
        from_nothing=options.from_nothing,
        new_codes=options.new_codes,
    )
    if options.resume:
        training.resume()
    batches = Batches(options.codes, training.prompts(), training.training_pass.audio_tokens, recipe)
    minutes = minutes_until(options.minutes, options.end_by, training.seconds)
    training.run(batches, minutes, options.workers)


if __name__ == "__main__":
    main()
