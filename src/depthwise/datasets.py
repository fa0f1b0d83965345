"""`keras.datasets` by name: `mnist.load_data()` and its like; see `depthwise.data`."""

from depthwise.data import cifar10, fashion_mnist, mnist

__all__ = ["cifar10", "fashion_mnist", "mnist"]
