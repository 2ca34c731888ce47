"""The engine on this machine: resident weights, one conversation after another or many at once.

It knows nothing of the screen: a request goes in, progress comes out, and at the end the spoken lines.
"""

import hashlib
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from transformers import AutoTokenizer, HiggsAudioV2ForConditionalGeneration, PreTrainedTokenizerBase

from studio.audio import Audio
from studio.checkpoints import Checkpoint, locate, tokenizer_of
from studio.codecs.higgs import HiggsCodec
from studio.codecs.streaming import first_piece_frames, reach_of
from studio.codes import Codes
from studio.engine import cpu_draws, cpu_kernels, cpu_step
from studio.engine.codec_windows import CodecWindows
from studio.engine.decoder import Decoded, DecodeProgress, Decoder, Request
from studio.engine.guard import Guard
from studio.engine.live_sound import BesideTheLoop, LiveSound
from studio.engine.memory import peak_memory_bytes
from studio.engine.parts import Attempt, Part, parts_of
from studio.engine.prompt import Prompt, PromptBuilder
from studio.errors import BadConversation, BadSetting, GenerationFailed, StudioError
from studio.health import CodeHealth
from studio.sampling import Sampling
from studio.speech import LineProgress, LineState, Progress, SoundPiece, SpeechRequest, SpokenLines, best_of
from studio.takes import Stop, Take
from studio.text import spoken_seconds, words_wrong
from studio.voices import Reference

LONGEST_PROMPT = 8_192  # positions; more costs memory nobody planned for
CACHED_REFERENCES = 64
BUDGET_FACTOR, BUDGET_EXTRA_SECONDS = 2.0, 1.5


class LocalEngine:
    """Higgs Audio V2 on resident weights. One caller at a time: others wait at a lock."""

    def __init__(
        self,
        model: HiggsAudioV2ForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        codec: HiggsCodec,
        checkpoint: Checkpoint,
        quantize: str = "none",
    ) -> None:
        config = model.config
        self.checkpoint = checkpoint
        self.codec = codec
        self.recognise: Callable[[Audio], str] | None = None  # the words of a recording, if something here can tell
        self.device = str(model.device)
        self.dtype = str(model.dtype).removeprefix("torch.")
        self._prompts = PromptBuilder(
            tokenizer,
            codebooks=config.num_codebooks,
            stream_begin=config.audio_stream_bos_id,
            stream_end=config.audio_stream_eos_id,
            longest=min(config.max_position_embeddings, LONGEST_PROMPT),
        )
        self._reach = reach_of(codec)
        first_frames = self._reach.heard_frames + first_piece_frames(self._reach, 0.0, codec.frame_rate)
        self._decoder = Decoder(model, quantize=quantize, first_frames=first_frames)
        self._guard = Guard(codec)
        self._windows = CodecWindows(codec, self._reach)
        self._beside = BesideTheLoop(codec.model.device)
        self._lock = threading.Lock()
        self._reference_codes: OrderedDict[str, Codes] = OrderedDict()
        self._to_forget: deque[str] = deque()  # keys of recordings

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        *,
        tokenizer: str = "",
        device: str = "auto",
        dtype: str = "auto",
        quantize: str = "none",
        say: Callable[[str], None] = lambda text: None,
    ) -> "LocalEngine":
        """Load a generation checkpoint with its audio tokenizer.

        Args:
            checkpoint: Which.
            tokenizer: Another audio tokenizer than the checkpoint's own: a key, a directory or OWNER/NAME@COMMIT.
            device: `auto`, `cpu`, `cuda`, `mps` or `cuda:1`.
            dtype: `auto` (bfloat16 on a GPU, float32 elsewhere), `float32` or `bfloat16`.
            quantize: `none`, or `int8` for 8-bit weights: less memory, a little less exact.
            say: Told what is being fetched.

        Raises:
            CheckpointMissing: the files are not here and cannot be fetched.
            BadSetting: device or dtype do not exist here.
        """
        device, torch_dtype = choose_device(device, dtype)
        if device == "cpu":
            cpu_kernels.prepare(say)
            cpu_draws.prepare()
            cpu_step.prepare()
        folder = locate(checkpoint, say)
        codec_folder = locate(tokenizer_of(checkpoint, tokenizer), say)
        model = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            folder, dtype=torch_dtype, use_safetensors=True, local_files_only=True
        )
        codec = HiggsCodec.load(codec_folder, device)
        text_tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(model.to(device).eval(), text_tokenizer, codec, checkpoint, quantize)  # type: ignore[arg-type]

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory held so far: on the GPU, or by the whole process where there is none."""
        return peak_memory_bytes(self.device)

    def forget(self, reference: Reference) -> None:
        """Let go of all that was computed of a reference recording: its codes, and every prompt's keys and values.

        Does not wait: where somebody is speaking, they go on with what they have, and it goes when they end.
        """
        if reference.audio is not None:
            self._to_forget.append(_content_key(reference.audio))
            self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        """Let go of what is to be forgotten, unless somebody speaks: they call this in the end."""
        while self._to_forget and self._lock.acquire(blocking=False):
            try:
                while self._to_forget:
                    self._reference_codes.pop(self._to_forget.popleft(), None)
                self._decoder.forget_prefixes()
            finally:
                self._lock.release()

    def speak(
        self, request: SpeechRequest, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Progress | tuple[SpokenLines, ...]]:
        """Speak what is requested; whatever need not wait for another line goes in one batch.

        Args:
            request: What to speak, and how; each conversation is checked first.
            cancelled: Asked every frame; true ends all takes with what they have.

        Yields:
            Progress after every frame; last of all what was heard, in the order of the script. Closing the
            iterator ends the work at once.

        Raises:
            BadConversation: one cannot be spoken; nothing has been generated then.
            GenerationFailed: the model gave no speech, or sound that is not finite.
        """
        for conversation in request.conversations:
            conversation.check()
        parts = parts_of(request)
        try:
            with self._lock:
                yield from self._speak_parts(parts, request, cancelled)
        finally:
            self._forget_if_idle()
        yield _heard(parts)

    def _speak_parts(
        self, parts: list[Part], request: SpeechRequest, cancelled: Callable[[], bool]
    ) -> Iterator[Progress]:
        """Speak wave after wave, filling in the attempts of the parts."""
        started = time.perf_counter()
        for part in parts:
            if part.wave:  # refused now, not when lines before it are spoken and would be lost
                self._bare_prompt(part)
        live = (
            LiveSound(self.codec, self._reach, parts, self._beside, decode=self._windows.decode)
            if request.stream
            else None
        )
        try:
            for number in range(1 + max(part.wave for part in parts)):
                if number and cancelled():
                    break
                wave = [part for part in parts if part.wave == number]
                for _ in self._speak_wave(wave, request, cancelled):
                    yield self._progress(parts, wave, started, live.take_in() if live else ())
            if live and (rest := live.rest()):
                yield self._progress(parts, [], started, rest)
        finally:
            if live:
                live.close()

    def _speak_wave(self, wave: list[Part], request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Speak parts that need not wait for each other, with all their takes and as many more as they may need."""
        prompts = {part: self._prompt(part) for part in wave}
        for part in wave:
            part.begin(request.takes)
        while pending := [(part, attempt) for part in wave for attempt in part.attempts if not attempt.take]:
            began = time.perf_counter()
            yield from self._decode(pending, prompts, cancelled)
            _share_time([attempt for _, attempt in pending], time.perf_counter() - began)
            for _, attempt in pending:
                if attempt.take and attempt.take.stop == Stop.MUTE and not attempt.again:
                    # It ended before it began: one more try, with a seed of its own.
                    attempt.sampling, attempt.take, attempt.again = attempt.sampling.for_line(0), None, True
            self._score(wave, prompts, request)
            for part in wave:
                enough = part.stopped or any(take.health.passed for take in part.heard)
                if not enough and all(attempt.take for attempt in part.attempts):
                    part.begin(max(0, min(request.takes, request.most_takes - len(part.attempts))))
                part.closed = all(attempt.take for attempt in part.attempts)
            yield

    def _decode(
        self, pending: list[tuple[Part, Attempt]], prompts: dict[Part, Prompt], cancelled: Callable[[], bool]
    ) -> Iterator[None]:
        """Run attempts through the decoder, filling in their takes. Yields after every frame.

        The codec makes the sound of those that are finished beside the frame loop, in a thread of its own.
        """
        requests = [
            Request(prompts[part], attempt.sampling, self.frame_budget(part.text, attempt.sampling))
            for part, attempt in pending
        ]

        def watch(index: int, values: np.ndarray) -> str | None:
            return self._guard.watch(values)

        try:
            for step in self._on_one_core(self._decoder.decode(requests, watch, cancelled)):
                for index, (part, attempt) in enumerate(pending):
                    attempt.frames = step.frames[index]
                    attempt.values = partial(step.values, index)
                    if decoded := step.finished.get(index):
                        attempt.coming = self._beside.run(self._take, decoded, requests[index], part.text)
                        attempt.frames = decoded.values.shape[1]
                    elif attempt.coming and attempt.coming.done():
                        attempt.take = attempt.coming.result()
                yield
            for _, attempt in pending:
                if attempt.coming:
                    attempt.take = attempt.coming.result()
        finally:
            for _, attempt in pending:
                if attempt.coming:
                    attempt.coming.cancel()
                attempt.coming = attempt.values = None

    def _score(self, wave: list[Part], prompts: dict[Part, Prompt], request: SpeechRequest) -> None:
        """Measure what helps to choose between takes: how likely they are and, with a recogniser, the words wrong."""
        for part in wave:
            fresh = [
                attempt
                for attempt in part.attempts
                if attempt.take and attempt.take.codes.frames and attempt.take.log_likelihood is None
            ]
            if fresh and (request.score or len(part.attempts) > 1):
                rows = [self._prompts.delayed(attempt.take.codes) for attempt in fresh if attempt.take]
                with self._one_core():
                    scores = self._decoder.log_likelihoods(prompts[part], rows)
                for attempt, score in zip(fresh, scores, strict=True):
                    assert attempt.take
                    wrong = self._words_wrong(part.text, attempt.take.audio)
                    attempt.take = replace(attempt.take, log_likelihood=score, words_wrong=wrong)

    def _words_wrong(self, text: str, audio: Audio) -> int | None:
        if self.recognise is None:
            return None
        try:
            return words_wrong(text, self.recognise(audio))
        except GenerationFailed:  # it heard no words
            return words_wrong(text, "")
        except StudioError:
            return None

    def _progress(self, parts: list[Part], wave: list[Part], started: float, sound: tuple[SoundPiece, ...]) -> Progress:
        expected = 0
        for part in parts:
            guess = round(spoken_seconds(part.text) * self.codec.frame_rate)
            expected += sum(
                attempt.frames if attempt.take or attempt.coming else max(attempt.frames, guess)
                for attempt in part.attempts
            )
            expected += 0 if part.attempts else guess
        lines = tuple(
            LineProgress(
                part.conversation,
                part.lines,
                tuple(attempt.frames for attempt in part.attempts),
                _state(part, part in wave),
            )
            for part in parts
        )
        return Progress(lines, expected, self.codec.frame_rate, time.perf_counter() - started, sound)

    def _on_one_core(self, steps: Iterator[DecodeProgress]) -> Iterator[DecodeProgress]:
        """Decode steps, each on one core; whoever follows them has all cores in between."""
        while True:
            with self._one_core():
                step = next(steps, None)
            if step is None:
                return
            yield step

    @contextmanager
    def _one_core(self) -> Iterator[None]:
        """Work on one core: a frame is too little to share, and sharing waits for a busy core."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if self.device == "cpu" else threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def _prompt(self, part: Part) -> Prompt:
        """The prompt of a part, with as much of its context as there is room for.

        Raises:
            BadConversation: it is too long even alone.
        """
        room = self.frame_budget(part.text, part.sampling)
        for count in range(len(part.context), -1, -1):
            conversation, earlier = part.among(count, with_voice=True)
            try:
                prompt = self._prompts.build(conversation, self.codes_of, room, earlier)
            except BadConversation:
                continue
            part.notes += _left_out(len(part.context) - count, with_voice=True)
            return prompt
        part.notes += _left_out(len(part.context), with_voice=part.voice is None)
        return self._bare_prompt(part)

    def _bare_prompt(self, part: Part) -> Prompt:
        """The prompt of a part that hears no other.

        Raises:
            BadConversation: it is too long.
        """
        conversation, _ = part.among(0, with_voice=False)
        try:
            return self._prompts.build(conversation, self.codes_of, self.frame_budget(part.text, part.sampling))
        except BadConversation as refusal:
            if len(part.lines) > 1:
                raise BadConversation(f"{refusal} Or speak it line by line.") from None
            number = part.spoken_as.lines[part.lines[0]].number or part.lines[0] + 1
            raise BadConversation(f"Line {number}: {refusal}") from None

    def _take(self, decoded: Decoded, request: Request, text: str) -> Take:
        codes = Codes(decoded.values, self.codec.frame_rate, self.codec.codebook_size)
        stop = Stop.ENDED if decoded.ended else Stop(decoded.stopped_because or Stop.BUDGET)
        if codes.frames == 0 and stop != Stop.STOPPED:
            stop = Stop.MUTE
        codes = self._guard.trimmed(codes, stop) if codes.frames else codes
        audio = self.codec.decode(codes)
        if not np.isfinite(audio.samples).all():
            raise GenerationFailed("The codec gave invalid samples. Try another seed; with bfloat16, try float32.")
        health = CodeHealth.of(codes, audio, text, cut_by="" if stop == Stop.ENDED else stop.value)
        return Take(codes, audio, request.sampling, self.checkpoint.source, stop, request.prompt.length, health)

    def codes_of(self, reference: Reference) -> Codes:
        """Codes of a reference recording; encoded once for the same sound."""
        if reference.codes is not None:
            return reference.codes
        audio = reference.audio
        assert audio is not None  # Conversation.check has seen to it
        key = _content_key(audio)
        if key not in self._reference_codes:
            self._reference_codes[key] = self.codec.encode(audio)
        self._reference_codes.move_to_end(key)
        while len(self._reference_codes) > CACHED_REFERENCES:
            self._reference_codes.popitem(last=False)
        return self._reference_codes[key]

    def frame_budget(self, text: str, sampling: Sampling) -> int:
        """Frames a text may take: as chosen, or about twice what it should need."""
        seconds = sampling.max_seconds or BUDGET_FACTOR * spoken_seconds(text) + BUDGET_EXTRA_SECONDS
        return max(1, round(seconds * self.codec.frame_rate))


def _heard(parts: list[Part]) -> tuple[SpokenLines, ...]:
    """What was heard of each part.

    Raises:
        GenerationFailed: nothing at all.
    """
    if not any(part.heard for part in parts):
        if any(take.stop == Stop.MUTE for part in parts for take in part.takes):
            raise GenerationFailed(
                "The model ended every line before it said anything. Try another seed, or reword it."
            )
        raise GenerationFailed("It was stopped before there was anything to hear.")
    return tuple(
        SpokenLines(part.conversation, part.lines, part.heard, best_of(part.heard), tuple(part.notes))
        for part in parts
        if part.heard
    )


def _share_time(attempts: list[Attempt], seconds: float) -> None:
    """Give each take its share of the time that all took together, by frames."""
    frames = sum(attempt.take.codes.frames for attempt in attempts if attempt.take)
    for attempt in attempts:
        if attempt.take and frames:
            attempt.take = replace(attempt.take, compute_seconds=seconds * attempt.take.codes.frames / frames)


def _left_out(lines: int, with_voice: bool) -> list[str]:
    """What had to be left out of a prompt, in words."""
    notes = []
    if lines:
        which = "The oldest line" if lines == 1 else f"The oldest {lines} lines"
        notes.append(f"{which} of the context had no room in the prompt.")
    if not with_voice:
        notes.append("The line that would give the voice had no room in the prompt: this one found a voice of its own.")
    return notes


def _state(part: Part, in_wave: bool) -> LineState:
    if part.attempts and all(attempt.take for attempt in part.attempts):
        return "done" if part.best and part.best.stop == Stop.ENDED else "flagged"
    return "speaking" if in_wave and any(attempt.frames for attempt in part.attempts) else "waiting"


def _content_key(audio: Audio) -> str:
    return hashlib.sha256(f"{audio.sample_rate}|".encode() + audio.samples.tobytes()).hexdigest()


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
