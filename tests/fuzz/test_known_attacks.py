"""Promise: none of the attacks on model files reported for Keras works here: each is refused in one sentence, and leaves nothing behind.

They are the classes of https://github.com/keras-team/keras/issues/23055, by its names, each with a file that carries it out.
"""

import io
import json
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from depthwise import layers, models, utils
from depthwise.data import load_npz
from depthwise.errors import InvalidFileError, UnsupportedError

SECRET = b"a secret of the user"


def dense() -> models.Model:
    return models.Sequential([layers.Dense(2, input_shape=(3,))])


def h5_weights(folder: Path, change: Callable[[h5py.Group], None]) -> Path:
    """Weights for `dense()` in which `change` has replaced the kernel."""
    path = folder / "a.weights.h5"
    dense().save_weights(path)
    with h5py.File(path, "a") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        change(group)
    return path


def in_keras_file(folder: Path, weights: bytes, packing: int = zipfile.ZIP_STORED, **parts: bytes) -> Path:
    """A `.keras` file of `dense()` with other weights, and other parts by their names without the dot."""
    good, path = folder / "good.keras", folder / "model.keras"
    dense().save(good)
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = weights or members["model.weights.h5"]
    members |= {f"{name}.json": content for name, content in parts.items()}
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_with(folder: Path, *links: tuple[str, bytes, str]) -> None:
    """A tar archive where `get_file` looks for it: links by (name, type, target), then a file of the first one's name."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        over = tarfile.TarInfo(links[0][0])
        over.size = 5
        archive.addfile(over, io.BytesIO(b"taken"))


def refused_archive(tmp_path: Path, *links: tuple[str, bytes, str]) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(SECRET)
    tar_with(tmp_path / "cache" / "datasets", *links)
    with pytest.raises(InvalidFileError, match=rf"a\.tar' holds '{links[0][0]}', which leads out of its folder"):
        utils.get_file("a.tar", "http://127.0.0.1:9/a.tar", extract=True, cache_dir=tmp_path / "cache")
    assert secret.read_bytes() == SECRET
    assert sorted(path.name for path in (tmp_path / "cache" / "datasets").iterdir()) == ["a.tar"]


def test_tar_hard_link_path_traversal(tmp_path: Path) -> None:
    refused_archive(tmp_path, ("link", tarfile.LNKTYPE, "../../secret.txt"))


@pytest.mark.parametrize("target", ["../../..", "absolute"])
def test_symlink_traversal_during_archive_extraction(target: str, tmp_path: Path) -> None:
    goal = str(tmp_path) if target == "absolute" else target
    refused_archive(tmp_path, ("out", tarfile.SYMTYPE, goal), ("out/secret.txt", tarfile.SYMTYPE, "secret.txt"))


def test_hdf5_virtual_datasets(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.full((3, 2), 7, np.float32)

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((3, 2), np.float32)
        layout[:] = h5py.VirtualSource(str(other), "secret", (3, 2))
        group.create_virtual_dataset("0", layout)

    path = h5_weights(tmp_path, virtual)
    for read in (
        lambda: dense().load_weights(path),
        lambda: models.load_model(in_keras_file(tmp_path, path.read_bytes())),
    ):
        with pytest.raises(UnsupportedError, match="virtual"):
            read()


def test_hdf5_shape_bombs(tmp_path: Path) -> None:
    path = h5_weights(tmp_path, lambda group: group.create_dataset("0", (2**20, 2**20), np.float32))
    for read in (
        lambda: dense().load_weights(path),
        lambda: models.load_model(in_keras_file(tmp_path, path.read_bytes())),
    ):
        with pytest.raises(InvalidFileError, match=r"must have the shape|are not in the file"):
            read()


def test_hdf5_shape_bombs_that_the_config_agrees_with(tmp_path: Path) -> None:
    """16 GiB of weights by the config and by the file's header, and none in the file."""
    path = h5_weights(tmp_path, lambda group: group.create_dataset("0", (2**16, 2**16), np.float32))
    large = models.Sequential([layers.Dense(2, input_shape=(3,))]).to_json()
    config = json.loads(large)
    first, second = config["config"]["layers"]
    first["config"]["batch_shape"], second["config"]["units"] = [None, 2**16], 2**16
    model = in_keras_file(tmp_path, path.read_bytes(), config=json.dumps(config).encode())
    tracemalloc.start()
    with pytest.raises(InvalidFileError, match=r"are not in the file|would hold more|shape"):
        models.load_model(model)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_npz_members_that_declare_far_more_data_than_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28)})
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", header.getvalue())
    with pytest.raises(InvalidFileError, match=r"claims the shape .* but holds 0; the file is damaged"):
        load_npz(path)


def test_decompression_bombs_in_keras_files(tmp_path: Path) -> None:
    bombs: list[tuple[dict[str, Any], str]] = [
        ({"weights": bytes(64 << 20)}, "would unpack to 67,108,864 bytes, where .* are plausible"),
        ({"weights": b"", "config": b" " * (64 << 20)}, "would unpack to 67,108,864 bytes, where .* are plausible"),
        ({"weights": b"", "metadata": b"[" * (7 << 20)}, "is too large: 7,340,032 bytes, at most"),
        ({"weights": b"", "config": b"[" * 10**6}, "has 1,000,000 lists and objects, at most"),
    ]
    for parts, message in bombs:
        path = in_keras_file(tmp_path, parts.pop("weights"), zipfile.ZIP_DEFLATED, **parts)
        assert path.stat().st_size < 200_000
        tracemalloc.start()
        with pytest.raises(InvalidFileError, match=message):
            models.load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 2**25
        tracemalloc.stop()


def test_code_in_a_lambda_whatever_safe_mode_says(tmp_path: Path) -> None:
    """`Lambda.from_config` ran it where nobody had decided on `safe_mode`."""
    config = json.loads(dense().to_json())
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAA", "defaults": None, "closure": None}}
    entry = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "evil", "function": code},
        "registered_name": None,
    }
    config["config"]["layers"].insert(1, entry)
    path = in_keras_file(tmp_path, b"", config=json.dumps(config).encode())
    readers: list[Callable[[], object]] = [
        lambda: models.load_model(path),
        lambda: models.load_model(path, safe_mode=True),
        lambda: models.model_from_json(json.dumps(config)),
        lambda: models.Sequential.from_config(config["config"]),
    ]
    for read in readers:
        with pytest.raises(
            UnsupportedError, match="'evil' is a Lambda, which holds code; code in a model file is never run"
        ):
            read()
