"""Where the data enters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import integer
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["InputLayer"]


@dataclass(frozen=True)
class InputLayer(Description):
    """Where the data enters. `shape` is that of one sample, without the batch."""

    shape: tuple[int, ...] = ()
    default_name: ClassVar[str] = "input_layer"

    def _normalise(self) -> None:
        if not isinstance(self.shape, Sequence) or isinstance(self.shape, str) or not self.shape:
            raise InvalidArgumentError(
                f"Input: shape must hold at least one size, for example (28, 28, 1), got {describe_value(self.shape)}"
            )
        self._set(shape=tuple(integer("Input", "shape", size) for size in self.shape))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        return layer_facts(self, shapes, sizes(self.shape))

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.start(call)
