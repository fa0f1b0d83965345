"""`plot_model`: the network as a drawing in SVG. No other program is needed."""

import html
import os
from pathlib import Path
from typing import Any

from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.files import atomic_write_text
from depthwise.meanings import SETTINGS
from depthwise.utils.layered import layered

__all__ = ["Drawing", "model_to_dot", "plot_model"]

LETTER, LINE, MARGIN, BETWEEN, GAP = 7.3, 18, 8, 24, 44
"""Pixels: width of a character, height of a line, border of a box, between boxes of a row, between rows."""


class Drawing(str):
    """An SVG text that a notebook shows as a picture."""

    def _repr_svg_(self) -> str:
        return str(self)


class _Dot(str):
    """A text in graphviz' language, with the method that scripts call on pydot's object."""

    def to_string(self) -> str:
        return str(self)


def plot_model(
    model: Any,
    to_file: str | os.PathLike[str] | None = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **kwargs: Any,
) -> Drawing:
    """Draws the layers of a model and what flows between them.

    Args:
        model: a built model.
        to_file: where the SVG file goes; with another ending than .svg it gets this one, and that is printed. None writes no file.
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what the boxes tell.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        expand_nested: draw the layers of models inside, instead of one box for each.
        dpi: accepted as in Keras; SVG has no dots.
        kwargs: `splines` and `layer_range=None`, accepted as in Keras.

    Returns:
        The SVG text; a notebook shows it.

    Raises:
        InvalidArgumentError: the model does not know its shapes, or an argument is not allowed.

    >>> from depthwise import Input, Sequential, layers
    >>> drawing = plot_model(Sequential([Input(shape=(4,)), layers.Dense(2)]), None, show_shapes=True)
    >>> drawing.startswith("<svg") and "(None, 2)" in drawing
    True
    """
    unknown = set(kwargs) - {"splines", "layer_range"}
    if unknown or kwargs.get("layer_range") is not None:
        raise InvalidArgumentError(
            f"plot_model: {describe_value(sorted(unknown) or 'layer_range')} is not supported; leave it out"
        )
    if rankdir not in ("TB", "LR"):
        raise InvalidArgumentError(f"plot_model: rankdir must be 'TB' or 'LR', got {describe_value(rankdir)}")
    boxes, edges = _parts(
        model, show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable, expand_nested
    )
    drawing = Drawing(_svg(boxes, edges, rankdir == "LR"))
    if to_file is not None:
        path = Path(to_file)
        if path.suffix != ".svg":
            path = path.with_suffix(".svg")
            print(f"plot_model writes SVG: the drawing is in {path}")
        atomic_write_text(path, drawing)
    return drawing


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> str:
    """The same network as a text for graphviz; arguments as in `plot_model`."""
    boxes, edges = _parts(
        model, show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable, expand_nested
    )
    quoted = ["\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) for lines in boxes]
    nodes = [f'  {index} [shape=box label="{label}"];' for index, label in enumerate(quoted)]
    arrows = [f"  {start} -> {end};" for start, end in edges]
    return _Dot("\n".join(["digraph {", f"  rankdir={rankdir};", *nodes, *arrows, "}"]))


def _parts(
    model: Any, shapes: bool, dtype: bool, names: bool, activations: bool, trainable: bool, expand: bool
) -> tuple[list[list[str]], list[tuple[int, int]]]:
    """The lines of each box, and which box's output goes to which."""
    if not model.built:
        raise InvalidArgumentError(
            "plot_model: the model does not know its input's shape yet; call build((None, …)), or predict once"
        )
    boxes: list[list[str]] = []
    edges: list[tuple[int, int]] = []

    def box(layer: Any, kind: str, inputs: Any, outputs: Any) -> int:
        lines = [f"{layer.name} ({kind})" if names else kind]
        activation = getattr(layer, "activation", None)
        if activations and activation is not None:
            lines.append(f"activation: {getattr(activation, '__name__', activation)}")
        if shapes:
            lines += [f"{word}: {_shown(value)}" for word, value in (("in", inputs), ("out", outputs)) if value]
        if dtype:
            lines.append("float32")
        if trainable:
            lines.append("trainable" if layer.trainable else "not trainable")
        boxes.append(lines)
        return len(boxes) - 1

    def draw(tree: Any, owner: Any, given: list[int] | None, given_shapes: list[Any]) -> tuple[list[int], list[Any]]:
        """Adds the calls of a model; returns the boxes of its outputs and their shapes."""
        values: dict[Any, tuple[int, Any]] = {}
        if given is not None:
            values = dict(zip(tree.inputs, zip(given, given_shapes)))
        members = owner._members()
        for call in tree.calls:
            port = type(tree.outputs[0])(call.member, call.index)
            if port in values:
                continue
            member = members[call.member]
            reads = [values[item] for item in call.inputs]
            inputs = [shape for _, shape in reads]
            inner = getattr(member, "graph", None)
            if inner is not None and expand:
                ends, results = draw(member.description, member, [start for start, _ in reads], inputs)
            else:
                results = [tuple(shape) for shape in member.symbolic_outputs(inputs)]
                ends = [box(member, type(member).__name__, inputs, results)] * len(results)
                edges.extend((start, ends[0]) for start, _ in reads)
            for index, (end, result) in enumerate(zip(ends, results)):
                values[type(port)(call.member, call.index, index)] = end, result
        outputs = [values[port] for port in tree.outputs]
        return [end for end, _ in outputs], [shape for _, shape in outputs]

    draw(model.description, model, None, [])
    return boxes, list(dict.fromkeys(edges))


def _shown(shapes: Any) -> str:
    return ", ".join(str((None, *shape)) for shape in shapes)


def _svg(boxes: list[list[str]], edges: list[tuple[int, int]], sideways: bool) -> str:
    sizes = [
        (max(len(line) for line in lines) * LETTER + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN) for lines in boxes
    ]
    # Sideways is the same with the axes changed over.
    places, (length, depth) = layered([size[::-1] for size in sizes] if sideways else sizes, edges, BETWEEN, GAP)
    width, height = (depth, length) if sideways else (length, depth)

    def turn(x: float, y: float) -> tuple[float, float]:
        return (y, x) if sideways else (x, y)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="12">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
    ]
    for edge in edges:
        points = " ".join("{:.1f},{:.1f}".format(*turn(x, y)) for x, y in places.ways[edge])
        parts.append(f'<polyline points="{points}" fill="none" stroke="#555" marker-end="url(#arrow)"/>')
    for lines, size, middle in zip(boxes, sizes, places.boxes):
        x, y = turn(*middle)
        left, top = x - size[0] / 2, y - size[1] / 2
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="4" fill="#eef3fb" '
            'stroke="#4a6fa5"/>'
        )
        for number, line in enumerate(lines):
            weight = ' font-weight="bold"' if number == 0 else ""
            parts.append(
                f'<text x="{x:.1f}" y="{top + MARGIN + LINE * number + 13:.1f}" text-anchor="middle"{weight}>'
                f"{html.escape(line)}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


document(globals(), __all__, SETTINGS)
