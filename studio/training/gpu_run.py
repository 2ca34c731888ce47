"""One command a stage to train all three on a GPU: `python -m studio.training.gpu_run STAGE --shards FOLDER`.

Stages: `tokenizer`, `xcodec2`, `speech`. Each makes its own data with espeak-ng, stops inside the minutes it is given,
and leaves its checkpoint and its state as shards under 15 MB. Given again, it goes on: from its folder if that is still
there, otherwise from the shards. `--scale 0.001` does the same at a thousandth of the size, which a CPU bears.
"""

import argparse
import io
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from studio.training import coded_speech, speech, tokenizer, tokenizer_model, xcodec2, xcodec2_model
from studio.training.corpus import CACHE, make_corpus

CHECKPOINT, STATE = "checkpoint", "state.pt"
SHARD_BYTES = 14_000_000
STAGES = ("tokenizer", "xcodec2", "speech")
MINUTES = 8.5  # in all, of a limit of nine
RESERVE = 0.1  # of the minutes, for saving, figures and shards
LEAST_TRAINING = 0.2  # of the minutes, however long the data took
SPEECH_DATA_SHARE = 0.35  # of the speech stage's minutes, at most, for its data
UTTERANCES = {"tokenizer": 20_000, "xcodec2": 10_000}
BATCH, POSITIONS, CODE_SHARDS = 32, 32_000, 600


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
    """One stage within its time."""

    def __init__(self, options: argparse.Namespace, ends: float) -> None:
        self._options = options
        self._ends = ends  # by time.monotonic

    def folder(self, stage: str) -> Path:
        """Where a stage works, with what earlier runs left: there, or in the shards."""
        folder: Path = self._options.folder / stage
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / STATE).is_file():
            unpack(self._options.shards, stage, folder / CHECKPOINT)
            unpack(self._options.shards, f"{stage}-state", folder)
        return folder

    def tokenizer(self) -> None:
        """The Higgs tokenizer, new."""
        folder, count = self.folder("tokenizer"), self._sized(UTTERANCES["tokenizer"], 12)
        make_corpus("train", count, tokenizer_model.SAMPLE_RATE, cache=CACHE, workers=max(1, self._options.workers))
        tokenizer.main([*self._shared(folder), *self._corpus(count), "--batch", str(self._sized(BATCH, 2))])

    def xcodec2(self) -> None:
        """X-Codec2, new."""
        folder, count = self.folder("xcodec2"), self._sized(UTTERANCES["xcodec2"], 12)
        corpus = make_corpus(
            "train", count, xcodec2_model.SAMPLE_RATE, cache=CACHE, workers=max(1, self._options.workers)
        )
        xcodec2.Segments(corpus, folder, xcodec2.Recipe(utterances=count))  # extracts what the time is not to count
        xcodec2.main([*self._shared(folder), *self._corpus(count), "--batch", str(self._sized(BATCH, 2))])

    def speech(self) -> None:
        """The language model: on the tokenizer of the first stage from nothing, without one on from the bundled one."""
        folder, own = self.folder("speech"), self.folder("tokenizer") / CHECKPOINT
        has_own = (own / "config.json").is_file()
        codec = own if has_own else coded_speech.TOKENIZER
        codes, sized, workers = folder / "codes", self._sized, str(self._options.workers)
        coded_speech.main(
            [
                *("--folder", str(codes), "--tokenizer", str(codec), "--shards", "0", str(sized(CODE_SHARDS, 1))),
                *("--voices", str(sized(coded_speech.VOICES_OF_A_SHARD, 4)), "--workers", workers),
                *("--minutes", f"{self._options.minutes * SPEECH_DATA_SHARE}"),
                *("--device", self._options.device, "--eager"),
            ]
        )
        arguments = ["--codes", str(codes), "--positions", str(sized(POSITIONS, 600)), "--workers", workers]
        speech.main([*self._shared(folder), *arguments, *(["--from-nothing"] if has_own else [])])

    def _corpus(self, utterances: int) -> list[str]:
        return ["--utterances", str(utterances), "--workers", str(max(1, self._options.workers))]

    def _sized(self, full: int, least: int) -> int:
        return max(least, round(full * self._options.scale))

    def _shared(self, folder: Path) -> list[str]:
        """Arguments of every training. Trainings count the minutes of all their runs: earlier ones come on top."""
        minutes = max(LEAST_TRAINING * self._options.minutes, (self._ends - time.monotonic()) / 60)
        arguments = ["--folder", str(folder), "--device", self._options.device]
        if (folder / STATE).is_file():
            minutes += torch.load(folder / STATE, weights_only=True, map_location="cpu")["seconds"] / 60
            arguments.append("--resume")
        return [*arguments, "--minutes", f"{minutes}"]


def main(arguments: list[str] | None = None) -> None:
    """Run one stage, then write its shards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--folder", type=Path, default=Path(".training/gpu"), help="states and data")
    parser.add_argument("--shards", type=Path, default=Path("out/gpu"), help="what is kept")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="by the clock, data and figures included")
    parser.add_argument("--scale", type=float, default=1.0, help="of data and batches; 0.001 to try it out")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=16)
    options = parser.parse_args(arguments)
    run = Run(options, time.monotonic() + options.minutes * 60 * (1 - RESERVE))
    {"tokenizer": run.tokenizer, "xcodec2": run.xcodec2, "speech": run.speech}[options.stage]()
    folder = run.folder(options.stage)
    written = pack(sorted((folder / CHECKPOINT).iterdir()), options.shards, options.stage)
    written += pack([folder / STATE], options.shards, f"{options.stage}-state")
    print("\n".join(map(str, written)))


if __name__ == "__main__":
    main()
