"""The note's examples, slips and open questions as text for a terminal, with its two pictures redrawn."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from depthwise.explain.cells import cell_facts
from depthwise.explain.note import answers, examples, quoted, small_network, small_picture, small_weights
from depthwise.explain.terminal import channel_lines, line
from depthwise.explain.text import shape_text
from depthwise.explain.values import layer_values
from depthwise.messages import text

__all__ = ["note_facts", "note_lines"]


def note_facts(language: str) -> dict[str, Any]:
    """The same for programs: the examples, and each question with the note's words and the answer."""
    return {
        "examples": [{**example, "title": text(example["key"], language)} for example in examples()],
        "answers": [
            {
                **answer,
                "translation": quoted(answer, language),
                "answer": text(answer["key"], language, **answer["facts"]),
            }
            for answer in answers()
        ],
    }


def note_lines(language: str) -> Iterator[RenderableType]:
    """All of it, in the note's order."""
    yield Text(text("note.title", language), "bold")
    yield Text(text("note.intro", language))
    yield Text()
    yield from _picture(language)
    yield Text()
    yield Text(text("note.examples", language), "bold underline")
    for example in examples():
        yield Text()
        yield Text(text(example["key"], language), "cyan")
        for layer in example["layers"]:
            yield line(layer["kind"], f"{shape_text(layer['input_shape'])} → {shape_text(layer['output_shape'])}")
            for part in layer["parts"]:
                yield line(text(part["key"], language), part["text"])
            right = layer["value"] == layer["printed"]
            verdict = text("note.right" if right else "note.wrong", language, printed=layer["printed"])
            yield line("", verdict, "green" if right else "yellow")
    yield Text()
    yield Text(text("note.answers", language), "bold underline")
    for index, answer in enumerate(answers(), 1):
        yield Text()
        yield Text.assemble(
            (f"{index}. ", "cyan"),
            (text("note.says", language) + ": ", "dim"),
            (f"“{quoted(answer, language)}”", "dim"),
        )
        yield Text("   " + text(answer["key"], language, **answer["facts"]))


def _picture(language: str) -> Iterator[RenderableType]:
    """The window over both input channels, the three kernels, and the cell that each fills."""
    inputs = [
        "┌─────┐    ",
        "│■■■··│┐   ",
        "│■■■··││   ",
        "│■■■··││   ",
        "│·····││   ",
        "│·····││   ",
        "└┬────┘│   ",
        " └─────┘   ",
    ]
    kernels = ["        ", "┌───┐┐  ", "│▒▒▒││ ×3", "│▒▒▒││  ", "│▒▒▒││  ", "└┬──┘│  ", " └───┘  ", "        "]
    outputs = ["        ", "┌───┐┐┐ ", "│■··│││ ", "│···│││ ", "│···│││ ", "└┬──┘││ ", " └┬──┘│ ", "  └───┘ "]
    signs = ["     ", "     ", "     ", "  ∗  ", "     ", "     ", "     ", "     "]
    arrows = ["     ", "     ", "     ", "  →  ", "     ", "     ", "     ", "     "]
    for parts in zip(inputs, signs, kernels, arrows, outputs):
        yield Text("  " + "".join(parts).rstrip())
    caption = " ∗ ".join(text(f"note.picture.{part}", language) for part in ("input", "kernels"))
    yield Text(f"  {caption} → {text('note.picture.output', language)}", "dim")
    yield Text()
    yield Text("  " + text("note.picture.caption", language), "dim")
    graph = small_network()
    weights = small_weights(graph)
    values = layer_values(graph, weights, (small_picture(),))
    cell = cell_facts(graph, weights, values, "small_conv2d", (0, 0, 0))
    channel = cell["channels"][0]
    title = text("terminal.input_channel", language, channel=channel["input_channel"])
    yield from channel_lines(title, channel, cell["place"], language)
