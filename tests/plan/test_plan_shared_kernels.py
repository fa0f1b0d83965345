"""Kernels that differ in numbers alone are one function; what is taken out of a text are these numbers and nothing else."""

import re
from collections.abc import Callable

import pytest

from depthwise.compiler.kernels.elementwise import Copy
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.machine import Machine
from depthwise.compiler.module import emit_kernel, kernels_of
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.schedule import Schedule
from depthwise.compiler.plan.training import plan_training
from depthwise.compiler.sharing import SharedKernel, share, shared_kernels
from depthwise.network.graph import Graph
from support.large import inverted_residuals, resnext, vgg16
from support.planned import ADAM, GRAPHS, MACHINES, prediction_program, training_program


def put_back(code: SharedKernel) -> str:
    """The text with its numbers in it again."""
    text = code.text
    for place, value in enumerate(code.numbers):
        loading = f"  %place{place} = getelementptr i64, ptr %numbers, i64 {place}\n"
        loading += f"  %number{place} = load i64, ptr %place{place}, align 8\n"
        assert text.count(loading) == 1
        text = text.replace(loading, "")
        assert len(re.findall(rf"%number{place}\b", text)) == 1
        text = re.sub(rf"%number{place}\b", str(value), text)
    return text.replace(", ptr noalias readonly %numbers)", ")")


def check(schedule: Schedule, machine: Machine) -> None:
    for name, kernel in kernels_of(schedule).items():
        text = emit_kernel(kernel, machine.vectors)
        code = share(text, name)
        assert put_back(code) == text.replace(f'@"{name}"', f'@"{code.symbol}"')
        assert code.declaration.count("ptr") == kernel.declaration.count("ptr") + bool(code.numbers)
        assert code.declaration.count("i64") == kernel.declaration.count("i64")


@pytest.mark.parametrize("family", MACHINES)
@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_but_numbers_is_taken_out(name: str, family: str) -> None:
    machine, graph = MACHINES[family], GRAPHS[name]()
    check(plan_batches(prediction_program(graph), machine), machine)
    check(plan_single(prediction_program(graph), machine, 3), machine)
    if len(graph.outputs) == 1 and len(graph.output_shapes[0]) == 1:
        check(plan_training(training_program(graph), machine, ADAM), machine)


def test_equal_numbers_at_different_places_are_not_confused() -> None:
    """A square map and one that is not have the same function, and each its own numbers."""
    machine = MACHINES["avx2"]
    codes = []
    for rows, columns in ((9, 9), (7, 5)):
        source = MapView(rows, columns, 16, columns * 16 + 32, 16)
        target = MapView(rows, columns, 16, columns * 24, 24)
        kernel = Copy(source, target)
        codes.append(share(emit_kernel(kernel, machine.vectors), kernel.name))
    assert codes[0].symbol == codes[1].symbol
    assert codes[0].numbers != codes[1].numbers
    assert {9, 7, 5} <= {*codes[0].numbers, *codes[1].numbers}


@pytest.mark.parametrize("family", MACHINES)
@pytest.mark.parametrize("make", [inverted_residuals, resnext, vgg16])
def test_the_plan_for_batches_needs_few_functions_that_the_one_for_single_samples_lacks(
    make: Callable[[], Graph], family: str
) -> None:
    machine = MACHINES[family]
    program = prediction_program(make())
    single, batches = (kernels_of(plan) for plan in (plan_single(program, machine, 2), plan_batches(program, machine)))
    single_functions, functions = (
        {item.symbol for item in shared_kernels(kernels, machine.vectors).values()} for kernels in (single, batches)
    )
    assert 2 * len(functions - single_functions) <= len(batches.keys() - single.keys())
    assert len(functions) < 0.85 * len(batches)


def test_symbols_do_not_depend_on_the_order_of_kernels() -> None:
    machine = MACHINES["avx512"]
    kernels = kernels_of(plan_batches(prediction_program(inverted_residuals(96)), machine))
    backwards = shared_kernels(dict(reversed(kernels.items())), machine.vectors)
    assert shared_kernels(kernels, machine.vectors) == backwards
    assert len({item.symbol for item in backwards.values()}) < len(kernels)
