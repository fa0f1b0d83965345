"""The measurement itself: clocks change no result, times add up to the call's, and the command says what it found."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import depthwise
from depthwise.bench import run as bench_run
from depthwise.bench.measured import MeasuredExecutable
from depthwise.bench.mobilenet import blocks
from depthwise.bench.probes import CHAINS, measure_fma_peak, probe_text, probes
from depthwise.bench.report import BenchReport
from depthwise.bench.rivals import benchmark_script
from depthwise.bench.run import measure
from depthwise.bench.table import print_report
from depthwise.cli import app
from depthwise.compiler.lower import lower
from depthwise.compiler.native.compile import assembly, target_for
from depthwise.compiler.native.listing import functions_of, vector_stack_accesses
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.network.graph import Graph
from support.networks import note_cnn_with_head, seeded_weights
from support.planned import MACHINES, mobile

runner = CliRunner()


@pytest.fixture(autouse=True)
def two_threads() -> object:
    depthwise.set_threads(2)
    yield
    depthwise.set_threads(None)


@pytest.mark.parametrize("make", [note_cnn_with_head, mobile])
@pytest.mark.parametrize("batch", [1, 2, 13])
def test_clocks_change_no_prediction(make: Callable[[], Graph], batch: int) -> None:
    graph = make()
    weights = seeded_weights(graph, 3)
    x = np.random.default_rng(0).standard_normal((batch, *graph.input_shapes[0])).astype(np.float32)
    plain, clocked = depthwise.runtime.prediction.Prediction(lower(graph)), bench_run._MeasuredPrediction(lower(graph))
    for prediction in (plain, clocked):
        prediction.load(weights)
    np.testing.assert_array_equal(clocked((x,))[0], plain((x,))[0])
    assert isinstance(clocked.measured, MeasuredExecutable)
    ticks = clocked.measured.ticks()
    assert ticks.shape == (len(clocked.measured.rows),)
    assert (ticks >= 0).all()
    assert ticks.sum() > 0
    clocked.measured.clear()
    assert not clocked.measured.ticks().any()


def test_an_interruption_between_two_readings_takes_no_time_off_the_blocks() -> None:
    graph = note_cnn_with_head()
    prediction = bench_run._MeasuredPrediction(lower(graph))
    prediction.load(seeded_weights(graph))
    x = np.ones((8, *graph.input_shapes[0]), np.float32)
    prediction((x,))
    assert isinstance(prediction.measured, MeasuredExecutable)
    undisturbed = prediction.measured.ticks()
    prediction.measured._slots()[:, 0, 0] += 1 << 40  # every thread's empty pair was interrupted
    np.testing.assert_array_equal(prediction.measured.ticks(), undisturbed)
    assert undisturbed.sum() > 0


def test_clocks_change_no_training_step() -> None:
    graph = mobile()
    rng = np.random.default_rng(1)
    x, y = rng.random((6, *graph.input_shapes[0]), np.float32), rng.integers(0, 5, 6).astype(np.int32)
    loss, optimizer = depthwise.losses.SparseCategoricalCrossentropy(), depthwise.optimizers.Adam()
    steps = (
        depthwise.runtime.training_step.TrainingStep(lower(graph, training=True), loss, optimizer),
        bench_run._MeasuredStep(lower(graph, training=True), loss, optimizer),
    )
    results = []
    for step in steps:
        step.load(seeded_weights(graph, 2), {})
        step((x,), y, learning_rate=0.01, seed=5)
        results.append((step((x,), y, learning_rate=0.01, seed=6), step.weights()))
    np.testing.assert_array_equal(results[0][0].losses, results[1][0].losses)
    for name, value in results[0][1].items():
        np.testing.assert_array_equal(value, results[1][1][name])


@pytest.mark.parametrize("training", [False, True])
def test_the_report_of_a_measurement(training: bool) -> None:
    graph = note_cnn_with_head()
    shares: list[float] = []
    report = measure(graph, seeded_weights(graph), batch=32, training=training, seconds=0.3, observe=shares.append)
    assert shares == sorted(shares)
    assert report.rounds >= 7
    assert 0 < report.best_seconds <= report.seconds
    assert all(0 <= row.best_seconds <= row.seconds for row in report.rows)
    assert sum(row.best_seconds for row in report.rows) > 0
    stated = sum(node.facts.macs.value for node in graph.calls)
    # Backward twice as much as forward; input gradients of unpadded convolutions count their padding too.
    least, most = (2.5, 3.5) if training else (0.8, 1.0)
    assert least * stated <= report.macs <= most * stated
    assert report.core_flops > 0
    assert [rate > 0 for _, rate in report.bandwidths] == [True] * 3
    heaviest = max(report.rows, key=lambda row: row.cost.macs)
    assert "conv2d_1" in heaviest.name or training
    assert all(row.bound in ("multiply-adds", "arithmetic", "loads", "memory") for row in report.rows)


def report_of(name: str = "note") -> BenchReport:
    graph = note_cnn_with_head()
    found = measure(graph, seeded_weights(graph), batch=2, seconds=0.05)
    return BenchReport(**{**vars(found), "model": name})


def test_the_table_shows_every_block_and_hostile_names_harmlessly() -> None:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_report(report_of("\x1b[31mred[/] [bold]x"), console)
    console.file.close()
    text = console.export_text()
    assert "conv2d_1 + max_pooling2d_1: contraction → max pooling" in text
    assert "% of peak" in text
    assert "the real call:" in text
    assert "\x1b[31m" not in text
    assert "[bold]x" in text


def test_facts_are_plain_json() -> None:
    facts = json.loads(json.dumps(report_of().facts(), allow_nan=False))
    assert facts["bandwidths"][-1][0] is None
    assert facts["macs"] == pytest.approx(sum(row["cost"]["macs"] for row in facts["rows"]))


@pytest.mark.parametrize("family", ["avx512", "avx2", "sse", "neon"])
def test_probes_stay_in_registers(family: str) -> None:
    """A peak measured by a loop that spills would be none."""
    target = target_for(family)
    text = assembly(probe_text(MACHINES[family].vectors, target), target)
    assert vector_stack_accesses(text, target)["multiply_add"] == 0
    assert vector_stack_accesses(text, target)["read"] == 0
    names = {"avx512": "vfmadd", "avx2": "vfmadd", "neon": "fmla", "sse": "mulps"}
    count = sum(names[family] in line for line in functions_of(text)["multiply_add"])
    assert count >= CHAINS[family]


def test_the_peak_is_of_the_size_of_a_processor() -> None:
    assert 1e9 < measure_fma_peak(1) < 1e12
    assert probes().clock() <= probes().clock()


def test_command_prints_a_table_and_json(tmp_path: Path) -> None:
    result = runner.invoke(app, ["bench", "note-cnn", "--batch", "4", "--seconds", "0.05", "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "conv2d_1" in result.output
    assert "note-cnn: a prediction of batch 4" in result.output
    result = runner.invoke(app, ["bench", "note-cnn", "--batch", "4", "--seconds", "0.05", "--training", "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert (facts["work"], facts["batch"]) == ("training", 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a model"),
        (["note-cnn", "--blocks", "mobilenet"], "one of the two"),
        (["--blocks", "resnet"], "no blocks are named 'resnet'; there are mobilenet"),
        (["nothing"], "no network and no file is named"),
        (["note-cnn", "--rivals", "--json"], "--rivals takes no --json, --blocks"),
        (["mine.keras", "--rivals"], "--rivals knows note-separable"),
    ],
)
def test_wrong_arguments_get_one_sentence(arguments: list[str], message: str) -> None:
    result = runner.invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_hostile_file_is_refused_like_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "bad.keras"
    path.write_bytes(b"PK\x03\x04 nothing")
    result = runner.invoke(app, ["bench", str(path)])
    assert result.exit_code == 2
    assert result.output.startswith("depthwise: ")


def test_rivals_without_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert benchmark_script().name == "run"
    monkeypatch.setattr(depthwise, "__file__", str(tmp_path / "site-packages" / "depthwise" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedError, match="needs the repository"):
        benchmark_script()


def test_mobilenets_blocks_have_their_shapes_and_macs() -> None:
    found = {model.name: model for model in blocks("mobilenet")}
    expected = {
        "112x112x32-64": 112 * 112 * (9 * 32 + 32 * 64),
        "56x56x128-128": 56 * 56 * (9 * 128 + 128 * 128),
        "28x28x128-256-stride2": 14 * 14 * (9 * 128 + 128 * 256),
        "14x14x512-512": 14 * 14 * (9 * 512 + 512 * 512),
        "7x7x1024-1024": 7 * 7 * (9 * 1024 + 1024 * 1024),
        "28x28x32-192-32": 28 * 28 * (32 * 192 + 9 * 192 + 192 * 32),
    }
    macs = {
        name: sum(
            node.facts.macs.value for node in model.graph.calls if not type(node.layer).__name__.startswith("Batch")
        )
        for name, model in found.items()
    }
    assert macs == expected
    with pytest.raises(InvalidArgumentError, match="mobilenet"):
        blocks("vgg")


def test_every_step_of_compiling_is_written_to_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEPTHWISE_DUMP", "DEPTHWISE_DUMP_DIR"):
        monkeypatch.setenv(name, "")  # so that what the command sets ends with the test
    folder = tmp_path / "dump"
    arguments = ["bench", "note-cnn", "--batch", "4", "--seconds", "0.05", "--threads", "1", "--dump", str(folder)]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    names = sorted(path.name.split("-", 1)[1] for path in folder.iterdir())
    assert names == ["plan_batches", "plan_with_clocks"]
    for path in folder.iterdir():
        assert {item.name for item in path.iterdir()} == {"program.txt", "schedule.txt", "ir", "assembly"}
        assert len(list((path / "ir").iterdir())) == len(list((path / "assembly").iterdir())) > 3
