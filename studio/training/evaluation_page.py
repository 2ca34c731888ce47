"""A page of spectrograms: each line as it should sound, after the codec, and as it was spoken. One file, no script."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from studio.audio import Audio
from studio.lab.pictures import mel_picture

ROW = '<tr><th colspan="3">{text}</th></tr><tr>{cells}</tr>'
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px system-ui;margin:2em}}img{{height:120px;max-width:30vw;image-rendering:auto}}
th{{text-align:left;padding-top:1em;font-weight:500}}td{{vertical-align:top;padding-right:1em}}</style>
<h1>{title}</h1><p>Each line: the original, the codec's round trip, the checkpoint's own. 0 to 12 kHz on a mel scale,
80 dB from white to black.</p><table>{rows}</table></html>
"""


def spectrogram_page(title: str, rows: Sequence[tuple[str, Sequence[Audio | None]]]) -> str:
    """The page as HTML, pictures inside. A clip that is None is left empty."""
    written = []
    for text, clips in rows:
        cells = "".join(f"<td>{_picture(clip) if clip else 'nothing was heard'}</td>" for clip in clips)
        written.append(ROW.format(text=html.escape(text), cells=cells))
    return PAGE.format(title=html.escape(title), rows="\n".join(written))


def _picture(clip: Audio) -> str:
    image = Image.fromarray(np.ascontiguousarray(255 - mel_picture(clip)[::-1]))
    file = io.BytesIO()
    image.save(file, "PNG")
    shown = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{shown}" alt="spectrogram, {clip.duration_seconds:.1f} s">'
