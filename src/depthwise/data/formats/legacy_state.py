"""The optimizer's state in an older `.h5` file, seen as compilation.py reads it in a newer one.

Keras 3 writes the steps done, the learning rate, then arrays for each weight. Keras 2.11 to 2.15 leaves the learning rate out. Before
that the arrays of one kind came together, all first moments and then all second ones: tf.keras ends their names with the kind, and
Keras 2.1 to 2.3 only numbers them. It also wrote arrays that nothing reads: `vhats` of one number for Adam, moments for SGD without
momentum. Keras 1 and 2.0 sorted the weights by names that TensorFlow had made unique, so that their order is not known.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import field

from depthwise.data.formats.hdf5 import Dataset, File
from depthwise.data.formats.hdf5_attributes import text, texts
from depthwise.dataclass import dataclass

__all__ = ["LegacyState"]

GROUP, NEWER = "optimizer_weights", "optimizer/vars"
KINDS = {
    "m": ("momentum",), "momentum": ("momentum",), "v": ("velocity", "norm"), "rms": ("velocity",), "vhat": ("velocity_hat",),
    "mg": ("average_gradient",), "accumulator": ("accumulator",), "linear": ("linear",), "accum_grad": ("accumulated_grad",),
    "accum_var": ("accumulated_delta_var",), "momentum_cache": ("u_product",),
}  # fmt: skip
"""How tf.keras ends the names of arrays: what Keras 3 calls them."""


@dataclass
class LegacyState:
    """`optimizer/vars/0`, `1`, … made of the arrays in `optimizer_weights`.

    Args:
        file: the older file.
        has_schedule: whether the learning rate follows a schedule: then it is not a number of the state.
        slots: (`weight/kind`, shape) of the arrays that the optimizer keeps, in the order of a newer file.
    """

    file: File
    has_schedule: bool
    slots: Sequence[tuple[str, tuple[int, ...]]]
    places: dict[str, str] = field(init=False)
    refusal: str = field(init=False, default="")
    """Why the arrays cannot be told apart; "" where they can."""

    def __post_init__(self) -> None:
        names = texts(self.file, GROUP, "weight_names") or []
        counters = [name for name in names if re.search(r"(^|_)iter(ation(s(_\d+)?)?)?$", _last(name))][:1]
        rest = [name for name in names if name not in counters and not _last(name).endswith("learning_rate")]
        if rest and all(_last(name) in KINDS for name in rest):
            rest = self._by_kind(rest)
        elif not (counters and _last(counters[0]).endswith("iteration")):
            rest = self._by_place(rest)
            if rest and re.match(r"(1|2\.0)(\.|$)", text(self.file, "", "keras_version") or "1"):
                self.refusal = "Keras before 2.1 kept its arrays in an order that the file does not tell"
        # The learning rate's value is in the configuration: whatever is in its place is not read.
        steps = counters or [""]
        rate = [] if self.has_schedule else steps
        self.places = {str(index): f"{GROUP}/{name}" for index, name in enumerate([*steps, *rate, *rest])}

    @property
    def counts_steps(self) -> bool:
        """Whether the file says how many steps were done: some optimizers of Keras 2.0 to 2.2 did not count."""
        return self.places["0"] != f"{GROUP}/"

    def _kinds(self) -> Iterator[str]:
        for name, _ in self.slots:
            yield name.rpartition("/")[2]

    def _by_kind(self, names: list[str]) -> list[str]:
        """The arrays in the order of a newer file; what has no place there is last."""
        left: dict[str, list[str]] = {kind: [] for kind in self._kinds()}
        others: list[str] = []
        for name in names:
            kind = next((kind for kind in KINDS[_last(name)] if kind in left), None)
            (others if kind is None else left[kind]).append(name)
        found = [left[kind].pop(0) for kind in self._kinds() if left[kind]]
        return [*found, *(name for kind in left.values() for name in kind), *others]

    def _by_place(self, names: list[str]) -> list[str]:
        """The same for arrays without names: the kinds follow each other, each with an array for every weight."""
        kinds = [kind for kind in dict.fromkeys(self._kinds()) if kind != "u_product"]
        count = len({name.rpartition("/")[0] for name, _ in self.slots if "/" in name})
        product = [name for name in names[:1] if "u_product" in self._kinds() and self._shape(name) == ()]
        arrays = names[len(product) :]
        used = len(kinds) * count
        if not kinds or all(self._shape(name) == (1,) for name in arrays[used : used + count]):
            arrays = arrays[:used] if len(arrays) in (used, used + count) or not kinds else arrays
        if len(arrays) != used:
            return names
        places = {kind: iter(arrays[i * count : (i + 1) * count]) for i, kind in enumerate(kinds)}
        return [*(next(places[kind]) for kind in self._kinds() if kind != "u_product"), *product]

    def _shape(self, name: str) -> tuple[int, ...] | None:
        dataset = self.file.dataset(f"{GROUP}/{name}")
        return None if dataset is None else dataset.shape

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


def _last(name: str) -> str:
    """The last part of an array's name, without TensorFlow's `:0`."""
    return name.partition(":")[0].rpartition("/")[2]
