"""Layers as users make them: objects with identity that own their weights, as in Keras.

>>> from depthwise import layers
>>> layer = layers.Dense(3)
>>> layer.build((None, 4))
>>> layer.units, layer.count_params(), [array.shape for array in layer.get_weights()]
(3, 15, [(4, 3), (3,)])
"""

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.keywords import normalised
from depthwise.layers.description import PENALISED, Description
from depthwise.layers.operation import OPERATIONS
from depthwise.layers.store import LOCK, TRAINABLE, Numbers, WeightStore, look
from depthwise.layers.tensors import TENSOR_OPERATIONS
from depthwise.network.facts import LayerFacts, Shape, Weight, describe
from depthwise.seeds import next_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from depthwise.regularizers import Regularizer

__all__ = ["Layer", "public", "refuse_assignment"]


class Layer:
    """Base of all layers.

    Attributes:
        name: given by the user, or settled when the layer is first built into a model: `conv2d`, `conv2d_1`, … . None before.
        trainable: whether training changes the weights. Set it, then `compile`.

    The arguments that the layer was made with can be read (`layer.filters`); to change one, make a new layer.
    """

    description_class: ClassVar[type[Description]] = Description
    is_operation: ClassVar[bool] = False
    """Whether it is not a layer but an operation between layers, such as `x + 1`."""

    _given: Description
    _name: str | None
    _chosen: str | None
    _trainable: bool
    _store: WeightStore
    _facts: LayerFacts | None
    _first_output: Any
    _alone: dict[Any, Any]
    _hint: ClassVar[str] = "make a new layer with {name}=… and put it in this one's place"

    def __new__(cls, *args: Any, **kwargs: Any) -> "Layer":
        if cls not in _PUBLIC:  # here and not in __init__, which such a class has its own of
            raise UnsupportedError(
                f"{cls.__name__}: layers with code of your own are not supported; put layers of depthwise.layers together with "
                "depthwise.Model instead, for example Model(x, layers.Add()([x, layers.Dense(8)(x)]))"
            )
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        arguments = normalised(type(self).__name__, kwargs)
        takes_penalty = hasattr(self.description_class, "activity_regularizer")
        if not takes_penalty and arguments.pop("activity_regularizer", None) is not None:
            raise UnsupportedError(f"{type(self).__name__}: activity_regularizer is not supported; {PENALISED}")
        self._start(self.description_class(*args, **arguments))

    def _start(self, description: Description) -> None:
        self._given = description
        self._name = self._chosen = description.name
        self._trainable = description.trainable
        self._store = WeightStore()
        self._facts = None
        self._first_output = None
        self._alone = {}

    @classmethod
    def of(cls, description: Description) -> "Layer":
        """A new layer that is described so."""
        layer: Layer = object.__new__(_BY_DESCRIPTION.get(type(description)) or _operation(type(description)))
        layer._start(description)
        if re.fullmatch(rf"{re.escape(description.default_name)}(_\d+)?", description.name or ""):
            layer._chosen = None  # nobody chose it: among other layers it may get another number
        return layer

    # What it is.

    @property
    def name(self) -> str | None:
        """The layer's name; None before it has one."""
        return self._name

    @property
    def chosen_name(self) -> str | None:
        """The name that the user gave."""
        return self._chosen

    def settle(self, name: str) -> None:
        """Gives the layer its name where it has none yet."""
        if self._name is None:
            self._name = name

    @property
    def description(self) -> Description:
        """The layer as it is, as a value: its arguments, name and `trainable`."""
        given = self._given
        if given.name == self._name and given.trainable == self._trainable:
            return given
        return dataclasses.replace(given, name=self._name, trainable=self._trainable)

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; set it, then `compile` the model."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = checked_flag(value)
        TRAINABLE.grow()

    def flat_layers(self) -> "list[Layer]":
        """The layers that own weights within: itself."""
        return [self]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            if name in _ATTRIBUTES or hasattr(self._given, name):
                return getattr(self._given, name)
            if self._facts is not None and any(weight.name == name for weight in self._facts.weights):
                return self.arrays()[name]  # layer.kernel, layer.bias
            if (
                self._facts is not None
                and name in ("bias", "beta", "gamma")
                and hasattr(self._given, f"{name}_initializer")
            ):
                return None  # it was made without one
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name == "trainable":
            object.__setattr__(self, name, value)
        else:
            refuse_assignment(type(self).__name__, name, self._hint)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: arguments, name and the current weights; what the layer was called on stays behind."""
        look((self._store,))
        return {name: value for name, value in vars(self).items() if name not in ("_first_output", "_alone")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._first_output = None
        self._alone = {}

    def get_config(self) -> dict[str, Any]:
        """The arguments as Keras writes them."""
        from depthwise.data.formats.layer_config import layer_config

        config: dict[str, Any] = layer_config(self.description)["config"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Layer":
        """A new layer from `config`, what `get_config` gave, here or in Keras."""
        from depthwise.data.formats.layer_config import layer_from_config

        return cls.of(layer_from_config(cls.__name__, config))

    # Building.

    @property
    def built(self) -> bool:
        """Whether the input's shape, and with it the weights, are known."""
        return self._facts is not None

    def build(self, input_shape: Any) -> None:
        """Fixes the shapes of the weights.

        Args:
            input_shape: with the batch, as in Keras: (None, 28, 28, 1); a list of such for several inputs.
        """
        several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        shapes = [tuple(shape)[1:] for shape in (input_shape if several else [input_shape])]
        self.facts_for(shapes)
        self.settle(self._given.default_name)

    def facts_for(self, shapes: Sequence[Shape]) -> LayerFacts:
        """What follows from inputs of these shapes; the first call fixes the weights.

        Raises:
            ShapeError: the layer cannot take them, or its weights have other shapes already.
        """
        facts = describe(self.description, shapes)
        if self._facts is None:
            self._facts = facts
        elif [(w.name, w.shape) for w in facts.weights] != [(w.name, w.shape) for w in self._facts.weights]:
            raise ShapeError(
                f"{self.description.label} has its weights for inputs of the shape "
                f"{', '.join(map(str, self._facts.input_shapes))}, got {', '.join(map(str, shapes))}; make another layer"
            )
        return facts

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Connects the layer in the functional style: `y = Conv2D(32, 3)(x)`; for arrays: its output, as in prediction.

        Args:
            inputs: one symbolic tensor of `depthwise.Input` or of another layer, or a list of them; or numbers (samples, …).
            training: must be None in a network, where it would change something.
        """
        first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else inputs
        if hasattr(first, "__array__") or isinstance(first, (list, tuple, float, int)):
            from depthwise.model.eager import run_alone
            from depthwise.models import Model

            return run_alone(self, inputs, Model, training)
        if training is not None:
            from depthwise.model.own_code import refuse_training_flag

            refuse_training_flag(self, training)
        return connect(self, inputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the output with the batch, for an input shape with the batch; the weights stay open.

        Args:
            input_shape: (None, 28, 28, 1); a list of such for several inputs.
        """
        several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        shapes = [tuple(shape) for shape in (input_shape if several else [input_shape])]
        return shapes[0][:1] + describe(self.description, [shape[1:] for shape in shapes]).output_shape

    def symbolic_outputs(self, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
        """The shapes of the outputs for inputs of `shapes`."""
        return (self.facts_for(shapes).output_shape,)

    def packed(self, results: Sequence[Any]) -> Any:
        """What a call gives, made of its outputs."""
        return results[0]

    @property
    def alone(self) -> dict[Any, Any]:
        """Models of this layer alone, by the shapes of their inputs: for calls on arrays."""
        return self._alone

    def forget_call(self, first_output: Any) -> None:
        """Lets `output` be what it was before a call that nobody sees."""
        self._first_output = first_output

    def called(self, result: Any) -> None:
        """Notes the layer's first symbolic output, for `input` and `output`."""
        if self._first_output is None:
            self._first_output = result

    @property
    def first_output(self) -> Any:
        """As `output`; None where the layer was never called."""
        return self._first_output

    @property
    def output(self) -> Any:
        """The symbolic tensor that the first call gave.

        Raises:
            InvalidArgumentError: the layer was never called.
        """
        if self._first_output is None:
            raise InvalidArgumentError(f"{self!r} was never called, so it has no output; connect it or build its model")
        return self._first_output

    @property
    def output_shape(self) -> Any:
        """The shape of `output`, with the batch: (None, …)."""
        output = self.output
        return output.shape if not isinstance(output, list) else [tensor.shape for tensor in output]

    @property
    def input(self) -> Any:
        """The symbolic tensor that the first call read; a list of such for several inputs."""
        tensor = self.output[0] if isinstance(self.output, list) else self.output
        inputs = list(tensor.inputs) or [tensor]
        return inputs[0] if len(inputs) == 1 else inputs

    # Weights.

    def _needs(self) -> tuple[Weight, ...]:
        if self._facts is None:
            raise InvalidArgumentError(
                f"{self!r} does not know its input's shape yet, so it has no weights; call build((None, …)) or put it "
                "into a model"
            )
        return self._facts.weights

    def arrays(self) -> "dict[str, NDArray[np.float32]]":
        """The current weights by name, drawn when first asked for; read only."""
        look((self._store,))
        return {name: numbers.array() for name, numbers in self.held_numbers().items()}

    def held_numbers(self) -> "dict[str, Numbers]":
        """The layer's own weights, whatever a training holds."""
        if self._store.numbers is None:
            from depthwise.network.initialize import draw_layer  # NumPy: not before it is needed

            weights = self._needs()
            with LOCK:
                if self._store.origin is None:
                    self._store.origin = (next_seed(), self._name or self._given.default_name)
                if self._store.numbers is None:
                    self._store.put(draw_layer(self._given, weights, *self._store.origin))
        assert self._store.numbers is not None
        return self._store.numbers

    @property
    def weights(self) -> "list[NDArray[np.float32]]":
        """The live weights in Keras' order, read only; change them with `set_weights`."""
        return list(self.arrays().values()) if self.built else []

    @property
    def trainable_weights(self) -> "list[NDArray[np.float32]]":
        """Those that training changes: none where `trainable` is False."""
        learnt = self._learnt()
        return [array for name, array in self.arrays().items() if name in learnt] if learnt else []

    @property
    def non_trainable_weights(self) -> "list[NDArray[np.float32]]":
        """Those that training does not change."""
        learnt = self._learnt()
        return [array for name, array in self.arrays().items() if name not in learnt] if self.built else []

    @property
    def losses(self) -> list[float]:
        """The penalties of the layer's regularizers on its current weights; none where it is not trainable."""
        found = self.regularizers()
        arrays = self.arrays() if found else {}
        return [found[name](array) for name, array in arrays.items() if name in found]

    def regularizers(self) -> "dict[str, Regularizer]":
        """By weight, for those that have one and that training changes."""
        given = {name: self._given.regularizer_of(name) for name in self._learnt()}
        return {name: penalty for name, penalty in given.items() if penalty is not None}

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def _learnt(self) -> set[str]:
        """The names of the weights that training changes."""
        if self._facts is None or not self._trainable:
            return set()
        return {
            weight.name for weight in describe(self.description, self._facts.input_shapes).weights if weight.trainable
        }

    def get_weights(self) -> "list[NDArray[np.float32]]":
        """Copies of the weights, in Keras' order."""
        if not self.built:
            return []
        look((self._store,))
        return [numbers.copy() for numbers in self.held_numbers().values()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the weights by copies of a list in the order of `get_weights`.

        Raises:
            InvalidArgumentError: not as many arrays as the layer has weights.
            ShapeError: an array of another shape.
        """
        from depthwise.arrays import checked_weight

        needs = self._needs()
        if len(weights) != len(needs):
            raise InvalidArgumentError(
                f"set_weights: {describe_value(self.name)} has {len(needs)} weights, got a list of {len(weights)}"
            )
        arrays = {
            need.name: checked_weight(f"{self.name}/{need.name}", need.shape, array)
            for need, array in zip(needs, weights)
        }
        look((self._store,))
        self._store.put(arrays)

    def count_params(self) -> int:
        """Numbers in all weights."""
        return sum(weight.formula.value for weight in self._needs())


def connect(layer: Any, inputs: Any) -> Any:
    """The symbolic result of calling `layer` on symbolic tensors."""
    first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else inputs
    join = getattr(first, "connect", None)
    if join is None:
        raise InvalidArgumentError(
            f"{type(layer).__name__} was called on {describe_value(type(inputs).__name__)}; a layer connects to the "
            "result of depthwise.Input(...) or of another layer, or to a list of them"
        )
    return join(layer, inputs)


def checked_flag(value: Any) -> bool:
    """A value for `trainable`, or InvalidArgumentError."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"trainable must be True or False, got {describe_value(value)}")
    return value


def refuse_assignment(owner: str, name: str, hint: str) -> None:
    """Raises what an assignment that nothing would obey deserves."""
    raise InvalidArgumentError(f"{owner}.{name} cannot be assigned: {hint.format(name=name)}")


class _Signature:
    """The arguments of a class of layers, found when they are asked for: a process makes layers of few classes."""

    def __get__(self, layer: object, owner: type[Layer]) -> inspect.Signature:
        return inspect.signature(owner.description_class)


class _Documentation:
    """The docstring of a layer's class, put together when somebody reads it."""

    def __get__(self, instance: object, owner: type[Layer]) -> str:
        from depthwise.layers.documentation import layer_documentation

        return layer_documentation(
            owner.__name__, owner.description_class.__doc__ or "", list(_SIGNATURE.__get__(None, owner).parameters)
        )


_SIGNATURE = _Signature()
_DOCUMENTATION = _Documentation()
_ATTRIBUTES = {"default_name", "input_shape"}
_PUBLIC: set[type[Layer]] = set()
_BY_DESCRIPTION: dict[type[Description], type[Layer]] = {}


def public(description: type[Description]) -> type[Layer]:
    """The class of layers that are described by `description`."""
    made = type(
        description.__name__,
        (Layer,),
        {
            "__module__": "depthwise.layers",
            "__doc__": _DOCUMENTATION,
            "__signature__": _SIGNATURE,
            "description_class": description,
            **description.methods,
        },
    )
    _PUBLIC.add(made)
    _BY_DESCRIPTION[description] = made
    return made


def _operation(description: type[Description]) -> type[Layer]:
    """The class of operations among a model's layers; `depthwise.layers` does not have it, so it is looked up here."""
    made = public(description)
    made.is_operation = True
    made.__module__, made.__qualname__ = __name__, f"Operation{description.__name__}"
    return made


def __getattr__(name: str) -> Any:
    description = {**OPERATIONS, **TENSOR_OPERATIONS}.get(name.removeprefix("Operation"))
    if description is None or not name.startswith("Operation"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _BY_DESCRIPTION.get(description) or _operation(description)
