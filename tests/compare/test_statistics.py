"""Wilson's interval against its defining equation, and spreads by hand."""

import math

import pytest

from depthwise.compare.statistics import mean_and_spread, wilson_interval
from depthwise.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("correct", "total"), [(1, 10), (5, 10), (9_910, 10_000), (9_999, 10_000), (500_000, 1_000_000)]
)
def test_both_ends_are_just_compatible_with_what_was_seen(correct: int, total: int) -> None:
    """Wilson: the shares p for which |seen − p| = 1.96 √(p (1 − p) / n)."""
    seen = correct / total
    low, high = wilson_interval(correct, total)
    assert low < seen < high
    for share in (low, high):
        assert abs(seen - share) == pytest.approx(1.959963985 * math.sqrt(share * (1 - share) / total), rel=1e-6)


@pytest.mark.parametrize("total", [1, 3, 10_000])
def test_it_stays_between_0_and_1(total: int) -> None:
    assert wilson_interval(0, total)[0] == 0.0
    assert wilson_interval(total, total)[1] == 1.0
    assert 0.0 < wilson_interval(0, total)[1] < 1.0
    assert 0.0 < wilson_interval(total, total)[0] < 1.0


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(correct: int, total: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"got {correct} of {total}"):
        wilson_interval(correct, total)


def test_mean_and_spread_by_hand() -> None:
    assert mean_and_spread([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == pytest.approx((5.0, math.sqrt(32 / 7)))
    assert mean_and_spread([3.0]) == (3.0, None)
    with pytest.raises(InvalidArgumentError, match="at least one value"):
        mean_and_spread([])
