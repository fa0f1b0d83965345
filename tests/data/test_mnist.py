"""The packaged MNIST: bit for bit what Keras distributes."""

import hashlib
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from depthwise.data import mnist, mnist_coding
from depthwise.errors import InvalidDataError, InvalidFileError

from .conftest import make_arrays

RESOURCE = files("depthwise.data") / mnist.RESOURCE_NAME


@pytest.fixture(scope="module")
def loaded() -> Any:
    return mnist.load_data()


def test_shapes_and_dtypes_are_those_of_keras(loaded: Any) -> None:
    (x_train, y_train), (x_test, y_test) = loaded
    assert (x_train.shape, y_train.shape) == ((60000, 28, 28), (60000,))
    assert (x_test.shape, y_test.shape) == ((10000, 28, 28), (10000,))
    for array in (x_train, y_train, x_test, y_test):
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_arrays_are_bit_equal_to_the_original(loaded: Any) -> None:
    """The four hashes are of the arrays in Keras' mnist.npz, computed from that file and not from ours."""
    (x_train, y_train), (x_test, y_test) = loaded
    hashes = [hashlib.sha256(array.tobytes()).hexdigest() for array in (x_train, y_train, x_test, y_test)]
    assert hashes == [
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ]


def test_known_facts_of_the_set(loaded: Any) -> None:
    (_, y_train), (_, y_test) = loaded
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_resource_is_smaller_than_the_original_and_attributed() -> None:
    assert len(RESOURCE.read_bytes()) < 9_300_000 < 11_490_519
    text = (files("depthwise.data") / "MNIST-ATTRIBUTION.md").read_text(encoding="utf-8")
    for word in ("Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges", "creativecommons.org/licenses/by-sa/3.0"):
        assert word in text


def test_damaged_resource_is_refused() -> None:
    data = bytearray(RESOURCE.read_bytes())
    data[len(data) // 2] ^= 1
    with pytest.raises(InvalidFileError, match=r"mnist\.zip is damaged.*install depthwise again"):
        mnist._decode(bytes(data))
    with pytest.raises(InvalidFileError, match="cannot be decoded"):
        mnist._decode(bytes(data[:1000]))


def test_changed_pixel_is_found_by_its_hash(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (x_train, y_train), (x_test, y_test) = loaded
    images, labels = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    images[69_999, 0, 0] ^= 1
    monkeypatch.setattr(mnist_coding, "decode_archive", lambda data, shape: (images, labels))
    with pytest.raises(InvalidFileError, match="the array x_test is not MNIST's"):
        mnist._decode(b"")


def test_path_of_another_file(tmp_path: Path) -> None:
    arrays = make_arrays()
    np.savez(tmp_path / "other.npz", allow_pickle=False, **arrays)
    (x_train, _), (_, y_test) = mnist.load_data(path=tmp_path / "other.npz")
    assert np.array_equal(x_train, arrays["x_train"])
    assert np.array_equal(y_test, arrays["y_test"])


def test_archive_members_are_stored_once_compressed() -> None:
    with zipfile.ZipFile(str(RESOURCE)) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert len(archive.namelist()) == 3 * 7 + 1


@settings(deadline=None, max_examples=60)
@given(
    hypothesis_numpy.arrays(
        np.uint8,
        st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda rows: 4 * rows), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 100, 251, 252, 253, 254, 255]) | st.integers(0, 255),
    )
)
def test_coding_round_trip(images: Any) -> None:
    assert np.array_equal(mnist_coding.decode_images(mnist_coding.encode_images(images), images.shape), images)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_archive_round_trip_around_the_part_size(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_coding, "IMAGES_PER_PART", 3)
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count, 8, 5), np.uint8)
    labels = random.integers(0, 10, count).astype(np.uint8)
    decoded = mnist_coding.decode_archive(mnist_coding.encode_archive(images, labels), images.shape)
    assert np.array_equal(decoded[0], images)
    assert np.array_equal(decoded[1], labels)


def test_mismatched_npz_is_refused_by_count(tmp_path: Path) -> None:
    arrays = make_arrays()
    arrays["y_train"] = arrays["y_train"][:-1]
    np.savez(tmp_path / "bad.npz", allow_pickle=False, **arrays)
    with pytest.raises(InvalidDataError, match="x_train holds 6 images but y_train 5 labels"):
        mnist.load_data(tmp_path / "bad.npz")
