"""Promise: NaN is in the result of a layer that joins tensors wherever it is in one of them, as in Keras."""

from typing import Any

import keras
import numpy as np

import depthwise


def joined(module: Any) -> Any:
    x, y, z = (module.Input((9,)) for _ in range(3))
    kinds = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    return module.Model(
        [x, y, z],
        [getattr(module.layers, kind)()([x, y, z] if kind != "Subtract" else [x, y]) for kind in kinds]
        + [module.ops.maximum(x, 0.5), module.ops.minimum(y, x), module.ops.maximum(0.5, y)],
    )


def test_what_is_no_number_stays_none() -> None:
    values = np.array([np.nan, np.inf, 1.0], np.float32)
    x, y = (array.reshape(1, -1) for array in np.meshgrid(values, values))
    z = np.full_like(x, 0.25)
    for order in ([x, y, z], [y, z, x], [z, x, y]):
        for one, other in zip(joined(depthwise).predict(order, verbose=0), joined(keras).predict(order, verbose=0)):
            np.testing.assert_array_equal(one, other)
