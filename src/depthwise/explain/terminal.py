"""The facts of a network, and of one number, as text for a terminal.

Everything is `rich.text.Text`, never markup, and names pass through `printable`: nothing in a model file can colour, move or
clear the reader's terminal.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from depthwise.explain.expressions import written
from depthwise.explain.matrices import Matrix, Products
from depthwise.explain.text import join_places, number_text, printable, shape_text
from depthwise.messages import text
from depthwise.wrapping import Hanging, print_wrapped

__all__ = ["cell_lines", "channel_lines", "layer_lines", "line", "network_lines", "print_lines"]

LABEL_WIDTH = 20
SHOWN_CHANNELS = 8
SHOWN_TERMS = 10


def print_lines(console: Console, lines: Iterable[RenderableType]) -> None:
    """Prints each line within the console's width; numbers in them are not coloured."""
    for item in lines:
        if isinstance(item, Text):
            print_wrapped(console, item)
        else:
            console.print(item, highlight=False)


def _pad(label: str, width: int = LABEL_WIDTH) -> str:
    return label + " " * max(1, width - cell_len(label))


def line(label: str, value: str, style: str = "") -> Text:
    """A label in its column, then a value, which continues in its own column."""
    made = Hanging.assemble("  ", (_pad(label), "dim"), (value, style))
    assert isinstance(made, Hanging)
    made.hanging = LABEL_WIDTH + 2
    return made


def network_lines(facts: dict[str, Any], language: str) -> Iterator[Text]:
    """The whole network: its totals, then each layer with its formulas and what is odd about it."""
    totals = facts["totals"]
    yield Text(
        text(
            "terminal.network",
            language,
            name=printable(facts["name"]),
            layers=len(facts["layers"]),
            parameters=totals["parameters"],
            macs=totals["macs"],
        ),
        "bold",
    )
    if totals["dense_parameters"]:
        yield Text(text("terminal.parts", language, dense=totals["dense_parameters"], other=totals["other_parameters"]))
    yield Text(text("terminal.convention", language), "dim")
    for layer in facts["layers"]:
        yield Text()
        yield from layer_lines(layer, language)


def layer_lines(layer: dict[str, Any], language: str) -> Iterator[Text]:
    """One layer's formulas, and what is odd about it."""
    yield Text.assemble(
        (printable(layer["name"]), "bold cyan"),
        f"  {layer['kind']}  ",
        (text(f"kind.{layer['kind']}", language), "dim"),
    )
    if len(layer["inputs"]) > 1:
        names = ", ".join(printable(name) for name in layer["inputs"])
        yield line(text("terminal.reads", language), names)
    sizes = "  ".join(formula["text"] for formula in layer["output_formulas"] if "operator" in formula)
    yield line(text("terminal.output", language), _pad(shape_text(layer["output_shape"]), 16) + sizes)
    for key in ("parameters", "macs", "weight_bytes"):
        if layer[key]["value"]:
            yield line(text(f"terminal.{key}", language), layer[key]["text"])
    yield line(text("terminal.output_bytes", language), layer["output_bytes"]["text"])
    yield line(text("terminal.receptive_field", language), _field_text(layer["receptive_field"], language))
    if layer["macs"]["value"]:
        intensity = text(
            "terminal.intensity_unit",
            language,
            flop=f"({_expression(layer['flop'])})",
            bytes=f"({_expression(layer['moved_bytes'])})",
            intensity=f"{layer['arithmetic_intensity']:.2f}",
        )
        yield line(text("terminal.intensity", language), intensity)
    if layer["separable"]:
        for key, stage in (
            ("depthwise_stage", "depthwise"),
            ("pointwise_stage", "pointwise"),
            ("ordinary", "ordinary"),
        ):
            part = layer["separable"][stage]
            value = text("terminal.stage", language, parameters=part["parameters"]["text"], macs=part["macs"]["text"])
            yield line(text(f"terminal.{key}", language), value)
    for remark in layer["remarks"]:
        yield line(text("terminal.remark", language), text(remark["key"], language, **remark["facts"]), "yellow")


def _expression(formula: dict[str, Any]) -> str:
    return str(formula["text"]).rpartition(" = ")[0] or str(formula["text"])


def _field_text(field: dict[str, Any], language: str) -> str:
    rows, columns, step = field["rows"], field["columns"], field["step"]
    if step == [0, 0]:
        return text("terminal.field_whole", language, rows=rows["text"], columns=columns["text"])
    return text(
        "terminal.field",
        language,
        rows=rows["text"],
        columns=columns["text"],
        step_rows=step[0],
        step_columns=step[1],
    )


def cell_lines(
    facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool = False, reason: str = ""
) -> Iterator[RenderableType]:
    """How one number comes about, in the order in which it is computed, and whether the network computed the same.

    Args:
        facts: of `cells.cell_facts`.
        inputs: names of the layers that this one reads.
        show_all: windows of all channels and all products of a dense layer, not only the largest.
        reason: why the values are not the compiled network's.
    """
    title = text(
        "terminal.cell",
        language,
        layer=printable(facts["layer"]),
        kind=text(f"kind.{facts['kind']}", language),
        position=join_places(facts["position"]),
    )
    yield Text(title, "bold")
    yield from _STEPS[facts["operation"]](facts, inputs, language, show_all)
    if "softmax" in facts:
        yield _softmax_line(facts, language)
    name = facts.get("activation", "linear")
    label = text("terminal.result", language) if name == "linear" else f"→ {name}"
    yield Text.assemble("  ", (_pad(label), "dim"), (number_text(facts["output"]), "bold green"))
    check = facts["check"]
    key = "terminal.check_native" if check["source"] == "native" else "terminal.check_reference"
    yield Text("  " + text(key, language, computed=number_text(check["computed"]), reason=printable(reason, 200)))
    verdict = "terminal.agrees" if check["agrees"] else "terminal.disagrees"
    yield Text(
        "  " + text(verdict, language, difference=f"{check['difference']:.1e}", bound=f"{check['bound']:.1e}"),
        "green" if check["agrees"] else "bold red",
    )


def _place_line(place: dict[str, Any], language: str) -> Text:
    rows, columns = join_places(place["rows"]), join_places(place["columns"])
    padded = "" if all(map(all, place["inside"])) else text("terminal.window_padding", language)
    return Text("  " + text("terminal.window_at", language, rows=rows, columns=columns) + padded, "dim")


def channel_lines(
    title: str, channel: dict[str, Any], place: dict[str, Any], language: str
) -> Iterator[RenderableType]:
    """One channel's window times its kernel slice: the products, and their sum."""
    yield Text("  " + title, "cyan")
    names = [text(f"terminal.{name}", language) for name in ("window", "kernel", "products")]
    yield Products(
        Matrix(names[0], channel["window"], place["inside"]),
        Matrix(names[1], channel["kernel"]),
        Matrix(names[2], channel["products"]),
        number_text(channel["sum"]),
    )


def _channels(
    channels: list[dict[str, Any]], show_all: bool, language: str, place: dict[str, Any], title: Any
) -> Iterator[RenderableType]:
    shown = channels
    if not show_all and len(channels) > SHOWN_CHANNELS:
        largest = sorted(channels, key=lambda channel: -abs(channel["sum"]))[:SHOWN_CHANNELS]
        shown = [channel for channel in channels if channel in largest]
    for channel in shown:
        yield from channel_lines(title(channel), channel, place, language)
    if len(shown) < len(channels):
        yield Text("  " + text("terminal.channels_hidden", language, count=len(channels) - len(shown)), "dim")


def _end(facts: dict[str, Any], language: str, sum_key: str) -> Iterator[Text]:
    """The sum, the bias, and the activation."""
    yield line(text(sum_key, language), number_text(facts["sum"]))
    bias = text("terminal.no_bias", language) if facts["bias"] is None else number_text(facts["bias"])
    yield line("+ " + text("terminal.bias", language), bias)
    yield line("= " + text("terminal.before_activation", language), number_text(facts["before_activation"]))


def _sums_line(values: list[float], language: str) -> Text:
    return line(text("terminal.channel_sums", language), " + ".join(_signed(value) for value in values))


def _signed(value: float) -> str:
    return f"({number_text(value)})" if value < 0 else number_text(value)


def _convolution(
    facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool
) -> Iterator[RenderableType]:
    yield _place_line(facts["place"], language)
    yield from _channels(
        facts["channels"],
        show_all,
        language,
        facts["place"],
        lambda channel: text("terminal.input_channel", language, channel=channel["input_channel"]),
    )
    if len(facts["channels"]) > 1:
        yield _sums_line([channel["sum"] for channel in facts["channels"]], language)
    yield from _end(facts, language, "terminal.sum")


def _separable(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    yield _place_line(facts["place"], language)
    yield Text("  " + text("terminal.stage_one", language), "bold")
    yield from _channels(
        facts["depthwise"],
        show_all,
        language,
        facts["place"],
        lambda stage: text(
            "terminal.middle_channel",
            language,
            middle=stage["middle_channel"],
            channel=stage["input_channel"],
            copy=stage["copy"],
        ),
    )
    yield Text("  " + text("terminal.stage_two", language), "bold")
    terms = [{"index": term["middle_channel"], **term} for term in facts["pointwise"]]
    yield from _terms(terms, language, show_all)
    yield from _end(facts, language, "terminal.sum")
    yield Text("  " + text("terminal.equivalent", language), "bold")
    yield from _channels(
        facts["equivalent"]["channels"],
        show_all,
        language,
        facts["place"],
        lambda channel: text("terminal.input_channel", language, channel=channel["input_channel"]),
    )
    yield line(text("terminal.equivalent_sum", language), number_text(facts["equivalent"]["sum"]))


def _terms(terms: list[dict[str, Any]], language: str, show_all: bool) -> Iterator[RenderableType]:
    """Values times weights: all of a few, the largest of many with the sum of the rest."""
    count = len(terms) if show_all else min(SHOWN_TERMS, len(terms))
    largest = sorted(terms, key=lambda term: -abs(term["product"]))[:count]
    if count < len(terms):
        yield Text("  " + text("terminal.terms", language, shown=count, count=len(terms)), "dim")
    for term in terms if count == len(terms) else largest:
        product = f"{_signed(term['value'])} × {_signed(term['weight'])} = {number_text(term['product'])}"
        yield line(f"[{term['index']}]", product)
    if count < len(terms):
        rest = sum(term["product"] for term in terms) - sum(term["product"] for term in largest)
        yield line(text("terminal.rest", language, count=len(terms) - count), number_text(rest))


def _dense(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    yield from _terms(facts["terms"], language, show_all)
    yield from _end(facts, language, "terminal.total")


def _pooled(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    if "place" in facts:
        yield _place_line(facts["place"], language)
        yield from Matrix("", facts["window"], facts["place"]["inside"]).lines("    ")
    if facts["operation"] == "average":
        message = text("terminal.mean", language, counted=facts["counted"], sum=number_text(facts["sum"]))
    else:
        key = "terminal.winner" if "place" in facts else "terminal.winner_map"
        row, column = facts["winner"]
        message = text(key, language, counted=facts["counted"], row=row, column=column)
    yield Text("  " + message)


def _normalisation(
    facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool
) -> Iterator[RenderableType]:
    names = ("gamma", "input", "mean", "variance", "epsilon", "beta")
    yield Text("  " + text("terminal.normalisation", language, **{name: _signed(facts[name]) for name in names}))


def _copy(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    source = facts["from"]
    if source is None:
        yield Text("  " + text("terminal.copy_padding", language))
        return
    position = join_places(source["position"])
    yield Text("  " + text("terminal.copy", language, layer=printable(inputs[source["input"]]), position=position))


def _activation(
    facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool
) -> Iterator[RenderableType]:
    yield line(text("terminal.before_activation", language), number_text(facts["before_activation"]))


def _softmax_line(facts: dict[str, Any], language: str) -> Text:
    softmax = facts["softmax"]
    message = text(
        "terminal.softmax",
        language,
        before=_signed(facts["before_activation"]),
        largest=_signed(softmax["largest"]),
        exponential=number_text(softmax["exponentials"][facts["position"][-1]]),
        sum=number_text(softmax["sum_of_exponentials"]),
    )
    return Text("  " + message)


def _sum(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    terms = " + ".join(_signed(term) for term in facts["terms"])
    yield Text("  " + text("terminal.added", language, terms=terms))


def _rescaling(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    names = ("input", "scale", "offset")
    yield Text("  " + text("terminal.rescaling", language, **{name: _signed(facts[name]) for name in names}))


def _operations(
    facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool
) -> Iterator[RenderableType]:
    """Each operation of the layer; several are numbered."""
    steps = facts["steps"]
    for number, step in enumerate(steps, start=1):
        if len(steps) > 1:
            heading = text("terminal.operation", language, number=number, result=printable(step["result"]))
            yield Text("  " + heading, "bold")
        yield from _OPERATIONS[step["kind"]](step, language)
        if number < len(steps):
            yield line("=", number_text(step["value"]))


def _expression_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    operands = step["operands"]
    names = [printable(operand["name"]) for operand in operands]
    yield line(text("terminal.expression", language), written(step["expression"], lambda index: names[index]))
    for name, operand in zip(names, operands):
        yield line(name, f"{number_text(operand['value'])}  [{join_places(operand['position'])}]", "dim")
    values = [number_text(operand["value"]) for operand in operands]
    yield line(text("terminal.with_values", language), written(step["expression"], lambda index: values[index]))


def _normalise_rows_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    facts = {name: number_text(step[name]) for name in ("mean", "variance", "deviation")}
    yield Text("  " + text("terminal.row_mean", language, count=step["count"], name=printable(step["name"]), **facts))
    yield Text("  " + text("terminal.row_deviation", language, epsilon=f"{step['epsilon']:g}", **facts))
    facts |= {name: _signed(step[name]) for name in ("mean", "input")}
    yield Text("  " + text("terminal.row_normalised", language, **facts))


def _softmax_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    facts = {name: _signed(step[name]) for name in ("before", "largest")}
    facts |= {name: number_text(step[name]) for name in ("exponential", "sum")}
    yield Text("  " + text(f"terminal.{step['kind']}", language, **facts))


def _copy_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    source = step["from"]
    if source is None:
        yield Text("  " + text("terminal.copy_value", language, value=number_text(step["value"])))
        return
    position = join_places(source["position"])
    yield Text("  " + text("terminal.copy", language, layer=printable(source["name"]), position=position))


def _products_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    names = {name: printable(step[name]) for name in ("name", "weight")}
    yield line(text("terminal.sum", language), text("terminal.products_of", language, count=step["count"], **names))
    yield line("=", number_text(step["sum"]))
    if step["bias"] is not None:
        yield line("+ " + text("terminal.bias", language), number_text(step["bias"]))


def _reduced_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    key = {"mean": "terminal.map_mean", "maximum": "terminal.map_maximum", "sum": "terminal.map_sum"}[step["kind"]]
    yield Text(
        "  " + text(key, language, count=step["count"], name=printable(step["name"]), channel=step.get("channel"))
    )


def _window_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    facts = {"name": printable(step["name"]), "first": join_places(step["first"])}
    yield Text("  " + text(f"terminal.{step['kind']}", language, count=step["count"], channel=step["channel"], **facts))


def _weighted_step(step: dict[str, Any], language: str) -> Iterator[Text]:
    yield Text("  " + text("terminal.weighted", language, count=len(step["terms"]), name=printable(step["name"])))
    for term in step["terms"]:
        product = f"{number_text(term['weight'])} × {_signed(term['value'])}"
        yield line(f"[{join_places(term['position'])}]", product, "dim")


_OPERATIONS = {
    "expression": _expression_step,
    "normalise_rows": _normalise_rows_step,
    "softmax": _softmax_step,
    "log_softmax": _softmax_step,
    "copy": _copy_step,
    "products": _products_step,
    "mean": _reduced_step,
    "maximum": _reduced_step,
    "sum": _reduced_step,
    "weighted": _weighted_step,
    "window_mean": _window_step,
    "window_maximum": _window_step,
}


def _input(facts: dict[str, Any], inputs: Sequence[str], language: str, show_all: bool) -> Iterator[RenderableType]:
    yield Text("  " + text("terminal.input", language))


_STEPS = {
    "convolution": _convolution,
    "separable": _separable,
    "dense": _dense,
    "maximum": _pooled,
    "average": _pooled,
    "normalisation": _normalisation,
    "copy": _copy,
    "activation": _activation,
    "softmax": _activation,
    "sum": _sum,
    "rescaling": _rescaling,
    "operations": _operations,
    "input": _input,
}
