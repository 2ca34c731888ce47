"""Files handed out: each in a folder that only who asked for it knows, as a link with a good name."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.ui.project_view import ROUTE
from studio.ui.studio import Studio

Maker = tuple[str, Callable[[Path], None]]  # what the file is called, and what writes it


def handed_out(studio: Studio, files: list[Maker], words: str = "") -> Any:
    """Write files and show their links: put it into a `gr.HTML`.

    Names may hold small letters, digits, dots and hyphens: `studio/serve/web.py` gives out no others.
    """
    token, folder = studio.readings.make()
    links = []
    for name, write in files:
        write(folder / name)
        size = _size((folder / name).stat().st_size)
        address = html.escape(f"{ROUTE}/{token}/{name}")
        links.append(
            f'<a class="hs-button hs-download" href="{address}" download="{html.escape(name)}">'
            f"Download {html.escape(name)}</a> <small>{size}</small>"
        )
    told = f'<p class="hs-notice" role="status">{html.escape(words)}</p>' if words else ""
    rows = "".join(f"<li>{link}</li>" for link in links)
    return gr.update(value=f'{told}<ul class="hs-files">{rows}</ul>', visible=True)


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
