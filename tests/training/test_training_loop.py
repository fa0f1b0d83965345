"""`fit`, `evaluate` and the batch methods against real Keras: names, numbers, order of hooks."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers, models
from depthwise.data import Batches
from depthwise.errors import InvalidArgumentError
from depthwise.optimizers import SGD, Adam
from depthwise.random import set_random_seed
from depthwise.training.callbacks import Callback, EarlyStopping, LambdaCallback
from support.reference_step import data, dense_model


def keras_twin(model: Any, optimizer: Any, loss: Any, **compile_arguments: Any) -> Any:
    """A Keras model with the same layers' weights."""
    shape = model.input_shape[1:]
    dense = model.layers[-1]
    twin = keras.Sequential([keras.Input(shape), keras.layers.Dense(dense.units, activation=dense.activation)])
    twin.set_weights(model.get_weights())
    twin.compile(optimizer, loss, **compile_arguments)
    return twin


def both(
    loss: Any, optimizer: str = "sgd", classes: int = 3, activation: str = "softmax", **compile_arguments: Any
) -> Any:
    model = dense_model(classes=classes, activation=activation)
    model.compile({"sgd": SGD(0.1), "adam": Adam(0.05)}[optimizer], loss, **compile_arguments)
    optimizers = {"sgd": keras.optimizers.SGD(0.1), "adam": keras.optimizers.Adam(0.05)}
    return model, keras_twin(model, optimizers[optimizer], loss, **compile_arguments)


def same_history(ours: Any, theirs: Any, tolerance: float = 2e-5) -> None:
    assert list(ours.history) == list(theirs.history)
    assert ours.epoch == theirs.epoch
    for name, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[name], values, rtol=tolerance, atol=1e-6, err_msg=name)


ONE_HOT = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("loss", "metrics"),
    [
        ("sparse_categorical_crossentropy", ["accuracy"]),
        ("sparse_categorical_crossentropy", ["acc", "sparse_top_k_categorical_accuracy"]),
        ("categorical_crossentropy", ["accuracy", "top_k_categorical_accuracy", "mse"]),
        ("mse", ["mae", "accuracy"]),
        ("mean_absolute_error", ["mse"]),
        ("binary_crossentropy", ["accuracy", "binary_accuracy"]),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_history_is_that_of_keras(loss: str, metrics: Any, optimizer: str) -> None:
    x, y = data()
    labels = y if loss.startswith("sparse") else ONE_HOT[y]
    ours, theirs = both(loss, optimizer, metrics=metrics)
    arguments = {"epochs": 3, "batch_size": 8, "shuffle": False, "validation_split": 0.25, "verbose": 0}
    same_history(ours.fit(x, labels, **arguments), theirs.fit(x, labels, **arguments))
    for mine, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_one_output_is_binary() -> None:
    x, y = data(classes=2)
    ours, theirs = both("binary_crossentropy", classes=1, activation="sigmoid", metrics=["accuracy"])
    same_history(
        ours.fit(x, y, epochs=2, shuffle=False, verbose=0), theirs.fit(x, y, epochs=2, shuffle=False, verbose=0)
    )


@pytest.mark.parametrize(("loss", "metrics"), [("mse", ["mae", "categorical_accuracy"]), ("bce", ["binary_accuracy"])])
def test_maps_as_outputs(loss: str, metrics: Any) -> None:
    x = np.random.default_rng(2).normal(size=(12, 3, 2, 4)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[np.random.default_rng(3).integers(0, 3, size=(12, 3, 2))]
    ours = models.Sequential([layers.Dense(3, activation="sigmoid", input_shape=(3, 2, 4))])
    ours.compile(SGD(0.1), loss, metrics=metrics)
    theirs = keras_twin(ours, keras.optimizers.SGD(0.1), loss, metrics=metrics)
    arguments: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 5,
        "shuffle": False,
        "verbose": 0,
        "validation_data": (x, y),
    }
    same_history(ours.fit(x, y, **arguments), theirs.fit(x, y, **arguments))


@pytest.mark.parametrize("weights", ["sample", "class"])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_weights_count_as_in_keras(weights: str, loss: str) -> None:
    x, y = data()
    labels = y if loss.startswith("sparse") else ONE_HOT[y]
    given = (
        {"sample_weight": np.linspace(0.2, 2.0, len(x)).astype(np.float32)}
        if weights == "sample"
        else {"class_weight": {0: 0.5, 2: 3.0}}
    )
    ours, theirs = both(loss, metrics=["accuracy"], weighted_metrics=["accuracy", "mse"] if loss[0] == "c" else ["acc"])
    arguments = {"epochs": 2, "batch_size": 16, "shuffle": False, "validation_split": 0.2, "verbose": 0, **given}
    same_history(ours.fit(x, labels, **arguments), theirs.fit(x, labels, **arguments))


def test_metrics_of_the_same_name_are_numbered_as_in_keras() -> None:
    x, y = data()
    names = ["accuracy", "accuracy"]
    ours, theirs = both("sparse_categorical_crossentropy", metrics=names, weighted_metrics=[*names, "acc"])
    arguments = {"sample_weight": np.linspace(0, 1, len(x)), "shuffle": False, "verbose": 0}
    same_history(ours.fit(x, y, **arguments), theirs.fit(x, y, **arguments))


def test_optimizer_state_survives_fit_and_not_compile() -> None:
    x, y = data()
    ours, theirs = both("sparse_categorical_crossentropy", "adam")
    for _ in range(2):
        same_history(
            ours.fit(x, y, epochs=2, shuffle=False, verbose=0), theirs.fit(x, y, epochs=2, shuffle=False, verbose=0)
        )
    assert ours.optimizer.iterations == int(theirs.optimizer.iterations.numpy()) == 8
    ours.compile(Adam(0.05), "sparse_categorical_crossentropy")
    theirs.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    same_history(ours.fit(x, y, shuffle=False, verbose=0), theirs.fit(x, y, shuffle=False, verbose=0))


def test_evaluate_and_the_batch_methods_return_what_keras_returns() -> None:
    x, y = data()
    weight = np.linspace(0.1, 1, len(x)).astype(np.float32)
    ours, theirs = both("sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"])
    for arguments in ({}, {"sample_weight": weight}):
        for name in ("evaluate", "train_on_batch", "test_on_batch"):
            quiet = {"verbose": 0} if name == "evaluate" else {}
            mine = getattr(ours, name)(x, y, **arguments, **quiet)
            other = getattr(theirs, name)(x, y, **arguments, **quiet)
            np.testing.assert_allclose(mine, other, rtol=2e-5, atol=1e-6)
            mine = getattr(ours, name)(x, y, return_dict=True, **arguments, **quiet)
            other = getattr(theirs, name)(x, y, return_dict=True, **arguments, **quiet)
            assert set(mine) == set(other)
            np.testing.assert_allclose([mine[key] for key in other], list(other.values()), rtol=2e-5, atol=1e-6)
    mine = ours.train_on_batch(x, y, class_weight={1: 4.0})
    np.testing.assert_allclose(mine, theirs.train_on_batch(x, y, class_weight={1: 4.0}), rtol=2e-5, atol=1e-6)


def test_a_single_value_is_a_number() -> None:
    x, y = data()
    ours, _ = both("sparse_categorical_crossentropy")
    assert type(ours.evaluate(x, y, verbose=0)) is float
    assert type(ours.test_on_batch(x, y)) is float


class Recorder:
    """Notes every hook with its number and the keys of its logs; made for either library."""

    def __init__(self, base: Any) -> None:
        self.notes: list[Any] = []
        notes = self.notes

        class Noting(base):  # type: ignore[misc]
            pass

        def hook(name: Any) -> Any:
            def note(self: Any, *arguments: Any, **keywords: Any) -> None:
                logs = keywords.get("logs", arguments[-1] if arguments else None)
                number = arguments[0] if arguments and isinstance(arguments[0], int) else None
                # The logs of a batch's beginning are empty or None: neither says anything.
                notes.append((name, number, sorted(logs) if logs else None))

            return note

        for stage in ("train", "epoch", "train_batch", "test", "test_batch"):
            for end in ("begin", "end"):
                setattr(Noting, f"on_{stage}_{end}", hook(f"{stage}_{end}"))
        self.callback = Noting()


def test_hooks_come_in_the_order_of_keras_with_the_same_logs() -> None:
    x, y = data()
    ours, theirs = both("sparse_categorical_crossentropy", metrics=["accuracy"])
    mine, other = Recorder(Callback), Recorder(keras.callbacks.Callback)
    arguments: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 16,
        "validation_data": (x[:20], y[:20]),
        "validation_freq": 2,
        "verbose": 0,
    }
    ours.fit(x, y, callbacks=[mine.callback], **arguments)
    theirs.fit(x, y, callbacks=[other.callback], **arguments)
    ours.evaluate(x, y, callbacks=[mine.callback], verbose=0)
    theirs.evaluate(x, y, callbacks=[other.callback], verbose=0)
    assert mine.notes == other.notes
    assert mine.callback.params == {**other.callback.params}


def test_batch_logs_are_running_means() -> None:
    x, y = data()
    ours, theirs = both("sparse_categorical_crossentropy", metrics=["accuracy"])
    seen: dict[str, list[Any]] = {"ours": [], "theirs": []}
    mine = LambdaCallback(on_train_batch_end=lambda batch, logs: seen["ours"].append(dict(logs)))
    other = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen["theirs"].append(dict(logs)))
    ours.fit(x, y, callbacks=mine, shuffle=False, batch_size=8, verbose=0)
    theirs.fit(x, y, callbacks=[other], shuffle=False, batch_size=8, verbose=0)
    assert len(seen["ours"]) == len(seen["theirs"]) == 7
    for first, second in zip(seen["ours"], seen["theirs"]):
        assert list(first) == list(second)
        np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=1e-5)


def rows_seen(step: Any) -> Any:
    """The first value of each row of each batch: rows are numbered by it."""
    return [call.x[0][:, 0].astype(int).tolist() for call in step.calls]


def numbered(samples: Any, inputs: int = 4) -> Any:
    x = np.zeros((samples, inputs), np.float32)
    x[:, 0] = np.arange(samples)
    return x / 1.0, np.arange(samples) % 3


def flat(batches: Any) -> Any:
    return [row for batch in batches for row in batch]


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize(
    ("samples", "batch_size", "steps", "epochs"),
    [
        (10, 2, None, 2),
        (10, 3, None, 1),
        (20, 2, 4, 3),
        (20, 2, 5, 3),
        (6, 2, 5, 2),
        (10, None, 4, 2),
        (70, None, None, 1),
    ],
)
def test_steps_take_the_batches_that_keras_takes(
    reference_step: Any, samples: int, batch_size: Any, steps: Any, epochs: int
) -> None:
    x, y = numbered(samples)
    model = dense_model()
    model.compile(SGD(0.0), "sparse_categorical_crossentropy")
    arguments = {"batch_size": batch_size, "steps_per_epoch": steps, "epochs": epochs, "shuffle": False, "verbose": 0}
    ran_out = steps and batch_size and (samples // batch_size) % steps and samples < batch_size * steps * epochs
    if ran_out:
        with pytest.warns(UserWarning, match="the data ran out after"):
            model.fit(x, y, **arguments)
    else:
        model.fit(x, y, **arguments)
    seen = []

    class Rows(keras.Sequential):  # type: ignore[misc]
        def train_step(self, state: Any, batch: Any) -> Any:
            import jax

            jax.debug.callback(
                lambda rows: seen.append(np.asarray(rows).astype(int).tolist()), batch[0][:, 0], ordered=True
            )
            return super().train_step(state, batch)

    theirs = Rows([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    theirs.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    theirs.fit(x, y, **arguments)
    assert rows_seen(reference_step[0]) == seen


def test_validation_split_takes_the_last_samples_before_shuffling(reference_step: Any) -> None:
    x, y = numbered(41)
    model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=8, validation_split=0.1, epochs=2, verbose=0)
    batches = rows_seen(reference_step[0])
    first, second = batches[:5], batches[5:]
    for epoch in (first, second):
        assert sorted(flat(epoch)) == list(range(36))  # floor(41 × 0.9), as Keras
    assert first != second
    assert flat(first) != list(range(36))


def test_shuffling_follows_the_seed(reference_step: Any) -> None:
    x, y = numbered(30)
    orders = []
    for seed in (1, 1, 2):
        set_random_seed(seed)
        model = dense_model()
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        orders.append((rows_seen(reference_step[-1]), [call.seed for call in reference_step[-1].calls]))
    assert orders[0] == orders[1] != orders[2]
    assert len(set(orders[0][1])) == 8  # every step has a seed of its own


def test_shuffle_batch_keeps_batches_together(reference_step: Any) -> None:
    x, y = numbered(20)
    model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=5, shuffle="batch", verbose=0)
    batches = rows_seen(reference_step[0])
    assert [sorted(batch) for batch in batches] == [list(range(i, i + 5)) for i in range(0, 20, 5)]
    assert flat(batches) != list(range(20))


@pytest.mark.parametrize("shuffle", [False, True])
def test_bytes_become_floats_batch_by_batch(reference_step: Any, shuffle: bool) -> None:
    x = np.arange(200, dtype=np.uint8).reshape(50, 4)
    model = dense_model()
    model.compile(SGD(0.0), "sparse_categorical_crossentropy")
    model.fit(x, np.zeros(50, np.uint8), batch_size=16, shuffle=shuffle, verbose=0)
    seen = np.concatenate([call.x[0] for call in reference_step[0].calls])
    np.testing.assert_array_equal(seen[np.argsort(seen[:, 0])], x)


def test_grey_images_without_the_channel_axis() -> None:
    x = np.zeros((6, 5, 5), np.uint8)
    model = models.Sequential([layers.Flatten(input_shape=(5, 5, 1)), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert len(model.fit(x, [0, 1, 0, 1, 0, 1], verbose=0).history["loss"]) == 1


class Halves(Batches):
    def __init__(self, x: Any, y: Any, weight: Any = None) -> None:
        self.x, self.y, self.weight, self.ended = x, y, weight, 0

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        part = slice(index * 25, index * 25 + 25)
        return (self.x[part], self.y[part], *((self.weight[part],) if self.weight is not None else ()))

    def on_epoch_end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sequence_of_batches_is_as_good_as_arrays(weighted: bool) -> None:
    x, y = data()
    weight = np.linspace(0, 1, 50).astype(np.float32) if weighted else None
    histories = []
    for sequence in (False, True):
        set_random_seed(3)
        model = dense_model()
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        if sequence:
            batches = Halves(x, y, weight)
            history = model.fit(batches, epochs=2, shuffle=False, validation_data=Halves(x, y), verbose=0)
            assert batches.ended == 2
        else:
            history = model.fit(
                x, y, sample_weight=weight, batch_size=25, epochs=2, shuffle=False, validation_data=(x, y), verbose=0
            )
        histories.append(history.history)
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], rtol=1e-6)


def test_a_generator_is_read_with_steps() -> None:
    x, y = data()

    def forever() -> Iterator[Any]:
        while True:
            yield x, y

    model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.fit(forever(), steps_per_epoch=3, epochs=2, verbose=0).epoch == [0, 1]
    assert model.optimizer.iterations == 6
    with pytest.warns(UserWarning, match="the data ran out after 0 of 1 steps"):
        history = model.fit(iter([(x, y)]), epochs=3, verbose=0)
    assert history.epoch == [0]


def test_initial_epoch() -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.fit(x, y, initial_epoch=3, epochs=5, verbose=0).epoch == [3, 4]


def test_a_callback_sees_and_sets_the_weights_of_the_moment(reference_step: Any) -> None:
    x, y = data()
    model = dense_model()
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    seen = []

    class Setter(Callback):
        def on_train_batch_end(self, batch: Any, logs: Any = None) -> None:
            seen.append(self.model.get_weights()[0].copy())
            if batch == 0:
                self.model.set_weights([np.full((4, 3), 7.0), np.zeros(3)])

    before = model.get_weights()[0]
    model.fit(x, y, batch_size=25, shuffle=False, callbacks=[Setter()], verbose=0)
    assert not np.array_equal(seen[0], before)
    # Every class had the same score: the second step starts from 7 and moves little.
    assert np.abs(seen[1] - 7).max() < 0.5
    assert not np.array_equal(seen[1], np.full((4, 3), 7.0))
    np.testing.assert_array_equal(seen[1], model.get_weights()[0])


def test_stop_training_ends_after_the_batch() -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy")

    class Stop(Callback):
        def on_batch_end(self, batch: Any, logs: Any = None) -> None:
            if batch == 2:
                self.model.stop_training = True

    history = model.fit(x, y, batch_size=8, epochs=5, callbacks=Stop(), verbose=0)
    assert history.epoch == [0]
    assert model.optimizer.iterations == 3


def test_ctrl_c_leaves_the_weights_of_the_last_finished_step(reference_step: Any) -> None:
    x, y = data()
    model = dense_model()
    model.compile("adam", "sparse_categorical_crossentropy")

    class Interrupt(Callback):
        def on_train_batch_begin(self, batch: Any, logs: Any = None) -> None:
            if (self.epoch, batch) == (1, 2):
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch: Any, logs: Any = None) -> None:
            self.epoch = epoch

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=10, epochs=5, callbacks=[Interrupt()], verbose=0)
    assert model.history.epoch == [0]
    assert model.optimizer.iterations == 7
    for name, array in reference_step[0].weights().items():
        np.testing.assert_array_equal(array, model.weights_by_name[name])
    assert model.fit(x, y, batch_size=10, verbose=0).epoch == [0]  # and training goes on
    assert model.optimizer.iterations == 12


def test_early_stopping_restores_the_weights_of_the_best_epoch() -> None:
    x, y = data()
    model = dense_model()
    model.compile(SGD(0.5), "sparse_categorical_crossentropy")
    kept = []
    values = iter([3.0, 1.0, 2.0, 2.0])

    class Script(Callback):
        def on_epoch_end(self, epoch: Any, logs: Any = None) -> None:
            logs["val_loss"] = next(values)
            kept.append(self.model.get_weights())

    stop = EarlyStopping(patience=2, restore_best_weights=True)
    history = model.fit(x, y, epochs=9, callbacks=[Script(), stop], verbose=0)
    assert history.history["val_loss"] == [3.0, 1.0, 2.0, 2.0]
    for restored, best, last in zip(model.get_weights(), kept[1], kept[-1]):
        np.testing.assert_array_equal(restored, best)
        assert not np.array_equal(restored, last)


def test_fit_inside_fit_is_refused() -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    again = LambdaCallback(on_epoch_end=lambda epoch, logs: model.fit(x, y, verbose=0))
    with pytest.raises(InvalidArgumentError, match="fit: the model is being trained already"):
        model.fit(x, y, callbacks=again, verbose=0)


def test_validation_batch_size_changes_nothing() -> None:
    x, y = data()
    values = []
    for size in (1, 7, 50):
        set_random_seed(1)
        model = dense_model()
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, validation_data=(x, y), validation_batch_size=size, verbose=0)
        values.append((history.history["val_loss"][0], history.history["val_accuracy"][0]))
    np.testing.assert_allclose(values, [values[0]] * 3, rtol=1e-6)
