"""The base of all layer descriptions: what the user asked for, normalised once, as a frozen value.

A description carries what follows from it: `facts` (shapes, parameters, MACs) and `lower` (the operations that compute it).
The graph, the compiler, the files and the explanations read descriptions only. Images are height, width, channels, or with the
data_format "channels_first" channels, height, width.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise import constraints, initializers, regularizers
from depthwise.arguments import LARGEST_FLOAT32, choice, integer
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.network.facts import LayerFacts, Shape, layer_facts, single, sizes
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["PENALISED", "Description"]

PENALISED = "put layers.ActivityRegularization(l1, l2) behind the layer instead"
"""What to do where a layer takes no `activity_regularizer`."""


@dataclass(frozen=True)
class Description:
    """Base of all layer descriptions.

    Args:
        name: the layer's name; the graph gives one (`conv2d`, `conv2d_1`, …) where it is None.
        trainable: whether `fit` changes the layer's weights.
        input_shape: for the first layer of a `Sequential`: the shape of one sample, (height, width, channels).
    """

    name: str | None = field(default=None, kw_only=True)
    trainable: bool = field(default=True, kw_only=True)
    input_shape: tuple[int, ...] | None = field(default=None, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True, repr=False, compare=False)

    default_name: ClassVar[str] = "layer"
    module: ClassVar[str] = "keras.layers"
    """Where Keras has the class: what files name."""
    writes_trainable: ClassVar[bool] = True
    """Whether Keras' class takes `trainable` from a file."""
    methods: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """Functions of the layer object that only layers of this kind have, by name."""
    takes_list: ClassVar[bool] = False
    """Whether it is called on a list of inputs, even of one."""

    def __post_init__(self) -> None:
        if self.name is not None and (not isinstance(self.name, str) or not self.name or "/" in self.name):
            raise InvalidArgumentError(
                f"{self._owner}: name must be a non-empty text without '/', or None, got {describe_value(self.name)}"
            )
        if self.dtype not in (None, "float32"):
            raise UnsupportedError(
                f"{self._owner}: dtype must be float32 (all arithmetic is), got {describe_value(self.dtype)}"
            )
        if self.input_shape is not None:
            shape = tuple(integer(self._owner, "input_shape", size) for size in self.input_shape)
            self._set(input_shape=shape)
        if not isinstance(self.trainable, bool):
            raise InvalidArgumentError(
                f"{self._owner}: trainable must be True or False, got {describe_value(self.trainable)}"
            )
        for key, value in vars(self).items():
            if not _fits_float32(value):
                raise InvalidArgumentError(
                    f"{self._owner}: {key} must be of numbers that float32 can hold, got {describe_value(value)}"
                )
        self._normalise()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        """What follows from the layer and the shapes of its inputs; value by value, unless a layer says otherwise.

        Raises:
            ShapeError: inputs that the layer cannot take. `arithmetic.describe` calls this and checks sizes.
        """
        return layer_facts(self, shapes, sizes(single(self, shapes)))

    def moved_axis(self, shapes: tuple[Shape, ...]) -> int | None:
        """The axis of a sample that the layer works on as if it were the last: its channels; None where they are last.

        `facts` and `lower` see shapes with that axis at the end. Whoever calls them moves it there and back.
        """
        first = getattr(self, "data_format", None) == "channels_first"
        return 0 if first and shapes and len(shapes[0]) > 1 else None

    def lower(self, builder: "Builder", call: "Call") -> None:
        """Gives `builder` the operations that compute `call`."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What messages call the layer: its class, and its name where it has one."""
        return self._owner if self.name is None else f"{self._owner} {describe_value(self.name)}"

    def _normalise(self) -> None:
        """Brings the layer's own arguments into their one form, or raises InvalidArgumentError."""

    def _set(self, **values: object) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def _owner(self) -> str:
        return type(self).__name__

    def _normalise_data_format(self) -> None:
        data_format = getattr(self, "data_format", None)
        known = ("channels_last", "channels_first")
        self._set(
            data_format="channels_last"
            if data_format is None
            else choice(self._owner, "data_format", data_format, known)
        )

    def _moved(self, axis: int, shapes: tuple[Shape, ...]) -> int | None:
        """`axis`, which counts the batch as Keras does, as an axis of a sample; None for the last one.

        Raises:
            ShapeError: the inputs have no such axis.
        """
        rank = max((len(shape) for shape in shapes), default=0)
        index = axis - 1 if axis > 0 else rank + axis
        if axis == 0 or not 0 <= index < rank:
            raise ShapeError(
                f"{self.label}: axis must be between 1 and {rank}, or -1 and -{rank} counted from the end, got {axis}"
            )
        return None if index == rank - 1 else index

    def _regularizers(self) -> None:
        for key, value in list(vars(self).items()):
            if key.endswith("_regularizer"):
                self._set(**{key: regularizers.get(value)})
            elif key.endswith("_constraint"):
                self._set(**{key: constraints.get(value)})

    def regularizer_of(self, weight: str) -> Regularizer | None:
        """The penalty on the layer's weight of that name."""
        found: Regularizer | None = self._setting_of(weight, "regularizer")
        return found

    def constraint_of(self, weight: str) -> Constraint | None:
        """What the layer's weight of that name has to satisfy after each step."""
        found: Constraint | None = self._setting_of(weight, "constraint")
        return found

    @property
    def activity_penalty(self) -> Regularizer | None:
        """The penalty on what the layer gives."""
        found: Regularizer | None = getattr(self, "activity_regularizer", None)
        return found

    def _setting_of(self, weight: str, kind: str) -> Any:
        """Keras names an argument for the weight, `bias_…`, or for its stage: `depthwise_…` is the kernel's of a depthwise layer."""
        for name in (weight, weight.removesuffix("_kernel"), "depthwise" if weight == "kernel" else weight):
            found = getattr(self, f"{name}_{kind}", None)
            if found is not None:
                return found
        return None

    def _initializers(self) -> None:
        for key, value in list(vars(self).items()):
            if key.endswith("_initializer"):
                self._set(**{key: initializers.get(value)})


def _fits_float32(value: object) -> bool:
    """Whether a number, or every number in a list, is one of float32; anything else does."""
    if isinstance(value, (tuple, list)):
        return all(map(_fits_float32, value))
    return not isinstance(value, float) or abs(value) <= LARGEST_FLOAT32 or abs(value) == math.inf
