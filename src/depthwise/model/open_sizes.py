"""A model whose input sizes a file leaves open: one network for each shape that it is used on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value

__all__ = ["OpenSizesModel"]

MOST_KEPT = 16
"""Networks that are kept; the one used longest ago makes room."""


class _OpenSizesError(UnsupportedError, AttributeError):
    """Something that needs the sizes; for `hasattr` an attribute that is missing."""


class OpenSizesModel:
    """What `load_model` gives for an ONNX file with open sizes, where none were given.

    `predict` takes them from its arrays and compiles once for each shape; `at` gives the model of one shape, which can do everything.

    Attributes:
        input_names: the file's inputs, in its order.
    """

    def __init__(
        self,
        input_names: Sequence[str],
        make: Callable[[Mapping[str, Sequence[int]]], Any],
        why: str,
        batches: Sequence[int | None] = (),
    ) -> None:
        self.input_names = list(input_names)
        self._batches = tuple(batches) or (None,) * len(self.input_names)
        self._make, self._why = make, why
        self._models: dict[tuple[tuple[int, ...], ...], Any] = {}

    def at(self, shapes: Mapping[str, Sequence[int]]) -> Any:
        """The `Model` for inputs of these whole shapes, with the batch, by name.

        Raises:
            InvalidArgumentError: other names than the file's inputs.
        """
        if set(shapes) != set(self.input_names):
            raise InvalidArgumentError(
                f"the model's inputs are {describe_value(self.input_names)}, got shapes of {describe_value(list(shapes))}"
            )
        key = tuple(tuple(int(size) for size in shapes[name]) for name in self.input_names)
        key = tuple(
            ((own or 1), *shape[1:]) for own, shape in zip(self._batches, key)
        )  # any batch but one that is fixed
        found = self._models.pop(key, None)
        if found is None:
            found = self._make(dict(zip(self.input_names, key)))
            while len(self._models) >= MOST_KEPT:
                del self._models[next(iter(self._models))]
        self._models[key] = found
        return found

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `Model.predict`, on the network for the shapes of `x`: an array, a list of one for each input, or a dict by name."""
        if isinstance(x, Mapping):
            given = {name: np.asarray(value) for name, value in x.items()}
        else:
            values = x if isinstance(x, (list, tuple)) else [x]
            if len(values) != len(self.input_names):
                raise InvalidArgumentError(f"the model takes {len(self.input_names)} inputs, got {len(values)} arrays")
            given = {name: np.asarray(value) for name, value in zip(self.input_names, values)}
        model = self.at({name: array.shape for name, array in given.items()})
        arrays = [given[name] for name in self.input_names]
        return model.predict(arrays if len(arrays) > 1 else arrays[0], *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        raise _OpenSizesError(self._why)

    def __repr__(self) -> str:
        return f"<OpenSizesModel inputs={self.input_names}, networks={len(self._models)}>"
