"""Memory: the most a device has held for us."""

import resource
import sys
from pathlib import Path

import torch

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux


def peak_memory_bytes(device: str) -> int:
    """The most memory held so far: tensors on a GPU; elsewhere all this process has resident. Bytes."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak_memory(device: str) -> None:
    """Count the peak from now on. Where the system cannot, it goes on counting from the start."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    elif FORGET.exists():
        FORGET.write_text("5")  # resets the resident set's high-water mark, see proc_pid_clear_refs(5)
