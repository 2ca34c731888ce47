"""Voices that espeak-ng does not come with: variants whose formants, tilt, breath and manner are drawn.

espeak-ng has some forty variants that sound like somebody; a codec trained on them knows them by heart and others
poorly. A variant is a short text file (espeak-ng's docs/voices.md says what its lines mean), so there can be as many as
there are numbers. They are written into a copy of espeak-ng's data folder that consists of links.
"""

import random
from pathlib import Path

from studio.training.corpus import Gender

PREFIX = "drawn"  # of their names: drawn-f-17 and drawn-m-17
NUMBERS = 1_000_000
FORMANTS = 9
VARIANTS_FOLDER = Path("voices") / "!v"
TRACT = {"feminine": (1.02, 1.32), "masculine": (0.82, 1.1)}  # formants, as a share of espeak-ng's own
PITCH = {"feminine": (130, 230), "masculine": (55, 120)}  # Hz, where the voice begins to rise from
ODD_SHARE = 0.05  # of the upper formants stand where no throat would put them, as in some of espeak-ng's own variants
MOVED = {1: (-60, 60), 2: (-300, 300)}  # Hz, further


def drawn_name(chance: random.Random, gender: Gender) -> str:
    """The name of some variant."""
    return f"{PREFIX}-{gender[0]}-{chance.randrange(NUMBERS)}"


def is_drawn(name: str) -> bool:
    """Whether a variant is one of these."""
    return name.startswith(f"{PREFIX}-")


def variant_text(name: str) -> str:
    """What the file of a variant says, decided by its name alone."""
    gender: Gender = "feminine" if name.split("-")[1] == "f" else "masculine"
    chance = random.Random(name)

    def often(share: float, line: str) -> list[str]:
        return [line] if chance.random() < share else []

    def some(low: int, high: int, count: int = 1) -> str:
        return " ".join(str(chance.randint(low, high)) for _ in range(count))

    tract, lowest = chance.uniform(*TRACT[gender]), chance.randint(*PITCH[gender])
    height, width = chance.uniform(60, 125), chance.uniform(55, 150)
    lines = ["language variant", f"name {name}", f"gender {'female' if gender == 'feminine' else 'male'}"]
    lines.append(f"pitch {lowest} {round(lowest * chance.uniform(1.2, 2.3))}")
    for formant in range(FORMANTS):
        own = tract * chance.gauss(1, 0.06) if formant else chance.uniform(0.8, 1.1)
        if formant > 2 and chance.random() < ODD_SHARE:
            own *= chance.uniform(0.2, 2.5)
        loud = 0 if formant > 6 and chance.random() < 0.2 else height * chance.uniform(0.75, 1.25)
        moved = chance.randint(*MOVED[formant]) if formant in MOVED and chance.random() < 0.25 else 0
        breadth = width * chance.uniform(0.75, 1.25)
        lines.append(f"formant {formant} {own * 100:.0f} {loud:.0f} {breadth:.0f} {moved}")
    return "\n".join(
        [
            *lines,
            *often(0.3, f"intonation {some(1, 4)}"),
            *often(0.3, f"voicing {some(40, 135)}"),
            *often(0.3, f"consonants {some(60, 120, 2)}"),
            *often(0.3, f"flutter {some(0, 6)}"),
            *often(0.3, f"roughness {some(0, 5)}"),
            *often(0.15, f"echo {some(20, 150)} {some(5, 30)}"),
            *often(0.15, f"breath {some(0, 8, 8)}"),
            *often(0.3, f"tone 100 {some(60, 255)} 600 {some(60, 255)} 1200 {some(40, 200)} 3000 {some(20, 150)}"),
            *often(0.3, f"stressAdd {some(-20, 30, 7)} {some(0, 120)}"),
            *often(0.3, f"stressAmp {some(12, 24, 8)}"),
            "",
        ]
    )


def linked_data(data: Path, folder: Path) -> Path:
    """A copy of a data folder that consists of links and takes further variants; `folder` gets it."""
    voices = data / VARIANTS_FOLDER.parts[0]
    own = folder / data.name
    (own / VARIANTS_FOLDER).mkdir(parents=True)
    for here, there in ((data, own), (voices, own / voices.name), (data / VARIANTS_FOLDER, own / VARIANTS_FOLDER)):
        for path in here.iterdir():
            if not (there / path.name).exists():
                (there / path.name).symlink_to(path.resolve())
    return own


def add_variant(data: Path, name: str) -> None:
    """Write a variant's file, unless it is there."""
    path = data / VARIANTS_FOLDER / name
    if not path.exists():
        path.write_text(variant_text(name), "utf-8")
