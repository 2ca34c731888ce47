"""Blind tests on what was compared: ABX and a short MUSHRA. Their script is `blind.js`; the answers stay here."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from studio.audio import Audio
from studio.errors import BadSetting
from studio.lab.abx import SIGNIFICANT, AbxTest, p_value
from studio.lab.metrics import LIMITED_RATE
from studio.lab.mushra import MAX_VERSIONS, MushraTest, Sheet
from studio.ui.answers import Answer, Asked, answering_page
from studio.ui.blind_store import BlindStore, Kept
from studio.ui.kept_clips import find_clip, kept_version
from studio.ui.studio import Studio
from studio.workspace import Workspace

TRIALS = (8, 12, 16, 24)


class BlindDesk:
    """What the panel asks: each function takes one JSON object and gives one."""

    def __init__(self, files: Workspace) -> None:
        """Keep tests and their files in folders of `files`, where the clips are, too."""
        self._files = files
        self._store = BlindStore(files)

    def functions(self) -> list[Answer]:
        """All of them, each under its own name, as the page's script calls them."""
        asked: Sequence[Callable[[Asked], Asked]] = (
            *(self.abx_start, self.abx_answer, self.mushra_start, self.mushra_next, self.mushra_rate),
            *(self.mushra_export, self.blind_resume, self.blind_end),
        )
        return [answering_page(function) for function in asked]

    def _sounds(self, asked: Asked, numbers: list[Any]) -> dict[str, Audio]:
        versions = [kept_version(self._files, asked.get("token"), number)[:2] for number in numbers]
        return dict(versions) if asked.get("limited") is not True else dict(limited(*version) for version in versions)

    def abx_start(self, asked: Asked) -> Asked:
        """Begin an ABX test of two versions of a clip."""
        pair = list(self._sounds(asked, [asked.get("first"), asked.get("second")]).items())
        if len(pair) < 2:
            raise BadSetting("Choose two different versions for an ABX test.")
        trials = _whole(asked.get("trials"))
        token, folder = self._store.room()
        return _abx_state(self._store.keep(AbxTest(pair[0], pair[1], folder, trials), token, folder))

    def abx_answer(self, asked: Asked) -> Asked:
        """Take an answer to the present trial; give the next one, or the result."""
        kept = self._store.find(asked.get("test"), AbxTest)
        with kept.lock:
            kept.test.answer(asked.get("choice"), _whole(asked.get("number")))  # type: ignore[union-attr, arg-type]
            return _abx_state(kept)

    def mushra_start(self, asked: Asked) -> Asked:
        """Begin a MUSHRA test of some versions of a clip against its original, for a first listener."""
        numbers = asked.get("versions")
        if not isinstance(numbers, list) or not 1 <= len(numbers) <= MAX_VERSIONS:
            raise BadSetting(f"Choose 1 to {MAX_VERSIONS} versions to rate.")
        view, _ = find_clip(self._files, asked.get("token"))
        [original] = self._sounds(asked, [0]).values()
        versions = self._sounds(asked, [number for number in numbers if number != 0])
        token, folder = self._store.room()
        test = MushraTest(original, versions, folder)
        sheet = test.sheet(_text(asked.get("listener")))
        return _sheet(self._store.keep(test, token, folder), sheet) | {"clip": view["name"]}

    def mushra_next(self, asked: Asked) -> Asked:
        """The sheet of another listener."""
        kept = self._store.find(asked.get("test"), MushraTest)
        with kept.lock:
            return _sheet(kept, kept.test.sheet(_text(asked.get("listener"))))  # type: ignore[union-attr]

    def mushra_rate(self, asked: Asked) -> Asked:
        """Take a listener's ratings; give the summary."""
        kept = self._store.find(asked.get("test"), MushraTest)
        ratings = asked.get("ratings")
        numbers = [one for one in ratings if isinstance(one, int | float)] if isinstance(ratings, list) else []
        with kept.lock:
            kept.test.rate(_text(asked.get("listener")), numbers)  # type: ignore[union-attr]
            return _rated(kept)

    def mushra_export(self, asked: Asked) -> Asked:
        """The same stimuli as a test for webMUSHRA."""
        kept = self._store.find(asked.get("test"), MushraTest)
        with kept.lock:
            archive = kept.test.webmushra_zip()  # type: ignore[union-attr]
        return {"zip": base64.b64encode(archive).decode("ascii")}

    def blind_resume(self, asked: Asked) -> Asked:
        """Where the test stands that a page had begun before it was loaded again (`{test, listener}`)."""
        kept = self._store.find(asked.get("test"), AbxTest, MushraTest)
        with kept.lock:
            if isinstance(kept.test, AbxTest):
                return {"abx": _abx_state(kept)}
            listener = _text(asked.get("listener"))
            if listener in kept.test.listeners:
                return {"rated": _rated(kept)}
            return {"sheet": _sheet(kept, kept.test.sheet(listener))}

    def blind_end(self, asked: Asked) -> Asked:
        """Leave a test: its files go."""
        self._store.end(asked.get("test"))
        return {}


def blind_tests(studio: Studio) -> gr.HTML:
    """The panel; its value is `{clips: [view of a kept clip]}`."""
    trials = [[count, _needed(count)] for count in TRIALS]
    return gr.HTML(
        {"clips": []},
        html_template='<section class="hs-blind" aria-label="Blind test"></section>',
        # Not as a property of its own: those are lost by an event that skips a component that was never shown.
        js_on_load=f"HiggsStudio.mountBlind(element, props, watch, server, {trials});",
        server_functions=BlindDesk(studio.readings).functions(),
        apply_default_css=False,
        elem_id="hs-blind",
    )


def limited(title: str, audio: Audio) -> tuple[str, Audio]:
    """A version with nothing above 8 kHz, called so: a codec of 16 kHz is then not known by its missing highs."""
    return f"{title}, limited to 16 kHz", audio.resampled(min(LIMITED_RATE, audio.sample_rate))


def _needed(trials: int) -> int:
    """How many correct answers of so many make p < 0.05."""
    return next(correct for correct in range(trials + 1) if p_value(correct, trials) < SIGNIFICANT)


def _abx_state(kept: Kept) -> Asked:
    """What the listener may know: three files, and how many trials are left; after the last, everything."""
    test: Any = kept.test
    score = test.score
    state = {"test": kept.token, "answered": score.trials, "planned": score.planned, "trial": None}
    if test.trial is not None:
        files = {name: kept.url(getattr(test.trial, name)) for name in ("a", "b", "x")}
        return state | {"trial": {"number": test.trial.number} | files}
    table = test.table()
    return state | {
        "correct": score.correct,
        "p": score.p_value,
        "sentence": score.sentence,
        "to_go": score.correct_to_go,
        "names": [table["A"].iloc[0], table["B"].iloc[0]],
        "rows": table[["trial", "X", "answer", "correct"]].to_dict("records"),
        "csv": test.as_csv(),
    }


def _sheet(kept: Kept, sheet: Sheet) -> Asked:
    return {
        "test": kept.token,
        "listener": sheet.listener,
        "reference": kept.url(sheet.reference),
        "stimuli": [kept.url(path) for path in sheet.stimuli],
    }


def _rated(kept: Kept) -> Asked:
    """What the listeners of a test have said so far."""
    test: Any = kept.test
    return {
        "test": kept.token,
        "summary": _summary(test),
        "csv": test.as_csv(),
        "unsure": test.unsure_listeners,
    }


def _summary(test: MushraTest) -> list[Asked]:
    table = test.summary()
    rows = table.astype(object).where(table.notna(), None)  # one listener has no interval
    return rows.to_dict("records")


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise BadSetting("Give a whole number.")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
