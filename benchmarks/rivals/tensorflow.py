"""TensorFlow: the Keras model inside one `tf.function`, without and with XLA, and frozen.

`tf.function` around the model spares the Python of `predict_on_batch` and `train_on_batch`, which is what an expert
does on small networks. oneDNN is on by default in the x86 builds.
"""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from benchmarks.models import Array
from benchmarks.protocol import Candidate, Candidates, Task


def configure(threads: int) -> None:
    """Give both thread pools `threads`: gradients of one layer are independent operations."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def prepare_predict(task: Task) -> Candidates:
    """Return `tf.function`, the same with XLA, and the graph with its weights frozen as constants."""
    signature = tf.TensorSpec((task.batch, *task.network.input_shape), tf.float32)

    def concrete(jit_compile: bool) -> Any:
        model = task.build(keras)
        # The model travels with the function: a concrete function keeps its variables by weak reference only.
        function = tf.function(lambda x: model(x, training=False), jit_compile=jit_compile)
        return model, function.get_concrete_function(signature)

    def graph(jit_compile: bool) -> Candidate:
        model, function = concrete(jit_compile)

        def run(images: Any, keep: Any = model) -> Array:
            return function(images).numpy()

        return Candidate(run, tf.constant)

    def frozen() -> Candidate:
        function = convert_variables_to_constants_v2(concrete(jit_compile=False)[1])
        return Candidate(lambda images: function(images)[0].numpy(), tf.constant)

    return {
        "tf.function": lambda: graph(jit_compile=False),
        "tf.function, XLA": lambda: graph(jit_compile=True),
        "frozen graph": frozen,
    }


def prepare_training(task: Task) -> Candidates:
    """Return one `tf.function` of forward, gradients and Adam, without and with XLA."""

    def training(jit_compile: bool) -> Candidate:
        model = task.build(keras, logits=True)
        settings = task.optimizer
        optimizer = keras.optimizers.Adam(settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon)
        optimizer.build(model.trainable_variables)

        @tf.function(jit_compile=jit_compile)
        def step(images: Any, labels: Any) -> Any:
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)
            return loss

        def arrange(images: Array, labels: Array) -> tuple[Any, Any]:
            return tf.constant(images), tf.constant(labels)

        return Candidate(lambda batch: float(step(*batch)), arrange)

    return {
        "tf.function": lambda: training(jit_compile=False),
        "tf.function, XLA": lambda: training(jit_compile=True),
    }
