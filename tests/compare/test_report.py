"""Reports from made-up measurements: ratios by hand, JSON, and the rows that people read."""

import json
import math
from dataclasses import replace

import pytest

from depthwise.compare.report import Epoch, Ratio, Timing, TrainingRun
from depthwise.compare.wording import delivered_sentences, layer_groups, percent, result_rows, short_number, times
from depthwise.layers.descriptions import Dense
from depthwise.network.graph import sequential
from support.made_up import made_up, stopped_early


def test_lighter_and_heavier_follow_the_macs_not_the_order() -> None:
    report = made_up()
    assert [report.lighter.graph.name, report.heavier.graph.name] == ["light", "heavy"]
    turned = replace(report, networks=(report.networks[1], report.networks[0]))
    assert [turned.lighter.graph.name, turned.heavier.graph.name] == ["light", "heavy"]
    assert turned.ratios == report.ratios


def test_ratios_by_hand() -> None:
    report = made_up()
    # 8·8·8·9 + 8·8·(8·9 + 16·8) + 10·1024 against 8·8·8·9 + 8·8·16·72 + 10·1024
    assert report.lighter.graph.macs == 4_608 + 12_800 + 10_240
    assert report.heavier.graph.macs == 4_608 + 73_728 + 10_240
    assert report.macs_times == pytest.approx(88_576 / 27_648)
    assert {ratio.kind: ratio.times for ratio in report.ratios} == pytest.approx(
        {"batch": 2.0, "single": 0.5, "training": 3.0}
    )


def test_the_rate_of_multiply_accumulates() -> None:
    assert [Ratio("batch", times, 8.0).relative_rate for times in (8.0, 1.0, 0.5)] == [1.0, 0.125, 0.0625]


def test_what_was_delivered_is_said_as_it_is_drawn() -> None:
    lines = delivered_sentences(made_up(), "en")
    assert lines[0] == "light needs 3.2 times fewer MACs than heavy."
    assert lines[1:4] == [
        "Prediction in batches: 2.0× less time, of a possible 3.2×.",
        "Prediction of a single image: 2.0× the time, although it computes less.",
        "Training: 3.0× less time, of a possible 3.2×.",
    ]


def test_no_saving_is_said_so() -> None:
    report = made_up()
    same = replace(report, networks=(report.networks[0], replace(report.networks[1], graph=report.networks[0].graph)))
    assert delivered_sentences(same, "en") == ["Both networks need the same number of MACs, so no arithmetic is saved."]


@pytest.mark.parametrize(
    ("load", "rounds", "disturbed"),
    [
        (0.2, (0.02,) * 8, False),
        (None, (0.02,) * 8, False),
        (1.7, (0.02,) * 8, True),
        (0.2, (0.02, 0.03, 0.02, 0.03, 0.02, 0.03, 0.02, 0.03), True),
        (0.2, (0.02,) * 7 + (0.5,), False),  # one round out of eight
    ],
)
def test_a_busy_machine_is_told(load: float | None, rounds: tuple[float, ...], disturbed: bool) -> None:
    report = made_up()
    first, second = report.networks
    report = replace(
        report,
        machine=replace(report.machine, load=load),
        networks=(replace(first, batch=Timing(256, rounds)), replace(second, batch=Timing(256, (0.04,) * 8))),
    )
    assert report.is_disturbed is disturbed
    assert report.to_json()["is_disturbed"] is disturbed
    for language in ("en", "zh"):
        said = [line for line in delivered_sentences(report, language) if "busy" in line or "并不空闲" in line]
        assert len(said) == disturbed


def test_convolutional_part_and_head_add_up() -> None:
    for network in made_up().networks:
        assert network.head_parameters == 10 * 1024 + 10
        assert network.convolutional_parameters + network.head_parameters == network.graph.parameters
        assert network.head_macs == 10 * 1024


def test_medians_and_means() -> None:
    light, heavy = made_up((1, 2, 3)).networks
    assert light.batch is not None
    assert light.batch.median == 0.02
    assert light.batch.microseconds_per_image == pytest.approx(0.02 / 256 * 1e6)
    assert light.accuracy == pytest.approx((0.982, 0.001))
    assert heavy.training_seconds == pytest.approx((9.0, 0.0))
    assert heavy.epoch_seconds == 3.0


def test_json_says_everything_and_is_json() -> None:
    facts = json.loads(json.dumps(made_up((1, 2)).to_json(), allow_nan=False))
    assert facts["format"] == "depthwise.compare"
    light = facts["networks"][0]
    assert light["layers"][1]["parameters_formula"] == "8×(3×3×1)+16×(1×1×8)+16 = 216"
    assert sum(layer["parameters"] for layer in light["layers"]) == light["parameters"]
    assert sum(layer["macs"] for layer in light["layers"]) == light["macs"]
    assert [run["seed"] for run in light["runs"]] == [1, 2]
    low, high = light["runs"][0]["interval"]
    assert low < light["runs"][0]["accuracy"] < high
    assert facts["ratios"][0]["relative_rate"] == pytest.approx(2 * 27_648 / 88_576)
    assert facts["lighter"] == 0


def test_json_of_a_loss_that_diverged() -> None:
    report = made_up()
    first, second = report.networks
    diverged = TrainingRun(1, (Epoch(math.nan, 0.1, math.inf, 0.1, 1.0),), 100, 1000, is_complete=False)
    facts = replace(report, networks=(replace(first, runs=(diverged,)), second)).to_json()
    epoch = json.loads(json.dumps(facts, allow_nan=False))["networks"][0]["runs"][0]["epochs"][0]
    assert (epoch["loss"], epoch["test_loss"], epoch["accuracy"]) == (None, None, 0.1)


def test_what_ctrl_c_left_out_is_missing_not_made_up() -> None:
    report = stopped_early()
    assert report.ratios == ()
    rows = {row.label: row.values for row in result_rows(report, "en")}
    assert rows["Test accuracy"] == ("98.10 %", "–")
    assert rows["Training time"] == ("–", "–")  # no training came to its end
    assert rows["Predict a single image"] == ("–", "–")
    facts = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert facts["is_complete"] is False
    assert facts["networks"][1]["runs"] == []


def test_result_rows() -> None:
    rows = {row.label: row for row in result_rows(made_up(), "en")}
    assert rows["Parameters"].values == ("10,546", "11,498")
    assert rows["convolutional part"].ratio == "4.2×"
    assert rows["95 % interval"].values[0] == "97.05–98.78 %"
    assert rows["Predict 256 at once, per image"].values == ("78.1 µs", "156 µs")
    assert rows["Predict a single image"].ratio == "0.5×"
    several = {row.label: row for row in result_rows(made_up((1, 2, 3)), "zh")}
    assert several["测试准确率，3 个种子的均值"].values == ("98.20%", "97.20%")
    assert several["标准差"].values == ("± 0.10%", "± 0.10%")


def test_layers_that_correspond_are_paired_and_others_listed_apart() -> None:
    report = made_up()
    assert all(first and second for first, second in layer_groups(report))
    other = replace(report.networks[1], graph=sequential([Dense(10, input_shape=(4,))], "other"))
    pairs = layer_groups(replace(report, networks=(report.networks[0], other)))
    assert [(bool(first), bool(second)) for first, second in pairs] == [
        *[(True, False)] * 3,
        (True, True),  # the heads
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (0.001234, "0.00123"), (0.5, "0.500"), (5.0, "5.00"), (99.95, "100.0"), (12345.6, "12,346")],
)
def test_short_numbers(value: float, expected: str) -> None:
    assert short_number(value) == expected


def test_times_and_percent() -> None:
    assert (times(7.2008, "en"), times(123.4, "en"), times(0.04, "en")) == ("7.2×", "123×", "0.0400×")
    assert percent(0.9, "zh", 0) == "90%"


def test_median_of_an_even_number_of_rounds() -> None:
    assert Timing(2, (1.0, 2.0, 3.0, 10.0)).microseconds_per_image == pytest.approx(2.5 / 2 * 1e6)
