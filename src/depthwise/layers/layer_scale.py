"""A learned factor for each channel, as ConvNeXt has it behind every block."""

from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import integer
from depthwise.compiler.ir.expression import Operand
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.initializers import Constant, Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, number, single, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["LayerScale"]


@dataclass(frozen=True)
class LayerScale(Description):
    """y = x · gamma with a learned gamma for each channel (Touvron et al. 2021, arXiv:2103.17239).

    `keras.layers` does not have it: Keras keeps it with ConvNeXt, under the module that files name.

    Args:
        init_values: what every gamma is at first.
        projection_dim: how many channels there are.
    """

    init_values: float
    projection_dim: int
    default_name: ClassVar[str] = "layer_scale"
    module: ClassVar[str] = "keras.src.applications.convnext"

    def _normalise(self) -> None:
        self._set(projection_dim=integer(self._owner, "projection_dim", self.projection_dim))
        if isinstance(self.init_values, bool) or not isinstance(self.init_values, (int, float)):
            raise InvalidArgumentError(
                f"LayerScale: init_values must be a number, got {describe_value(self.init_values)}"
            )

    @property
    def gamma_initializer(self) -> Initializer:
        """Of the weight."""
        return Constant(float(self.init_values))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        if shape[-1] != self.projection_dim:
            raise ShapeError(
                f"{self.label}: projection_dim is {self.projection_dim}, but the input has {shape[-1]} channels"
            )
        gamma = Weight("gamma", (shape[-1],), number(shape[-1], "input_channels"), self.trainable)
        return layer_facts(self, shapes, sizes(shape), [gamma])

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.elementwise(call, Operand(0) * Operand(1), *builder.inputs(call), builder.weight(call, "gamma"))
