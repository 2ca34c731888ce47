"""Blind tests in progress are found by whoever holds their token, and do not pile up."""

from pathlib import Path

import numpy as np
import pytest

from studio.audio import Audio
from studio.errors import BadSetting
from studio.lab.abx import AbxTest
from studio.lab.mushra import MushraTest
from studio.ui.blind_store import BlindStore, Kept
from studio.workspace import Workspace

TONE = Audio(0.1 * np.sin(np.arange(2_400))[None], 24_000)


def begun(store: BlindStore) -> Kept:
    token, folder = store.room()
    return store.keep(AbxTest(("one", TONE), ("other", TONE), folder, 4), token, folder)


def test_a_test_is_found_by_its_token_and_kind_until_it_ends(tmp_path: Path) -> None:
    store = BlindStore(Workspace(tmp_path))
    kept = begun(store)
    assert store.find(kept.token, AbxTest) is kept
    for token, kind in ((kept.token, MushraTest), ("0" * 32, AbxTest), (None, AbxTest), (["x"], AbxTest)):
        with pytest.raises(BadSetting, match="no longer here"):
            store.find(token, kind)
    store.end(kept.token)
    assert not kept.folder.exists()
    with pytest.raises(BadSetting, match="no longer here"):
        store.find(kept.token, AbxTest)


def test_the_oldest_goes_with_its_files_when_there_is_too_much_sound(tmp_path: Path) -> None:
    store = BlindStore(Workspace(tmp_path), most_bytes=2 * 2 * TONE.samples.nbytes)
    oldest, *newer = (begun(store) for _ in range(3))
    assert not oldest.folder.exists()
    with pytest.raises(BadSetting, match="no longer here"):
        store.find(oldest.token, AbxTest)
    assert [store.find(kept.token, AbxTest) for kept in newer] == newer


def test_one_large_test_is_kept(tmp_path: Path) -> None:
    store = BlindStore(Workspace(tmp_path), most_bytes=1)
    kept = begun(store)
    assert store.find(kept.token, AbxTest) is kept
