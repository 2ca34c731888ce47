"""Tab *Codec lab*: sounds and codecs on the left; to hear, to measure, to test blind and to take apart on the right."""

import gradio as gr

from studio.ui.bench import listening_bench
from studio.ui.compare_panel import NOTHING_MEASURED, compare_panel
from studio.ui.measures import measure_view
from studio.ui.studio import Studio

NOTHING_YET = (
    "Choose sounds and codecs and press Compare. Original and every version appear here, to switch between while "
    "they play."
)


def codec_tab(studio: Studio, spoken: gr.JSON) -> None:
    """Build the tab."""
    with gr.Row(elem_id="hs-codec"):
        with gr.Column(elem_classes="hs-zone", min_width=280, scale=1):
            panel = compare_panel(studio, spoken)
        with gr.Column(elem_classes="hs-zone", min_width=340, scale=3), gr.Tabs():
            with gr.Tab("Listen", render_children=True):
                bench = listening_bench(studio, NOTHING_YET, "hs-bench")
            with gr.Tab("Measure", render_children=True):
                measures = measure_view(NOTHING_MEASURED)
    clips = gr.JSON([], visible=False)
    panel.connect(studio, bench, measures, bench, clips)
