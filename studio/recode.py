"""A folder of recordings to codes, or of codes to recordings, many at once: `python -m studio.recode FOLDER -o OUT`.

Clips of equal length share passes and the others run beside them on the cores: on two quiet cores that took from a
quarter to two thirds of the time of the clips one by one (docs/benchmarks.md). Sound becomes `.npz` as the lab's
*Download codes* gives it, and such a file becomes WAV. A file that cannot be read, or whose result has no place, is
named and left out. Prints what was done as JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from studio.audio import Audio, read_recording, write_wav
from studio.checkpoints import Checkpoint, find_checkpoint, locate
from studio.codes import Codes
from studio.durable import write_durably
from studio.errors import BadSetting, StudioError
from studio.lab.codemap import StoredCodes, fits, packed, read_codes
from studio.lab.compare import SHORTEST_CLIP_SECONDS

if TYPE_CHECKING:
    from studio.codecs.higgs import HiggsCodec
    from studio.codecs.xcodec2 import XCodec2

SOUNDS = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"}
CODES = ".npz"
SECONDS_AT_ONCE = 600.0  # of sound in memory: 58 MB at 24 kHz, 460 MB at the highest rate that is read


@dataclass
class Report:
    """What was done, as it is printed."""

    codec: str
    checkpoint: str
    written: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # why, by file name
    notes: dict[str, list[str]] = field(default_factory=dict)  # what was repaired or is worth knowing, by file name
    audio_seconds: float = 0.0
    work_seconds: float = 0.0


@dataclass
class Batch:
    """Files that are recoded together."""

    clips: dict[Path, Audio] = field(default_factory=dict)
    codes: dict[Path, StoredCodes] = field(default_factory=dict)
    seconds: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 where nothing could be done, or a file was left out."""
    parser = argparse.ArgumentParser(prog="python -m studio.recode", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings, or .npz files of codes; both may lie there")
    parser.add_argument("-o", "--output", type=Path, required=True, help="another folder to write to; made if absent")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are in the output folder already")
    parser.add_argument("--codec", choices=("higgs", "xcodec2"), default="higgs")
    parser.add_argument("--codebooks", type=int, help="how many are kept, or decoded (all)")
    parser.add_argument(
        "--checkpoint", help="of the codec: tokenizer-mini, xcodec2-mini, a directory, OWNER/NAME@COMMIT"
    )
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see app.py
    try:
        done = recode(chosen)
    except StudioError as problem:
        print(f"studio.recode: {problem}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(done), indent=2, ensure_ascii=False))
    return 1 if done.left_out else 0


def recode(chosen: argparse.Namespace) -> Report:
    """Every file of the folder, in batches.

    Raises:
        StudioError: there is nothing to do, no such codec, or the result cannot be written.
    """
    targets, left_out = _planned(chosen.folder, chosen.output, chosen.overwrite)
    kind, bundled = ("tokenizer", "tokenizer-mini") if chosen.codec == "higgs" else ("xcodec2", "xcodec2-mini")
    checkpoint = find_checkpoint(chosen.checkpoint or bundled, kind)  # type: ignore[arg-type]
    folder = locate(checkpoint, lambda text: print(text, file=sys.stderr))
    try:
        chosen.output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BadSetting(f"{chosen.output} cannot be made ({problem.strerror}). Give another folder.") from None
    from studio.codecs.higgs import HiggsCodec
    from studio.codecs.xcodec2 import XCodec2

    codec = (HiggsCodec if chosen.codec == "higgs" else XCodec2).load(folder, chosen.device)
    most = chosen.codebooks if chosen.codebooks is not None else codec.codebooks
    if not 1 <= most <= codec.codebooks:
        raise BadSetting(f"{codec.name} has 1 to {codec.codebooks} codebooks, not {most}.")
    report = Report(codec.name, checkpoint.source, left_out=left_out)
    for batch in _batches(targets, codec, most, report):
        _recoded(batch, targets, codec, checkpoint, most, report)
        print(f"{len(report.written)} of {len(targets)} written.", file=sys.stderr)
    report.audio_seconds, report.work_seconds = round(report.audio_seconds, 2), round(report.work_seconds, 2)
    return report


def _planned(folder: Path, output: Path, overwrite: bool) -> tuple[dict[Path, Path], dict[str, str]]:
    """Where each file of the folder goes, and why some go nowhere: nothing that exists is replaced unasked.

    Raises:
        BadSetting: there is nothing to do, or the output would lie among the person's own files.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUNDS | {CODES} and path.is_file())
    except OSError as problem:
        raise BadSetting(f"{folder} is no folder to read ({problem.strerror}). Give that of the recordings.") from None
    if not paths:
        raise BadSetting(f"There are no recordings (WAV, FLAC, Ogg, MP3, AIFF) and no .npz files in {folder}.")
    if output.resolve() == folder.resolve():
        raise BadSetting("The output would lie among the files it is made of. Give another folder with -o.")
    targets: dict[Path, Path] = {}
    left_out: dict[str, str] = {}
    taken: dict[str, str] = {}  # by name as disks compare it that tell no small letters from capitals
    for path in paths:
        target = output / f"{path.stem}{CODES if path.suffix.lower() in SOUNDS else '.wav'}"
        if other := taken.get(target.name.casefold()):
            left_out[path.name] = f"{target.name} is what “{other}” becomes. Rename one of the two."
        elif target.exists() and not overwrite:
            left_out[path.name] = f"{target} is there already. Give another folder, or --overwrite."
        else:
            taken[target.name.casefold()] = path.name
            targets[path] = target
    return targets, left_out


def _batches(
    paths: Mapping[Path, Path], codec: "HiggsCodec | XCodec2", codebooks: int, report: Report
) -> Iterator[Batch]:
    """The files read, some minutes of sound at a time; what is to say of them goes into the report."""
    batch = Batch()
    for path in paths:
        try:
            if path.suffix.lower() == CODES:
                stored = batch.codes[path] = _decodable(path, codec, codebooks)
                batch.seconds += stored.codes.duration_seconds
            else:
                recording = read_recording(path, shortest_seconds=SHORTEST_CLIP_SECONDS)
                batch.clips[path] = recording.audio
                batch.seconds += recording.audio.duration_seconds
                if recording.notes:
                    report.notes[path.name] = [*recording.notes]
        except StudioError as problem:
            report.left_out[path.name] = str(problem)
        except OSError as problem:
            report.left_out[path.name] = f"It cannot be read ({problem.strerror})."
        if batch.seconds >= SECONDS_AT_ONCE:
            yield batch
            batch = Batch()
    if batch.seconds:
        yield batch


def _decodable(path: Path, codec: "HiggsCodec | XCodec2", codebooks: int) -> StoredCodes:
    """Codes of a file, at most so many codebooks. Raises StudioError where the codec does not decode them."""
    stored = read_codes(path, path.name)
    codes = stored.codes
    if not fits(codec, codes):
        raise BadSetting(
            f"“{path.name}” holds {codes.codebooks} × {codes.codebook_size} codes at {codes.frame_rate:g} frames/s, "
            f"which {codec.name} does not decode. Choose another with --codec or --checkpoint."
        )
    return StoredCodes(codes.first_codebooks(min(codebooks, codes.codebooks)), stored.codec, stored.revision)


def _recoded(
    batch: Batch,
    targets: Mapping[Path, Path],
    codec: "HiggsCodec | XCodec2",
    checkpoint: Checkpoint,
    codebooks: int,
    report: Report,
) -> None:
    """Encode and decode a batch, and write what came of it."""
    started = time.monotonic()
    encoded = codec.encode_batch([*batch.clips.values()])
    decoded = codec.decode_batch([one.codes for one in batch.codes.values()])
    report.work_seconds += time.monotonic() - started
    results: list[Codes | Audio] = [*encoded, *decoded]
    for path, result in zip((*batch.clips, *batch.codes), results, strict=True):
        target = targets[path]
        try:
            if isinstance(result, Audio):
                write_wav(result, target)
            else:
                stored = StoredCodes(result.first_codebooks(codebooks), codec.name, checkpoint.source)
                write_durably(target, packed(stored))
        except (OSError, soundfile.LibsndfileError) as problem:
            report.left_out[path.name] = f"{target} cannot be written ({problem})."
            continue
        report.written.append(target.name)
        report.audio_seconds += (result if isinstance(result, Audio) else batch.clips[path]).duration_seconds


if __name__ == "__main__":
    sys.exit(main())
