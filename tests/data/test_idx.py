"""IDX files, good and hostile."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from depthwise.data import load_idx, load_idx_dataset
from depthwise.data.idx import IDX_NAMES
from depthwise.errors import InvalidArgumentError, InvalidDataError, InvalidFileError

from .conftest import IDX_TYPES, idx_bytes, make_arrays


@settings(deadline=None, max_examples=150)
@given(
    array=st.sampled_from(sorted(IDX_TYPES)).flatmap(
        lambda dtype: hypothesis_numpy.arrays(
            dtype, hypothesis_numpy.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4)
        )
    ),
    compress=st.booleans(),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: Any, compress: Any) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    data = idx_bytes(array)
    path.write_bytes(gzip.compress(data) if compress else data)
    loaded = load_idx(path)
    assert loaded.dtype == array.dtype
    assert loaded.dtype.isnative
    assert loaded.shape == array.shape
    assert loaded.tobytes() == array.tobytes()


def write(path: Any, data: Any) -> Any:
    path.write_bytes(data)
    return path


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("keep", [5, 10, 15, 16, 20, len(GOOD) - 1])
def test_truncated(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(InvalidFileError, match="truncated"):
        load_idx(write(tmp_path / "a", GOOD[:keep]))
    with pytest.raises(InvalidFileError, match="truncated"):
        load_idx(write(tmp_path / "a.gz", gzip.compress(GOOD[:keep])))


@pytest.mark.parametrize("drop", [1, 8, 9, 20])
def test_truncated_gzip(tmp_path: Path, drop: int) -> None:
    with pytest.raises(InvalidFileError, match="truncated or damaged"):
        load_idx(write(tmp_path / "a.gz", gzip.compress(GOOD)[:-drop]))


def test_gzip_with_a_wrong_checksum(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(GOOD))
    data[-8] ^= 1
    with pytest.raises(InvalidFileError, match="CRC check failed"):
        load_idx(write(tmp_path / "a.gz", bytes(data)))


@pytest.mark.parametrize("compress", [False, True])
def test_bytes_after_the_end(tmp_path: Path, compress: bool) -> None:
    data = GOOD + b"\0"
    with pytest.raises(InvalidFileError, match="goes on after the end"):
        load_idx(write(tmp_path / "a", gzip.compress(data) if compress else data))


@pytest.mark.parametrize(
    "start", [b"", b"\0\0\x08", b"\1\0\x08\1", b"\0\0\x07\1", b"\0\0\x0a\1", b"\0\0\x08\0", b"\0\0\x08\x09", b"PNG!"]
)
def test_wrong_magic(tmp_path: Path, start: bytes) -> None:
    with pytest.raises(InvalidFileError, match="is not an IDX file: it begins with the bytes"):
        load_idx(write(tmp_path / "a", start + (bytes(64) if len(start) == 4 else b"")))


def header(*extents: Any, type_code: int = 0x0E) -> Any:
    return bytes([0, 0, type_code, len(extents)]) + struct.pack(f">{len(extents)}I", *extents)


@pytest.mark.parametrize("extents", [(2**32 - 1,) * 8, (2**32 - 1, 2**32 - 1), (65536, 65536, 1)])
@pytest.mark.parametrize("compress", [False, True])
def test_header_that_overflows(tmp_path: Path, extents: Any, compress: bool) -> None:
    data = header(*extents) + bytes(100)
    with pytest.raises(InvalidFileError, match=r"claims the shape .*more than the .* allowed"):
        load_idx(write(tmp_path / "a", gzip.compress(data) if compress else data))


def test_no_numbers_but_extents_that_no_array_can_have(tmp_path: Path) -> None:
    header = bytes([0, 0, 13, 3]) + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1)
    with pytest.raises(InvalidFileError, match="claims the impossible shape"):
        load_idx(write(tmp_path / "a", header))
    assert load_idx(write(tmp_path / "b", bytes([0, 0, 8, 2]) + struct.pack(">2I", 0, 2**32 - 1))).shape == (
        0,
        2**32 - 1,
    )


@pytest.mark.parametrize("compress", [False, True])
def test_large_claim_is_refused_before_anything_is_read(tmp_path: Path, compress: bool) -> None:
    """3 GB would be allowed, but a file of a hundred bytes cannot hold them, not even compressed."""
    data = header(3_000_000_000, type_code=0x08) + bytes(100)
    with pytest.raises(InvalidFileError, match="more than a file of this size can hold"):
        load_idx(write(tmp_path / "a", gzip.compress(data) if compress else data))


def test_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MB of zeros after a header of 24 values: only as much is unpacked as shows that the file goes on."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    path = write(tmp_path / "a.gz", bomb.compress(GOOD + bytes(16 << 20)) + bomb.flush())
    unpacked = []
    real_read = gzip.GzipFile.read

    def read(self: Any, size: int = -1) -> Any:
        data = real_read(self, size)
        unpacked.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    with pytest.raises(InvalidFileError, match="goes on after the end"):
        load_idx(path)
    assert sum(unpacked) == len(GOOD) + 1


def test_max_bytes(tmp_path: Path) -> None:
    assert load_idx(write(tmp_path / "a", GOOD), max_bytes=24).shape == (2, 3, 4)
    with pytest.raises(InvalidFileError, match="more than the 23 allowed"):
        load_idx(tmp_path / "a", max_bytes=23)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="There is no file"):
        load_idx(tmp_path / "none")


@pytest.mark.parametrize(("dotted", "compress"), [(False, True), (False, False), (True, True), (True, False)])
def test_folder(tmp_path: Path, dotted: bool, compress: bool) -> None:
    arrays = make_arrays()
    for name, array in zip(IDX_NAMES, arrays.values(), strict=True):
        name = name.replace("-idx", ".idx") if dotted else name
        data = idx_bytes(array)
        write(tmp_path / (name + ".gz" * compress), gzip.compress(data) if compress else data)
    (x_train, y_train), (x_test, y_test) = load_idx_dataset(tmp_path)
    for loaded, array in zip((x_train, y_train, x_test, y_test), arrays.values(), strict=True):
        assert np.array_equal(loaded, array)


def test_folder_without_files_or_with_some(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"has no IDX files; it needs train-images-idx3-ubyte"):
        load_idx_dataset(tmp_path)
    write(tmp_path / "train-images-idx3-ubyte", GOOD)
    with pytest.raises(InvalidArgumentError, match="but not train-labels-idx1-ubyte, t10k-images"):
        load_idx_dataset(tmp_path)


def test_folder_with_swapped_files(tmp_path: Path) -> None:
    arrays = list(make_arrays().values())
    arrays[0], arrays[1] = arrays[1], arrays[0]
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        write(tmp_path / name, idx_bytes(array))
    with pytest.raises(InvalidDataError, match="train-images-idx3-ubyte has shape"):
        load_idx_dataset(tmp_path)
