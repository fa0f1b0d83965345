"""Our HDF5 against h5py, both ways."""

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from depthwise.errors import InvalidArgumentError, InvalidFileError
from depthwise.formats.hdf5 import File
from depthwise.formats.hdf5_write import Group, write


def tree(groups: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    members: dict[str, Any] = {}
    for index in range(groups):
        arrays: dict[str, Any] = {
            "0": generator.random((index % 4 + 1, 3), dtype=np.float32),
            "1": np.arange(index % 5, dtype=np.int64) if index % 5 else np.array(index, dtype=np.int64),
            "10": np.array(-index, dtype=np.int32),
        }
        members[f"层{index}"] = Group({"vars": Group(arrays, name=f"name {index % 7} 名")})
    return {"layers": Group(members), "vars": Group(name="model"), "empty": Group()}


@pytest.mark.parametrize("groups", [0, 1, 7, 8, 9, 64, 256, 257, 600])
def test_h5py_reads_what_we_write_and_so_do_we(groups: int) -> None:
    members = tree(groups)
    content = write(members)
    assert content == write(tree(groups))
    ours = File(content)
    with h5py.File(io.BytesIO(content), "r") as theirs:
        assert sorted(theirs) == sorted(ours.group("") or {}) == ["empty", "layers", "vars"]
        assert theirs["vars"].attrs["name"] == "model"
        assert sorted(theirs["layers"]) == sorted(ours.group("layers") or {}) == sorted(members["layers"].members)
        for name, layer in members["layers"].members.items():
            assert theirs[f"layers/{name}/vars"].attrs["name"] == layer.members["vars"].name
            for key, array in layer.members["vars"].members.items():
                path = f"layers/{name}/vars/{key}"
                dataset = ours.dataset(path)
                assert dataset is not None
                for read in (theirs[path][()], dataset.read()):
                    assert read.dtype == array.dtype
                    assert read.shape == array.shape
                    assert np.array_equal(read, array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)])
def test_we_read_every_plain_number_that_h5py_writes(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.asarray(np.random.default_rng(1).integers(0, 100, shape), dtype=dtype)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["a/b/c"] = values
        file["a"].attrs["text"] = "ignored"
        file["a/b/c"].attrs["numbers"] = np.zeros(3000)
        for index in range(40):
            file[f"a/b/{index}"] = index
    dataset = File((tmp_path / "file.h5").read_bytes()).dataset("a/b/c")
    assert dataset is not None
    assert dataset.dtype == values.dtype
    assert dataset.shape == shape
    assert np.array_equal(dataset.read(), values)
    assert File((tmp_path / "file.h5").read_bytes()).dataset("a/x/c") is None
    assert File((tmp_path / "file.h5").read_bytes()).group("x/y") is None


def test_what_cannot_be_written() -> None:
    with pytest.raises(InvalidArgumentError, match=r"arrays of float64 are not written to a \.keras file"):
        write({"a": np.zeros(3)})


def test_every_cut_is_noticed() -> None:
    content = write(tree(5))
    for length in range(0, len(content), 61):
        with pytest.raises(InvalidFileError, match=r"truncated|signature|beyond the end"):
            File(content[:length])
