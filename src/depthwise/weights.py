"""A graph with its weights: what a model is before it predicts or trains."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arithmetic import Shape
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.formats.keras_order import in_keras_order
from depthwise.graph import Graph
from depthwise.initialize import draw_weights
from depthwise.inputs import numeric
from depthwise.layers.description import Description
from depthwise.utils import next_seed

if TYPE_CHECKING:
    from depthwise.inference import Prediction

__all__ = ["GraphWithWeights"]

Float32 = NDArray[np.float32]


class GraphWithWeights:
    """Names, layers, shapes and weights of a model; `depthwise.models.Model` is what users make."""

    def _start(self, name: str | None, trainable: bool) -> None:
        if name is not None and (not isinstance(name, str) or not name):
            raise InvalidArgumentError(f"name must be a non-empty text or None, got {describe_value(name)}")
        if trainable is not True:
            raise UnsupportedError(
                f"trainable={describe_value(trainable)} is not supported for a whole model; give it to its layers"
            )
        self._name = name
        self._seed = next_seed()
        self._graph: Graph | None = None
        self._weights: dict[str, Float32] | None = None
        self._weights_version = 0
        self._session: Any = None
        """What `train_on_batch` left open: its step holds newer weights than the model."""
        self._prediction: Prediction | None = None
        self._loaded_version = -1
        self._single_shape: Shape | None = None
        self._output_keys: tuple[str, ...] | None = None
        self.compiled: Any = None
        self.history: Any = None
        self.stop_training = False

    def _set_graph(self, graph: Graph | None) -> None:
        """Takes a new graph; weights that it shares with the old one, by name and shape, are kept."""
        self._graph = None if graph is None else in_keras_order(graph)
        self._prediction = None
        self._loaded_version = -1
        self._single_shape = None
        if graph is not None and len(graph.inputs) == len(graph.outputs) == 1 and self._output_keys is None:
            self._single_shape = graph.input_shapes[0]

    # What it is.

    @property
    def name(self) -> str:
        return self._name if self._name is not None else self.graph.name if self._graph is not None else "sequential"

    @property
    def graph(self) -> Graph:
        """What the model computes, as data.

        Raises:
            InvalidArgumentError: the input's shape is not known yet.
        """
        if self._graph is None:
            self._set_graph(self._make_graph())
        assert self._graph is not None
        return self._graph

    def _make_graph(self) -> Graph:
        raise AssertionError("a functional model has its graph from the start")

    @property
    def built(self) -> bool:
        """Whether shapes, and with them weights, are known."""
        return self._graph is not None

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Does nothing for a model that knows its shapes, as a functional one always does."""
        if input_shape is not None and tuple(input_shape)[1:] != self.graph.input_shapes[0]:
            raise ShapeError(
                f"the model is built for the input shape {self.input_shape}, it cannot be built again for "
                f"{describe_value(input_shape)}"
            )

    @property
    def layers(self) -> list[Description]:
        """The layers with their names, in Keras' order; `Sequential` leaves its input layer out, as Keras does."""
        return [node.layer for node in self.graph.calls]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Description:
        """The layer of that name, or at that place in `layers`.

        Raises:
            InvalidArgumentError: there is none, or not exactly one of `name` and `index` is given.
        """
        if (name is None) == (index is None):
            raise InvalidArgumentError("get_layer takes a name or an index, one of the two")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise InvalidArgumentError(f"get_layer: the model has {len(layers)} layers, got the index {index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise InvalidArgumentError(
            f"get_layer: no layer is named {describe_value(name)}; the layers are "
            + ", ".join(describe_value(layer.name) for layer in layers)
        )

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
        return list(self.graph.inputs)

    @property
    def output_names(self) -> list[str]:
        return list(self._output_keys or self.graph.outputs)

    def count_params(self) -> int:
        """Numbers in all weights."""
        return self.graph.parameters

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
        style: str = "depthwise",
    ) -> None:
        """Prints the table of layers; see `depthwise.summary.print_summary`."""
        from depthwise.summary import print_summary

        print_summary(
            self.graph,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
            style=style,
        )

    # Weights.

    @property
    def weights_by_name(self) -> Mapping[str, Float32]:
        """The live weights, `{"conv2d/kernel": array, …}`: read only, change them with `set_weights_by_name`."""
        return MappingProxyType(self._live_weights())

    def _catch_up(self) -> None:
        """Takes over what `train_on_batch` left in its step."""
        if self._session is not None:
            session, self._session = self._session, None
            session.sync()

    def open_session(self, compiled: Any) -> Any:
        """The session that `train_on_batch` left open for `compiled`, if nobody has looked at the weights since."""
        session = self._session
        return session if session is not None and session.compiled is compiled else None

    def leave_open(self, session: Any) -> None:
        """Leaves the newest weights in the session's step until somebody looks at them."""
        self._session = session
        session.optimizer.catch_up = self._catch_up

    def _live_weights(self) -> dict[str, Float32]:
        self._catch_up()
        if self._weights is None:
            self._keep(draw_weights(self.graph, self._seed))
        assert self._weights is not None
        return self._weights

    def _keep(self, weights: dict[str, Float32]) -> None:
        for array in weights.values():
            array.flags.writeable = False  # a change that the native copy does not see must not be possible
        self._weights = weights
        self._weights_version += 1

    def set_weights_by_name(self, weights: Mapping[str, Any]) -> None:
        """Replaces every weight. The arrays are copied.

        Args:
            weights: as `weights_by_name` gives them: all names, each with its shape.

        Raises:
            InvalidArgumentError: a name that is missing or unknown.
            ShapeError: an array of another shape.
        """
        self._catch_up()
        expected = {f"{node.name}/{weight.name}": weight.shape for node in self.graph.calls for weight in node.weights}
        missing, unknown = [n for n in expected if n not in weights], [n for n in weights if n not in expected]
        if missing or unknown:
            what = f"{describe_value(missing[0])} is missing" if missing else f"{describe_value(unknown[0])} is unknown"
            raise InvalidArgumentError(
                f"the weights do not fit the model: {what}; the model has {len(expected)} weights, got {len(weights)}"
            )
        copies = {}
        for name, shape in expected.items():
            array = numeric(weights[name], f"the weight {describe_value(name)}")
            if array.shape != shape:
                raise ShapeError(f"the weight {describe_value(name)} must have the shape {shape}, got {array.shape}")
            copies[name] = np.array(array, dtype=np.float32, order="C", copy=True)
        self._keep(copies)

    def get_weights(self) -> list[Float32]:
        """Copies of all weights, in Keras' order."""
        return [array.copy() for array in self._live_weights().values()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces all weights by a list in the order of `get_weights`.

        Raises:
            InvalidArgumentError: not as many arrays as the model has weights.
            ShapeError: an array of another shape.
        """
        names = list(self._live_weights())
        if len(weights) != len(names):
            raise InvalidArgumentError(f"set_weights: the model has {len(names)} weights, got a list of {len(weights)}")
        self.set_weights_by_name(dict(zip(names, weights)))
