"""`depthwise summary`: a network's layers as a table."""

from typing import Annotated, Any

import typer

from depthwise.cli.options import Json, ModelName
from depthwise.cli.streams import print_json

__all__ = ["register", "summary_command"]


def register(app: typer.Typer) -> None:
    """Adds the command `summary` to the application."""
    app.command("summary")(summary_command)


def summary_command(
    model: ModelName,
    style: Annotated[
        str, typer.Option(help="depthwise, or keras for Keras' columns alone.", metavar="STYLE")
    ] = "depthwise",
    as_json: Json = False,
) -> None:
    """Print a network's layers: shapes, parameters with their formulas, MACs.

    Examples:

      depthwise summary note-separable

      depthwise summary model.keras --style keras

      depthwise summary model.keras --json
    """
    from depthwise.network.summary import print_summary, summary_facts
    from depthwise.networks import open_model

    graph = open_model(model)[0].graph
    if not as_json:
        print_summary(graph, style=style, expand_nested=True)
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
        }
    )
