"""The engine on this machine: resident weights, one conversation after another or many at once.

It knows nothing of the screen: conversations go in, progress comes out, and at the end readings.
"""

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from transformers import AutoTokenizer, HiggsAudioV2ForConditionalGeneration, PreTrainedTokenizerBase

from studio.checkpoints import Checkpoint, locate, tokenizer_of
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.conversation import Conversation
from studio.engine.decoder import Decoded, DecodeProgress, Decoder, Request
from studio.engine.guard import Guard
from studio.engine.prompt import PromptBuilder
from studio.errors import BadConversation, BadSetting, GenerationFailed
from studio.sampling import Sampling
from studio.speech import LineProgress, LineState, Progress, Way
from studio.takes import Reading, Stop, Take
from studio.voices import Reference, Voice

LONGEST_PROMPT = 8_192  # positions; more costs memory nobody planned for
CACHED_REFERENCES = 64
SECONDS_PER_BYTE = 0.075  # of UTF-8 text at an ordinary pace: 13 Latin letters, or 4 Han characters, a second
SECONDS_PER_DIGIT = 0.25  # a digit is spoken as a word
BUDGET_FACTOR, BUDGET_EXTRA_SECONDS = 2.0, 1.5


@dataclass
class _Job:
    """One generation: a line, or a whole conversation in one breath."""

    conversation: int
    lines: tuple[int, ...]
    text: str
    make: Callable[[Voice | None], Conversation]
    sampling: Sampling
    follows: "_Job | None" = None  # speaks in the voice that job found
    frames: int = 0
    take: Take | None = field(default=None)


class LocalEngine:
    """Higgs Audio V2 on resident weights. One caller at a time: others wait at a lock."""

    def __init__(
        self,
        model: HiggsAudioV2ForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        codec: HiggsCodec,
        checkpoint: Checkpoint,
    ) -> None:
        config = model.config
        self.checkpoint = checkpoint
        self.codec = codec
        self.device = str(model.device)
        self.dtype = str(model.dtype).removeprefix("torch.")
        self._prompts = PromptBuilder(
            tokenizer,
            codebooks=config.num_codebooks,
            stream_begin=config.audio_stream_bos_id,
            stream_end=config.audio_stream_eos_id,
            longest=min(config.max_position_embeddings, LONGEST_PROMPT),
        )
        self._decoder = Decoder(model)
        self._guard = Guard(codec)
        self._lock = threading.Lock()
        self._reference_codes: OrderedDict[str, Codes] = OrderedDict()

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        *,
        tokenizer: str = "",
        device: str = "auto",
        dtype: str = "auto",
        say: Callable[[str], None] = lambda text: None,
    ) -> "LocalEngine":
        """Load a generation checkpoint with its audio tokenizer.

        Args:
            checkpoint: Which.
            tokenizer: Another audio tokenizer than the checkpoint's own: a key, a directory or OWNER/NAME@COMMIT.
            device: `auto`, `cpu`, `cuda`, `mps` or `cuda:1`.
            dtype: `auto` (bfloat16 on a GPU, float32 elsewhere), `float32` or `bfloat16`.
            say: Told what is being fetched.

        Raises:
            CheckpointMissing: the files are not here and cannot be fetched.
            BadSetting: device or dtype do not exist here.
        """
        device, torch_dtype = choose_device(device, dtype)
        folder = locate(checkpoint, say)
        codec_folder = locate(tokenizer_of(checkpoint, tokenizer), say)
        model = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            folder, dtype=torch_dtype, use_safetensors=True, local_files_only=True
        )
        codec = HiggsCodec.load(codec_folder, device)
        text_tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(model.to(device).eval(), text_tokenizer, codec, checkpoint)  # type: ignore[arg-type]

    def speak(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        way: Way = "lines",
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress | list[Reading]]:
        """Speak conversations, all in one batch.

        Args:
            conversations: What to speak; each is checked first.
            sampling: How codes are drawn. Line i of a conversation uses `sampling.for_line(i)`.
            way: `lines`: each line apart, joined with gaps. `breath`: a whole conversation in one generation.
            cancelled: Asked every frame; true ends all takes with what they have.

        Yields:
            Progress after every frame; last of all the list of readings, one a conversation (none for those
            that were stopped before they were heard). Closing the iterator ends the work at once.

        Raises:
            BadConversation: one cannot be spoken; nothing has been generated then.
            GenerationFailed: the model gave no speech, or sound that is not finite.
        """
        for conversation in conversations:
            conversation.check()
        with self._lock:
            started = time.perf_counter()
            jobs = [job for index, item in enumerate(conversations) for job in self._jobs(index, item, sampling, way)]
            for wave in ([job for job in jobs if not job.follows], [job for job in jobs if job.follows]):
                if wave and not (jobs[0].take and cancelled()):
                    yield from self._decode(wave, jobs, started, cancelled)
                if mute := [job for job in wave if job.take and job.take.stop == Stop.MUTE]:
                    for job in mute:  # ended before it began: one more try, with a seed of its own
                        job.sampling, job.take = job.sampling.for_line(0), None
                    yield from self._decode(mute, jobs, started, cancelled)
            compute_seconds = time.perf_counter() - started
        yield _readings(conversations, jobs, sampling, compute_seconds)

    def _jobs(self, index: int, conversation: Conversation, sampling: Sampling, way: Way) -> Iterator[_Job]:
        """The generations a conversation takes.

        Line by line, a speaker without a reference would get a new voice with every line; so from the
        second line on the first one serves as the reference.
        """
        cast = conversation.with_speaking_cast()
        if way == "breath":
            every = tuple(range(len(cast.lines)))
            yield _Job(index, every, cast.text, lambda voice: cast, sampling.for_line(0))
            return
        first_of: dict[int, _Job] = {}
        for number, line in enumerate(cast.lines):
            has_reference = cast.speakers[line.speaker].voice.reference is not None
            job = _Job(
                index,
                (number,),
                line.text,
                lambda voice, number=number: cast.alone(number, voice),  # type: ignore[misc]
                sampling.for_line(number),
                follows=None if has_reference else first_of.get(line.speaker),
            )
            first_of.setdefault(line.speaker, job)
            yield job

    def _decode(
        self, wave: list[_Job], jobs: list[_Job], started: float, cancelled: Callable[[], bool]
    ) -> Iterator[Progress]:
        """Run one wave of jobs through the decoder, filling in their takes."""
        requests = [self._request(job) for job in wave]
        speaking = {id(job) for job in wave}
        expected = [round(self._spoken_seconds(job.text) * self.codec.frame_rate) for job in jobs]

        def watch(index: int, values: np.ndarray) -> str | None:
            return self._guard.watch(values)

        for step in self._on_one_core(self._decoder.decode(requests, watch, cancelled)):
            for job, frames in zip(wave, step.frames, strict=True):
                job.frames = frames
            for index, decoded in step.finished.items():
                wave[index].take = self._take(decoded, requests[index])
                wave[index].frames = decoded.values.shape[1]
            expected_frames = sum(
                job.frames if job.take else max(job.frames, guess) for job, guess in zip(jobs, expected, strict=True)
            )
            yield Progress(
                tuple(
                    LineProgress(job.conversation, job.lines, job.frames, _state(job, id(job) in speaking))
                    for job in jobs
                ),
                expected_frames,
                self.codec.frame_rate,
                time.perf_counter() - started,
            )

    def _on_one_core(self, steps: Iterator[DecodeProgress]) -> Iterator[DecodeProgress]:
        """Decode steps, each on one core: a frame is too little work to share, and sharing waits for a busy core."""
        while True:
            threads = torch.get_num_threads()
            torch.set_num_threads(1 if self.device == "cpu" else threads)
            try:
                step = next(steps, None)
            finally:
                torch.set_num_threads(threads)
            if step is None:
                return
            yield step

    def _request(self, job: _Job) -> Request:
        budget = self.frame_budget(job.text, job.sampling)
        if voice := self._found_voice(job):
            try:
                return Request(self._prompts.build(job.make(voice), self.codes_of, budget), job.sampling, budget)
            except BadConversation:
                pass  # the first line is too long to stand before this one: speak it in a voice of its own
        conversation = job.make(None)
        try:
            return Request(self._prompts.build(conversation, self.codes_of, budget), job.sampling, budget)
        except BadConversation as problem:
            if len(job.lines) > 1:
                raise BadConversation(f"{problem} Or speak it line by line.") from None
            raise BadConversation(f"Line {conversation.lines[0].number or job.lines[0] + 1}: {problem}") from None

    @staticmethod
    def _found_voice(job: _Job) -> Voice | None:
        """The voice of the line that this one follows, with that line as its reference."""
        if not (job.follows and job.follows.take and job.follows.take.codes.frames):
            return None
        reference = Reference("first line", job.follows.text, codes=job.follows.take.codes)
        return replace(job.make(None).speakers[0].voice, reference=reference)

    def _take(self, decoded: Decoded, request: Request) -> Take:
        codes = Codes(decoded.values, self.codec.frame_rate, self.codec.codebook_size)
        stop = Stop.ENDED if decoded.ended else Stop(decoded.stopped_because or Stop.BUDGET)
        if codes.frames == 0 and stop != Stop.STOPPED:
            stop = Stop.MUTE
        codes = self._guard.trimmed(codes, stop) if codes.frames else codes
        audio = self.codec.decode(codes)
        if not np.isfinite(audio.samples).all():
            raise GenerationFailed("The codec gave invalid samples. Try another seed; with bfloat16, try float32.")
        return Take(codes, audio, request.sampling, self.checkpoint.source, stop, request.prompt.length)

    def codes_of(self, reference: Reference) -> Codes:
        """Codes of a reference recording; encoded once for the same sound."""
        if reference.codes is not None:
            return reference.codes
        audio = reference.audio
        assert audio is not None  # Conversation.check has seen to it
        key = hashlib.sha256(f"{audio.sample_rate}|".encode() + audio.samples.tobytes()).hexdigest()
        if key not in self._reference_codes:
            self._reference_codes[key] = self.codec.encode(audio)
        self._reference_codes.move_to_end(key)
        while len(self._reference_codes) > CACHED_REFERENCES:
            self._reference_codes.popitem(last=False)
        return self._reference_codes[key]

    def frame_budget(self, text: str, sampling: Sampling) -> int:
        """Frames a text may take: as chosen, or about twice what it should need."""
        seconds = sampling.max_seconds or BUDGET_FACTOR * self._spoken_seconds(text) + BUDGET_EXTRA_SECONDS
        return max(1, round(seconds * self.codec.frame_rate))

    @staticmethod
    def _spoken_seconds(text: str) -> float:
        """Rough length of a text when spoken."""
        return len(text.encode()) * SECONDS_PER_BYTE + sum(map(str.isdigit, text)) * SECONDS_PER_DIGIT


def _readings(
    conversations: Sequence[Conversation], jobs: list[_Job], sampling: Sampling, compute_seconds: float
) -> list[Reading]:
    """What was heard of each conversation. Of the time all took together each has its share, by frames."""
    if not any(job.take and job.take.codes.frames for job in jobs):
        if any(job.take and job.take.stop == Stop.MUTE for job in jobs):
            raise GenerationFailed(
                "The model ended every line before it said anything. Try another seed, or reword it."
            )
        raise GenerationFailed("It was stopped before there was anything to hear.")
    seconds_a_frame = compute_seconds / sum(job.take.codes.frames for job in jobs if job.take)
    readings = []
    for index, conversation in enumerate(conversations):
        spoken = [(job.lines, job.take) for job in jobs if job.conversation == index and job.take]
        heard = [(lines, take) for lines, take in spoken if take.codes.frames]
        share = seconds_a_frame * sum(take.codes.frames for _, take in heard)
        if heard:
            readings.append(Reading.one_after_another(conversation, heard, sampling, share))
    return readings


def _state(job: _Job, in_wave: bool) -> LineState:
    if job.take:
        return "done" if job.take.stop == Stop.ENDED else "flagged"
    return "speaking" if in_wave and job.frames else "waiting"


def choose_device(device: str, dtype: str) -> tuple[str, torch.dtype]:
    """The device and number type to run with.

    Raises:
        BadSetting: they do not exist here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.split(":")[0]
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", device):
        raise BadSetting(f"There is no device “{device}”. Choose auto, cpu, cuda, cuda:1 or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise BadSetting("This machine has no usable CUDA device. Start with --device cpu, or install a CUDA torch.")
    if kind == "cuda" and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise BadSetting(
            f"This machine has no {device}: its CUDA devices are counted from 0 to {torch.cuda.device_count() - 1}."
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise BadSetting("This machine has no usable Metal device. Start with --device cpu.")
    chosen = ("bfloat16" if kind == "cuda" else "float32") if dtype == "auto" else dtype
    if chosen not in ("float32", "bfloat16"):
        raise BadSetting(f"There is no number type “{dtype}”. Choose auto, float32 or bfloat16.")
    return device, getattr(torch, chosen)
