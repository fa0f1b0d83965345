"""Random parts of images in training."""

from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import integer
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.types import Drawn, Element, TensorType
from depthwise.dataclass import dataclass
from depthwise.layers.resizing import ToSize
from depthwise.network.facts import LayerFacts, Shape, image

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["RandomCrop"]


@dataclass(frozen=True)
class RandomCrop(ToSize):
    """In training a part of `height` × `width` cells, at a random place that all images of a step share.

    In prediction, and in training where the map is not larger in both directions, it is the largest part in the middle with the
    proportions of the result, resized with bilinear interpolation. This is what Keras' documentation says; Keras 3 itself gives
    the whole image in prediction, which does not fit the layers behind.
    """

    height: int
    width: int
    seed: int | None = None
    data_format: str | None = None
    default_name: ClassVar[str] = "random_crop"

    def _normalise(self) -> None:
        for name in ("height", "width"):
            self._set(**{name: integer(self._owner, name, getattr(self, name))})
        if self.seed is not None:
            self._set(seed=integer(self._owner, "seed", self.seed, 0))
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        return self.part_facts(shapes, self.largest_part(image(self, shapes)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape = call.facts.input_shapes[0]
        if not builder.training or shape[0] <= self.height or shape[1] <= self.width:
            self.take_part(builder, call, self.largest_part(shape))
            return
        number, cells = builder.draws, (self.height * self.width,)
        types = TensorType(cells, Element.I32), TensorType(cells)
        drawn = [builder.draw(f"{call.name}/{i}", kind, Drawn(self, number, i, shape)) for i, kind in enumerate(types)]
        builder.emit(call, op.Warp((source, *drawn), (call.name,), (self.height, self.width), 1))
