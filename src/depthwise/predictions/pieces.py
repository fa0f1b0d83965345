"""The images that a command names, cut into pieces that are read one by one: an image file, or some samples of an array file."""

import contextlib
import glob
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import picture_shape, scaled_for, white_of
from depthwise.data.images import IMAGE_SUFFIXES, image_files
from depthwise.data.npz import load_array
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, describe_value
from depthwise.model.inputs import shaped
from depthwise.network.graph import Graph
from depthwise.pictures import Reading, load_picture, prepared

__all__ = [
    "ARRAY_SUFFIXES",
    "BATCH_BYTES",
    "Piece",
    "batch_size",
    "files_of",
    "grouped",
    "is_array",
    "pieces_of",
    "read",
]

ARRAY_SUFFIXES = (".npy", ".npz")
BATCH_BYTES = 64 << 20
"""The most that the samples of one batch take in memory, as float32."""

_LARGEST_BATCH = 1024
_PATH_LIMIT = 200


@dataclass(frozen=True)
class Piece:
    """What is read at once.

    Attributes:
        path: the file.
        start, stop: samples of an array file; None for an image file.
        scale: what the values of an array are brought to, and `white` what stands for white in the whole of it.
        content: an image file's bytes, where somebody has read them already.
        array: where somebody has read them already, one sample, or with `start` and `stop` as many as lie between.
        error: why the file cannot be read; "" where nothing is known against it.
    """

    path: str
    start: int | None = None
    stop: int | None = None
    scale: str = "none"
    white: int | None = None
    content: bytes | None = None
    array: NDArray[Any] | None = None
    error: str = ""

    def __len__(self) -> int:
        return 1 if self.start is None or self.stop is None else self.stop - self.start


def batch_size(graph: Graph, batch_bytes: int = BATCH_BYTES) -> int:
    """How many samples of the network's input fit into so many bytes; at least 1, at most 1,024."""
    numbers = int(np.prod(graph.input_shapes[0]))
    return max(1, min(_LARGEST_BATCH, batch_bytes // (4 * numbers)))


def is_array(path: str | os.PathLike[str]) -> bool:
    """Whether the name is one of an array file."""
    return os.fspath(path).lower().endswith(ARRAY_SUFFIXES)


def files_of(names: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """The files that the names stand for: a file itself, all images below a folder, all files that a pattern meets; each sorted.

    Raises:
        InvalidArgumentError: a folder without images, or a pattern that meets nothing.
    """
    for name in names:
        shown = describe_value(os.fspath(name), _PATH_LIMIT)
        path = Path(name)
        if path.is_dir():
            found = image_files(path)
            if not found:
                raise InvalidArgumentError(
                    f"the folder {shown} has no images; it needs files ending in {', '.join(IMAGE_SUFFIXES)}"
                )
            yield from found
        elif glob.has_magic(os.fspath(name)) and not os.path.lexists(path):
            met = [Path(each) for each in sorted(glob.glob(os.fspath(name), recursive=True)) if os.path.isfile(each)]
            if not met:
                raise InvalidArgumentError(f"no file has a name like {shown}")
            yield from met
        else:
            yield path


def pieces_of(files: Iterable[Path], graph: Graph, scale: str, step: int) -> Iterator[Piece]:
    """Every file as pieces of at most `step` samples; of image files nothing is read yet.

    Args:
        scale: what the network was trained on; see `depthwise.classification.SCALES`.
    """
    for path in files:
        if not is_array(path):
            yield Piece(str(path))
            continue
        try:
            array = _array_of(path, graph)
            white = None if scale == "none" else white_of(array)
        except DepthwiseError as error:
            yield Piece(str(path), error=str(error))
            continue
        used = "none" if white is None else scale
        # A compressed file would be unpacked anew for every piece.
        size = len(array) if path.suffix.lower() == ".npz" else step
        for start in range(0, len(array), max(size, 1)):
            yield Piece(str(path), start, min(start + size, len(array)), used, white)


def grouped(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Pieces together that have about `size` samples."""
    group: list[Piece] = []
    for piece in pieces:
        if group and sum(map(len, group)) + len(piece) > size:
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def read(
    piece: Piece, graph: Graph, reading: Reading, invert: str = "auto", center: str = "auto"
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The samples as the network takes them, and what was done to them: see `depthwise.pictures.load_picture`.

    Raises:
        DepthwiseError: they cannot be read; the message names the file.
    """
    if piece.error:
        raise InvalidFileError(piece.error)
    if piece.array is not None:
        return scaled_for(graph, _shaped(piece.array, graph), piece.scale, piece.white), ()
    if piece.start is not None:
        part = _array_of(Path(piece.path), graph)[piece.start : piece.stop]
        return scaled_for(graph, np.asarray(part), piece.scale, piece.white), ()
    source = piece.path if piece.content is None else io.BytesIO(piece.content)
    pixels, changes = load_picture(source, graph, reading, invert, center)
    return prepared(graph, pixels, reading)[None], changes


def _array_of(path: Path, graph: Graph) -> NDArray[Any]:
    """The samples in an array file; those of an .npy file stay on the disk until they are used."""
    shown = describe_value(str(path), _PATH_LIMIT)
    if not path.exists():
        raise InvalidFileError(f"there is no file {shown}")
    array: NDArray[Any] | None = None
    if path.suffix.lower() == ".npy" and path.is_file():
        # Whatever is wrong with it, `load_array` has the sentence for.
        with contextlib.suppress(OSError, ValueError, EOFError, MemoryError):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array is None or array.dtype.kind not in "biuf":
        array = load_array(path)
    return _shaped(array, graph)


def _shaped(array: NDArray[Any], graph: Graph) -> NDArray[Any]:
    """With the axis of the samples, and that of the channels where there is only one."""
    height, width, channels = form = picture_shape(graph)
    if array.shape == (height, width) and channels == 1:
        array = array[..., None]
    if array.shape in (graph.input_shapes[0], form):
        array = array[None]
    return array if array.shape[1:] == form else shaped(graph, array)[0]
