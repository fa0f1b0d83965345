"""What runs on the machines of a cluster: an actor that keeps one network and computes rows of results."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthwise.classification import picture_shape
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.targets import restrict
from depthwise.errors import InvalidDataError, describe_value
from depthwise.predictions.pieces import BATCH_BYTES, Piece, batch_size, grouped
from depthwise.predictions.rows import Classifier, Rows
from depthwise.runtime.threads import set_threads

__all__ = ["Predictor", "block_pieces", "compiling"]

_WHITE = {"uint8": 255, "uint16": 65535, "bool": 1}
_PATH, _BYTES = "path", "bytes"


class Predictor:
    """The actor. It has nothing until it is told to get ready, so that a failure there is a task's, with its reason.

    Args:
        shared: in a list, so that Ray does not look into it: the reference to the arguments of `Classifier`, the target to
            restrict code to, and the folder that names of files begin at.
        threads: how many to use.
    """

    def __init__(self, shared: Sequence[Any], threads: int) -> None:
        self._shared = shared
        self._threads = threads
        self._classifier: Classifier | None = None

    def ready(self) -> bool:
        """Gets the network, which is once on every machine, and its machine code, which is compiled once on every machine."""
        import ray

        arguments, target, folder = ray.get(self._shared[0])
        with contextlib.suppress(OSError):  # where names of files begin; a machine may have no such folder
            os.chdir(folder)
        set_threads(self._threads)
        restrict(target)
        classifier = Classifier(*arguments)
        shape = classifier.graph.input_shapes[0]
        with compiling():
            for count in (1, 2):  # they are two programs where several threads share one image
                classifier.model.predict(np.zeros((count, *shape), np.float32), verbose=0)
        self._classifier = classifier
        return True

    def work(self, job: Any) -> list[Rows]:
        """The results of a list of pieces, or of a block of a Ray dataset, batch by batch."""
        assert self._classifier is not None
        if isinstance(job, list):
            return [self._classifier.rows(job)]
        graph = self._classifier.graph
        size = batch_size(graph, BATCH_BYTES)
        pieces = block_pieces(job, self._classifier.reading.scale, picture_shape(graph), size)
        return [self._classifier.rows(group) for group in grouped(pieces, size)]


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """One process of a machine at a time: the first one compiles, the others find its machine code in the cache."""
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            folder = CompileCache().folder
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder / ".compiling", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass  # Windows, or a folder that cannot be written: each compiles for itself
        yield


def block_pieces(block: Any, scale: str, form: tuple[int, ...], size: int) -> Iterator[Piece]:
    """The rows of a block of a Ray dataset as pieces: one by one, or up to `size` together where all are arrays of the shape `form`
    (grey ones also without the channel) and have no names.

    A column `bytes` holds image files, a column `path` their names, and without `bytes` the files to read; the only other column, or
    else `image` or `data`, holds arrays. What white is follows from an array's type, not from its values, because no block knows those
    of the others: 255 in uint8, 65535 in uint16; other numbers are used as they are.

    Raises:
        InvalidDataError: none of these columns, or several that may be meant.
    """
    from ray.data.block import BlockAccessor

    accessor = BlockAccessor.for_block(block)
    names = list(accessor.column_names())
    count = accessor.num_rows()
    paths = [str(path) for path in accessor.to_numpy(_PATH)] if _PATH in names else [""] * count
    if _BYTES in names:
        for path, content in zip(paths, accessor.to_numpy(_BYTES)):
            yield Piece(path, content=bytes(content))
        return
    column = _array_column(names)
    if column is None:
        for path in paths:
            yield Piece(path)
        return
    arrays = accessor.to_numpy(column)
    shape = arrays.shape[1:] if arrays.shape[1:] != form[:-1] or form[-1] != 1 else form
    if _PATH not in names and shape == form and arrays.dtype.kind in "biuf":
        white = _WHITE.get(str(arrays.dtype))
        used = "none" if white is None else scale
        for start in range(0, count, size):
            part = arrays[start : start + size].reshape(-1, *form)
            yield Piece("", 0, len(part), used, white, array=part)
        return
    for path, array in zip(paths, arrays):
        numbers = np.asarray(array)
        white = _WHITE.get(str(numbers.dtype))
        if numbers.dtype.kind not in "biuf":
            yield Piece(
                path, error=f"{describe_value(path)}: {describe_value(str(numbers.dtype))} is no array of numbers"
            )
        else:
            yield Piece(path, array=numbers, scale="none" if white is None else scale, white=white)


def _array_column(names: Sequence[str]) -> str | None:
    """The column that holds arrays; None where the files that `path` names are meant."""
    others = [name for name in names if name != _PATH]
    for name in ("image", "data"):
        if name in others:
            return name
    if len(others) == 1:
        return others[0]
    if not others and _PATH in names:
        return None
    raise InvalidDataError(
        f"the dataset has the columns {describe_value(list(names))}; it needs bytes or path for image files, or one column of arrays, "
        "named image or data where there are several"
    )
