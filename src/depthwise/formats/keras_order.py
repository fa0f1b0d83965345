"""The order in which Keras lists the layers of a functional model.

`get_weights`, `summary` and the counters in a `.keras` file follow it, so ours must be the same: by the longest way to an
output, deepest first; equals by when a walk from the outputs meets them.
"""

from collections.abc import Sequence
from dataclasses import replace

from depthwise.graph import Graph

__all__ = ["in_keras_order"]


def in_keras_order(graph: Graph, outputs: Sequence[str] | None = None) -> Graph:
    """The same graph with its nodes in Keras' order, which is topological too.

    Args:
        outputs: the order in which Keras walks the outputs; the graph's own unless given.
    """
    if graph.is_sequential:
        return graph
    met: dict[str, int] = {}
    stack = list(reversed(outputs or graph.outputs))
    while stack:
        name = stack.pop()
        if name not in met:
            met[name] = len(met)
            stack.extend(reversed(graph.by_name[name].inputs))
    depth = dict.fromkeys((node.name for node in graph.calls), 0)
    for node in reversed(graph.calls):
        for name in node.inputs:
            depth[name] = max(depth[name], depth[node.name] + 1)
    nodes = sorted(graph.calls, key=lambda node: (-depth[node.name], met.get(node.name, -1)))
    return replace(graph, calls=tuple(nodes))
