"""What a speaking checkpoint does, in figures: right words, sound, voice, end, turns; on held-out texts and voices."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from studio.audio import Audio, joined
from studio.codecs.higgs import HiggsCodec
from studio.conversation import Conversation, Line, Speaker
from studio.engine.local import LocalEngine
from studio.sampling import Sampling
from studio.speech import SpeechRequest
from studio.takes import Stop, Take
from studio.training.corpus import Gender, Utterance, a_voice, is_held_out, spoken
from studio.training.espeak import EspeakVoice
from studio.training.likeness import cepstra, mel_cepstral_distortion, rank_of_first
from studio.training.recogniser import Recogniser, edits, phone_errors, phones_of
from studio.training.sentences import sentence
from studio.training.voice_measure import VoiceMeasure, rank_of_own
from studio.voices import Reference, Voice

RATE = 24_000  # Hz
CANDIDATES = 20  # texts, the right one among them
VOICES_COMPARED = 10
LINE_WORDS, REFERENCE_WORDS = (3, 12), (4, 9)
OVERLONG = 1.5  # times the original's length
WHISPER = "openai/whisper-base.en"
NO_MEASURE = "n/a: there is no measure of voices; make it with python -m studio.training.voice_measure"
NO_RECOGNISER = "n/a: there is no recogniser; make it with python -m studio.training.recogniser"


@dataclass(frozen=True, eq=False)
class Item:
    """One line to be spoken in a held-out voice, what it should be, and what it could be taken for."""

    text: str
    voice: EspeakVoice
    gender: Gender
    original: Audio
    reference: Reference
    others: tuple[str, ...]  # texts of like length

    @property
    def speaker(self) -> Speaker:
        """The voice to be cloned."""
        return Speaker("", Voice(reference=self.reference))

    @property
    def reference_audio(self) -> Audio:
        """What the clone is made from."""
        assert self.reference.audio is not None
        return self.reference.audio

    @property
    def conversation(self) -> Conversation:
        """One line, cloned."""
        return Conversation((Line(0, self.text),), (self.speaker,))


def held_out_text(chance: random.Random, words: tuple[int, int]) -> str:
    """A sentence nothing was trained on, with so many words."""
    while True:
        text = sentence(chance)
        if is_held_out(text) and words[0] <= len(text.split()) <= words[1]:
            return text


def plan_items(count: int, seed: int = 0) -> list[Item]:
    """Texts and voices, decided by the seed. The first `n` of a longer plan are the shorter plan."""
    items = []
    for index in range(count):
        chance = random.Random(f"{seed} evaluation {index}")
        voice, gender = a_voice(chance, "held-out")
        text, words = held_out_text(chance, LINE_WORDS), held_out_text(chance, REFERENCE_WORDS)
        others = set[str]()
        while len(others) < CANDIDATES - 1:
            other = sentence(chance)
            if other != text and abs(len(other) - len(text)) <= max(3, len(text) // 6):
                others.add(other)
        reference = Reference("reference", words, spoken(Utterance(words, voice, gender), RATE))
        original = spoken(Utterance(text, voice, gender), RATE)
        items.append(Item(text, voice, gender, original, reference, tuple(sorted(others))))
    return items


def speak_items(engine: LocalEngine, items: Sequence[Item], seed: int = 0) -> list[Take | None]:
    """Every line by itself; None where nothing was heard."""
    request = SpeechRequest(tuple(item.conversation for item in items), Sampling(seed=seed))
    return _spoken(engine, request)


def _spoken(engine: LocalEngine, request: SpeechRequest) -> list[Take | None]:
    """One take of each conversation."""
    *_, heard = engine.speak(request)
    assert isinstance(heard, tuple)
    takes = {lines.conversation: lines.take for lines in heard}
    return [takes.get(index) for index in range(len(request.conversations))]


def evaluate_speech(
    items: Sequence[Item],
    takes: Sequence[Take | None],
    codec: HiggsCodec,
    recogniser: Recogniser | None,
    measure: VoiceMeasure | None,
) -> dict[str, object]:
    """Figures over all items, with those of the codec's round trip and of the original beside them."""
    clips = [take.audio if take else None for take in takes]
    versions: dict[str, list[Audio | None]] = {
        "spoken": clips,
        "codec_round_trip": [_round_trip(codec, item.original) for item in items],
    }
    candidates = [_candidates(item) for item in items]
    figures: dict[str, object] = {"lines": len(items), "stop": _stop(items, takes)}
    for name, its in versions.items():
        figures[name] = _text_figures(its, candidates)
    versions = {"original": [item.original for item in items], **versions}
    figures["own_voice"] = _own_voices(items, versions, codec, measure) if measure else NO_MEASURE
    figures["phone_error_rate"] = _phone_error_rates(items, versions, recogniser) if recogniser else NO_RECOGNISER
    figures["word_error_rate"] = word_error_rate([item.text for item in items], clips)
    return figures


def _round_trip(codec: HiggsCodec, audio: Audio) -> Audio:
    return codec.decode(codec.encode(audio))


def _candidates(item: Item) -> list[np.ndarray]:
    """Cepstra of the original, then of the other texts in the same voice."""
    others = [spoken(Utterance(text, item.voice, item.gender), RATE) for text in item.others]
    return [cepstra(audio) for audio in (item.original, *others)]


def _text_figures(clips: Sequence[Audio | None], candidates: Sequence[list[np.ndarray]]) -> dict[str, float]:
    """Right texts and distortion. A line that was not heard counts as wrong in all but the distortion."""
    ranks, distortions = [], []
    for clip, texts in zip(clips, candidates, strict=True):
        if clip is None:
            ranks.append(len(texts))
            continue
        rows = cepstra(clip)
        ranks.append(rank_of_first(rows, texts))
        distortions.append(mel_cepstral_distortion(rows, texts[0]))
    return {
        "right_text_share": round(fmean(rank == 1 for rank in ranks), 4),
        "right_text_mean_rank": round(fmean(ranks), 3),
        "mel_cepstral_distortion_db": round(fmean(distortions), 3) if distortions else 0.0,
    }


def _own_voices(
    items: Sequence[Item], versions: dict[str, list[Audio | None]], codec: HiggsCodec, measure: VoiceMeasure
) -> dict[str, dict[str, float]]:
    """How well each version keeps its voice. What passed the codec is held against references that passed it, too."""
    plain = [measure.embedding(item.reference_audio) for item in items]
    coded = [measure.embedding(_round_trip(codec, item.reference_audio)) for item in items]
    return {
        name: own_voice_figures(clips, plain if name == "original" else coded, measure)
        for name, clips in versions.items()
    }


def own_voice_figures(
    clips: Sequence[Audio | None], references: Sequence[np.ndarray], measure: VoiceMeasure
) -> dict[str, float]:
    """How often a clip lies nearest to its own reference among ten, or all if there are fewer, and its mean rank.

    Where nothing was heard, it is the last.
    """
    ranks = []
    for index, clip in enumerate(clips):
        first = min(index - index % VOICES_COMPARED, max(0, len(references) - VOICES_COMPARED))
        compared = references[first : first + VOICES_COMPARED]
        ranks.append(rank_of_own(measure.embedding(clip), compared, index - first) if clip else len(compared))
    return {
        "closest_share": round(fmean(rank == 1 for rank in ranks), 4),
        "mean_rank": round(fmean(ranks), 3),
    }


def _stop(items: Sequence[Item], takes: Sequence[Take | None]) -> float:
    """Share of lines that ended by themselves and in time."""
    return round(
        fmean(
            take is not None
            and take.stop == Stop.ENDED
            and take.audio.duration_seconds <= OVERLONG * item.original.duration_seconds
            for item, take in zip(items, takes, strict=True)
        ),
        4,
    )


def _phone_error_rates(
    items: Sequence[Item], versions: dict[str, list[Audio | None]], recogniser: Recogniser
) -> dict[str, float]:
    """Phone edits over phones to be said, for each version; a line that was not heard is all deletions."""
    said = [phones_of(item.text, item.voice) for item in items]
    total = sum(map(len, said))
    return {
        name: round(
            sum(
                phone_errors(recogniser, clip, phones) if clip else len(phones)
                for clip, phones in zip(clips, said, strict=True)
            )
            / total,
            4,
        )
        for name, clips in versions.items()
    }


def word_error_rate(texts: Sequence[str], clips: Sequence[Audio | None]) -> float | str:
    """By Whisper, if its weights are on this machine; nothing is fetched. Otherwise the reason why not."""
    try:
        processor: Any = WhisperProcessor.from_pretrained(WHISPER, local_files_only=True)
        model: Any = WhisperForConditionalGeneration.from_pretrained(WHISPER, local_files_only=True)
    except OSError:
        return f"n/a: {WHISPER} is not in the hub's cache"
    wrong = total = 0
    for text, clip in zip(texts, clips, strict=True):
        said, heard = _plain_words(text), list[str]()
        if clip:
            samples = clip.mono().resampled(16_000).samples[0]
            inputs = processor(samples, sampling_rate=16_000, return_tensors="pt")
            heard = _plain_words(processor.batch_decode(model.generate(**inputs), skip_special_tokens=True)[0])
        wrong += edits(said, heard)
        total += len(said)
    return round(wrong / total, 4)


def _plain_words(text: str) -> list[str]:
    return re.findall(r"[a-z']+|\d+", text.lower())


def evaluate_turns(
    engine: LocalEngine, items: Sequence[Item], measure: VoiceMeasure | None, seed: int = 0
) -> dict[str, object]:
    """Two-speaker lines in one breath: do both halves sound more like their own reference than like the other's?

    The cut is where the originals would part, by their shares of the whole. Beside the spoken lines stand the codec's
    round trips of the joined originals: more cannot be had.
    """
    pairs = list(zip(items[0::2], items[1::2], strict=False))
    if not measure or not pairs:
        return {"pairs": len(pairs), "both_halves_right_share": NO_MEASURE if pairs else "n/a: one line only"}
    conversations = [
        Conversation((Line(0, first.text), Line(1, second.text)), (first.speaker, second.speaker))
        for first, second in pairs
    ]
    takes = _spoken(engine, SpeechRequest(tuple(conversations), Sampling(seed=seed), way="breath"))
    references = [
        [measure.embedding(_round_trip(engine.codec, item.reference_audio)) for item in pair] for pair in pairs
    ]
    trips = [_round_trip(engine.codec, joined([item.original for item in pair])) for pair in pairs]

    def share(clips: Sequence[Audio | None]) -> float:
        told = zip(pairs, clips, references, strict=True)
        return round(fmean(clip is not None and _turned(pair, clip, its, measure) for pair, clip, its in told), 4)

    return {
        "pairs": len(pairs),
        "both_halves_right_share": share([take.audio if take else None for take in takes]),
        "codec_round_trip_share": share(trips),
    }


def _turned(pair: tuple[Item, Item], audio: Audio, references: Sequence[np.ndarray], measure: VoiceMeasure) -> bool:
    share = pair[0].original.length / sum(item.original.length for item in pair)
    cut = round(audio.length * share)
    halves = Audio(audio.samples[:, :cut], audio.sample_rate), Audio(audio.samples[:, cut:], audio.sample_rate)
    if min(half.length for half in halves) == 0:
        return False
    return all(rank_of_own(measure.embedding(half), references, own) == 1 for own, half in enumerate(halves))
