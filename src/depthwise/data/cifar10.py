"""CIFAR-10: 60,000 colour images, 32×32, in ten classes (Krizhevsky 2009).

Its binary version is plain records: a byte for the label, then 1024 bytes each of red, green and blue. The Python
version is pickles, which can run code; they are never unpickled, but `cifar10_pickle` reads the few instructions they
consist of.
"""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from depthwise.data.bounded import open_file, read_at_most, shown_path
from depthwise.data.cifar10_pickle import read_batch_pickle
from depthwise.data.fetch import fetch, keras_cache_folder
from depthwise.data.npz import ArrayPairs
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, describe_value

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256_OF_ARCHIVE = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
IMAGE_BYTES = 3 * 32 * 32
_RECORD_BYTES = 1 + IMAGE_BYTES
_MOST_RECORDS = 10_000  # in one of the six files
_MOST_PICKLE_BYTES = 40 << 20  # a file of the Python version has 31 MB
_MOST_ARCHIVE_BYTES = 400 << 20  # the whole archive unpacked; CIFAR-10 has 185 MB
_TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
_TEST = "test_batch"

_Records = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, 3, 32, 32), labels (N,)


def load_data(path: str | os.PathLike[str] | None = None) -> ArrayPairs:
    """CIFAR-10 as `keras.datasets.cifar10.load_data()` gives it.

    Args:
        path: `cifar-10-binary.tar.gz`, or a folder with its six `.bin` files, or one with the six files of the Python
            version (read without unpickling), or the archive of those. None looks into Keras' cache folder, then
            into our own, and downloads the binary version with its hash checked.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8: images (50000, 32, 32, 3) and (10000, 32, 32, 3), labels 0 to 9
        of shape (50000, 1) and (10000, 1).

    Raises:
        InvalidArgumentError: no such file or folder.
        InvalidFileError: not CIFAR-10, or damaged.
        DepthwiseError: the download failed.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    if path is None:
        path = _find_in_keras_cache() or fetch(
            "cifar-10-binary.tar.gz", SOURCE, SHA256_OF_ARCHIVE, "get the file yourself and name it as path"
        )
    files = _read_folder(Path(path)) if Path(path).is_dir() else _read_archive(path)
    train = [files[name] for name in _TRAIN]
    return _arrange(train), _arrange([files[_TEST]])


def _find_in_keras_cache() -> Path | None:
    for name in ("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py"):
        folder = keras_cache_folder() / name
        if all((folder / file).is_file() for file in [*_TRAIN, _TEST]):
            return folder
    return None


def _arrange(files: list[_Records]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = np.concatenate([images for images, _ in files])
    labels = np.concatenate([labels for _, labels in files])
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), labels.reshape(-1, 1)


def _read_folder(folder: Path) -> dict[str, _Records]:
    shown = shown_path(folder)
    for suffix, most, parse in _FORMS:
        paths = {name: folder / f"{name}{suffix}" for name in [*_TRAIN, _TEST]}
        if not any(path.is_file() for path in paths.values()):
            continue
        records = {}
        for name, path in paths.items():
            with open_file(path, f"CIFAR-10's file {name}{suffix}") as file:
                records[name] = parse(read_at_most(file, most + 1), shown_path(path))
        return records
    raise InvalidArgumentError(
        f"The folder {shown} has no CIFAR-10 files; it needs data_batch_1.bin to data_batch_5.bin and test_batch.bin."
    )


def _read_archive(path: str | os.PathLike[str]) -> dict[str, _Records]:
    """Read the six files from a `.tar.gz` by their exact names; nothing is extracted to the disk."""
    import tarfile

    shown = shown_path(path)
    wanted = {
        f"{folder}/{name}{suffix}": (name, most, parse)
        for (suffix, most, parse), folder in zip(_FORMS, ("cifar-10-batches-bin", "cifar-10-batches-py"), strict=True)
        for name in [*_TRAIN, _TEST]
    }
    records: dict[str, _Records] = {}
    with open_file(path, "cifar-10-binary.tar.gz") as file:
        try:
            with tarfile.open(fileobj=cast(IO[bytes], _BoundedGzip(file, shown)), mode="r|") as archive:
                for member in archive:
                    if member.name not in wanted:
                        continue
                    name, most, parse = wanted[member.name]
                    inside = f"{describe_value(member.name)} in {shown}"
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None or member.size > most or name in records:
                        raise InvalidFileError(
                            f"{inside} is too large, there twice, or not a plain file; get cifar-10-binary.tar.gz again."
                        )
                    records[name] = parse(read_at_most(content, most + 1), inside)
        except DepthwiseError:
            raise
        except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
            raise InvalidFileError(
                f"{shown} is not a readable .tar.gz archive ({describe_value(str(error))}); get cifar-10-binary.tar.gz."
            ) from error
    missing = [name for name in [*_TRAIN, _TEST] if name not in records]
    if missing:
        raise InvalidFileError(f"{shown} lacks CIFAR-10's files {', '.join(missing)}; get cifar-10-binary.tar.gz.")
    return records


def _parse_binary(data: bytes, shown: str) -> _Records:
    count, rest = divmod(len(data), _RECORD_BYTES)
    if rest or not 1 <= count <= _MOST_RECORDS:
        raise InvalidFileError(
            f"{shown} is not a file of CIFAR-10's binary version: it needs 1 to {_MOST_RECORDS} records of "
            f"{_RECORD_BYTES} bytes, but has {len(data)} bytes or more; get the file again."
        )
    table = np.frombuffer(data, np.uint8).reshape(count, _RECORD_BYTES)
    return table[:, 1:].reshape(count, 3, 32, 32), _check_labels(table[:, 0], shown)


def _parse_pickle(data: bytes, shown: str) -> _Records:
    if len(data) > _MOST_PICKLE_BYTES:
        raise InvalidFileError(f"{shown} is too large for a file of CIFAR-10; use cifar-10-binary.tar.gz.")
    images, labels = read_batch_pickle(data, shown)
    if images.ndim != 2 or images.shape[1] != IMAGE_BYTES or len(images) != len(labels) or not len(images):
        raise InvalidFileError(
            f"{shown} holds data of shape {images.shape} and {len(labels)} labels, not images of {IMAGE_BYTES} bytes with "
            f"a label each; use cifar-10-binary.tar.gz."
        )
    return images.reshape(-1, 3, 32, 32), _check_labels(labels, shown)


def _check_labels(labels: NDArray[np.uint8], shown: str) -> NDArray[np.uint8]:
    if labels.max() >= len(CLASS_NAMES):
        raise InvalidFileError(f"{shown} holds the label {labels.max()}; CIFAR-10's are 0 to 9: get the file again.")
    return labels


# The suffix of a file, the most bytes it may have, its parser: the binary version, then the Python version.
_FORMS: tuple[tuple[str, int, Callable[[bytes, str], _Records]], ...] = (
    (".bin", _MOST_RECORDS * _RECORD_BYTES, _parse_binary),
    ("", _MOST_PICKLE_BYTES, _parse_pickle),
)


class _BoundedGzip:
    """The decompressed bytes of a gzip file, but an error instead of more of them than CIFAR-10 has."""

    def __init__(self, file: IO[bytes], shown: str) -> None:
        import gzip

        self._stream = gzip.GzipFile(fileobj=file)
        self._shown = shown
        self._left = _MOST_ARCHIVE_BYTES

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise InvalidFileError(
                f"{self._shown} unpacks to more than {_MOST_ARCHIVE_BYTES} bytes, so it is not CIFAR-10; "
                f"get cifar-10-binary.tar.gz."
            )
        return data
