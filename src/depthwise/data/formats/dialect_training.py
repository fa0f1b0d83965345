"""What older Keras says of training → Keras 3's `compile_config`, which compilation.py reads.

The training configuration of a `.h5` file has the optimizer's arguments under other names, and losses and metrics without the
module that they come from.
"""

from typing import Any

from depthwise.configuration import serialized
from depthwise.data.formats.dialect_layers import bare_name

__all__ = ["modern_training"]

_OPTIMIZER_OPTIONS = {"lr": "learning_rate"}
_OPTIMIZER_DROPPED = ("is_legacy_optimizer", "jit_compile")
_WRAPPERS = ("MeanMetricWrapper", "SumOverBatchSizeMetricWrapper", "LossFunctionWrapper")
_ACCURACIES = ("accuracy", "acc")


def modern_training(config: Any) -> Any:
    """A training configuration, or a `compile_config`, as Keras 3 writes it; what is not understood stays for the reader."""
    if not isinstance(config, dict):
        return config
    result = {key: value for key, value in config.items() if key not in ("optimizer_config", "sample_weight_mode")}
    result["optimizer"] = _optimizer(config.get("optimizer_config", config.get("optimizer")))
    if "loss" in result:
        result["loss"] = _nested(result["loss"], "losses")
    for key in ("metrics", "weighted_metrics"):
        if key in result:
            result[key] = _nested(result[key], "metrics")
    return result


def _optimizer(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return value
    options: dict[str, Any] = {}
    for key, item in value["config"].items():
        if key not in _OPTIMIZER_DROPPED and not (key == "decay" and not item):
            options[_OPTIMIZER_OPTIONS.get(key, key)] = item
    rate = options.get("learning_rate")
    if isinstance(rate, dict) and "module" not in rate:
        rate = serialized("keras.optimizers.schedules", str(rate.get("class_name")), rate.get("config"))
    if "decay" in options:  # learning_rate / (1 + decay · steps)
        schedule = {
            "initial_learning_rate": rate,
            "decay_steps": 1,
            "decay_rate": options.pop("decay"),
            "staircase": False,
        }
        rate = serialized("keras.optimizers.schedules", "InverseTimeDecay", schedule)
    if rate is not None:
        options["learning_rate"] = rate
    return serialized("keras.optimizers", str(bare_name(value.get("class_name"))), options)


def _nested(value: Any, family: str) -> Any:
    if isinstance(value, list):
        return [_nested(item, family) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: _nested(item, family) for key, item in value.items()}
    config = value.get("config")
    class_name = bare_name(value["class_name"])
    if class_name in _WRAPPERS and isinstance(config, dict) and isinstance(config.get("fn"), str):
        return config["name"] if config.get("name") in _ACCURACIES else config["fn"]
    if not isinstance(config, dict):
        return value
    options = {key: item for key, item in config.items() if key != "fn"}
    if options.get("reduction") == "auto":
        options["reduction"] = "sum_over_batch_size"
    if "module" in value:
        return {**value, "config": options}
    return serialized(f"keras.{family}", str(class_name), options)
