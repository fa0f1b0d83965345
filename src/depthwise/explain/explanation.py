"""`explain(model)`: a network's explanation as one object, for notebooks and programs."""

import html
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from depthwise.classification import SCALES, gives_probabilities
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.explain.facts import find_node, network_facts
from depthwise.explain.text import printable, shape_text
from depthwise.files import atomic_write_text
from depthwise.messages import check_language, text

if TYPE_CHECKING:
    from depthwise.explain.page import Page

__all__ = ["EmbeddedPage", "Explanation", "explain"]

MOST_MACS = 2_000_000_000
"""A network with more arithmetic a sample is run only where a cell or a picture was asked for."""

FRAME_HEIGHT = 760
"""Pixels of the page inside a notebook."""

MOST_ROWS = 100
"""Of the table inside a notebook."""


class EmbeddedPage:
    """What `Explanation.show` returns: the page in a frame of its own, which may run scripts and nothing else."""

    def __init__(self, page: str, title: str) -> None:
        self._page = page
        self._title = title

    def __repr__(self) -> str:
        return f"<the page of {printable(self._title)}, for a notebook>"

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(self._page)}" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:1px solid #8884;border-radius:8px" '
            f'title="{html.escape(self._title)}"></iframe>'
        )


def explain(
    model: Any,
    layer: str | None = None,
    at: Sequence[int] | None = None,
    language: str | None = None,
    image: str | os.PathLike[str] | None = None,
    sample: int | None = None,
    picture: Any = None,
    invert: str = "auto",
    scale: str = "auto",
) -> "Explanation":
    """The explanation of a model, of one of its layers, or of one number of a layer.

    Args:
        model: a `depthwise.Model`.
        layer: the name of a layer; None for the whole network.
        at: a cell of the layer's output: (row, column, channel), or (unit,). The text of a layer without it shows the cell that
            has most to show.
        language: "en" or "zh"; English where None, and the page then speaks what the reader's browser asks for.
        image: a picture to run the network on: brought to its size, colours and scale as `depthwise predict` does.
        sample: instead, the number of an MNIST test image.
        picture: instead, an array of one sample, in the shape and range that the network takes.
        invert: swap light and dark in `image`: "yes", "no", or "auto" for dark digits on light paper.
        scale: what the network was trained on, one of `depthwise.classification.SCALES`; "auto" asks the model.

    Raises:
        InvalidArgumentError: no such layer, cell, language or sample.

    >>> import depthwise
    >>> from depthwise.networks import note_separable
    >>> explanation = explain(note_separable(), "separable_conv2d")
    >>> explanation.facts["layers"][2]["parameters"]["text"]
    '32×(3×3×1)+32×(1×1×32)+32 = 1,344'
    """
    return Explanation(model, layer, at, language, image, sample, picture, invert, scale)


class Explanation:
    """What `explain` returns. In a notebook it shows a table, or the arithmetic of a cell; `str()` of it is the terminal's text."""

    def __init__(
        self,
        model: Any,
        layer: str | None = None,
        at: Sequence[int] | None = None,
        language: str | None = None,
        image: str | os.PathLike[str] | None = None,
        sample: int | None = None,
        picture: Any = None,
        invert: str = "auto",
        scale: str = "auto",
    ) -> None:
        from depthwise.explain.cells import check_position

        self.model = model
        self.language = check_language(language or "en")
        self._page_language = language
        self.layer = layer
        self.at = None if at is None else tuple(at)
        if invert not in ("auto", "yes", "no"):
            raise InvalidArgumentError(f"invert must be auto, yes or no, got {describe_value(invert)}")
        if scale not in SCALES:
            raise InvalidArgumentError(f"scale must be one of {', '.join(SCALES)}, got {describe_value(scale)}")
        self._saved: Path | None = None
        self._asked = (image, sample, picture, invert, scale)
        if layer is not None:
            node = find_node(model.graph, layer)
            if self.at is not None:
                check_position(node, self.at)
        elif self.at is not None:
            raise InvalidArgumentError(f"at={describe_value(self.at)} needs a layer: say whose cell it is")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Everything about the network and its layers; with a cell, also how it comes about, under "cell"."""
        facts = network_facts(self.model.graph)
        return facts if self.at is None else {**facts, "cell": self.cell}

    @cached_property
    def cell(self) -> dict[str, Any]:
        """How the number at `at` comes about: see `cells.cell_facts`.

        Raises:
            InvalidArgumentError: the explanation is not of one cell.
        """
        if self.layer is None or self.at is None:
            raise InvalidArgumentError("this explanation is not of one cell; give layer and at")
        return self._cell_at(self.layer, self.at)

    def _cell_at(self, layer: str, place: tuple[int, ...]) -> dict[str, Any]:
        from depthwise.explain.cells import cell_facts

        return cell_facts(self.model.graph, self.model.weights_by_name, self._values_and_picture[0], layer, place)

    @cached_property
    def _values_and_picture(self) -> tuple[Any, Any]:
        from depthwise.explain.samples import Asked, choose_picture
        from depthwise.explain.values import drawn_picture, layer_values

        graph = self.model.graph
        picture = choose_picture(self.model, Asked(*self._asked))
        others = [drawn_picture(shape) for shape in graph.input_shapes[1:]]
        return layer_values(graph, self.model.weights_by_name, (picture.values, *others)), picture

    def lines(self, show_all: bool = False) -> list[Any]:
        """The terminal's lines, as `rich.text.Text`."""
        from rich.text import Text

        from depthwise.explain.terminal import layer_lines, network_lines

        if self.layer is None:
            return list(network_lines(self.facts, self.language))
        if self.at is not None:
            return self._cell_lines(self.layer, self.cell, show_all)
        layer = next(layer for layer in self.facts["layers"] if layer["name"] == self.layer)
        lines = list(layer_lines(layer, self.language))
        if self.model.graph.macs > MOST_MACS and not any(item is not None for item in self._asked[:3]):
            return lines
        from depthwise.explain.values import liveliest_cell

        place = liveliest_cell(self._values_and_picture[0].by_layer[self.layer])
        hint = Text(text("terminal.liveliest", self.language), "dim")
        return [*lines, Text(), hint, *self._cell_lines(self.layer, self._cell_at(self.layer, place), show_all)]

    def _cell_lines(self, layer: str, cell: dict[str, Any], show_all: bool) -> list[Any]:
        from rich.text import Text

        from depthwise.explain.terminal import cell_lines

        values, picture = self._values_and_picture
        origin = {name: printable(str(value)) for name, value in picture.facts.items()}
        inputs = self.model.graph.by_name[layer].inputs
        return [
            Text(text(picture.key, self.language, **origin), "dim"),
            *self._answer(values),
            *cell_lines(cell, inputs, self.language, show_all, values.reason),
        ]

    def _answer(self, values: Any) -> list[Any]:
        """What the network says about the picture, where it classifies."""
        from rich.text import Text

        graph = self.model.graph
        scores = values.by_layer[graph.outputs[0]]
        if len(graph.outputs) != 1 or scores.ndim != 1 or len(scores) < 2 or not gives_probabilities(graph):
            return []
        best = int(scores.argmax())
        names = self.model.class_names
        answer = printable(names[best]) if names else str(best)
        return [Text(text("terminal.answer", self.language, answer=answer, score=f"{scores[best]:.1%}"), "dim")]

    def page(self, is_trained: bool = True, with_times: bool = True, with_note: bool = False) -> "Page":
        """The interactive page, opened at this explanation's layer and cell; with the note's examples and slips where asked for."""
        from depthwise.explain.note_page import note_view
        from depthwise.explain.page import make_page
        from depthwise.explain.samples import Asked, page_graph, page_samples

        asked = Asked(*self._asked)
        samples, class_names, pixel_range = page_samples(self.model.graph, self.model, asked)
        return make_page(
            page_graph(self.model, asked),
            self.model.weights_by_name,
            self._page_language,
            samples,
            class_names,
            is_trained=is_trained,
            with_times=with_times,
            largest_pixel=pixel_range,
            place=None if self.layer is None else (self.layer, self.at),
            note=note_view() if with_note else None,
        )

    def save(self, path: str | os.PathLike[str]) -> "Explanation":
        """Writes the page as one self-contained HTML file.

        Returns:
            The explanation itself, which a notebook then shows with a link to the page.
        """
        atomic_write_text(Path(path), self.page().html)
        self._saved = Path(path)
        return self

    def show(self) -> "EmbeddedPage":
        """The page inside a notebook's output: about a megabyte in the notebook's file. `save` keeps it beside the notebook."""
        return EmbeddedPage(self.page(with_times=False).html, self.model.name)

    def __repr__(self) -> str:
        place = "" if self.layer is None else f", layer {printable(self.layer)}"
        return f"<Explanation of {printable(self.model.name)}{place}{'' if self.at is None else f', cell {self.at}'}>"

    def __str__(self) -> str:
        from rich.console import Console

        from depthwise.explain.terminal import print_lines

        console = Console(width=110, color_system=None, force_terminal=False, force_jupyter=False)
        with console.capture() as capture:
            print_lines(console, self.lines())
        return capture.get()

    def _repr_html_(self) -> str:
        """What Jupyter shows: the network's table, or what the terminal says of a layer or a cell; and the way to the page.

        The page itself is not in it: a notebook would grow by a megabyte with every output.
        """
        shown = self._table() if self.layer is None else f"<pre>{html.escape(str(self))}</pre>"
        if self._saved is not None:
            target = html.escape(quote(self._saved.as_posix()))
            words = html.escape(text("terminal.notebook.open", self.language, name=printable(self._saved.name)))
            return f'{shown}<p><a href="{target}" target="_blank" rel="noopener">{words}</a></p>'
        return f"{shown}<p>{html.escape(text('terminal.notebook.page', self.language))}</p>"

    def _table(self) -> str:
        heads = [text(f"page.table.{name}", self.language) for name in ("layer", "output", "parameters", "macs")]
        rows = []
        for layer in self.facts["layers"][:MOST_ROWS]:
            cells = [
                f"{printable(layer['name'])} ({layer['kind']})",
                shape_text(layer["output_shape"]),
                layer["parameters"]["text"],
                layer["macs"]["text"],
            ]
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        more = len(self.facts["layers"]) - MOST_ROWS
        if more > 0:
            words = html.escape(text("terminal.notebook.more", self.language, count=f"{more:,}"))
            rows.append(f"<tr><td colspan=4>{words}</td></tr>")
        totals = self.facts["totals"]
        foot = f"<tr><th></th><th></th><th>{totals['parameters']:,}</th><th>{totals['macs']:,}</th></tr>"
        head = "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in heads) + "</tr>"
        caption = f"<caption>{html.escape(printable(self.facts['name']))}</caption>"
        return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(rows)}</tbody><tfoot>{foot}</tfoot></table>"
