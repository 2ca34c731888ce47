"""The lab's endpoints for programs: `/encode`, `/decode` and `/compare`.

from gradio_client import Client, handle_file
client = Client("http://127.0.0.1:7860")
codes, facts = client.predict(handle_file("speech.wav"), "higgs-3", api_name="/encode")
sound, facts = client.predict(handle_file(codes), api_name="/decode")
rows = client.predict(handle_file("speech.wav"), ["higgs-3", "xcodec2", "opus-6"], api_name="/compare")
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from studio.audio import Audio, read_recording, write_wav
from studio.codes import Codes
from studio.errors import BadAudio, BadSetting
from studio.lab.codemap import StoredCodes, packed
from studio.lab.compare import as_table
from studio.lab.compare import compare as run_compare
from studio.lab.metrics import QUICK
from studio.ui.answers import answering
from studio.ui.codes_panel import read_codes
from studio.ui.offers import codec_for, offered
from studio.ui.sound_choice import SHORTEST_SECONDS
from studio.ui.studio import Studio


def codec_endpoints(studio: Studio) -> None:
    """Add the endpoints; settings are named as in the lab: higgs-1 to higgs-8, xcodec2, opus-6 and so on."""
    with gr.Row(visible=False):
        audio_in = gr.Audio(label="audio", type="filepath")
        audio_out = gr.Audio(label="sound", type="filepath")
        setting = gr.Textbox("higgs-8", label="codec")
        settings = gr.JSON(["higgs-8", "higgs-3", "opus-6"], label="codecs")
        codes_in, codes_out = gr.File(label="codes_file", file_types=[".npz"]), gr.File(label="codes")
        facts = gr.JSON(label="facts")
        buttons = [gr.Button(name) for name in ("encode", "decode", "compare")]

    def encode(audio: str, codec: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Turn sound into codes.

        Args:
            audio: WAV, FLAC, Ogg, MP3 or AIFF, 0.05 to 60 s; mixed to mono.
            codec: A neural codec's setting: higgs-1 to higgs-8 (codebooks), or xcodec2 where it is installed.

        Returns:
            An .npz file (codes [K, T], frame_rate in Hz, codebook_size, facts), and its facts.
        """
        family, offer = offered(studio.codecs, [codec])[0]
        if not family.neural:
            raise BadSetting(f"“{codec}” has no codes. Take one of higgs-1 to higgs-8, or xcodec2.")
        chosen = offer.setting
        codes = chosen.codec.encode(_sound(audio))
        if chosen.codebooks is not None:
            codes = codes.first_codebooks(chosen.codebooks)
        stored = StoredCodes(codes, chosen.codec.name, family.revision)
        with tempfile.TemporaryDirectory() as folder:  # Gradio takes its own copy
            path = Path(folder) / "codes.npz"
            path.write_bytes(packed(stored))
            yield str(path), _facts(codes) | {"codec": stored.codec, "revision": stored.revision}

    def decode(codes_file: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Turn codes into sound.

        Args:
            codes_file: An .npz file as /encode gives it.

        Returns:
            A 32-bit float WAV at the codec's rate, and the facts of the codes.
        """
        if not codes_file:
            raise BadSetting("Send an .npz file of codes.")
        path = Path(codes_file)
        stored = read_codes(path, path.name)
        sound = codec_for(studio.codecs, stored.codes).decode(stored.codes)
        with tempfile.TemporaryDirectory() as folder:
            wav = write_wav(sound, Path(folder) / "decoded.wav")
            yield str(wav), _facts(stored.codes) | {"codec": stored.codec, "sample_rate": sound.sample_rate}

    def compare(audio: str, codecs: list[str]) -> list[dict[str, Any]]:
        """Run codec settings on one sound and measure each.

        Args:
            audio: WAV, FLAC, Ogg, MP3 or AIFF, 0.05 to 60 s; mixed to mono.
            codecs: Settings: higgs-1 to higgs-8, xcodec2, opus-6/12/24, mp3-16/32/64, pcm-8, pcm-16.

        Returns:
            One object a setting: bitrate, times, quality at full band and limited to 16 kHz; units in the names,
            null where a measure could not be taken, with the reason in "notes".
        """
        if not isinstance(codecs, list) or not all(isinstance(key, str) for key in codecs):
            raise BadSetting('Give the codec settings as a list, as ["higgs-8", "opus-6"].')
        chosen = [offer.setting for _, offer in offered(studio.codecs, codecs)]
        table = as_table(run_compare({"audio": _sound(audio)}, chosen, QUICK))
        finite = table.replace([float("inf"), float("-inf")], float("nan")).astype(object)
        return list(finite.where(finite.notna(), None).to_dict("records"))

    buttons[0].click(answering(encode), inputs=[audio_in, setting], outputs=[codes_out, facts], api_name="encode")
    buttons[1].click(answering(decode), inputs=[codes_in], outputs=[audio_out, facts], api_name="decode")
    buttons[2].click(answering(compare), inputs=[audio_in, settings], outputs=[facts], api_name="compare")


def _sound(path: str | None) -> Audio:
    if not path:
        raise BadAudio("Send a sound file.")
    return read_recording(Path(path), shortest_seconds=SHORTEST_SECONDS).audio


def _facts(codes: Codes) -> dict[str, Any]:
    return {
        "codebooks": codes.codebooks,
        "frames": codes.frames,
        "frame_rate": codes.frame_rate,
        "codebook_size": codes.codebook_size,
        "bitrate_kbps": codes.bitrate_kbps,
        "entropy_kbps": codes.entropy_kbps,
    }
