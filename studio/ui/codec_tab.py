"""Tab *Codec*: a sound, its codes, and what comes back from them; to hear and to see."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import Audio, read_recording, read_wav
from studio.errors import BadAudio
from studio.ui.answers import answering
from studio.ui.sound_view import keep_sound, kept_views, sound_view
from studio.ui.studio import Studio

SHORTEST_SECONDS = 0.05
NOTHING_YET = (
    "Choose a sound and press Encode and decode: original and round trip appear here, with the codes between them."
)
UPLOADED, SPOKEN = "upload", "spoken"

Data = dict[Any, Any]


def codec_tab(studio: Studio, spoken: gr.JSON) -> None:
    """Build the tab."""
    codec = studio.codec
    per_codebook = codec.frame_rate * (codec.codebook_size - 1).bit_length() / 1000
    choices = [("The recording below", UPLOADED), ("What was spoken last", SPOKEN)]
    choices += [(f"Voice: {voice.name}", voice.id) for voice in studio.voices.bundled.values()]
    with gr.Row(elem_id="hs-codec"):
        with gr.Column(elem_classes="hs-zone", min_width=280, scale=1):
            gr.Markdown(
                f"**{studio.codec_title}** · {codec.sample_rate / 1000:g} kHz, {codec.frame_rate:g} frames/s, "
                f"{codec.codebooks} codebooks of {codec.codebook_size} · licence: {studio.codec_licence}"
            )
            source = gr.Dropdown(
                choices, value=next(iter(studio.voices.bundled)), label="Sound", elem_id="hs-codec-source"
            )
            recording = gr.Audio(
                label="Recording",
                sources=["upload", "microphone"],
                type="filepath",
                waveform_options=gr.WaveformOptions(sample_rate=24_000),
                elem_id="hs-codec-recording",
            )
            count = gr.Slider(
                1,
                codec.codebooks,
                codec.codebooks,
                step=1,
                label="Codebooks",
                info=f"Each adds {per_codebook:g} kbit/s and finer detail.",
            )
            go = gr.Button("Encode and decode", variant="primary", elem_id="hs-codec-go")
        with gr.Column(elem_classes="hs-zone hs-zone-result", min_width=340, scale=3):
            sound = sound_view(NOTHING_YET, "hs-codec-result")

    @answering
    def round_trip(data: Data) -> Data:
        audio, notes = _chosen(studio, data[source], data[recording], data[spoken])
        return {sound: _compared(studio, audio, int(data[count]), notes)}

    go.click(round_trip, inputs={source, recording, count, spoken}, outputs=[sound], api_visibility="private")
    recording.change(
        lambda path: UPLOADED if path else gr.skip(),
        inputs=[recording],
        outputs=[source],
        show_progress="hidden",
        api_visibility="private",
    )


def _chosen(studio: Studio, source: str, path: str | None, spoken: Any) -> tuple[Audio, tuple[str, ...]]:
    """The sound to encode, and what must be said about it."""
    if source == UPLOADED:
        if not path:
            raise BadAudio("Upload or record a sound first, or choose one of the others.")
        recording = read_recording(Path(path), shortest_seconds=SHORTEST_SECONDS)
        return recording.audio, recording.notes
    if source == SPOKEN:
        kept = kept_views(spoken[:1] if isinstance(spoken, list) else [], studio.readings)
        folder = studio.readings.find(kept[0][0]) if kept else None
        if folder is None:
            raise BadAudio("Nothing has been spoken yet. Generate a conversation first, or choose another sound.")
        return read_wav(folder / kept[0][1]["file_name"]), ()
    audio = studio.voices.find(source).reference.audio
    assert audio is not None  # the library's voices have their sound
    return audio, ()


def _compared(studio: Studio, audio: Audio, count: int, notes: tuple[str, ...]) -> Data:
    """Original and round trip at one sample rate, so that their pictures share both axes."""
    codec = studio.codec
    original = audio.mono().resampled(codec.sample_rate)
    codes = codec.encode(original).first_codebooks(count)
    decoded = codec.decode(codes).between(0, original.duration_seconds)
    before = [
        ("Sample rate", f"{audio.sample_rate / 1000:g} kHz"),
        ("Duration", f"{original.duration_seconds:.2f} s"),
        ("Level", f"{original.rms_dbfs:.1f} dBFS"),
    ]
    after = [
        ("Codes", f"{codes.codebooks} × {codes.frames} frames"),
        ("Bitrate", f"{codes.bitrate_kbps:g} kbit/s nominal, {codes.entropy_kbps:.2f} by entropy"),
        ("Level", f"{decoded.rms_dbfs:.1f} dBFS"),
        ("Smaller than 16-bit PCM", f"{codec.sample_rate * 16 / 1000 / codes.bitrate_kbps:.0f} times"),
    ]
    _, original_view = keep_sound("Original", original, [], before, studio.readings)
    _, decoded_view = keep_sound("Round trip", decoded, [(0.0, codes)], after, studio.readings)
    original_view["notes"] = list(notes)
    return {"mode": "compare", "items": [original_view, decoded_view]}
