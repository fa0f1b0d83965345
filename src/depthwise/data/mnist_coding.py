"""The lossless form in which the MNIST images ship: three streams of different character.

Four pixels of five are 0, one of fourteen is 252 to 255 (the inside of a stroke), the rest is the grey edge of a
stroke, whose low bits are noise. One general coder wastes time on that noise and misses the shape, so:

1. *kind*: two bits a pixel (0 black, 1 grey, 2 white), four pixels stacked vertically to a byte, as a stroke is more alike
   downwards than sideways; then LZMA.
2. *white*: value − 252 of the white pixels, four to a byte; then LZMA.
3. *grey*: the grey values as they come; then Huffman codes alone (deflate without matches: LZMA is 6 % smaller there
   and 17 times slower).

The set is encoded in parts of 10,000 images, so that threads decode them side by side.

The measured table of alternatives is in docs/decisions/0003-mnist-package.md.
"""

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from depthwise.dataclass import dataclass

__all__ = ["EncodedImages", "decode_archive", "decode_images", "encode_archive", "encode_images"]

IMAGES_PER_PART = 10_000
FIRST_WHITE = 252
BLACK, GREY, WHITE = 0, 1, 2
STACKED_ROWS = 4  # rows whose pixels share a byte of the kind stream; must divide the height
_LZMA_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 23,
        "lc": 4,  # the byte before says most about the byte after,
        "lp": 0,  # and the position inside a word says nothing
        "pb": 0,
    }
]
# Four 2-bit fields of a byte, lowest first, as four bytes: one table look-up unpacks a byte.
_FIELDS_OF_BYTE = ((np.arange(256)[:, None] >> (2 * np.arange(4))) & 3).astype(np.uint8)


@dataclass(frozen=True)
class EncodedImages:
    """The three compressed streams of a stack of images."""

    kind: bytes
    white: bytes
    grey: bytes


def _compress(data: NDArray[np.uint8]) -> bytes:
    return lzma.compress(data.tobytes(), format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=_LZMA_FILTERS)


def _pack_fields(fields: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Four 2-bit values a byte, lowest bits first; the tail is filled with zeros."""
    padded = np.zeros(-(-fields.size // 4) * 4, np.uint8)
    padded[: fields.size] = fields
    quads = padded.reshape(-1, 4)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(quads << np.array([0, 2, 4, 6], np.uint8), axis=1)
    return packed


def _unpack_fields(data: bytes, size: int) -> NDArray[np.uint8]:
    packed = np.frombuffer(data, np.uint8)
    table = _FIELDS_OF_BYTE.view(np.uint32).ravel()
    return table[packed].view(np.uint8)[:size]


def encode_images(images: NDArray[np.uint8]) -> EncodedImages:
    """Compress `images` (count, height, width; the height a multiple of 4).

    >>> images = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    >>> bool((decode_images(encode_images(images), images.shape) == images).all())
    True
    """
    count, height, width = images.shape
    stacked = images.reshape(count, height // STACKED_ROWS, STACKED_ROWS, width)
    pixels = np.ascontiguousarray(stacked.transpose(0, 1, 3, 2)).ravel()
    white = pixels >= FIRST_WHITE
    grey = (pixels > 0) & ~white
    kinds = np.where(white, WHITE, grey).astype(np.uint8)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return EncodedImages(
        kind=_compress(_pack_fields(kinds)),
        white=_compress(_pack_fields(pixels[white] - FIRST_WHITE)),
        grey=deflate.compress(pixels[grey].tobytes()) + deflate.flush(),
    )


def decode_images(encoded: EncodedImages, shape: Sequence[int]) -> NDArray[np.uint8]:
    """The images of `shape` (count, height, width) that `encode_images` was given, bit for bit.

    Raises `ValueError`, `lzma.LZMAError` or `zlib.error` when the streams are not such images.
    """
    count, height, width = shape
    pixels = _unpack_fields(lzma.decompress(encoded.kind), count * height * width)
    is_white = pixels == WHITE
    is_grey = pixels == GREY
    white = _unpack_fields(lzma.decompress(encoded.white), int(np.count_nonzero(is_white)))
    pixels[is_white] = white + np.uint8(FIRST_WHITE)
    pixels[is_grey] = np.frombuffer(zlib.decompress(encoded.grey, -15), np.uint8)
    stacked = pixels.reshape(count, height // STACKED_ROWS, width, STACKED_ROWS)
    return np.ascontiguousarray(stacked.transpose(0, 1, 3, 2)).reshape(count, height, width)


def encode_archive(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> bytes:
    """A zip archive, its members stored as they are, of `images` in parts and of `labels` below 16.

    The same input gives the same bytes with the same versions of zlib and liblzma.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name), data)

        for index, start in enumerate(range(0, len(images), IMAGES_PER_PART)):
            encoded = encode_images(images[start : start + IMAGES_PER_PART])
            add(f"images-{index}.kind.xz", encoded.kind)
            add(f"images-{index}.white.xz", encoded.white)
            add(f"images-{index}.grey.deflate", encoded.grey)
        add("labels.xz", _compress(labels))
    return buffer.getvalue()


def decode_archive(data: bytes, shape: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images of `shape` (count, height, width) and the labels that `encode_archive` was given.

    Raises `ValueError`, `KeyError`, `zipfile.BadZipFile`, `lzma.LZMAError` or `zlib.error` when `data` is not such
    an archive.

    >>> images, labels = np.full((3, 4, 2), 253, np.uint8), np.array([1, 2, 3], np.uint8)
    >>> decoded, numbers = decode_archive(encode_archive(images, labels), images.shape)
    >>> bool((decoded == images).all()), numbers
    (True, array([1, 2, 3], dtype=uint8))
    """
    count, height, width = shape
    images = np.empty((count, height, width), np.uint8)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def decode_part(index: int) -> None:
        part = images[index * IMAGES_PER_PART : (index + 1) * IMAGES_PER_PART]
        encoded = EncodedImages(
            kind=members[f"images-{index}.kind.xz"],
            white=members[f"images-{index}.white.xz"],
            grey=members[f"images-{index}.grey.deflate"],
        )
        part[...] = decode_images(encoded, part.shape)

    # LZMA, zlib and NumPy's copies release the interpreter's lock.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(decode_part, range(-(-count // IMAGES_PER_PART))):
            pass
    return images, np.frombuffer(bytearray(lzma.decompress(members["labels.xz"])), np.uint8)
