"""A short MUSHRA test (ITU-R BS.1534-3): versions rated from 0 to 100 against a known reference, among them the
reference itself, hidden, and an anchor that is known to be bad.
"""

import io
import random
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
import scipy.stats
import yaml

from studio.audio import Audio
from studio.errors import BadSetting
from studio.lab.compare import no_formula
from studio.lab.listening import alike, level_matched, secret_seed, write_stimuli

ANCHOR_HZ = 3_500
HIDDEN_REFERENCE = "hidden reference"
ANCHOR = "3.5 kHz anchor"
MAX_VERSIONS = 8
HIDDEN_REFERENCE_HEARD = 90  # BS.1534-3, 4.1.2: who rates the hidden reference lower does not hear it reliably
MAX_NAME = 40
MOST_OPEN_SHEETS, MOST_LISTENERS = 8, 200  # each sheet has files of its own until it is rated


def low_pass_anchor(audio: Audio, cutoff_hz: float = ANCHOR_HZ) -> Audio:
    """The sound without its highs, in phase: the anchor of ITU-R BS.1534-3.

    Within 0.1 dB up to the cut-off, 25 dB down at 4 kHz, 50 dB down at 4.5 kHz. Sound at so low a rate that it has
    nothing above 4.5 kHz comes back as it is. Shape: `[C, N]` to `[C, N]`.
    """
    half = audio.sample_rate / 2
    if half <= cutoff_hz + 1000:
        return audio
    # A Hamming window's transition is 3.3 rates over taps wide: from the cut-off to 500 Hz above it.
    count = _odd(3.3 * audio.sample_rate / 500)
    taps = scipy.signal.firwin(count, cutoff_hz + 250, window="hamming", fs=audio.sample_rate)
    return Audio(scipy.signal.oaconvolve(audio.samples, taps[None], mode="same", axes=1), audio.sample_rate)


def _odd(count: float) -> int:
    return 2 * (round(count) // 2) + 1


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and its confidence interval by Student's t (BS.1534-3, 9.1); the interval is NaN for one value.

    Returns:
        Mean, lower and upper end.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    reach = float(scipy.stats.t.ppf((1 + confidence) / 2, len(values) - 1) * scipy.stats.sem(values))
    return mean, mean - reach, mean + reach


@dataclass(frozen=True)
class Sheet:
    """What one listener gets: the reference and the files to rate, in an order of their own."""

    listener: str
    reference: Path
    stimuli: tuple[Path, ...]


class MushraTest:
    """Versions of one clip, rated by any number of listeners. Which file is what stays in this object."""

    def __init__(self, reference: Audio, versions: Mapping[str, Audio], folder: Path) -> None:
        """Prepare a test.

        Args:
            reference: The original.
            versions: 1 to 8 versions by name.
            folder: Where the files go; the caller removes it in the end.

        Raises:
            BadSetting: no version, too many, or one named like the reference or the anchor.
        """
        if not 1 <= len(versions) <= MAX_VERSIONS:
            raise BadSetting(f"Choose 1 to {MAX_VERSIONS} versions to rate, not {len(versions)}.")
        if {HIDDEN_REFERENCE, ANCHOR} & set(versions):
            raise BadSetting(f"A version cannot be called “{HIDDEN_REFERENCE}” or “{ANCHOR}”.")
        everything = {HIDDEN_REFERENCE: reference, **versions}
        levelled = {name: level.audio for name, level in level_matched(everything, HIDDEN_REFERENCE).items()}
        # The anchor is made of the levelled reference and not levelled itself, as BS.1534 has it.
        levelled[ANCHOR] = low_pass_anchor(levelled[HIDDEN_REFERENCE])
        self._sounds = alike(levelled, HIDDEN_REFERENCE)
        self._folder = folder
        self._rng = random.Random(secret_seed())
        self._open: dict[str, tuple[Sheet, dict[Path, str]]] = {}
        self._ratings: dict[str, dict[str, float]] = {}

    @property
    def conditions(self) -> tuple[str, ...]:
        """All that is rated, hidden reference and anchor included."""
        return tuple(self._sounds)

    @property
    def listeners(self) -> tuple[str, ...]:
        """Who has rated, in order."""
        return tuple(self._ratings)

    def sheet(self, listener: str) -> Sheet:
        """Files for one listener, shuffled and named afresh; the same ones when asked again.

        Raises:
            BadSetting: no name, a listener who has rated already, or too many of them.
        """
        listener = " ".join(listener.split())[:MAX_NAME]
        if not listener:
            raise BadSetting("Give the listener a name or a number.")
        if listener in self._ratings:
            raise BadSetting(f"“{listener}” has rated already. Give another name.")
        if listener not in self._open:
            if len(self._ratings) >= MOST_LISTENERS:
                raise BadSetting(f"A test takes {MOST_LISTENERS} listeners. Download its ratings and start a new one.")
            while len(self._open) >= MOST_OPEN_SHEETS:
                self._drop_sheet(next(iter(self._open)))
            names = self._rng.sample(self.conditions, len(self.conditions))
            sounds = [self._sounds[HIDDEN_REFERENCE], *(self._sounds[name] for name in names)]
            reference, *stimuli = write_stimuli(sounds, self._folder, self._rng)
            sheet = Sheet(listener, reference, tuple(stimuli))
            self._open[listener] = (sheet, dict(zip(stimuli, names, strict=True)))
        return self._open[listener][0]

    def rate(self, listener: str, ratings: Sequence[float]) -> None:
        """Take one listener's ratings, 0 (bad) to 100 (excellent), in the order of their sheet's stimuli.

        Raises:
            BadSetting: no sheet was given out, or a rating is missing or out of range.
        """
        listener = " ".join(listener.split())[:MAX_NAME]
        if listener not in self._open:
            raise BadSetting(f"No test was started for “{listener}”.")
        sheet, names = self._open[listener]
        if len(ratings) != len(sheet.stimuli) or not all(0 <= rating <= 100 for rating in ratings):
            raise BadSetting(f"Rate all {len(sheet.stimuli)} sounds from 0 to 100.")
        self._ratings[listener] = {
            names[path]: float(rating) for path, rating in zip(sheet.stimuli, ratings, strict=True)
        }
        self._drop_sheet(listener)

    def _drop_sheet(self, listener: str) -> None:
        sheet, _ = self._open.pop(listener)
        for path in (sheet.reference, *sheet.stimuli):
            path.unlink(missing_ok=True)

    @property
    def nbytes(self) -> int:
        """Memory its sounds take."""
        return sum(sound.samples.nbytes for sound in self._sounds.values())

    @property
    def unsure_listeners(self) -> tuple[str, ...]:
        """Who rated the hidden reference below 90: BS.1534 leaves such listeners out; here they are named."""
        return tuple(
            name for name, ratings in self._ratings.items() if ratings[HIDDEN_REFERENCE] < HIDDEN_REFERENCE_HEARD
        )

    def summary(self, without_unsure: bool = False) -> pd.DataFrame:
        """One row a condition: listeners, mean, 95 % interval (NaN for one listener), best first."""
        left_out = self.unsure_listeners if without_unsure else ()
        kept = [ratings for name, ratings in self._ratings.items() if name not in left_out]
        rows = []
        for condition in self.conditions if kept else ():
            mean, low, high = mean_interval([ratings[condition] for ratings in kept])
            rows.append({"condition": condition, "listeners": len(kept), "mean": mean, "low": low, "high": high})
        table = pd.DataFrame(rows, columns=["condition", "listeners", "mean", "low", "high"])
        return table.sort_values("mean", ascending=False, ignore_index=True)

    def as_csv(self) -> str:
        """One row a listener and condition."""
        rows = [
            {"listener": no_formula(name), "condition": no_formula(condition), "rating": rating}
            for name, ratings in self._ratings.items()
            for condition, rating in ratings.items()
        ]
        table = pd.DataFrame(rows, columns=["listener", "condition", "rating"])
        return str(table.to_csv(index=False, lineterminator="\n"))

    def webmushra_zip(self, name: str = "higgs-studio") -> bytes:
        """The same stimuli as a test for webMUSHRA: unpack into its folder and open `?config=NAME.yaml`.

        webMUSHRA adds the hidden reference itself, and shuffles. The anchor is ours, as one more stimulus.
        """
        folder = Path(f"configs/resources/{name}")
        stimuli = {f"C{index}": condition for index, condition in enumerate(self.conditions) if index}
        config = _webmushra_config(name, folder, stimuli)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"configs/{name}.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
            for key, condition in {"reference": HIDDEN_REFERENCE, **stimuli}.items():
                [path] = write_stimuli([self._sounds[condition]], self._folder, self._rng)
                archive.writestr(f"{folder}/{key}.wav", path.read_bytes())
                path.unlink()
            key_to_name = pd.DataFrame({"stimulus": stimuli.keys(), "condition": map(no_formula, stimuli.values())})
            archive.writestr(f"{name}-key.csv", key_to_name.to_csv(index=False, lineterminator="\n"))
        return buffer.getvalue()


def _webmushra_config(name: str, folder: Path, stimuli: Mapping[str, str]) -> dict[str, object]:
    """The configuration as in audiolabs/webMUSHRA, doc/experimenter.md (version 1.4)."""
    return {
        "testname": name,
        "testId": name,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [
            {
                "type": "mushra",
                "id": "trial1",
                "name": "Rate each sound against the reference",
                "content": "One of them is the reference itself.",
                "enableLooping": True,
                "strict": False,  # its own rules want short clips and a 7 kHz anchor as well
                "reference": f"{folder}/reference.wav",
                "createAnchor35": False,
                "createAnchor70": False,
                "randomize": True,
                "showConditionNames": False,
                "stimuli": {key: f"{folder}/{key}.wav" for key in stimuli},
            },
            {
                "type": "finish",
                "name": "Thank you",
                "content": "Your ratings are sent with the button.",
                "questionnaire": [{"type": "text", "label": "Name", "name": "name"}],
                "showResults": True,
                "writeResults": True,
            },
        ],
    }
