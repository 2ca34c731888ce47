"""Codes know their bitrate, their duration and how much they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from studio.codes import Codes

MATRICES = arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(0, 40)), elements=st.integers(0, 15))


def codes_of(*rows: list[int], rate: float = 25.0, size: int = 1024) -> Codes:
    return Codes(np.array(rows), rate, size)


def test_one_codebook_of_fifty_frames_at_50_hz_is_a_second_of_800_bits():
    codes = Codes(np.zeros((1, 50)), 50.0, 65_536)
    assert (codes.codebooks, codes.frames) == (1, 50)
    assert codes.duration_seconds == 1.0
    assert codes.bitrate_kbps == pytest.approx(0.8)


def test_eight_codebooks_of_1024_at_25_hz_are_2_kbit_a_second_and_each_is_a_rung_of_a_quarter():
    codes = Codes(np.zeros((8, 25)), 25.0, 1024)
    assert codes.bitrate_kbps == pytest.approx(2.0)
    assert [codes.first_codebooks(count).bitrate_kbps for count in (1, 4)] == pytest.approx([0.25, 1.0])


def test_entropy_of_known_sequences():
    codes = codes_of([5] * 8, [1, 2] * 4, [0, 1, 2, 3] * 2, [0, 0, 0, 0, 0, 0, 1, 2])
    assert codes.entropy_bits == pytest.approx([0, 1, 2, 0.75 * np.log2(4 / 3) + 0.25 * 3])
    assert codes.entropy_kbps == pytest.approx(sum(codes.entropy_bits) * 25 / 1000)


@given(MATRICES)
def test_entropy_is_never_negative_nor_more_than_the_nominal_bitrate(values: np.ndarray):
    codes = Codes(values, 25.0, 16)
    assert (codes.entropy_bits >= 0).all()
    assert codes.entropy_kbps <= codes.bitrate_kbps + 1e-9


@given(MATRICES, MATRICES)
def test_fingerprints_are_equal_exactly_when_the_codes_are(one: np.ndarray, other: np.ndarray):
    equal = one.shape == other.shape and bool((one == other).all())
    assert (Codes(one, 25.0, 16).fingerprint == Codes(other, 25.0, 16).fingerprint) == equal
    assert Codes(one, 25.0, 16).fingerprint == Codes(one.copy(), 25.0, 16).fingerprint


def test_the_fingerprint_knows_shape_rate_and_size():
    codes = codes_of([1, 2, 3, 4])
    others = [codes_of([1, 2], [3, 4]), codes_of([1, 2, 3, 4], rate=50), codes_of([1, 2, 3, 4], size=2048)]
    assert codes.fingerprint not in {other.fingerprint for other in others}


@given(MATRICES, st.integers(0, 40))
def test_frames_are_cut_like_a_list_and_codebooks_from_the_first(values: np.ndarray, middle: int):
    codes = Codes(values, 25.0, 16)
    assert np.array_equal(codes.between(0, middle).values, values[:, :middle])
    assert codes.between(0, middle).frames + codes.between(middle, codes.frames).frames == max(codes.frames, 0)
    assert np.array_equal(codes.first_codebooks(1).values, values[:1])


@pytest.mark.parametrize("count", [0, -1, 3])
def test_there_are_no_codebooks_beyond_those_there_are(count: int):
    with pytest.raises(ValueError, match=r"must be 1\.\.2"):
        codes_of([1, 2], [3, 4]).first_codebooks(count)


@pytest.mark.parametrize("values", [[[1024]], [[-1]], [1, 2], [[[1]]]])
def test_codes_out_of_range_or_shape_are_no_codes(values: list):
    with pytest.raises(ValueError, match="codes must"):
        Codes(np.array(values), 25.0, 1024)


def test_no_frames_are_no_seconds_and_no_bits():
    codes = Codes(np.zeros((8, 0)), 25.0, 1024)
    assert (codes.duration_seconds, codes.entropy_kbps) == (0.0, 0.0)
