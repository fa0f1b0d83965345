"""The files of CIFAR-10's Python version, read without unpickling.

A pickle is a program for a small stack machine, and some of its instructions import and call anything. Here a machine
of our own knows the few instructions that those files use; an import is only remembered by its name, a call is carried
out for NumPy's array constructors alone, and only by noting the arguments. Nothing is imported, nothing called.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidFileError, describe_value

__all__ = ["read_batch_pickle"]

_ARRAY_CALLS = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy dtype": "dtype",
}
_NAMES = {*_ARRAY_CALLS, "numpy ndarray"}
_MARK = object()


class _Name(str):
    """The name of a global that the pickle mentions; it stays a name."""


class _Call:
    """A call that the pickle asks for: of which kind, with which arguments, and the state set afterwards."""

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind = kind
        self.arguments = arguments
        self.state: Any = None


def read_batch_pickle(data: bytes, shown: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The entries "data", uint8 (N, 3072), and "labels", uint8 (N,), of the dictionary pickled in `data`.

    Raises `InvalidFileError`, naming the file `shown`, for an instruction or a global that CIFAR-10 does not use.
    """
    mend = "only CIFAR-10's own files are read, as other pickles could run code: use cifar-10-binary.tar.gz"
    try:
        content = _interpret(data)
        entries = {_text(key): value for key, value in content.items()}
        return _array(entries["data"]), _labels(entries["labels"])
    except _RefusedError as error:
        raise InvalidFileError(f"{shown} holds {error}; {mend}.") from error
    except Exception as error:  # a stack that runs empty, a missing key, a length that lies: all are a foreign file
        raise InvalidFileError(f"{shown} is damaged or not a file of CIFAR-10; {mend}.") from error


class _RefusedError(Exception):
    """The pickle asks for something that is not allowed; the text names it."""


def _interpret(data: bytes) -> Any:
    import pickletools  # with its tables of every instruction, for one data set: not before it is needed

    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = len(stack) - 1
        while stack[start] is not _MARK:
            start -= 1
        items = stack[start + 1 :]
        del stack[start:]
        return items

    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            pass
        elif name == "STOP":
            return stack.pop()
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            # Python 2 wrote bytes as text; pickletools shows them in Latin-1.
            stack.append(argument.encode("latin-1") if name in ("BINSTRING", "SHORT_BINSTRING") else argument)
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "TUPLE":
            stack.append(tuple(pop_to_mark()))
        elif name in _TUPLE_SIZES:
            size = _TUPLE_SIZES[name]
            stack[-size:] = [tuple(stack[-size:])]
        elif name == "APPEND":
            stack[-2].append(stack.pop())
        elif name == "APPENDS":
            items = pop_to_mark()
            stack[-1].extend(items)
        elif name == "SETITEM":
            value = stack.pop()
            key = stack.pop()
            stack[-1][key] = value
        elif name == "SETITEMS":
            items = pop_to_mark()
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "STACK_GLOBAL":
                function, module = stack.pop(), stack.pop()
                argument = f"{module} {function}"
            if argument not in _NAMES:
                raise _RefusedError(f"the name {describe_value(argument)}")
            stack.append(_Name(argument))
        elif name == "REDUCE":
            arguments = stack.pop()
            called = stack.pop()
            if not isinstance(called, _Name) or called not in _ARRAY_CALLS or not isinstance(arguments, tuple):
                raise _RefusedError(f"a call of {describe_value(called)}")
            stack.append(_Call(_ARRAY_CALLS[called], arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Call):
                raise _RefusedError("an object that is not NumPy's")
            stack[-1].state = state
        else:
            raise _RefusedError(f"the pickle instruction {name}")
    raise ValueError("the pickle does not end")


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "BININT",
    "BININT1",
    "BININT2",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINBYTES",
    "SHORT_BINBYTES",
}
_TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _array(value: Any) -> NDArray[np.uint8]:
    """The array of NumPy's state (version, shape, dtype, whether Fortran order, bytes); uint8 alone is taken."""
    if not isinstance(value, _Call) or value.kind != "array":
        raise _RefusedError("data that is no array")
    _version, shape, dtype, is_fortran, content = value.state
    if not isinstance(dtype, _Call) or dtype.kind != "dtype" or _text(dtype.arguments[0]) not in ("u1", "|u1"):
        raise _RefusedError("data that is not uint8")
    # reshape refuses a shape that does not fit the bytes that are really there.
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


def _labels(value: Any) -> NDArray[np.uint8]:
    if not isinstance(value, list) or not all(type(label) is int and 0 <= label <= 255 for label in value):
        raise _RefusedError("labels that are no list of small numbers")
    return np.array(value, np.uint8)
