"""`keras.datasets` by name: `mnist.load_data()` and its like; see `depthwise.data`."""

from typing import Any

from depthwise.absent import absent
from depthwise.data import cifar10, fashion_mnist, mnist

__all__ = ["cifar10", "fashion_mnist", "mnist"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("datasets", name, __all__)
