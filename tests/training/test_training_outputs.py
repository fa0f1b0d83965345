"""What the loops do with several outputs: forms of labels and weights, names in the logs, callbacks, messages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import callbacks, layers, losses, metrics, models, optimizers
from depthwise.errors import DepthwiseError
from depthwise.network.symbolic import Input

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
KIND = np.arange(12) % 3
SIZE = np.random.default_rng(1).random((12, 1)).astype(np.float32)
LOSSES = ["sparse_categorical_crossentropy", "mse"]


def two_heads(loss: Any = LOSSES, **arguments: Any) -> Any:
    x = Input((4,))
    h = layers.Dense(5, activation="relu", name="h")(x)
    model = models.Model(x, [layers.Dense(3, activation="softmax", name="kind")(h), layers.Dense(1, name="size")(h)])
    model.set_weights([np.random.default_rng(9).normal(size=w.shape) for w in model.get_weights()])
    model.compile(optimizers.SGD(0.01, momentum=0.9), loss, **arguments)
    return model


def chain() -> Any:
    return models.Sequential([layers.Dense(1, input_shape=(4,), name="size")])


FORMS = {
    "list": [KIND, SIZE],
    "tuple": (KIND, SIZE),
    "dict": {"size": SIZE, "kind": KIND},
    "flat labels": [KIND[:, None], SIZE[:, 0]],
    "lists of numbers": [KIND.tolist(), SIZE.tolist()],
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_in_any_form(form: str) -> None:
    expected = two_heads().evaluate(X, [KIND, SIZE], verbose=0, return_dict=True)
    assert list(expected) == ["kind_loss", "loss", "size_loss"]
    assert expected["loss"] == pytest.approx(expected["kind_loss"] + expected["size_loss"], rel=1e-12)
    model, y = two_heads(), FORMS[form]
    assert model.evaluate(X, y, verbose=0, return_dict=True) == expected
    assert model.test_on_batch(X, y, return_dict=True) == expected
    assert model.train_on_batch(X, y, return_dict=True) == pytest.approx(expected, rel=1e-6)


def test_weights_of_samples_in_any_form() -> None:
    share = np.linspace(0.5, 2.0, 12)
    model = two_heads(weighted_metrics=[["accuracy"], ["mae"]])
    for_all = model.evaluate(X, [KIND, SIZE], sample_weight=share, verbose=0)
    assert model.evaluate(X, [KIND, SIZE], sample_weight=[share, share], verbose=0) == for_all
    assert model.evaluate(X, [KIND, SIZE], sample_weight={"size": share, "kind": share}, verbose=0) == for_all
    assert model.evaluate(X, [KIND, SIZE], sample_weight=share[:, None], verbose=0) == for_all
    one = model.evaluate(X, [KIND, SIZE], sample_weight=[None, share], verbose=0, return_dict=True)
    assert one == model.evaluate(X, [KIND, SIZE], sample_weight={"size": share}, verbose=0, return_dict=True)
    plain = model.evaluate(X, [KIND, SIZE], verbose=0, return_dict=True)
    assert one["kind_loss"] == plain["kind_loss"]
    assert one["size_loss"] == pytest.approx(float(np.mean(share * (model.predict(X, verbose=0)[1] - SIZE)[:, 0] ** 2)))


def test_losses_are_added_with_their_weights() -> None:
    values = two_heads(loss_weights=[0.5, 3.0]).evaluate(X, [KIND, SIZE], verbose=0, return_dict=True)
    plain = two_heads().evaluate(X, [KIND, SIZE], verbose=0, return_dict=True)
    assert (values["kind_loss"], values["size_loss"]) == (plain["kind_loss"], plain["size_loss"])
    assert values["loss"] == pytest.approx(0.5 * values["kind_loss"] + 3.0 * values["size_loss"], rel=1e-12)
    by_name = two_heads(
        dict(zip(("size", "kind"), reversed(LOSSES))), loss_weights={"size": 3.0, "kind": 0.5}
    ).evaluate(X, {"kind": KIND, "size": SIZE}, verbose=0, return_dict=True)
    assert by_name == values
    # By name also beside a list of losses, where Keras takes them in alphabetical order.
    mixed = two_heads(LOSSES, loss_weights={"size": 3.0, "kind": 0.5})
    assert mixed.evaluate(X, [KIND, SIZE], verbose=0, return_dict=True) == values


def test_an_output_without_a_loss_needs_no_labels() -> None:
    model = two_heads([LOSSES[0], None])
    assert model.metrics_names == ["loss"]
    expected = model.evaluate(X, [KIND, None], verbose=0)
    for y in (KIND, [KIND], [KIND, SIZE], {"kind": KIND}, {"kind": KIND, "size": None}):
        assert model.evaluate(X, y, verbose=0) == expected
    before = model.get_layer("size").get_weights()
    assert list(model.fit(X, KIND, epochs=2, verbose=0).history) == ["loss"]
    for a, b in zip(before, model.get_layer("size").get_weights()):
        np.testing.assert_array_equal(a, b)
    measured = two_heads([LOSSES[0], None], metrics={"size": ["mae"]})
    assert list(measured.evaluate(X, [KIND, SIZE], verbose=0, return_dict=True)) == ["loss", "size_mae"]
    with pytest.raises(
        DepthwiseError, match=r"y must be a list or a dict with labels .*'kind' \(None, 3\), 'size' \(None, 1\)"
    ):
        measured.evaluate(X, KIND, verbose=0)


def test_names_and_order_of_the_logs() -> None:
    model = two_heads(
        metrics={"size": ["mae", metrics.MeanSquaredError()], "kind": "accuracy"}, weighted_metrics=[["accuracy"], []]
    )
    history = model.fit(X, [KIND, SIZE], validation_split=0.25, epochs=2, verbose=0).history
    names = [
        "kind_accuracy",
        "kind_loss",
        "kind_weighted_accuracy",
        "loss",
        "size_loss",
        "size_mae",
        "size_mean_squared_error",
    ]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    assert model.metrics_names == ["loss", "compile_metrics", "kind_loss", "size_loss"]
    values = model.evaluate(X, [KIND, SIZE], verbose=0)
    by_name = model.evaluate(X, [KIND, SIZE], verbose=0, return_dict=True)
    order = ["loss", "kind_loss", "size_loss", *(name for name in names if not name.endswith("loss"))]
    assert values == [by_name[name] for name in order]


class Batches:
    """Batches with labels and weights as dicts."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        part = slice(4 * index, 4 * index + 4)
        return X[part], {"kind": KIND[part], "size": SIZE[part]}, {"kind": np.full(4, 2.0)}


def test_batches_of_nested_structures() -> None:
    model, other = two_heads(), two_heads()
    share = {"kind": np.full(12, 2.0)}
    expected = model.fit(X, [KIND, SIZE], batch_size=4, shuffle=False, sample_weight=share, verbose=0).history
    got = other.fit(Batches(), shuffle=False, verbose=0, validation_data=Batches()).history
    assert {name: got[name] for name in expected} == expected
    generator = ((x, tuple(y.values()), list(w.values())) for x, y, w in map(Batches().__getitem__, range(3)))
    with pytest.raises(
        DepthwiseError, match=r"batch 0: sample_weight is a list of 1, but the outputs are 'kind', 'size'"
    ):
        two_heads().fit(generator, verbose=0)


def test_callbacks_follow_the_loss_of_one_output(tmp_path: Path) -> None:
    stopping = callbacks.EarlyStopping("val_size_loss", patience=1, min_delta=100.0, restore_best_weights=True)
    model = two_heads(metrics=[["accuracy"], ["mae"]])
    history = model.fit(X, [KIND, SIZE], validation_data=(X, [KIND, SIZE]), epochs=9, verbose=0, callbacks=[stopping])
    assert len(history.epoch) < 9
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "{val_kind_accuracy:.1f}.weights.h5", save_weights_only=True)
    model.fit(X, [KIND, SIZE], validation_split=0.25, verbose=0, callbacks=[checkpoint])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_training_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    class Break(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 5:
                raise KeyboardInterrupt

    arguments: dict[str, Any] = {"batch_size": 4, "epochs": 3, "verbose": 0}
    options = {"metrics": [["accuracy"], ["mae"]], "loss_weights": [1.0, 0.5]}
    whole, broken = two_heads(**options), two_heads(**options)
    whole.fit(X, [KIND, SIZE], shuffle=False, **arguments)
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, [KIND, SIZE], shuffle=False, callbacks=[backup, Break()], **arguments)
    again = two_heads(**options)
    history = again.fit(
        X, [KIND, SIZE], shuffle=False, callbacks=[callbacks.BackupAndRestore(tmp_path / "backup")], **arguments
    )
    for a, b in zip(again.get_weights(), whole.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert history.history["size_loss"] == whole.history.history["size_loss"][1:]


def test_one_output_takes_lists_and_dicts_of_one() -> None:
    plain = chain()
    plain.compile("sgd", "mse", metrics=["mae"])
    expected = plain.evaluate(X, SIZE, verbose=0)
    for loss, weights, given, y in (
        (["mse"], [1.0], [["mae"]], [SIZE]),
        ({"size": "mse"}, {"size": 1.0}, {"size": ["mae"]}, {"size": SIZE}),
        (("mse",), 1.0, {"size": "mae"}, (SIZE,)),
    ):
        model = chain()
        model.set_weights(plain.get_weights())
        model.compile("sgd", loss, loss_weights=weights, metrics=given)
        assert model.evaluate(X, y, verbose=0) == expected
        assert model.metrics_names == ["loss", "compile_metrics"]
    double = chain()
    double.set_weights(plain.get_weights())
    double.compile("sgd", losses.MeanSquaredError(), loss_weights=[2.0])
    assert double.evaluate(X, SIZE, verbose=0) == pytest.approx(2.0 * expected[0])


def test_compiling_without_a_loss() -> None:
    model = chain()
    model.compile("adam")
    assert model.loss is None
    assert model.predict(X, verbose=0).shape == (12, 1)
    for method in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(DepthwiseError, match="the model is compiled without a loss; call compile"):
            method(X, SIZE)
    with pytest.raises(DepthwiseError, match="the model is compiled without a loss"):
        two_heads([None, None]).fit(X, [KIND, SIZE], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": ["mse"]}, "loss is a list of 1, but the model has 2 outputs ('kind', 'size')"),
        ({"loss": {"kind": "mse"}}, "loss is given for 'kind', but the model's outputs are 'kind', 'size'; give a loss for each"),
        ({"loss": {"kind": "mse", "sizes": "mse"}}, "loss is given for 'kind', 'sizes', but the model's outputs are"),
        ({"loss_weights": [1.0]}, "loss_weights must be a number for each output, got [1.0] for 2 outputs ('kind', 'size')"),
        ({"loss_weights": {"kind": 1.0}}, "loss_weights are given for 'kind', but the model's outputs are 'kind', 'size'"),
        ({"loss_weights": [1.0, "2"]}, "loss_weights must be finite numbers, got '2'"),
        ({"loss_weights": [1.0, float("nan")]}, "loss_weights must be finite numbers, got nan"),
        ({"metrics": ["accuracy"]}, "metrics is a list of 1, but the model has 2 outputs ('kind', 'size')"),
        ({"metrics": {"sort": ["accuracy"]}}, "metrics is a dict for 'sort', but the model has 2 outputs ('kind', 'size')"),
        ({"metrics": [["mae"], None]}, "the metric MeanAbsoluteError needs labels with one value for each output"),
        (
            {"loss": [None, "mse"], "metrics": [["accuracy"], None]},
            "the output 'kind' has no loss, so it is not known which labels 'accuracy' compares",
        ),
        (
            {"loss": ["mse", "categorical_crossentropy"]},
            "CategoricalCrossentropy needs at least two classes, but the output 'size' has one value",
        ),
    ],
)  # fmt: skip
def test_compile_names_the_outputs(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DepthwiseError) as caught:
        two_heads(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (KIND, None, "y must be a list or a dict with labels for each of the outputs 'kind' (None, 3), 'size' (None, 1), got one array of the shape (12,)"),
        ([KIND], None, "y must have labels for each of the outputs 'kind' (None, 3), 'size' (None, 1), got a list of 1"),
        ({"kind": KIND}, None, "y lacks 'size'; labels are needed for the outputs 'kind' (None, 3), 'size' (None, 1)"),
        ({"kind": KIND, "sizes": SIZE}, None, "y has 'sizes'; labels are needed for the outputs"),
        ([KIND, None], None, "y['size'] is None; labels are needed for the outputs"),
        ([KIND, SIZE[:5]], None, "x has 12 samples but y['size'] has 5 labels"),
        ([KIND, KIND * np.nan], None, "y['size'][0] is nan; every value must be finite"),
        ([KIND + 7, SIZE], None, "y['kind'][0] is 7; the network has 3 outputs, so labels are 0 to 2"),
        ([KIND, np.zeros((12, 2))], None, "y['size'] has the shape (12, 2), but the network's output has (12, 1)"),
        ([KIND, SIZE], np.ones((12, 2)), "sample_weight must have the shape (samples,) where it is for all outputs, got (12, 2)"),
        ([KIND, SIZE], [np.ones(12)], "sample_weight is a list of 1, but the outputs are 'kind', 'size'"),
        ([KIND, SIZE], {"sort": np.ones(12)}, "sample_weight has 'sort', but the outputs are 'kind', 'size'"),
        ([KIND, SIZE], [None, np.ones(5)], "sample_weight['size'] must have the shape (12,), one weight a sample, got (5,)"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_the_outputs(y: Any, weights: Any, message: str) -> None:
    with pytest.raises(DepthwiseError) as caught:
        two_heads().fit(X, y, sample_weight=weights, verbose=0)
    assert message in str(caught.value)


def test_weights_by_class_are_for_one_output() -> None:
    with pytest.raises(DepthwiseError, match="class_weight is for models with one output, this one has 'kind', 'size'"):
        two_heads().fit(X, [KIND, SIZE], class_weight={0: 2.0}, verbose=0)


def test_a_loss_that_is_not_finite_is_found_in_its_output() -> None:
    model = two_heads()
    weights = model.get_weights()
    weights[4][:] = 3e38
    model.set_weights(weights)
    with pytest.warns(RuntimeWarning, match="the first bad layer is size"):
        model.fit(X, [KIND, SIZE], epochs=3, verbose=0)
