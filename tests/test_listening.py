"""Blind tests: levels, files that tell nothing, and statistics known from tables."""

import csv
import hashlib
import io
import random
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import soundfile
import yaml

from studio.audio import Audio, read_wav, silence
from studio.errors import BadSetting
from studio.lab.abx import AbxScore, AbxTest, correct_to_go, p_value
from studio.lab.listening import alike, level_matched, write_stimuli
from studio.lab.metrics import loudness_lufs
from studio.lab.mushra import (
    ANCHOR,
    HIDDEN_REFERENCE,
    MOST_OPEN_SHEETS,
    MushraTest,
    low_pass_anchor,
    mean_interval,
)

ASSETS = Path(__file__).parent.parent / "assets"


@pytest.fixture(scope="module")
def voice() -> Audio:
    return read_wav(ASSETS / "voices" / "edda.flac").between(0.2, 1.4)


@pytest.fixture(scope="module")
def versions(voice: Audio) -> dict[str, Audio]:
    """Different in level, rate and length, as codecs leave them."""
    dull = voice.resampled(16_000)
    return {
        "original": voice,
        "quiet": Audio(voice.samples[:, :-400] * np.float32(0.2), voice.sample_rate),
        "dull": Audio(np.pad(dull.samples, ((0, 0), (0, 777))), 16_000),
    }


def test_versions_are_brought_to_the_references_loudness(versions: dict[str, Audio]) -> None:
    matched = level_matched(versions, "original")
    target = loudness_lufs(versions["original"]).value
    for level in matched.values():
        assert loudness_lufs(level.audio).value == pytest.approx(target, abs=0.05)
        assert level.note == ""
    assert matched["original"].gain_db == 0
    assert matched["original"].audio is versions["original"], "what needs no gain is not touched"
    assert matched["quiet"].gain_db == pytest.approx(14, abs=0.2)


def test_nothing_is_raised_into_clipping(voice: Audio) -> None:
    click = np.zeros_like(voice.samples)
    click[0, 100] = 1.0
    peaky = Audio(voice.samples * np.float32(0.1) + click, voice.sample_rate)
    matched = level_matched({"original": voice, "peaky": peaky}, "original")
    assert matched["peaky"].audio.peak == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    assert matched["original"].gain_db < -10, "the others come down with it"
    both = [loudness_lufs(level.audio).value for level in matched.values()]
    assert both[0] == pytest.approx(both[1], abs=0.05)


def test_short_clips_are_matched_by_rms_and_said_to_be(voice: Audio) -> None:
    short = voice.between(0.5, 0.7)
    matched = level_matched({"a": short, "b": Audio(short.samples * np.float32(0.5), 24_000)}, "a")
    assert matched["b"].gain_db == pytest.approx(6.02, abs=0.01)
    assert matched["b"].note == "matched by RMS: under 0.4 s for a loudness"


def test_silence_is_left_alone(voice: Audio) -> None:
    matched = level_matched({"a": voice, "b": silence(1.2, 24_000)}, "a")
    assert (matched["b"].gain_db, matched["b"].audio.peak) == (0, 0)
    assert "silent" in matched["b"].note
    assert matched["a"].gain_db == 0
    assert level_matched({"a": silence(1, 24_000), "b": voice}, "a")["b"].gain_db == 0


def bodies(paths: list[Path]) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def assert_nothing_tells_them_apart(paths: list[Path]) -> None:
    """Everything but the sound: names, sizes, formats, durations, dates, equal bytes."""
    assert len({path.name for path in paths}) == len(paths)
    assert all(re.fullmatch(r"[0-9a-f]{32}\.wav", path.name) for path in paths)
    assert len({path.stat().st_size for path in paths}) == 1
    assert len({path.stat().st_mtime for path in paths}) == 1
    infos = [soundfile.info(path) for path in paths]
    assert len({(info.samplerate, info.channels, info.frames, info.format, info.subtype) for info in infos}) == 1
    assert len({path.read_bytes()[:44] for path in paths}) == 1, "headers differ"
    assert len(bodies(paths)) == len(paths), "equal sounds have equal bytes, and X can be looked up"


def test_stimuli_are_alike(versions: dict[str, Audio], tmp_path: Path) -> None:
    same = alike(versions, "original")
    paths = write_stimuli([*same.values(), same["dull"]], tmp_path, random.Random(1))
    assert_nothing_tells_them_apart(paths)
    for path, sound in zip(paths, [*same.values(), same["dull"]], strict=True):
        assert np.abs(read_wav(path).samples - sound.samples).max() < 3 / 2**23, "dither is all that was added"
    with pytest.raises(ValueError, match="one length"):
        write_stimuli(list(versions.values()), tmp_path, random.Random(1))


@pytest.mark.parametrize(
    ("correct", "trials", "p"),
    [(12, 16, 0.0384), (8, 8, 0.0039), (7, 8, 0.0352), (5, 8, 0.3633), (0, 4, 1.0), (0, 0, 1.0)],
)
def test_p_values_known_from_tables(correct: int, trials: int, p: float) -> None:
    assert p_value(correct, trials) == pytest.approx(p, abs=5e-5)


def test_how_many_correct_answers_are_missing() -> None:
    assert correct_to_go(0, 0) == 5  # 1/32
    assert correct_to_go(4, 4) == 1
    assert correct_to_go(12, 16) == 0
    assert correct_to_go(11, 16) == 2
    for correct, trials in ((3, 9), (5, 8), (10, 20)):
        more = correct_to_go(correct, trials)
        assert p_value(correct + more, trials + more) < 0.05 <= p_value(correct + more - 1, trials + more - 1)


def test_a_sentence_never_claims_equality() -> None:
    assert AbxScore(12, 16, 16).sentence == "12 of 16 correct, p = 0.038. A difference was heard."
    assert "no proof" in AbxScore(9, 16, 16).sentence
    assert AbxScore(3, 3, 16).sentence == "3 of 3 correct, p = 0.125."


def nearest(trial_file: Path, a: Path, b: Path) -> str:
    """What a listener with perfect ears says."""
    x, first, second = (read_wav(path).samples for path in (trial_file, a, b))
    return "A" if np.abs(x - first).max() < np.abs(x - second).max() else "B"


def test_perfect_ears_are_always_right(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = AbxTest(("original", versions["original"]), ("dull", versions["dull"]), tmp_path, trials=8)
    seen: list[Path] = []
    while test.trial:
        trial = test.trial
        assert_nothing_tells_them_apart([trial.a, trial.b, trial.x])
        seen += [trial.a, trial.b, trial.x]
        assert test.answer(nearest(trial.x, trial.a, trial.b), trial.number)
    assert len(set(seen)) == 24, "a trial used another's file"
    assert (test.score.correct, test.score.trials) == (8, 8)
    rows = list(csv.DictReader(io.StringIO(test.as_csv())))
    assert [row["correct"] for row in rows] == ["True"] * 8
    assert float(rows[-1]["p value so far"]) == pytest.approx(1 / 256)
    assert {rows[0]["A"], rows[0]["B"]} == {"original", "dull"}


def test_x_is_drawn_for_each_trial_and_a_for_each_test(versions: dict[str, Audio], tmp_path: Path) -> None:
    pair = [(name, versions[name].between(0, 0.05)) for name in ("original", "dull")]
    drawn = []
    for _ in range(12):
        test = AbxTest(*pair, tmp_path, trials=8)
        while test.trial:
            test.answer("A", test.trial.number)
        drawn.append((test.table()["A"][0], "".join(test.table()["X"])))
    xs = "".join(x for _, x in drawn)
    assert 25 < xs.count("A") < 71, "96 fair draws fall outside once in a million"
    assert len({x for _, x in drawn}) > 8, "tests share their order"
    assert {a for a, _ in drawn} == {"original", "dull"}


def test_answers_are_not_given_away(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = AbxTest(("original", versions["original"]), ("quiet", versions["quiet"]), tmp_path, trials=4)
    with pytest.raises(BadSetting, match="when all trials are done"):
        test.as_csv()
    assert "original" not in repr(test.trial)
    first = test.trial.number
    assert test.answer("A", first)
    assert not test.answer("B", first), "a key pressed twice answered the next trial"
    assert test.score.trials == 1


def test_an_abx_test_keeps_no_more_files_than_one_trial_needs(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = AbxTest(("original", versions["original"]), ("dull", versions["dull"]), tmp_path, trials=4)
    while test.trial:
        assert set(tmp_path.iterdir()) == {test.trial.a, test.trial.b, test.trial.x}
        test.answer("A", test.trial.number)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trials", [0, 3, 65])
def test_an_abx_test_has_a_sensible_length(voice: Audio, tmp_path: Path, trials: int) -> None:
    with pytest.raises(BadSetting, match="4 to 64"):
        AbxTest(("a", voice), ("b", voice), tmp_path, trials)
    with pytest.raises(BadSetting, match="different"):
        AbxTest(("a", voice), ("a", voice), tmp_path)


@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 44_100, 48_000])
def test_the_anchor_keeps_to_the_recommendation(sample_rate: int) -> None:
    impulse = np.zeros(sample_rate)
    impulse[sample_rate // 2] = 1
    out = low_pass_anchor(Audio(impulse, sample_rate)).samples[0]
    hz, response = scipy.signal.freqz(out, worN=8192, fs=sample_rate)
    db = 20 * np.log10(np.maximum(np.abs(response), 1e-9))
    assert np.abs(db[hz <= 3_500]).max() < 0.1
    assert db[hz >= 4_000].max() < -25
    assert db[hz >= 4_500].max() < -50
    assert out.argmax() == sample_rate // 2, "the anchor is late"


def test_an_anchor_of_narrow_sound_is_the_sound(voice: Audio) -> None:
    narrow = voice.resampled(8_000)
    assert low_pass_anchor(narrow) is narrow


def test_the_interval_is_students() -> None:
    ratings = [80.0, 85, 78, 92, 70, 88]
    mean, low, high = mean_interval(ratings)
    expected = scipy.stats.t.interval(0.95, len(ratings) - 1, loc=np.mean(ratings), scale=scipy.stats.sem(ratings))
    assert (mean, low, high) == pytest.approx((np.mean(ratings), *expected))
    assert mean_interval([50.0, 50.0]) == (50, 50, 50)
    assert np.isnan(mean_interval([50.0])[1])


def rated_by_ear(test: MushraTest, listener: str, spread: float) -> None:
    """A listener who hears how far each sound is from the reference."""
    sheet = test.sheet(listener)
    reference = read_wav(sheet.reference).samples
    far = [float(np.abs(read_wav(path).samples - reference).mean()) for path in sheet.stimuli]
    test.rate(listener, [100 - spread * distance / max(far) for distance in far])


def test_a_mushra_test_from_sheet_to_table(versions: dict[str, Audio], tmp_path: Path) -> None:
    codecs = {name: versions[name] for name in ("quiet", "dull")}
    test = MushraTest(versions["original"], codecs, tmp_path)
    assert test.conditions == (HIDDEN_REFERENCE, "quiet", "dull", ANCHOR)
    sheets = [test.sheet(f"listener {index}") for index in range(6)]
    assert_nothing_tells_them_apart([path for sheet in sheets for path in (sheet.reference, *sheet.stimuli)])
    assert test.sheet(" listener  0 ") == sheets[0]
    for index in range(6):
        rated_by_ear(test, f"listener {index}", 40 + 5 * index)
    summary = test.summary().set_index("condition")
    assert summary.index[0] == HIDDEN_REFERENCE
    assert summary.index[-1] == ANCHOR
    assert summary.loc[HIDDEN_REFERENCE, "mean"] == pytest.approx(100, abs=0.1)
    assert (summary["low"] <= summary["mean"]).all()
    assert summary.loc[ANCHOR, ["low", "high"]].tolist() == pytest.approx(
        scipy.stats.t.interval(0.95, 5, loc=47.5, scale=scipy.stats.sem([60, 55, 50, 45, 40, 35]))
    )
    rows = list(csv.DictReader(io.StringIO(test.as_csv())))
    assert len(rows) == 6 * 4
    assert rows[0].keys() == {"listener", "condition", "rating"}


def test_listeners_get_orders_of_their_own(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = MushraTest(versions["original"].between(0, 0.5), {"dull": versions["dull"].between(0, 0.5)}, tmp_path)
    orders = set()
    for index in range(20):
        sheet = test.sheet(str(index))
        reference = read_wav(sheet.reference).samples
        orders.add(int(np.argmin([np.abs(read_wav(path).samples - reference).mean() for path in sheet.stimuli])))
    assert orders == {0, 1, 2}, "the hidden reference is always in the same places"


def test_who_misses_the_hidden_reference_is_named(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = MushraTest(versions["original"], {"dull": versions["dull"]}, tmp_path)
    rated_by_ear(test, "good", 50)
    test.sheet("guessing")
    test.rate("guessing", [50, 50, 50])
    assert test.unsure_listeners == ("guessing",)
    assert test.summary()["listeners"].tolist() == [2, 2, 2]
    assert test.summary(without_unsure=True)["listeners"].tolist() == [1, 1, 1]


def test_ratings_are_checked(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = MushraTest(versions["original"], {"dull": versions["dull"]}, tmp_path)
    with pytest.raises(BadSetting, match="No test was started"):
        test.rate("me", [1, 2, 3])
    test.sheet("me")
    for wrong in ([1, 2], [1, 2, 101], [1, 2, -1], [1, 2, float("nan")]):
        with pytest.raises(BadSetting, match="Rate all 3 sounds"):
            test.rate("me", wrong)
    test.rate("me", [100, 50, 0])
    with pytest.raises(BadSetting, match="rated already"):
        test.sheet("me")
    with pytest.raises(BadSetting, match="name"):
        test.sheet("  ")
    assert test.summary().shape == (3, 5)
    assert MushraTest(versions["original"], {"a": versions["dull"]}, tmp_path).summary().empty
    with pytest.raises(BadSetting, match="1 to 8"):
        MushraTest(versions["original"], {}, tmp_path)


def test_listeners_who_never_rate_leave_no_heap_of_files(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = MushraTest(versions["original"].between(0, 0.1), {"dull": versions["dull"].between(0, 0.1)}, tmp_path)
    first = test.sheet("first")
    for index in range(MOST_OPEN_SHEETS):
        test.sheet(str(index))
    assert len(list(tmp_path.iterdir())) == MOST_OPEN_SHEETS * 4
    assert not first.reference.exists()
    with pytest.raises(BadSetting, match="No test was started"):
        test.rate("first", [1, 2, 3])
    for index in range(MOST_OPEN_SHEETS):
        test.rate(str(index), [100, 50, 0])
    assert list(tmp_path.iterdir()) == []


def test_the_webmushra_export_holds_together(versions: dict[str, Audio], tmp_path: Path) -> None:
    test = MushraTest(versions["original"], {"quiet": versions["quiet"], "dull": versions["dull"]}, tmp_path)
    with zipfile.ZipFile(io.BytesIO(test.webmushra_zip("demo"))) as archive:
        config = yaml.safe_load(archive.read("configs/demo.yaml"))
        page, finish = config["pages"]
        assert (page["type"], finish["type"]) == ("mushra", "finish")
        files = [page["reference"], *page["stimuli"].values()]
        assert len(files) == 4, "reference, two versions, anchor; webMUSHRA adds the hidden reference"
        sounds = [soundfile.read(io.BytesIO(archive.read(file))) for file in files]
        assert {(len(samples), rate) for samples, rate in sounds} == {(round(1.2 * 24_000), 24_000)}
        key = list(csv.DictReader(io.StringIO(archive.read("demo-key.csv").decode())))
        assert {row["stimulus"]: row["condition"] for row in key} == {"C1": "quiet", "C2": "dull", "C3": ANCHOR}
        assert {f"configs/resources/demo/{name}.wav" for name in ("reference", "C1", "C2", "C3")} == set(files)
    assert list(tmp_path.iterdir()) == [], "the export left files among the stimuli"
