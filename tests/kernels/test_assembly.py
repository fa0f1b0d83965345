"""What the generators' text becomes: full tiles stay in registers, and every vector family gets its own instructions."""

import re

import numpy as np
import pytest

from depthwise.compiler.compile import compile
from depthwise.compiler.ir.program import Program
from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.kernels.depthwise import DepthwiseConvolution, DepthwiseWeightGradient
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.lower import lower
from depthwise.compiler.machine import choose_depthwise_tile, choose_tile, machine_for
from depthwise.compiler.module import emit_stages, kernels_of
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.compile import assembly, can_run, target_for
from depthwise.compiler.native.listing import called_symbols, functions_of
from depthwise.compiler.passes import PREDICTION, run_passes
from depthwise.compiler.plan.prediction import plan_batches
from depthwise.compiler.sharing import shared_kernels
from depthwise.reference import bounds, network
from depthwise.runtime.executable import Executable
from depthwise.runtime.packed import PackedParameters
from support.compiled import module_text
from support.gates import error_gate
from support.networks import note_cnn_with_head, note_separable, seeded_weights

FAMILIES = ("avx512", "avx2", "sse", "neon")
# Spilled vectors need an aligned stack, and LLVM reaches those through rsp; rbp is a register like any other here.
STACK = re.compile(r"%rsp\b")
MULTIPLY_ADD = {
    "avx512": re.compile(r"\bvfn?madd\w+ps\b.*%zmm"),
    "avx2": re.compile(r"\bvfn?madd\w+ps\b.*%ymm"),
    "sse": re.compile(r"\bmulps\b.*%xmm"),
    "neon": re.compile(r"\bfmla\b\s+v\d+\.4s"),
}
JUMP = re.compile(r"^\s+(?:j\w+|b\.\w+|b|cbn?z|tbn?z)\s+(?:\w+, )*(?:#\d+, )?(\.L\w+)")


def innermost_loops(lines: list[str]) -> list[list[str]]:
    """The bodies of loops that hold no other loop: from a label to a jump back to it."""
    labels = {match.group(1): i for i, line in enumerate(lines) if (match := re.match(r"^(\.L\w+):", line))}
    spans = []
    for i, line in enumerate(lines):
        jump = JUMP.match(line)
        if jump and labels.get(jump.group(1), i) < i:
            spans.append((labels[jump.group(1)], i))
    return [
        lines[first : last + 1]
        for first, last in spans
        if not any(first <= other[0] and other[1] <= last and other != (first, last) for other in spans)
    ]


def hot_loops(family: str, text: str) -> list[list[str]]:
    """The innermost loops that multiply and add, of every function."""
    listing = functions_of(assembly(text, target_for(family)))
    loops = [loop for lines in listing.values() for loop in innermost_loops(lines)]
    return [loop for loop in loops if sum(bool(MULTIPLY_ADD[family].search(line)) for line in loop) >= 4]


def _pointwise(family: str, positions: int, channels: int, depth: int, *, packed: bool = True) -> Contraction:
    vectors = machine_for(family).vectors
    padded = vectors.round_up(channels)
    return Contraction(
        a_rows=(0,),
        out_rows=(0,),
        columns=positions,
        a_column=depth if packed else 1,
        out_column=padded,
        reduction=(Reduction(depth, 1) if packed else Reduction(depth, positions, padded),),
        channels=channels,
        packed=packed,
        initial="bias" if packed else "out",
        activation="linear",
        exact=False,
        tile=choose_tile(vectors, positions, channels),
        panels_outside=False,
    )


def _first_layer(family: str, stride: int, filters: int) -> Contraction:
    """A 3×3 convolution of an image of three channels, 27 columns wide: the windows of neighbours share numbers."""
    vectors = machine_for(family).vectors
    rows, columns = 5, (27 - 3) // stride + 1
    return Contraction(
        a_rows=tuple(range(0, rows * stride * 81, stride * 81)),
        out_rows=tuple(range(0, rows * columns * filters, columns * filters)),
        columns=columns,
        a_column=3 * stride,
        out_column=filters,
        reduction=(Reduction(3, 81), Reduction(9, 1)),
        channels=filters,
        packed=True,
        initial="bias",
        activation="relu6",
        exact=False,
        tile=choose_tile(vectors, rows * columns, filters),
        panels_outside=False,
    )


def _kernels(family: str) -> dict[str, object]:
    vectors = machine_for(family).vectors
    lanes = vectors.lanes
    source, target = (
        MapView(16, 16, 2 * lanes, 32 * lanes, 2 * lanes),
        MapView(14, 14, 2 * lanes, 28 * lanes, 2 * lanes),
    )
    tile = choose_depthwise_tile(vectors, (3, 3), (1, 1), 14, 14)
    window = {"kernel_size": (3, 3), "strides": (1, 1), "dilation": (1, 1)}
    return {
        "pointwise 32 by 128": _pointwise(family, 196, 32, 128),
        "pointwise 64 by 64": _pointwise(family, 196, 64, 64),
        "pointwise 128 by 128": _pointwise(family, 49, 128, 128),
        "first layer 32": _first_layer(family, 2, 32),
        "first layer 64": _first_layer(family, 1, 64),
        "dense 128": _pointwise(family, 12, 128, 1152),
        "weight gradient 64 by 64": _pointwise(family, 64, 64, 196, packed=False),
        "depthwise 3 by 3": DepthwiseConvolution(
            source=source, target=target, bias=True, activation="linear", tile=tile, **window
        ),
        "depthwise weight gradient": DepthwiseWeightGradient(source=source, gradient=target, **window),
    }


@pytest.mark.parametrize("name", _kernels("avx2"))
@pytest.mark.parametrize("family", ["avx512", "avx2"])
def test_hot_loops_do_not_touch_the_stack(family: str, name: str) -> None:
    text = module_text([_kernels(family)[name]], machine_for(family).vectors)
    loops = hot_loops(family, text)
    assert loops, "no loop multiplies and adds"
    for loop in loops:
        assert not [line for line in loop if STACK.search(line)]


def test_the_check_sees_a_spill() -> None:
    """A tile that needs more vectors than there are does use the stack."""
    kernel = _pointwise("avx2", 196, 64, 64)
    too_large = Contraction(**{**vars(kernel), "tile": (8, 4)})
    loops = hot_loops("avx2", module_text([too_large], machine_for("avx2").vectors))
    assert any(STACK.search(line) for loop in loops for line in loop)


@pytest.mark.parametrize("name", _kernels("avx2"))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_multiplies_and_adds_with_its_own_vectors(family: str, name: str) -> None:
    target = target_for(family)
    text = assembly(module_text([_kernels(family)[name]], machine_for(family).vectors), target)
    assert MULTIPLY_ADD[family].search(text)
    assert called_symbols(text, target) == set()


def _program() -> Program:
    return run_passes(lower(note_separable()), PREDICTION)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_notes_network_is_generated_for_every_family(family: str) -> None:
    machine = machine_for(family)
    target = target_for(family)
    schedule = plan_batches(_program(), machine)
    code = shared_kernels(kernels_of(schedule), machine.vectors)
    texts = [assembly(text, target, 1) for text in {item.text for item in code.values()}]
    assert sum(len(MULTIPLY_ADD[family].findall(text)) for text in texts) > 500
    assert all(called_symbols(text, target) <= {"memset", "memcpy"} for text in texts)
    stages = assembly(emit_stages(schedule, machine.vectors, code), target)
    assert called_symbols(stages, target) == {item.symbol for item in code.values()}


@pytest.mark.parametrize("family", ["sse", "avx2", "avx512"])
def test_code_of_every_family_computes_the_same(family: str) -> None:
    """Older machines' code runs on newer ones."""
    target, machine = target_for(family), machine_for(family)
    if not can_run(target):
        pytest.skip(f"this machine has no {family}")
    graph = note_cnn_with_head()
    program = run_passes(lower(graph), PREDICTION)
    weights = seeded_weights(graph)
    executable = Executable(compile(program, plan_batches, machine, target, CompileCache()))
    executable.take(PackedParameters(weights))
    x = np.random.default_rng(0).standard_normal((3, 28, 28, 1)).astype(np.float32)
    y = np.empty((3, 10), np.float32)
    executable.reserve(3, 2)
    executable.run((x,), (y,))
    expected = network.forward(graph, weights, (x,))[graph.outputs[0]]
    deviation = bounds.network_deviations(graph, weights, (x,))[graph.outputs[0]]
    error_gate(y, expected, 8.0 * deviation, family)
