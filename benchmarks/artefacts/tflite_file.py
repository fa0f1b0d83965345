"""LiteRT files, made the way an expert would: frozen weights, a fixed batch, SELU in two forms.

The folder gets one file a form, because which is faster depends on the machine:

- `as_is.tflite`: `tf.nn.selu`, which the converter takes apart into seven elementwise operations;
- `selu_by_elu.tflite`: `SELU(x) = λ · leaky_relu(elu(x), slope α)`, two operations that XNNPACK has kernels for; λ > 0
  commutes with max-pooling and is folded into the next layer's weights.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from benchmarks.models import Array, Network, step_weights

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": tf.nn.relu,
    "selu": tf.nn.selu,
    "softmax": tf.nn.softmax,
    "linear": lambda x: x,
}


def _selu_by_elu(x: Any) -> Any:
    return tf.nn.leaky_relu(tf.nn.elu(x), alpha=SELU_ALPHA)


def _forward(network: Network, weights: list[Array], fold_selu: bool) -> Callable[[Any], Any]:
    def forward(x: Any) -> Any:
        pending = 1.0  # the λ that the layer before left to this one
        for step, own in step_weights(network, weights):
            if step.layer == "MaxPooling2D":
                x = tf.nn.max_pool2d(x, step["pool_size"], step["pool_size"], "VALID")
                continue
            if step.layer == "Flatten":
                x = tf.reshape(x, (x.shape[0], -1))
                continue
            if step.layer == "Conv2D":
                x = tf.nn.conv2d(x, own["kernel"] * pending, 1, step["padding"].upper())
            elif step.layer == "SeparableConv2D":
                depthwise = own["depthwise_kernel"] * pending
                x = tf.nn.depthwise_conv2d(x, depthwise, (1, 1, 1, 1), step["padding"].upper())
                x = tf.nn.conv2d(x, own["pointwise_kernel"], 1, "VALID")
            elif step.layer == "Dense":
                x = tf.linalg.matmul(x, own["kernel"] * pending)
            else:
                raise ValueError(f"No LiteRT form is written down for the layer {step.layer!r}.")
            x = tf.nn.bias_add(x, own["bias"])
            folded = fold_selu and step["activation"] == "selu"
            x = _selu_by_elu(x) if folded else ACTIVATIONS[step["activation"]](x)
            pending = SELU_SCALE if folded else 1.0
        return x * pending if pending != 1.0 else x

    return forward


def convert(path: Path, batch: int, folder: Path) -> None:
    """Write the network of a `.keras` file for this batch as `folder/as_is.tflite`."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    model = keras.models.load_model(path, compile=False)
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32))
    frozen = convert_variables_to_constants_v2(concrete)  # else the file asks for variables that nobody sets
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "as_is.tflite").write_bytes(converter.convert())


def write(network: Network, weights: list[Array], batch: int, folder: Path) -> None:
    """Write the network's `.tflite` files for this batch into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    has_selu = any(step.arguments.get("activation") == "selu" for step in network.steps)
    forms = {"as_is": False} | ({"selu_by_elu": True} if has_selu else {})
    for form, fold_selu in forms.items():
        function = tf.function(_forward(network, weights, fold_selu), autograph=False)
        signature = tf.TensorSpec((batch, *network.input_shape), tf.float32)
        concrete = function.get_concrete_function(signature)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
        (folder / f"{form}.tflite").write_bytes(converter.convert())
