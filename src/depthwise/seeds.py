"""The one source of seeds, and the number that fixes them all."""

import random

from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["next_seed", "set_random_seed"]

_generator = random.Random()
"""From the system's entropy, until a seed is set."""


def set_random_seed(seed: int) -> None:
    """Fixes every random choice that follows: Python's, NumPy's and Depthwise's own.

    Two runs that call this with the same seed and then do the same get the same weights, the same shuffles and the same
    dropout masks, whatever the number of threads.

    Args:
        seed: an integer from 0 to 2³² − 1, as `keras.utils.set_random_seed` takes.

    Raises:
        InvalidArgumentError: anything else.

    >>> set_random_seed(812)
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= int(seed) < 2**32:
        raise InvalidArgumentError(f"seed must be an integer from 0 to 4294967295, got {describe_value(seed)}")
    import numpy

    random.seed(int(seed))
    numpy.random.seed(int(seed))
    _generator.seed(int(seed))


def next_seed() -> int:
    """A fresh seed of 64 bits: the same sequence after each `set_random_seed` of one number, else unpredictable."""
    return _generator.getrandbits(64)
