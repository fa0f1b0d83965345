"""`depthwise summary`: a network's layers as a table."""

from typing import Annotated, Any

import typer

from depthwise.cli.options import Json, Language, ModelName, Shapes, chosen_language, is_given, open_named
from depthwise.cli.streams import print_json
from depthwise.errors import InvalidArgumentError
from depthwise.messages import text

__all__ = ["register", "summary_command"]


_WORDS = {
    "Model": "model",
    "Layer (type)": "layer",
    "Output Shape": "shape",
    "Param #": "count",
    "Parameter formula": "formula",
    "MACs": "macs",
    "Connected to": "reads",
    "Total params": "total",
    "Trainable params": "trainable",
    "Non-trainable params": "fixed",
    "Total MACs": "total_macs",
    "a sample": "sample",
    "Classes": "classes",
    "Input, black to white": "scale",
}
"""The titles of the table, and the ends of their keys."""


def register(app: typer.Typer) -> None:
    """Adds the command `summary` to the application."""
    app.command("summary")(summary_command)


def summary_command(
    context: typer.Context,
    model: ModelName,
    style: Annotated[
        str, typer.Option(help="depthwise, or keras for Keras' columns alone.", metavar="STYLE")
    ] = "depthwise",
    shape: Shapes = None,
    as_json: Json = False,
    language: Language = None,
) -> None:
    """Print a network's layers: shapes, parameters with their formulas, MACs.

    Examples:

      depthwise summary note-separable

      depthwise summary model.keras --style keras

      depthwise summary mobilenetv2:96x96:alpha=0.35

      depthwise summary model.keras --json
    """
    from depthwise.network.summary import print_summary, summary_facts

    if as_json and is_given(context, "style"):
        raise InvalidArgumentError("--style is how the table looks, and --json prints none; give one of the two")
    language = chosen_language(language)
    network, _ = open_named(model, False, 0, shapes=shape)
    graph = network.graph
    if not as_json:
        words = {title: text(f"command.summary_{key}", language) for title, key in _WORDS.items()}
        print_summary(graph, style=style, expand_nested=True, usage=network.usage, words=words)
        return
    facts = summary_facts(graph, expand_nested=True)
    layers: list[dict[str, Any]] = [
        {
            "name": "/".join(row.path),
            "class_name": row.class_name,
            "output_shape": row.output_shapes[0] if len(row.output_shapes) == 1 else row.output_shapes,
            "inputs": ["/".join((*row.path[:-1], port.member)) for port in row.connections],
            "parameters": row.parameters.value,
            "parameters_formula": row.parameters.text,
            "macs": row.macs.value,
            "macs_formula": row.macs.text,
        }
        for row in facts.rows
    ]
    print_json(
        {
            "name": facts.name,
            "layers": layers,
            "parameters": facts.parameters,
            "trainable_parameters": facts.trainable_parameters,
            "macs": facts.macs,
            "class_names": list(network.class_names) or None,
            "scale": network.input_scale,
        }
    )
