"""Real networks in the benchmark: written by Keras, run by every rival, judged by Keras in float64; the document of a run."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.keras_networks import KERAS_NETWORKS
from benchmarks.protocol import Task
from benchmarks.results import Report, Result, RivalReport, Work, WorkReport
from benchmarks.rivals import RIVALS, missing
from benchmarks.runner import Settings, run

from benchmarks import command, document, models

MACS = {"ds_cnn": 2_656_768, "resnet8": 12_501_632}
"""125 positions of 40 × 64 and four times 9 × 64 + 64 × 64; 16,384 × (27 + 2 × 144) … as MLPerf Tiny publishes."""


@pytest.mark.parametrize("name", MACS)
def test_small_networks_are_those_of_the_publications(name: str) -> None:
    import depthwise

    model = KERAS_NETWORKS[name].make(depthwise)
    assert model.graph.macs == MACS[name]
    assert tuple(model.input_shape[1:]) == KERAS_NETWORKS[name].input_shape
    assert model.output_shape[-1] == KERAS_NETWORKS[name].classes


def test_every_real_network_has_a_work() -> None:
    assert {work.network for work in command.REAL_WORKS} == set(KERAS_NETWORKS)


def test_a_rival_that_walks_layers_says_so() -> None:
    with pytest.raises(ValueError, match="written down as a chain of layers"):
        _ = Task(KERAS_NETWORKS["ds_cnn"], [], 1, 1).steps
    assert Task(models.NOTE_CNN, [], 1, 1).steps is models.NOTE_CNN


@pytest.mark.sweep
def test_rivals_run_the_same_network() -> None:
    rivals = [rival for rival in RIVALS if rival.name in ("depthwise", "keras_jax", "onnxruntime")]
    for rival in rivals:
        assert missing(rival) is None
    settings = Settings(2, rounds=1, turn_seconds=0, try_seconds=0, starts=False, blocks=True)
    works = [Work("resnet8", "predict", 2), Work("resnet8", "training", 8), Work("ds_cnn", "predict", 1)]
    report = run(rivals, works, settings)
    assert report.blocks.keys() == {work.name for work in works}
    for work in report.works:
        assert work.reference == "Keras in float64"
        assert len(work.results) == (3 if work.work.kind == "predict" else 2)
        for result in work.results:
            assert result.failure is None
            assert result.error is not None
            assert 0 < result.error <= work.tolerance


def test_the_document_has_every_figure(tmp_path: Path) -> None:
    own = Result("depthwise", "predict_on_batch", 50.0, share_of_peak=0.5)
    fast, wrong = Result("fast", "whole batch", 75.0), Result("wrong", "whole batch", 10.0, deviates=True)
    broken = Result("broken", failure="no such operator")
    work = WorkReport(Work("resnet8", "predict", 1), "Keras in float64", 1e-5, [own, fast, wrong, broken])
    rivals = [RivalReport(name, name.capitalize(), {"numpy": "2"}) for name in ("depthwise", "fast", "wrong", "broken")]
    rivals.append(RivalReport("absent", "Absent", {"absent": None}, missing="not installed: absent"))
    cost = {"macs": 12.0, "bytes": 2048.0}
    row = {
        "name": "conv", "kinds": ["contraction", "add"], "cost": cost, "seconds": 3e-6, "share_of_peak": 0.25,
        "bound": "loads", "share_of_bound": 0.9,
    }  # fmt: skip
    blocks = {"rows": [row], "rounds": 5, "core_flops": 1e11, "seconds": 4e-5, "share_of_peak": 0.5}
    machine = {
        "time": "2026-01-01T00:00:00", "cpu": "CPU", "cpu_family_model": "1/2", "vector_extensions": ["avx2"],
        "fma_peak_gflops": 200.0, "load_average": 0.1,
    }  # fmt: skip
    report = Report(machine, {"threads": 2, "rounds": 5}, None, rivals, [work], {work.work.name: blocks})
    document.write(report, tmp_path / "new" / "results.md", "benchmarks/run --real")
    text = (tmp_path / "new" / "results.md").read_text(encoding="utf-8")
    assert "| resnet8, predict, 1 | 50.0 | 50% | 75.0 | 10.0 (deviates) | failed | Fast, whole batch | 1.50 |" in text
    assert "| `conv` | contraction → add | 12 | 3.0 | 25% | 2 | loads | 90% |" in text
    assert "- Absent: not installed: absent" in text
    assert "benchmarks/run --real" in text


def test_the_tolerance_of_losses_is_relative() -> None:
    """`expected` may be of any size: what counts is the error divided by it."""
    from benchmarks.runner import _judge, _Right

    right = _Right("someone", np.array([100.0, 10.0]), 1e-3, np.array([100.0, 10.0]))
    work = Work("resnet8", "training", 1)
    outputs = {"a": np.array([100.05, 10.0]), "b": np.array([100.0, 10.05])}
    first, second = _judge(work, [Result("a"), Result("b")], right, outputs).results
    assert (first.deviates, second.deviates) == (False, True)
