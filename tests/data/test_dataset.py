"""One name or path in, one data set out."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.data import load_data, mnist, validate_dataset_arrays, validate_images, validate_labels, validate_pair
from depthwise.data.dataset import _NAMED
from depthwise.data.idx import IDX_NAMES
from depthwise.errors import InvalidArgumentError, InvalidDataError, InvalidFileError

from .conftest import idx_bytes, make_arrays, save_image


@pytest.mark.parametrize("name", ["mnist", "MNIST"])
def test_mnist(name: str) -> None:
    data = load_data(name)
    assert data.name == "mnist"
    assert data.image_shape == (28, 28, 1)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert data.class_names == tuple("0123456789")
    (x_train, y_train), _ = mnist.load_data()
    assert np.array_equal(data.x_train[..., 0], x_train)
    assert np.array_equal(data.y_train, y_train)


def test_scaled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=False, **make_arrays())
    data = load_data(tmp_path / "a.npz")
    scaled = data.scaled()
    assert scaled.x_train.dtype == scaled.x_test.dtype == np.float32
    assert np.array_equal(scaled.x_train, data.x_train.astype("float32") / 255)
    assert scaled.scaled() is scaled
    assert data.x_train.dtype == np.uint8


def test_npz_gets_a_channel_axis_and_class_names(tmp_path: Path) -> None:
    arrays = make_arrays() | {"y_test": np.array([[0], [4], [1], [1]])}
    np.savez(tmp_path / "a.npz", allow_pickle=False, **arrays)
    data = load_data(str(tmp_path / "a.npz"))
    assert data.name == "a"
    assert data.x_train.shape == (6, 5, 4, 1)
    assert data.y_test.tolist() == [0, 4, 1, 1]
    assert data.class_names == ("0", "1", "2", "3", "4")


def test_npz_with_whole_numbers_of_another_dtype(tmp_path: Path) -> None:
    arrays = make_arrays()
    np.savez(tmp_path / "a.npz", allow_pickle=False, **(arrays | {"x_train": arrays["x_train"].astype(np.int32)}))
    data = load_data(tmp_path / "a.npz")
    assert data.x_train.dtype == np.uint8
    assert np.array_equal(data.x_train[..., 0], arrays["x_train"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x_train", np.full((6, 5, 4), -0.5, np.float32), "x_train has dtype float32 .*divide the images"),
        ("x_test", np.full((4, 5, 4), 256), "x_test has dtype int64 with values from 256 to 256"),
        ("x_test", np.full((4, 5, 4), -1), "values from -1 to -1"),
        ("x_test", np.zeros((4, 5, 5), np.uint8), r"images of shape \(5, 4\) but x_test of \(5, 5\)"),
        ("y_test", np.full(4, 10**9), "labels go up to 1000000000"),
        ("y_test", np.full(4, 2**64 - 1, np.uint64), "which is too large"),
    ],
)
def test_npz_with_other_values(tmp_path: Path, name: str, value: Any, message: str) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=False, **(make_arrays() | {name: value}))
    with pytest.raises(InvalidDataError, match=message):
        load_data(tmp_path / "a.npz")


def test_idx_folder(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    arrays = make_arrays()
    for name, array in zip(IDX_NAMES, arrays.values(), strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    data = load_data(folder)
    assert data.name == "digits"
    assert np.array_equal(data.x_test[..., 0], arrays["x_test"])


def test_image_folder_is_split_by_class(image_folder: Path) -> None:
    data = load_data(image_folder)
    assert (data.name, data.class_names, data.image_shape) == ("animals", ("cat", "dog"), (6, 8, 3))
    assert np.bincount(data.y_train).tolist() == [4, 8]
    assert np.bincount(data.y_test).tolist() == [1, 2]
    values = sorted([*data.x_train[:, 0, 0, 0], *data.x_test[:, 0, 0, 0]])
    assert values == [*range(10, 15), *range(100, 110)]
    assert (data.x_train[data.y_train == 0, 0, 0, 0] < 20).all()
    assert (data.x_test[data.y_test == 1, 0, 0, 0] >= 100).all()


def test_split_depends_on_the_seed_alone(image_folder: Path) -> None:
    first, again, other = (load_data(image_folder, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)


@pytest.mark.parametrize(("fraction", "expected"), [(0.01, [1, 1]), (0.5, [2, 5]), (0.99, [4, 9])])
def test_every_class_is_on_both_sides(image_folder: Path, fraction: float, expected: Any) -> None:
    data = load_data(image_folder, test_fraction=fraction)
    assert np.bincount(data.y_test).tolist() == expected
    assert np.bincount(data.y_train).min() >= 1


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5])
def test_test_fraction_is_checked(image_folder: Path, fraction: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"test_fraction=.*share between 0 and 1"):
        load_data(image_folder, test_fraction=fraction)


def test_train_and_test_folders(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 1)):
        for value, name in ((10, "cat"), (20, "dog")):
            for index in range(count):
                save_image(tmp_path / part / name / f"{index}.png", value + index, mode="L")
    data = load_data(tmp_path)
    assert data.x_train.shape == (6, 6, 8, 1)
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.x_test[:, 0, 0, 0].tolist() == [10, 20]
    assert load_data(tmp_path, image_size=(4, 4), color_mode="rgb").x_test.shape == (2, 4, 4, 3)
    save_image(tmp_path / "test" / "cow" / "0.png", 1)
    with pytest.raises(InvalidArgumentError, match=r"class_names=\['cat', 'dog'\] does not match"):
        load_data(tmp_path)


def test_train_and_test_beside_classes(image_folder: Path) -> None:
    save_image(image_folder / "train" / "a.png", 1)
    save_image(image_folder / "test" / "a.png", 1)
    with pytest.raises(InvalidArgumentError, match=r"has train and test and also \['cat', 'dog'\]"):
        load_data(image_folder)


def test_unreadable_image(image_folder: Path) -> None:
    (image_folder / "cat" / "0.png").write_text("no image")
    with pytest.raises(InvalidFileError, match=r"cat/0\.png"):
        load_data(image_folder)
    data = load_data(image_folder, skip_unreadable=True)
    assert len(data.x_train) + len(data.x_test) == 14
    assert [path.name for path, _ in data.skipped] == ["0.png"]


def test_class_with_one_image(tmp_path: Path) -> None:
    save_image(tmp_path / "cat" / "0.png", 1)
    with pytest.raises(InvalidDataError, match="The class 'cat' has 1 readable images, but needs 2"):
        load_data(tmp_path)


@pytest.mark.parametrize("name", ["fashion", "Fashion-MNIST", "fashion_mnist"])
def test_a_data_set_goes_by_any_way_to_write_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = np.zeros((2, 28, 28), np.uint8), np.arange(2)
    loaded = {**_NAMED, "fashion_mnist": (lambda: (digits, digits), tuple("abcdefghij"))}
    monkeypatch.setattr("depthwise.data.dataset._NAMED", loaded)
    assert load_data(name).name == "fashion_mnist"


def test_empty_folder_and_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="has no readable images by class; put the images"):
        load_data(tmp_path)
    with pytest.raises(InvalidArgumentError, match="has no subfolders"):
        load_data(tmp_path, image_size=(4, 4), color_mode="rgb")
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(InvalidArgumentError, match=r"is a file, but not an \.npz file; give mnist, fashion-mnist"):
        load_data(tmp_path / "a.csv")
    for name in ("minst", "nul\0l", "a" * 5000):
        with pytest.raises(InvalidArgumentError, match="is neither a known name nor an existing path"):
            load_data(name)
    with pytest.raises(InvalidArgumentError, match="named in bytes; use text"):
        load_data(b"mnist")  # type: ignore[arg-type]


def test_validate_images() -> None:
    assert validate_images([[[1, 2]]]).shape == (1, 1, 2)
    with pytest.raises(InvalidDataError, match="x has dtype '<U1'; images are numbers: use uint8"):
        validate_images([[["a"]]])
    with pytest.raises(InvalidDataError, match=r"x is .*no array of numbers; give rows of equal length"):
        validate_images([[1], [1, 2]])
    with pytest.raises(InvalidDataError, match=r"pictures has shape \(3,\)"):
        validate_images(np.zeros(3), "pictures")


def test_validate_labels() -> None:
    assert validate_labels(np.array([2, 0], np.uint8), 3).dtype == np.int64
    with pytest.raises(InvalidDataError, match="y holds the label 3, but there are 3 classes, so labels are 0 to 2"):
        validate_labels([0, 3], 3)
    with pytest.raises(InvalidDataError, match="labels start at 0"):
        validate_labels([0, -1], 3)
    with pytest.raises(InvalidDataError, match="y has dtype 'float64'"):
        validate_labels([0.0, 1.0])


def test_validate_pairs() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    with pytest.raises(InvalidDataError, match="x holds 3 images but y 2 labels; give exactly one label an image"):
        validate_pair(images, [0, 1])
    validate_dataset_arrays(images, [0, 1, 2], images[:1], [0])
    with pytest.raises(InvalidDataError, match="x_test holds 1 images but y_test 2 labels"):
        validate_dataset_arrays(images, [0, 1, 2], images[:1], [0, 1])


def test_nothing_heavy_is_imported() -> None:
    """In a fresh process: the codecs, Pillow, pooch and what they bring wait until they are needed."""
    script = (
        "import sys, depthwise.data; "
        "print([n for n in ('PIL','pooch','requests','platformdirs','lzma','zipfile','tarfile','gzip','pickletools') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
