"""`preprocessing.image` against the copy of Keras 2's that Keras 3 still carries, choice by choice."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.ndimage
from keras.src.legacy.preprocessing import image as keras_image
from PIL import Image

import depthwise
from depthwise import layers
from depthwise.errors import InvalidArgumentError, InvalidDataError, UnsupportedError
from depthwise.preprocessing import image
from depthwise.preprocessing.affine import FILL_MODES, _sampled

pytestmark = pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning")  # Keras' own import

IMAGES = np.random.default_rng(0).uniform(0, 255, (10, 9, 11, 3)).astype(np.float32)
LABELS = np.arange(10) % 2
UNITS = 255 * 8 * 2**-24
"""Interpolation adds four products in float64 and rounds once; SciPy's float64 positions differ in the last bits."""

SETTINGS: list[dict[str, Any]] = [
    {},
    {"rescale": 1 / 255},
    {"rotation_range": 30},
    {"width_shift_range": 0.2, "height_shift_range": 0.3, "fill_mode": "constant", "cval": 5.0},
    {"width_shift_range": 3, "height_shift_range": [-2, 0, 2], "fill_mode": "wrap"},
    {"shear_range": 20, "zoom_range": 0.3, "fill_mode": "reflect"},
    {"zoom_range": [0.7, 1.4], "interpolation_order": 0},
    {"horizontal_flip": True, "vertical_flip": True, "channel_shift_range": 40.0},
    {"brightness_range": [0.3, 1.6]},
    {"samplewise_center": True, "samplewise_std_normalization": True},
    {"preprocessing_function": lambda x: x / 2 - 1},
    {"rotation_range": 15, "zoom_range": 0.2, "shear_range": 5, "width_shift_range": 0.1, "horizontal_flip": True},
]


def same(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, atol=UNITS, rtol=2**-22)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: ",".join(settings) or "none")
def test_flow_gives_what_keras_gives(settings: dict[str, Any]) -> None:
    flows = [
        module.ImageDataGenerator(**settings).flow(IMAGES, LABELS, batch_size=4, seed=3)
        for module in (image, keras_image)
    ]
    for _ in range(4):
        (x, y), (their_x, their_y) = (next(flow) for flow in flows)
        same(x, their_x)
        np.testing.assert_array_equal(y, their_y)
    for index in range(3):
        same(flows[0][index][0], flows[1][index][0])


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_sampling_is_that_of_scipy(mode: str, order: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        plane = rng.uniform(0, 255, (rng.integers(1, 9), rng.integers(1, 9)))
        matrix, offset = rng.normal(size=(2, 2)), rng.normal(scale=6, size=2)
        theirs = scipy.ndimage.affine_transform(plane, matrix, offset, order=order, mode=mode, cval=3.0)
        same(_sampled(plane[None], matrix, offset, mode, 3.0, order)[0], theirs)


@pytest.mark.parametrize(
    "settings", [{"featurewise_std_normalization": True}, {"zca_whitening": True, "rescale": 0.01}]
)
def test_what_fit_finds(settings: dict[str, Any]) -> None:
    small = IMAGES[:, :4, :4]
    with pytest.warns(UserWarning, match="overrides"):
        theirs = keras_image.ImageDataGenerator(**settings)
    ours = image.ImageDataGenerator(**settings)
    for generator in (ours, theirs):
        generator.fit(small, augment=True, rounds=2, seed=1)
    same(ours.mean, theirs.mean)
    x, y = (next(generator.flow(small, batch_size=10, shuffle=False)) for generator in (ours, theirs))
    np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3)  # both invert the same nearly singular matrix
    with pytest.warns(UserWarning, match="call its fit"):
        next(image.ImageDataGenerator(featurewise_center=True).flow(small))


@pytest.mark.parametrize(
    "name", ["random_rotation", "random_shear", "random_zoom", "random_shift", "random_brightness"]
)
def test_functions_for_one_image(name: str) -> None:
    arguments: dict[str, Any] = {
        "random_rotation": (20,), "random_shear": (10,), "random_zoom": ((0.8, 1.2),), "random_shift": (0.2, 0.1),
        "random_brightness": ((0.5, 1.5),),
    }  # fmt: skip
    further = {} if name == "random_brightness" else {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    made = []
    for module in (image, keras_image):
        np.random.seed(2)
        made.append(getattr(module, name)(IMAGES[0], *arguments[name], **further))
    same(*made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for index in range(6):
            Image.fromarray(rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(tmp_path / name / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize("mode", ["categorical", "sparse", "input", None])
@pytest.mark.parametrize("subset", [None, "training", "validation"])
def test_flow_from_directory(folder: Path, mode: Any, subset: Any) -> None:
    flows = []
    for module in (image, keras_image):
        generator = module.ImageDataGenerator(rescale=1 / 255, rotation_range=10, validation_split=0.4)
        flows.append(
            generator.flow_from_directory(
                str(folder), target_size=(8, 9), class_mode=mode, batch_size=5, seed=4, subset=subset
            )
        )
    ours, theirs = flows
    assert ours.class_indices == theirs.class_indices
    assert ours.filenames == theirs.filenames
    assert (ours.samples, ours.num_classes, len(ours)) == (theirs.samples, theirs.num_classes, len(theirs))
    for _ in range(3):
        mine, other = next(ours), next(theirs)
        for a, b in zip(mine if mode else [mine], other if mode else [other]):
            same(a, b)


def test_training_on_it_is_that_of_keras() -> None:
    model = depthwise.Sequential(
        [
            depthwise.Input(shape=(9, 11, 3)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2, "softmax"),
        ]
    )
    twin = keras.Sequential(
        [keras.Input((9, 11, 3)), keras.layers.Conv2D(2, 3, activation="relu"), keras.layers.Flatten(),
         keras.layers.Dense(2, "softmax")]
    )  # fmt: skip
    twin.set_weights(model.get_weights())
    losses = []
    for network, module in ((model, image), (twin, keras_image)):
        network.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        # Nothing at random: Keras looks at a batch more than it trains with.
        generator = module.ImageDataGenerator(rescale=1 / 255, samplewise_center=True, validation_split=0.3)
        parts = [generator.flow(IMAGES, LABELS, 4, shuffle=False, subset=name) for name in ("training", "validation")]
        history = network.fit(parts[0], epochs=3, shuffle=False, verbose=0, validation_data=parts[1])
        losses.append(history.history)
    assert sorted(losses[0]) == sorted(losses[1])
    for name, values in losses[1].items():
        np.testing.assert_allclose(losses[0][name], values, rtol=2e-5, atol=1e-6, err_msg=name)


def test_saved_images(tmp_path: Path) -> None:
    next(image.ImageDataGenerator().flow(IMAGES, batch_size=3, save_to_dir=tmp_path, save_prefix="p"))
    assert len(list(tmp_path.glob("p_*.png"))) == 3


def test_further_inputs_and_weights() -> None:
    flow = image.ImageDataGenerator().flow(
        (IMAGES, LABELS * 2), LABELS, sample_weight=LABELS, shuffle=False, batch_size=5
    )
    (x, more), y, weight = flow[1]
    assert x.shape == (5, 9, 11, 3)
    assert (more == 2 * y).all()
    assert (weight == y).all()
    with pytest.raises(IndexError, match="there are 2 batches"):
        flow[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_format": "x"}, "channels_last or channels_first"),
        ({"fill_mode": "mirror"}, "nearest, constant, reflect, wrap"),
        ({"zoom_range": [1, 2, 3]}, "two numbers"),
        ({"brightness_range": 0.5}, "two numbers"),
        ({"validation_split": 1.5}, "between 0 and 1"),
    ],
)
def test_wrong_arguments(settings: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        image.ImageDataGenerator(**settings)


def test_wrong_data(tmp_path: Path) -> None:
    generator = image.ImageDataGenerator(validation_split=0.5)
    with pytest.raises(InvalidDataError, match="add an axis"):
        generator.flow(IMAGES[..., 0])
    with pytest.raises(InvalidDataError, match="10 samples but y has 3"):
        generator.flow(IMAGES, LABELS[:3])
    with pytest.raises(InvalidDataError, match="different classes"):
        generator.flow(IMAGES, np.sort(LABELS), subset="training")
    with pytest.raises(InvalidArgumentError, match="'training' or 'validation'"):
        generator.flow(IMAGES, LABELS, subset="test")
    with pytest.raises(InvalidArgumentError, match="no folder"):
        generator.flow_from_directory(tmp_path / "x")
    with pytest.raises(UnsupportedError, match="flow_from_directory"):
        generator.flow_from_dataframe(None)
    with pytest.raises(UnsupportedError, match="splines"):
        image.apply_affine_transform(IMAGES[0], theta=1, row_axis=0, col_axis=1, channel_axis=2, order=3)
