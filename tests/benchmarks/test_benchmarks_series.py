"""Medians, spreads, ratios and percentiles."""

from __future__ import annotations

import pytest

from benchmarks.series import Series, percentile, ratio, series


def test_the_median_is_the_middle_round_and_not_the_mean() -> None:
    found = Series((10.0, 1000.0, 20.0))

    assert (found.median, found.lowest, found.highest) == (20.0, 10.0, 1000.0)


def test_the_spread_is_a_share_of_the_median() -> None:
    assert Series((90.0, 100.0, 115.0)).spread == pytest.approx(0.25)


def test_a_ratio_is_of_medians() -> None:
    assert ratio(Series((1.0, 30.0, 31.0)), Series((15.0, 2.0, 99.0))) == 2.0


@pytest.mark.parametrize(("of", "to"), [(None, (1.0,)), ((1.0,), None), ((1.0,), (0.0,))])
def test_there_is_no_ratio_where_a_side_was_not_measured(of: tuple[float] | None, to: tuple[float] | None) -> None:
    assert ratio(series(of or ()), series(to or ())) is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7.0
