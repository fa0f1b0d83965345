"""`predict` over many samples: batches in, one native call for each, outputs joined; a bar when it takes long."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.ahead import in_order
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.model.inputs import Arrays, arrays_for, as_float32, is_batches, length, shaped
from depthwise.network.graph import Graph
from depthwise.progress import ProgressBar

__all__ = ["predict_batches"]

LARGEST_BATCH = 1024
"""Samples of one native call by default: enough to hide its cost, few enough for Ctrl-C and the bar."""

SECONDS_BEFORE_BAR = 2.0

Outputs = tuple[NDArray[np.float32], ...]


def predict_batches(
    graph: Graph,
    ready: Callable[[], Callable[[Arrays], Outputs]],
    x: Any,
    batch_size: int | None,
    verbose: str | int,
    steps: int | None,
    callbacks: Any,
) -> Outputs:
    """Runs `ready()` over x; the arguments are those of `Model.predict`.

    Returns:
        One array for each output of the graph.
    """
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1):
            raise InvalidArgumentError(f"predict: {name} must be an integer of at least 1, got {describe_value(value)}")
    if verbose not in ("auto", 0, 1, 2):
        raise InvalidArgumentError(f"predict: verbose must be 'auto', 0, 1 or 2, got {describe_value(verbose)}")
    total, batches = _batches(graph, x, batch_size, steps)
    hooks = _Callbacks(callbacks)
    bar = _Progress(total, verbose)
    parts: list[Outputs] = []
    run: Callable[[Arrays], Outputs] | None = None
    try:
        hooks.call("on_predict_begin")
        for index, batch in enumerate(batches):
            hooks.call("on_predict_batch_begin", index)
            run = run or ready()  # once: the weights are those of one moment for the whole call
            parts.append(run(batch))
            hooks.call("on_predict_batch_end", index)
            bar.advance()
        hooks.call("on_predict_end")
    finally:
        bar.close()
    if not parts:
        raise InvalidDataError("predict: x holds no samples; give at least one")
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(arrays) for arrays in zip(*parts))


def _batches(graph: Graph, x: Any, batch_size: int | None, steps: int | None) -> tuple[int | None, Iterator[Arrays]]:
    if is_batches(x):
        count = length(x)
        if steps is not None:
            count = steps if count is None else min(count, int(steps))
        return count, _given_batches(graph, x, count)
    size = int(batch_size or LARGEST_BATCH)
    # Only a batch at a time is converted: a large uint8 array stays the size it is.
    whole = shaped(graph, x)
    samples = len(whole[0])
    count = -(-samples // size)
    if steps is not None:
        count = min(count, int(steps))

    def slices() -> Iterator[Arrays]:
        for start in range(0, count * size, size):
            yield as_float32(array[start : start + size] for array in whole)

    return count, slices()


def _given_batches(graph: Graph, x: Any, count: int | None) -> Iterator[Arrays]:
    source: Iterable[Any] = x
    if hasattr(x, "__getitem__") and count is not None:
        source = in_order(x, count)
    for index, item in enumerate(source):
        if count is not None and index >= count:
            return
        arrays = arrays_for(graph, _inputs(graph, item), f"batch {index} of x")
        if len(arrays[0]):
            yield arrays


def _inputs(graph: Graph, item: Any) -> Any:
    """The x of a batch, which may be x alone, (x, y) or (x, y, sample_weight), in a tuple or, as loaders of PyTorch give it, a list."""
    if isinstance(item, tuple) and 1 <= len(item) <= 3:
        return item[0]
    if isinstance(item, list) and 2 <= len(item) <= 3:
        first, rank = item[0], len(graph.input_shapes[0]) + 1
        if len(graph.inputs) > 1:
            return first if isinstance(first, (list, tuple, dict)) else item
        only = first[0] if isinstance(first, (list, tuple)) and len(first) == 1 else first
        if isinstance(first, dict) or getattr(only, "ndim", 0) == rank:
            return first
    return item


class _Callbacks:
    """Calls the hooks that the user's callbacks have; Keras hands each the index and an empty dict of logs."""

    def __init__(self, callbacks: Any) -> None:
        self.callbacks: Sequence[Any] = (
            () if callbacks is None else callbacks if isinstance(callbacks, (list, tuple)) else (callbacks,)
        )

    def call(self, hook: str, *arguments: int) -> None:
        for callback in self.callbacks:
            method = getattr(callback, hook, None)
            if method is not None:
                method(*arguments, None)


class _Progress:
    def __init__(self, total: int | None, verbose: str | int) -> None:
        self.total = total
        self.verbose = verbose
        self.done = 0
        self.start = time.monotonic()
        self.bar: ProgressBar | None = None

    def advance(self) -> None:
        self.done += 1
        if self.verbose in (0, 2):
            return
        late = time.monotonic() - self.start > SECONDS_BEFORE_BAR
        if self.bar is None and (self.verbose == 1 or late) and self.done != self.total:
            from rich.console import Console

            self.bar = ProgressBar(
                self.total, "predict", show="counts", console=Console(force_jupyter=False), stays=True
            )
            self.bar.start()
        if self.bar is not None:
            self.bar.show(self.done)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.verbose == 2:
            seconds = time.monotonic() - self.start
            print(f"{self.done}/{self.total or self.done} - {seconds:.0f}s")
