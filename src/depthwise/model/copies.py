"""What a copy or a pickle of a model holds: its layers, how they are called, and one consistent moment of a training.

Symbolic tensors stay behind, because each holds the one before it and a deep network would exceed Python's recursion limit; the
copy calls its layers anew. So does native code. A layer that several models of one pickle share is shared by their copies.
"""

import copy
from collections.abc import Mapping
from typing import Any

from depthwise.layers.store import CHANGES, LOCK
from depthwise.network.symbolic import replay, structure

__all__ = ["restore", "state_of"]

_MADE_ANEW = {"_structure", "_tree", "_graph", "_owners", "_shared", "_stores", "_session", "_prediction", "_tensors"}


def state_of(model: Any) -> dict[str, Any]:
    """The attributes to keep, with the weights and what the optimizer knows as they were at one moment."""
    weights = None
    if model.built:
        model._live_weights()  # asks a training for what it holds, and draws weights that nobody has needed yet
    with LOCK:
        state = {name: value for name, value in vars(model).items() if name not in _MADE_ANEW}
        if model.built:
            weights = dict(model.held_weights())
        compiled = model.compiled
        if compiled is not None:
            compiled = state["compiled"] = copy.copy(compiled)
            training = model.compiled.session
            compiled.optimizer = copy.copy(compiled.optimizer)
            if (
                training is not None and training.has_newer
            ):  # another thread's: the copy has what it last brought up to date
                compiled.optimizer.iterations = int(compiled.optimizer.state.get("iteration", 0))
    made = model._structure
    frame = None if made is None else (made.tree(model.name, model._trainable), dict(made.members))
    return {"attributes": state, "frame": frame, "weights": weights}


def restore(model: Any, state: Mapping[str, Any]) -> None:
    """Makes `model`, which has nothing yet, the copy that `state` describes."""
    vars(model).update(state["attributes"])
    model._flags_seen, model._session, model._prediction = -1, None, None
    if "_chain" in state["attributes"]:
        model._tensors = []
        model._set_structure(None)
        model._change(model._chain)
    else:
        tree, members = state["frame"]
        starts, ends = replay(tree, members)
        model._set_structure(structure(starts, ends, output_keys=model._output_keys))
    if state["weights"] is not None:
        held = model.held_weights()
        if any(held[name] is not array for name, array in state["weights"].items()):
            model.put_weights(state["weights"])
    CHANGES.grow()
