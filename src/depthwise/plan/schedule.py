"""The plan as data: stages of calls with their addresses. `emit.program` writes it down, nothing is decided there."""

from dataclasses import dataclass, field, replace

from depthwise.emit.builder import Kernel
from depthwise.emit.elementwise import StridedCopy
from depthwise.emit.maps import MapView

__all__ = ["ARENAS", "NOWHERE", "Call", "Form", "Place", "Pointer", "Schedule", "Segment", "Stage"]

ARENAS = (
    "parameters",  # in training: the model's weights in their own shapes
    "gradients",  # of the trainable weights, in the parameters' own places
    "slots",  # the optimizer's memory
    "vectors",  # batch statistics
    "scalars",  # learning rate and the like, the dropout seed
    "chunk",  # sums that a chunk of samples collects
    "sample",  # maps that outlive their stage, for every sample of the batch
    "local",  # maps of one sample, for one participant; reused
    "group",  # maps of the samples of one group, for one participant
    "extra",  # what one operation needs besides its tensors, for one participant
    "input0",  # further inputs and outputs follow as input1, …, output0, …; before them packed0, …, a form of a parameter each
)


@dataclass(frozen=True)
class Pointer:
    """A place in an arena; `offset` counts float32 numbers from where the arena starts for this sample or chunk."""

    arena: str
    offset: int = 0

    def __add__(self, count: int) -> "Pointer":
        return Pointer(self.arena, self.offset + count)


NOWHERE = Pointer("scalars")
"""For a kernel's argument that it does not read."""


@dataclass(frozen=True)
class Form:
    """A parameter as kernels read it: some strided copies of its numbers, zeros between them.

    Attributes:
        parameter: its name.
        numbers: float32 numbers of the form.
        copies: (how, from which number of the parameter on, to which number of the form on).
    """

    parameter: str
    numbers: int
    copies: tuple[tuple[StridedCopy, int, int], ...]


@dataclass(frozen=True)
class Call:
    """A kernel on addresses; an argument that is a text is a number known when it runs: "images", "sample", "batch" or "chunks".

    `origin` names the layer that it comes from.
    """

    kernel: Kernel
    arguments: tuple[Pointer | str, ...]
    origin: str = field(default="", compare=False, repr=False)

    def of(self, origin: str) -> "Call":
        """The same, from the layer `origin`."""
        return replace(self, origin=origin)

    def __post_init__(self) -> None:
        assert len(self.arguments) == len(self.kernel.arguments), (self.kernel.name, self.kernel.arguments)


@dataclass(frozen=True)
class Segment:
    """Calls for each sample of a group ("image"), or once for all samples of it ("group")."""

    level: str
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Stage:
    """Work between two barriers: over chunks of samples (`segments`, after `prologue`), or in fixed `pieces`."""

    name: str
    segments: tuple[Segment, ...] = ()
    prologue: tuple[Call, ...] = ()
    pieces: tuple[tuple[Call, ...], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: the address of pixel (0, 0), the map, and how far the next sample is."""

    pointer: Pointer
    view: MapView
    sample_pitch: int

    def pixel(self, row: int, column: int) -> Pointer:
        """The address of a pixel; rows and columns may be negative, within the border."""
        return self.pointer + (row * self.view.row_pitch + column * self.view.pixel_pitch)

    def rows(self, first: int, count: int) -> tuple[Pointer, MapView]:
        """Some rows of the map."""
        return self.pixel(first, 0), self.view.resized(count, self.view.columns)


@dataclass(frozen=True)
class Schedule:
    """Everything that the emitter and the caller need.

    Attributes:
        preparation: stages that pack the parameters, first in every training step; in prediction the caller packs them once.
        stages: the stages of one run.
        group: the most samples of a group.
        sizes: float32 numbers of each arena: for one participant, chunk or sample where it is theirs.
        input_sizes, output_sizes: numbers of one sample.
        parameter_offsets: where each parameter starts in "parameters", in training.
        forms: what the arenas packed0, packed1, … hold.
    """

    preparation: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    group: int
    sizes: dict[str, int]
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    parameter_offsets: dict[str, int] = field(default_factory=dict)
    forms: tuple[Form, ...] = ()
