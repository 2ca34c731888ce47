"""Guard: ends a take that runs away, by looking at its codes.

Higgs Audio V2 sometimes does not end its stream: it falls silent or circles until the budget is spent.
"""

import numpy as np

from studio.audio import Audio, silence
from studio.codecs.higgs import HiggsCodec
from studio.codes import Codes
from studio.takes import Stop

SILENCE_SECONDS = 2.0  # longer than any pause within a line
REPETITION_SECONDS = 1.2
LONGEST_PERIOD = 3  # frames of the shortest loop looked for
COMPARED_CODEBOOKS = 4  # a loop shows in the coarse ones; the fine ones flicker
KEPT_SILENCE_SECONDS = 0.2
NEAR_SILENCE_DBFS = -75.0


class Guard:
    """Knows how silence looks in the codes of one codec."""

    def __init__(self, frame_rate: float, silent_codes: set[int]) -> None:
        self._silent = np.array(sorted(silent_codes), dtype=np.int64)
        self._silence_frames = round(SILENCE_SECONDS * frame_rate)
        self._repetition_frames = round(REPETITION_SECONDS * frame_rate)
        self._kept_frames = round(KEPT_SILENCE_SECONDS * frame_rate)

    @classmethod
    def for_codec(cls, codec: HiggsCodec) -> "Guard":
        """Learn silence from the codec: the first codebook's codes of digital silence and of faint noise."""
        quiet = silence(1.0, codec.sample_rate)
        noise = np.random.default_rng(0).standard_normal(quiet.samples.shape) * 10 ** (NEAR_SILENCE_DBFS / 20)
        heard = [codec.encode(audio).values[0] for audio in (quiet, Audio(noise, codec.sample_rate))]
        return cls(codec.frame_rate, set(np.concatenate(heard).tolist()))

    def watch(self, values: np.ndarray) -> Stop | None:
        """The reason to end a take with these codes `[K, T]` now, if there is one."""
        if self._trailing_silence(values) >= self._silence_frames:
            return Stop.SILENCE
        for period in range(1, LONGEST_PERIOD + 1):
            tail = values[:COMPARED_CODEBOOKS, -(self._repetition_frames + period) :]
            if tail.shape[1] == self._repetition_frames + period and (tail[:, period:] == tail[:, :-period]).all():
                return Stop.REPETITION
        return None

    def trimmed(self, codes: Codes, stop: Stop) -> Codes:
        """The take without the part it was ended for, and a little quiet kept."""
        if stop == Stop.SILENCE:
            spare = self._trailing_silence(codes.values) - self._kept_frames
        elif stop == Stop.REPETITION:
            spare = self._repetition_frames
        else:
            spare = 0
        return codes.between(0, max(1, codes.frames - max(0, spare)))

    def _trailing_silence(self, values: np.ndarray) -> int:
        """How many frames at the end are silent."""
        loud = np.flatnonzero(~np.isin(values[0], self._silent))
        return values.shape[1] - (int(loud[-1]) + 1 if loud.size else 0)
