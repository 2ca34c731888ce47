"""A comparison lets its versions be heard before they are measured, and its table says what is still to come."""

import threading
from pathlib import Path

import pytest

from studio.audio import Audio, read_wav
from studio.lab.metrics import QUICK
from studio.lab_codecs import LabCodecs, classic_families
from studio.ui.compare_run import Run, work
from studio.ui.kept_clips import kept_version
from studio.ui.offers import offered
from studio.workspace import Workspace

VOICES = Path(__file__).parent.parent / "assets" / "voices"
CODECS = LabCodecs(classic_families())
PAIRS = offered(CODECS.families, ["opus-6", "pcm-8", "pcm-16"])


@pytest.fixture(scope="module")
def sounds() -> dict[str, Audio]:
    return {name: read_wav(VOICES / f"{name}.flac").between(0, 1) for name in ("alma", "hugo")}


def test_all_versions_of_a_clip_are_written_before_any_is_measured(sounds: dict[str, Audio], tmp_path: Path) -> None:
    run, files = Run(6, QUICK), Workspace(tmp_path)
    steps = [(len(run.results), run.measured) for _ in work(CODECS, files, sounds, PAIRS, run)]
    first = [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3), (3, 3)]  # the last is the original's own row
    assert steps == first + [(results + 3, measured + 3) for results, measured in first]
    assert [clip["name"] for clip in run.clips] == ["alma", "hugo"]
    assert all(version["gain"] is not None for clip in run.clips for version in clip["versions"])
    title, sound, _ = kept_version(files, run.clips[0]["token"], 2)
    assert (title, sound.duration_seconds) == ("16-bit PCM at 8 kHz", 1)
    assert sum(result.audio.length for result in run.results) == 0, "figures are kept, sounds lie on disk"
    assert all(result.scores["stoi"].value for result in run.results)


def test_cells_wait_for_their_measures_and_then_say_why_there_are_none(
    sounds: dict[str, Audio], tmp_path: Path
) -> None:
    run = Run(3, QUICK)
    steps = work(CODECS, Workspace(tmp_path), {"alma": sounds["alma"]}, PAIRS, run)
    for _ in range(4):  # three versions, one of them measured
        next(steps)
    table = run.table
    assert [row["pending"] for row in table["rows"]] == [False, True, True]
    stoi = [column["name"] for column in table["columns"]].index("STOI")
    assert table["rows"][0]["cells"][stoi] is not None
    steps.close()
    run.leave_unmeasured()
    rows = run.table["rows"]
    assert [row["pending"] for row in rows] == [False] * 3
    assert [row["reasons"][stoi] for row in rows[1:]] == ["stopped before it was measured"] * 2


def test_the_original_stands_beside_its_versions(sounds: dict[str, Audio], tmp_path: Path) -> None:
    run = Run(6, QUICK)
    seen = [len(run.originals) for _ in work(CODECS, Workspace(tmp_path), sounds, PAIRS, run)]
    assert seen == [0] * 6 + [1] * 7 + [2], "an original was measured and not told of"
    table = run.table | {"rows": []}
    columns = [column["name"] for column in table["columns"]]
    assert [dict(zip(columns, row["cells"], strict=True))["Clip"] for row in table["originals"]] == ["alma", "hugo"]
    cells = dict(zip(columns, table["originals"][0]["cells"], strict=True))
    assert (cells["Codec"], cells["STOI"], cells["Loudness change (LU)"]) == ("Original", 1, 0)
    assert cells["Bitrate (kbit/s)"] is None
    assert table["csv"].count('"Original"') == 2


def test_the_table_can_be_read_while_results_come(sounds: dict[str, Audio], tmp_path: Path) -> None:
    run = Run(3, ("si_sdr",))
    list(work(CODECS, Workspace(tmp_path), {"alma": sounds["alma"]}, PAIRS, run))
    results, ended = [*run.results], threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            run.results.append(results[0])
            if len(run.results) > 50:
                del run.results[3:]

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for _ in range(100):
            assert len(run.table["rows"]) >= 3
    finally:
        ended.set()
        thread.join()


def test_a_narrower_band_is_said_openly(sounds: dict[str, Audio], tmp_path: Path) -> None:
    run = Run(3, ("si_sdr",))
    list(work(CODECS, Workspace(tmp_path), {"alma": sounds["alma"]}, PAIRS, run))
    notes = " ".join(run.table["notes"])
    assert "16-bit PCM at 8 kHz (up to 4 kHz), 16-bit PCM at 16 kHz (up to 8 kHz)" in notes
    assert "Opus" not in notes
