"""How sure a measured share is, and how much repeated runs differ."""

import math
from collections.abc import Sequence

from depthwise.errors import InvalidArgumentError

__all__ = ["mean_and_spread", "wilson_interval"]

_NORMAL_QUANTILE = 1.959963984540054
"""97.5 % of a standard normal distribution lie below it."""


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `correct` of `total` were seen (Wilson 1927).

    Unlike the share ± 1.96 standard errors it stays within 0 and 1, and is right near 1, where accuracies are.

    Raises:
        InvalidArgumentError: not 0 ≤ correct ≤ total with a total of at least 1.

    >>> [round(bound, 4) for bound in wilson_interval(9_910, 10_000)]
    [0.989, 0.9927]
    >>> wilson_interval(3, 3)[1]
    1.0
    """
    if total < 1 or not 0 <= correct <= total:
        raise InvalidArgumentError(f"correct must be from 0 to total, total at least 1, got {correct} of {total}")
    share, square = correct / total, _NORMAL_QUANTILE**2
    centre = share + square / (2 * total)
    half = _NORMAL_QUANTILE * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    scale = 1 + square / total
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == total else (centre + half) / scale
    return low, high


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation (divided by n − 1); None for the spread of a single value.

    >>> mean_and_spread([1.0, 2.0, 3.0])
    (2.0, 1.0)
    >>> mean_and_spread([0.5])
    (0.5, None)
    """
    if not values:
        raise InvalidArgumentError("mean_and_spread needs at least one value, got none")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
