"""The parts of the benchmark: networks, reference, time-taking, chunks, and each installed rival once."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.models import (
    NETWORKS,
    NOTE_CNN,
    NOTE_SEPARABLE,
    NOTE_TWIN,
    build,
    make_images,
    make_labels,
    make_weights,
)
from benchmarks.protocol import batch_sizes, in_chunks, in_parallel
from benchmarks.results import Work
from benchmarks.rivals import RIVALS, missing
from benchmarks.runner import Settings, run
from benchmarks.timing import measure

from benchmarks import machine, reference


@pytest.mark.parametrize(
    ("network", "parameters", "macs"),
    [
        (NOTE_SEPARABLE, 184_234, 4_065_600),
        (NOTE_TWIN, 435_306, 29_275_904),
        (NOTE_CNN, 55_744 + (576 * 64 + 64) + (64 * 10 + 10), 2_756_736 + 576 * 64 + 64 * 10),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_networks_are_the_notes(network: Any, parameters: Any, macs: Any) -> None:
    assert sum(weight.size for weight in make_weights(network)) == parameters
    assert machine.count_macs(network) == macs


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_reference_agrees_with_keras(network: Any) -> None:
    keras = pytest.importorskip("keras")
    weights, images = make_weights(network), make_images(network, 3)
    model = build(network, keras)
    model.set_weights(weights)
    expected = reference.predict(network, weights, images)
    allowed = reference.tolerance(network, weights, images)
    assert np.abs(model.predict_on_batch(images) - expected).max() <= allowed
    labels = make_labels(3)
    loss = keras.losses.sparse_categorical_crossentropy(labels, expected.astype(np.float32))
    assert reference.cross_entropy(expected, labels) == pytest.approx(float(np.mean(loss)), rel=1e-6)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_tolerance_refuses_bfloat16(network: Any) -> None:
    weights, images = make_weights(network), make_images(network, 4)
    coarse = [(w.view(np.uint32) & 0xFFFF0000).view(np.float32) for w in weights]
    error = np.abs(reference.predict(network, coarse, images) - reference.predict(network, weights, images)).max()
    assert error > reference.tolerance(network, weights, images)


def test_weights_and_images_repeat_from_their_seed() -> None:
    for first, second in zip(make_weights(NOTE_CNN), make_weights(NOTE_CNN), strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.float32
    np.testing.assert_array_equal(make_images(NOTE_CNN, 2), make_images(NOTE_CNN, 2))
    assert not np.array_equal(make_weights(NOTE_CNN)[0], make_weights(NOTE_CNN, seed=1)[0])


class Clock:
    """A clock that `Clock.spend` moves; nothing else does."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> Any:
        return self.now


def test_measure_drops_the_first_run_and_takes_inputs_in_turn() -> None:
    clock, costs, given = Clock(), itertools.chain([1_000_000], itertools.repeat(7)), []

    def work(value: Any) -> None:
        given.append(value)
        clock.now += next(costs)

    times = measure(work, ["a", "b", "c"], seconds=0, clock=clock)
    assert times == [7] * 5
    assert given == ["a", "b", "c", "a", "b", "c"]


def test_measure_goes_on_for_its_time() -> None:
    clock = Clock()

    def work(_: Any) -> None:
        clock.now += 100_000_000

    assert len(measure(work, [0], seconds=2, clock=clock)) == 20


def test_chunks_keep_the_order() -> None:
    images = np.arange(80 * 4, dtype=np.float32).reshape(80, 2, 2, 1)
    sizes = []

    def double(chunk: Any) -> Any:
        sizes.append(len(chunk))
        return 2 * chunk.reshape(len(chunk), -1)

    expected = 2 * images.reshape(80, -1)
    np.testing.assert_array_equal(in_chunks(double)(images), expected)
    np.testing.assert_array_equal(in_parallel([double] * 2)(images), expected)
    np.testing.assert_array_equal(in_parallel([double] * 3)(images), expected)
    assert set(sizes) == {16}


def test_files_are_written_for_the_batch_and_for_chunks_of_it() -> None:
    assert [batch_sizes(batch) for batch in (1, 16, 32, 250, 256)] == [
        [1],
        [16],
        [32, 16],
        [250],
        [256, 16],
    ]


def test_every_rival_has_a_module_and_every_module_a_rival() -> None:
    folder = Path(__file__).resolve().parents[2] / "benchmarks" / "rivals"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == {rival.name for rival in RIVALS}


def test_installed_size_counts_what_is_required_too() -> None:
    alone, with_keras = (machine.installed_size(names) for names in (("numpy",), ("h5py",)))
    assert with_keras is not None
    assert alone is not None
    assert with_keras > alone > 1_000_000  # h5py requires numpy
    assert machine.installed_size(("no-such-distribution",)) is None


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_an_installed_rival_computes_the_right_thing(rival: Any) -> None:
    if why := missing(rival):
        pytest.skip(why)
    threads = min(2, os.cpu_count() or 1)
    settings = Settings(threads, rounds=1, turn_seconds=0, try_seconds=0, starts=False)
    works = [Work("note_separable", "predict", 32), Work("note_cnn", "predict", 1)]
    works += [Work("note_separable", "training", 8)] if rival.trains else []
    report = run([rival], works, settings)
    assert report.rivals[0].missing is None
    for work in report.works:
        (result,) = work.results
        assert result.failure is None
        assert not result.deviates, f"{work.work.name}: {result.error} > {work.tolerance}"


def test_depthwise_trains_as_keras_does() -> None:
    """Alone, a rival's later losses have no judge; beside Keras they have."""
    pair = [rival for rival in RIVALS if rival.name in ("depthwise", "keras_jax")]
    if any(missing(rival) for rival in pair):
        pytest.skip("Keras on JAX is not installed")
    settings = Settings(1, rounds=1, turn_seconds=0, try_seconds=0, starts=False)
    (work,) = run(pair, [Work("note_cnn", "training", 8)], settings).works
    assert {result.rival: result.deviates for result in work.results} == {
        "depthwise": False,
        "keras_jax": False,
    }
