"""A graph with its weights: what a model is before it predicts or trains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from depthwise.arrays import checked_weight
from depthwise.compiler.native.once import making
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.layers.layer import Layer, checked_flag, connect
from depthwise.layers.store import CHANGES, LOCK, TRAINABLE, Numbers, Weights, WeightStore, look
from depthwise.model.copies import restore, state_of
from depthwise.model.explaining import Explained
from depthwise.model.own_code import ASSIGNABLE, refuse_model_assignment, refuse_own_code
from depthwise.network.facts import Shape
from depthwise.network.graph import Graph, LayerPath
from depthwise.network.symbolic import Structure, SymbolicTensor
from depthwise.network.tree import ModelTree, inlined
from depthwise.seeds import next_seed

if TYPE_CHECKING:
    from depthwise.runtime.prediction import Prediction

__all__ = ["GraphWithWeights"]

Float32 = NDArray[np.float32]


class GraphWithWeights(Explained):
    """Names, layers, shapes and weights of a model; `depthwise.models.Model` is what users make.

    The weights are the layers' own: a layer that is in several models has one set of them.
    """

    default_name: ClassVar[str] = "functional"

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        refuse_own_code(cls)
        return object.__new__(cls)

    def _start(self, name: str | None, trainable: bool) -> None:
        if name is not None and (not isinstance(name, str) or not name):
            raise InvalidArgumentError(f"name must be a non-empty text or None, got {describe_value(name)}")
        self._name = name
        self._settled: str | None = None
        self._trainable = checked_flag(trainable)
        self._seed = next_seed()
        self._structure: Structure | None = None
        self._tree: ModelTree | None = None
        self._graph: Graph | None = None
        self._flags_seen = -1
        self._owners: dict[LayerPath, Layer] = {}
        self._shared: dict[LayerPath, LayerPath] = {}
        self._stores: tuple[WeightStore, ...] = ()
        self._session: Any = None
        """What `train_on_batch` left open: its step holds newer weights than the layers."""
        self._prediction: tuple[int, Prediction] | None = None
        """The native program, and what `CHANGES` was when its weights were last known to be those of the layers."""
        self._single_shape: Shape | None = None
        self._output_keys: tuple[str, ...] | None = None
        self._first_output: Any = None
        self.compiled: Any = None
        self.history: Any = None
        self.stop_training = False

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in ASSIGNABLE:
            refuse_model_assignment(type(self), name)
        object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, at any time."""
        return state_of(self)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        restore(self, state)

    def _set_structure(self, structure: Structure | None) -> None:
        """Takes what the model is made of; `_structure` comes last, for whoever looks meanwhile."""
        self._prediction = self._single_shape = self._structure = None
        self._graph = self._tree = None
        self._owners, self._shared, self._stores = {}, {}, ()
        if structure is None:
            return
        first: dict[int, LayerPath] = {}
        owners: dict[LayerPath, Layer] = {}
        for path, member in _paths(structure, (), set()):
            known = first.setdefault(id(member), path)
            if known != path:
                self._shared[path] = known
            elif isinstance(member, Layer):
                owners[path] = member
        for path, layer in owners.items():
            if layer._store.origin is None:
                layer._store.origin = (self._seed, "/".join(path))
        self._owners, self._stores = owners, tuple(layer._store for layer in owners.values())
        graph = self._refresh(structure)
        if len(graph.inputs) == len(graph.outputs) == 1 and self._output_keys is None:
            self._single_shape = graph.input_shapes[0]
        self._structure = structure

    def _refresh(self, structure: Structure) -> Graph:
        """The graph with the layers' current `trainable`; the same object where nothing changed."""
        seen = TRAINABLE.count
        tree = replace(structure.tree(self.name, self._trainable), shared=tuple(self._shared.items()))
        graph = self._graph
        if graph is None or tree != self._tree:
            graph = inlined(tree)
            self._graph, self._tree = graph, tree
        self._flags_seen = seen
        return graph

    # What it is.

    @property
    def name(self) -> str:
        """The name that the model was given, or got in the model that it is a layer of."""
        return self._name or self._settled or self.default_name

    @property
    def chosen_name(self) -> str | None:
        """The name that the user gave."""
        return self._name

    def settle(self, name: str) -> None:
        """Gives the model the name that it has within another one, unless it has its own."""
        if self._name is None and self._settled is None:
            self._settled = name

    @property
    def graph(self) -> Graph:
        """What the model computes, as data: models inside it are in their place.

        Raises:
            InvalidArgumentError: the input's shape is not known yet.
        """
        if self._structure is None:
            with making:
                if self._structure is None:
                    self._set_structure(self._make_structure())
        graph, structure = self._graph, self._structure
        assert structure is not None
        if graph is None or self._flags_seen != TRAINABLE.count:
            return self._refresh(structure)
        return graph

    def _make_structure(self) -> Structure:
        raise AssertionError("a functional model has its structure from the start")

    @property
    def description(self) -> ModelTree:
        """The model as it is, as a value: its layers' descriptions, and how they are called."""
        tree = self.graph.tree
        assert tree is not None
        return tree

    @property
    def built(self) -> bool:
        """Whether shapes, and with them weights, are known."""
        return self._structure is not None

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Does nothing for a model that knows its shapes, as a functional one always does.

        Args:
            input_shape: with the batch, as in Keras; it must be the model's own.
        """
        if input_shape is not None and tuple(input_shape)[1:] != self.graph.input_shapes[0]:
            raise ShapeError(
                f"the model is built for the input shape {self.input_shape}, it cannot be built again for "
                f"{describe_value(input_shape)}"
            )

    @property
    def layers(self) -> list[Any]:
        """Layers and models inside, in Keras' order, without operations; `Sequential` leaves its input layer out, as Keras does."""
        return [item for item in self.operations if not getattr(item, "is_operation", False)]

    @property
    def operations(self) -> list[Any]:
        """Layers, models inside, and the operations between them, such as `x + 1`."""
        return list(self._members().values())

    def _named_layers(self) -> Mapping[str, Any]:
        """`layers` by the names that they have in this model."""
        return self._members()

    def _made(self) -> Structure:
        self.graph  # noqa: B018 - makes the structure
        assert self._structure is not None
        return self._structure

    def _members(self) -> Mapping[str, Any]:
        return self._made().members

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of that name, or at that place in `layers`.

        Raises:
            InvalidArgumentError: there is none, or not exactly one of `name` and `index` is given.
        """
        if (name is None) == (index is None):
            raise InvalidArgumentError("get_layer takes a name or an index, one of the two")
        if index is not None:
            layers = self.layers
            if not -len(layers) <= index < len(layers):
                raise InvalidArgumentError(f"get_layer: the model has {len(layers)} layers, got the index {index}")
            return layers[index]
        members = self._named_layers()
        if name is not None and name in members:
            return members[name]
        raise InvalidArgumentError(
            f"get_layer: no layer is named {describe_value(name)}; the layers are "
            + ", ".join(describe_value(own) for own in members)
        )

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets every layer. `compile` must follow."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = checked_flag(value)
        for layer in self.flat_layers():
            layer.trainable = value
        TRAINABLE.grow()

    def flat_layers(self) -> list[Layer]:
        """All layers, those of models inside too, each once."""
        self.graph  # noqa: B018 - makes the structure
        return list(self._owners.values())

    @property
    def input(self) -> Any:
        """The symbolic input; a list of such where there are several."""
        return self.inputs[0] if len(self.inputs) == 1 else self.inputs

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that the model reads."""
        return list(self._made().inputs)

    @property
    def output(self) -> Any:
        """The symbolic output; a list or a dict of such where there are several."""
        return self.packed(self.outputs)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that the model gives."""
        return list(self._made().outputs)

    @property
    def input_shape(self) -> Any:
        """(None, height, width, channels); a list of such where there are several inputs."""
        shapes = [(None, *shape) for shape in self.graph.input_shapes]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self) -> Any:
        """(None, …) of the output; a list of such where there are several."""
        shapes = [(None, *shape) for shape in self.graph.output_shapes]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in their order."""
        return list(self.graph.inputs)

    @property
    def output_names(self) -> list[str]:
        """Names of the layers and models whose results the outputs are, as Keras gives them."""
        return [port.member for port in self.description.outputs]

    # As a layer of another model.

    def connected(self, inputs: Any) -> Any:
        """The symbolic result of calling the model on symbolic tensors."""
        return connect(self, inputs)

    def symbolic_outputs(self, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
        """The shapes of the outputs for inputs of `shapes`.

        Raises:
            ShapeError: the model takes others.
        """
        if not self.built:
            self.build((None, *shapes[0]))
        if tuple(shapes) != self.graph.input_shapes:
            raise ShapeError(
                f"the model {describe_value(self.name)} takes inputs of the shapes "
                f"{', '.join(map(str, self.graph.input_shapes))}, got {', '.join(map(str, shapes))}"
            )
        return self.graph.output_shapes

    def packed(self, values: Sequence[Any]) -> Any:
        """The outputs as the model gives them: one, a list or a dict."""
        if self._output_keys is not None:
            return dict(zip(self._output_keys, values))
        return values[0] if len(values) == 1 else list(values)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As `output_shape`, for the input shape that the model has."""
        if not self.built:
            self.build(input_shape)
        return self.output_shape

    def called(self, result: Any) -> None:
        """Nothing: a model's `output` is its own, not that of a call."""

    def count_params(self) -> int:
        """Numbers in all weights."""
        return self.graph.parameters

    # Weights.

    @property
    def weights_by_name(self) -> Weights:
        """The live weights, `{"conv2d/kernel": array, …}`: read only, change them with `set_weights_by_name`."""
        return self._live_weights()

    @property
    def weights(self) -> list[Float32]:
        """The live weights in Keras' order, read only."""
        return list(self._live_weights().values())

    @property
    def trainable_weights(self) -> list[Float32]:
        """Those that training changes."""
        learnt = self._learnt()
        live = self._live_weights()
        return [live[key] for key in live if key in learnt]

    @property
    def non_trainable_weights(self) -> list[Float32]:
        """Those that training does not change."""
        learnt = self._learnt()
        live = self._live_weights()
        return [live[key] for key in live if key not in learnt]

    @property
    def losses(self) -> list[float]:
        """The penalties of the layers' regularizers on the current weights: what they add to the loss."""
        return [loss for layer in self.flat_layers() for loss in layer.losses] if self._trainable else []

    def penalties(self, weights: Mapping[str, Float32]) -> list[float]:
        """What `losses` is for these weights, by their names: of one moment, whatever another thread changes."""
        found: list[float] = []
        for path, layer in self._owners.items() if self._trainable else ():
            if own := layer.regularizers():
                call = self.graph.layers[path]
                found += [own[item.name](weights[call.key(item.name)]) for item in call.weights if item.name in own]
        return found

    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights

    def _learnt(self) -> set[str]:
        layers = self.graph.layers.values() if self._trainable else ()
        return {call.key(weight.name) for call in layers for weight in call.weights if weight.trainable}

    def training_graph(self, flags: Mapping[Layer, bool]) -> Graph:
        """The graph with `trainable` as it was when the model was compiled."""
        return self.graph.with_trainable({path: flags[layer] for path, layer in self._owners.items() if layer in flags})

    def flags(self) -> dict[Layer, bool]:
        """What `trainable` effectively is for each layer: `compile` keeps it."""
        if not self.built:
            return {}
        return {layer: layer.trainable and self._trainable for layer in self.flat_layers()}

    def _catch_up(self) -> None:
        """Takes over what a training still holds."""
        look(self._stores)

    def open_session(self, compiled: Any) -> Any:
        """The session that `train_on_batch` left open for `compiled`, if nobody has looked at the weights since."""
        session = self._session
        return session if session is not None and session.compiled is compiled else None

    def leave_open(self, session: Any) -> None:
        """Leaves the newest weights in the session's step until somebody looks at them."""
        self._session = session
        self.hold(session)
        session.optimizer.catch_up = self._catch_up

    def close_session(self, session: Any) -> None:
        """Somebody looks at the weights: the next step starts from what the layers have then."""
        if self._session is session:
            self._session = None
        self.hold(None)

    def hold(self, session: Any) -> None:
        """Notes the training that has newer weights than the layers; None when it is over."""
        for store in self._stores:
            store.holder = session
        CHANGES.grow()

    def _live_weights(self) -> Weights:
        graph = self.graph
        self._catch_up()
        return self.held_weights(graph)

    def held_weights(self, graph: Graph | None = None) -> Weights:
        """The layers' own weights, whatever a training holds; new layers draw theirs."""
        numbers: dict[str, Numbers] = {}
        graph = graph or self.graph
        with LOCK:
            for path, call in graph.layers.items():
                if call.weights:
                    held = self._owners[path].held_numbers()
                    numbers.update((call.key(name), item) for name, item in held.items())
        return Weights(numbers)

    def _ready(self) -> "Prediction":
        """The native program with the current weights."""
        made = self._prediction
        if made is not None and made[0] == CHANGES.count:
            return made[1]
        from depthwise.compiler.lower import lower
        from depthwise.runtime.prediction import Prediction

        graph = self.graph
        self._catch_up()
        with LOCK:  # the number and the weights are of one moment
            weights = self.held_weights(graph)
            seen = CHANGES.count
        with making:
            made = self._prediction
            prediction = made[1] if made is not None else Prediction(lower(graph))
            if not weights.same(prediction.weights):
                prediction = prediction.with_weights(weights)
            self._prediction = seen, prediction
        return prediction

    def put_weights(self, weights: Mapping[str, Float32]) -> None:
        """Replaces the weights of every layer that `weights` has by arrays that nobody else writes to; shapes are right."""
        graph = self.graph
        with LOCK:
            for path, call in graph.layers.items():
                if call.weights and call.key(call.weights[0].name) in weights:
                    self._owners[path]._store.put({item.name: weights[call.key(item.name)] for item in call.weights})

    def set_weights_by_name(self, weights: Mapping[str, Any]) -> None:
        """Replaces every weight. The arrays are copied.

        Args:
            weights: as `weights_by_name` gives them: all names, each with its shape.

        Raises:
            InvalidArgumentError: a name that is missing or unknown.
            ShapeError: an array of another shape.
        """
        expected = self.graph.weight_shapes
        missing, unknown = [n for n in expected if n not in weights], [n for n in weights if n not in expected]
        if missing or unknown:
            what = f"{describe_value(missing[0])} is missing" if missing else f"{describe_value(unknown[0])} is unknown"
            raise InvalidArgumentError(
                f"the weights do not fit the model: {what}; the model has {len(expected)} weights, got {len(weights)}"
            )
        copies = {name: checked_weight(name, shape, weights[name]) for name, shape in expected.items()}
        self._catch_up()
        self.put_weights(copies)

    def get_weights(self) -> list[Float32]:
        """Copies of all weights, in Keras' order."""
        return [numbers.copy() for numbers in self._live_weights().numbers.values()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces all weights by a list in the order of `get_weights`.

        Raises:
            InvalidArgumentError: not as many arrays as the model has weights.
            ShapeError: an array of another shape.
        """
        names = list(self.graph.weight_shapes)
        if len(weights) != len(names):
            raise InvalidArgumentError(f"set_weights: the model has {len(names)} weights, got a list of {len(weights)}")
        self.set_weights_by_name(dict(zip(names, weights)))


def _paths(structure: Structure, path: LayerPath, seen: set[int]) -> Iterator[tuple[LayerPath, Any]]:
    """Every layer and model with where it is; what is in a model that comes again is not named again."""
    for own, member in structure.members.items():
        yield (*path, own), member
        if isinstance(member, GraphWithWeights) and id(member) not in seen:
            seen.add(id(member))
            member.graph  # noqa: B018 - makes the structure
            assert member._structure is not None
            yield from _paths(member._structure, (*path, own), seen)
