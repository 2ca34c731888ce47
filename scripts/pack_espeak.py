"""Take espeak-ng along to a machine without it: `python -m scripts.pack_espeak .espeak`.

Copies the program, the libraries it needs but for the C library, and its English data into a folder, and writes a
starter beside them: `PATH="$PWD/.espeak:$PATH"` is all that the other machine needs. espeak-ng is GPL-3.0.
"""

import argparse
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

SYSTEM = re.compile(r"lib(c|m|dl|rt|pthread)\.so|ld-linux")
DATA = ("phondata", "phonindex", "phontab", "intonations", "en_dict", "lang/gmw", "voices")
STARTER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/lib:$LD_LIBRARY_PATH" ESPEAK_DATA_PATH="$here" exec "$here/bin/espeak-ng" "$@"
"""


def pack(target: Path) -> None:
    """Fill the folder.

    Raises:
        SystemExit: espeak-ng is not installed here.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        sys.exit("espeak-ng is not installed here: apt install espeak-ng")
    (target / "bin").mkdir(parents=True, exist_ok=True)
    (target / "lib").mkdir(exist_ok=True)
    shutil.copy(program, target / "bin" / "espeak-ng")
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"=> (/\S+)", needed):
        if not SYSTEM.match(Path(library).name):
            shutil.copy(library, target / "lib")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    data = Path(version.split("Data at: ")[1].strip())
    for name in DATA:
        source, copy = data / name, target / "espeak-ng-data" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        else:
            shutil.copy(source, copy)
    starter = target / "espeak-ng"
    starter.write_text(STARTER)
    starter.chmod(starter.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main() -> None:
    """Pack, then let what was packed speak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    pack(folder)
    said = subprocess.run(
        [folder / "espeak-ng", "-v", "en-us+f2", "--stdout", "Hello."], capture_output=True, check=True
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB, speaks ({len(said.stdout)} bytes)")


if __name__ == "__main__":
    main()
