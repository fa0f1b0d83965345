"""Results do not depend on the number of threads, nor on what else is in the batch: equal bit for bit."""

from collections.abc import Iterator

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.losses import Loss, MeanSquaredError, SparseCategoricalCrossentropy
from depthwise.network.graph import Graph
from depthwise.optimizers import Adam
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from depthwise.runtime.training_step import TrainingStep
from support.branches import chains_to_one_vector, graph_weights
from support.native_runs import fence
from support.networks import note_cnn_with_head, note_separable, seeded_weights

THREADS = (1, 2, 3, 4)
BATCHES = (1, 2, 7, 128)
NETWORKS = {"note_separable": note_separable, "note_cnn": note_cnn_with_head}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = get_threads()
    yield
    set_threads(before)


def _random(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    graph = chains_to_one_vector(rng, 3, exact=False)
    return graph, graph_weights(rng, graph)


def _networks() -> list[object]:
    return [*NETWORKS, *range(3)]


def _network(name: object) -> tuple[Graph, dict[str, np.ndarray]]:
    if isinstance(name, int):
        return _random(name)
    graph = NETWORKS[str(name)]()
    return graph, seeded_weights(graph)


def _inputs(graph: Graph, batch: int) -> list[np.ndarray]:
    rng = np.random.default_rng(batch)
    return [rng.standard_normal((batch, *graph.by_name[name].output_shape)).astype(np.float32) for name in graph.inputs]


@pytest.mark.parametrize("name", _networks())
def test_predictions_are_the_same_for_any_threads_and_batch(name: object) -> None:
    """A single sample is divided among the threads by rows and channels, a batch by samples."""
    graph, weights = _network(name)
    inputs = _inputs(graph, max(BATCHES))
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    expected: tuple[np.ndarray, ...] = ()
    for threads in THREADS:
        set_threads(threads)
        for batch in reversed(BATCHES):
            outputs = prediction([np.ascontiguousarray(x[:batch]) for x in inputs])
            expected = expected or outputs
            for y, whole in zip(outputs, expected):
                np.testing.assert_array_equal(y, whole[:batch], f"{threads} threads, batch {batch}")
        # The last sample, alone: what stood before it in the batch does not matter.
        for y, whole in zip(prediction([np.ascontiguousarray(x[-1:]) for x in inputs]), expected):
            np.testing.assert_array_equal(y, whole[-1:], f"{threads} threads, the last sample alone")


@pytest.mark.parametrize("name", NETWORKS)
def test_one_sample_is_the_same_with_more_threads_than_a_map_has_rows(name: str) -> None:
    graph, weights = _network(name)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    inputs = _inputs(graph, 1)
    set_threads(1)
    (expected,) = prediction(inputs)
    for threads in (8, 14, 16):
        set_threads(threads)
        np.testing.assert_array_equal(prediction(inputs)[0], expected, f"{threads} threads")


@pytest.mark.parametrize("name", _networks())
def test_weights_after_three_steps_are_the_same_for_any_threads(name: object) -> None:
    graph, weights = _network(name)
    batch = 37  # chunks of three samples, the last one shorter
    inputs = _inputs(graph, batch)
    rng = np.random.default_rng(0)
    outputs = graph.output_shapes[0][0]
    loss: Loss
    target: np.ndarray
    if isinstance(name, int):
        loss, target = MeanSquaredError(), rng.standard_normal((batch, outputs)).astype(np.float32)
    else:
        loss, target = SparseCategoricalCrossentropy(), rng.integers(0, outputs, batch).astype(np.int32)
    found = []
    for threads in THREADS:
        set_threads(threads)
        step = TrainingStep(lower(graph, training=True), loss, Adam())
        step.load(weights, {})
        results = [step(inputs, target, None, learning_rate=0.01, seed=i) for i in range(3)]
        found.append(({**step.weights(), **step.optimizer_state()}, results))
    first, first_results = found[0]
    assert any(not np.array_equal(first[key], weights[key]) for key in weights)
    for threads, (after, results) in zip(THREADS[1:], found[1:]):
        for key, value in first.items():
            np.testing.assert_array_equal(after[key], value, f"{key} with {threads} threads")
        for result, expected in zip(results, first_results):
            np.testing.assert_array_equal(result.losses, expected.losses)
            np.testing.assert_array_equal(result.predictions, expected.predictions)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_missing_number_stays_in_its_own_sample(name: str) -> None:
    """NaN in one image makes that image's outputs NaN, and nothing else: not even in memory that is used again."""
    graph, weights = _network(name)
    (x,) = _inputs(graph, 9)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    for threads in (1, 2):
        set_threads(threads)
        (expected,) = prediction((x,))
        broken = x.copy()
        broken[3, 14, 14, 0] = np.nan
        (y,) = prediction((broken,))
        assert np.isnan(y[3]).all()
        np.testing.assert_array_equal(np.delete(y, 3, axis=0), np.delete(expected, 3, axis=0))
        (again,) = prediction((x,))
        np.testing.assert_array_equal(again, expected)
        (alone,) = prediction((broken[3:4].copy(),))
        assert np.isnan(alone).all()


def test_more_threads_after_memory_was_reserved_use_no_more_than_there_is() -> None:
    """As when another Python thread calls `set_threads` in the middle of a prediction: the arenas end at forbidden pages."""
    graph, weights = _network("note_cnn")
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    (x,) = _inputs(graph, 48)
    set_threads(1)
    (expected,) = prediction((x,))
    executable = prediction._executables[0]
    fence(executable)
    set_threads(4)
    for _ in range(20):
        y = np.empty_like(expected)
        executable.run((x,), (y,))
        np.testing.assert_array_equal(y, expected)
