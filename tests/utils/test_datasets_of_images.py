"""`image_dataset_from_directory`, pipelines and `split_dataset`: Keras' order and splits, and training on them."""

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import dataset_utils
from PIL import Image

import depthwise
from depthwise import layers, utils
from depthwise.errors import InvalidArgumentError, InvalidFileError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(6)
    for number, name in enumerate(("cat", "dog", "owl")):
        for index in range(5 + number):
            place = tmp_path / name / ("deep" if index == 3 else "")
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (9 + index, 11, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{index}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def keras_files(folder: Path, **arguments: Any) -> Any:
    return dataset_utils.index_directory(str(folder), formats=SUFFIXES, verbose=False, **arguments)


@pytest.mark.parametrize("shuffle", [False, True])
def test_files_and_labels_are_in_the_order_of_keras(folder: Path, shuffle: bool) -> None:
    data = utils.image_dataset_from_directory(folder, image_size=(4, 4), shuffle=shuffle, seed=7, verbose=False)
    paths, labels, names = keras_files(folder, labels="inferred", shuffle=shuffle, seed=7)
    assert data.class_names == names == ["cat", "dog", "owl"]
    assert data.file_paths == paths
    if not shuffle:
        assert np.concatenate([y for _, y in data]).tolist() == list(labels)


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_splits_are_those_of_keras(folder: Path, subset: str) -> None:
    arguments: dict[str, Any] = {"image_size": (4, 4), "seed": 3, "verbose": False, "validation_split": 0.3}
    data = utils.image_dataset_from_directory(folder, subset=subset, **arguments)
    paths, labels, _ = keras_files(folder, labels="inferred", shuffle=True, seed=3)
    expected, _ = dataset_utils.get_training_or_validation_split(paths, labels, 0.3, subset)
    assert data.file_paths == expected
    both = utils.image_dataset_from_directory(folder, subset="both", **arguments)
    assert both[subset == "validation"].file_paths == expected


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"), [("int", (4,), np.int32), ("categorical", (4, 3), np.float32), (None, None, None)]
)
def test_labels(folder: Path, mode: Any, shape: Any, dtype: Any) -> None:
    data = utils.image_dataset_from_directory(
        folder, label_mode=mode, image_size=(6, 5), batch_size=4, color_mode="grayscale", verbose=False
    )
    assert len(data) == 5
    first = next(iter(data))
    images = first if mode is None else first[0]
    assert images.shape == (4, 6, 5, 1)
    assert images.dtype == np.float32
    if mode is not None:
        assert first[1].shape == shape
        assert first[1].dtype == dtype


def test_pixels_are_those_of_keras(folder: Path) -> None:
    data = utils.image_dataset_from_directory(
        folder, image_size=(7, 8), shuffle=False, batch_size=None, label_mode=None, verbose=False
    )
    for path, image in zip(data.file_paths, data):
        array = keras.utils.img_to_array(keras.utils.load_img(path))
        theirs = np.asarray(keras.ops.image.resize(array, (7, 8)))
        np.testing.assert_allclose(image, theirs, atol=32 * 255 * 2**-24 * 8, rtol=0)


def test_binary_labels_and_labels_by_hand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments: dict[str, Any] = {"image_size": 4, "shuffle": False}
    data = utils.image_dataset_from_directory(folder, label_mode="binary", class_names=["owl", "cat"], **arguments)
    assert capsys.readouterr().out == "Found 12 files belonging to 2 classes.\n"
    assert next(iter(data))[1].ravel().tolist() == [0] * 7 + [1] * 5
    by_hand = utils.image_dataset_from_directory(folder, labels=[9] * 18, **arguments)
    assert by_hand.class_names == ["9"]
    assert next(iter(by_hand))[1].tolist() == [9] * 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_split": 0.2}, "needs subset"),
        ({"validation_split": 0.2, "subset": "training"}, "needs a seed"),
        ({"validation_split": 1.5, "subset": "both"}, "between 0.0 and 1.0"),
        ({"label_mode": "binary"}, "has 3"),
        ({"label_mode": "x"}, "int, categorical, binary, None"),
        ({"interpolation": "lanczos5"}, "bilinear, nearest, bicubic"),
        ({"image_size": (4,)}, "height, width"),
        ({"class_names": ["cat", "ant"]}, "there are"),
        ({"labels": [0, 1]}, "2 labels for 18 images"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "not both"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        utils.image_dataset_from_directory(folder, verbose=False, **arguments)


def test_no_images_and_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(InvalidArgumentError, match="has no images"):
        utils.image_dataset_from_directory(tmp_path)
    (tmp_path / "cat" / "a.png").write_bytes(b"x")
    with pytest.raises(InvalidFileError, match=r"a\.png"):
        list(utils.image_dataset_from_directory(tmp_path, verbose=False))


def test_fit_evaluate_and_predict_on_it(folder: Path) -> None:
    train, test = utils.image_dataset_from_directory(
        folder, image_size=(8, 8), batch_size=4, validation_split=0.3, subset="both", seed=1, verbose=False
    )
    model = depthwise.Sequential(
        [depthwise.Input(shape=(8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train.cache().prefetch(2), validation_data=test, epochs=3, verbose=0)
    assert sorted(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert len(history.history["loss"]) == 3
    assert len(model.evaluate(test, verbose=0)) == 2
    assert model.predict(test, verbose=0).shape == (5, 3)
    assert model.predict(test.map(lambda x, y: x).take(1), verbose=0).shape == (4, 3)


def test_pipelines() -> None:
    data = utils.Dataset.from_tensor_slices((np.arange(10), np.arange(10) * 2))
    assert len(data) == data.cardinality() == 10
    assert [len(x) for x, _ in data.batch(4)] == [4, 4, 2]
    assert len(data.batch(4)) == 3
    assert len(data.batch(4, drop_remainder=True)) == len(list(data.batch(4, drop_remainder=True))) == 2
    assert [int(x) for x, _ in data.skip(7)] == [7, 8, 9]
    assert [int(x) for x, _ in data.batch(3).unbatch().take(2)] == [0, 1]
    assert len(data.repeat(3)) == len(list(data.repeat(3))) == 30
    assert [int(x) for x in utils.Dataset.from_tensor_slices([3, 4]).map(lambda x: x + 1)] == [4, 5]
    with pytest.raises(TypeError, match="does not know its length"):
        len(data.unbatch())
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        data.batch(0)


def test_shuffled_pipelines() -> None:
    data = utils.Dataset.from_tensor_slices(np.arange(50))
    first = data.shuffle(50, seed=2)
    orders = [[int(x) for x in first] for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0] != orders[1]
    assert [[int(x) for x in second] for second in [data.shuffle(50, seed=2)] for _ in range(2)] == orders
    still = data.shuffle(50, reshuffle_each_iteration=False)
    assert [int(x) for x in still] == [int(x) for x in still] != list(range(50))
    near = [int(x) for x in data.shuffle(3, seed=0)]
    assert all(abs(place - value) <= 50 for place, value in enumerate(near))
    assert all(value <= place + 2 for place, value in enumerate(near))  # nothing comes before it is in the buffer


def test_a_cache_reads_once() -> None:
    seen: list[int] = []

    def note(x: Any) -> Any:
        seen.append(int(x))
        return x

    data = utils.Dataset.from_tensor_slices([1, 2, 3]).map(note).cache()
    assert [int(x) for x in data.take(2)] == [1, 2]
    assert [int(x) for x in data] == [int(x) for x in data] == [1, 2, 3]
    assert seen == [1, 2, 1, 2, 3]


@pytest.mark.parametrize(("left", "right", "sizes"), [(0.8, None, (8, 2)), (None, 3, (7, 3)), (0.3, 0.2, (3, 2))])
def test_split_dataset(left: Any, right: Any, sizes: Any) -> None:
    x, y = np.arange(10), np.arange(10) * 3
    first, second = utils.split_dataset((x, y), left, right)
    assert (len(first), len(second)) == sizes
    assert [int(a) for a, _ in first] == list(range(sizes[0]))
    assert [int(b) for _, b in second] == [3 * n for n in range(10 - sizes[1], 10)]
    mixed, _ = utils.split_dataset(x, left, right, shuffle=True, seed=5)
    again, _ = utils.split_dataset(x, left, right, shuffle=True, seed=5)
    assert [int(a) for a in mixed] == [int(a) for a in again] != [int(a) for a, _ in first]


@pytest.mark.parametrize(("left", "right"), [(None, None), (1.0, None), (0.7, 0.7), (12, None), (0, None), ("x", None)])
def test_split_dataset_refuses(left: Any, right: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="split_dataset"):
        utils.split_dataset(np.arange(10), left, right)


def test_an_image_in_memory_is_not_a_folder(folder: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no folder"):
        utils.image_dataset_from_directory(folder / "cat" / "0.png")
    assert utils.load_img(io.BytesIO((folder / "cat" / "0.png").read_bytes())).size == (11, 9)
