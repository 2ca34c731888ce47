"""Clips of the lab on disk, and what their files are called."""

import pytest

from studio.ui.kept_clips import file_stem


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
