"""A measure of voices made by espeak-ng: `python -m studio.training.voice_measure`.

Speaker recognisers for people's speech take most of espeak-ng's voices for one. This measure describes an utterance by
long-term statistics of cepstra and pitch, and has learnt from training voices which of them tell voices apart: by a
linear discriminant analysis, then by neighbourhood components analysis (Goldberger and others, 2005) on the
question that is asked of it, "whose is it, of ten voices of few variants?". It is made in four minutes of one core, is
kept out of the repository, and is part of the evaluation: figures of two measures do not compare.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import torch
from torch import nn

from studio.audio import Audio
from studio.training.corpus import ACCENTS, HELD_OUT_VARIANTS, VARIANTS, Gender, Utterance, is_held_out
from studio.training.discriminants import StandardisedMap, discriminants
from studio.training.drawn_variants import drawn_name
from studio.training.espeak import EspeakVoice
from studio.training.likeness import HOP, RATE, analysed_samples
from studio.training.phrases import Length, text_of
from studio.training.pitch_track import PitchTrack
from studio.training.spoken_speech import timed_clip

FILE = Path(".training/voice_measure.npz")
CEPSTRA = 24  # without the zeroth, which is loudness
LOUD_DB = 30.0  # below the loudest frame
VOICED = 0.6  # of the pitch track's voicing, 0..1
STEP_FRAMES = 4  # differences of cepstra over 50 ms
QUANTILES = (10, 30, 50, 70, 90)  # percent, of the pitch
VARIANTS_DRAWN, VOICES_OF_A_VARIANT = 61, 12
TEXTS_OF_A_VOICE: tuple[Length, ...] = ("short line", "line", "line", "short line", "line")
DISCRIMINANTS, COMPONENTS = 100, 40
STEPS, TRIALS_OF_A_STEP, VOICES_OF_A_TRIAL, VARIANTS_OF_A_TRIAL = 1_500, 16, 10, 4
SAMPLE_RATE, FRAME = 24_000, 960  # what the corpus is spoken in


def voice_statistics(audio: Audio) -> np.ndarray:
    """What stays the same in a voice whatever it says. Shape: `[C, N]` samples to float64 `[129]`.

    Means and deviations of 24 mel cepstra over the loud frames and over the voiced ones, deviations of their
    differences over 50 ms; quantiles and deviation of the pitch in octaves, how much is voiced, how far the pitch
    moves in a frame.
    """
    samples = analysed_samples(audio)
    bands = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=40, fmin=60.0)
    loudness = librosa.power_to_db(bands.sum(0))
    rows = scipy.fft.dct(librosa.power_to_db(bands, top_db=60.0), axis=0, norm="ortho")[1 : CEPSTRA + 1].T
    hertz, _, voicing = (track[0].numpy() for track in PitchTrack(RATE, HOP)(torch.from_numpy(samples)[None]))
    frames = min(len(rows), len(hertz))
    rows, loudness, voicing, pitch = rows[:frames], loudness[:frames], voicing[:frames], np.log2(hertz[:frames])
    loud = loudness > loudness.max() - LOUD_DB
    voiced = loud & (voicing > VOICED)
    if voiced.sum() < STEP_FRAMES + 1:  # a whisper, or nothing
        voiced = loud
    steps = (rows[STEP_FRAMES:] - rows[:-STEP_FRAMES])[loud[STEP_FRAMES // 2 : -STEP_FRAMES // 2]]
    tune = pitch[voiced]
    return np.concatenate([
        rows[loud].mean(0), rows[loud].std(0), rows[voiced].mean(0), rows[voiced].std(0),
        steps.std(0) if len(steps) else np.zeros(CEPSTRA),
        np.percentile(tune, QUANTILES),
        [tune.std(), voicing[loud].mean(), voiced.mean(), np.abs(np.diff(tune)).mean() if len(tune) > 1 else 0.0],
    ])  # fmt: skip


class VoiceMeasure(StandardisedMap):
    """A map of voice statistics, in which distances tell voices apart."""

    def embedding(self, audio: Audio) -> np.ndarray:
        """Where a voice lies. Shape: `[C, N]` samples to float64 `[components]`."""
        return self.placed(voice_statistics(audio))


def rank_of_own(embedding: np.ndarray, voices: Sequence[np.ndarray], own: int) -> int:
    """The place of its own voice among all, by nearness: 1 is the nearest."""
    distances = np.square(np.stack(voices) - embedding).sum(1)
    return 1 + int((distances < distances[own]).sum())


@dataclass(frozen=True, eq=False)
class DescribedVoices:
    """Statistics of utterances, and whose they are."""

    statistics: np.ndarray  # [utterances, 129]
    voices: np.ndarray  # int [utterances], counted from 0
    variants: np.ndarray  # int [utterances], counted from 0


def planned_voices(variants_drawn: int, voices_of_a_variant: int, seed: int) -> Iterator[tuple[int, Utterance]]:
    """What training voices say, each with the number of its variant: every one of espeak-ng's, and drawn ones."""
    chance = random.Random(f"{seed} voice measure")
    variants: list[tuple[str, Gender]] = [its for its in VARIANTS.items() if its[0] not in HELD_OUT_VARIANTS]
    for _ in range(variants_drawn):
        gender: Gender = chance.choice(("feminine", "masculine"))
        variants.append((drawn_name(chance, gender), gender))
    for number, (variant, gender) in enumerate(variants):
        for _ in range(voices_of_a_variant):
            voice = EspeakVoice(chance.choice(ACCENTS), variant, chance.randint(15, 85), chance.randint(130, 200))
            for length in TEXTS_OF_A_VOICE:
                text = text_of(chance, length)
                while is_held_out(text):
                    text = text_of(chance, length)
                yield number, Utterance(text, voice, gender)


def described_voices(
    variants_drawn: int = VARIANTS_DRAWN, voices_of_a_variant: int = VOICES_OF_A_VARIANT, seed: int = 0
) -> DescribedVoices:
    """Speak what is planned and describe it."""
    statistics, voices, variants = [], [], []
    for place, (variant, planned) in enumerate(planned_voices(variants_drawn, voices_of_a_variant, seed)):
        clip, _, _ = timed_clip(planned, SAMPLE_RATE, FRAME)
        statistics.append(voice_statistics(clip))
        voices.append(place // len(TEXTS_OF_A_VOICE))
        variants.append(variant)
    return DescribedVoices(np.stack(statistics), np.array(voices), np.array(variants))


def learn(described: DescribedVoices, steps: int = STEPS, seed: int = 0) -> VoiceMeasure:
    """Learn what tells voices apart.

    Args:
        described: At least two utterances of each of at least ten voices, of at least four variants.
        steps: Of the neighbourhood components analysis; with 0 it is the discriminant analysis alone.
        seed: Of the trials.
    """
    mean, deviation = described.statistics.mean(0), described.statistics.std(0) + 1e-6
    standard = (described.statistics - mean) / deviation
    directions = discriminants(standard, described.voices, DISCRIMINANTS)
    components = _components(standard @ directions, described, steps, seed)
    return VoiceMeasure(mean, deviation, directions @ components)


def _components(rows: np.ndarray, described: DescribedVoices, steps: int, seed: int) -> np.ndarray:
    """A map in which an utterance lies nearest to another of the same voice. Shape: `[discriminants, components]`."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    utterances = [np.flatnonzero(described.voices == voice) for voice in range(described.voices.max() + 1)]
    voices = [
        np.unique(described.voices[described.variants == variant]) for variant in range(described.variants.max() + 1)
    ]
    points = torch.from_numpy(rows).float()
    linear = nn.Linear(rows.shape[1], COMPONENTS, bias=False)
    nn.init.eye_(linear.weight)
    scale = nn.Parameter(torch.tensor(-2.0))  # logarithm
    optimiser = torch.optim.Adam([{"params": linear.parameters(), "lr": 2e-3}, {"params": [scale], "lr": 0.01}])
    for step in range(steps):
        spoken, references = [], []
        for _ in range(TRIALS_OF_A_STEP):
            variants = chance.choice(len(voices), VARIANTS_OF_A_TRIAL, replace=False)
            compared = chance.permutation(np.concatenate([voices[each] for each in variants]))[:VOICES_OF_A_TRIAL]
            for voice in compared:
                one, other = chance.choice(utterances[voice], 2, replace=False)
                spoken.append(one)
                references.append(other)
        shape = (TRIALS_OF_A_STEP, -1, COMPONENTS)
        distances = torch.cdist(linear(points[spoken]).view(shape), linear(points[references]).view(shape))
        own = torch.arange(distances.shape[1]).expand(TRIALS_OF_A_STEP, -1)
        loss = nn.functional.cross_entropy((-distances.square() * scale.exp()).transpose(1, 2), own)
        optimiser.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 * (1 - step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return linear.weight.detach().double().numpy().T


def main() -> None:
    """Make the measure that `studio.training.evaluate` uses, and say how well it tells held-out voices apart."""
    from studio.training.speech_evaluation import own_voice_figures, plan_items  # which asks this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--tested", type=int, default=100, help="held-out voices that it is asked about at the end")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure = learn(described_voices(seed=options.seed), seed=options.seed)
    measure.save(options.file)
    items = plan_items(options.tested, seed=1)
    places = [measure.embedding(item.reference_audio) for item in items]
    figures = own_voice_figures([item.original for item in items], places, measure)
    print(f"own voice closest of ten: {figures['closest_share']:.1%} of originals")


if __name__ == "__main__":
    main()
