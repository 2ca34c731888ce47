"""Let torchaudio be imported beside a CPU build of torch.

The newest torchaudio wheels for Linux link CUDA libraries, and importing one beside a CPU torch
raises OSError, which takes transformers' audio models down with it. Only torchaudio's compiled
extension is at fault: with that one module marked absent, its Python functions (resample, the Kaldi
filter bank) run unchanged and give the same bits.
"""

import importlib
import sys
from types import ModuleType


def make_torchaudio_importable() -> None:
    """Import torchaudio, without its compiled extension where that cannot be loaded.

    Call it before the first import of a transformers audio model. Does nothing where torchaudio works.
    """
    try:
        importlib.import_module("torchaudio")
        return
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
    extension = ModuleType("torchaudio._extension")
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    extension._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    extension.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
    sys.modules["torchaudio._extension"] = extension
    importlib.import_module("torchaudio")
