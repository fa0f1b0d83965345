"""What was compiled before runs again without passes, plan or compiler, and only while nothing that it depends on has changed."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.compiler import compile as compiler
from depthwise.compiler import recall
from depthwise.compiler.frame import frame_of, read_frame, write_frame
from depthwise.compiler.lower import lower
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.passes import PREDICTION
from depthwise.compiler.plan import prediction as planning
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.training import plan_training
from depthwise.layers import BatchNormalization, Conv2D, Dense, Flatten
from depthwise.network.graph import Graph, sequential
from depthwise.runtime.executable import host_machine
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import set_threads
from support.networks import seeded_weights
from support.planned import ADAM, mobile, prediction_program, training_program


def network() -> Graph:
    return sequential([Conv2D(4, 3, input_shape=(5, 6, 2)), BatchNormalization(), Flatten(), Dense(3)], "small")


def predicted(graph: Graph) -> list[np.ndarray]:
    """Outputs of a batch and of single samples, for which two threads share the work."""
    set_threads(2)
    prediction = Prediction(lower(graph))
    prediction.load(seeded_weights(graph))
    x = np.random.default_rng(0).standard_normal((3, *graph.input_shapes[0])).astype(np.float32)
    return [*prediction((x,)), *prediction((x[:1].copy(),))]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Every compilation, as it comes; the cache is empty at first."""
    monkeypatch.setenv("DEPTHWISE_CACHE_DIR", str(tmp_path / "cache"))
    found: list[Any] = []
    real = compiler.compile

    def compile(*arguments: Any) -> Any:
        found.append(real(*arguments))
        return found[-1]

    monkeypatch.setattr(recall, "compile", compile)
    return found


def test_a_second_start_optimises_and_plans_nothing(planned: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = predicted(network())
    assert len(planned) == 2

    def refuse(*_: object) -> None:
        raise AssertionError("a pass ran")

    monkeypatch.setattr(recall, "run_passes", refuse)
    for found, expected in zip(predicted(network()), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(planned) == 2


def other_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthwise.runtime.prediction.PREDICTION", PREDICTION[:3])


def other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = dataclasses.replace(host_machine(), second_cache=1 << 14)
    monkeypatch.setattr("depthwise.runtime.prediction.host_machine", lambda: machine)


def other_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "GROUP", 8)


def other_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_source", lambda: "changed")


def dumped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHWISE_DUMP", "schedule")
    monkeypatch.setenv("DEPTHWISE_DUMP_DIR", str(CompileCache().folder / "dump"))


@pytest.mark.parametrize("change", [other_passes, other_machine, other_constant, other_source, dumped])
def test_what_has_changed_is_planned_again(
    planned: list[Any], monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    predicted(network())
    planned.clear()
    change(monkeypatch)
    predicted(network())
    assert len(planned) == 2


@pytest.mark.parametrize("payload", [b"", b"[1]", b'{"code": "x", "constants": {}, "frame": {}}', b"\xff"])
def test_an_entry_that_is_no_frame_is_replaced(planned: list[Any], payload: bytes) -> None:
    wanted = predicted(network())
    cache = CompileCache()
    codes = {item.key for item in planned}
    kept = {path.stem: path.read_bytes() for path in cache.folder.iterdir()}
    frames = [key for key, content in kept.items() if b'"frame"' in content]
    assert len(frames) == 2
    planned.clear()
    cache.put_all(dict.fromkeys(frames, payload))
    for found, expected in zip(predicted(network()), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert {item.key for item in planned} == codes
    assert {path.stem: path.read_bytes() for path in cache.folder.iterdir()} == kept


def test_a_frame_whose_code_is_gone_is_compiled_again(planned: list[Any]) -> None:
    wanted = predicted(network())
    for item in planned:
        CompileCache().path(item.key).unlink()
    planned.clear()
    for found, expected in zip(predicted(network()), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(planned) == 2


def test_a_frame_is_read_as_it_was_written() -> None:
    program, training = prediction_program(mobile()), training_program(mobile())
    machine = host_machine()
    for frame in (
        frame_of(plan_batches(program, machine), program),
        frame_of(partial(plan_single, parts=2)(program, machine), program),
        frame_of(plan_training(training, machine, ADAM), training),
    ):
        assert frame.forms
        assert read_frame(json.loads(json.dumps(write_frame(frame)))) == frame
