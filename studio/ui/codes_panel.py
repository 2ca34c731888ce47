"""Codes as things: uploaded, kept in part, mixed between two clips, left out, and heard."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from studio.audio import shown_name
from studio.errors import BadSetting, StudioError
from studio.lab.codemap import StoredCodes, mixed, read_codes
from studio.ui.answers import told
from studio.ui.bench import listening_bench
from studio.ui.code_choice import Listed, compared_codes, listed_codes, named, shortened
from studio.ui.kept_clips import KeptClip, Made, find_clip, kept_version
from studio.ui.studio import Studio

NOTHING_YET = (
    "Compare with a neural codec, or upload codes that were downloaded here. Then keep some codebooks, take some from "
    "another clip, leave some out, and hear what each of them carries."
)
NOTHING_DECODED = (
    "Press Decode and hear to hear the chosen codes; keep fewer codebooks, leave some out, or take some from another "
    "clip, and hear what each of them carries."
)
NO_OTHER = ""
HEAR = "Decode and hear"
BOTH_ALIKE = "From a clip with as many codebooks, at the same frame rate."
NO_OTHER_FITS = "No other clip here has as many codebooks at the same frame rate."

Data = dict[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class CodesPanel:
    """The components of the panel."""

    upload: gr.File
    first: gr.Dropdown
    second: gr.Dropdown
    taken: gr.CheckboxGroup
    silent: gr.CheckboxGroup
    kept: gr.Slider
    go: gr.Button
    refused: gr.HTML  # why an upload was not taken
    note: gr.HTML  # what hinders decoding, or what is to be known of what was decoded
    bench: gr.HTML
    own: gr.State  # uploaded codes: [Listed]
    offers: gr.State  # all that can be chosen: [Listed]

    @property
    def _choices(self) -> list[Any]:
        return [self.offers, self.first, self.second, self.taken, self.silent, self.kept]

    def connect(self, studio: Studio, compared: Sequence[Any], clips: gr.State) -> None:
        """Offer the codes of what was compared, take uploads, and decode."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

        def offer_codes(data: Data) -> Data:
            offers = compared_codes(studio, data[clips]) + data[self.own]
            heard = data[self.bench] if isinstance(data[self.bench], dict) else {}
            bench = {"clips": heard.get("clips", []), "empty": NOTHING_DECODED if offers else NOTHING_YET}
            return self._menus(offers, data[self.first]) | {self.bench: bench}

        for event in compared:  # a comparison has ended, or was found again
            event.then(
                offer_codes,
                inputs={clips, self.own, self.first, self.bench},
                outputs=[*self._choices, self.bench],
                **quiet,
            )

        def follow_first(data: Data) -> Data:
            return self._following(data[self.offers], data[self.first]) | {self.note: gr.update(visible=False)}

        self.first.input(
            follow_first, inputs={self.offers, self.first}, outputs=[*self._choices[2:], self.note], **quiet
        )
        self.second.input(
            lambda second: gr.update(interactive=True) if second else gr.update(interactive=False, value=[]),
            inputs=[self.second],
            outputs=[self.taken],
            **quiet,
        )

        def in_turn(work: Callable[[], T]) -> Generator[Data, None, T]:
            """The work when no comparison runs, with the button saying so meanwhile."""
            return (yield from studio.comparisons.watched(work, lambda words: {self.go: _busy(words)}))

        def add_codes(data: Data) -> Iterator[Data]:
            path = data[self.upload]
            if not path:
                return
            name = shown_name(Path(path).name)
            try:
                stored = read_codes(Path(path), name)
                made = yield from in_turn(lambda: _heard(studio, name, stored))
            except StudioError as problem:
                yield {self.go: _ready(), self.upload: None, self.refused: told(str(problem), wrong=True)}
                return
            clip = KeptClip(name, made, studio.readings)
            clip.match_levels()
            own = [*data[self.own], listed_codes(f"{clip.token}/0", f"Upload: {name}", name, stored)]
            menus = self._menus(compared_codes(studio, data[clips]) + own, own[-1].id)
            heard = {self.go: _ready(), self.bench: {"clips": [clip.view], "empty": ""}}
            quiet_notes = {note: gr.update(visible=False) for note in (self.refused, self.note)}
            yield menus | heard | quiet_notes | {self.own: own, self.upload: None}

        self.upload.upload(
            add_codes,
            inputs={self.upload, self.own, clips},
            outputs=[self.upload, self.own, *self._choices, self.go, self.bench, self.refused, self.note],
            concurrency_limit=None,  # one after another by `Comparisons`
            **quiet,
        )

        def hear_codes(data: Data) -> Iterator[Data]:
            try:
                clip, words = yield from in_turn(lambda: self._mixed_clip(studio, data))
            except StudioError as problem:
                yield {self.go: _ready(), self.note: told(str(problem), wrong=True)}
                return
            yield {
                self.go: _ready(),
                self.bench: {"clips": [clip.view], "empty": "", "play": len(clip.view["versions"]) - 1},
                self.note: told(words, wrong=False) if words else gr.update(visible=False),
            }

        self.go.click(
            hear_codes,
            inputs={self.first, self.second, self.taken, self.silent, self.kept},
            outputs=[self.go, self.bench, self.note],
            concurrency_limit=None,
            **quiet,
        )

    def _menus(self, offers: list[Listed], wanted: str | None) -> Data:
        """All that is offered; without a wish, of that the codes with the most codebooks."""
        fullest = max(offers, key=lambda one: one.codebooks, default=None)
        chosen = next((one.id for one in offers if one.id == wanted), fullest.id if fullest else None)
        menu = gr.update(choices=[(one.label, one.id) for one in offers], value=chosen)
        return {self.offers: offers, self.first: menu} | self._following(offers, chosen)

    def _following(self, offers: list[Listed], chosen: str | None) -> Data:
        """The other controls, as far as they mean something for the chosen codes."""
        first = next((one for one in offers if one.id == chosen), None)
        if first is None:
            return {}
        others = [(one.label, one.id) for one in offers if first.fits(one)]
        count = first.codebooks
        numbers = [str(number) for number in range(1, count + 1)]
        return {
            # Gradio refuses a slider of one place, a hidden one too.
            self.kept: gr.update(maximum=max(2, count), value=count, visible=count > 1),
            self.silent: gr.update(choices=numbers, value=[], visible=count > 1),
            self.taken: gr.update(choices=numbers, value=[], interactive=False),
            self.second: gr.update(
                choices=[("None", NO_OTHER), *others],
                value=NO_OTHER,
                interactive=bool(others),
                info=BOTH_ALIKE if others else NO_OTHER_FITS,
            ),
        }

    def _mixed_clip(self, studio: Studio, data: Data) -> tuple[KeptClip, str]:
        """The first codes as they are, the others, and last what was made of both; and what is to be known of it."""
        clip_name, title, stored = _found(studio, data[self.first])
        taken, silent = ({int(number) - 1 for number in data[part] or []} for part in (self.taken, self.silent))
        codes, words, source = stored.codes, "", {0: clip_name}
        count = min(int(data[self.kept]), codes.codebooks)
        taken, silent = ({index for index in some if index < count} for some in (taken, silent))
        others = []
        if data[self.second]:
            other_name, other_title, other = _found(studio, data[self.second])
            if not taken:
                raise BadSetting(f"Tick what to take from the other clip ({other_name}), or set it to “None”.")
            others.append((other_title, other))
            words = shortened((clip_name, codes), (other_name, other.codes))
            codes = mixed(codes, other.codes, taken)
            source = {index: other_name if index in taken else clip_name for index in range(count)}
        elif taken:
            raise BadSetting("Choose the other clip that the codebooks are to be taken from.")
        if len(silent) == count:
            raise BadSetting("All codebooks are left out. Leave in at least one to hear something.")
        clip = KeptClip("Codes", _heard(studio, title, stored), studio.readings)
        for other_title, other in others:
            clip.add(_heard(studio, other_title, other))
        if others or silent or count < codes.codebooks:
            made = StoredCodes(codes.first_codebooks(count), stored.codec, stored.revision)
            title = named([source.get(index, clip_name) for index in range(count)], silent)
            clip.add(_heard(studio, title, made, sorted(silent)))
        clip.match_levels()
        return clip, words


def codes_panel(studio: Studio) -> CodesPanel:
    """Build the panel."""
    most = studio.codec.codebooks
    numbers = [str(number) for number in range(1, most + 1)]
    with gr.Row():
        with gr.Column(min_width=260):
            first = gr.Dropdown([], label="Codes", elem_id="hs-codes-first")
            kept = gr.Slider(1, most, most, step=1, label="Keep the first codebooks", elem_id="hs-codes-kept")
            silent = gr.CheckboxGroup(
                numbers,
                label="Leave out when decoding",
                info="To hear what they carry.",
                elem_classes="hs-rungs",
                elem_id="hs-codes-silent",
            )
        with gr.Column(min_width=260):
            second = gr.Dropdown(
                [("None", NO_OTHER)], value=NO_OTHER, label="Other clip", info=BOTH_ALIKE, elem_id="hs-codes-second"
            )
            taken = gr.CheckboxGroup(
                numbers,
                label="Take from the other clip",
                interactive=False,
                elem_classes="hs-rungs",
                elem_id="hs-codes-taken",
            )
            upload = gr.File(label="Upload codes (.npz)", height=110, elem_id="hs-codes-upload")
            refused = gr.HTML(visible=False, apply_default_css=False, elem_id="hs-codes-refused")
    go = gr.Button(HEAR, elem_id="hs-codes-go")
    note = gr.HTML(visible=False, apply_default_css=False, elem_id="hs-codes-note")
    bench = listening_bench(studio, NOTHING_YET, "hs-codes-bench")
    own, offers = gr.State([]), gr.State([])
    return CodesPanel(upload, first, second, taken, silent, kept, go, refused, note, bench, own, offers)


def _busy(words: str) -> Any:
    return gr.update(value=words, interactive=False)


def _ready() -> Any:
    return gr.update(value=HEAR, interactive=True)


def _found(studio: Studio, chosen: Any) -> tuple[str, str, StoredCodes]:
    """Name of the clip, title of the version, and its codes."""
    if not isinstance(chosen, str) or "/" not in chosen:
        raise BadSetting("There are no codes yet. Compare with a neural codec first, or upload codes.")
    token, number = chosen.split("/", 1)
    view, _ = find_clip(studio.readings, token)
    title, _, stored = kept_version(studio.readings, token, int(number) if number.isdigit() else None)
    if stored is None:
        raise BadSetting("This version has no codes.")
    return view["name"], title if title == view["name"] else f"{view['name']}: {title}", stored


def _heard(studio: Studio, title: str, stored: StoredCodes, without: list[int] | None = None) -> Made:
    """Codes with the sound they stand for."""
    codes = stored.codes
    if without and codes.codebooks == 1:
        raise BadSetting("These codes have one codebook, so none can be left out.")
    sound = studio.codecs.decode(codes, without or ())
    facts = [
        ("Codes", f"{codes.codebooks} × {codes.frames} frames"),
        ("Bitrate", f"{codes.bitrate_kbps:.3g} kbit/s nominal, {codes.entropy_kbps:.2f} by entropy"),
        ("Codec", " ".join(filter(None, [stored.codec, stored.revision])) or "not said"),
    ]
    if without:
        facts.append(("Left out", ", ".join(f"codebook {index + 1}" for index in sorted(without))))
    return Made(title, sound, facts, stored)
