"""`Sequential` and `Model` with Keras' names, arguments and defaults.

A model is a graph (what to compute) and its weights (arrays by name). Everything native is behind `predict` and `fit`, and
is made when first needed.

>>> from depthwise import layers, models
>>> model = models.Sequential([layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1))])
>>> model.output_shape, model.count_params()
((None, 26, 26, 32), 320)
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthwise import graph as graphs
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value
from depthwise.graph import Graph, Input, SymbolicTensor
from depthwise.initialize import draw_weights
from depthwise.inputs import arrays_for, is_batches, numeric
from depthwise.layers.description import Description as Layer
from depthwise.layers.input import InputLayer
from depthwise.predicting import predict_batches
from depthwise.weights import GraphWithWeights

if TYPE_CHECKING:
    from depthwise.explain.explanation import Explanation
    from depthwise.inference import Prediction
    from depthwise.training.history import History

__all__ = ["Input", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]

Float32 = NDArray[np.float32]
PathLike = str | os.PathLike[str]

NESTED = "a model inside a model is not supported; put its layers into this model instead"


class Model(GraphWithWeights):
    """A network given by its inputs and outputs, as `keras.Model(inputs, outputs)`.

    Args:
        inputs: the result of `depthwise.Input`, a list of them, or a dict by name.
        outputs: results of layers called on what comes from `inputs`; one, a list, or a dict by name.
        name: the model's name.

    Raises:
        InvalidArgumentError, ShapeError, UnsupportedError: see `depthwise.graph.functional`.

    >>> import depthwise
    >>> x = depthwise.Input(shape=(8, 8, 3))
    >>> y = depthwise.layers.GlobalAveragePooling2D()(depthwise.layers.Conv2D(4, 3)(x))
    >>> depthwise.Model(x, y).predict_on_batch(np.zeros((2, 8, 8, 3), np.float32)).shape
    (2, 4)
    """

    _output_keys: tuple[str, ...] | None

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        if inputs is None or outputs is None:
            raise UnsupportedError(
                "Model needs inputs and outputs: Model(inputs, outputs); models written as a subclass with a call "
                "method are not supported"
            )
        self._start(name, trainable)
        if isinstance(outputs, Mapping):
            self._output_keys = tuple(sorted(outputs))
        starts = [inputs[key] for key in sorted(inputs)] if isinstance(inputs, Mapping) else inputs
        ends = [outputs[key] for key in self._output_keys] if self._output_keys is not None else outputs
        self._set_graph(graphs.functional(starts, ends, name))

    @classmethod
    def from_graph(
        cls,
        graph: Graph,
        weights: Mapping[str, Float32] | None = None,
        output_keys: Sequence[str] | None = None,
    ) -> "Model":
        """A model of `graph`: `Sequential` where the graph is a plain chain. New weights are drawn unless given.

        Args:
            output_keys: names under which `predict` returns the outputs, where it shall return a dict.
        """
        model: Model
        if graph.is_sequential:
            model = Sequential((node.layer for node in graph.calls), name=graph.name)
        else:
            model = Model.__new__(Model)
            model._start(graph.name, True)
            model._output_keys = None if output_keys is None else tuple(output_keys)
            model._set_graph(graph)
        if weights is not None:
            model.set_weights_by_name(weights)
        return model

    # Prediction.

    def _ready(self) -> "Prediction":
        """The native program with the weights of now."""
        self._catch_up()
        prediction = self._prediction
        if prediction is None:
            from depthwise.inference import Prediction

            prediction = Prediction(self.graph)
        if self._loaded_version != self._weights_version or self._prediction is None:
            weights = self._live_weights()
            prediction.load(weights)
            self._prediction, self._loaded_version = prediction, self._weights_version
        return prediction

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, in one native call and with the least overhead.

        Args:
            x: see `predict`.
        """
        if (
            type(x) is np.ndarray
            and x.dtype == np.float32
            and x.shape[1:] == self._single_shape
            and x.flags.c_contiguous
            and self._loaded_version == self._weights_version
            and self._session is None
            and self._prediction is not None
        ):
            return self._prediction((x,))[0]
        self._build_for(x)
        arrays = arrays_for(self.graph, x)
        if not len(arrays[0]):
            raise InvalidDataError("x holds no samples; give at least one")
        return self._as_given(self._ready()(arrays))

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for every sample.

        Args:
            x: numbers of any type as an array (samples, …), converted to float32 with their values unchanged; a list
                of arrays for several inputs, or a dict by their names; or a sequence or generator of batches of such (or of
                (x, y) pairs, whose y is not read).
            batch_size: samples for one native call; results do not depend on it. Large by default.
            verbose: "auto" shows a progress bar when it takes more than two seconds, 1 always, 2 a line at the end, 0 nothing.
            steps: with batches: how many to take.
            callbacks: taken for Keras' sake: callbacks with `on_predict_begin`, `on_predict_batch_end`, ….

        Returns:
            A float32 array (samples, …); a list or a dict of such where the model has several outputs.

        Raises:
            ShapeError, InvalidDataError: see `depthwise.inputs.arrays_for`. NaN in the data is not an error: it comes out.
        """
        if not is_batches(x):
            self._build_for(x)
        outputs = predict_batches(self.graph, self._ready, x, batch_size, verbose, steps, callbacks)
        return self._as_given(outputs)

    def _as_given(self, values: Sequence[Any]) -> Any:
        if self._output_keys is not None:
            return dict(zip(self._output_keys, values))
        return values[0] if len(values) == 1 else list(values)

    def _build_for(self, x: Any) -> None:
        """`Sequential` without an input shape takes it from the first data."""

    def __call__(self, inputs: Any, training: bool | None = None, mask: None = None) -> Any:
        """`predict_on_batch` for an array. A model cannot be a layer of another one."""
        if isinstance(inputs, SymbolicTensor) or (
            isinstance(inputs, (list, tuple)) and any(isinstance(item, SymbolicTensor) for item in inputs)
        ):
            raise UnsupportedError(f"{describe_value(self.name)} was called like a layer: {NESTED}")
        if training:
            raise UnsupportedError("calling a model with training=True is not supported; use fit or train_on_batch")
        if mask is not None:
            raise UnsupportedError("mask is not supported; leave it out")
        return self.predict_on_batch(inputs)

    # Training. The work is done by depthwise.training.loop, which is imported when first used.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Sets what `fit` and `evaluate` use.

        Args:
            optimizer: a name, or one of `depthwise.optimizers`.
            loss: a name, or one of `depthwise.losses`.
            metrics, weighted_metrics: lists of names or of `depthwise.metrics`; the latter use the sample weights.

        `run_eagerly`, `steps_per_execution`, `jit_compile` and `auto_scale_loss` are taken for Keras' sake and change nothing:
        a step is one native call in any case.
        """
        from depthwise.training import loop

        self.compiled = loop.compile_model(self, optimizer, loss, loss_weights, metrics, weighted_metrics)

    @property
    def optimizer(self) -> Any:
        return None if self.compiled is None else self.compiled.optimizer

    @property
    def loss(self) -> Any:
        return None if self.compiled is None else self.compiled.loss

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> "History":
        """Trains the model; see `depthwise.training.loop.fit`."""
        from depthwise.training import loop

        if x is not None and not is_batches(x):
            self._build_for(x)
        return loop.fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on the data; see `depthwise.training.loop.evaluate`."""
        from depthwise.training import loop

        if x is not None and not is_batches(x):
            self._build_for(x)
        return loop.evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
        )

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One training step; see `depthwise.training.loop.train_on_batch`."""
        from depthwise.training import loop

        self._build_for(x)
        return loop.train_on_batch(
            self, x, y, sample_weight=sample_weight, class_weight=class_weight, return_dict=return_dict
        )

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics on one batch; see `depthwise.training.loop.test_on_batch`."""
        from depthwise.training import loop

        self._build_for(x)
        return loop.test_on_batch(self, x, y, sample_weight=sample_weight, return_dict=return_dict)

    # Files.

    def save(self, filepath: PathLike, overwrite: bool = True, zipped: bool | None = None) -> None:
        """Writes a `.keras` file that real Keras 3 loads; see `depthwise.formats.keras_file.save_model`."""
        save_model(self, filepath, overwrite, zipped)

    def save_weights(self, filepath: PathLike, overwrite: bool = True) -> None:
        """Writes the weights alone, as a `.weights.h5` file that real Keras 3 loads."""
        from depthwise.formats import keras_file

        keras_file.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: PathLike) -> None:
        """Reads the weights from a `.weights.h5` or `.keras` file of a model with the same layers."""
        from depthwise.formats import keras_file

        keras_file.load_weights(self, filepath)

    def get_config(self) -> dict[str, Any]:
        """The model's config as Keras writes it."""
        from depthwise.formats.config import model_config

        config: dict[str, Any] = model_config(self)["config"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: None = None) -> "Model":
        """A model with new weights from what `get_config` gave, here or in Keras."""
        from depthwise.formats.config import model_from_config

        class_name = "Sequential" if issubclass(cls, Sequential) else "Functional"
        return model_from_config({"module": "keras", "class_name": class_name, "config": config})

    def to_json(self) -> str:
        """The model's config as JSON, for `model_from_json` here or in Keras."""
        import json

        from depthwise.formats.config import model_config

        return json.dumps(model_config(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def explain(
        self,
        layer: str | None = None,
        at: Sequence[int] | None = None,
        language: str = "en",
        image: PathLike | None = None,
        sample: int | None = None,
        picture: Any = None,
    ) -> "Explanation":
        """Every shape, parameter and MAC as a formula; with `at`, how that one output number comes about.

        In a notebook the result shows a table and the page to play with; `print` it for the terminal's text. Arguments as in
        `depthwise.explain.explanation.explain`.
        """
        from depthwise.explain.explanation import Explanation

        return Explanation(self, layer, at, language, image, sample, picture)

    def _repr_html_(self) -> str | None:
        """What Jupyter shows: table and page; None, so that it falls back to `repr`, before the model knows its shapes."""
        return self.explain()._repr_html_() if self.built else None


class Sequential(Model):
    """A chain of layers, as `keras.Sequential`.

    Args:
        layers: the chain; more come with `add`. The first is `depthwise.Input(...)`, or has `input_shape=`; without either the
            shape comes with the first data, or with `build`.
        name: the model's name.
    """

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None) -> None:
        self._start(name, trainable)
        self._chain: list[Layer] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Puts a layer at the end of the chain; what the chain has learnt stays.

        Raises:
            ShapeError: the layer does not fit what comes before it; the chain is as before.
            InvalidArgumentError: not a layer, or a name used twice.
        """
        if isinstance(layer, SymbolicTensor) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        if isinstance(layer, Model):
            raise UnsupportedError(f"Sequential.add: {NESTED}")
        if not isinstance(layer, Layer):
            raise InvalidArgumentError(
                f"Sequential.add takes a layer, for example depthwise.layers.Conv2D(32, 3), got {describe_value(layer)}"
            )
        self._change([*self._chain, layer])

    def pop(self, rebuild: bool = True) -> Layer:
        """Takes the last layer away and returns it."""
        if not self._chain:
            raise InvalidArgumentError("Sequential.pop: the model has no layers")
        last = self._chain[-1]
        self._change(self._chain[:-1])
        return last

    def _change(self, chain: list[Layer]) -> None:
        known = bool(chain) and (isinstance(chain[0], InputLayer) or chain[0].input_shape is not None)
        graph = graphs.sequential(chain, self._name) if known else None
        self._catch_up()
        kept = self._weights if self._graph is not None else None
        self._chain = chain
        self._set_graph(graph)
        self._weights = None
        if graph is not None and kept:
            fresh = draw_weights(graph, self._seed)
            for name, array in fresh.items():
                if name in kept and kept[name].shape == array.shape:
                    fresh[name] = kept[name]
            self._keep(fresh)

    def _make_graph(self) -> Graph:
        return graphs.sequential(self._chain, self._name)

    @property
    def layers(self) -> list[Layer]:
        if self._graph is None:
            return list(self._chain)
        return [node.layer for node in self._graph.calls[1:]]

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Fixes the input's shape.

        Args:
            input_shape: with the batch, as in Keras: (None, 28, 28, 1).
        """
        if self._graph is not None or input_shape is None:
            super().build(input_shape)
            return
        self._change([InputLayer(shape=tuple(input_shape)[1:]), *self._chain])  # type: ignore[arg-type]

    def _build_for(self, x: Any) -> None:
        if self._graph is None and self._chain:
            array = numeric(x, "x")
            if array.ndim < 2:
                raise ShapeError(
                    f"the model does not know its input's shape yet, and x has the shape {array.shape}; give x as "
                    "(samples, …), or the first layer an input_shape"
                )
            self.build(array.shape)


def clone_model(model: Model) -> Model:
    """The same network with new weights."""
    graph = replace(model.graph, name=model.name)
    return Model.from_graph(graph, None, model._output_keys)


def save_model(model: Model, filepath: PathLike, overwrite: bool = True, zipped: bool | None = None) -> None:
    """Writes a `.keras` file that real Keras 3 loads; see `depthwise.formats.keras_file.save_model`."""
    from depthwise.formats import keras_file

    if zipped is False:
        raise UnsupportedError("zipped=False is not supported; a model is written as one .keras file")
    keras_file.save_model(model, filepath, overwrite)


def load_model(filepath: PathLike, custom_objects: None = None, compile: bool = True, safe_mode: bool = True) -> Model:
    """Reads a `.keras` file; see `depthwise.formats.keras_file.load_model`."""
    from depthwise.formats import keras_file

    return keras_file.load_model(filepath, custom_objects, compile, safe_mode)


def model_from_json(json_string: str, custom_objects: None = None) -> Model:
    """A model with new weights from what `to_json` gave, here or in Keras."""
    from depthwise.formats.config import model_from_config
    from depthwise.formats.json_text import parse_json

    return model_from_config(parse_json(json_string, "the JSON text"))
