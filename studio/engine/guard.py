"""Guard: ends a take that runs away, by looking at its codes and listening to them.

Higgs Audio V2 sometimes does not end its stream: it falls silent or circles until the budget is spent.
"""

import numpy as np

from studio.codes import Codec, Codes
from studio.takes import Stop

SILENCE_SECONDS = 2.0  # longer than any pause within a line
DISTINCT_SHARE = 0.3  # of the first codebook's codes: speech hardly ever says one twice in two seconds
SILENCE_DBFS = -38.0  # a codec's silence hums; speech that soft is no reason to end either, if its codes are many
CONTEXT_SECONDS = 1.2  # what a decoder that looks around needs before the part that counts
REPETITION_SECONDS = 1.2
LONGEST_PERIOD = 3  # frames of the longest loop looked for
COMPARED_CODEBOOKS = 4  # a loop shows in the coarse ones; the fine ones flicker
KEPT_SILENCE_SECONDS = 0.2


class Guard:
    """Watches takes made of one codec's codes.

    Which codes mean silence depends on what was said before, so silence is heard, not looked up. Only a
    stretch with few distinct codes is listened to: decoding costs.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._silence_frames = round(SILENCE_SECONDS * codec.frame_rate)
        self._context_frames = round(CONTEXT_SECONDS * codec.frame_rate)
        self._repetition_frames = round(REPETITION_SECONDS * codec.frame_rate)
        self._kept_frames = round(KEPT_SILENCE_SECONDS * codec.frame_rate)

    def watch(self, values: np.ndarray) -> Stop | None:
        """The reason to end a take with these codes `[K, T]` now, if there is one."""
        for period in range(1, LONGEST_PERIOD + 1):
            tail = values[:COMPARED_CODEBOOKS, -(self._repetition_frames + period) :]
            if tail.shape[1] == self._repetition_frames + period and (tail[:, period:] == tail[:, :-period]).all():
                return Stop.REPETITION
        end = values[0, -self._silence_frames :]
        if len(end) < self._silence_frames or len(np.unique(end)) > DISTINCT_SHARE * len(end):
            return None
        heard = values[:, -(self._silence_frames + self._context_frames) :]
        return Stop.SILENCE if self._trailing_silence(heard) >= self._silence_frames else None

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
        """How many frames at the end of codes `[K, T]` are silent when decoded."""
        sound = self._codec.decode(Codes(values, self._codec.frame_rate, self._codec.codebook_size)).samples[0]
        power = np.square(sound, dtype=np.float64).reshape(values.shape[1], -1).mean(axis=1)
        loud = np.flatnonzero(power > 10 ** (SILENCE_DBFS / 10))
        return values.shape[1] - (int(loud[-1]) + 1 if loud.size else 0)
