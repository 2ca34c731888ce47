"""Which checkpoint, where, in which numbers: arguments of every command, with environment variables behind them."""

import argparse
import os
from typing import Any


def _setting(name: str, default: str) -> str:
    return os.environ.get(name) or default  # an empty one counts as none


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint`, `--tokenizer`, `--device` and so on; HIGGS_CHECKPOINT and so on give the defaults."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--checkpoint",
        default=_setting("HIGGS_CHECKPOINT", "mini"),
        help="mini (bundled), 3b, a directory, or OWNER/NAME@COMMIT (HIGGS_CHECKPOINT)",
    )
    group.add_argument(
        "--tokenizer",
        default=_setting("HIGGS_TOKENIZER", ""),
        help="another audio tokenizer than the checkpoint's own (HIGGS_TOKENIZER)",
    )
    group.add_argument(
        "--device", default=_setting("HIGGS_DEVICE", "auto"), help="auto, cpu, cuda, cuda:1 or mps (HIGGS_DEVICE)"
    )
    group.add_argument(
        "--dtype",
        default=_setting("HIGGS_DTYPE", "auto"),
        help="auto, float32 or bfloat16; auto is bfloat16 on a GPU (HIGGS_DTYPE)",
    )
    group.add_argument(
        "--quantize",
        choices=("none", "int8"),
        default=_setting("HIGGS_QUANTIZE", "none"),
        help="int8 keeps the model's weights in 8 bits: less memory, a little less exact (HIGGS_QUANTIZE)",
    )


def engine_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """What `add_engine_arguments` read, as the engine's `load` takes it beside the checkpoint.

    Every command goes through here, so that none can leave a new argument out.
    """
    return {name: getattr(chosen, name) for name in ("tokenizer", "device", "dtype", "quantize")}
