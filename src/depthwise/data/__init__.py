"""Data: MNIST in the package, other sets from files, caches or the network, images, and sequences of batches.

>>> (x_train, y_train), (x_test, y_test) = mnist.load_data()
>>> x_train.shape
(60000, 28, 28)
"""

from depthwise.data import cifar10, fashion_mnist, mnist
from depthwise.data.batches import Batch, Batches, is_batches, read_batch
from depthwise.data.dataset import Dataset, load_data
from depthwise.data.idx import load_idx, load_idx_dataset
from depthwise.data.images import ImageFolder, load_image, load_image_folder
from depthwise.data.npz import load_npz
from depthwise.data.validate import validate_dataset_arrays, validate_images, validate_labels, validate_pair

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "ImageFolder",
    "cifar10",
    "fashion_mnist",
    "is_batches",
    "load_data",
    "load_idx",
    "load_idx_dataset",
    "load_image",
    "load_image_folder",
    "load_npz",
    "mnist",
    "read_batch",
    "validate_dataset_arrays",
    "validate_images",
    "validate_labels",
    "validate_pair",
]
