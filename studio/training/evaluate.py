"""Measure checkpoints: `python -m studio.training.evaluate [--sentences 100] [--checkpoint DIR] [--page page.html]`.

Texts and voices are held out and decided by the seed. JSON on stdout, or into `--json`.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch

from studio.audio import Audio
from studio.checkpoints import find_checkpoint, locate
from studio.codecs.higgs import HiggsCodec
from studio.codecs.xcodec2 import XCodec2
from studio.engine.local import LocalEngine
from studio.training.codec_evaluation import evaluate_codec
from studio.training.corpus import plan, spoken
from studio.training.evaluation_page import spectrogram_page
from studio.training.recogniser import FILE as RECOGNISER
from studio.training.recogniser import load as load_recogniser
from studio.training.speech_evaluation import evaluate_speech, evaluate_turns, plan_items, speak_items
from studio.training.voice_measure import FILE as VOICE_MEASURE
from studio.training.voice_measure import VoiceMeasure

PICTURED_LINES = 12


def held_out_clips(count: int, sample_rate: int) -> list[Audio]:
    """Held-out sentences in held-out voices."""
    return [spoken(utterance, sample_rate) for utterance in plan("held-out", count)]


def evaluate_ladder(codec: HiggsCodec, clips: list[Audio]) -> dict[str, dict[str, float]]:
    """Figures for 1 to K codebooks, by kbit/s."""
    ladder = {}
    for count in range(1, codec.codebooks + 1):

        def round_trip(clip: Audio, count: int = count) -> Audio:
            decoded = codec.decode(codec.encode(clip).first_codebooks(count))
            return Audio(decoded.samples[:, : clip.length], decoded.sample_rate)

        ladder[f"{count}"] = evaluate_codec(clips, round_trip)
    return ladder


def main() -> None:
    """Measure the codecs, then the speech."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="mini")
    parser.add_argument("--tokenizer", default="tokenizer-mini")
    parser.add_argument("--xcodec2", default="xcodec2-mini", help="empty: not measured")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--clips", type=int, default=40, help="for the codecs; 0: they are not measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recogniser", type=Path, default=RECOGNISER)
    parser.add_argument("--voice-measure", type=Path, default=VOICE_MEASURE)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="where to write spectrograms")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, object] = {"checkpoint": options.checkpoint, "tokenizer": options.tokenizer}
    figures |= {"seed": options.seed}
    if options.clips:
        figures["codecs"] = _codec_figures(options)
    if options.sentences:
        figures["speech"] = _speech_figures(options)
    written = json.dumps(figures, indent=2) + "\n"
    if options.json:
        options.json.write_text(written, "utf-8")
    sys.stdout.write(written)


def _codec_figures(options: argparse.Namespace) -> dict[str, object]:
    codec = HiggsCodec.load(locate(find_checkpoint(options.tokenizer, "tokenizer")))
    clips = held_out_clips(options.clips, codec.sample_rate)
    figures: dict[str, object] = {"higgs_by_codebooks": evaluate_ladder(codec, clips)}
    if options.xcodec2:
        other = XCodec2.load(locate(find_checkpoint(options.xcodec2, "xcodec2")))
        clips = held_out_clips(options.clips, other.sample_rate)
        figures["xcodec2"] = evaluate_codec(clips, lambda clip: other.decode(other.encode(clip)))
    return figures


def _digest(path: Path) -> str:
    """Figures by two recognisers, or two measures of voices, do not compare: this says which it was."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _speech_figures(options: argparse.Namespace) -> dict[str, object]:
    checkpoint = find_checkpoint(options.checkpoint, "generation")
    engine = LocalEngine.load(checkpoint, tokenizer=options.tokenizer, device="cpu")
    items = plan_items(options.sentences, options.seed)
    takes = speak_items(engine, items, options.seed)
    recogniser = load_recogniser(options.recogniser) if options.recogniser.is_file() else None
    measure = VoiceMeasure.load(options.voice_measure) if options.voice_measure.is_file() else None
    measures = {path.stem: _digest(path) for path in (options.recogniser, options.voice_measure) if path.is_file()}
    figures = {"measures": measures} | evaluate_speech(items, takes, engine.codec, recogniser, measure)
    figures["turns"] = evaluate_turns(engine, items, measure, options.seed)
    if options.page:
        rows = []
        for item, take in zip(items[:PICTURED_LINES], takes[:PICTURED_LINES], strict=True):
            round_trip = engine.codec.decode(engine.codec.encode(item.original))
            rows.append((item.text, [item.original, round_trip, take.audio if take else None]))
        options.page.write_text(spectrogram_page(f"{checkpoint.title}: held-out lines", rows), "utf-8")
    return figures


if __name__ == "__main__":
    main()
