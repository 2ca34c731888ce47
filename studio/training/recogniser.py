"""A small phone recogniser, to measure speech made by espeak-ng: `python -m studio.training.recogniser`.

Recognisers for people's speech fail on formant synthesis. This one (convolutions, connectionist temporal classification
after Graves and others, 2006) learns from training voices what espeak-ng says it speaks, each accent in its own phones,
and is asked about held-out ones. It is made in some minutes of one core, is kept out of the repository, and is part of
the measure: figures of two recognisers do not compare.
"""

import argparse
import random
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from studio.audio import Audio
from studio.training.corpus import spoken
from studio.training.espeak import EspeakVoice
from studio.training.spoken_speech import plan_shard

FILE = Path(".training/recogniser.pt")
RATE, HOP, MELS = 16_000, 160, 40  # 10 ms a row; the network answers every 20 ms
WIDTH, BLOCKS = 160, 6
FIRST_SHARD = 5_000  # of the texts: others than the language model is trained on
BATCH_SECONDS = 40.0


def phones_of(text: str, voice: EspeakVoice) -> list[str]:
    """What espeak-ng says it speaks, without stress and pauses, in the phones of the accent."""
    command = ["espeak-ng", "-q", "-x", "--sep=_", "-v", voice.accent, "--stdin"]
    written = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout.decode()
    marks = str.maketrans("", "", "',%=|")
    phones = (phone.translate(marks).strip(":;!") for phone in written.replace("\n", "_").replace(" ", "_").split("_"))
    return [phone for phone in phones if phone]


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """How many insertions, deletions and substitutions lie between two sequences (Levenshtein, 1966)."""
    row = list(range(len(heard) + 1))
    for index, one in enumerate(said, 1):
        before, row[0] = row[0], index
        for other, two in enumerate(heard, 1):
            before, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, before + (one != two))
    return row[-1]


def features(audio: Audio) -> Tensor:
    """Log-mel bands, each at mean 0 and deviation 1. Shape: `[C, N]` samples to `[frames, 40]`."""
    samples = audio.mono().resampled(RATE).samples[0]
    samples = np.pad(samples, (0, max(0, 512 - len(samples))))
    bands = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=MELS, fmin=60.0)
    logs = librosa.power_to_db(bands, top_db=60.0).T
    return torch.from_numpy(((logs - logs.mean(0)) / (logs.std(0) + 1e-3)).astype(np.float32))


class Recogniser(nn.Module):
    """Residual convolutions from log-mel bands to phones."""

    def __init__(self, phones: Sequence[str]) -> None:
        super().__init__()
        self.phones = tuple(phones)
        self.first = nn.Conv1d(MELS, WIDTH, 5, 2, 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, WIDTH), nn.Conv1d(WIDTH, WIDTH, 5, 1, 2 * (1 + index % 2), 1 + index % 2), nn.GELU(),
                nn.Conv1d(WIDTH, WIDTH, 1),
            )
            for index in range(BLOCKS)
        )  # fmt: skip
        self.last = nn.Conv1d(WIDTH, len(self.phones) + 1, 1)  # 0 is the blank

    def forward(self, rows: Tensor) -> Tensor:
        """Shape: `[B, frames, 40]` to log-probabilities `[B, ceil(frames / 2), phones + 1]`."""
        hidden = self.first(rows.transpose(1, 2))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden).transpose(1, 2).log_softmax(-1)

    @torch.inference_mode()
    def heard(self, audio: Audio) -> list[str]:
        """The phones of a recording: at each moment the likeliest, repeats and blanks dropped."""
        best = self(features(audio)[None])[0].argmax(-1).unique_consecutive().tolist()
        return [self.phones[index - 1] for index in best if index]


def train(minutes: float, utterances: int = 3_000, seed: int = 0) -> Recogniser:
    """Train one.

    Args:
        minutes: Of the processor, the making of the speech not counted.
        utterances: How many it learns from.
        seed: Of everything drawn.
    """
    torch.manual_seed(seed)
    chance = random.Random(seed)
    planned = plan_shard(FIRST_SHARD, voices=utterances // 6, drawn_share=0.0)
    texts = [phones_of(each.text, each.voice) for each in planned]
    rows = [features(spoken(each, RATE)) for each in planned]
    phones = sorted({phone for text in texts for phone in text})
    number = {phone: index for index, phone in enumerate(phones, 1)}
    model = Recogniser(phones).train()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    batches: list[list[int]] = [[]]
    for index in order:
        if (len(batches[-1]) + 1) * len(rows[index]) * HOP > BATCH_SECONDS * RATE:
            batches.append([])
        batches[-1].append(index)
    started = time.process_time()
    while (progress := (time.process_time() - started) / (minutes * 60)) < 1:
        batch = chance.choice(batches)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, 4 * (1 - progress))
        loss = _loss(model, [rows[index] for index in batch], [[number[p] for p in texts[index]] for index in batch])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


def _loss(model: Recogniser, rows: list[Tensor], targets: list[list[int]]) -> Tensor:
    """Of one batch, a band and a moment of each hidden (Park and others, 2019) and noise added."""
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    padded = padded + 0.3 * torch.rand(()) * torch.randn_like(padded)
    band, moment = int(torch.randint(MELS - 6, ())), int(torch.randint(max(1, padded.shape[1] - 12), ()))
    padded[:, :, band : band + 6] = 0
    padded[:, moment : moment + 12] = 0
    lengths = torch.tensor([-(-len(each) // 2) for each in rows])
    counts = torch.tensor([len(each) for each in targets])
    flat = torch.tensor([phone for each in targets for phone in each])
    said = model(padded).transpose(0, 1)
    return nn.functional.ctc_loss(said, flat, lengths, counts, zero_infinity=True)


def save(model: Recogniser, path: Path) -> None:
    """Write phones and weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"phones": list(model.phones), "weights": model.state_dict()}, path)


@cache
def load(path: Path) -> Recogniser:
    """Read one that was saved.

    Raises:
        FileNotFoundError: there is none.
    """
    saved = torch.load(path, weights_only=True)
    model = Recogniser(saved["phones"])
    model.load_state_dict(saved["weights"])
    return model.eval()


def phone_errors(model: Recogniser, audio: Audio, said: Sequence[str]) -> int:
    """Edits between what was to be said and what is heard."""
    return edits(said, model.heard(audio))


def main() -> None:
    """Make the recogniser that `studio.training.evaluate` uses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--utterances", type=int, default=3_000)
    parser.add_argument("--file", type=Path, default=FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = train(options.minutes, options.utterances)
    save(model, options.file)
    tested = plan_shard(0, "held-out", voices=20)
    pairs = [(phones_of(each.text, each.voice), model.heard(spoken(each, RATE))) for each in tested]
    share = sum(edits(*pair) for pair in pairs) / sum(len(said) for said, _ in pairs)
    print(f"{len(model.phones)} phones; phone error rate on held-out voices and texts: {share:.1%}")


if __name__ == "__main__":
    main()
