"""A page of its own that plays an exported mix while its transcript follows. It asks nothing of any other site."""

import html
from pathlib import Path
from string import Template

from studio.export.cues import Cue, cues_of
from studio.export.origin import Origin
from studio.takes import Reading

TEMPLATE = Path(__file__).parent / "page.html"
COLOURS = 8  # of speakers, as in the style of the page


def as_page(reading: Reading, origin: Origin, mix: str) -> str:
    """The page for a mix that lies beside it."""
    speakers = [speaker.name for speaker in reading.conversation.speakers]
    title = origin.title or "Conversation"
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        title=html.escape(title),
        mix=html.escape(mix),
        lines="\n".join(_row(cue, speakers) for cue in cues_of(reading)),
        origin=html.escape(origin.tags(reading, title)["comment"]),
    )


def _row(cue: Cue, speakers: list[str]) -> str:
    said = "".join(
        f'<span class="who s{speakers.index(name) % COLOURS}">{html.escape(name)}</span> {html.escape(text)} '
        for name, text in cue.lines
    )
    times = f'data-start="{cue.start_seconds!r}" data-stop="{cue.stop_seconds!r}"'
    minutes, seconds = divmod(int(cue.start_seconds), 60)
    return f'<li {times}><button type="button"><time>{minutes}:{seconds:02}</time> {said.strip()}</button></li>'
