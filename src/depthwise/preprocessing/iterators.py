"""Batches of augmented images, from arrays and from folders: what `ImageDataGenerator.flow` returns."""

import os
import threading
from collections.abc import Iterator as Iterating
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.bounded import shown_path
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.utils.images import array_to_img, img_to_array, load_img
from depthwise.utils.sequences import PyDataset

__all__ = ["DirectoryIterator", "Iterator", "NumpyArrayIterator"]

SUFFIXES = ("png", "jpg", "jpeg", "bmp", "ppm")


class Iterator(PyDataset):
    """Batches by number for `fit`, and one after another without end for a loop.

    Args:
        n: samples. batch_size: of a batch. shuffle: a new order for each pass. seed: all choices follow from it.
        kwargs: those of `PyDataset`.
    """

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.batch_index = 0
        self.total_batches_seen = 0
        self.lock = threading.Lock()
        self.index_array: NDArray[Any] | None = None
        self.index_generator = self._flow_index()

    def _set_index_array(self) -> None:
        self.index_array = np.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if index >= len(self):
            raise IndexError(f"there are {len(self)} batches, got the number {index}")
        with self.lock:
            self._count()
            if self.index_array is None:
                self._set_index_array()
            assert self.index_array is not None
            rows = self.index_array[self.batch_size * index : self.batch_size * (index + 1)]
            return self._batch(rows)

    def _count(self) -> None:
        if self.seed is not None:
            np.random.seed(self.seed + self.total_batches_seen)
        self.total_batches_seen += 1

    def on_epoch_end(self) -> None:
        self._set_index_array()

    def reset(self) -> None:
        """Begins a new pass."""
        self.batch_index = 0

    def _flow_index(self) -> Iterating[NDArray[Any]]:
        while True:
            if self.seed is not None:
                np.random.seed(self.seed + self.total_batches_seen)
            if self.batch_index == 0:
                self._set_index_array()
            assert self.index_array is not None
            start = self.batch_index * self.batch_size % max(self.n, 1)
            self.batch_index = self.batch_index + 1 if self.n > start + self.batch_size else 0
            self.total_batches_seen += 1
            yield self.index_array[start : start + self.batch_size]

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        with self.lock:
            rows = next(self.index_generator)
        return self._batch(rows)

    def _batch(self, rows: NDArray[Any]) -> Any:
        raise NotImplementedError


def _transformed(generator: Any, image: NDArray[Any]) -> NDArray[Any]:
    changed = generator.apply_transform(image, generator.get_random_transform(image.shape))
    made: NDArray[Any] = generator.standardize(changed)
    return made


class NumpyArrayIterator(Iterator):
    """Batches of an array of images, which `ImageDataGenerator.flow` makes.

    Args:
        x: the images, (samples, height, width, channels).
        y: the labels, as many; None for none.
        image_data_generator: what changes the images.
        batch_size, shuffle, sample_weight, seed, save_to_dir, save_prefix, save_format, subset, ignore_class_split: see
            `ImageDataGenerator.flow`.
        data_format, dtype: see `ImageDataGenerator`.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image_data_generator: Any,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        ignore_class_split: bool = False,
        dtype: Any = None,
    ) -> None:
        self.dtype = np.dtype(dtype or np.float32)
        self.image_data_generator = image_data_generator
        self.data_format = data_format or image_data_generator.data_format
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        more: list[Any] = []
        if isinstance(x, (tuple, list)):
            x, further = x[0], x[1]
            more = [np.asarray(item) for item in (further if isinstance(further, list) else [further])]
        images = np.asarray(x, dtype=self.dtype)
        labels = None if y is None else np.asarray(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)
        if images.ndim != 4:
            raise InvalidDataError(
                f"flow takes images (samples, height, width, channels), got {images.shape}; add an axis with x[..., None]"
            )
        for name, array in (("y", labels), ("sample_weight", weights), *(("x[1]", item) for item in more)):
            if array is not None and len(array) != len(images):
                raise InvalidDataError(f"flow: x has {len(images)} samples but {name} has {len(array)}")
        part = _subset(subset, len(images), image_data_generator.validation_split)
        if part is not None and labels is not None and not ignore_class_split:
            cut = int(len(images) * image_data_generator.validation_split)
            if not np.array_equal(np.unique(labels[:cut]), np.unique(labels[cut:])):
                raise InvalidDataError(
                    "flow: training and validation would have different classes; shuffle the data before the split"
                )
        if part is not None:
            images, more = images[part], [item[part] for item in more]
            labels = None if labels is None else labels[part]
            weights = None if weights is None else weights[part]
        self.x, self.x_misc, self.y, self.sample_weight = images, more, labels, weights
        super().__init__(len(images), batch_size, shuffle, seed)

    def _batch(self, rows: NDArray[Any]) -> Any:
        batch = np.zeros((len(rows), *self.x.shape[1:]), dtype=self.dtype)
        for place, row in enumerate(rows):
            batch[place] = _transformed(self.image_data_generator, self.x[row].astype(self.dtype))
        _save(self, batch, rows)
        inputs: Any = [batch, *(item[rows] for item in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return inputs
        return (inputs, self.y[rows]) + (() if self.sample_weight is None else (self.sample_weight[rows],))


class DirectoryIterator(Iterator):
    """Batches of the images of a folder, which `ImageDataGenerator.flow_from_directory` makes.

    Args:
        directory: the folder, with a folder for each class.
        image_data_generator: what changes the images.
        target_size, color_mode, classes, class_mode, batch_size, shuffle, seed, save_to_dir, save_prefix, save_format,
            follow_links, subset, interpolation, keep_aspect_ratio: see `ImageDataGenerator.flow_from_directory`.
        data_format, dtype: see `ImageDataGenerator`.
    """

    def __init__(
        self,
        directory: Any,
        image_data_generator: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = None,
    ) -> None:
        modes = ("categorical", "binary", "sparse", "input", None)
        if class_mode not in modes:
            raise InvalidArgumentError(
                f"flow_from_directory: class_mode must be one of {', '.join(map(str, modes))}, got {describe_value(class_mode)}"
            )
        if color_mode not in ("rgb", "rgba", "grayscale"):
            raise InvalidArgumentError(
                f"flow_from_directory: color_mode must be 'rgb', 'rgba' or 'grayscale', got {describe_value(color_mode)}"
            )
        folder = Path(directory)
        if not folder.is_dir():
            raise InvalidArgumentError(f"flow_from_directory: there is no folder {shown_path(folder)}")
        self.dtype = np.dtype(dtype or np.float32)
        self.directory, self.class_mode, self.color_mode = directory, class_mode, color_mode
        self.image_data_generator = image_data_generator
        self.data_format = data_format or image_data_generator.data_format
        self.target_size = (int(target_size[0]), int(target_size[1]))
        self.interpolation, self.keep_aspect_ratio = interpolation, keep_aspect_ratio
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        names = list(classes) if classes else sorted(item.name for item in folder.iterdir() if item.is_dir())
        self.class_indices = {name: index for index, name in enumerate(names)}
        self.num_classes = len(names)
        self.filenames: list[str] = []
        numbers: list[int] = []
        for name, index in self.class_indices.items():
            found = _files(folder / name, follow_links)
            part = _subset(subset, len(found), image_data_generator.validation_split)
            chosen = found if part is None else found[part]
            self.filenames += [os.path.join(name, os.path.relpath(path, folder / name)) for path in chosen]
            numbers += [index] * len(chosen)
        self.classes = np.array(numbers, np.int32)
        self.samples = len(self.filenames)
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    @property
    def filepaths(self) -> list[str]:
        """The files, in the order of `classes`."""
        return [os.path.join(self.directory, name) for name in self.filenames]

    @property
    def pixel_scale(self) -> str | None:
        """The values of black and white in a batch, where the generator's options say so."""
        return str(self.image_data_generator.pixel_scale) if self.image_data_generator.pixel_scale else None

    @property
    def image_fit(self) -> str:
        """What was done to images of other proportions."""
        return "crop" if self.keep_aspect_ratio else "stretch"

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class number of each file."""
        return self.classes

    def _batch(self, rows: NDArray[Any]) -> Any:
        images = []
        for row in rows:
            name = os.path.join(self.directory, self.filenames[row])
            image = load_img(name, self.color_mode, self.target_size, self.interpolation, self.keep_aspect_ratio)
            images.append(_transformed(self.image_data_generator, img_to_array(image, self.data_format)))
        batch = np.stack(images).astype(self.dtype)
        _save(self, batch, rows)
        if self.class_mode is None:
            return batch
        if self.class_mode == "input":
            return batch, batch.copy()
        numbers = self.classes[rows]
        if self.class_mode == "categorical":
            return batch, np.eye(self.num_classes, dtype=self.dtype)[numbers]
        return batch, numbers.astype(self.dtype)


def _subset(subset: str | None, samples: int, share: float) -> slice | None:
    if subset is None:
        return None
    if subset not in ("training", "validation"):
        raise InvalidArgumentError(f"subset must be 'training' or 'validation', got {describe_value(subset)}")
    cut = int(samples * share)
    return slice(0, cut) if subset == "validation" else slice(cut, None)


def _files(folder: Path, follow_links: bool) -> list[str]:
    return [
        os.path.join(parent, name)
        for parent, _, names in sorted(os.walk(folder, followlinks=follow_links))
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES)
    ]


def _save(iterator: Any, batch: NDArray[Any], rows: NDArray[Any]) -> None:
    if not iterator.save_to_dir:
        return
    for image, row in zip(batch, rows):
        name = f"{iterator.save_prefix}_{row}_{np.random.randint(10**7)}.{iterator.save_format}"
        array_to_img(image, iterator.data_format, scale=True).save(os.path.join(iterator.save_to_dir, name))
