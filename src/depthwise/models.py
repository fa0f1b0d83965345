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

from depthwise.arrays import numeric
from depthwise.collection import without_collections
from depthwise.compiler.native.once import making
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value
from depthwise.layers.input import InputLayer
from depthwise.layers.layer import Layer
from depthwise.layers.store import CHANGES
from depthwise.model.chain import clone_model, connected_chain
from depthwise.model.filing import Filed
from depthwise.model.inputs import arrays_for, is_batches
from depthwise.model.open_sizes import OpenSizesModel
from depthwise.model.own_code import refuse_training_flag
from depthwise.model.predict_loop import predict_batches
from depthwise.network.graph import Graph, LayerPath, with_input
from depthwise.network.symbolic import (  # fmt: skip
    Input,
    Structure,
    SymbolicTensor,
    first_shape,
    refuse_late_input,
    replay,
    structure,
)
from depthwise.network.tree import ModelTree, first_path, tree_of

if TYPE_CHECKING:
    from depthwise.data.formats.saved import SavedNetwork

__all__ = ["Input", "Model", "Sequential", "clone_model", "from_keras", "load_model", "model_from_json", "save_model"]

Float32 = NDArray[np.float32]
PathLike = str | os.PathLike[str]


class Model(Filed):
    """A network given by its inputs and outputs, as `keras.Model(inputs, outputs)`.

    Args:
        inputs: the result of `depthwise.Input`, a list of them, or a dict by name.
        outputs: results of layers called on what comes from `inputs`; one, a list, or a dict by name.
        name: the model's name.
        trainable: see the property.

    Raises:
        InvalidArgumentError, ShapeError, UnsupportedError: see `depthwise.network.symbolic.structure`.

    A model can be a layer of another one: `y = encoder(x)`. The weights stay its own, and are shared.

    >>> import depthwise
    >>> x = depthwise.Input(shape=(8, 8, 3))
    >>> y = depthwise.layers.GlobalAveragePooling2D()(depthwise.layers.Conv2D(4, 3)(x))
    >>> depthwise.Model(x, y).predict_on_batch(np.zeros((2, 8, 8, 3), np.float32)).shape
    (2, 4)
    """

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        if inputs is None or outputs is None:
            raise UnsupportedError(
                "Model needs inputs and outputs: Model(inputs, outputs); a model's own call method is not supported"
            )
        self._start(name, trainable)
        if isinstance(outputs, Mapping):
            self._output_keys = tuple(sorted(outputs))
        starts = [inputs[key] for key in sorted(inputs)] if isinstance(inputs, Mapping) else inputs
        ends = [outputs[key] for key in self._output_keys] if self._output_keys is not None else outputs
        self._set_structure(structure(starts, ends, output_keys=self._output_keys))
        if not trainable:
            self.trainable = False

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
        tree = tree_of(graph)
        if output_keys is not None:
            tree = replace(tree, output_keys=tuple(output_keys))
        return cls.from_tree(tree, weights)

    @classmethod
    def from_tree(
        cls, tree: ModelTree, weights: Mapping[str, Float32] | None = None, layers: Mapping[str, Any] | None = None
    ) -> "Model":
        """A model that is described so, of new layers, or of `layers` by name; new weights are drawn unless given."""
        made: dict[LayerPath, Any] = {(name,): layer for name, layer in (layers or {}).items()}
        model = cls._of_tree(tree, (), dict(tree.shared), made)
        if weights is not None:
            model.set_weights_by_name(weights)
        return model

    @classmethod
    def _of_tree(
        cls, tree: ModelTree, path: LayerPath, shared: Mapping[LayerPath, LayerPath], made: dict[LayerPath, Any]
    ) -> "Model":
        """The model at `path` of the outermost one; `made` holds what is made already."""
        members: dict[str, Any] = {}
        for member in tree.members:
            own = (*path, str(member.name))
            first = first_path(shared, own)
            if own in made:
                pass
            elif first in made:
                made[own] = made[first]
            elif isinstance(member, ModelTree):
                made[own] = Model._of_tree(member, own, shared, made)
            else:
                made[own] = Layer.of(member)
            members[own[-1]] = made[own]
        model: Model
        if tree.is_sequential:
            model = Sequential((members[call.member] for call in tree.calls), name=tree.name)
        else:
            model = Model.__new__(Model)
            model._start(tree.name, True)
            model._output_keys = tree.output_keys
            starts, ends = replay(tree, members)
            model._set_structure(structure(starts, ends, output_keys=tree.output_keys))
        model._trainable = tree.trainable
        return model

    # Prediction.

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, in one native call and with the least overhead.

        Args:
            x: see `predict`.
        """
        made = self._prediction
        if (
            made is not None
            and made[0] == CHANGES.count
            and type(x) is np.ndarray
            and x.dtype == np.float32
            and x.shape[1:] == self._single_shape
            and x.flags.c_contiguous
        ):
            return made[1]((x,))[0]
        self._build_for(x)
        arrays = arrays_for(self.graph, x)
        if not len(arrays[0]):
            raise InvalidDataError("x holds no samples; give at least one")
        return self.packed(self._ready()(arrays))

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
            callbacks: accepted as in Keras: callbacks with `on_predict_begin`, `on_predict_batch_end`, ….

        Returns:
            A float32 array (samples, …); a list or a dict of such where the model has several outputs.

        Raises:
            ShapeError, InvalidDataError: see `depthwise.model.inputs.arrays_for`. NaN in the data is not an error: it comes out.
        """
        if not is_batches(x):
            self._build_for(x)
        outputs = predict_batches(self.graph, self._ready, x, batch_size, verbose, steps, callbacks)
        return self.packed(outputs)

    def __call__(self, inputs: Any, training: bool | None = None, mask: None = None) -> Any:
        """`predict_on_batch` for an array; for symbolic tensors the model becomes a layer of another one."""
        if isinstance(inputs, SymbolicTensor) or (
            isinstance(inputs, (list, tuple)) and any(isinstance(item, SymbolicTensor) for item in inputs)
        ):
            refuse_training_flag(self, training)
            return self.connected(inputs)
        if training:
            raise UnsupportedError("calling a model with training=True is not supported; use fit or train_on_batch")
        if mask is not None:
            raise UnsupportedError("mask is not supported; leave it out")
        return self.predict_on_batch(inputs)

    # Files.

    def save(self, filepath: PathLike, overwrite: bool = True, zipped: bool | None = None) -> None:
        """Writes a `.keras` or `.h5` file that real Keras 3 loads.

        Args:
            filepath, overwrite, zipped: as in `save_model`.
        """
        save_model(self, filepath, overwrite, zipped)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> "Model":
        """A model with new weights.

        Args:
            config: what `get_config` gave, here or in Keras.
            custom_objects: as in `load_model`.
        """
        class_name = "Sequential" if issubclass(cls, Sequential) else "Functional"
        return _from_config(
            {"module": "keras", "class_name": class_name, "config": config}, "the config", custom_objects
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


class Sequential(Model):
    """A chain of layers, as `keras.Sequential`.

    Args:
        layers: the chain; more come with `add`. The first is `depthwise.Input(...)`, or has `input_shape=`; without either the
            shape comes with the first data, or with `build`.
        trainable: whether training changes the weights; set it, then `compile`.
        name: the model's name.
    """

    default_name = "sequential"

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None) -> None:
        self._start(name, trainable)
        self._chain: list[Any] = []
        self._tensors: list[SymbolicTensor] = []
        chain: list[Any] = []
        known: set[int] = set()
        for layer in map(_chained, layers or ()):
            _refuse_twice(layer, id(layer) in known)
            known.add(id(layer))
            chain.append(layer)
        if chain:  # once, not layer by layer: a long chain would take the square of its length
            self._change(chain)
        if not trainable:
            self.trainable = False

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Puts a layer, or a model, at the end of the chain; what the chain has learnt stays.

        `rebuild` is accepted as in Keras and changes nothing: the chain is built when it is first needed.

        Raises:
            ShapeError: the layer does not fit what comes before it; the chain is as before.
            InvalidArgumentError: not a layer, or a name used twice.
        """
        layer = _chained(layer)
        _refuse_twice(layer, any(item is layer for item in self._chain))
        self._change([*self._chain, layer])

    def pop(self, rebuild: bool = True) -> Any:
        """Takes the last layer away and returns it; `rebuild` changes nothing, as in `add`."""
        if not self._chain:
            raise InvalidArgumentError("Sequential.pop: the model has no layers")
        last = self._chain[-1]
        self._change(self._chain[:-1])
        return last

    def _change(self, chain: list[Any]) -> None:
        """Takes a new chain; where it begins as the old one, so do its tensors."""
        tensors: list[SymbolicTensor] = []
        if chain and first_shape(chain[0]) is not None:
            tensors = connected_chain(chain, self._tensors)
            made = structure(tensors[0], tensors[-1], is_sequential=True)
            self._chain, self._tensors = chain, tensors
            self._set_structure(made)
        else:
            refuse_late_input(chain)
            self._chain, self._tensors = chain, tensors
            self._set_structure(None)

    def _make_structure(self) -> Structure:
        if self._chain and first_shape(self._chain[0]) is not None:  # an interrupt stopped `_change` half-way
            tensors = connected_chain(self._chain, self._tensors)
            return structure(tensors[0], tensors[-1], is_sequential=True)
        with_input([item.description for item in self._chain if not isinstance(item, Model)])
        raise InvalidArgumentError(
            "the model does not know its input's shape yet; put depthwise.Input(shape=…) first, or call build"
        )

    @property
    def layers(self) -> list[Any]:
        """The chain, without the input."""
        if self._structure is None:
            return list(self._chain)
        return list(self._structure.members.values())[1:]

    def _named_layers(self) -> Mapping[str, Any]:
        return dict(list(self._members().items())[1:])

    def flat_layers(self) -> list[Layer]:
        if self._structure is None:
            return [layer for item in self._chain for layer in item.flat_layers()]
        return super().flat_layers()

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Fixes the input's shape.

        Args:
            input_shape: with the batch, as in Keras: (None, 28, 28, 1).
        """
        if not self.built and self._chain and first_shape(self._chain[0]) is not None:
            self._change(self._chain)  # an interrupt stopped `_change` half-way
        if self.built or input_shape is None:
            super().build(input_shape)
            return
        self._change([Layer.of(InputLayer(shape=tuple(input_shape)[1:])), *self._chain])  # type: ignore[arg-type]

    def _build_for(self, x: Any) -> None:
        if not self.built and self._chain:
            array = numeric(x, "x")
            if array.ndim < 2:
                raise ShapeError(
                    f"the model does not know its input's shape yet, and x has the shape {array.shape}; give x as "
                    "(samples, …), or the first layer an input_shape"
                )
            with making:
                if not self.built:  # no other thread has come first
                    self.build(array.shape)


def _chained(layer: Any) -> Any:
    """A member of a chain: a layer, a model, or what `Input` gives."""
    if isinstance(layer, SymbolicTensor) and not layer.inputs:
        layer = layer.layer
    if not isinstance(layer, (Layer, Model)):
        raise InvalidArgumentError(
            f"Sequential.add takes a layer, for example depthwise.layers.Conv2D(32, 3), got {describe_value(layer)}"
        )
    return layer


def _refuse_twice(layer: Any, known: bool) -> None:
    if known:
        raise InvalidArgumentError(
            f"Sequential.add: {describe_value(layer.name or type(layer).__name__)} is in the chain already; use "
            "depthwise.Model for a layer that works twice"
        )


def _gives_shape(chain: list[Layer]) -> bool:
    """Whether the first layer says what the input's shape is."""
    return bool(chain) and (isinstance(chain[0], InputLayer) or chain[0].input_shape is not None)


def save_model(model: Model, filepath: PathLike, overwrite: bool = True, zipped: bool | None = None) -> None:
    """Writes a `.keras` file, or an `.h5` file of the older kind, that real Keras 3 loads, wholly or not at all.

    Args:
        model: any model that knows its shapes; a compiled one takes its optimizer's state along.
        filepath: where the file goes; its ending says which kind.
        overwrite: whether an existing file is replaced.
        zipped: None or True: a `.keras` file is one file.

    Raises:
        InvalidArgumentError: another ending than .keras, .h5 or .hdf5, or the file exists and `overwrite` is False.
        DepthwiseError: the folder cannot be written to, or the disk is full; an old file is then as it was.
    """
    from depthwise.data.formats.writing import write_any

    if zipped is False:
        raise UnsupportedError("zipped=False is not supported; a model is written as one .keras file")
    write_any(model.saved(), filepath, overwrite)


def load_model(
    filepath: PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    *,
    shapes: "Mapping[str, Sequence[int]] | None" = None,
    external_data: "PathLike | None" = None,
) -> Model:
    """The model in a file of Keras 1 to 3 or of Depthwise: `.keras`, or HDF5 (`.h5`, `.hdf5`); or in an ONNX file.

    Args:
        filepath: the file.
        custom_objects: what names in the file mean that are not Keras': a class of `depthwise.layers`, a function that takes
            the options in the file and returns a layer, or for an activation its name or a function of
            `depthwise.activations`. Code in the file is never run.
        compile: also restore optimizer, loss and metrics where the file has them. What is not supported among them is left
            out with a warning; the model predicts all the same.
        safe_mode: accepted and ignored: code in a file is never run, whatever it says.
        shapes: of the inputs of an ONNX file that leaves sizes open, by their names, with the batch: {"x": (1, 3, 320, 320)}.
        external_data: the folder with the weights that an ONNX file keeps outside; no other place is read.

    Returns:
        the model; for an ONNX file whose sizes are open, without `shapes`, an `OpenSizesModel`, which predicts.

    Raises:
        InvalidFileError: no such file, not a `.keras` file, truncated, damaged, or it contradicts itself.
        UnsupportedError: it holds something that Depthwise does not have; the message names it.
    """
    from depthwise.data.formats.onnx.shapes import ShapesNeededError
    from depthwise.data.formats.opening import read_any

    try:
        with without_collections():
            return model_of(read_any(filepath, compile, custom_objects, shapes, external_data))
    except ShapesNeededError as error:
        if shapes is not None:
            raise

        def opened(sizes: "Mapping[str, Sequence[int]] | None") -> Model:
            return model_of(read_any(filepath, compile, custom_objects, sizes, external_data))

        model: Any = OpenSizesModel(error.inputs, opened, str(error), error.batches)
        return model  # type: ignore[no-any-return]


def from_keras(model: Any) -> Model:
    """The same network as a live Keras model, with copies of the same weights.

    Args:
        model: a built `Sequential` or functional model of Keras 3; its backend does not matter.

    Raises:
        InvalidArgumentError: not a Keras model.
        UnsupportedError: a layer or an option that Depthwise does not have; the message names it.
    """
    from depthwise.data.formats.keras_model import read_live

    return model_of(read_live(model))


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A model with new weights from what `to_json` gave, here or in Keras 1 to 3.

    Args:
        json_string: the text, such as that of a `model.json` beside a file of weights.
        custom_objects: see `load_model`.
    """
    from depthwise.data.formats.json_text import parse_json

    return _from_config(parse_json(json_string, "the JSON text"), "the config", custom_objects)


def _from_config(config: Any, what: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    from depthwise.data.formats.config import parse_model
    from depthwise.data.formats.dialect import Dialect
    from depthwise.data.formats.legacy_h5 import warn_of
    from depthwise.registration import known_objects

    version = config.get("keras_version") if isinstance(config, dict) else None
    parsed = parse_model(config, what, Dialect(what, str(version or ""), known_objects(custom_objects)))
    warn_of(what, parsed.policies, stacklevel=4)
    return Model.from_tree(parsed.tree)


def model_of(network: "SavedNetwork") -> Model:
    """A model that is made of a saved network."""
    model = Model.from_tree(network.tree)
    model.put_weights(network.weights)
    model.use(network.usage)
    if network.training is not None:
        network.training.trainable = model.flags()
        model.compiled = network.training
    return model


def __dir__() -> list[str]:
    return sorted(__all__)
