"""Code does not grow with the map, the groups or the weights: lines of IR of networks that people use."""

from collections.abc import Callable
from math import prod

import pytest

from depthwise.compiler.machine import Machine
from depthwise.compiler.module import emit_stages, kernels_of
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.schedule import Schedule
from depthwise.compiler.plan.training import plan_training
from depthwise.compiler.sharing import shared_kernels
from depthwise.network.graph import Graph
from support.large import convnext_tiny, inverted_residuals, resnext, vgg16
from support.planned import ADAM, MACHINES, prediction_program, training_program

LARGEST_L3 = 512 << 20
"""Bytes: no weights stay in it."""


def plan(graph: Graph, work: str, machine: Machine) -> Schedule:
    if work == "training":
        return plan_training(training_program(graph), machine, ADAM)
    program = prediction_program(graph)
    return plan_batches(program, machine) if work == "batches" else plan_single(program, machine, 2)


def lines(schedule: Schedule, machine: Machine) -> tuple[int, int]:
    """Lines of IR of the stages, and of the kernels."""
    code = shared_kernels(kernels_of(schedule), machine.vectors)
    texts = {item.symbol: item.text for item in code.values()}
    return emit_stages(schedule, machine.vectors, code).count("\n"), sum(text.count("\n") for text in texts.values())


BOUNDS = {"batches": (1_700, 30_000), "single": (2_600, 25_000), "training": (16_000, 75_000)}
"""Lines of the stages, and of stages and kernels together."""


@pytest.mark.parametrize("family", ["avx512", "avx2"])
@pytest.mark.parametrize("work", BOUNDS)
@pytest.mark.parametrize("make", [convnext_tiny, inverted_residuals, resnext, vgg16])
def test_lines_of_ir(make: Callable[[], Graph], work: str, family: str) -> None:
    machine = MACHINES[family]
    stages, kernels = lines(plan(make(), work, machine), machine)
    assert stages < BOUNDS[work][0]
    assert stages + kernels < BOUNDS[work][1]


def test_these_networks_are_large() -> None:
    assert len(inverted_residuals().calls) > 150
    assert convnext_tiny().input_shapes == inverted_residuals().input_shapes == ((224, 224, 3),)
    weights = sum(prod(weight.shape) for node in vgg16().calls for weight in node.weights)
    assert 4 * weights > LARGEST_L3


@pytest.mark.parametrize("work", BOUNDS)
def test_sixteen_times_as_many_pixels_are_about_as_many_lines(work: str) -> None:
    """In the stages: how far kernels are unrolled depends on their shapes. Rows of maps that outgrow the second cache move in
    between, which is a loop of loops instead of a loop: once, however large the maps are then."""
    machine = MACHINES["avx2"]
    sizes = [lines(plan(inverted_residuals(size), work, machine), machine)[0] for size in (112, 448)]
    assert sizes[1] < (1.5 if work == "training" else 2.5) * sizes[0]
