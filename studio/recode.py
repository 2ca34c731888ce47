"""A folder of recordings to codes, or of codes to recordings, many at once: `python -m studio.recode FOLDER -o OUT`.

Clips of equal length share passes and the others run beside them on the cores, so a folder takes half the time of its
clips one by one, or less. Sound becomes `.npz` as the lab's *Download codes* gives it, and such a file becomes WAV. A
file that cannot be read is named and left out. Prints what was done as JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio.audio import Audio, read_recording, write_wav
from studio.checkpoints import find_checkpoint, locate
from studio.errors import BadSetting, StudioError
from studio.lab.codemap import MAX_FILE_BYTES, StoredCodes, packed, unpacked

if TYPE_CHECKING:
    from studio.codecs.higgs import HiggsCodec
    from studio.codecs.xcodec2 import XCodec2

SOUNDS = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"}
CODES = ".npz"
SHORTEST_SECONDS = 0.05
AT_ONCE = 64  # files in memory: a minute each at 24 kHz is 370 MB


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 where nothing could be done, or a file was left out."""
    parser = argparse.ArgumentParser(prog="python -m studio.recode", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings, or .npz files of codes; both may lie there")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to; made if absent")
    parser.add_argument("--codec", choices=("higgs", "xcodec2"), default="higgs")
    parser.add_argument("--codebooks", type=int, help="of higgs: how many are kept (all)")
    parser.add_argument("--checkpoint", help="as for the studio: a key of its table, a directory, OWNER/NAME@COMMIT")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see app.py
    try:
        done = recode(chosen)
    except StudioError as problem:
        print(f"studio.recode: {problem}", file=sys.stderr)
        return 1
    print(json.dumps(done, indent=2, ensure_ascii=False))
    return 1 if done["left_out"] else 0


def recode(chosen: argparse.Namespace) -> dict[str, object]:
    """Every file of the folder, in batches.

    Raises:
        StudioError: there is nothing to do, no such codec, or the result cannot be written.
    """
    if not chosen.folder.is_dir():
        raise BadSetting(f"{chosen.folder} is no folder. Give the one that the recordings lie in.")
    paths = sorted(path for path in chosen.folder.iterdir() if path.suffix.lower() in SOUNDS | {CODES})
    if not paths:
        raise BadSetting(f"There are no recordings (WAV, FLAC, Ogg, MP3, AIFF) and no .npz files in {chosen.folder}.")
    codec, revision = _load(chosen)
    if chosen.codebooks is not None and not 1 <= chosen.codebooks <= codec.codebooks:
        raise BadSetting(f"{codec.name} has 1 to {codec.codebooks} codebooks, not {chosen.codebooks}.")
    chosen.output.mkdir(parents=True, exist_ok=True)
    left_out: dict[str, str] = {}
    written: list[str] = []
    seconds = work_seconds = 0.0
    for some in _groups(paths):
        clips, codes = _read(some, codec, left_out)
        started = time.monotonic()
        encoded = dict(zip(clips, codec.encode_batch([*clips.values()]), strict=True))
        decoded = dict(zip(codes, codec.decode_batch([one.codes for one in codes.values()]), strict=True))
        work_seconds += time.monotonic() - started
        for path, made in encoded.items():
            kept = made if chosen.codebooks is None else made.first_codebooks(chosen.codebooks)
            (chosen.output / f"{path.stem}{CODES}").write_bytes(packed(StoredCodes(kept, codec.name, revision)))
            written.append(f"{path.stem}{CODES}")
            seconds += clips[path].duration_seconds
        for path, sound in decoded.items():
            write_wav(sound, chosen.output / f"{path.stem}.wav")
            written.append(f"{path.stem}.wav")
            seconds += sound.duration_seconds
    return {
        "codec": codec.name,
        "written": written,
        "left_out": left_out,
        "audio_seconds": round(seconds, 2),
        "work_seconds": round(work_seconds, 2),
    }


def _load(chosen: argparse.Namespace) -> "tuple[HiggsCodec | XCodec2, str]":
    """The codec, and the revision that its codes say they are of."""
    kind, bundled = ("tokenizer", "tokenizer-mini") if chosen.codec == "higgs" else ("xcodec2", "xcodec2-mini")
    checkpoint = find_checkpoint(chosen.checkpoint or bundled, kind)  # type: ignore[arg-type]
    folder = locate(checkpoint, lambda text: print(text, file=sys.stderr))
    from studio.codecs.higgs import HiggsCodec
    from studio.codecs.xcodec2 import XCodec2

    codec = (HiggsCodec if chosen.codec == "higgs" else XCodec2).load(folder, chosen.device)
    return codec, checkpoint.source


def _groups(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), AT_ONCE):
        yield paths[start : start + AT_ONCE]


def _read(
    paths: Sequence[Path], codec: "HiggsCodec | XCodec2", left_out: dict[str, str]
) -> tuple[dict[Path, Audio], dict[Path, StoredCodes]]:
    """Sounds and codes of the files; why a file is left out is noted under its name."""
    clips: dict[Path, Audio] = {}
    codes: dict[Path, StoredCodes] = {}
    for path in paths:
        try:
            if path.suffix.lower() != CODES:
                clips[path] = read_recording(path, shortest_seconds=SHORTEST_SECONDS).audio
                continue
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BadSetting(f"“{path.name}” has more than {MAX_FILE_BYTES // 2**20} MB.")
            stored = unpacked(path.read_bytes(), path.name)
            _check_fits(path.name, stored, codec)
            codes[path] = stored
        except StudioError as problem:
            left_out[path.name] = str(problem)
    return clips, codes


def _check_fits(name: str, stored: StoredCodes, codec: "HiggsCodec | XCodec2") -> None:
    codes = stored.codes
    fits = (codes.frame_rate, codes.codebook_size) == (codec.frame_rate, codec.codebook_size)
    if not fits or codes.codebooks > codec.codebooks:
        raise BadSetting(
            f"“{name}” holds {codes.codebooks} × {codes.codebook_size} codes at {codes.frame_rate:g} frames/s, "
            f"which {codec.name} does not decode. Choose another with --codec or --checkpoint."
        )


if __name__ == "__main__":
    sys.exit(main())
