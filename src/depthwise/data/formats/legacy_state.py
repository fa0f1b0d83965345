"""The optimizer's state in an older `.h5` file, seen as compilation.py reads it in a newer one.

Keras 3 writes the steps done, the learning rate, then arrays for each weight. Keras 2.11 to 2.15 leaves the learning rate out, and
before that the arrays of one kind came together: all first moments, then all second ones.
"""

from dataclasses import field

from depthwise.data.formats.hdf5 import Dataset, File
from depthwise.data.formats.hdf5_attributes import texts
from depthwise.dataclass import dataclass

__all__ = ["LegacyState"]

GROUP, NEWER = "optimizer_weights", "optimizer/vars"
_MOMENTS = ("/m", "/v")


@dataclass
class LegacyState:
    """`optimizer/vars/0`, `1`, … made of the arrays in `optimizer_weights`.

    Args:
        file: the older file.
        has_schedule: whether the learning rate follows a schedule: then it is no number of the state.
    """

    file: File
    has_schedule: bool
    places: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        names = texts(self.file, GROUP, "weight_names") or []
        plain = [name.partition(":")[0] for name in names]
        steps = [name for name, own in zip(names, plain) if own.endswith(("iteration", "iter"))][:1]
        rest = [name for name, own in zip(names, plain) if name not in steps and not own.endswith("learning_rate")]
        moments = [[name for name in rest if name.partition(":")[0].endswith(kind)] for kind in _MOMENTS]
        if rest and rest == [*moments[0], *moments[1]] and len(moments[0]) == len(moments[1]):
            rest = [name for both in zip(*moments) for name in both]
        rate = [] if self.has_schedule else steps  # its value is in the configuration: whatever is here is not read
        self.places = {str(index): f"{GROUP}/{name}" for index, name in enumerate([*steps, *rate, *rest])}

    @property
    def what(self) -> str:
        return self.file.what

    def group(self, path: str) -> dict[str, int] | None:
        """The numbers of the arrays, for the groups that a newer file has."""
        return dict.fromkeys(self.places, 0) if path in ("optimizer", NEWER) else None

    def dataset(self, path: str) -> Dataset | None:
        """One of the arrays."""
        place = self.places.get(path.removeprefix(f"{NEWER}/"))
        return None if place is None else self.file.dataset(place)
