"""`load_data`: one name or path in, one data set out, in the same form whatever it came from."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data import cifar10, fashion_mnist, mnist
from depthwise.data.bounded import shown_path
from depthwise.data.idx import find_idx_files, load_idx_dataset
from depthwise.data.images import ImageFolder, class_folders, image_files, load_image_folder, native_image_form
from depthwise.data.npz import ArrayPairs, load_npz
from depthwise.data.validate import validate_dataset_arrays, validate_labels
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidDataError, describe_value

__all__ = ["Dataset", "has_names", "load_data"]

_NAMED: dict[str, tuple[Callable[[], ArrayPairs], tuple[str, ...]]] = {
    "mnist": (mnist.load_data, mnist.CLASS_NAMES),
    "fashion_mnist": (fashion_mnist.load_data, fashion_mnist.CLASS_NAMES),
    "cifar10": (cifar10.load_data, cifar10.CLASS_NAMES),
}
_ALIASES = {"fashion": "fashion-mnist", "cifar-10": "cifar10"}
_MOST_CLASSES = 100_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images for training and for testing.

    Attributes:
        name: "mnist", or the name of the file or folder.
        x_train, x_test: (N, height, width, channels), uint8 with values 0 to 255, or float32 from 0 to 1 (as after `scaled`).
        y_train, y_test: (N,) int64, each the index of a class in `class_names`.
        class_names: a name for every class.
        skipped: a file and the reason for each image that was unreadable and left out on request.
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    def scaled(self) -> "Dataset":
        """The same with float32 images, 0 to 255 divided by 255; as it is when the images are float32 already."""
        if self.x_train.dtype == np.float32:
            return self
        scale = np.float32(255)
        return replace(
            self,
            x_train=np.true_divide(self.x_train, scale, dtype=np.float32),
            x_test=np.true_divide(self.x_test, scale, dtype=np.float32),
        )


def load_data(
    name_or_path: str | os.PathLike[str] = "mnist",
    image_size: tuple[int, int] | None = None,
    color_mode: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    skip_unreadable: bool = False,
    fit: str = "stretch",
) -> Dataset:
    """Load a data set by name or path.

    Args:
        name_or_path: "mnist" (in the package), "fashion-mnist" or "cifar10" (from a cache, or downloaded); or the
            path of an `.npz` file in Keras' MNIST form, of a folder with the four IDX files of MNIST, or of a
            folder of images, with a subfolder a class, or with subfolders `train` and `test` that have those.
        image_size: folders of images only: (height, width) that all are resized to; None is the first image's size.
        color_mode: folders of images only: "rgb" or "grayscale"; None is what the first image has.
        test_fraction: folders of images without `train` and `test` only: the share of each class to test with.
        seed: of that split, which depends on nothing else but the files' names.
        skip_unreadable: folders of images only: leave unreadable images out, named in `Dataset.skipped`.
        fit: folders of images only: "stretch", "crop" or "pad" images of other proportions; see `load_image`.

    Raises:
        InvalidArgumentError: no such name or path, an empty folder, or an argument that is not allowed.
        InvalidFileError: a file is damaged, hostile or of another kind; the message names it.
        InvalidDataError: the arrays do not fit together.

    >>> data = load_data("mnist")
    >>> data.x_train.shape, data.y_test.dtype.name, data.class_names[:3]
    ((60000, 28, 28, 1), 'int64', ('0', '1', '2'))
    """
    key = os.fspath(name_or_path)
    if not isinstance(key, str):
        raise InvalidArgumentError(f"The data {describe_value(key)} is named in bytes; use text.")
    name = _ALIASES.get(key.lower(), key.lower()).replace("-", "_")
    if name in _NAMED:
        load, class_names = _NAMED[name]
        return _from_arrays(name, load(), class_names)
    path, shown = Path(key), shown_path(key)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):
        is_folder = is_file = False
    if is_file and path.suffix.lower() == ".npz":
        return _from_arrays(path.stem, load_npz(path), None)
    if not is_folder:
        arrived = "is a file, but not an .npz file" if is_file else "is neither a known name nor an existing path"
        raise InvalidArgumentError(
            f"The data {shown} {arrived}; give {', '.join(_NAMED).replace('_', '-')}, an .npz file, a folder of IDX files or a folder of "
            f"images by class."
        )
    if find_idx_files(path) is not None:
        return _from_arrays(_folder_name(path), load_idx_dataset(path), None)
    if not 0 < test_fraction < 1:
        raise InvalidArgumentError(
            f"test_fraction={describe_value(test_fraction)} is not allowed; give a share between 0 and 1, such as 0.2."
        )
    return _from_images(path, image_size, color_mode, test_fraction, seed, skip_unreadable, fit)


def has_names(class_names: Sequence[str]) -> bool:
    """Whether classes have names, not the numbers that data without names gets.

    >>> has_names(("cat", "dog")), has_names(("0", "1"))
    (True, False)
    """
    return list(class_names) != [str(number) for number in range(len(class_names))]


def _folder_name(folder: Path) -> str:
    return folder.resolve().name or "data"


def _from_arrays(name: str, pairs: ArrayPairs, class_names: Sequence[str] | None) -> Dataset:
    (x_train, y_train), (x_test, y_test) = pairs
    validate_dataset_arrays(x_train, y_train, x_test, y_test)
    labels = [
        validate_labels(y, None if class_names is None else len(class_names), what)
        for what, y in (("y_train", y_train), ("y_test", y_test))
    ]
    if class_names is None:
        largest = max(int(y.max()) for y in labels)
        if largest >= _MOST_CLASSES:
            raise InvalidDataError(
                f"The labels go up to {largest}, but at most {_MOST_CLASSES} classes are allowed; number them from 0."
            )
        class_names = [str(index) for index in range(largest + 1)]
    return Dataset(
        name, _pixels(x_train, "x_train"), labels[0], _pixels(x_test, "x_test"), labels[1], tuple(class_names)
    )


def _pixels(images: NDArray[Any], name: str) -> NDArray[Any]:
    """Images with a channel axis, as uint8, or as float32 from 0 to 1; nothing is rounded or cut off."""
    low, high = images.min(), images.max()
    fractions = images.dtype.kind == "f" and bool((images != np.floor(images)).any())
    if not low >= 0 or high > (1 if fractions else 255):
        raise InvalidDataError(
            f"{name} has dtype {images.dtype} with values from {low} to {high}; a data set needs whole numbers from 0 to 255, or "
            f"fractions from 0 to 1: divide the images by the value of white."
        )
    converted = images.astype(np.float32 if fractions else np.uint8, copy=False)
    return converted[..., None] if converted.ndim == 3 else converted


def _from_images(
    folder: Path,
    image_size: tuple[int, int] | None,
    color_mode: str | None,
    test_fraction: float,
    seed: int,
    skip_unreadable: bool,
    fit: str,
) -> Dataset:
    names = {path.name for path in class_folders(folder)}
    is_split = {"train", "test"} <= names
    if is_split and len(names) > 2:
        raise InvalidArgumentError(
            f"The folder {shown_path(folder)} has train and test and also {describe_value(sorted(names - {'train', 'test'}))}; "
            f"leave only train and test, or only class folders."
        )
    train_folder = folder / "train" if is_split else folder
    if image_size is None or color_mode is None:
        native_size, native_mode = _first_form(train_folder, skip_unreadable)
        image_size = image_size or native_size
        color_mode = color_mode or native_mode

    def load(where: Path, class_names: Sequence[str] | None = None) -> ImageFolder:
        return load_image_folder(
            where, image_size, color_mode, class_names=class_names, skip_unreadable=skip_unreadable, fit=fit
        )

    train = load(train_folder)
    if is_split:
        test = load(folder / "test", train.class_names)
        parts = (train.images, _known(train.labels), test.images, _known(test.labels))
        skipped = train.skipped + test.skipped
    else:
        labels = _known(train.labels)
        is_test = _choose_test(labels, train.class_names, test_fraction, seed)
        parts = (train.images[~is_test], labels[~is_test], train.images[is_test], labels[is_test])
        skipped = train.skipped
    return Dataset(_folder_name(folder), *parts, class_names=train.class_names, skipped=skipped)


def _known(labels: NDArray[np.int64] | None) -> NDArray[np.int64]:
    assert labels is not None, "a folder loaded by class has labels"
    return labels


def _first_form(folder: Path, skip_unreadable: bool) -> tuple[tuple[int, int], str]:
    """The size and colour mode of the first image by class and name."""
    for class_folder in class_folders(folder):
        for path in image_files(class_folder):
            try:
                return native_image_form(path)
            except DepthwiseError:
                if not skip_unreadable:
                    raise
    raise InvalidArgumentError(
        f"The folder {shown_path(folder)} has no readable images by class; put the images of each class in a subfolder "
        f"named after the class."
    )


def _choose_test(
    labels: NDArray[np.int64], class_names: Sequence[str], test_fraction: float, seed: int
) -> NDArray[np.bool_]:
    """True for the images to test with: the share of every class, at least one of it and not all."""
    random = np.random.default_rng(seed)
    is_test = np.zeros(len(labels), np.bool_)
    for label, name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise InvalidDataError(
                f"The class {describe_value(name)} has {len(members)} readable images, but needs 2 to train and to test "
                f"with; add images, or make subfolders train and test."
            )
        count = min(max(1, round(test_fraction * len(members))), len(members) - 1)
        is_test[random.permutation(members)[:count]] = True
    return is_test
