"""Softmax along any axes."""

from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import axes_argument
from depthwise.compiler.ir import operations as op
from depthwise.dataclass import dataclass
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, sample_axes, single, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Softmax"]


@dataclass(frozen=True)
class Softmax(Description):
    """eˣ divided by its sum along `axis`, or along several axes together: positive numbers that sum to 1."""

    axis: int | tuple[int, ...] = -1
    default_name: ClassVar[str] = "softmax"

    def _normalise(self) -> None:
        self._set(axis=axes_argument(self._owner, "axis", self.axis))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        axes = sample_axes(self, self.axis, shape)
        return layer_facts(self, shapes, sizes(shape), reads_all=axes != (len(shape) - 1,))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        axes = sample_axes(self, self.axis, builder.shape(source))

        def run(rows: str) -> str:
            return builder.emit(call, op.Softmax((rows,), (f"{call.name}/softmax",)))

        builder.give(call, builder.along(call, source, axes, run))
