"""`model.summary()`: Keras' table, with the formula of every parameter count and the MACs beside it.

The facts (`summary_facts`) are apart from their printing (`print_summary`); all numbers come from `depthwise.network.facts`.
"""

import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.input import InputLayer
from depthwise.network.facts import BYTES_PER_NUMBER, Formula, Shape, describe
from depthwise.network.formula import total
from depthwise.network.graph import Graph, LayerPath
from depthwise.network.tree import ModelTree, TreePort, tree_of
from depthwise.usage import Usage

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Summary", "SummaryRow", "print_summary", "printable", "readable_size", "summary_facts"]

STYLES = ("depthwise", "keras")

LONGEST_NAME = 120
MOST_CLASSES = 12
NARROW, NARROWEST = 104, 72
"""Characters of a line below which formulas have no column, and MACs neither."""
OTHER_COLUMNS = 52
"""Characters of a narrow line that are not a formula's."""

_KERAS_CHAIN = (("Layer (type)", "left", 0.45), ("Output Shape", "left", 0.80), ("Param #", "right", 1.0))
_KERAS_GRAPH = (
    ("Layer (type)", "left", 0.3),
    ("Output Shape", "left", 0.56),
    ("Param #", "right", 0.74),
    ("Connected to", "left", 1.0),
)
_OURS = (("Parameter formula", "left", 0.0), ("MACs", "right", 0.0))


@dataclass(frozen=True)
class SummaryRow:
    """One layer, or one model inside, of the table.

    Attributes:
        path: the names of the models around it, and its own.
        class_name: "Functional" or "Sequential" for a model.
        output_shapes: of its last call; several only for a model.
        parameters: of the layer; of all layers of a model.
        macs: of all its calls.
        connections: what its calls read.
        trainable: None without weights.
    """

    path: LayerPath
    class_name: str
    output_shapes: tuple[Shape, ...]
    parameters: Formula
    macs: Formula
    connections: tuple[TreePort, ...]
    trainable: bool | None

    @property
    def name(self) -> str:
        return self.path[-1]


@dataclass(frozen=True)
class Summary:
    """The table's facts. `is_chain` says that "Connected to" would tell nothing, so that Keras leaves it out."""

    name: str
    rows: tuple[SummaryRow, ...]
    is_chain: bool
    parameters: int
    trainable_parameters: int
    macs: int

    @property
    def non_trainable_parameters(self) -> int:
        return self.parameters - self.trainable_parameters


def summary_facts(graph: Graph, expand_nested: bool = False) -> Summary:
    """What the table of `graph` says. `Sequential` has no row for its input, as in Keras.

    Args:
        expand_nested: after the row of a model inside, those of its layers.
    """
    tree = tree_of(graph)
    rows, _, _ = _rows(tree, (), [call.output_shape for call in map(graph.by_name.__getitem__, graph.inputs)])
    if not expand_nested:
        rows = [row for row in rows if len(row.path) == 1]
    return Summary(graph.name, tuple(rows), _is_chain(tree), graph.parameters, graph.trainable_parameters, graph.macs)


def _is_chain(tree: ModelTree) -> bool:
    readers = Counter((port.member, port.call) for call in tree.calls for port in {*call.inputs})
    uses = Counter(call.member for call in tree.calls)
    return tree.is_sequential or (
        len(tree.inputs) == 1
        and all(len(call.inputs) <= 1 for call in tree.calls)
        and all(count == 1 for count in (*readers.values(), *uses.values()))
    )


def _rows(
    tree: ModelTree, path: LayerPath, shapes: Sequence[Shape]
) -> tuple[list[SummaryRow], list[Shape], dict[LayerPath, Formula]]:
    """(rows of a model's members and of what is in them, shapes of its outputs, parameters of its layers) for inputs of `shapes`."""
    values = dict(zip(tree.inputs, shapes))
    rows: dict[str, list[SummaryRow]] = {}
    counts: dict[LayerPath, Formula] = {}
    for call in tree.calls:
        member = tree.member(call.member)
        own = (*path, call.member)
        reads = [values[port] for port in call.inputs]
        before = rows.get(call.member, [])
        if isinstance(member, ModelTree):
            inner, outputs, found = _rows(member, own, reads)
            parameters, macs = (
                total(list(found.values())),
                total([row.macs for row in inner if len(row.path) == len(own) + 1]),
            )
            counts |= found
            kind = "Sequential" if member.is_sequential else "Functional"
            trainable = member.trainable if parameters.value else None
            inner = [replace(row, macs=old.macs + row.macs) for old, row in zip(before[1:], inner)] or inner
        else:
            facts = describe(member, reads)
            outputs, inner = [facts.output_shape], []
            parameters, macs = facts.parameters, facts.macs
            kind, trainable = type(member).__name__, member.trainable if facts.weights else None
            if parameters.value:
                counts[own] = parameters
        connections = (*(before[0].connections if before else ()), *call.inputs)
        if before:
            macs = before[0].macs + macs
        row = SummaryRow(own, kind, tuple(outputs), parameters, macs, connections, trainable)
        rows[call.member] = [row, *inner]
        values.update((TreePort(call.member, call.index, index), shape) for index, shape in enumerate(outputs))
    shown = [
        row
        for member in tree.members
        if not (tree.is_sequential and isinstance(member, InputLayer))
        for row in rows[str(member.name)]
    ]
    return shown, [values[port] for port in tree.outputs], counts


def readable_size(parameters: int) -> str:
    """The bytes of so many float32 numbers as Keras writes them.

    >>> readable_size(55_744)
    '217.75 KB'
    """
    size = float(parameters * BYTES_PER_NUMBER)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def printable(name: str) -> str:
    """A name that may come from a hostile file, safe to print: no control characters, no markup, not too long.

    >>> printable("conv\\x1b[31m[red]")
    'conv\\\\x1b[31m\\\\[red]'
    """
    from rich.markup import escape

    short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return escape("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in short))


def print_summary(
    graph: Graph,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], object] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    style: str = "depthwise",
    usage: Usage | None = None,
    words: Mapping[str, str] | None = None,
) -> None:
    """Prints the table of layers and the totals.

    Args:
        line_length: characters in a line; by default what the terminal has, at most 88 (Keras' columns) or 140.
        positions: where the columns end, as shares of the line: one for each column, growing, the last 1.0.
        print_fn: takes the whole text instead of the terminal.
        expand_nested: show the layers of models inside, each indented below its model.
        show_trainable: a column more: Y, N, or - for layers without weights.
        layer_range: names, or regular expressions, of the first and the last layer to show; the totals stay those of the model.
        style: "depthwise" has the columns "Parameter formula" and "MACs", "keras" has Keras' alone.
        usage: names of classes and the pictures' scale, said below the totals.
        words: what to write in place of the titles of columns and totals, for another language than English.

    Raises:
        InvalidArgumentError: an unknown style, positions that do not fit the columns, or a range that matches no layer.
    """
    from rich.console import Console

    if style not in STYLES:
        raise InvalidArgumentError(f"summary: style must be 'depthwise' or 'keras', got {describe_value(style)}")
    facts = summary_facts(graph, expand_nested)
    length = line_length or _default_length(style, facts.is_chain, show_trainable, print_fn is None)
    narrow = style == "depthwise" and positions is None and length < (NARROW if facts.is_chain else NARROW + 24)
    rows = _in_range(facts.rows, layer_range)
    columns = [*(_KERAS_CHAIN if facts.is_chain else _KERAS_GRAPH)]
    if narrow:
        columns[3:3] = _OURS[1:] if length >= NARROWEST else ()
    elif style == "depthwise":
        columns[3:3] = _OURS
    elif positions is None:
        positions = [end * (0.9 if show_trainable else 1.0) for _, _, end in columns] + [1.0] * show_trainable
    if show_trainable:
        columns.append(("Trainable", "center", 0.0))
    named = words or {}
    table = _table([(named.get(title, title), *more) for title, *more in columns], length, positions, style)
    for row in rows:
        table.add_row(*_fields(row, facts.is_chain, style, show_trainable, length if narrow else 0))
    plain = print_fn is not None
    console = Console(
        highlight=False,
        width=max(length, 40),
        force_terminal=False if plain else None,
        force_jupyter=False,  # there it would add an empty output
        color_system=None if plain else "auto",
    )
    with console.capture() as capture:
        _print(console, facts, table, style, named)
        if usage is not None and style == "depthwise":
            _print_usage(console, graph, usage, named)
    if print_fn is not None:
        print_fn(capture.get())
    else:
        sys.stdout.write(capture.get())


def _default_length(style: str, is_chain: bool, show_trainable: bool, to_terminal: bool) -> int:
    if style == "keras":
        return min((88 if is_chain else 108) + 12 * show_trainable, shutil.get_terminal_size().columns - 4)
    wide = 120 + 24 * (not is_chain) + 12 * show_trainable
    # Text that goes to a file or a pipe has no terminal to fit into.
    return min(wide, shutil.get_terminal_size().columns) if to_terminal and sys.stdout.isatty() else wide


def _in_range(rows: tuple[SummaryRow, ...], layer_range: Sequence[str] | None) -> tuple[SummaryRow, ...]:
    if layer_range is None:
        return rows
    if len(layer_range) != 2 or not all(isinstance(name, str) for name in layer_range):
        raise InvalidArgumentError(
            f"summary: layer_range must hold the names of the first and the last layer, got {describe_value(layer_range)}"
        )
    outermost = [i for i, row in enumerate(rows) if len(row.path) == 1]
    try:
        first, last = ([i for i in outermost if re.match(name, rows[i].name)] for name in layer_range)
    except re.error as error:
        raise InvalidArgumentError(
            f"summary: layer_range {describe_value(layer_range)} is not a regular expression: {error}"
        ) from error
    if not first or not last:
        raise InvalidArgumentError(f"summary: layer_range {describe_value(layer_range)} matches no layer of the model")
    if min(first) > max(last):
        first, last = last, first
    return rows[min(first) : next((i for i in outermost if i > max(last)), len(rows))]


def _table(
    columns: Sequence[tuple[str, str, float]], length: int, positions: Sequence[float] | None, style: str
) -> "Table":
    from rich.table import Column, Table

    widths: list[int | None] = [None] * len(columns)
    if positions is not None:
        if len(positions) != len(columns):
            raise InvalidArgumentError(
                f"summary: positions must hold one number for each of the {len(columns)} columns, got "
                f"{describe_value(positions)}"
            )
        current = 0
        for index, position in enumerate(positions):
            width = int(position * length) - current
            if width < 4:
                raise InvalidArgumentError(
                    f"summary: the line of {length} characters is too short for its columns; give a larger line_length"
                )
            widths[index] = width
            current += width
    justify: Any = [alignment for _, alignment, _ in columns]
    # Keras cuts words that do not fit; a formula must not be cut.
    overflow: Any = "ellipsis" if style == "keras" else "fold"
    return Table(
        *(
            Column(title, justify=justify[index], width=widths[index], overflow=overflow)
            for index, (title, _, _) in enumerate(columns)
        ),
        width=length,
        show_lines=True,
    )


def _fields(row: SummaryRow, is_chain: bool, style: str, show_trainable: bool, narrow: int) -> list[str]:
    """The row's cells. In a table of `narrow` characters, 0 for a wide one, the formula stands below the layer's name, each of its
    terms on a line where it is long; in the narrowest the MACs do so too."""
    shapes = [
        "(" + ", ".join(["[color(45)]None[/]", *(f"[color(34)]{size}[/]" for size in shape)]) + ")"
        for shape in row.output_shapes
    ]
    level = len(row.path) - 1
    fields = [
        f"{'   ' * level + '└ ' if level else ''}{printable(row.name)} ([color(33)]{row.class_name}[/])",
        shapes[0] if len(shapes) == 1 else "\\[" + ", ".join(shapes) + "]",
        f"[color(34)]{row.parameters.value:,}[/]",
    ]
    if narrow:
        if row.parameters.value:
            formula = row.parameters.expression
            broken = formula if len(formula) <= narrow - OTHER_COLUMNS else formula.replace("+", "+\n  ")
            fields[0] += f"\n  {broken}"
        if narrow >= NARROWEST:
            fields.append(f"{row.macs.value:,}")
        elif row.macs.value:
            fields[0] += f"\n  {row.macs.value:,} MACs"
    elif style == "depthwise":
        fields += [row.parameters.expression if row.parameters.value else "", f"{row.macs.value:,}"]
    if not is_chain:
        reads = [f"{printable(port.member)}\\[{port.call}]\\[{port.output}]" for port in row.connections]
        fields.append(", ".join(reads if not level else []) or "-")
    if show_trainable:
        fields.append("-" if row.trainable is None else "Y" if row.trainable else "N")
    return fields


def _print(console: Any, facts: Summary, table: "Table", style: str, words: Mapping[str, str]) -> None:
    console.print(f'[bold]{words.get("Model", "Model")}: "{printable(facts.name)}"[/]')
    console.print(table)
    for title, count in (
        ("Total params", facts.parameters),
        ("Trainable params", facts.trainable_parameters),
        ("Non-trainable params", facts.non_trainable_parameters),
    ):
        console.print(f"[bold] {words.get(title, title)}: [/][color(34)]{count:,}[/] ({readable_size(count)})")
    if style == "depthwise":
        sample = words.get("a sample", "a sample")
        title = words.get("Total MACs", "Total MACs")
        console.print(f"[bold] {title}: [/][color(34)]{facts.macs:,}[/] {sample} ({2 * facts.macs:,} FLOP)")


def _print_usage(console: Any, graph: Graph, usage: Usage, words: Mapping[str, str]) -> None:
    names = usage.names_for(graph.output_shapes)
    if names:
        shown = ", ".join(map(printable, names[:MOST_CLASSES]))
        more = ", …" if len(names) > MOST_CLASSES else ""
        console.print(f"[bold] {words.get('Classes', 'Classes')}: [/]{len(names):,}: {shown}{more}")
    if usage.scale is not None:
        title = words.get("Input, black to white", "Input, black to white")
        console.print(f"[bold] {title}: [/]{usage.scale}")
