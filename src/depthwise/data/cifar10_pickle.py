"""The files of CIFAR-10's Python version, read by an unpickler that can import nothing.

A pickle is a program, and some of its instructions import and call anything. Python's unpickler asks `find_class` for every
import: ours knows the three names that NumPy's arrays use, and answers with a stand-in that only notes what it is called
with. Instructions that those files do not have are refused before they run, and so is a length or a place in the memo
that the file's own size does not allow: the unpickler would reserve the memory first.
"""

import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidFileError, describe_value

__all__ = ["read_batch_pickle"]

_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy dtype": "dtype",
    "numpy ndarray": "class",
}
_INSTRUCTIONS = {
    *("PROTO", "FRAME", "STOP", "MARK"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
    *("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}


def read_batch_pickle(data: bytes, shown: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The entries "data", uint8 (N, 3072), and "labels", uint8 (N,), of the dictionary pickled in `data`.

    Raises `InvalidFileError`, naming the file `shown`, for an instruction or a global that CIFAR-10 does not use.
    """
    advice = "only CIFAR-10's own files are read, as other pickles could run code: use cifar-10-binary.tar.gz"
    try:
        _check_instructions(data)
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        entries = {_text(key): value for key, value in content.items()}
        return _array(entries["data"]), _labels(entries["labels"])
    except _RefusedError as error:
        raise InvalidFileError(f"{shown} holds {error}; {advice}.") from error
    except Exception as error:  # a stack that runs empty, a missing key, a length that lies: all are a foreign file
        raise InvalidFileError(f"{shown} is damaged or not a file of CIFAR-10; {advice}.") from error


class _RefusedError(Exception):
    """The pickle asks for something that is not allowed; the text names it."""


def _check_instructions(data: bytes) -> None:
    import pickletools  # with its tables of every instruction, for one data set: not before it is needed

    argument: Any
    # genops itself refuses a length beyond the end of the data, and stops at STOP as the unpickler does.
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in _INSTRUCTIONS:
            raise _RefusedError(f"the pickle instruction {opcode.name}")
        if opcode.name in ("BINPUT", "LONG_BINPUT") and argument > count:
            raise _RefusedError(f"the place {argument} in a memo of {count} values at most")


class _StandIn:
    """One of NumPy's names in the pickle; called, it notes the arguments, and afterwards the state set on the result."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.kind = kind
        self.arguments = arguments
        self.state: Any = None

    def __call__(self, *arguments: Any) -> "_StandIn":
        if self.kind == "class" or self.arguments is not None:
            raise _RefusedError("a call of something that is no constructor")
        return _StandIn(self.kind, arguments)

    def __setstate__(self, state: Any) -> None:
        if self.arguments is None:
            raise _RefusedError("a change of one of NumPy's own objects")
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _StandIn:
        kind = _NAMES.get(f"{module} {name}")
        if kind is None:
            raise _RefusedError(f"the name {describe_value(f'{module} {name}')}")
        return _StandIn(kind)


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _array(value: Any) -> NDArray[np.uint8]:
    """The array of NumPy's state (version, shape, dtype, whether Fortran order, bytes); uint8 alone is taken."""
    if not isinstance(value, _StandIn) or value.kind != "array":
        raise _RefusedError("data that is no array")
    _version, shape, dtype, is_fortran, content = value.state
    if not isinstance(dtype, _StandIn) or dtype.kind != "dtype" or not dtype.arguments:
        raise _RefusedError("data that is not uint8")
    if _text(dtype.arguments[0]) not in ("u1", "|u1"):
        raise _RefusedError("data that is not uint8")
    # reshape refuses a shape that does not fit the bytes that are really there.
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


def _labels(value: Any) -> NDArray[np.uint8]:
    if not isinstance(value, list) or not all(type(label) is int and 0 <= label <= 255 for label in value):
        raise _RefusedError("labels that are no list of small numbers")
    return np.array(value, np.uint8)
