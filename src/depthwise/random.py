"""The one source of random choices: `set_random_seed`, and a stream for each purpose."""

import hashlib
from typing import Any

import numpy as np

from depthwise.absent import absent
from depthwise.seeds import next_seed, set_random_seed

__all__ = ["generator", "next_seed", "set_random_seed", "stream"]


def generator(purpose: str) -> np.random.Generator:
    """A new random stream for `purpose`: the same after each `set_random_seed` of one number, else unpredictable.

    >>> set_random_seed(1)
    >>> first = generator("shuffle").integers(1000)
    >>> set_random_seed(1)
    >>> bool(generator("shuffle").integers(1000) == first)
    True
    """
    return stream(next_seed(), purpose)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The random stream that `seed` and `purpose` name: always the same."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode(errors="surrogatepass")).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("random", name, __all__)
