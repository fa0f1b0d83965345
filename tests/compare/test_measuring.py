"""Training, timing and the whole run on a tiny data set; Ctrl-C at every stage leaves what there is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise.compare.folder import model_file_names, prepare_folder, write_folder
from depthwise.compare.report import Report
from depthwise.compare.run import Contestant, compare
from depthwise.compare.training import train
from depthwise.data.dataset import Dataset
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError
from depthwise.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D, Rescaling
from depthwise.models import Model
from depthwise.network.graph import Graph, sequential
from depthwise.network.twins import ordinary_twin
from depthwise.timing import time_in_turns
from support.made_up import Watch, light_graph


def dataset(classes: int = 10) -> Dataset:
    """Images in which the class's row is bright: learnt in a moment."""
    random = np.random.default_rng(5)

    def part(count: int) -> tuple[Any, Any]:
        labels = np.arange(count) % classes
        images = random.integers(0, 60, (count, 8, 8, 1)).astype(np.uint8)
        images[np.arange(count), labels % 8, :, 0] += 150
        return images, labels.astype(np.int64)

    return Dataset("rows", *part(200), *part(40), class_names=tuple(map(str, range(classes))))


def contestants() -> tuple[Contestant, Contestant]:
    graph = light_graph()
    return Contestant("light", graph), Contestant("twin", ordinary_twin(graph, "heavy"))


def run(watch: Watch, **options: Any) -> tuple[Report, tuple[list[Model], list[Model]]]:
    given = {"epochs": 2, "batch_size": 50, "prediction_batch_size": 16} | options
    return compare(contestants(), dataset(), watch, **given)


def test_a_whole_comparison() -> None:
    watch = Watch()
    report, models = run(watch, seeds=(3, 4))
    assert report.is_complete
    assert watch.epochs == [(n, s, e) for s in (3, 4) for e in (1, 2) for n in (0, 1)]  # in turns
    assert watch.steps == 2 * 2 * 2 * 4
    for network, trained in zip(report.networks, models):
        assert [one.seed for one in network.runs] == [3, 4]
        for one, model in zip(network.runs, trained):
            assert one.is_complete
            assert len(one.epochs) == 2
            assert all(epoch.seconds > 0 for epoch in one.epochs)
            # The weights handed back are those that were tested.
            outputs = model.predict(dataset().x_test / np.float32(255), verbose=0)
            assert one.correct == np.count_nonzero(outputs.argmax(-1) == dataset().y_test)
            assert one.epochs[-1].test_accuracy == pytest.approx(one.correct / 40)
    assert {ratio.kind for ratio in report.ratios} == {"batch", "single", "training"}


def test_one_seed_gives_one_result_and_another_seed_another() -> None:
    first, again, other = (run(Watch(), seeds=(seed,), epochs=1)[1][0][0].get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def test_ctrl_c_in_the_second_epoch_keeps_the_first() -> None:
    watch = Watch(stop_at=(0, 2, 3))
    told = []
    report, models = run(watch, on_interrupt=lambda: told.append(True))
    assert told == [True]
    assert not report.is_complete
    only = report.networks[0].runs[0]
    assert len(only.epochs) == 1
    assert not only.is_complete
    outputs = models[0][0].predict(dataset().x_test / np.float32(255), verbose=0)
    assert np.count_nonzero(outputs.argmax(-1) == dataset().y_test) == only.correct
    # The other one has as many whole epochs, so the two can be compared; predictions were timed before.
    assert [len(one.epochs) for one in report.networks[1].runs] == [1]
    assert report.networks[1].runs[0].accuracy is not None
    assert len(models[1]) == 1
    assert {ratio.kind for ratio in report.ratios} == {"batch", "single", "training"}


def test_ctrl_c_in_the_first_epoch_has_no_accuracy_but_a_model() -> None:
    report, models = run(Watch(stop_at=(0, 1, 2)))
    only = report.networks[0].runs[0]
    assert (only.epochs, only.accuracy, only.interval) == ((), None, None)
    assert len(models[0]) == 1


def test_ctrl_c_while_timing_leaves_the_arithmetic() -> None:
    report, models = run(Watch(stop_at="timing"))
    assert not report.is_complete
    assert all(network.runs == () and network.batch is None for network in report.networks)
    assert report.macs_times > 1
    assert models == ([], [])


def test_what_needs_no_training_is_known_before_it() -> None:
    watch = Watch(stop_at=(0, 1, 1))
    run(watch)
    assert watch.first is not None
    assert {ratio.kind for ratio in watch.first.ratios} == {"batch", "single"}
    assert all(network.runs == () for network in watch.first.networks)


def test_shipped_weights_are_tested_where_both_networks_have_some() -> None:
    graph = light_graph()
    shipped = [Model.from_graph(graph) for _ in range(2)]
    pair = [Contestant(name, graph, shipped=model) for name, model in zip("ab", shipped)]
    report, _ = compare((pair[0], pair[1]), dataset(), Watch(), epochs=1, batch_size=50, prediction_batch_size=8)
    for network, model in zip(report.networks, shipped):
        outputs = model.predict(dataset().x_test / np.float32(255), verbose=0)
        assert network.shipped is not None
        assert network.shipped.correct == np.count_nonzero(outputs.argmax(-1) == dataset().y_test)
    half, _ = compare((pair[0], replace(pair[1], shipped=None)), dataset(), Watch(), epochs=1, batch_size=50)
    assert not half.has_shipped


def test_epochs_in_turns_give_the_bits_of_a_training_alone() -> None:
    _, models = run(Watch(), seeds=(3,))
    alone = contestants()[1].new_model(3)
    train(alone, dataset(), 3, 2, 50, 1, Watch())
    assert all(np.array_equal(a, b) for a, b in zip(alone.get_weights(), models[1][0].get_weights()))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(
        InvalidArgumentError, match="batch_size must be at most 200, the number of training images, got 201"
    ):
        run(Watch(), batch_size=201)


def test_loaded_networks_are_compared_as_they_are() -> None:
    graph = light_graph()
    loaded = [Model.from_graph(graph) for _ in range(2)]
    pair = (Contestant("a.keras", graph, loaded[0]), Contestant("b.keras", graph, loaded[1]))
    before = [model.get_weights() for model in loaded]
    report, models = compare(pair, dataset(), Watch(), epochs=0, prediction_batch_size=8)
    assert [[one.seed for one in network.runs] for network in report.networks] == [[None], [None]]
    assert models[0][0] is loaded[0]
    assert all(np.array_equal(a, b) for a, b in zip(before[0], loaded[0].get_weights()))
    assert report.settings.seeds == ()


def test_epochs_0_needs_trained_weights() -> None:
    with pytest.raises(InvalidArgumentError, match="with --epochs 0 both networks must come from files"):
        run(Watch(), epochs=0)


def small(*layers: Any, shape: tuple[int, int, int] = (8, 8, 1)) -> Graph:
    return sequential([Conv2D(4, 3, input_shape=shape), *layers], "small")


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        (small(Flatten(), Dense(10), shape=(9, 9, 1)), ShapeError, "resize the images to 9×9"),
        (small(Flatten(), Dense(10), shape=(8, 8, 3)), ShapeError, "the network reads 3 channels, the data has 1"),
        (small(), ShapeError, "'small' does not classify: its output has the shape (None, 6, 6, 4)"),
        (small(Flatten(), Dense(1)), ShapeError, "'small' does not classify"),
        (small(Flatten(), Dense(9)), InvalidDataError, "'small' has 9 outputs, but 'rows' has the class 9"),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_training(
    graph: Graph, error: type[DepthwiseError], message: str
) -> None:
    watch = Watch()
    with pytest.raises(error) as raised:
        compare((Contestant("light", light_graph()), Contestant("small", graph)), dataset(), watch)
    assert message in str(raised.value)
    assert watch.steps == 0


def test_two_inputs_are_refused() -> None:
    inputs = [depthwise.Input((8, 8, 1)), depthwise.Input((8, 8, 1))]
    graph = depthwise.Model(inputs, Flatten()(depthwise.layers.Add()(inputs))).graph
    with pytest.raises(UnsupportedError, match="has 2 inputs and 1 outputs"):
        compare((Contestant("two", graph), Contestant("light", light_graph())), dataset(), Watch())


def test_a_network_that_rescales_gets_raw_images_and_logits_train_too() -> None:
    """Without the layer the same network learns the same from 0 to 1, so both must learn; with raw values it could not."""
    rescales = sequential(
        [Rescaling(1 / 255, input_shape=(8, 8, 1)), Conv2D(8, 3, activation="relu"), Flatten(), Dense(8)], "rescales"
    )
    plain = sequential(
        [Conv2D(8, 3, activation="relu", input_shape=(8, 8, 1)), Flatten(), Dense(8, activation="softmax")], "plain"
    )
    pair = (Contestant("rescales", rescales), Contestant("plain", plain))
    report, _ = compare(pair, dataset(8), Watch(), epochs=30, batch_size=20, prediction_batch_size=8)
    for network in report.networks:
        assert network.accuracy is not None
        assert network.accuracy[0] > 0.9
    first, second = (network.runs[0].epochs[0].loss for network in report.networks)
    assert first == pytest.approx(second, rel=0.05)  # not 255 times it, nor of another loss


def test_every_call_has_its_turn_in_every_round() -> None:
    order: list[str] = []
    rounds = time_in_turns([lambda: order.append("a"), lambda: order.append("b")], 0.0, 5, 31)
    assert [len(values) for values in rounds] == [5, 5]
    turns = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert turns == ["a", "b"] * 6  # warm-up and five rounds
    assert all(value >= 0 for values in rounds for value in values)


def test_rounds_measure_one_call() -> None:
    import time

    (values,) = time_in_turns([lambda: time.sleep(0.004)], 0.0, 5, 31)
    assert all(0.004 <= value < 0.4 for value in values)


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    report, models = run(Watch(), epochs=1)
    first, second = (
        replace(network, files=(name,)) for network, name in zip(report.networks, ("light.keras", "heavy.keras"))
    )
    report = replace(report, networks=(first, second))
    prepare_folder(tmp_path, ["light.keras", "heavy.keras"])
    names = write_folder(tmp_path, report, models, "zh")
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert json.loads((tmp_path / "report.json").read_text())["files"] == sorted(names)
    assert "结果对照" in (tmp_path / "report.html").read_text(encoding="utf-8")
    loaded = depthwise.load_model(tmp_path / "light.keras")
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), models[0][0].get_weights()))
    with pytest.raises(
        InvalidArgumentError, match="holds an earlier comparison; name another folder, or give --overwrite"
    ):
        prepare_folder(tmp_path, ["light.keras", "heavy.keras"])
    prepare_folder(tmp_path, ["light.keras", "heavy.keras"], overwrite=True)


def test_file_names_are_harmless_and_differ() -> None:
    groups = model_file_names(["../../etc/passwd", "…", "A", "a"], [None])
    assert groups == [["etc-passwd.keras"], ["network.keras"], ["A.keras"], ["a-2.keras"]]
    assert len(model_file_names(["x" * 500], [1])[0][0]) <= 100


def test_pooling_networks_too() -> None:
    graph = small(GlobalAveragePooling2D(), Dense(10, activation="softmax"))
    report, _ = compare(
        (Contestant("small", graph), Contestant("light", light_graph())), dataset(), Watch(), epochs=1, batch_size=64
    )
    assert report.is_complete
