"""All three trained on a GPU by one command: `python -m studio.training.gpu_run all --shards FOLDER`.

Stages: `tokenizer`, `xcodec2`, `speech`, or `all` of them in one go, X-Codec2 beside the tokenizer and speech spoken by
the other cores all along; then `guidance`, the last stage of the language model, on what `speech` gave. Each makes its
own data with espeak-ng, stops inside the minutes it is given, and leaves its checkpoint and its state as shards under
15 MB. Given again, it goes on: from its folder if that is still there, otherwise from the shards. With `--go-on` the
Higgs tokenizer and the language model do not begin from nothing but from the bundled weights. `--scale 0.001` does the
same at a thousandth of the size, which a CPU bears.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from studio.training.spoken_speech import VOICES_OF_A_SHARD, shards_of, speak_shards

CHECKPOINT, STATE, LOG = "checkpoint", "state.pt", "log.jsonl"
BUNDLED_TOKENIZER = Path("assets/mini/higgs-audio-v2-tokenizer-mini")
SHARD_BYTES = 14_900_000  # small enough for what carries files one by one
STAGES = ("tokenizer", "xcodec2", "speech", "guidance")
MINUTES = 8.5  # in all, unless told otherwise
RESERVE_SECONDS = 20.0  # for saving and shards
LEAST_TRAINING = 0.2  # of the minutes, however long the data took
TOKENIZER_SHARE, XCODEC2_SHARE = 0.5, 0.35  # of the minutes of `all`, until which they train, data included
SPEAKING_SHARE = 0.3  # of the minutes of `speech` alone, at most
CODING_SECONDS, CODING_PROCESSES = 60.0, 4  # at most
XCODEC2_UTTERANCES = 6_000
WIDTH = 512  # of the tokenizer
TOKENIZER_BATCH, XCODEC2_BATCH, POSITIONS = 16, 48, 32_000
GUIDANCE_POSITIONS = 8_000  # what is learnt is spoken first, frame by frame
TOKENIZER_SHARDS, SPEECH_SHARDS, GUIDANCE_SHARDS = 28, 320, 40  # of 600 utterances
GO_ON_AT = 0.4  # of the curriculum, for a model that reads
RATE, XCODEC2_RATE = 2.5e-3, 1e-3  # of learning: batches are larger than on a CPU


def pack(files: Sequence[Path], shards: Path, name: str) -> list[Path]:
    """Files as numbered parts of one tar, each under 15 MB."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for path in files:
            archive.add(path, path.name)
    shards.mkdir(parents=True, exist_ok=True)
    for old in shards.glob(f"{name}.tar.*"):
        old.unlink()
    content, written = whole.getvalue(), []
    for index, start in enumerate(range(0, len(content), SHARD_BYTES)):
        written.append(shards / f"{name}.tar.{index:02d}")
        written[-1].write_bytes(content[start : start + SHARD_BYTES])
    return written


def unpack(shards: Path, name: str, folder: Path) -> bool:
    """The files again; false if there are no parts of them."""
    parts = sorted(shards.glob(f"{name}.tar.*"))
    if parts:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(b"".join(part.read_bytes() for part in parts))) as archive:
            archive.extractall(folder, filter="data")
    return bool(parts)


class Run:
    """Stages within a time. Each training is a process of its own: what one breaks, the others do not feel."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._begun = time.monotonic()
        self._seconds: float = options.minutes * 60
        self._reserve = RESERVE_SECONDS * options.minutes / MINUTES
        self._speaking: threading.Thread | None = None
        self._enough = threading.Event()  # is spoken: the cores are needed otherwise

    def tokenizer(self, until: float = 1.0) -> None:
        """The Higgs tokenizer until a share of the minutes is over."""
        count = self._sized(TOKENIZER_SHARDS, 1)
        self._speak(count)
        arguments = ["--batch", str(self._sized(TOKENIZER_BATCH, 2)), "--spoken", str(self._spoken)]
        arguments += ["--wait-for", str(count)]
        arguments += ["--go-on"] if self._options.go_on else ["--width", str(32 * self._sized(WIDTH // 32, 1))]
        self._train("tokenizer", until, [*arguments, *(["--large-discriminators"] if self._on_gpu else [])])

    def xcodec2(self, until: float = 1.0) -> None:
        """X-Codec2, new."""
        data = ["--utterances", str(self._sized(XCODEC2_UTTERANCES, 12)), "--workers", str(max(1, self._workers // 3))]
        batch = ["--batch", str(self._sized(XCODEC2_BATCH, 2)), "--rate", f"{XCODEC2_RATE}", "--no-evaluation"]
        self._train("xcodec2", until, [*data, *batch])

    def speech(self) -> None:
        """The language model, on the codes of the tokenizer of the first stage, without one on those of the bundled."""
        codes = self._coded(SPEECH_SHARDS)
        arguments = ["--codes", str(codes), "--positions", str(self._sized(POSITIONS, 600)), "--rate", f"{RATE}"]
        arguments += ["--workers", str(max(0, self._workers - 2))]
        if self._options.go_on:  # a tokenizer that went on leaves its codes nearly what they were
            arguments += ["--begins-at", f"{GO_ON_AT}"]
        elif self._own_tokenizer:
            arguments.append("--from-nothing")
        self._train("speech", 1.0, arguments)

    def guidance(self) -> None:
        """The last stage of the language model that `speech` gave, without one of the bundled."""
        codes = self._folder("speech") / "codes"
        if not shards_of(codes):  # on another machine than `speech`
            self._coded(GUIDANCE_SHARDS)
        teacher = self._folder("speech") / CHECKPOINT
        arguments = ["--codes", str(codes), "--positions", str(self._sized(GUIDANCE_POSITIONS, 600))]
        if (teacher / "config.json").is_file():
            arguments += ["--teacher", str(teacher)]
        self._train("guidance", 1.0, arguments)

    def _coded(self, shards: int) -> Path:
        """Speech as codes of the tokenizer of the first stage, or of the bundled one, and whose voices they are."""
        count = self._sized(shards, 1)
        folder = self._folder("speech") / "codes"
        self._speak(count)
        self._wait_for(count, SPEAKING_SHARE)
        self._enough.set()
        coding = ["--spoken", str(self._spoken), "--folder", str(folder), "--device", self._options.device]
        coding += ["--tokenizer", str(self._own_tokenizer or BUNDLED_TOKENIZER), "--minutes", f"{CODING_SECONDS / 60}"]
        parts = CODING_PROCESSES if self._workers else 1  # reading and cutting clips takes longer than encoding them
        with ThreadPoolExecutor(parts) as pool:
            for done in [
                pool.submit(self._run, "coded_speech", [*coding, "--part", f"{part}", f"{parts}"])
                for part in range(parts)
            ]:
                done.result()
        self._run("coded_voices", ["--codes", str(folder), "--workers", str(max(0, self._workers - 2))])
        return folder

    @property
    def _own_tokenizer(self) -> Path | None:
        own = self._folder("tokenizer") / CHECKPOINT
        return own if (own / "config.json").is_file() else None

    def all(self) -> None:
        """Everything; X-Codec2 beside the tokenizer."""
        self._speak(self._sized(SPEECH_SHARDS, 1))
        time.sleep(self._options.head_start)
        beside = threading.Thread(target=self.xcodec2, args=(XCODEC2_SHARE,), daemon=True)
        beside.start()
        self.tokenizer(TOKENIZER_SHARE)
        self.speech()
        beside.join()

    @property
    def _spoken(self) -> Path:
        return self._options.folder / "spoken"

    @property
    def _workers(self) -> int:
        return int(self._options.workers)

    @property
    def _on_gpu(self) -> bool:
        return self._options.device != "cpu"

    def _folder(self, stage: str) -> Path:
        """Where a stage works, with what earlier runs left: there, or in the shards."""
        folder: Path = self._options.folder / stage
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / STATE).is_file():
            unpack(self._options.shards, stage, folder / CHECKPOINT)
            unpack(self._options.shards, f"{stage}-state", folder)
        return folder

    def _speak(self, count: int) -> None:
        """Begin to speak so many shards beside everything else, once."""
        if self._speaking is None:
            voices, workers = self._sized(VOICES_OF_A_SHARD, 4), max(1, self._workers - 2) if self._workers else 0
            made = speak_shards(self._spoken, 0, count, voices=voices, workers=workers)
            self._speaking = threading.Thread(target=self._speak_until_enough, args=(made,), daemon=True)
            self._speaking.start()

    def _speak_until_enough(self, made: Generator[int]) -> None:
        for _ in made:
            if self._enough.is_set():
                made.close()

    def _wait_for(self, count: int, share: float) -> None:
        """Until so many shards are spoken, or so much of the time is over and there is at least one."""
        while (have := len(shards_of(self._spoken))) < count:
            is_late = time.monotonic() - self._begun > share * self._seconds
            if have and is_late:
                return
            if self._speaking is None or not self._speaking.is_alive():
                raise SystemExit("Nothing could be spoken: is espeak-ng installed?")
            time.sleep(0.1)

    def _train(self, stage: str, until: float, arguments: Sequence[str]) -> None:
        """A training until a share of the time is over, then its shards. Told by the hour: starting takes time, too."""
        folder = self._folder(stage)
        left = until * self._seconds - (time.monotonic() - self._begun) - self._reserve
        end_by = time.time() + max(left, LEAST_TRAINING * until * self._seconds)
        given = ["--folder", str(folder), "--device", self._options.device]
        if (folder / STATE).is_file():
            given.append("--resume")
        self._run(stage, [*given, "--minutes", "inf", "--end-by", f"{end_by}", *arguments])
        written = pack([*sorted((folder / CHECKPOINT).iterdir()), folder / LOG], self._options.shards, stage)
        if not self._options.without_states:
            written += pack([folder / STATE], self._options.shards, f"{stage}-state")
        print("\n".join(map(str, written)), flush=True)

    def _run(self, module: str, arguments: Sequence[str]) -> None:
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", f"studio.training.{module}", *arguments], check=True)
        print(f"{module}: {time.monotonic() - started:.0f} s of {self._seconds:.0f}", flush=True)

    def _sized(self, full: int, least: int) -> int:
        return max(least, round(full * self._options.scale))


def main(arguments: list[str] | None = None) -> None:
    """Run one stage or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all"))
    parser.add_argument("--folder", type=Path, default=Path(".training/gpu"), help="states and data")
    parser.add_argument("--shards", type=Path, default=Path("out/gpu"), help="what is kept")
    parser.add_argument("--without-states", action="store_true", help="keep checkpoints only")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="by the clock, data and shards included")
    parser.add_argument("--go-on", action="store_true", help="tokenizer and speech begin as the bundled ones")
    parser.add_argument("--head-start", type=float, default=0.0, help="seconds of `all` for speaking alone")
    parser.add_argument("--scale", type=float, default=1.0, help="of data and batches; 0.001 to try it out")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=16)
    options = parser.parse_args(arguments)
    run = Run(options)
    stages = {"tokenizer": run.tokenizer, "xcodec2": run.xcodec2, "speech": run.speech, "guidance": run.guidance}
    (stages | {"all": run.all})[options.stage]()


if __name__ == "__main__":
    main()
