"""`keras.config` by name; see `depthwise.backend`."""

from typing import Any

from depthwise.absent import absent
from depthwise.backend import (
    backend,
    dtype_policy,
    epsilon,
    floatx,
    image_data_format,
    set_dtype_policy,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from depthwise.errors import UnsupportedError

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "version",
]


def version() -> str:
    """Depthwise's own version."""
    import depthwise

    return depthwise.__version__


def enable_interactive_logging() -> None:
    """Does nothing: `verbose` alone says how progress is shown."""


def disable_interactive_logging() -> None:
    """Does nothing; give `verbose=0` or `verbose=2` to `fit`."""


def is_interactive_logging_enabled() -> bool:
    """True."""
    return True


def enable_traceback_filtering() -> None:
    """Does nothing: tracebacks are Python's own."""


def disable_traceback_filtering() -> None:
    """Does nothing: tracebacks are Python's own."""


def is_traceback_filtering_enabled() -> bool:
    """False."""
    return False


def enable_unsafe_deserialization() -> None:
    """Refused.

    Raises:
        UnsupportedError: always: code in a file is never run.
    """
    raise UnsupportedError(
        "code in a model file is never run, so enable_unsafe_deserialization is not supported; leave it out"
    )


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("config", name, __all__)
