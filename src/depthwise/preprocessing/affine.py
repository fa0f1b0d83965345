"""Images turned, shifted, sheared and zoomed, and their brightness and colours changed, as Keras 2 did it with SciPy; here with NumPy alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, InvalidDataError, UnsupportedError, describe_value
from depthwise.meanings import ARRAYS

__all__ = [
    "FILL_MODES", "apply_affine_transform", "apply_brightness_shift", "apply_channel_shift", "flip_axis",
    "random_brightness", "random_channel_shift", "random_rotation", "random_shear", "random_shift", "random_zoom",
]  # fmt: skip

FILL_MODES = ("nearest", "constant", "reflect", "wrap")
Image = NDArray[Any]


def apply_affine_transform(
    x: Image,
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Image:
    """One image after a rotation, a shift, a shear and a zoom about its middle.

    Args:
        x: the image; `row_axis`, `col_axis` and `channel_axis` say which axis is which.
        theta: rotation in degrees. tx, ty: shift by rows and columns in pixels. shear: in degrees.
        zx, zy: size of the part of the image that is shown: below 1 enlarges.
        fill_mode: what lies beyond the border: "nearest", "constant" (`cval`), "reflect" or "wrap".
        order: 0 takes the nearest pixel, 1 interpolates.

    Raises:
        InvalidDataError: not one image of three axes.
        InvalidArgumentError, UnsupportedError: other axes, another mode or order.
    """
    if x.ndim != 3:
        raise InvalidDataError(f"an affine transformation takes one image of three axes, got the shape {x.shape}")
    if sorted((row_axis, col_axis, channel_axis)) != [0, 1, 2] or channel_axis == 1:
        raise InvalidArgumentError("row_axis, col_axis and channel_axis must be 0, 1 and 2, the channels first or last")
    if fill_mode not in FILL_MODES:
        raise InvalidArgumentError(f"fill_mode must be one of {', '.join(FILL_MODES)}, got {describe_value(fill_mode)}")
    if order not in (0, 1):
        raise UnsupportedError(
            f"interpolation_order must be 0 (nearest pixel) or 1 (linear), got {describe_value(order)}; splines are not supported"
        )
    matrix = _matrix(theta, tx, ty, shear, zx, zy)
    if matrix is None:
        return x
    planes = np.moveaxis(x, (channel_axis, row_axis, col_axis), (0, 1, 2))
    rows, columns = planes.shape[1:]
    middle = np.array([[1, 0, rows / 2 - 0.5], [0, 1, columns / 2 - 0.5], [0, 0, 1]])
    back = np.array([[1, 0, -(rows / 2 - 0.5)], [0, 1, -(columns / 2 - 0.5)], [0, 0, 1]])
    matrix = middle @ matrix @ back
    if col_axis > row_axis:  # the matrix is in x and y, arrays are in rows and columns
        matrix[:, [0, 1]] = matrix[:, [1, 0]]
        matrix[[0, 1]] = matrix[[1, 0]]
    made = _sampled(planes, matrix[:2, :2], matrix[:2, 2], fill_mode, cval, order)
    return np.ascontiguousarray(np.moveaxis(made, (0, 1, 2), (channel_axis, row_axis, col_axis)))


def _matrix(theta: float, tx: float, ty: float, shear: float, zx: float, zy: float) -> Any:
    matrix = None
    if theta != 0:
        angle = np.deg2rad(theta)
        matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    steps = []
    if tx != 0 or ty != 0:
        steps.append(np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]]))
    if shear != 0:
        angle = np.deg2rad(shear)
        steps.append(np.array([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]]))
    if zx != 1 or zy != 1:
        steps.append(np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]]))
    for step in steps:
        matrix = step if matrix is None else matrix @ step
    return None if matrix is None else matrix.astype(float)


def _sampled(planes: Image, matrix: Any, offset: Any, mode: str, cval: float, order: int) -> Image:
    """Each output pixel o is the input at `matrix @ o + offset`, between the pixels there."""
    sizes = planes.shape[1:]
    grid = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij")).reshape(2, -1)
    places = matrix @ grid + offset[:, None]
    outside = np.zeros(places.shape[1], bool)
    for axis, size in enumerate(sizes):
        outside |= (places[axis] < 0) | (places[axis] > size - 1)
    if mode == "nearest":
        places = np.stack([np.clip(values, 0, size - 1) for values, size in zip(places, sizes)])
    elif mode == "wrap":
        places = np.stack([_wrapped(values, size) for values, size in zip(places, sizes)])
    values = np.zeros((len(planes), places.shape[1]))
    first = np.floor(places + 0.5 if order == 0 else places)
    share = places - first
    for down in range(order + 1):
        for right in range(order + 1):
            taps = [_inside(first[axis] + step, sizes[axis], mode) for axis, step in enumerate((down, right))]
            weight: Any = 1.0
            if order:
                weight = np.abs(1 - down - share[0]) * np.abs(1 - right - share[1])
            values += planes[:, taps[0], taps[1]].astype(np.float64) * weight
    if mode == "constant":
        values[:, outside] = cval
    return values.reshape(planes.shape).astype(planes.dtype)


def _wrapped(values: Image, size: int) -> Image:
    """SciPy's "wrap": the last pixel stands for the first one of the next copy."""
    period = size - 1
    if not period:
        return np.zeros_like(values)
    low, high = values < 0, values > size - 1
    moved = np.where(low, values + period * (np.trunc(-values / period) + 1), values)
    return np.where(high, values - period * np.trunc(values / period), moved)


def _inside(index: Image, size: int, mode: str) -> Image:
    numbers = index.astype(np.int64)
    if mode == "reflect":
        numbers = numbers % (2 * size)
        return np.where(numbers >= size, 2 * size - 1 - numbers, numbers)
    return np.clip(numbers, 0, size - 1)


def apply_channel_shift(x: Image, intensity: float, channel_axis: int = 0) -> Image:
    """`intensity` added to every value, which stays between the image's own smallest and largest.

    `channel_axis` is accepted as in Keras and changes nothing: the limits are those of all channels together.
    """
    return np.clip(x + intensity, x.min(), x.max()).astype(x.dtype)


def apply_brightness_shift(x: Image, brightness: float, scale: bool = True) -> Image:
    """The image with another brightness: 0 is black, 1 leaves it as it is.

    Args:
        x: (height, width, channels).
        scale: stretch the image to 0 … 255 first; always done where values lie outside of that.
    """
    from PIL import ImageEnhance

    from depthwise.utils.images import array_to_img, img_to_array

    low, high = x.min(), x.max()
    stretched = bool(low < 0 or high > 255)
    image = ImageEnhance.Brightness(array_to_img(x, scale=stretched or scale)).enhance(brightness)
    values: Image = img_to_array(image)
    return values / 255 * (high - low) + low if stretched and not scale else values


def flip_axis(x: Image, axis: int) -> Image:
    """The image the other way round along `axis`."""
    return np.flip(x, axis)


def random_rotation(x: Image, rg: float, *args: Any, **kwargs: Any) -> Image:
    """A rotation by −rg to rg degrees; what follows is as in `apply_affine_transform` from `row_axis` on."""
    return apply_affine_transform(x, theta=np.random.uniform(-rg, rg), **_further(args, kwargs))


def random_shift(x: Image, wrg: float, hrg: float, *args: Any, **kwargs: Any) -> Image:
    """A shift by a share of up to `wrg` of the width and `hrg` of the height."""
    further = _further(args, kwargs)
    down = np.random.uniform(-hrg, hrg) * x.shape[further.get("row_axis", 1)]
    right = np.random.uniform(-wrg, wrg) * x.shape[further.get("col_axis", 2)]
    return apply_affine_transform(x, tx=down, ty=right, **further)


def random_shear(x: Image, intensity: float, *args: Any, **kwargs: Any) -> Image:
    """A shear by −intensity to intensity degrees."""
    return apply_affine_transform(x, shear=np.random.uniform(-intensity, intensity), **_further(args, kwargs))


def random_zoom(x: Image, zoom_range: Any, *args: Any, **kwargs: Any) -> Image:
    """A zoom between the two numbers of `zoom_range`, of rows and columns apart."""
    if len(zoom_range) != 2:
        raise InvalidArgumentError(f"zoom_range must be two numbers, got {describe_value(zoom_range)}")
    down, right = (1, 1) if zoom_range[0] == zoom_range[1] == 1 else np.random.uniform(zoom_range[0], zoom_range[1], 2)
    return apply_affine_transform(x, zx=down, zy=right, **_further(args, kwargs))


def random_channel_shift(x: Image, intensity_range: float, channel_axis: int = 0) -> Image:
    """`apply_channel_shift` by −intensity_range to intensity_range."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range), channel_axis)


def random_brightness(x: Image, brightness_range: Any, scale: bool = True) -> Image:
    """`apply_brightness_shift` between the two numbers of `brightness_range`."""
    if len(brightness_range) != 2:
        raise InvalidArgumentError(f"brightness_range must be two numbers, got {describe_value(brightness_range)}")
    return apply_brightness_shift(x, np.random.uniform(*brightness_range), scale)


def _further(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = ("row_axis", "col_axis", "channel_axis", "fill_mode", "cval", "interpolation_order")
    given = {**dict(zip(names, args)), **kwargs}
    unknown = set(given) - set(names)
    if unknown or len(args) > len(names):
        raise InvalidArgumentError(f"allowed are {', '.join(names)}, got {describe_value(sorted(unknown) or args)}")
    if "interpolation_order" in given:
        given["order"] = given.pop("interpolation_order")
    return given


document(globals(), __all__, ARRAYS)
