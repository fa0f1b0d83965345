"""How a model shows itself: `summary`, `explain` and what a notebook displays; the work is done elsewhere, imported when first used."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthwise.explain.explanation import Explanation

__all__ = ["Explained"]


class Explained:
    """What every model tells about itself; `depthwise.models.Model` is what users make."""

    graph: Any

    if TYPE_CHECKING:

        @property
        def built(self) -> bool: ...

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
        style: str = "depthwise",
    ) -> None:
        """Prints the table of layers: their outputs, and the formula of every parameter count and of the MACs.

        Args:
            line_length: characters of a line; the terminal's width by default.
            positions: shares of the line where the columns end, in the style "keras".
            print_fn: gets the table as one text, in place of the terminal.
            expand_nested: show the layers of models inside.
            show_trainable: show which layers training changes.
            layer_range: names of the first and the last layer to show.
            style: "depthwise", or "keras" for the table that Keras prints.
        """
        from depthwise.network.summary import print_summary

        print_summary(
            self.graph,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
            style=style,
            usage=getattr(self, "usage", None),
        )

    def explain(
        self,
        layer: str | None = None,
        at: Sequence[int] | None = None,
        language: str | None = None,
        image: str | os.PathLike[str] | None = None,
        sample: int | None = None,
        picture: Any = None,
        invert: str = "auto",
        scale: str = "auto",
    ) -> "Explanation":
        """Every shape, parameter and MAC as a formula; with `at`, how that one output number comes about.

        In a notebook the result shows a table, or the arithmetic of the cell; `.save("page.html")` of it adds a link to the page
        to play with, `.show()` puts the page into the output. `print` it for the terminal's text.

        Args:
            layer: the name of a layer; None for the whole network.
            at: a cell of the layer's output, counted from 0: (row, column, channel), or (unit,).
            language: "en" or "zh"; English where None, and the page then speaks what the reader's browser asks for.
            image: a picture to run the network on.
            sample: instead, the number of an MNIST test image.
            picture: instead, an array of one sample, in the shape and range that the network takes.
            invert: swap light and dark in `image`: "yes", "no", or "auto" for dark digits on light paper.
            scale: the values of black and white that the network was trained on, such as "0..1"; "auto" asks the model.

        >>> from depthwise.networks import note_separable
        >>> print(note_separable().explain("separable_conv2d").facts["layers"][2]["parameters"]["text"])
        32×(3×3×1)+32×(1×1×32)+32 = 1,344
        """
        from depthwise.explain.explanation import Explanation

        return Explanation(self, layer, at, language, image, sample, picture, invert, scale)

    def _repr_html_(self) -> str | None:
        """What Jupyter shows: the table of layers; None, so that it falls back to `repr`, before the model knows its shapes."""
        return self.explain()._repr_html_() if self.built else None
