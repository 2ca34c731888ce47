"""A GPU's windows of a stream: a few lengths, each recorded once, so that a window costs one launch.

A window of a stream is so short that launching the codec's layers one by one takes three times as long as they run.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from studio.audio import Audio
from studio.codecs.higgs import HiggsCodec
from studio.codecs.streaming import PIECE_FRAMES, Reach
from studio.codes import Codes
from studio.engine.cuda_graph import recorded

logger = logging.getLogger(__name__)

STEP_FRAMES = 16  # between the lengths that are recorded

Run = Callable[[torch.Tensor], torch.Tensor]


class CodecWindows:
    """Decodes windows by one thread at a time; what has no recording is decoded as the codec does."""

    def __init__(
        self, codec: HiggsCodec, reach: Reach, record: Callable[[Run, torch.Tensor], Run] | None = None
    ) -> None:
        """Record every length up to that of two of the longest pieces with what they look at on both sides.

        Args:
            codec: Its windows.
            reach: Of the codec.
            record: Makes one launch of a pass, from the pass and an example. None: a CUDA graph on a GPU, on a CPU
                nothing is recorded.
        """
        self._codec = codec
        self._recordings: dict[int, Run] = {}
        device = codec.model.device
        if record is None and device.type != "cuda":
            return
        longest = 2 * PIECE_FRAMES + 2 * reach.exact_frames
        try:
            if record is None:  # frames are made beside it, by recordings of their own
                record = partial(recorded, pool=torch.cuda.graph_pool_handle(), stream=torch.cuda.Stream(device))
            with torch.inference_mode():
                for frames in range(STEP_FRAMES, longest + STEP_FRAMES, STEP_FRAMES):
                    example = torch.zeros(1, codec.codebooks, frames, dtype=torch.int64, device=device)
                    self._recordings[frames] = record(self._pass, example)
        except RuntimeError as problem:
            self._recordings.clear()
            logger.warning("No CUDA graph of the codec (%s): windows are decoded kernel by kernel.", problem)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames of the windows that are recorded."""
        return tuple(self._recordings)

    def decode(self, codes: Codes) -> Audio:
        """Sound of a window that more will follow: as of the codec, but for what no window's end can know.

        A recording is longer than the window; what is put behind it is its last frame again, which the frames that are
        kept do not see or are allowed not to know. Shape: codes `[K, T]` to samples `[1, T * hop]`.
        """
        frames = -(-codes.frames // STEP_FRAMES) * STEP_FRAMES
        recording = self._recordings.get(frames)
        if recording is None or len(codes.values) != self._codec.codebooks:
            return self._codec.decode(codes)
        values = np.pad(codes.values, ((0, 0), (0, frames - codes.frames)), mode="edge")[None]
        with torch.inference_mode():
            samples = recording(torch.from_numpy(values).to(self._codec.model.device, torch.int64))
            return Audio(samples[0, :, : codes.frames * self._codec.hop].float().cpu().numpy(), self._codec.sample_rate)

    def _pass(self, values: torch.Tensor) -> torch.Tensor:
        made: Any = self._codec.model.decode(values)
        samples: torch.Tensor = made.audio_values
        return samples
