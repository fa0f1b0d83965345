"""Plans that small networks do not get by themselves: blocks in strips, every operation divided among the threads."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan import prediction as planning
from depthwise.losses import SparseCategoricalCrossentropy
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from depthwise.optimizers import SGD
from depthwise.reference import network
from depthwise.runtime import executable as execution
from depthwise.runtime import prediction as inference
from depthwise.runtime import training_step as training
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from support.branches import graph_weights, random_chain
from support.gates import exact_gate
from support.native_runs import predict
from support.networks import note_cnn_with_head, note_separable, seeded_weights

CHAINS = 6
# Programs that no other test compiles: the compile cache does not know of a changed constant.
FIRST_SEED = 50_000


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = get_threads()
    yield
    set_threads(before)


@pytest.fixture
def small_caches(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose caches hold a few rows: every block that can run in strips does."""
    machine = replace(execution.host_machine(), first_cache=1024, second_cache=4096)
    for module in (execution, inference, training):
        monkeypatch.setattr(module, "host_machine", lambda: machine)
    return machine


def _exact_case(seed: int, batch: int) -> tuple[Graph, dict[str, np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    starts, ends = [], []
    for _ in range(CHAINS):
        start = Input(tuple(int(size) for size in rng.integers(1, (20, 12, 12))))
        starts.append(start)
        ends.append(random_chain(rng, start, 4, exact=True))
    graph = functional(starts, ends)
    weights = graph_weights(rng, graph, integers=1)
    inputs = [
        rng.integers(-1, 2, (batch, *graph.by_name[name].output_shape)).astype(np.float32) for name in graph.inputs
    ]
    return graph, weights, inputs


def _sweep(quick: int, slow: int) -> list[object]:
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(quick, slow))]


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize("seed", _sweep(6, 40))
def test_random_networks_in_strips_are_exact(seed: int) -> None:
    graph, weights, inputs = _exact_case(FIRST_SEED + seed, 3)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    expected = network.forward(graph, weights, inputs)
    for name, y in zip(graph.outputs, predict(prediction, inputs)):
        exact_gate(y, expected[name], name)


@pytest.mark.parametrize("seed", _sweep(4, 40))
def test_random_networks_divided_among_threads_are_exact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SMALL_WORK", 0)
    graph, weights, inputs = _exact_case(FIRST_SEED + 1_000 + seed, 1)
    expected = network.forward(graph, weights, inputs)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    threads = (2, 3, 4)[seed % 3]
    set_threads(threads)
    for name, y in zip(graph.outputs, predict(prediction, inputs)):
        exact_gate(y, expected[name], f"{name} with {threads} threads")


@pytest.mark.parametrize("make", [note_cnn_with_head, note_separable], ids=lambda make: make.__name__)
def test_strips_and_tasks_do_not_change_a_bit(make: object, request: pytest.FixtureRequest) -> None:
    """The note's networks on a machine with next to no cache, batches and single samples, as on the real one."""
    graph: Graph = make()  # type: ignore[operator]
    weights = seeded_weights(graph)
    x = np.random.default_rng(0).standard_normal((5, 28, 28, 1)).astype(np.float32)
    y = np.arange(5, dtype=np.int32)

    def run() -> list[np.ndarray]:
        prediction = Prediction(lower(graph))
        prediction.load(weights)
        set_threads(3)
        step = training.TrainingStep(lower(graph, training=True), SparseCategoricalCrossentropy(), SGD())
        step.load(weights, {})
        step((x,), y, None, learning_rate=0.1)
        return [*prediction((x,)), *prediction((x[:1].copy(),)), *step.weights().values()]

    expected = run()
    request.getfixturevalue("small_caches")
    for actual, value in zip(run(), expected):
        np.testing.assert_array_equal(actual, value)
