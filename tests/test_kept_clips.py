"""Clips of the lab on disk, and what their files are called."""

from pathlib import Path

import pytest

from studio.audio import silence
from studio.ui.kept_clips import KeptClip, Made, file_stem, original
from studio.workspace import Workspace


@pytest.mark.parametrize(
    ("words", "stem"),
    [
        ("Alma Higgs Audio V2 tokenizer, 8 codebooks", "alma-higgs-audio-v2-tokenizer-8-codebooks"),
        ("quiet tone.wav Opus 6 kbit/s", "quiet-tone-opus-6-kbit-s"),
        ("Grüße 你好 (2) X-Codec2", "grüße-你好-2-x-codec2"),
        ("../../etc/passwd", "etc-passwd"),
        ("<b>", "b"),
        ("…", "sound"),
        ("a" * 300, "a" * 100),
    ],
)
def test_a_download_is_called_by_words_that_are_safe_in_any_folder(words: str, stem: str) -> None:
    assert file_stem(words) == stem


def test_a_version_whose_title_begins_like_its_clip_is_named_after_both(tmp_path: Path) -> None:
    clip = KeptClip("Opus", original(silence(0.2, 24_000)), Workspace(tmp_path))
    clip.add(Made("Opus 6 kbit/s", silence(0.2, 24_000), []))
    clip.add(Made("Opus", silence(0.2, 24_000), []))
    assert [version["name"] for version in clip.view["versions"]] == ["opus-original", "opus-opus-6-kbit-s", "opus"]
