"""Aligned buffers start where they should; guarded ones kill whoever steps over their end."""

import os
import signal
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest

from depthwise.errors import InvalidArgumentError
from depthwise.runtime.buffers import aligned_empty, guarded

LARGE = 5 * 2**20 + 3


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, LARGE])
@pytest.mark.parametrize("alignment", [1, 64, 128, 4096])
def test_aligned_buffers(nbytes: Any, alignment: int) -> None:
    buffer = aligned_empty(nbytes, alignment)
    assert buffer.nbytes == nbytes
    assert nbytes == 0 or buffer.ctypes.data % alignment == 0
    buffer[:] = 7
    assert buffer.sum(dtype=np.int64) == 7 * nbytes


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="-1 bytes"):
        aligned_empty(-1)
    with pytest.raises(InvalidArgumentError, match="-1 bytes"):
        guarded(-1)
    for alignment in (0, 3, 8192):
        with pytest.raises(InvalidArgumentError, match="power of two"):
            aligned_empty(10, alignment)


@pytest.mark.skipif(os.name != "posix", reason="needs mprotect")
@pytest.mark.parametrize("fence", ["start", "end"])
@pytest.mark.parametrize("nbytes", [0, 4, 4096, 4100, 100_000])
def test_guarded_buffers_hold_nan_and_can_be_written(nbytes: int, fence: Literal["start", "end"]) -> None:
    buffer = guarded(nbytes, fence)
    assert buffer.nbytes == nbytes
    values = buffer.view(np.float32)
    assert np.isnan(values).all()
    values[:] = 1
    assert values.sum() == nbytes // 4
    assert (buffer.ctypes.data + (nbytes if fence == "end" else 0)) % 4096 == 0


@pytest.mark.skipif(os.name != "posix", reason="needs mprotect")
@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize(
    ("fence", "nbytes", "offset"),
    [("end", 100, 100), ("end", 4096, 4096), ("end", 8, -4097), ("start", 100, -1), ("start", 100, 4096)],
)
def test_a_step_over_the_fence_kills(fence: str, nbytes: int, offset: int, access: str) -> None:
    script = f"""
import ctypes, resource
from depthwise.runtime.buffers import guarded
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
buffer = guarded({nbytes}, {fence!r})
inside = ctypes.c_char.from_address(buffer.ctypes.data)
outside = ctypes.c_char.from_address(buffer.ctypes.data + {offset})
inside.value = inside.value
print("before", flush=True)
{"outside.value" if access == "read" else "outside.value = b'x'"}
print("after", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "before\n"
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
