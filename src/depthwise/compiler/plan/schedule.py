"""The plan as data: stages of calls with their addresses. `emit.program` writes it down, nothing is decided there."""

from collections.abc import Iterable, Iterator
from dataclasses import field, replace

from depthwise.compiler.kernels.builder import Kernel
from depthwise.compiler.kernels.elementwise import StridedCopy
from depthwise.compiler.kernels.maps import MapView
from depthwise.dataclass import dataclass

__all__ = [
    "ARENAS",
    "HAND_OVER",
    "NOWHERE",
    "Call",
    "Form",
    "Item",
    "Place",
    "Pointer",
    "Repeat",
    "Schedule",
    "Segment",
    "Stage",
    "every_call",
    "written_out",
]

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

    def moved(self, steps: Iterable[int], rounds: int = 1) -> "Call":
        """The same call on addresses `rounds` times `steps` numbers further on; a step for each argument."""
        pairs = zip(self.arguments, steps)
        return replace(
            self, arguments=tuple(item + rounds * step if isinstance(item, Pointer) else item for item, step in pairs)
        )


@dataclass(frozen=True)
class Repeat:
    """A loop: `body` runs `count` times, and with every round its arguments move on.

    Attributes:
        steps: for each call in `body` (those of inner loops at their place, see `every_call`) and each of its arguments how
            many float32 numbers further on it points in the next round; 0 for an argument that is a number.
    """

    count: int
    steps: tuple[tuple[int, ...], ...]
    body: tuple["Item", ...]

    def of(self, origin: str) -> "Repeat":
        """The same, from the layer `origin`."""
        return replace(self, body=tuple(item.of(origin) for item in self.body))

    def moved(self, steps: Iterable[tuple[int, ...]], rounds: int = 1) -> "Repeat":
        """The same loop on addresses `rounds` times `steps` numbers further on; steps as in `steps`."""
        return replace(self, body=tuple(_moved(self.body, steps, rounds)))

    def round(self, number: int) -> tuple["Item", ...]:
        """What round `number` runs, counted from 0."""
        return tuple(_moved(self.body, self.steps, number))


Item = Call | Repeat


def _moved(items: Iterable[Item], steps: Iterable[tuple[int, ...]], rounds: int) -> Iterator[Item]:
    each = iter(steps)
    for item in items:
        if isinstance(item, Call):
            yield item.moved(next(each), rounds)
        else:
            yield item.moved([next(each) for _ in item.steps], rounds)


def every_call(items: Iterable[Item]) -> Iterator[Call]:
    """The calls as they are written down: those in a loop once, with the addresses of its first round."""
    for item in items:
        if isinstance(item, Call):
            yield item
        else:
            yield from every_call(item.body)


def written_out(items: Iterable[Item]) -> Iterator[Call]:
    """The calls as they run: those in a loop again in each round, with that round's addresses."""
    for item in items:
        if isinstance(item, Call):
            yield item
        else:
            for number in range(item.count):
                yield from written_out(item.round(number))


@dataclass(frozen=True)
class Segment:
    """Calls for each sample of a group ("image"), or once for all samples of it ("group")."""

    level: str
    calls: tuple[Item, ...]


HAND_OVER = "hand over"
"""The name of the stage before which the caller computes gradients of the predictions."""


@dataclass(frozen=True)
class Stage:
    """Work between two barriers: over chunks of samples (`segments`, after `prologue`), or in fixed `pieces`.

    Each piece is a task; a `Repeat` among them is as many tasks as it has rounds.
    """

    name: str
    segments: tuple[Segment, ...] = ()
    prologue: tuple[Item, ...] = ()
    pieces: tuple[tuple[Item, ...] | Repeat, ...] = ()

    @property
    def tasks(self) -> tuple[tuple[Item, ...], ...]:
        """What each task of `pieces` runs."""
        found: list[tuple[Item, ...]] = []
        for piece in self.pieces:
            found += [piece.round(i) for i in range(piece.count)] if isinstance(piece, Repeat) else [piece]
        return tuple(found)

    @property
    def task_count(self) -> int:
        """How many tasks `pieces` are."""
        return sum(piece.count if isinstance(piece, Repeat) else 1 for piece in self.pieces)

    @property
    def lists(self) -> tuple[tuple[Item, ...], ...]:
        """Everything that the stage may run: its prologue, each segment, each piece."""
        pieces = ((piece,) if isinstance(piece, Repeat) else piece for piece in self.pieces)
        return (self.prologue, *(segment.calls for segment in self.segments), *pieces)


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
