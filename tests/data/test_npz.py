""".npz files, good and hostile."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.data import load_npz
from depthwise.data.npz import load_array
from depthwise.errors import InvalidArgumentError, InvalidDataError, InvalidFileError

from .conftest import make_arrays


class Bomb:
    """Unpickling this would make a folder: the proof that something was unpickled."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def npy_with_header(header: str, payload: bytes, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + payload


def write_members(path: Any, replaced: Any = None, compression: Any = zipfile.ZIP_DEFLATED) -> Any:
    members = {name: npy(array) for name, array in make_arrays().items()} | (replaced or {})
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_round_trip(tmp_path: Path, save: Any) -> None:
    arrays = make_arrays()
    save(tmp_path / "a.npz", **arrays, unrelated=np.zeros(3))
    (x_train, y_train), (x_test, y_test) = load_npz(tmp_path / "a.npz")
    for name, loaded in zip(arrays, (x_train, y_train, x_test, y_test), strict=True):
        assert loaded.dtype == arrays[name].dtype
        assert np.array_equal(loaded, arrays[name])
        assert loaded.flags.writeable


def test_fortran_order_big_endian_and_header_version_2(tmp_path: Path) -> None:
    arrays = make_arrays()
    fortran = np.asfortranarray(arrays["x_train"])
    path = write_members(
        tmp_path / "a.npz",
        {"x_train": npy(fortran, version=(2, 0)), "y_train": npy(arrays["y_train"].astype(">i4"))},
    )
    (x_train, y_train), _ = load_npz(path)
    assert np.array_equal(x_train, fortran)
    assert x_train.flags.c_contiguous
    assert y_train.dtype == np.dtype("=i4")
    assert np.array_equal(y_train, arrays["y_train"])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"There is no file .*no\.npz.*give the path of an \.npz file"):
        load_npz(tmp_path / "no.npz")
    with pytest.raises(InvalidArgumentError, match="is not a file"):
        load_npz(tmp_path)


def test_missing_array_names_what_is_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(3))
    with pytest.raises(InvalidFileError, match=r"holds the array x_train 0 times.*it has \['x', 'y'\]"):
        load_npz(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_array_twice(tmp_path: Path) -> None:
    path = write_members(tmp_path / "a.npz")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_test.npy", npy(np.zeros(4, np.uint8)))
    with pytest.raises(InvalidFileError, match="holds the array y_test 2 times"):
        load_npz(path)


def test_object_array_is_never_unpickled(tmp_path: Path) -> None:
    proof = tmp_path / "unpickled"
    objects = np.array([Bomb(proof)] * 6, object)
    path = write_members(tmp_path / "a.npz", {"y_train": npy(objects, allow_pickle=True)})
    with pytest.raises(InvalidFileError, match=r"y_train.*has dtype 'object'; only numbers.*Python objects never"):
        load_npz(path)
    assert not proof.exists()


def test_member_that_is_a_bare_pickle(tmp_path: Path) -> None:
    proof = tmp_path / "unpickled"
    path = write_members(tmp_path / "a.npz", {"y_train": pickle.dumps(Bomb(proof))})
    with pytest.raises(InvalidFileError, match=r"no valid \.npy header"):
        load_npz(path)
    assert not proof.exists()


@pytest.mark.parametrize("dtype", ["U3", "S3", "c8", "M8[s]", "V4", "i4,i4"])
def test_other_dtypes_are_refused(tmp_path: Path, dtype: str) -> None:
    path = write_members(tmp_path / "a.npz", {"y_train": npy(np.zeros(6, dtype))})
    with pytest.raises(InvalidFileError, match=r"has dtype .*only numbers are read"):
        load_npz(path)


def test_zip_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    content = npy(np.zeros((100_000, 28, 28), np.uint8))
    path = write_members(tmp_path / "bomb.npz", {"x_train": content})
    assert path.stat().st_size < 200_000
    with pytest.raises(InvalidFileError, match=r"x_train.*like a zip bomb; if it is good, save it with numpy.savez"):
        load_npz(path)


def test_total_limit(tmp_path: Path) -> None:
    path = write_members(tmp_path / "a.npz")
    with pytest.raises(InvalidFileError, match=r"more than the 100 allowed; raise max_bytes"):
        load_npz(path, max_bytes=100)


def test_stored_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = write_members(tmp_path / "a.npz", compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 3_000_000_000)  # the uncompressed size in the central directory
    path.write_bytes(data)
    with pytest.raises(InvalidFileError, match="like a zip bomb"):
        load_npz(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296)}\n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000,)}\n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (5,)}\n",
    ],
)
def test_header_that_claims_another_size(tmp_path: Path, header: str) -> None:
    path = write_members(tmp_path / "a.npz", {"y_train": npy_with_header(header, bytes(6))})
    with pytest.raises(
        InvalidFileError, match=r"claims the shape .* but holds 6; the file is damaged|claims the impossible shape"
    ):
        load_npz(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        npy_with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-6,)}\n", bytes(6)),
        npy_with_header("__import__('os').getpid()\n", bytes(6)),
        npy_with_header("(" * 5000 + "\n", bytes(6)),
        npy_with_header("{'descr': '|u1', 'shape': (6,)}\n", bytes(6)),
        npy_with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (6,)}\n", bytes(6), b"\x09\x00"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100),
    ],
)
def test_bad_headers(tmp_path: Path, content: Any) -> None:
    path = write_members(tmp_path / "a.npz", {"y_train": content})
    with pytest.raises(InvalidFileError, match=r"the array y_train in .*(no valid \.npy header|impossible shape)"):
        load_npz(path)


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, 0.9])
def test_truncated_file(tmp_path: Path, keep: float) -> None:
    path = write_members(tmp_path / "a.npz")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(InvalidFileError, match=r"not a readable \.npz file.*save it again"):
        load_npz(path)


def test_every_flipped_byte_is_an_error_of_ours_or_harmless(tmp_path: Path) -> None:
    """A sweep over the whole small file: nothing but our own exceptions may come out."""
    path = write_members(tmp_path / "a.npz")
    good = path.read_bytes()
    refused = 0
    for position in range(0, len(good), 3):
        data = bytearray(good)
        data[position] ^= 0xFF
        path.write_bytes(data)
        try:
            load_npz(path)
        except (InvalidFileError, InvalidDataError):
            refused += 1
    assert refused > len(good) / 3 / 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x_train", np.zeros((6, 5), np.uint8), r"x_train has shape \(6, 5\); images are"),
        ("x_train", np.zeros((0, 5, 4), np.uint8), "holds no pixel"),
        ("y_train", np.zeros(6, np.float32), "y_train has dtype 'float32'; class labels are whole numbers"),
        ("y_train", np.zeros((6, 3), np.uint8), "take their argmax"),
        ("y_test", np.zeros(3, np.uint8), "x_test holds 4 images but y_test 3 labels"),
        ("y_test", np.array([-1, 0, 0, 0]), "y_test holds the label -1"),
    ],
)
def test_contradicting_arrays(tmp_path: Path, name: str, value: Any, message: str) -> None:
    path = write_members(tmp_path / "a.npz", {name: npy(value)})
    with pytest.raises(InvalidDataError, match=message):
        load_npz(path)


@pytest.mark.parametrize("shape", [(0, 2**62, 2**62), (2**62, 0), (-1, 4)])
def test_extents_that_no_array_can_have(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n", b""))
    with pytest.raises(InvalidFileError, match="claims the impossible shape"):
        load_array(path)
