"""torchaudio's Python functions work beside a CPU torch, and a working torchaudio is left alone."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soxr

from studio.torchaudio_on_cpu import make_torchaudio_importable

ROOT = Path(__file__).parent.parent
FRESH = """
import sys
from studio.torchaudio_on_cpu import make_torchaudio_importable
assert "torch" not in sys.modules, "importing the module acted"
make_torchaudio_importable()
make_torchaudio_importable()
import torch, torchaudio, torchaudio.compliance.kaldi
print(torchaudio.functional.resample(torch.ones(1, 240), 24_000, 16_000).shape[1])
"""


def test_in_a_fresh_process_torchaudio_can_be_imported_and_resamples():
    done = subprocess.run([sys.executable, "-c", FRESH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "160\n"), done.stderr


def test_what_it_resamples_is_what_another_resampler_gives():
    make_torchaudio_importable()
    import torch
    import torchaudio

    sine = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(24_000) / 24_000)).astype(np.float32)
    ours = torchaudio.functional.resample(torch.from_numpy(sine), 24_000, 16_000).numpy()
    other = soxr.resample(sine, 24_000, 16_000, quality="VHQ")
    assert np.abs(ours - other)[100:-100].max() < 2e-3


def test_the_kaldi_filter_bank_finds_a_tone_in_its_band():
    make_torchaudio_importable()
    import torch
    from torchaudio.compliance.kaldi import fbank

    tones = [torch.sin(2 * torch.pi * hz * torch.arange(16_000) / 16_000)[None] for hz in (300, 1000, 4000)]
    bands = [int(fbank(tone, num_mel_bins=80, sample_frequency=16_000).mean(0).argmax()) for tone in tones]
    assert bands == sorted(set(bands))


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the machinery of imports: which names were asked for, and how the first of them fails."""
    state: dict[str, Any] = {"asked": [], "fails": None}

    def import_module(name: str) -> ModuleType:
        state["asked"].append(name)
        if len(state["asked"]) == 1 and state["fails"]:
            raise state["fails"]
        return ModuleType(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    return state


def test_a_torchaudio_that_works_is_left_alone(imports: dict):
    make_torchaudio_importable()
    assert imports["asked"] == ["torchaudio"]
    assert "torchaudio._extension" not in sys.modules


def test_only_the_compiled_extension_is_marked_absent(imports: dict, monkeypatch: pytest.MonkeyPatch):
    imports["fails"] = OSError("libcudart.so.13: cannot open shared object file")
    half_imported = ModuleType("torchaudio._internal")
    monkeypatch.setitem(sys.modules, "torchaudio._internal", half_imported)
    make_torchaudio_importable()
    extension = sys.modules.pop("torchaudio._extension")
    assert imports["asked"] == ["torchaudio", "torchaudio"]
    assert (extension._IS_TORCHAUDIO_EXT_AVAILABLE, extension._IS_ALIGN_AVAILABLE) == (False, False)
    assert extension.fail_if_no_align(len) is len
    assert "torchaudio._internal" not in sys.modules, "what was half imported is imported anew"


def test_a_torchaudio_that_is_not_installed_is_an_ordinary_import_error(imports: dict):
    imports["fails"] = ModuleNotFoundError("No module named 'torchaudio'")
    with pytest.raises(ModuleNotFoundError):
        make_torchaudio_importable()
