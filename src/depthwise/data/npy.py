"""The header of an `.npy` array, read without trusting it."""

from typing import Any, BinaryIO

import numpy as np

__all__ = ["HEADER_LIMIT", "read_npy_header"]

HEADER_LIMIT = 10_000
"""Bytes that a header may have at most: NumPy's own limit."""


def read_npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; the stream is left at the first byte of the data.

    Raises `ValueError` for anything but a header that NumPy writes for a plain array, with the cause attached.

    >>> import io
    >>> file = io.BytesIO()
    >>> np.save(file, np.zeros((2, 3), np.float32))
    >>> _ = file.seek(0)
    >>> read_npy_header(file)
    ((2, 3), False, dtype('float32'))
    """
    try:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = readers[version](stream, max_header_size=HEADER_LIMIT)
    except Exception as error:  # the header is a Python literal; what its parsers raise is not documented
        raise ValueError("no valid .npy header") from error
    return shape, fortran_order, dtype
