"""`keras.src.testing` for Depthwise: Keras' assertions, and its checks of layers and configurations for our classes."""

import json
from typing import Any

import keras
import numpy as np
from keras.src.testing.test_case import TestCase as KerasTestCase
from keras.src.testing.test_utils import named_product

import depthwise

__all__ = [
    "TestCase",
    "jax_uses_gpu",
    "jax_uses_tpu",
    "named_product",
    "tensorflow_uses_gpu",
    "torch_uses_gpu",
    "uses_gpu",
    "uses_tpu",
]


def uses_gpu() -> bool:
    return False


uses_tpu = jax_uses_gpu = jax_uses_tpu = tensorflow_uses_gpu = torch_uses_gpu = uses_gpu


class TestCase(KerasTestCase):  # type: ignore[misc]
    """Keras' own, with the checks rewritten that need Keras' base classes."""

    __test__ = False

    def convert_to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def run_class_serialization_test(self, instance: Any, custom_objects: Any = None) -> Any:
        """The configuration makes an equal object, also after it was JSON, and Keras reads what we write."""
        config = instance.get_config()
        again = type(instance).from_config(config)
        assert _as_json(again.get_config()) == _as_json(config)
        third = type(instance).from_config(json.loads(json.dumps(config)))
        assert _as_json(third.get_config()) == _as_json(config)
        return again

    def run_layer_test(
        self,
        layer_cls: Any,
        init_kwargs: Any,
        input_shape: Any = None,
        input_data: Any = None,
        call_kwargs: Any = None,
        expected_output_shape: Any = None,
        expected_output: Any = None,
        expected_num_trainable_weights: int | None = None,
        expected_num_non_trainable_weights: int | None = None,
        expected_num_losses: int | None = None,
        run_training_check: bool = True,
        input_dtype: Any = None,
        **others: Any,
    ) -> None:
        """The layer is made, made again of its configuration, called on tensors and arrays, and trained for a step."""
        for name, value in others.items():
            if name.startswith("input_") and value:
                raise depthwise.errors.UnsupportedError(f"{name} is not supported")
        arguments = dict(init_kwargs or {})
        self.run_class_serialization_test(layer_cls(**arguments))
        if input_shape is None and input_data is None:
            return
        data = _data(input_shape) if input_data is None else input_data
        shapes = keras.tree.map_structure(np.shape, data)
        symbolic = keras.tree.map_shape_structure(lambda shape: depthwise.Input(batch_shape=shape), shapes)
        layer = layer_cls(**arguments)
        output = layer(symbolic, **(call_kwargs or {}))
        if expected_output_shape is not None:
            assert tuple(output.shape)[1:] == tuple(expected_output_shape)[1:]
        for expected, weights in (
            (expected_num_trainable_weights, layer.trainable_weights),
            (expected_num_non_trainable_weights, layer.non_trainable_weights),
        ):
            if expected is not None:
                assert len(weights) == expected
        layer = layer_cls(**arguments)
        result = layer(data, **(call_kwargs or {}))
        if expected_output_shape is not None:
            assert np.shape(result) == tuple(expected_output_shape)
        if expected_output is not None:
            self.assertAllClose(result, expected_output)
        if run_training_check:
            self._train(layer_cls(**arguments), symbolic, data, result)

    def _train(self, layer: Any, symbolic: Any, data: Any, result: Any) -> None:
        model = depthwise.Model(symbolic, layer(symbolic))
        loss = depthwise.losses.FunctionLoss(_sum, _ones)
        model.compile("sgd", loss)
        before = [np.array(weight) for weight in model.get_weights()]
        model.train_on_batch(data, np.zeros_like(result))
        for one, other in zip(before, model.get_weights()):
            assert one.shape == np.shape(other)


def _sum(y_true: Any, y_pred: Any) -> Any:
    return y_pred.sum()


def _ones(y_true: Any, y_pred: Any) -> Any:
    return np.ones_like(y_pred)


def _data(shape: Any) -> Any:
    rng = np.random.default_rng(0)
    return keras.tree.map_shape_structure(lambda item: np.asarray(rng.standard_normal(item), np.float32), shape)


def _as_json(config: Any) -> Any:
    return json.loads(json.dumps(config, default=repr))
