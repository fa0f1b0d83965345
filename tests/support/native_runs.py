"""Native programs under hard conditions: scratch memory full of NaN, every arena and array fenced by forbidden pages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.compiler.ir import operations as op
from depthwise.compiler.kernels.elementwise import Dropout
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.lower import lower
from depthwise.layers.descriptions import Dropout as DropoutLayer
from depthwise.network.graph import Graph
from depthwise.runtime.executable import Executable
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads
from depthwise.runtime.training_step import StepResult, TrainingStep
from support.compiled import compile_kernels, empty, fenced

__all__ = ["dropout_masks", "fence", "predict", "step_gradients", "train"]

Array = npt.NDArray[np.float32]
SCRATCH = ("local", "group", "sample", "chunk", "extra", "vectors", "gradients")
"""Arenas that a run must write before it reads. The others hold weights, zeros between them, and settings."""


def fence(executable: Executable) -> None:
    """Moves every arena to memory that ends at a forbidden page; scratch is filled with NaN."""
    for name, arena in list(executable.arenas.items()):
        moved = fenced(arena)
        if name in SCRATCH:
            moved[:] = np.nan
        executable.arenas[name] = moved
        executable._point(name, moved)


def predict(prediction: Prediction, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """A prediction from fenced inputs to fenced outputs on poisoned scratch, the same as the ordinary one bit for bit."""
    batch = inputs[0].shape[0]
    plain = prediction(inputs)
    (executable,) = [item for item in prediction._executables.values() if item.fits(batch, get_threads())]
    fence(executable)
    outputs = tuple(empty(y.size).reshape(y.shape) for y in plain)
    executable.run([fenced(x) for x in inputs], outputs)
    for y, before in zip(outputs, plain):
        np.testing.assert_array_equal(y, before)
    return outputs


def train(
    step: TrainingStep, x: Sequence[Array], y: npt.NDArray[Any], sample_weight: Array | None, seed: int = 0
) -> StepResult:
    """One step with learning rate 0 on poisoned, fenced memory."""
    batch = x[0].shape[0]
    step(x, y, sample_weight, learning_rate=0.0, seed=seed)  # allocates
    fence(step._executable)
    step._scalars = step._executable.arenas["scalars"]
    assert step._executable.fits(batch, get_threads())
    return step([fenced(item) for item in x], fenced(y), sample_weight, learning_rate=0.0, seed=seed)


def step_gradients(step: TrainingStep) -> dict[str, Array]:
    """The gradients of the last step, by `node/weight`: what the optimizer saw before it clipped."""
    arena, offsets = step._executable.arenas["gradients"], step._executable.frame.parameter_offsets
    return {
        name: arena[offsets[name] : offsets[name] + int(np.prod(parameter.shape))].reshape(parameter.shape).copy()
        for name, parameter in step.program.live_parameters.items()
        if parameter.trainable
    }


def dropout_masks(graph: Graph, batch: int, seed: int) -> Mapping[str, npt.NDArray[np.bool_]]:
    """Which values each Dropout layer keeps in a step with this seed: what its kernel leaves of ones."""
    program = lower(graph, training=True)
    drops = [item for item in program.operations if isinstance(item, op.Dropout)]
    layers = [node.name for node in graph.calls if isinstance(node.layer, DropoutLayer) and node.layer.rate > 0.0]
    assert [item.output for item in drops] == layers
    if not drops:
        return {}
    views = []
    for item in drops:
        rows, columns, channels = program.type(item.output).map
        pitch = -(-channels // 16) * 16
        views.append(MapView(rows, columns, channels, columns * pitch, pitch))
    kernels = compile_kernels([Dropout(view, view, item.rate, item.layer) for view, item in zip(views, drops)])
    words = np.array([seed], np.uint32)
    masks = {}
    for i, (view, item) in enumerate(zip(views, drops)):
        shape = graph.by_name[item.output].output_shape
        ones = np.ones((view.rows, view.columns, view.pixel_pitch), np.float32)
        kept = np.empty((batch, *ones.shape), np.float32)
        for sample in range(batch):
            kernels[i](ones, words, sample, kept[sample])
        masks[item.output] = kept[..., : view.channels].reshape(batch, *shape) != 0.0
    return masks
