"""The result of a fine-tuning: a checkpoint directory that the studio, or transformers, loads like any other."""

import html
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import HiggsAudioV2ForConditionalGeneration

from studio.checkpoints import FILES, Checkpoint
from studio.consent import Consent

SHARD_SIZE = "4GB"
AUDIO_TOKENIZER = "audio_tokenizer"  # where `find_checkpoint` looks for the tokenizer of a directory
OWN_FILES = ("config.json", "README.md")  # written here; those of the base would be wrong
REPORT = "training/report.json"


@dataclass(frozen=True)
class Lineage:
    """Where a result comes from."""

    base: Checkpoint
    base_folder: Path
    tokenizer: Checkpoint
    tokenizer_folder: Path
    consent: Consent


def save_checkpoint(
    model: HiggsAudioV2ForConditionalGeneration, folder: Path, lineage: Lineage, report: dict[str, Any]
) -> None:
    """Write model, text tokenizer, chat template, audio tokenizer, report and card into a directory.

    Everything is written beside first; the configuration comes last, so that a directory with one is whole.

    Args:
        model: Without adapters.
        folder: The directory; files of an earlier result are replaced.
        lineage: What it was made from, and by whose leave.
        report: The figures, as JSON.
    """
    part = folder / "checkpoint.part"
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part, max_shard_size=SHARD_SIZE)
    _copy(lineage.base_folder, part, without=("*.safetensors", "*.safetensors.index.json", *OWN_FILES))
    _copy(lineage.tokenizer_folder, part / AUDIO_TOKENIZER)
    (part / "README.md").write_text(card(lineage, report), "utf-8")
    for stale in (folder / "config.json", *folder.glob("*.safetensors*")):
        stale.unlink(missing_ok=True)
    shutil.rmtree(folder / AUDIO_TOKENIZER, ignore_errors=True)
    for path in sorted(part.iterdir(), key=lambda path: path.name == "config.json"):
        path.replace(folder / path.name)
    part.rmdir()
    report_path = folder / REPORT
    report_path.parent.mkdir(exist_ok=True)
    report_path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _copy(source: Path, target: Path, without: tuple[str, ...] = ()) -> None:
    """What belongs to a checkpoint, followed through links: the hub's cache holds links."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        wanted = any(path.match(pattern) for pattern in FILES) and not any(path.match(each) for each in without)
        if wanted and path.is_file():
            shutil.copyfile(path, target / path.name)


def card(lineage: Lineage, report: dict[str, Any]) -> str:
    """The model card: whose voice, by whose leave, from what, how, with what figures."""
    base = lineage.base
    consent = html.escape(lineage.consent.sentence, quote=False)
    before, after = report["held_out_loss"]["before"], report["held_out_loss"]["after"]
    front = ["library_name: transformers", "pipeline_tag: text-to-speech", "license: other"]
    front += [f"base_model: {base.repo_id}"] if base.repo_id else []
    return "\n".join(
        [
            "---",
            *front,
            "---",
            f"# {html.escape(base.title)}, fine-tuned on one voice",
            "",
            f"**Consent.** {consent} Use the voice only as they agreed, and say that the speech is synthetic.",
            "",
            "| | |",
            "|---|---|",
            f"| base | {html.escape(base.title)} (`{base.source}`), licence: {base.licence}, which applies here too |",
            f"| audio tokenizer | {html.escape(lineage.tokenizer.title)}, in `{AUDIO_TOKENIZER}/` |",
            f"| data | {report['clips']['training']} clips, {report['clips']['seconds'] / 60:.1f} minutes with the "
            f"{report['clips']['held_out']} held out |",
            f"| method | {report['method']}, {report['trained_parameters']:,} parameters trained, {report['steps']} "
            f"steps, the best at {report['best_step']}; {report['seconds'] / 60:.1f} minutes on {report['device']} |",
            f"| held-out loss | {before:.3f} before, {after:.3f} after (nats a code) |",
            f"| seed | {report['seed']} |",
            "",
            "It has been taught to speak in this voice when no reference is given. It can say wrong words, and other",
            "voices suffer: it has heard only this one since. `training/report.json` holds all figures.",
            "",
        ]
    )
