"""The lab's endpoints for programs: `/encode`, `/decode` and `/compare`.

from gradio_client import Client, handle_file
client = Client("http://127.0.0.1:7860")
codes, facts = client.predict(audio=handle_file("speech.wav"), codec="higgs-3", api_name="/encode")
sound, facts = client.predict(codes_file=handle_file(codes), api_name="/decode")
codecs = ["higgs-3", "xcodec2", "opus-6"]
rows = client.predict(audio=handle_file("speech.wav"), codecs=codecs, api_name="/compare")
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from studio.audio import Audio, read_recording, write_wav
from studio.codes import Codes
from studio.errors import BadAudio, BadSetting
from studio.lab.codemap import StoredCodes, packed, read_codes
from studio.lab.compare import SHORTEST_CLIP_SECONDS, Result, as_table, coded, measured
from studio.lab.metrics import MEASURES, QUICK, Reference
from studio.ui.answers import answering
from studio.ui.examples import SOUND, explain, file_example
from studio.ui.kept_clips import file_stem
from studio.ui.offers import offered
from studio.ui.studio import Studio

CODEC, CODECS = "higgs-8", ["higgs-8", "higgs-3", "opus-6"]
SHOWN = gr.Progress()  # what a program sees as `job.status().progress_data`
T = TypeVar("T")


def codec_endpoints(studio: Studio) -> None:
    """Add the endpoints; settings are named as in the lab: higgs-1 to higgs-8, xcodec2, opus-6 and so on."""
    with gr.Row(visible=False):
        audio_in = gr.Audio(label="audio", type="filepath")
        audio_out = gr.Audio(label="sound", type="filepath")
        setting = gr.Textbox(CODEC, label="codec")
        settings = gr.JSON(CODECS, label="codecs")
        all_measures = gr.Checkbox(False, label="all_measures")
        codes_in, codes_out = gr.File(label="codes_file", file_types=[".npz"]), gr.File(label="codes")
        facts = gr.JSON(label="facts")
        buttons = [gr.Button(name) for name in ("encode", "decode", "compare")]
    alike: dict[str, Any] = {"concurrency_limit": None}  # one after another by `Comparisons`, as on the page
    encode, decode, compare = _encoder(studio), _decoder(studio), _comparer(studio)
    sound, compared = file_example(SOUND), [audio_in, settings, all_measures]
    explain(encode, [audio_in, setting], [sound, CODEC])
    explain(decode, [codes_in], [file_example("codes.npz")])
    explain(compare, compared, [sound, CODECS, False])
    buttons[0].click(encode, [audio_in, setting], [codes_out, facts], api_name="encode", **alike)
    buttons[1].click(decode, [codes_in], [audio_out, facts], api_name="decode", **alike)
    buttons[2].click(compare, compared, [facts], api_name="compare", **alike)


def _in_turn(studio: Studio, work: Callable[[], T], progress: gr.Progress) -> T:
    """The work when nothing else of the lab runs; whoever asked can see meanwhile that it waits."""
    steps = studio.comparisons.watched(work, lambda words: progress(0, desc=words))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: T = end.value
            return outcome


def _encoder(studio: Studio) -> Callable[..., Any]:
    def encode(audio: str, codec: str, progress: gr.Progress = SHOWN) -> Iterator[tuple[str, dict[str, Any]]]:
        """Turn sound into codes.

        Args:
            audio: WAV, FLAC, Ogg, MP3 or AIFF, 0.05 to 60 s; mixed to mono.
            codec: A neural codec's setting: higgs-1 to higgs-8 (codebooks; default 8), or xcodec2 if it is here.

        Returns:
            An .npz file (codes [K, T], frame_rate in Hz, codebook_size, facts), and its facts.
        """
        family, offer = offered(studio.codecs.families, [codec])[0]
        if not family.neural:
            raise BadSetting(f"codec: “{codec}” has no codes. Take one of higgs-1 to higgs-8, or xcodec2.")
        sound = _sound(audio)
        codes = _in_turn(studio, lambda: studio.codecs.encode(sound, codec), progress)
        stored = StoredCodes(codes, offer.load().name, family.revision)
        with tempfile.TemporaryDirectory() as folder:  # Gradio takes its own copy
            path = Path(folder) / f"{file_stem(f'{Path(audio).stem} {codec}')}.npz"
            path.write_bytes(packed(stored))
            yield str(path), _facts(codes) | {"codec": stored.codec, "revision": stored.revision}

    return answering(encode)


def _decoder(studio: Studio) -> Callable[..., Any]:
    def decode(codes_file: str, progress: gr.Progress = SHOWN) -> Iterator[tuple[str, dict[str, Any]]]:
        """Turn codes into sound.

        Args:
            codes_file: An .npz file, as /encode gives it.

        Returns:
            A 32-bit float WAV at the codec's rate, and the facts of the codes.
        """
        if not codes_file:
            raise BadSetting("codes_file is missing. Send an .npz file of codes, as /encode gives it.")
        path = Path(codes_file)
        stored = read_codes(path, path.name)
        sound = _in_turn(studio, lambda: studio.codecs.decode(stored.codes), progress)
        with tempfile.TemporaryDirectory() as folder:
            wav = write_wav(sound, Path(folder) / f"{file_stem(path.stem)}.wav")
            yield (
                str(wav),
                _facts(stored.codes)
                | {
                    "codec": stored.codec,
                    "revision": stored.revision,
                    "sample_rate": sound.sample_rate,
                },
            )

    return answering(decode)


def _comparer(studio: Studio) -> Callable[..., Any]:
    def compare(
        audio: str, codecs: list[str], all_measures: bool = False, progress: gr.Progress = SHOWN
    ) -> list[dict[str, Any]]:
        """Run codec settings on one sound and measure each.

        Args:
            audio: WAV, FLAC, Ogg, MP3 or AIFF, 0.05 to 60 s; mixed to mono.
            codecs: A list of settings: higgs-1 to higgs-8, xcodec2, opus-6/12/24, mp3-16/32/64, pcm-8, pcm-16.
            all_measures: Also PESQ-WB and predicted MOS, which are slower.

        Returns:
            One object a setting: bitrate, times, quality at full band and limited to 16 kHz; units in the names,
            null where a measure was not asked for, or could not be taken, with the reason in "notes".
        """
        if not isinstance(codecs, list) or not all(isinstance(key, str) for key in codecs):
            raise BadSetting('codecs must be a list of settings, for example ["higgs-8", "opus-6"].')
        pairs = offered(studio.codecs.families, codecs)
        sound = _sound(audio)

        def all_results() -> list[Result]:
            outcomes = studio.codecs.run(sound, [offer.key for _, offer in pairs])
            results = [*coded("audio", sound, [offer.setting for _, offer in pairs], outcomes)]
            return [*measured(Reference(sound), results, tuple(MEASURES) if all_measures else QUICK)]

        table = as_table(_in_turn(studio, all_results, progress))
        finite = table.replace([float("inf"), float("-inf")], float("nan")).astype(object)
        return list(finite.where(finite.notna(), None).to_dict("records"))

    return answering(compare)


def _sound(path: str | None) -> Audio:
    if not path:
        raise BadAudio("audio is missing. Send a sound file: WAV, FLAC, Ogg, MP3 or AIFF.")
    return read_recording(Path(path), shortest_seconds=SHORTEST_CLIP_SECONDS).audio


def _facts(codes: Codes) -> dict[str, Any]:
    return {
        "codebooks": codes.codebooks,
        "frames": codes.frames,
        "frame_rate": codes.frame_rate,
        "codebook_size": codes.codebook_size,
        "bitrate_kbps": codes.bitrate_kbps,
        "entropy_kbps": codes.entropy_kbps,
    }
