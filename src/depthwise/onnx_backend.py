"""Depthwise as a backend of the `onnx` package: `onnx.backend.base.Backend`.

>>> import depthwise.onnx_backend as backend
>>> backend.supports_device("CPU"), backend.supports_device("CUDA")
(True, False)

A network is compiled when it first runs on arrays of some shapes, once for each. It needs `pip install depthwise[onnx]`.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.onnx.package import require_onnx
from depthwise.data.formats.onnx.reading.folding import element_type
from depthwise.data.formats.onnx.reading.network import ConstantNeededError
from depthwise.data.formats.onnx.reading.opening import OnnxNetwork, ShapesNeededError, read_onnx
from depthwise.data.formats.onnx.reading.proto import parse
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.models import Model, model_of

require_onnx()

from onnx.backend.base import Backend, BackendRep, Device, DeviceType  # noqa: E402

__all__ = ["DepthwiseBackend", "DepthwiseRep", "is_compatible", "prepare", "run_model", "run_node", "supports_device"]

Array = NDArray[Any]


class DepthwiseRep(BackendRep):  # type: ignore[misc, unused-ignore]
    """A model that runs on arrays of any shapes that fit it."""

    def __init__(self, model: Any) -> None:
        self.graph = parse(model, "the model")
        self._constants: frozenset[str] = frozenset()
        self._made: dict[Any, tuple[OnnxNetwork, Model]] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """The outputs, in the file's order and types.

        Args:
            inputs: arrays in the order of the file's inputs, or by their names.

        Raises:
            UnsupportedError: an operator that Depthwise does not have.
        """
        names = [item.name for item in self.graph.inputs]
        given = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, inputs))
        if set(given) != set(names) or (not isinstance(inputs, Mapping) and len(inputs) != len(names)):
            raise InvalidArgumentError(f"the model takes the inputs {describe_value(names)}, got {len(given)} arrays")
        arrays = {name: np.asarray(value) for name, value in given.items()}
        if len(self.graph.inputs) == 0:
            raise UnsupportedError("the model has no inputs, so there is nothing to compute")
        network, model = self._network(arrays)
        return _results(network, model, arrays)

    def _network(self, arrays: Mapping[str, Array]) -> tuple[OnnxNetwork, Model]:
        self._constants |= {name for name, array in arrays.items() if array.size == 0}
        while True:
            constants = {name: arrays[name] for name in sorted(self._constants)}
            shapes = {name: array.shape for name, array in arrays.items() if name not in constants}
            key = (tuple(sorted(shapes.items())), tuple((n, a.shape, a.tobytes()) for n, a in constants.items()))
            if key not in self._made:
                try:
                    network = read_onnx(self.graph, shapes, constants)
                except ConstantNeededError as error:
                    if error.inputs <= self._constants:
                        raise UnsupportedError("an operand must be constant, and is not") from error
                    self._constants |= error.inputs
                    continue
                self._made[key] = (network, model_of(network.saved))
            return self._made[key]


def _results(network: OnnxNetwork, model: Model, arrays: Mapping[str, Array]) -> tuple[Array, ...]:
    samples = 1
    x = []
    for name, shape in zip(network.inputs, model.graph.input_shapes):
        array = arrays[name]
        samples = array.shape[0] if network.is_batched else 1
        x.append(np.ascontiguousarray(array, np.float32).reshape(samples, *shape))
    found = model.predict(x if len(x) > 1 else x[0], verbose=0)
    rest = iter(found if isinstance(found, list) else [found])
    results = []
    for output in network.outputs:
        if output.constant is not None:
            results.append(np.asarray(output.constant))
            continue
        shape = (samples, *output.shape) if network.is_batched else output.shape
        array = np.asarray(next(rest)).reshape(shape)
        results.append(array.astype(element_type(output.element)))
    return tuple(results)


class DepthwiseBackend(Backend):  # type: ignore[misc, unused-ignore]
    """See the module."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the operators of `model` are known; what they are asked for shows when it runs. `device` as in `prepare`."""
        try:
            cls.prepare(model, device)
        except UnsupportedError:
            return False
        return True

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> DepthwiseRep:
        """A model made ready.

        Raises:
            UnsupportedError: an operator that Depthwise does not have, another device.
        """
        if not cls.supports_device(device):
            raise UnsupportedError(f"Depthwise runs on the CPU, got the device {describe_value(device)}")
        rep = DepthwiseRep(model)
        with contextlib.suppress(ConstantNeededError, ShapesNeededError):  # known when it runs
            read_onnx(rep.graph)
        return rep

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Array, ...]:
        """Prepares `model` for `device` and runs it once, on the arrays `inputs`."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Sequence[Any] | None = None, **kwargs: Any
    ) -> tuple[Array, ...]:
        """Runs one `node` as a model of its own, on the arrays `inputs`; `device` and `outputs_info` as `onnx` has them."""
        onnx = require_onnx()
        arrays = [np.asarray(item) for item in inputs]
        names = [name for name in node.input if name]
        ends = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays)
        ]
        results = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output if name
        ]
        graph = onnx.helper.make_graph([node], "node", ends, results)
        opset = onnx.helper.make_opsetid("", kwargs.get("opset_version", onnx.defs.onnx_opset_version()))
        return cls.run_model(onnx.helper.make_model(graph, opset_imports=[opset]), arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` is the CPU: there is no other."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


is_compatible = DepthwiseBackend.is_compatible
prepare = DepthwiseBackend.prepare
run_model = DepthwiseBackend.run_model
run_node = DepthwiseBackend.run_node
supports_device = DepthwiseBackend.supports_device


def __dir__() -> list[str]:
    return sorted(__all__)
