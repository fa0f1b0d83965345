"""Promise: infinities, NaN, huge numbers and subnormals go through every layer and loss as in Keras, and touch no other sample.

Keras itself computes some of them otherwise than they are defined: x / (1 + |x|) of ∞ is NaN there, and an interpolation adds 0 · NaN
of cells that it does not read. So a result may also be of the kind that the reference has in float64. Functions that multiply x by a share
which goes to 0 have their limit 0 at −∞ here, where both others have −∞ · 0.
"""

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from depthwise import callbacks, layers, losses, models, optimizers
from depthwise.compiler.lower import lower
from depthwise.layers import descriptions
from depthwise.reference import layer as one_layer
from depthwise.reference import network
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import set_threads
from support.branches import graph_weights, side_by_side
from support.oracle import keras_layer, keras_result, set_keras_weights
from support.sizes import draw_inputs, random_configuration

Array = npt.NDArray[Any]
Record = Callable[[str, object], None]
SPECIALS = (np.nan, np.inf, -np.inf, 1e15, -1e15, 1e-45, -1e-40, -0.0)
LAYERS = [
    kind for kind in descriptions.LAYERS.values() if kind not in (descriptions.InputLayer, descriptions.ThresholdedReLU)
]
"""All but those that Keras 3 lacks."""


SHARES = frozenset({"gelu", "hard_silu", "hard_swish", "mish", "silu", "swish"})
INTERPOLATES = tuple(descriptions.LAYERS[name] for name in ("UpSampling2D", "Resizing", "CenterCrop", "RandomCrop"))


def kind(values: Any) -> Array:
    """0 for a number, 1 and −1 for infinities, 9 for NaN."""
    array = np.asarray(values, np.float32)
    return np.where(np.isnan(array), 9, np.where(np.isinf(array), np.sign(array), 0))


@pytest.mark.sweep
@pytest.mark.parametrize("layer_class", LAYERS, ids=lambda item: item.__name__)
def test_layers(layer_class: type[descriptions.Description], record_property: Record) -> None:
    rng = np.random.default_rng(len(layer_class.__name__))
    configurations = [random_configuration(rng, [layer_class]) for _ in range(2)]
    graph = side_by_side(configurations)
    weights = graph_weights(rng, graph)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    oracles = []
    for (layer, shapes), name in zip(configurations, graph.outputs):
        own = network.weights_of(graph.by_name[name], weights)
        oracle = keras_layer(layer)
        listed = len(shapes) > 1 or layer.takes_list
        oracle.build([(None, *shape) for shape in shapes] if listed else (None, *shapes[0]))
        if own:
            set_keras_weights(oracle, layer, shapes, own)
        oracles.append((layer, own, oracle, len(shapes)))
    ordinary = draw_inputs(rng, [shape for item in configurations for shape in item.input_shapes], 3)
    right = prediction(ordinary)
    record_property("tried", len(SPECIALS) * len(oracles))
    for special in SPECIALS:
        inputs = [x.copy() for x in ordinary]
        for x in inputs:  # the last sample is left as it is
            x[:2][rng.random(x[:2].shape) < 0.1] = special
            x[0].flat[int(rng.integers(x[0].size))] = special
        remaining = inputs
        for (layer, own, oracle, count), y, wanted in zip(oracles, prediction(inputs), right):
            xs, remaining = remaining[:count], remaining[count:]
            np.testing.assert_array_equal(y[2], wanted[2])
            with np.errstate(all="ignore"):
                exact = one_layer.forward(layer, own, xs)
                theirs = keras_result(oracle, xs)
                fine = (kind(y) == kind(theirs)) | (kind(y) == kind(exact))
                if getattr(layer, "activation", None) in SHARES:
                    fine |= (y == 0.0) & np.isnan(exact)
                if isinstance(layer, INTERPOLATES):  # the others add 0 · NaN of cells that are not read
                    fine |= np.isnan(theirs) | np.isnan(exact)
            assert fine.all(), f"{layer} of {special}: {y[~fine][:5]}, exactly {exact[~fine][:5]}"


LOSSES = [
    (name, options)
    for name in sorted({item.__name__ for item in losses.CLASSES.values()})
    for options in ([{}, {"from_logits": True}] if name.endswith("Crossentropy") else [{}])
]


def test_a_cell_that_is_not_read_does_not_count() -> None:
    """The cells at the border of a smooth picture have fewer neighbours than the others."""
    inputs = layers.Input((2, 1, 1))
    model = models.Model(inputs, layers.UpSampling2D((3, 1), interpolation="bilinear")(inputs))
    y = model.predict_on_batch(np.array([np.inf, 1.0], np.float32).reshape(1, 2, 1, 1))
    assert y.ravel().tolist() == [np.inf, np.inf, np.inf, np.inf, 1.0, 1.0]


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "options"), LOSSES, ids=str)
def test_losses(name: str, options: dict[str, Any], record_property: Record) -> None:
    """Computed in NumPy and natively; predictions come from the slope, as data must be finite."""
    ours, theirs = getattr(losses, name)(**options), getattr(keras.losses, name)(**options)
    model = models.Sequential([layers.PReLU(input_shape=(4,))])
    model.compile(optimizers.SGD(0.0), ours)
    labels = np.array([1]) if ours.sparse else np.array([[0.0, 1.0, 0.0, 0.0]], np.float32)
    record_property("tried", len(SPECIALS) * 2)
    for special in np.abs(SPECIALS) if ours.probabilities and not options else SPECIALS:
        for place in (0, 1):
            predictions = np.array([[0.2, 0.4, 0.3, 0.1]], np.float32)
            predictions[0, place] = special
            wanted = float(theirs(labels, predictions))
            model.set_weights([-predictions[0]])
            with np.errstate(all="ignore"):
                native = model.train_on_batch(np.full((1, 4), -1.0, np.float32), labels)
            for found in (float(ours(labels, predictions)), float(native)):
                # Of a probability that is infinite, 0 · ∞ may be in the one and a limit in the other.
                undefined = np.isinf(special) and (np.isnan(found) or np.isnan(wanted))
                assert undefined or kind(found) == kind(wanted), (special, place, found, wanted)
                if np.isfinite(wanted) and not undefined:
                    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6), (special, place)


TINY = np.array([1e-40], np.float32)


def subnormals_live() -> bool:
    return bool((TINY * np.float32(1.5) > 0).all())


class Look(callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(subnormals_live())


@pytest.mark.parametrize("threads", [1, 2])
def test_subnormals_are_the_callers_again_after_every_call(threads: int) -> None:
    """Native code flushes them; the thread that calls it, the main one or another, must not."""
    set_threads(threads)
    model = models.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("sgd", "mse")
    x, y = np.ones((9, 4), np.float32), np.ones((9, 3), np.float32)
    look = Look()

    def work() -> None:
        for batch in (1, 9):
            model.predict_on_batch(x[:batch])
            look.seen.append(subnormals_live())
        model.fit(x, y, batch_size=3, verbose=0, callbacks=look)
        look.seen.append(subnormals_live())

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert look.seen == [True] * 12


def test_the_form_of_an_array_does_not_matter(tmp_path: Any) -> None:
    model = models.Sequential([layers.Conv2D(2, 2, input_shape=(4, 3, 1)), layers.Flatten()])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    whole = rng.integers(-8, 8, (6, 4, 3, 1)).astype(np.float32)
    labels = rng.normal(size=(6, 12)).astype(np.float32)
    wanted, weights = model.predict(whole, verbose=0), model.get_weights()
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=whole.shape)
    mapped[:] = whole
    frozen = whole.copy()
    frozen.flags.writeable = False
    odd = np.frombuffer(b"\0" + whole.tobytes(), np.uint8)[1:].view(np.float32).reshape(whole.shape)
    apart = np.zeros((12, 8, 3, 2), np.float32)
    apart[::2, ::-2, :, 1:] = whole
    forms = {
        "big-endian": whole.astype(">f4"),
        "float64": whole.astype(np.float64),
        "float16": whole.astype(np.float16),
        "int8": whole.astype(np.int8),
        "int64, big-endian": whole.astype(">i8"),
        "Fortran order": np.asfortranarray(whole),
        "strides": apart[::2, ::-2, :, 1:],
        "read-only": frozen,
        "memory-mapped": mapped,
        "unaligned": odd,
        "list": whole.tolist(),
    }
    trained = None
    for name, x in forms.items():
        np.testing.assert_array_equal(model.predict(x, verbose=0), wanted, name)
        model.train_on_batch(x, labels)
        after = model.get_weights()
        trained = trained or after
        assert all((one == other).all() for one, other in zip(after, trained)), name
        model.set_weights(weights)
    assert (mapped == whole).all()
    with pytest.raises(ValueError, match="x holds no samples"):
        model.predict(whole[:0], verbose=0)
    with pytest.raises(ValueError, match="no samples"):
        model.fit(whole[:0], labels[:0], verbose=0)
