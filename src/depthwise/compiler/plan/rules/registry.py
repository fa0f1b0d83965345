"""The rules by which operations become kernel calls: a function for each operation, registered by its class.

A rule gets the operation, where everything lies, and which share of the result to compute; it returns the calls.
"""

from collections.abc import Callable, Sequence
from typing import Any

from depthwise.compiler.ir.program import Operation
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.schedule import Item, Place

__all__ = ["RULES", "Rule", "calls_of", "operand_places", "rule"]

Rule = Callable[[Any, Placement, Part], Sequence[Item]]

RULES: dict[type[Operation], Rule] = {}


def rule(*kinds: type[Operation]) -> Callable[[Rule], Rule]:
    """Registers a function as the rule of operations of these classes."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def calls_of(operation: Operation, placement: Placement, part: Part) -> list[Item]:
    """The calls that compute `part` of an operation; each knows the layer that it comes from."""
    return [item.of(operation.origin) for item in RULES[type(operation)](operation, placement, part)]


def operand_places(operation: Operation, placement: Placement) -> list[Place]:
    """The places of what the operation reads and of what it writes, parameters left out."""
    names = (*placement.program.tensor_operands(operation), *operation.results)
    return [placement.places[name] for name in names]
