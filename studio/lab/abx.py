"""ABX: is X the first or the second? Whether two sounds can be told apart at all, by an exact test."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from scipy.stats import binomtest

from studio.audio import Audio
from studio.errors import BadSetting
from studio.lab.compare import no_formula
from studio.lab.listening import alike, level_matched, secret_seed, write_stimuli

SIGNIFICANT = 0.05
TRIALS = (4, 64)
MOST_TO_GO = 1000

Choice = Literal["A", "B"]


def p_value(correct: int, trials: int) -> float:
    """Probability of at least so many correct answers by guessing: exact one-sided binomial test at one half."""
    return float(binomtest(correct, trials, 0.5, alternative="greater").pvalue) if trials else 1.0


def correct_to_go(correct: int, trials: int) -> int:
    """How many more trials, all of them correct, until p < 0.05; 0 when it already is."""
    for more in range(MOST_TO_GO):
        if p_value(correct + more, trials + more) < SIGNIFICANT:
            return more
    return MOST_TO_GO


@dataclass(frozen=True)
class AbxTrial:
    """What a listener may know of one trial: three files."""

    number: int  # from 1
    a: Path
    b: Path
    x: Path


@dataclass(frozen=True)
class AbxScore:
    """How a test stands."""

    correct: int
    trials: int
    planned: int

    @property
    def p_value(self) -> float:
        """See `p_value`. Only worth quoting after all planned trials: stopping when it looks good is no test."""
        return p_value(self.correct, self.trials)

    @property
    def correct_to_go(self) -> int:
        """See `correct_to_go`."""
        return correct_to_go(self.correct, self.trials)

    @property
    def finished(self) -> bool:
        """Whether all planned trials are done."""
        return self.trials >= self.planned

    @property
    def sentence(self) -> str:
        """The result in words."""
        head = f"{self.correct} of {self.trials} correct, p = {self.p_value:.3f}."
        if not self.finished:
            return head
        heard = self.p_value < SIGNIFICANT
        return f"{head} {'A difference was heard.' if heard else 'No difference was shown; that is no proof of none.'}"


class AbxTest:
    """One listener's test of one pair. Lives on the server: which one X is never leaves this object unanswered.

    Each trial has fresh files for A, B and X, of equal name length, size, duration and date; they go when it is
    answered. A is the same codec throughout, and which one that is is drawn too.
    """

    def __init__(self, first: tuple[str, Audio], second: tuple[str, Audio], folder: Path, trials: int = 16) -> None:
        """Prepare a test.

        Args:
            first: Name and sound of one version; its length and loudness hold for both.
            second: The other.
            folder: Where the trials' files go; the caller removes it when the listener has left.
            trials: How many.

        Raises:
            BadSetting: too few or too many trials, or one name for both.
        """
        if not TRIALS[0] <= trials <= TRIALS[1]:
            raise BadSetting(f"An ABX test has {TRIALS[0]} to {TRIALS[1]} trials, not {trials}.")
        if first[0] == second[0]:
            raise BadSetting("Choose two different versions for an ABX test.")
        levelled = level_matched(dict([first, second]), first[0])
        sounds = alike({name: level.audio for name, level in levelled.items()}, first[0])
        self._rng = random.Random(secret_seed())
        self._names = self._rng.sample(list(sounds), 2)  # A's and B's
        self._sounds = [sounds[name] for name in self._names]
        self._folder = folder
        self._planned = trials
        self._rows: list[dict[str, object]] = []
        self._is_x: Choice = "A"
        self.trial: AbxTrial | None = None
        self._next()

    @property
    def score(self) -> AbxScore:
        """How it stands so far."""
        return AbxScore(sum(bool(row["correct"]) for row in self._rows), len(self._rows), self._planned)

    def answer(self, choice: Choice, number: int) -> bool:
        """Take an answer and go to the next trial; after the last, `trial` is None.

        Args:
            choice: What X is said to be.
            number: The trial it is for, so that a key pressed twice does not answer the next one.

        Returns:
            Whether it counted; False for a trial that is not the present one.
        """
        if self.trial is None or number != self.trial.number:
            return False
        if choice not in ("A", "B"):
            raise BadSetting("Answer A or B.")
        self._rows.append(
            {
                "trial": number,
                "A": self._names[0],
                "B": self._names[1],
                "X": self._is_x,
                "answer": choice,
                "correct": choice == self._is_x,
            }
        )
        self._next()
        return True

    def table(self) -> pd.DataFrame:
        """One row an answered trial.

        Raises:
            BadSetting: the test is not finished; before, it would tell the listener what A is.
        """
        if not self.score.finished:
            raise BadSetting("The answers are shown when all trials are done.")
        return pd.DataFrame(self._rows)

    def as_csv(self) -> str:
        """The table, with the running p value. Raises as `table`."""
        table = self.table()
        table["p value so far"] = [p_value(int(sum(table["correct"][:count])), count) for count in table["trial"]]
        for column in ("A", "B"):
            table[column] = table[column].map(no_formula)
        return str(table.to_csv(index=False, lineterminator="\n"))

    @property
    def nbytes(self) -> int:
        """Memory its sounds take."""
        return sum(sound.samples.nbytes for sound in self._sounds)

    def _next(self) -> None:
        if self.trial is not None:
            for path in (self.trial.a, self.trial.b, self.trial.x):
                path.unlink(missing_ok=True)
        if self.score.finished:
            self.trial = None
            return
        self._is_x = self._rng.choice(("A", "B"))
        first, second = self._sounds
        x = first if self._is_x == "A" else second
        a, b, x_path = write_stimuli([first, second, x], self._folder, self._rng)
        self.trial = AbxTrial(len(self._rows) + 1, a, b, x_path)
