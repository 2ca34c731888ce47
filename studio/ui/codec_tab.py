"""Tab *Codec lab*: sounds and codecs on the left; to hear, to measure, to test blind and to take apart on the right."""

import gradio as gr

from studio.ui.bench import listening_bench
from studio.ui.blind_panel import blind_tests
from studio.ui.codes_panel import codes_panel
from studio.ui.compare_panel import NOTHING_HEARD, compare_panel
from studio.ui.compare_run import NOTHING_MEASURED
from studio.ui.measures import measure_view
from studio.ui.studio import Studio


def codec_tab(studio: Studio, project: gr.Textbox, tab: gr.Tab, page: gr.Blocks) -> None:
    """Fill the tab."""
    with gr.Row(elem_id="hs-codec"):
        with gr.Column(elem_classes="hs-zone", min_width=280, scale=1):
            panel = compare_panel(studio, project)
        with gr.Column(elem_classes="hs-zone", min_width=340, scale=3), gr.Tabs():
            with gr.Tab("Listen", render_children=True):
                bench = listening_bench(studio, NOTHING_HEARD, "hs-bench")
            with gr.Tab("Measure", render_children=True):
                measures = measure_view(NOTHING_MEASURED)
            with gr.Tab("Blind", render_children=True):
                blind = blind_tests(studio)
            with gr.Tab("Codes", render_children=True):
                codes = codes_panel(studio)
    clips = gr.State([])  # tokens of what was compared last
    compared = panel.connect(studio, bench, measures, blind, clips)
    panel.sound.connect(studio, tab)
    resumed = panel.resume(studio, page, bench, measures, blind, clips)
    codes.connect(studio, (compared, resumed), clips)
