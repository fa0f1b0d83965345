"""The machine that a comparison was measured on, as far as its reader needs to know it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import depthwise
from depthwise.compare.report import Machine
from depthwise.compiler.native.processors import usable_processors

__all__ = ["this_machine"]

_PROCESSOR_FILE = Path("/proc/cpuinfo")
_LONGEST_NAME = 80


def this_machine() -> Machine:
    """The processor's model, how many processors this process may use, its load now, and the versions that matter for speed."""
    return Machine(
        processor=_processor_name(),
        processors=usable_processors(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        depthwise=depthwise.__version__,
        numpy=version("numpy"),
        llvmlite=version("llvmlite"),
        load=_load(),
    )


def _load() -> float | None:
    """Processors that were busy in the last minute, on average; the own start is a small part of it."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None  # Windows has none


def _processor_name() -> str:
    """What the system calls the processor; its architecture where it has no name for it."""
    try:
        for line in _PROCESSOR_FILE.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()[:_LONGEST_NAME]
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown processor"
