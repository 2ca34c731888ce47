"""Set the project up in `.venv`: `python3 scripts/setup.py` for running, `--test` for testing too.

Needs only Python 3.11 or later and its pip. Chooses the torch build that fits the machine, and says so before
anything large is fetched. Run again it does nothing that is done.
"""

from __future__ import annotations  # an older Python must get as far as the sentence about its age

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST_PYTHON = (3, 11)

TORCH_CPU = "torch==2.13.0"  # what the tests run on; pip prefers a +cpu build of it wherever it is told to look
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_INDEX_TIMEOUT_SECONDS = 10
# The shell first: without windows, tabs and side panels that nobody sees, a page costs half the time.
CHROMIUM_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def main() -> None:
    """Bring `.venv` up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", action="store_true", help="also what the tests need: pytest, a Chromium, espeak-ng")
    chosen = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Python 3.11 or later is needed; this is {platform.python_version()}. Try: make PYTHON=python3.12 …")
    if not PYTHON.exists() or not has_pip():
        make_venv()
    pinned = requirements("requirements.txt")
    torch_lines = [line for line in pinned if line.startswith(("torch==", "torchaudio=="))]
    install([line for line in pinned if line not in torch_lines])
    install_torch(torch_lines)
    for extra in requirements("requirements-extra.txt"):
        if run(PYTHON, "-m", "pip", "install", "-q", extra, quiet=True).returncode:
            print(f"Without {extra}: it could not be built here. The studio runs, and says n/a where it is missing.")
    if chosen.test:
        install(requirements("requirements-dev.txt"))
        browser = "the browser tests drive it"
        if shutil.which("apt-get") and not shutil.which(CHROMIUM_NAMES[0]):
            print(f"Installing {CHROMIUM_NAMES[0]}: {browser} in half the time …")
            apt_install(CHROMIUM_NAMES[0])  # Debian has it, Ubuntu has not
        system_package("chromium", find_chromium, browser)
        system_package("espeak-ng", lambda: shutil.which("espeak-ng"), "the training tests speak with it")
    print("Ready.")


def run(*command: str | Path, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command; its output is shown unless `quiet`."""
    return subprocess.run([str(part) for part in command], text=True, capture_output=quiet, check=False)


def has_pip() -> bool:
    """Whether the virtual environment has a pip that runs."""
    return run(PYTHON, "-m", "pip", "--version", quiet=True).returncode == 0


def make_venv() -> None:
    """Make `.venv`, also where Debian has split ensurepip off into a package that is missing."""
    print(f"Making {VENV.name} with Python {platform.python_version()} …")
    if run(sys.executable, "-m", "venv", "--clear", VENV, quiet=True).returncode == 0:
        return
    bare = run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV, quiet=True)
    filled = bare.returncode == 0 and run(sys.executable, "-m", "pip", "--python", PYTHON, "install", "-q", "pip")
    if not filled or filled.returncode:
        sys.exit("A virtual environment could not be made. On Debian or Ubuntu: apt install python3-venv.")


def requirements(name: str) -> list[str]:
    """The requirements of a file, without comments."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-r")]


def pip(*arguments: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the environment's pip."""
    return run(PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments, quiet=quiet)


def install(packages: list[str], *options: str) -> None:
    """Install packages; stops with pip's own words where it fails."""
    if pip("install", "-q", *options, *packages).returncode:
        sys.exit(f"pip could not install: {' '.join(packages)}")


def install_torch(pinned: list[str]) -> None:
    """Install torch and torchaudio in builds that fit this machine; an importable torch stays."""
    if run(PYTHON, "-c", "import torch", quiet=True).returncode:
        if has_nvidia() or os.environ.get("TORCH") == "cuda":
            print("An NVIDIA driver is here: installing torch with CUDA (about 3 GB) …")
            install(pinned)
        elif platform.system() == "Linux":
            install_cpu_torch()
        else:
            if platform.system() == "Darwin" and platform.machine() == "x86_64":
                sys.exit("Intel Macs have no torch any more that transformers runs on. Use Linux or Apple silicon.")
            install([TORCH_CPU])
    # its newest release serves every torch since; see studio/torchaudio_on_cpu.py
    install([line for line in pinned if line.startswith("torchaudio")], "--no-deps")


def install_cpu_torch() -> None:
    """A torch without CUDA: from where pip is told to look, else the public CPU index, else the full one."""
    if resolves_to_cpu_build():
        install([TORCH_CPU])
        return
    print(f"Looking for a CPU build of torch at {CPU_INDEX} …")
    wait = ("--timeout", str(CPU_INDEX_TIMEOUT_SECONDS), "--retries", "0")
    if pip("install", "-q", "--index-url", CPU_INDEX, *wait, TORCH_CPU, quiet=True).returncode == 0:
        return
    print("WARNING: no CPU build of torch can be had; installing the default one with CUDA libraries (about 3 GB).")
    install([TORCH_CPU])


def resolves_to_cpu_build() -> bool:
    """Whether pip, as it is set up, would choose a `+cpu` wheel."""
    found = pip("install", "--dry-run", "--no-deps", "--ignore-installed", "-q", "--report", "-", TORCH_CPU, quiet=True)
    if found.returncode:
        return False
    items = json.loads(found.stdout)["install"]
    return any("+cpu" in item["metadata"]["version"] for item in items)


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is loaded."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def find_chromium() -> str | None:
    """A Chromium or Chrome of this machine."""
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    return named or found or (str(MAC_CHROME) if MAC_CHROME.exists() else None)


def apt_install(name: str) -> None:
    """Install Debian's package, if there is one and we may."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    run(*sudo, "apt-get", "update", "-qq", quiet=True)
    run(*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", name, quiet=True)


def system_package(name: str, find: Callable[[], str | None], why: str) -> None:
    """Make sure a program is there: Debian's package where we may install it, else say what to do."""
    if find():
        return
    print(f"Installing {name}: {why} …")
    if shutil.which("apt-get"):
        apt_install(name)
    elif shutil.which("brew"):
        run("brew", "install", *(["--cask"] if name == "chromium" else []), name, quiet=True)
    playwrights = ("-m", "playwright", "install", "--with-deps", "chromium")  # its own, where it may be downloaded
    if not find() and not (name == "chromium" and run(PYTHON, *playwrights, quiet=True).returncode == 0):
        print(f"WARNING: {name} could not be installed; install it yourself: {why}.")


if __name__ == "__main__":
    main()
