"""Streaming: the sound of codes that are still growing, exactly as it will be in the whole.

The decoder of the Higgs Audio V2 tokenizer is not causal: a frame's sound depends on its neighbours. How far it reaches
follows from its layers: 9.9 frames to either side, in the bundled tokenizer and in the published architecture (strides
8, 5, 4, 2, 3) alike. So a window with CONTEXT_FRAMES on each side gives the samples of the whole (-120 dB), and a
frame's sound is settled once so many frames stand after it. Sound given earlier would be wrong: with 8 frames after it
the error is -62 dB (bundled) or -21 dB (published architecture, random weights), with 4 frames -27 dB, with none -4 dB;
a crossfade would only blend those wrong samples into the right ones.
"""

from studio.audio import Audio
from studio.codes import Codec, Codes

CONTEXT_FRAMES = 12  # on each side
FIRST_FRAMES = 8  # of the first piece: it is to be heard soon
PIECE_FRAMES = 24  # of the others: the context costs as much as a short piece


def settled_frames(frames: int, finished: bool) -> int:
    """Of so many frames, those whose sound nothing that follows will change."""
    return frames if finished else max(0, frames - CONTEXT_FRAMES)


def decode_between(codec: Codec, codes: Codes, start: int, stop: int) -> Audio:
    """Sound of frames `start` to `stop` (end excluded) of codes, as in the whole.

    Args:
        codec: One whose decoder reaches no further than CONTEXT_FRAMES.
        codes: All frames so far `[K, T]`. What follows frame T is not known, so `stop` must be settled.
        start: First frame.
        stop: Frame after the last.
    """
    first, last = max(0, start - CONTEXT_FRAMES), min(codes.frames, stop + CONTEXT_FRAMES)
    window = codec.decode(codes.between(first, last))
    hop = window.length // (last - first)
    return Audio(window.samples[:, (start - first) * hop : (stop - first) * hop], window.sample_rate)
