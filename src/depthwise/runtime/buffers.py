"""Memory that native code works in: aligned NumPy buffers, and buffers fenced by forbidden pages for tests."""

import ctypes
import errno
import mmap
import sys
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidArgumentError, UnsupportedError

__all__ = ["ALIGNMENT", "aligned_empty", "aligned_zeros", "guarded"]

# A cache line, and the widest vector.
ALIGNMENT: Final = 64
# From here on memory comes from the system directly, in huge pages where it has them: fewer address translations, and
# it goes back at once when freed.
_MAPPED_FROM: Final = 4 * 2**20


def aligned_empty(nbytes: int, alignment: int = ALIGNMENT) -> NDArray[np.uint8]:
    """A buffer of `nbytes` bytes that starts at a multiple of `alignment`; its content is undefined.

    Parameters
    ----------
    nbytes
        Size in bytes, zero or more.
    alignment
        A power of two of at most 4096.

    Raises
    ------
    MemoryError
        The system does not give so much.

    Example
    -------
    >>> buffer = aligned_empty(1000)
    >>> buffer.nbytes, buffer.ctypes.data % 64
    (1000, 0)
    """
    if nbytes < 0:
        raise InvalidArgumentError(f"A buffer of {nbytes} bytes was asked for; use zero or more.")
    if not 1 <= alignment <= 4096 or alignment & (alignment - 1):
        raise InvalidArgumentError(
            f"A buffer aligned to {alignment} bytes was asked for; use a power of two of at most 4096."
        )
    if nbytes >= _MAPPED_FROM:
        memory = _mapped(nbytes)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(memory, dtype=np.uint8)
    raw = np.empty(nbytes + alignment, dtype=np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


def _mapped(nbytes: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, nbytes)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        raise MemoryError(
            f"there is not enough memory: {nbytes / 2**20:,.0f} MB were asked for; use a smaller batch_size or smaller images"
        ) from error


def aligned_zeros(nbytes: int) -> NDArray[np.uint8]:
    """As `aligned_empty`, full of zeros.

    >>> aligned_zeros(1000).any()
    np.False_
    """
    buffer = aligned_empty(nbytes)
    if nbytes < _MAPPED_FROM:  # The system maps zeros; writing them would take memory that nothing may ever touch.
        buffer[:] = 0
    return buffer


def guarded(nbytes: int, fence: Literal["end", "start"] = "end") -> NDArray[np.uint8]:
    """A buffer whose end (or start) touches a page that kills the process when it is read or written. For tests.

    All its bytes are 0xFF: as float32 or float64 that is NaN, so that a read of what nobody wrote shows in the result.

    Parameters
    ----------
    nbytes
        Size in bytes, zero or more. With `fence="end"` the buffer starts at a multiple of the largest power of two that
        divides `nbytes`, not necessarily at a multiple of 64.
    fence
        Which end is exact. There is a forbidden page on the other side too, but up to a page away.

    Raises
    ------
    UnsupportedError
        On a system without `mprotect`.
    """
    if nbytes < 0:
        raise InvalidArgumentError(f"A buffer of {nbytes} bytes was asked for; use zero or more.")
    if sys.platform == "win32":
        raise UnsupportedError("Guarded buffers need mprotect, which Windows does not have.")
    page = mmap.PAGESIZE
    inner = max(-(-nbytes // page), 1) * page
    memory = mmap.mmap(-1, inner + 2 * page)
    whole = np.frombuffer(memory, dtype=np.uint8)
    whole[page : page + inner] = 0xFF
    address = whole.ctypes.data
    for forbidden in (address, address + page + inner):
        _forbid(forbidden, page)
    start = page + inner - nbytes if fence == "end" else page
    return whole[start : start + nbytes]


def _forbid(address: int, nbytes: int) -> None:
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(address, nbytes, 0) != 0:  # 0 is PROT_NONE everywhere.
        raise OSError(ctypes.get_errno(), "mprotect failed")
