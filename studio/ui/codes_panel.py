"""Codes as things: uploaded, kept in part, mixed between two clips, left out, and heard."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from studio.audio import shown_name
from studio.errors import BadSetting, StudioError
from studio.lab.codemap import StoredCodes, dropped, mixed, read_codes
from studio.ui.answers import answering
from studio.ui.bench import listening_bench
from studio.ui.kept_clips import KeptClip, Made, find_clip, kept_version
from studio.ui.studio import Studio

NOTHING_YET = (
    "Compare with a neural codec, or upload codes that were downloaded here. Then keep some codebooks, take some from "
    "another clip, leave some out, and hear what each of them carries."
)
NO_OTHER = ""
HEAR = "Decode and hear"

Data = dict[Any, Any]
Choice = tuple[str, str]
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
    bench: gr.HTML
    own: gr.State  # uploaded codes: [(label, id)]

    def connect(self, studio: Studio, compared: Sequence[Any], clips: gr.State) -> None:
        """Offer the codes of what was compared, take uploads, and decode."""

        def offer_codes(data: Data) -> Data:
            return self._menus(compared_codes(studio, data[clips]) + data[self.own], data[self.first])

        for event in compared:  # a comparison has ended, or was found again
            event.then(
                offer_codes,
                inputs={clips, self.own, self.first},
                outputs=[self.first, self.second],
                show_progress="hidden",
                api_visibility="private",
            )

        def in_turn(work: Callable[[], T]) -> Generator[Data, None, T]:
            """The work when no comparison runs, with the button saying so meanwhile, and as it was after a problem."""
            try:
                return (yield from studio.comparisons.watched(work, lambda words: {self.go: _busy(words)}))
            except StudioError:
                yield {self.go: _ready()}
                raise

        @answering
        def add_codes(data: Data) -> Iterator[Data]:
            path = data[self.upload]
            if not path:
                return
            name = shown_name(Path(path).name)
            stored = read_codes(Path(path), name)
            made = yield from in_turn(lambda: _heard(studio, name, stored))
            clip = KeptClip(name, made, studio.readings)
            clip.match_levels()
            own = [*data[self.own], (f"Upload: {name}", f"{clip.token}/0")]
            menus = self._menus(compared_codes(studio, data[clips]) + own, own[-1][1])
            heard = {self.go: _ready(), self.bench: {"clips": [clip.view], "empty": ""}}
            yield menus | heard | {self.own: own, self.upload: None}

        self.upload.upload(
            add_codes,
            inputs={self.upload, self.own, clips},
            outputs=[self.upload, self.own, self.first, self.second, self.go, self.bench],
            concurrency_limit=None,  # one after another by `Comparisons`
            show_progress="hidden",
            api_visibility="private",
        )

        @answering
        def hear_codes(data: Data) -> Iterator[Data]:
            clip = yield from in_turn(lambda: self._mixed_clip(studio, data))
            yield {self.go: _ready(), self.bench: {"clips": [clip.view], "empty": ""}}

        self.go.click(
            hear_codes,
            inputs={self.first, self.second, self.taken, self.silent, self.kept},
            outputs=[self.go, self.bench],
            concurrency_limit=None,
            show_progress="hidden",
            api_visibility="private",
        )

    def _menus(self, choices: list[Choice], wanted: str | None) -> Data:
        ids = [one for _, one in choices]
        return {
            self.first: gr.update(choices=choices, value=wanted if wanted in ids else next(iter(ids), None)),
            self.second: gr.update(choices=[("None", NO_OTHER), *choices], value=NO_OTHER),
        }

    def _mixed_clip(self, studio: Studio, data: Data) -> KeptClip:
        """The first codes as they are, the others, and what was made of both, side by side."""
        first = _found(studio, data[self.first])
        taken, silent = ([int(number) - 1 for number in data[part] or []] for part in (self.taken, self.silent))
        codes = first[1].codes
        clip = KeptClip("Codes", _heard(studio, *first), studio.readings)
        if data[self.second]:
            second = _found(studio, data[self.second])
            clip.add(_heard(studio, *second))
            codes = mixed(codes, second[1].codes, taken)
        elif taken:
            raise BadSetting("Choose the other clip that the codebooks are to be taken from.")
        count = int(data[self.kept])
        if count < codes.codebooks:
            codes = dropped(codes, range(count, codes.codebooks))
        made = StoredCodes(codes, first[1].codec, first[1].revision)
        clip.add(_heard(studio, "Made of them", made, [index for index in silent if index < codes.codebooks]))
        clip.match_levels()
        return clip


def codes_panel(studio: Studio) -> CodesPanel:
    """Build the panel."""
    most = studio.codec.codebooks
    numbers = [str(number) for number in range(1, most + 1)]
    with gr.Row():
        with gr.Column(min_width=260):
            first = gr.Dropdown([], label="Codes", elem_id="hs-codes-first")
            kept = gr.Slider(1, most, most, step=1, label="Keep the first codebooks")
            silent = gr.CheckboxGroup(
                numbers, label="Leave out when decoding", info="To hear what they carry.", elem_classes="hs-rungs"
            )
        with gr.Column(min_width=260):
            second = gr.Dropdown([("None", NO_OTHER)], value=NO_OTHER, label="Other clip", elem_id="hs-codes-second")
            taken = gr.CheckboxGroup(
                numbers,
                label="Take from the other clip",
                info="Both need the same frame rate and number of codebooks.",
                elem_classes="hs-rungs",
                elem_id="hs-codes-taken",
            )
            upload = gr.File(label="Upload codes (.npz)", file_types=[".npz"], height=110, elem_id="hs-codes-upload")
    go = gr.Button(HEAR, elem_id="hs-codes-go")
    bench = listening_bench(studio, NOTHING_YET, "hs-codes-bench")
    return CodesPanel(upload, first, second, taken, silent, kept, go, bench, gr.State([]))


def _busy(words: str) -> Any:
    return gr.update(value=words, interactive=False)


def _ready() -> Any:
    return gr.update(value=HEAR, interactive=True)


def compared_codes(studio: Studio, tokens: Any) -> list[Choice]:
    """Every version with codes of the clips compared last."""
    choices: list[Choice] = []
    for token in tokens or []:
        try:
            view, _ = find_clip(studio.readings, token)
        except StudioError:
            continue  # swept since
        choices += [
            (f"{view['name']}: {version['title']}", f"{token}/{number}")
            for number, version in enumerate(view["versions"])
            if version["codes"]
        ]
    return choices


def _found(studio: Studio, chosen: Any) -> tuple[str, StoredCodes]:
    if not isinstance(chosen, str) or "/" not in chosen:
        raise BadSetting("There are no codes yet. Compare with a neural codec first, or upload codes.")
    token, number = chosen.split("/", 1)
    view, _ = find_clip(studio.readings, token)
    title, _, stored = kept_version(studio.readings, token, int(number) if number.isdigit() else None)
    if stored is None:
        raise BadSetting("This version has no codes.")
    return title if title == view["name"] else f"{view['name']}: {title}", stored


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
