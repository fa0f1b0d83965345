"""What a value is: the shape and the element type of one sample, where it comes from, and what is read around it."""

from enum import Enum
from math import prod
from typing import Any

from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.regularizers import Regularizer

__all__ = [
    "NO_BORDER",
    "ROW",
    "WHOLE_MAP",
    "Derived",
    "Drawn",
    "Element",
    "Padding",
    "Role",
    "Shape",
    "TensorType",
    "Value",
    "Window",
]

Shape = tuple[int, ...]
Padding = tuple[int, int, int, int]  # rows above and below, columns left and right

NO_BORDER: Padding = (0, 0, 0, 0)


class Element(Enum):
    """The type of one number: its name in LLVM IR."""

    F32 = "float"
    I32 = "i32"


@dataclass(frozen=True)
class TensorType:
    """The type of one sample's tensor, of any rank; images are (height, width, channels)."""

    shape: Shape
    element: Element = Element.F32

    @property
    def size(self) -> int:
        """Numbers in one sample."""
        return prod(self.shape)

    @property
    def map(self) -> tuple[int, int, int]:
        """The shape as kernels see it, (rows, columns, channels): the last axis innermost, leading axes joined."""
        if len(self.shape) >= 3:
            return prod(self.shape[:-2]), self.shape[-2], self.shape[-1]
        return (1, *self.shape) if len(self.shape) == 2 else (1, 1, prod(self.shape))

    def resized(self, rows: int, columns: int, channels: int) -> "TensorType":
        """The type of a map of other sizes; that of a sequence (columns, channels), a map of one row, stays one."""
        leading = () if len(self.shape) == 2 and rows == 1 else (rows,)
        return TensorType((*leading, columns, channels), self.element)


class Role(Enum):
    """Who provides a value."""

    INPUT = "input"  # the caller, for each sample
    PARAMETER = "parameter"  # the model, for all samples: a weight, or what is derived from weights
    COMPUTED = "computed"  # an operation of the program


@dataclass(frozen=True)
class Derived:
    """How a parameter follows from others: a rule of `depthwise.compiler.derive`, the parameters that it reads ("" for
    one that is missing) and its constants."""

    rule: str
    sources: tuple[str, ...]
    constants: tuple[float, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """How the training step draws an input by itself: for the `number`-th random layer, described by `layer`, on samples of
    `shape`; it is the layer's output-th array."""

    layer: Any
    number: int
    output: int
    shape: Shape


@dataclass(frozen=True)
class Value:
    """A named tensor.

    Attributes:
        trainable: a parameter that the optimizer changes.
        derived: how a parameter follows from others; None for a weight of the model.
        drawn: how an input is drawn; None for those that the caller gives.
        regularizer: in training, the penalty on a trainable weight.
        constraint: in training, what a trainable weight has to satisfy after each step.
    """

    name: str
    type: TensorType
    role: Role
    trainable: bool = False
    derived: Derived | None = None
    drawn: Drawn | None = None
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None

    @property
    def shape(self) -> Shape:
        return self.type.shape


@dataclass(frozen=True)
class Window:
    """What one row of a result reads of an operand: `reach` rows, `stride` further on for the next row, the first of them
    `before` rows above the map. `border` are the numbers `fill` read around the map. `whole`: every row reads the whole map."""

    reach: int = 1
    stride: int = 1
    before: int = 0
    border: Padding = NO_BORDER
    whole: bool = False
    fill: float = 0.0

    @property
    def overlaps(self) -> bool:
        """Whether neighbouring rows share rows of the operand, or read around it, which only whole maps have."""
        return self.reach > self.stride or any(self.border)

    def rows_read(self, end: int) -> int:
        """The first row of the operand that the first `end` rows of the result do not need."""
        return max(0, (end - 1) * self.stride + self.reach - self.before) if end else 0


ROW = Window()
"""Row by row: what every element-wise operation reads."""

WHOLE_MAP = Window(whole=True)
