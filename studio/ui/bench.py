"""The listening bench: one player for all versions of a clip, and their pictures. Its script is `bench.js`.

Sound and pictures are fetched when they are looked at, so what the server pushes stays a few kilobytes.
"""

from typing import Any

import gradio as gr

from studio.ui.answers import answering_page
from studio.ui.kept_clips import pictures
from studio.ui.studio import Studio


def listening_bench(studio: Studio, empty: str, elem_id: str) -> gr.HTML:
    """An empty bench that shows the sentence `empty`. Its value is `{clips: [view of a kept clip], empty}`."""

    @answering_page
    def bench_pictures(asked: dict[str, Any]) -> dict[str, Any]:
        """Pictures of one version: `{token, version}`."""
        return pictures(studio.readings, asked.get("token"), asked.get("version"))

    return gr.HTML(
        {"clips": [], "empty": empty},
        html_template='<section class="hs-sound hs-bench" aria-label="Listening bench"></section>',
        js_on_load="HiggsStudio.mountBench(element, props, watch, server);",
        server_functions=[bench_pictures],
        apply_default_css=False,
        elem_id=elem_id,
    )
