"""`image_dataset_from_directory`: images in folders as batches for `fit`, read while it works."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.bounded import shown_path
from depthwise.data.images import class_folders
from depthwise.data.resizing import METHODS, crop_to, pad_to, resize
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.utils.datasets import Dataset
from depthwise.utils.images import COLOR_MODES, img_to_array, load_img

__all__ = ["image_dataset_from_directory"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
LABEL_MODES = ("int", "categorical", "binary")


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: list[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """Images of a folder with one subfolder a class, as batches of (images, labels).

    Args:
        directory: the folder.
        labels: "inferred" from the subfolders; None; or class numbers, one for each file in sorted order.
        label_mode: "int" gives int32 (batch,), "categorical" one-hot float32 (batch, classes), "binary" float32 (batch, 1);
            None gives images alone.
        class_names: the subfolders in the order of their class numbers; sorted by default.
        color_mode: "rgb", "grayscale" or "rgba".
        batch_size: images of a batch; None gives single images.
        image_size: (height, width) to resize to, without antialiasing, as TensorFlow does.
        shuffle: another order in each pass.
        seed: order and split follow from it; the split is the one that Keras makes.
        validation_split: share for validation. subset: "training", "validation", or "both" for a list of the two.
        interpolation: "bilinear", "nearest" or "bicubic".
        follow_links: follow links to folders.
        crop_to_aspect_ratio, pad_to_aspect_ratio: cut or pad instead of distorting.
        data_format: "channels_last" or None. format: accepted as in Keras, changes nothing.
        verbose: print how many files were found.

    Returns:
        A `depthwise.utils.Dataset` of float32 images with values 0 to 255, with `class_names` and `file_paths`.

    Raises:
        InvalidArgumentError: an argument that is not allowed, or no images.
        InvalidFileError: while reading: an image is damaged; it is named.
    """
    size = _size(image_size)
    _check_choices(
        ("label_mode", label_mode, (*LABEL_MODES, None)),
        ("color_mode", color_mode, tuple(COLOR_MODES)),
        ("interpolation", interpolation, METHODS),
        ("data_format", data_format, ("channels_last", None)),
        ("format", format, ("tf", "grain")),
        ("subset", subset, ("training", "validation", "both", None)),
    )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise InvalidArgumentError("give crop_to_aspect_ratio or pad_to_aspect_ratio, not both")
    _check_split(validation_split, subset, shuffle, seed)
    if label_mode is None:
        labels = None
    paths, numbers, names = _files(Path(directory), labels, class_names, follow_links)
    if label_mode == "binary" and names is not None and len(names) != 2:
        raise InvalidArgumentError(
            f"label_mode='binary' needs two classes, {shown_path(directory)} has {len(names)}; use 'int' or 'categorical'"
        )
    if seed is None:
        seed = int(np.random.randint(10**6))
    if shuffle:  # as Keras does: the split is the same
        for values in (paths, numbers):
            np.random.RandomState(seed).shuffle(values)
    if verbose:
        print(f"Found {len(paths)} files" + ("." if names is None else f" belonging to {len(names)} classes."))

    def read(path: str) -> NDArray[np.float32]:
        image = img_to_array(load_img(path, color_mode), "channels_last")
        if pad_to_aspect_ratio:
            return pad_to(image, size, interpolation)
        return resize(crop_to(image, size) if crop_to_aspect_ratio else image, size, interpolation)

    def part(chosen: slice, shuffled: bool) -> Dataset:
        files, marks = paths[chosen], _encoded(numbers[chosen], label_mode, len(names or ()))
        order = Dataset.from_tensor_slices(np.arange(len(files)))
        if shuffled:
            order = order.shuffle(len(files), seed)

        def start() -> Iterator[Any]:
            for index in order:
                image = read(files[index])
                yield image if marks is None else (image, marks[index])

        data = Dataset(start, len(files), names, files, "0..255", _fit(crop_to_aspect_ratio, pad_to_aspect_ratio))
        return data if batch_size is None else data.batch(batch_size)

    cut = len(paths) - int((validation_split or 0.0) * len(paths))
    training, validation = slice(0, cut), slice(cut, None)
    if validation_split and cut in (0, len(paths)):
        raise InvalidArgumentError(
            f"validation_split={validation_split} of {len(paths)} images leaves none for one part; give another share"
        )
    if verbose and subset in ("training", "both"):
        print(f"Using {cut} files for training.")
    if verbose and subset in ("validation", "both"):
        print(f"Using {len(paths) - cut} files for validation.")
    if subset == "both":
        return [part(training, shuffle), part(validation, False)]
    return part(validation if subset == "validation" else training, shuffle)


def _fit(crops: bool, pads: bool) -> str:
    """The word of `depthwise.usage` for what is done to images of other proportions."""
    return "pad" if pads else "crop" if crops else "stretch"


def _size(image_size: Any) -> tuple[int, int]:
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise InvalidArgumentError(f"image_size must be (height, width), got {describe_value(image_size)}")
    return size[0], size[1]


def _check_choices(*allowed: tuple[str, Any, tuple[Any, ...]]) -> None:
    for name, value, choices in allowed:
        if value not in choices:
            raise InvalidArgumentError(
                f"image_dataset_from_directory: {name} must be one of {', '.join(map(str, choices))}, got "
                f"{describe_value(value)}"
            )


def _check_split(share: float | None, subset: str | None, shuffle: bool, seed: int | None) -> None:
    if share is None and subset is None:
        return
    if isinstance(share, bool) or not isinstance(share, float) or not 0 < share < 1:
        raise InvalidArgumentError(f"validation_split must be a share between 0.0 and 1.0, got {describe_value(share)}")
    if subset is None:
        raise InvalidArgumentError("validation_split needs subset='training', 'validation' or 'both'")
    if shuffle and seed is None and subset != "both":
        raise InvalidArgumentError(
            "validation_split with shuffle needs a seed, so that training and validation do not overlap; give the same seed to both"
        )


def _files(
    folder: Path, labels: Any, class_names: list[str] | None, follow_links: bool
) -> tuple[list[str], NDArray[np.int32], list[str] | None]:
    """Paths, class numbers and names, in Keras' order."""
    folders = class_folders(folder)
    names: list[str] | None
    if isinstance(labels, str) and labels == "inferred":
        found = [path.name for path in folders]
        if class_names is not None and not set(class_names) <= set(found):
            raise InvalidArgumentError(
                f"class_names={describe_value(class_names)} names folders that {shown_path(folder)} has not; there are "
                f"{describe_value(found)}"
            )
        names = found if class_names is None else list(class_names)
        files = [(path, number) for number, name in enumerate(names) for path in _images(folder / name, follow_links)]
    elif class_names is not None:
        raise InvalidArgumentError("class_names needs labels='inferred'")
    else:
        paths = _images(folder, follow_links)
        names = None
        files = [(path, 0) for path in paths]
        if labels is not None:
            if len(labels) != len(paths):
                raise InvalidArgumentError(f"{len(labels)} labels for {len(paths)} images; give one for each")
            files = list(zip(paths, map(int, labels)))
            names = [str(label) for label in sorted(set(labels))]
    if not files:
        raise InvalidArgumentError(
            f"{shown_path(folder)} has no images; put those of each class into a subfolder named after it. Read are files "
            f"ending in {', '.join(SUFFIXES)}"
        )
    return [str(path) for path, _ in files], np.array([number for _, number in files], np.int32), names


def _images(folder: Path, follow_links: bool) -> list[Path]:
    walked = sorted(os.walk(folder, followlinks=follow_links))
    return [
        Path(parent) / name
        for parent, _, names in walked
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]


def _encoded(numbers: NDArray[np.int32], label_mode: str | None, classes: int) -> NDArray[Any] | None:
    if label_mode is None or not classes:
        return None
    if label_mode == "int":
        return numbers
    if label_mode == "binary":
        return numbers.astype(np.float32)[:, None]
    return np.eye(classes, dtype=np.float32)[numbers]
