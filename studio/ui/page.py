"""The page: header, tabs, look. Every part of it is a file of this room."""

import gradio as gr

from studio.ui.api import speak_endpoint
from studio.ui.codec_api import codec_endpoints
from studio.ui.codec_tab import codec_tab
from studio.ui.conversation_tab import conversation_tab
from studio.ui.no_addresses import open_no_addresses
from studio.ui.studio import Studio, static
from studio.ui.voice_api import voice_endpoint
from studio.ui.voices_tab import voices_tab

SCRIPTS = (
    *(
        "core.js",
        "pictures.js",
        "player.js",
        "live.js",
        "editor.js",
        "takes.js",
        "sound_view.js",
        "status.js",
        "hints.js",
        "uploads.js",
        "sideways.js",
    ),
    *("bench.js", "measures.js", "blind.js"),
    *("trim.js", "doctor.js", "voices.js"),
)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]  # nothing is fetched

CACHE_SECONDS = (600, 24 * 3600)  # uploads: looked through every ten minutes, kept for a day


def build_page(studio: Studio) -> gr.Blocks:
    """The whole page, ready to be launched with `look`."""
    open_no_addresses()
    with gr.Blocks(title="Higgs Studio", analytics_enabled=False, fill_width=True, delete_cache=CACHE_SECONDS) as page:
        gr.HTML(
            {
                "title": studio.checkpoint_title,
                "about": studio.checkpoint_about,
                "licence": studio.checkpoint_licence,
            },
            html_template=static("header.html"),
            js_on_load=None,
            apply_default_css=False,
            elem_id="hs-header",
        )
        with gr.Tabs():
            with gr.Tab("Conversation", id="conversation"):
                project = conversation_tab(studio, page)
            with gr.Tab("Voices", id="voices", render_children=True):
                voices_tab(studio)
            with gr.Tab("Codec lab", id="codec") as lab:
                codec_tab(studio, project, lab, page)
        speak_endpoint(studio)
        voice_endpoint(studio)
        codec_endpoints(studio)
    return page


def look() -> dict[str, object]:
    """What `launch` needs for the page's look and behaviour: theme, style sheet and scripts."""
    theme = gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "monospace"]
    ).set(  # labels as plain words; quiet text dark enough to be read (WCAG AA)
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_secondary_background_fill_hover_dark="*neutral_700",
    )
    scripts = "\n".join(static(name) for name in SCRIPTS)
    # in the head, not as css_paths: Gradio rewrites those rule by rule and loses shorthands that hold a variable
    head = f"<style>\n{static('studio.css')}\n{static('api_panel.css')}\n</style>\n<script>\n{scripts}\n</script>"
    return {"theme": theme, "head": head}
