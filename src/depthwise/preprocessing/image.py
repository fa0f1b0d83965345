"""Images as Keras 2 prepared them: `ImageDataGenerator`, and functions for single images.

Random choices come from NumPy's global generator, as in Keras, so that `numpy.random.seed`, `set_random_seed` and `seed=` give
what they give there.
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.absent import absent
from depthwise.errors import InvalidArgumentError, InvalidDataError, UnsupportedError, describe_value
from depthwise.preprocessing.affine import (
    FILL_MODES,
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
)
from depthwise.preprocessing.iterators import DirectoryIterator, Iterator, NumpyArrayIterator
from depthwise.utils.images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator", "apply_affine_transform",
    "apply_brightness_shift", "apply_channel_shift", "array_to_img", "img_to_array", "load_img", "random_brightness",
    "random_channel_shift", "random_rotation", "random_shear", "random_shift", "random_zoom", "save_img",
]  # fmt: skip

Image = NDArray[Any]


class ImageDataGenerator:
    """Changes images at random while a network is trained.

    Args:
        featurewise_center, featurewise_std_normalization: subtract the mean, divide by the deviation of the data that `fit` got.
        samplewise_center, samplewise_std_normalization: the same for each image by itself.
        zca_whitening, zca_epsilon: ZCA whitening with what `fit` found.
        rotation_range: degrees.
        width_shift_range, height_shift_range: a share below 1, pixels from 1 on, or a list of numbers to choose from.
        brightness_range, shear_range, zoom_range, channel_shift_range: see the functions of this module.
        fill_mode, cval: what lies beyond the border.
        horizontal_flip, vertical_flip: half of the images are flipped.
        rescale: factor of all values, applied after everything random.
        preprocessing_function: applied to each image after everything random, before `rescale`.
        data_format: "channels_last" (the default) or "channels_first".
        validation_split: share that `subset="validation"` gets.
        interpolation_order: 0 or 1.
        dtype: float32 by default.

    >>> generator = ImageDataGenerator(rescale=1 / 255)
    >>> x, y = next(generator.flow(np.full((4, 8, 8, 1), 255.0), [0, 1, 2, 3], batch_size=2, shuffle=False))
    >>> x.shape, float(x.max()), y.tolist()
    ((2, 8, 8, 1), 1.0, [0, 1])
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Any = 0.0,
        height_shift_range: Any = 0.0,
        brightness_range: Any = None,
        shear_range: float = 0.0,
        zoom_range: Any = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Any = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
    ) -> None:
        if data_format not in (None, "channels_last", "channels_first"):
            raise InvalidArgumentError(
                f"ImageDataGenerator: data_format must be channels_last or channels_first, got {describe_value(data_format)}"
            )
        if fill_mode not in FILL_MODES:
            raise InvalidArgumentError(
                f"ImageDataGenerator: fill_mode must be one of {', '.join(FILL_MODES)}, got {describe_value(fill_mode)}"
            )
        if validation_split and not 0 < validation_split < 1:
            raise InvalidArgumentError(
                f"ImageDataGenerator: validation_split must be a share between 0 and 1, got {describe_value(validation_split)}"
            )
        if isinstance(zoom_range, (int, float)):
            zoom_range = [1 - zoom_range, 1 + zoom_range]
        for name, value in (("zoom_range", zoom_range), ("brightness_range", brightness_range)):
            if value is not None and (not isinstance(value, (list, tuple)) or len(value) != 2):
                raise InvalidArgumentError(
                    f"ImageDataGenerator: {name} must be two numbers, got {describe_value(value)}"
                )
        self.featurewise_center = featurewise_center or zca_whitening or featurewise_std_normalization
        self.featurewise_std_normalization = featurewise_std_normalization and not zca_whitening
        self.samplewise_center = samplewise_center or samplewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.rotation_range, self.shear_range = rotation_range, shear_range
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        self.zoom_range, self.brightness_range = list(zoom_range), brightness_range
        self.channel_shift_range = channel_shift_range
        self.fill_mode, self.cval, self.interpolation_order = fill_mode, cval, interpolation_order
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.data_format = data_format or "channels_last"
        self.dtype = dtype or "float32"
        self.validation_split = validation_split
        first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if first else (3, 1, 2)
        self.mean: Any = None
        self.std: Any = None
        self.zca_whitening_matrix: Any = None

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> NumpyArrayIterator:
        """Batches of changed images for `fit`.

        Args:
            x: images (samples, height, width, channels), or (images, further inputs).
            y, sample_weight: one for each image.
            batch_size, shuffle, seed: of the batches.
            save_to_dir, save_prefix, save_format: a folder to write every changed image to.
            subset: "training" or "validation", by `validation_split`; ignore_class_split: do not check that both have all classes.
        """
        return NumpyArrayIterator(
            x, y, self, batch_size, shuffle, sample_weight, seed, self.data_format, save_to_dir, save_prefix, save_format,
            subset, ignore_class_split, self.dtype,
        )  # fmt: skip

    def flow_from_directory(
        self,
        directory: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> DirectoryIterator:
        """Batches of changed images of a folder with one subfolder a class.

        Args:
            directory: the folder. target_size, color_mode, interpolation, keep_aspect_ratio: see `depthwise.utils.load_img`.
            classes: the subfolders in the order of their class numbers; all, sorted, by default.
            class_mode: "categorical" one-hot, "binary" and "sparse" numbers, "input" the image itself, None no labels.
            batch_size, shuffle, seed, save_to_dir, save_prefix, save_format, subset: see `flow`.
            follow_links: follow links to folders.
        """
        return DirectoryIterator(
            directory, self, target_size, color_mode, classes, class_mode, batch_size, shuffle, seed, self.data_format,
            save_to_dir, save_prefix, save_format, follow_links, subset, interpolation, keep_aspect_ratio, self.dtype,
        )  # fmt: skip

    def flow_from_dataframe(self, *_: Any, **__: Any) -> Any:
        """Refused."""
        raise UnsupportedError(
            "flow_from_dataframe is not supported; sort the files into one folder for each class and use flow_from_directory, or "
            "read them with depthwise.utils.load_img and use flow"
        )

    @property
    def pixel_scale(self) -> str | None:
        """What black and white are after `standardize`, where the options say so: "0..255", "0..1", or None."""
        changed = self.preprocessing_function or self.zca_whitening or self.samplewise_center or self.featurewise_center
        if changed or self.samplewise_std_normalization or self.featurewise_std_normalization:
            return None
        if not self.rescale:
            return "0..255"
        return "0..1" if abs(self.rescale * 255 - 1) < 1e-6 else None

    def standardize(self, x: Image) -> Image:
        """An image after everything that is not random: changed in its place where that can be done."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + 1e-6
        if self.featurewise_center and self._is_known(self.mean):
            x -= self.mean
        if self.featurewise_std_normalization and self._is_known(self.std):
            x /= self.std + 1e-6
        if self.zca_whitening and self._is_known(self.zca_whitening_matrix):
            x = (x.reshape(-1, math.prod(x.shape[-3:])) @ self.zca_whitening_matrix).reshape(x.shape)
        return x

    @staticmethod
    def _is_known(value: Any) -> bool:
        if value is None:
            warnings.warn(
                "ImageDataGenerator needs the mean or deviation of the data, and leaves it out: call its fit(x) first",
                stacklevel=4,
            )
        return value is not None

    def get_random_transform(self, img_shape: Any, seed: int | None = None) -> dict[str, Any]:
        """The choices for one image, by name; they do not depend on the image but for shifts by a share of its size."""
        if seed is not None:
            np.random.seed(seed)
        theta = np.random.uniform(-self.rotation_range, self.rotation_range) if self.rotation_range else 0
        tx = _shift(self.height_shift_range, img_shape[self.row_axis - 1])
        ty = _shift(self.width_shift_range, img_shape[self.col_axis - 1])
        shear = np.random.uniform(-self.shear_range, self.shear_range) if self.shear_range else 0
        zx, zy = (1, 1) if self.zoom_range == [1, 1] else np.random.uniform(self.zoom_range[0], self.zoom_range[1], 2)
        horizontal = (np.random.random() < 0.5) * self.horizontal_flip
        vertical = (np.random.random() < 0.5) * self.vertical_flip
        channels, brightness = None, None
        if self.channel_shift_range != 0:
            channels = np.random.uniform(-self.channel_shift_range, self.channel_shift_range)
        if self.brightness_range is not None:
            brightness = np.random.uniform(*self.brightness_range)
        return {
            "theta": theta,
            "tx": tx,
            "ty": ty,
            "shear": shear,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": horizontal,
            "flip_vertical": vertical,
            "channel_shift_intensity": channels,
            "brightness": brightness,
        }

    def apply_transform(self, x: Image, transform_parameters: dict[str, Any]) -> Image:
        """One image after the choices of `get_random_transform`; those left out change nothing."""
        rows, columns, channels = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        names = ("theta", "tx", "ty", "shear", "zx", "zy")
        given = {name: transform_parameters[name] for name in names if name in transform_parameters}
        x = apply_affine_transform(
            x,
            **given,
            row_axis=rows,
            col_axis=columns,
            channel_axis=channels,
            fill_mode=self.fill_mode,
            cval=self.cval,
            order=self.interpolation_order,
        )
        if transform_parameters.get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, transform_parameters["channel_shift_intensity"], channels)
        if transform_parameters.get("flip_horizontal"):
            x = flip_axis(x, columns)
        if transform_parameters.get("flip_vertical"):
            x = flip_axis(x, rows)
        if transform_parameters.get("brightness") is not None:
            x = apply_brightness_shift(x, transform_parameters["brightness"], False)
        return x

    def random_transform(self, x: Image, seed: int | None = None) -> Image:
        """One image changed at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Finds mean, deviation and whitening of the data.

        Args:
            x: images (samples, height, width, channels).
            augment: of `rounds` randomly changed copies of it.
            seed: of these changes.
        """
        values = np.array(x, dtype=self.dtype)
        if values.ndim != 4:
            raise InvalidDataError(
                f"ImageDataGenerator.fit takes images (samples, height, width, channels), got {values.shape}"
            )
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            values *= self.rescale
        if augment:
            values = np.stack([self.random_transform(image) for _ in range(rounds) for image in values])
        axes = (0, self.row_axis, self.col_axis)
        shape = [1, 1, 1]
        shape[self.channel_axis - 1] = values.shape[self.channel_axis]
        if self.featurewise_center:
            self.mean = np.mean(values, axis=axes).reshape(shape)
            values -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.std(values, axis=axes).reshape(shape)
            values /= self.std + 1e-6
        if self.zca_whitening:
            flat = values.reshape(len(values), -1)
            u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(values)) / (s + self.zca_epsilon))) @ u.T


def _shift(allowed: Any, extent: int) -> Any:
    """A shift in pixels; a number below 1 is a share, and from 1 on the choice is among whole numbers."""
    if not np.any(allowed):
        return 0
    try:  # numbers to choose from, or a whole number
        shift = np.random.choice(allowed)
        shift *= np.random.choice([-1, 1])
    except ValueError:  # a fraction
        shift = np.random.uniform(-allowed, allowed)
    return shift * extent if np.max(allowed) < 1 else shift


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("preprocessing.image", name, __all__)
