"""Programs to plan and machines to plan for."""

from depthwise import optimizers
from depthwise.compiler.differentiate import LossRule, differentiate
from depthwise.compiler.ir.program import Program
from depthwise.compiler.lower import lower
from depthwise.compiler.machine import Machine, machine_for
from depthwise.compiler.passes import GRADIENTS, PREDICTION, TRAINING, run_passes
from depthwise.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    ReLU,
)
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from support.networks import note_cnn_with_head, note_separable, note_separable_ordinary_twin

__all__ = [
    "ADAM",
    "GRAPHS",
    "MACHINES",
    "mobile",
    "prediction_program",
    "small_caches",
    "training_program",
]

MACHINES = {name: machine_for(name) for name in ("avx512", "avx2", "sse", "neon")}

ADAM = optimizers.Adam().description


def mobile() -> Graph:
    """MobileNet in small: a strided first layer, a separable block, an inverted residual, global pooling, a head."""
    start = Input((20, 20, 3))
    x = Conv2D(8, 3, strides=2, padding="same", use_bias=False)(start)
    x = ReLU(6.0)(BatchNormalization()(x))
    x = DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = ReLU(6.0)(BatchNormalization()(x))
    x = Conv2D(12, 1)(x)
    skip = x
    x = ReLU(6.0)(BatchNormalization()(Conv2D(36, 1, use_bias=False)(x)))
    x = ReLU(6.0)(BatchNormalization()(DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
    x = BatchNormalization()(Conv2D(12, 1, use_bias=False)(x))
    x = Add()([skip, x])
    x = DepthwiseConv2D(3, strides=2, padding="same", activation="relu6")(x)
    x = GlobalAveragePooling2D()(Conv2D(24, 1, activation="relu")(x))
    x = Dropout(0.25)(x)
    return functional(start, Dense(5, activation="softmax")(x), "mobile")


GRAPHS = {
    "cnn": note_cnn_with_head,
    "separable": note_separable,
    "twin": note_separable_ordinary_twin,
    "mobile": mobile,
}


def prediction_program(graph: Graph) -> Program:
    """The program that prediction plans."""
    return run_passes(lower(graph), PREDICTION)


def training_program(graph: Graph) -> Program:
    """The differentiated program that a training step plans: sparse cross-entropy from probabilities."""
    forward = run_passes(lower(graph, training=True), TRAINING)
    return run_passes(differentiate(forward, [LossRule("categorical", False, True, 0.0)]), GRADIENTS, "differentiate")


def small_caches(machine: Machine, first: int, second: int) -> Machine:
    """The same vectors with other caches."""
    return Machine(machine.vectors, first, second)
