"""What models refuse: methods whose code would have to run inside of a native step, and assignments that nothing obeys."""

from typing import Any

from depthwise.errors import UnsupportedError
from depthwise.layers.layer import refuse_assignment

__all__ = ["ASSIGNABLE", "refuse_model_assignment", "refuse_own_code", "refuse_training_flag"]

_INSTEAD = {
    "call": "connect layers with depthwise.Model(inputs, outputs), in a function that returns the model",
    "train_step": "use fit with a loss and callbacks, or call train_on_batch in a loop of your own",
    "test_step": "use evaluate with metrics, or predict and NumPy",
    "predict_step": "use predict, and NumPy on what it returns",
    "compute_loss": "give loss= to compile",
    "compute_metrics": "give metrics= to compile",
    "make_train_function": "use fit, or train_on_batch in a loop of your own",
    "make_test_function": "use evaluate, or test_on_batch in a loop of your own",
    "make_predict_function": "use predict, or predict_on_batch in a loop of your own",
}


ASSIGNABLE = {"class_names", "compiled", "history", "input_fit", "input_scale", "stop_training", "trainable"}
_HINTS = {
    "weights": "call set_weights([…])",
    "metrics": "give metrics= to compile",
    "optimizer": "give optimizer= to compile",
    "loss": "give loss= to compile",
    "layers": "make a new model of the layers",
    "name": "give name= when the model is made",
}


def refuse_model_assignment(cls: type, name: str) -> None:
    """Raises what an assignment to an attribute of a model deserves that nothing would obey."""
    refuse_assignment(cls.__name__, name, _HINTS.get(name, "nothing would read it; keep it in a variable of your own"))


def refuse_own_code(cls: type) -> None:
    """UnsupportedError where a class that is not Depthwise's own has one of these methods."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "depthwise" or base is object:
            continue
        for name, instead in _INSTEAD.items():
            if name in vars(base):
                raise UnsupportedError(
                    f"{cls.__name__}.{name}: a model's own code is not supported, because a batch is one native call; {instead}"
                )


def refuse_training_flag(model: Any, training: bool | None) -> None:
    """UnsupportedError for `model(x, training=…)` on symbolic tensors where it would change something.

    `training=False` keeps BatchNormalization and Dropout as they are in prediction, for ever. That is the same as leaving it out
    where the model has none that is active.
    """
    if training is None:
        return
    if training:
        raise UnsupportedError("training=True in a network is not supported; leave it out, fit alone trains")
    for layer in model.flat_layers():
        kind = type(layer).__name__
        active = layer.trainable if kind == "BatchNormalization" else kind.startswith(_RANDOM)
        if active:
            raise UnsupportedError(
                f"training=False is not supported for a model with {kind} {layer.name!r} that is active in training; "
                + (
                    "set the model's trainable = False first"
                    if kind == "BatchNormalization"
                    else "leave that layer out"
                )
            )


_RANDOM = ("Dropout", "SpatialDropout", "Gaussian", "AlphaDropout", "Random")
