"""What a fine-tuning will do, checked before anything heavy is loaded."""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

from studio.checkpoints import Checkpoint, find_checkpoint, locate, tokenizer_of
from studio.consent import Consent
from studio.errors import BadSetting, StudioError
from studio.training.adapters import check_peft
from studio.training.consent import read_consent
from studio.training.voice_folder import Clip, VoiceFolder, held_out, read_voice_folder

TRAINING = "training"  # the folder beside the result's files: state, codes, samples, report
METHODS = ("lora", "full")
LARGEST_FULL_PARAMETERS = 1_000_000_000  # each takes 16 bytes of memory while all are trained


@dataclass(frozen=True)
class Plan:
    """The voice, the leave to learn it, and what it is taught to."""

    folder: VoiceFolder
    consent: Consent
    training: list[Clip]
    held_out: list[Clip]
    base: Checkpoint
    base_folder: Path
    tokenizer: Checkpoint
    tokenizer_folder: Path
    method: str  # one of `METHODS`

    @property
    def identity(self) -> dict[str, str]:
        """What must be the same for a training to go on."""
        clips = hashlib.sha256()
        for clip in (*self.training, *self.held_out):
            clips.update(f"{clip.text}|{clip.audio.sample_rate}|".encode() + clip.audio.samples.tobytes())
        return {
            "checkpoint": self.base.source,
            "tokenizer": self.tokenizer.source,
            "method": self.method,
            "clips": clips.hexdigest(),
        }


def checked(chosen: argparse.Namespace) -> Plan:
    """Check the folder, the consent, the checkpoint and the place for the result; say what is left out and why.

    Raises:
        StudioError: something is missing; the sentence says what to do.
    """
    for name, low in (("minutes", 0), ("steps", 1), ("rate", 0)):
        value = getattr(chosen, name)
        if value is not None and not low <= value < float("inf"):
            raise BadSetting(f"--{name} must be a number from {low} on, not {value:g}.")
    folder = read_voice_folder(chosen.voice_folder)
    for remark in folder.remarks:
        print(remark)
    folder.check()
    consent = read_consent(chosen.voice_folder, chosen.consent)
    training, apart = held_out(folder.clips, chosen.seed)
    base = find_checkpoint(chosen.checkpoint, "generation")
    base_folder = locate(base, print)
    tokenizer = tokenizer_of(base, chosen.tokenizer)
    tokenizer_folder = locate(tokenizer, print)
    small = _bytes_of(base_folder) < 2 * LARGEST_FULL_PARAMETERS  # stored in two bytes each
    method = chosen.method or ("full" if small else "lora")
    if method == "full" and not small:
        raise StudioError(f"{base.title} is too large to train all of it. Use --method lora.")
    if method == "lora":
        check_peft()
    _check_place(chosen)
    return Plan(folder, consent, training, apart, base, base_folder, tokenizer, tokenizer_folder, method)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _check_place(chosen: argparse.Namespace) -> None:
    begun = (chosen.out / TRAINING / "state.pt").is_file()
    if chosen.resume and not begun:
        raise StudioError(f"There is no training to go on with in {chosen.out}. Start without --resume.")
    others = [path for path in chosen.out.iterdir() if path.name != TRAINING] if chosen.out.is_dir() else []
    if not chosen.resume and (begun or others):
        raise StudioError(f"{chosen.out} is not empty. Go on there with --resume, or choose another --out.")
