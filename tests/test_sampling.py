"""Every dial has one default and one range, and nothing gets past them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import BadSetting
from studio.sampling import HIGHEST_SEED, Sampling, fresh_seed

DIALS = {dial.name: dial for dial in Sampling.dials()}


def test_the_defaults_are_those_of_the_dials():
    assert {name: getattr(Sampling(), name) for name in DIALS} == {name: dial.default for name, dial in DIALS.items()}


@pytest.mark.parametrize("dial", DIALS.values(), ids=DIALS)
def test_a_dial_explains_itself_and_takes_its_whole_range(dial: Any):
    assert dial.label
    assert dial.help.endswith(".")
    assert dial.step > 0
    for value in (dial.low, dial.default, dial.high):
        kept = getattr(Sampling(**{dial.name: value}), dial.name)
        assert kept == value
        assert type(kept) is (int if dial.whole else float)


@pytest.mark.parametrize("dial", DIALS.values(), ids=DIALS)
@pytest.mark.parametrize("beyond", ["below", "above", float("nan"), float("inf"), True, None, "0.5", [1], 10**400])
def test_what_is_out_of_range_or_no_number_is_refused_by_label_and_name(dial: Any, beyond: Any):
    value = {"below": dial.low - 1, "above": dial.high + 1}.get(beyond, beyond) if isinstance(beyond, str) else beyond
    with pytest.raises(BadSetting) as problem:
        Sampling(**{dial.name: value})
    assert str(problem.value).startswith(f"{dial.label} ({dial.name}) must be between")


def test_whole_numbers_may_come_as_floats_from_a_browser_and_halves_may_not():
    assert Sampling(seed=7.0, top_k=30.0) == Sampling(seed=7, top_k=30)
    with pytest.raises(BadSetting, match=r"must be a whole number, not 7.5"):
        Sampling(seed=7.5)


def test_settings_are_read_by_name_and_a_wrong_name_is_told_the_right_ones():
    assert Sampling.from_dict({"seed": 7}) == Sampling(seed=7)
    with pytest.raises(
        BadSetting, match=r"p.json: there is no sampling setting 'temprature'. There are: temperature, "
    ):
        Sampling.from_dict({"temprature": 1}, "p.json")
    with pytest.raises(BadSetting, match=r"p.json: Temperature"):
        Sampling.from_dict({"temperature": 3}, "p.json")


@pytest.mark.parametrize("value", [None, [], ["seed"], "seed", 7])
def test_settings_that_are_no_object_are_refused(value: Any):
    with pytest.raises(BadSetting, match=r"p.json: there must be an object"):
        Sampling.from_dict(value, "p.json")


@given(st.integers(0, HIGHEST_SEED), st.integers(0, 500))
def test_a_line_has_a_seed_of_its_own_that_depends_on_nothing_else(seed: int, index: int):
    sampling = Sampling(temperature=0.7, seed=seed)
    line = sampling.for_line(index)
    assert line == sampling.for_line(index)
    assert line.with_seed(seed) == sampling
    assert line.seed != sampling.for_line(index + 1).seed


def test_seeds_of_neighbouring_lines_and_seeds_do_not_meet():
    seeds = {Sampling(seed=seed).for_line(index).seed for seed in range(50) for index in range(50)}
    assert len(seeds) == 2_500


def test_a_fresh_seed_is_in_range_and_another_each_time():
    seeds = {fresh_seed() for _ in range(20)}
    assert len(seeds) > 1
    assert all(Sampling(seed=seed).seed == seed for seed in seeds)
