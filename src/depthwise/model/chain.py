"""Chains of layers connected, and models made anew of other layers."""

from collections.abc import Callable
from typing import Any

from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.layers.input import InputLayer
from depthwise.layers.layer import Layer
from depthwise.network.symbolic import SymbolicTensor, first_shape, input_tensor, is_input, refuse_late_input

__all__ = ["clone_model", "connected_chain"]


def connected_chain(chain: list[Any], old: list[SymbolicTensor]) -> list[SymbolicTensor]:
    """The symbolic tensors behind each layer of a chain that says its input's shape; where it begins as `old`, they are those."""
    refuse_late_input(chain)
    body = chain[1:] if is_input(chain[0]) else chain
    if old and old[0].sample_shape == first_shape(chain[0]):
        tensors = old[:1]
    else:
        start = chain[0] if is_input(chain[0]) else Layer.of(InputLayer(shape=first_shape(chain[0]) or ()))
        tensors = [input_tensor(start)]
    for index, layer in enumerate(body, 1):
        same = len(tensors) == index and index < len(old) and old[index].layer is layer
        if same and old[index].inputs == (tensors[-1],):
            tensors.append(old[index])
            continue
        result = tensors[-1].connect(layer, tensors[-1])
        if not isinstance(result, SymbolicTensor):
            raise InvalidArgumentError("Sequential takes layers and models with one output")
        tensors.append(result)
    return tensors


def clone_model(
    model: Any,
    input_tensors: None = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: None = None,
    recursive: bool = False,
) -> Any:
    """The same network with new weights.

    Args:
        model: a built model.
        clone_function: gives the layer that takes the place of each layer but the inputs; a new one like it by default.
        recursive: apply it to the layers of models inside too, instead of to the models.
        input_tensors, call_function: must be None.
    """
    if input_tensors is not None or call_function is not None:
        raise UnsupportedError(
            "clone_model: input_tensors and call_function are not supported; call the clone on the tensors"
        )
    if clone_function is None:
        clone = model.from_tree(model.description)
        clone.use(model.usage)
        return clone
    made = {}
    for name, member in model._members().items():
        if hasattr(member, "from_tree") and recursive:
            made[name] = clone_model(member, clone_function=clone_function, recursive=True)
        elif not is_input(member):
            made[name] = clone_function(member)
    clone = model.from_tree(model.description, layers=made)
    clone.use(model.usage)
    return clone
