"""Which codes can be mixed, and what a mix is called."""

import numpy as np

from studio.codes import Codes
from studio.lab.codemap import StoredCodes
from studio.ui.code_choice import listed_codes, named, shortened


def some(codebooks: int, frames: int = 10, frame_rate: float = 25.0) -> Codes:
    return Codes(np.zeros((codebooks, frames), np.int64), frame_rate, 1024)


def test_only_others_with_as_many_codebooks_of_one_kind_fit() -> None:
    eight, other, two, faster = (
        listed_codes(f"{token}/0", token, token, StoredCodes(codes, "Higgs"))
        for token, codes in (("a", some(8)), ("b", some(8, 7)), ("c", some(2)), ("d", some(8, frame_rate=50.0)))
    )
    assert [eight.fits(one) for one in (eight, other, two, faster)] == [False, True, False, False]


def test_a_mix_is_named_by_what_it_is_made_of() -> None:
    assert named(["Bruno", *["Alma"] * 7], set()) == "1 from Bruno, 2–8 from Alma"
    assert named(["Alma", "Bruno", "Alma", "Alma"], {2}) == "1, 3–4 from Alma, 2 from Bruno, without 3"
    assert named(["Alma"] * 5, set()) == "1–5 from Alma"


def test_a_mix_says_with_which_clip_it_ends() -> None:
    words = shortened(("Alma", some(8, 75)), ("Bruno", some(8, 50)))
    assert words == "The mix ends after 2.00 s with the shorter clip (Bruno); Alma lasts 3.00 s."
    assert shortened(("Alma", some(8)), ("Bruno", some(8))) == ""
