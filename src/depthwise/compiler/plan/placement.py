"""Where everything lies while a plan is made: what the rules of `plan.rules` ask for."""

from collections.abc import Mapping
from dataclasses import field

from depthwise.compiler.ir.program import Program
from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.kernels.elementwise import StridedCopy
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan.schedule import Form, Place, Pointer
from depthwise.dataclass import dataclass

__all__ = ["WHOLE", "Part", "Placement"]

ALIGNMENT = 16  # numbers: one cache line


@dataclass(frozen=True)
class Part:
    """One of `count` shares of an operation, for the threads to divide a single sample among them."""

    index: int = 0
    count: int = 1

    def of(self, total: int) -> tuple[int, int]:
        """(first, how many) of `total` rows or vectors; the shares differ by one at most."""
        first = total * self.index // self.count
        return first, total * (self.index + 1) // self.count - first


WHOLE = Part()


@dataclass
class Placement:
    """Addresses of tensors and parameters, and what has to be packed before a run.

    Attributes:
        places: every tensor's place.
        parameter_offsets: where each parameter lies, in training; None in prediction, which has packed forms only.
        forms: the packed forms of parameters in the order of their arenas; filled as rules ask for them.
        sizes: numbers used so far in each arena that grows on demand.
    """

    machine: Machine
    program: Program
    places: dict[str, Place]
    parameter_offsets: Mapping[str, int] | None
    group_columns: int | None
    """Samples that a dense layer computes at once: None is the group's number when it runs."""
    chunk_pitch: int = 0
    """Numbers that one chunk collects; known once every rule has asked for its place, so rules run twice."""
    forms: dict[Form, Pointer] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    """Parameters whose gradient already holds something when the calls run that are asked for now."""
    _known: dict[tuple[str, str], Pointer] = field(default_factory=dict)

    @property
    def vectors(self) -> Vectors:
        return self.machine.vectors

    def parameter(self, name: str) -> Pointer:
        """The parameter in its own shape."""
        if self.parameter_offsets is None:
            count = self.program.type(name).size
            return self.packed(name, count, ((StridedCopy(((count, 1, 1),)), 0, 0),))
        return Pointer("parameters", self.parameter_offsets[name])

    def gradient(self, name: str) -> Pointer:
        assert self.parameter_offsets is not None, "prediction has no gradients"
        return Pointer("gradients", self.parameter_offsets[name])

    def accumulator(self, parameter: str, rows: int, columns: int) -> tuple[Pointer, int]:
        """Where a chunk collects the gradient of a parameter seen as a matrix, and the pitch of its rows: whole vectors."""
        pitch = self.vectors.round_up(columns)
        return self.allocate("chunk", parameter, rows * pitch), pitch

    def allocate(self, arena: str, key: str, numbers: int) -> Pointer:
        """A place of its own in `arena`; the same `key` gives the same place."""
        if (arena, key) not in self._known:
            offset = self.sizes.get(arena, 0)
            self.sizes[arena] = offset + -(-numbers // ALIGNMENT) * ALIGNMENT
            self._known[arena, key] = Pointer(arena, offset)
        return self._known[arena, key]

    def packed(self, parameter: str, numbers: int, copies: tuple[tuple[StridedCopy, int, int], ...]) -> Pointer:
        """A packed form of a parameter, see `Form`; equal forms are one, however many operations read it."""
        form = Form(parameter, -(-numbers // ALIGNMENT) * ALIGNMENT, copies)
        return self.forms.setdefault(form, Pointer(f"packed{len(self.forms)}"))
