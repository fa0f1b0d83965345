"""Several Python threads may predict with one model at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from depthwise import layers, models


def test_threads_get_their_own_results() -> None:
    model = models.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", activation="relu", input_shape=(6, 6, 1)),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(1 + i % 5, 6, 6, 1)).astype(np.float32) for i in range(64)]
    expected = [model.predict_on_batch(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = list(pool.map(model.predict_on_batch, batches))
            assert all(np.array_equal(a, b) for a, b in zip(results, expected))
