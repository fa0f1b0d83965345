"""Rows of results: for each sample the classes with the highest outputs, or why there are none."""

from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import gives_probabilities
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, UnsupportedError, describe_value
from depthwise.network.graph import Graph
from depthwise.pictures import Reading
from depthwise.predictions.pieces import Piece, read

__all__ = ["Classifier", "Rows", "check_classifies", "names_of"]

_PATH_LIMIT = 200


@dataclass(frozen=True, eq=False)
class Rows:
    """Results of some samples, in their order.

    Attributes:
        files: the file of each.
        indices: its number in an array file, None for an image file.
        classes: (samples, top) int32, the highest first; -1 where there is no result.
        scores: (samples, top) float32; NaN where there is no result.
        changes: what was done to each image: "inverted", "centred", both or nothing.
        errors: why there is no result; "" where there is one.
    """

    files: Sequence[str]
    indices: Sequence[int | None]
    classes: NDArray[np.int32]
    scores: NDArray[np.float32]
    changes: Sequence[tuple[str, ...]]
    errors: Sequence[str]

    def __len__(self) -> int:
        return len(self.files)


def names_of(reading: Reading, columns: int) -> tuple[str, ...]:
    """The names of a network's classes; "" for each where nobody knows them."""
    return reading.class_names if len(reading.class_names) == columns else ("",) * columns


def check_classifies(graph: Graph) -> None:
    """Whether the network gives scores of classes for an image.

    Raises:
        UnsupportedError: it gives or takes something else.
    """
    if len(graph.inputs) != 1 or len(graph.input_shapes[0]) != 3 or len(graph.outputs) != 1:
        raise UnsupportedError(
            f"predict takes networks with one image as input and one output, but {describe_value(graph.name)} takes "
            f"{list(graph.input_shapes)} and gives {list(graph.output_shapes)}; use depthwise.load_model in Python instead"
        )
    if len(graph.output_shapes[0]) != 1:
        raise UnsupportedError(
            f"predict shows class scores, but the output of {describe_value(graph.name)} has the shape "
            f"{(None, *graph.output_shapes[0])}; use depthwise.load_model in Python instead"
        )


@dataclass(frozen=True)
class Classifier:
    """A network with all that rows follow from.

    Attributes:
        model: a `depthwise.Model` that `check_classifies` lets pass.
        reading: how it takes pictures.
        top: how many classes a row shows.
        invert, center: see `depthwise.pictures.load_picture`.
    """

    model: Any
    reading: Reading
    top: int = 3
    invert: str = "auto"
    center: str = "auto"
    graph: Graph = field(init=False)
    columns: int = field(init=False)
    """Scores of a sample: one for each class."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("invert", self.invert, ("auto", "yes", "no")),
            ("center", self.center, ("auto", "no")),
        ):
            if value not in allowed:
                choice = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
                raise InvalidArgumentError(f"{name} must be {choice}, got {describe_value(value)}")
        graph = self.model.graph
        check_classifies(graph)
        outputs = graph.output_shapes[0][0]
        is_pair = outputs == 1 and len(self.reading.class_names) == 2 and gives_probabilities(graph)
        object.__setattr__(self, "graph", graph)
        object.__setattr__(self, "columns", 2 if is_pair else outputs)

    def rows(self, pieces: Sequence[Piece]) -> Rows:
        """Results of the pieces, computed together. What cannot be read gets a row that says why."""
        width = min(self.top, self.columns)
        parts: list[NDArray[np.float32]] = []
        heads: list[tuple[Piece, int, tuple[str, ...]]] = []
        errors: list[str] = []
        for piece in pieces:
            try:
                samples, changes = read(piece, self.graph, self.reading, self.invert, self.center)
            except DepthwiseError as error:
                heads.append((piece, 1, ()))
                errors.append(str(error))
                continue
            parts.append(samples)
            heads.append((piece, len(samples), changes))
            errors.append("")
        total = sum(count for _, count, _ in heads)
        classes = np.full((total, width), -1, np.int32)
        scores = np.full((total, width), np.nan, np.float32)
        wrong = np.zeros(total, np.bool_)
        if parts and sum(map(len, parts)):
            has_result = np.repeat([not error for error in errors], [count for _, count, _ in heads])
            samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
            outputs = self._shares(self.model.predict(samples, verbose=0))
            order = np.argsort(-outputs, axis=1, kind="stable")[:, :width]
            classes[has_result] = order
            scores[has_result] = np.take_along_axis(outputs, order, 1)
            wrong[has_result] = ~np.isfinite(outputs).all(axis=1)
            classes[wrong], scores[wrong] = -1, np.nan
        return _described(heads, errors, classes, scores, wrong)

    def _shares(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """A score for each class: a single probability has two, once the classes have names."""
        return outputs if outputs.shape[1] == self.columns else np.concatenate([1 - outputs, outputs], axis=1)


def _described(
    heads: Sequence[tuple[Piece, int, tuple[str, ...]]],
    errors: Sequence[str],
    classes: NDArray[np.int32],
    scores: NDArray[np.float32],
    wrong: NDArray[np.bool_],
) -> Rows:
    """The rows, each with its file and number."""
    files: list[str] = []
    indices: list[int | None] = []
    changed: list[tuple[str, ...]] = []
    reasons: list[str] = []
    for (piece, count, changes), error in zip(heads, errors):
        for number in range(count):
            is_wrong = bool(wrong[len(files)])
            files.append(piece.path)
            indices.append(None if piece.start is None else piece.start + number)
            changed.append(changes)
            reasons.append(_not_finite(piece.path) if is_wrong else error)
    return Rows(files, indices, classes, scores, changed, reasons)


def _not_finite(path: str) -> str:
    return (
        f"{describe_value(path, _PATH_LIMIT)}: the network's output holds NaN or infinity; the file or the network's weights hold "
        "such, or values too large"
    )
