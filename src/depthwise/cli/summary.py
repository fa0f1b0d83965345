"""`depthwise summary`: a network's layers as a table."""

from typing import Annotated, Any

import typer

from depthwise.cli.options import Json, ModelName, Shapes, is_given, open_named
from depthwise.cli.streams import print_json
from depthwise.errors import InvalidArgumentError

__all__ = ["register", "summary_command"]


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
) -> None:
    """Print a network's layers: shapes, parameters with their formulas, MACs.

    Examples:

      depthwise summary note-separable

      depthwise summary model.keras --style keras

      depthwise summary mobilenetv2:96x96:alpha=0.35

      depthwise summary model.keras --json
    """
    from depthwise.network.summary import summary_facts

    if as_json and is_given(context, "style"):
        raise InvalidArgumentError("--style is how the table looks, and --json prints none; give one of the two")
    network, _ = open_named(model, False, 0, shapes=shape)
    graph = network.graph
    if not as_json:
        network.summary(style=style, expand_nested=True)
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
