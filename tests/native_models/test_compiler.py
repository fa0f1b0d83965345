"""From the program to code: what the cache shares, what misses it, what becomes of parameters, and what can be looked at."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from depthwise.compiler import compile as compiler
from depthwise.compiler import dump
from depthwise.compiler import module as emit_schedule
from depthwise.compiler.ir.program import Program
from depthwise.compiler.kernels import contraction, loss
from depthwise.compiler.kernels.builder import Kernel
from depthwise.compiler.kernels.elementwise import Fill, StridedCopy
from depthwise.compiler.lower import lower
from depthwise.compiler.machine import machine_for
from depthwise.compiler.native import compile as native_compile
from depthwise.compiler.native import load as native_load
from depthwise.compiler.native import scheduler
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.compile import Source
from depthwise.compiler.native.targets import Target, host_target
from depthwise.compiler.passes import PREDICTION, run_passes
from depthwise.compiler.plan import prediction as plan_prediction
from depthwise.compiler.plan import training as plan_training
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.rules import contraction as contraction_rules
from depthwise.compiler.plan.schedule import Form, Schedule, Stage, every_call
from depthwise.compiler.sharing import shared_kernels
from depthwise.errors import InvalidArgumentError
from depthwise.layers import BatchNormalization, Conv2D, Dense, DepthwiseConv2D, Flatten
from depthwise.network.graph import Graph, sequential
from depthwise.runtime.executable import host_machine
from depthwise.runtime.packed import PackedWeight
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from support.compiled import compile_kernels
from support.networks import note_cnn_with_head, seeded_weights
from support.planned import ADAM, mobile, prediction_program, training_program


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = get_threads()
    yield
    set_threads(before)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """Every module that was compiled, as it comes."""
    found: list[Source] = []
    real = native_compile.compile_sources

    def compile_sources(sources: list[Source], target: Target) -> list[bytes]:
        found.extend(sources)
        return real(sources, target)

    monkeypatch.setattr(native_load, "compile_sources", compile_sources)
    return found


def _compile(program: Program, cache: CompileCache, plan: compiler.Plan = plan_batches) -> compiler.Planned:
    return compiler.compile(program, plan, host_machine(), host_target(), cache)


def classes(count: int) -> Program:
    """Networks that differ in their last layer."""
    graph = sequential(
        [
            Conv2D(8, 3, activation="relu", input_shape=(14, 14, 3)),
            BatchNormalization(),
            DepthwiseConv2D(3, padding="same"),
            Conv2D(24, 1, activation="selu"),
            Conv2D(5, 3, strides=2),
            Flatten(),
            Dense(count),
        ]
    )
    return run_passes(lower(graph), PREDICTION)


# -- the cache -------------------------------------------------------------------------------------------------------------


def test_a_second_start_compiles_nothing(tmp_path: Path, compiled: list[Source]) -> None:
    _compile(classes(7), CompileCache(tmp_path))
    assert len(compiled) > 5
    compiled.clear()
    _compile(classes(7), CompileCache(tmp_path))
    assert compiled == []


def test_networks_share_their_kernels(tmp_path: Path, compiled: list[Source]) -> None:
    _compile(classes(7), CompileCache(tmp_path))
    compiled.clear()
    second = _compile(classes(9), CompileCache(tmp_path))
    kernels = emit_schedule.kernels_of(second.schedule)
    fresh = [source for source in compiled if source.shared]
    assert len(fresh) == 1, "the copy to an output of another size"
    assert len(kernels) > 2 * len(fresh)
    assert [source for source in compiled if not source.shared] == [
        compiler.modules(second.schedule, host_machine().vectors, host_target())["stages"]
    ]


CONSTANTS: list[tuple[ModuleType, str, object]] = [
    (native_compile, "PASSES", ("sroa", "simplify_cfg")),
    (native_compile, "OPTIMISATION", 1),
    (native_compile, "RELOCATION", "static"),
    (native_compile, "CODE_MODEL", "large"),
    (native_compile, "IMPORTED_SYMBOLS", (*native_compile.IMPORTED_SYMBOLS, "sinf")),
    (native_compile, "llvm_versions", lambda: ("9.9", "99.0.0")),
    (emit_schedule, "CONTEXT_NUMBERS", ("batch", "samples_per_task", "chunks", "spare")),
    (contraction, "UNROLLED_FMAS", 12),
    (loss, "EPSILON", 1e-6),
    (scheduler, "_CLAIMED_STAGES", 8),
    (compiler, "STAGES_OPTIMISATION", 1),
    (plan_prediction, "GROUP", 8),
]


@pytest.mark.parametrize(("module", "name", "value"), CONSTANTS, ids=[name for _, name, _ in CONSTANTS])
def test_a_changed_constant_misses_the_cache(
    tmp_path: Path,
    compiled: list[Source],
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    value: object,
) -> None:
    program, cache = classes(7), CompileCache(tmp_path)
    _compile(program, cache)
    compiled.clear()
    monkeypatch.setattr(module, name, value)
    _compile(program, cache)
    assert compiled
    compiled.clear()
    monkeypatch.undo()
    _compile(program, cache)
    assert not [source for source in compiled if source.shared]


@pytest.mark.parametrize("name", ["GROUP", "ROWS_PER_PIECE", "NUMBERS_PER_PIECE", "PIECES_PER_PACKING"])
def test_a_changed_constant_of_the_training_plan_is_another_schedule(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    program, machine = training_program(note_cnn_with_head()), host_machine()
    before = compiler.schedule_identity(plan_training.plan_training(program, machine, ADAM), machine.vectors)
    where = contraction_rules if name == "ROWS_PER_PIECE" else plan_training
    monkeypatch.setattr(where, name, getattr(where, name) // 2)
    after = compiler.schedule_identity(plan_training.plan_training(program, machine, ADAM), machine.vectors)
    assert after != before


def test_another_machine_is_another_schedule() -> None:
    program = run_passes(lower(mobile()), PREDICTION)
    machines = [
        machine_for("avx2"),
        machine_for("sse"),
        replace(machine_for("avx2"), first_cache=1024, second_cache=2048),
    ]
    plans: list[compiler.Plan] = [plan_batches, partial(plan_single, parts=2), partial(plan_single, parts=3)]
    for plan in plans:
        schedules = [plan(program, machine) for machine in machines]
        identities = {compiler.schedule_identity(*pair) for pair in zip(schedules, (item.vectors for item in machines))}
        assert len(identities) == len({repr(schedule) for schedule in schedules}) >= 2
    schedules = [plan(program, machines[0]) for plan in plans]
    assert len({compiler.schedule_identity(schedule, machines[0].vectors) for schedule in schedules}) == len(plans)
    # Where plans are the same, the vectors make the difference.
    empty = Schedule((), (Stage("none"),), 1, {}, (), ())
    assert len({compiler.schedule_identity(empty, machine.vectors) for machine in machines}) == 2


def test_two_kernels_of_one_name_are_refused() -> None:
    schedule = plan_batches(classes(7), machine_for("avx2"))
    (first, second, *_) = emit_schedule.kernels_of(schedule).values()
    assert first != second

    class Renamed(type(first)):  # type: ignore[misc]
        name = second.name

    stage = schedule.stages[0]
    calls = [call for segment in stage.segments for call in every_call(segment.calls)]
    call = next(call for call in calls if call.kernel == first)
    wrong = replace(call, kernel=Renamed(**vars(first)))
    segments = (*stage.segments, replace(stage.segments[0], calls=(wrong,)))
    with pytest.raises(AssertionError, match="two kernels are named"):
        emit_schedule.kernels_of(replace(schedule, stages=(replace(stage, segments=segments),)))


def test_compiling_on_many_threads_gives_the_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, target = host_machine(), host_target()
    sources = [*compiler.modules(plan_batches(classes(7), machine), machine.vectors, target).values()] * 4
    monkeypatch.setattr(native_compile, "usable_processors", lambda: 1)
    expected = native_compile.compile_sources(sources, target)
    monkeypatch.setattr(native_compile, "usable_processors", lambda: 8)
    for _ in range(3):
        assert native_compile.compile_sources(sources, target) == expected


def test_an_error_in_one_of_many_modules_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_compile, "usable_processors", lambda: 4)
    sources = [Source(f"define i64 @f() {{ ret i64 {i} }}") for i in range(20)]
    sources[13] = Source("define i64 @f() { ret i32 1 }")
    with pytest.raises(native_compile.NativeCodeError, match="does not parse at line 1"):
        native_compile.compile_sources(sources, host_target())


# -- parameters ------------------------------------------------------------------------------------------------------------


def test_parameters_that_nothing_reads_are_dropped() -> None:
    program = prediction_program(mobile())
    read = {name for operation in program.operations for name in program.parameter_operands(operation)}
    derived = [value.derived for value in program.parameters.values() if value.derived is not None]
    sources = {source for item in derived for source in item.sources if source}
    assert set(program.parameters) == read | sources
    schedule = plan_batches(program, host_machine())
    assert {form.parameter for form in schedule.forms} == read
    folded = [name for name in program.parameters if "·" in name]
    assert folded
    for name in folded:  # what they are made of is loaded, but never lies where kernels read
        recipe = program.parameters[name].derived
        assert recipe is not None
        assert not {source for source in recipe.sources if source} & read


def test_batches_and_single_samples_share_packed_weights() -> None:
    graph = note_cnn_with_head()
    set_threads(2)
    prediction = Prediction(lower(graph))
    prediction.load(seeded_weights(graph))
    x = np.random.default_rng(0).standard_normal((4, 28, 28, 1)).astype(np.float32)
    prediction((x,))
    before = dict(prediction._packed._forms)
    prediction((x[:1].copy(),))
    single, batches = (prediction._executables[parts] for parts in (2, 0))
    shared = set(single.frame.forms) & set(batches.frame.forms)
    assert {form.parameter for form in shared} >= {"conv2d/bias", "conv2d_1/kernel", "dense/bias"}
    for form in shared:
        assert prediction._packed.take([form], {})[0] is before[form]
        for executable in (single, batches):
            place = f"packed{executable.frame.forms.index(form)}"
            assert executable.arenas[place] is before[form]
    assert single.arenas["parameters"].nbytes <= 256
    assert "parameters" not in single.frame.sizes


def test_packing_is_what_the_kernel_does() -> None:
    """NumPy for prediction and native copies for training give the same form."""
    rng = np.random.default_rng(1)
    value = rng.standard_normal(240).astype(np.float32)
    copies = (
        (StridedCopy(((3, 80, 16), (8, 10, 1))), 0, 0),
        (StridedCopy(((4, -60, 20), (7, 1, 1))), 200, 60),
    )
    packed = PackedWeight((Form("w", 160, copies),), value.size)
    packed.pack(value)
    expected = np.zeros(160, np.float32)
    kernels = compile_kernels([copy for copy, _, _ in copies])
    for i, (_, first, to) in enumerate(copies):
        kernels[i](value[first:], expected[to:])
    np.testing.assert_array_equal(packed.arrays[0], expected)
    assert np.count_nonzero(expected) == 24 + 28
    with pytest.raises(AssertionError):
        PackedWeight((Form("w", 160, ((StridedCopy(((3, -80, 1),)), 0, 0),)),), value.size).pack(value)


# -- the dump --------------------------------------------------------------------------------------------------------------


def _written(folder: Path) -> dict[str, Path]:
    (inner,) = folder.iterdir()
    return {str(path.relative_to(inner)): path for path in inner.rglob("*") if path.is_file()}


def _graph() -> Graph:
    return sequential([Conv2D(3, 3, activation="relu", input_shape=(6, 6, 1)), Flatten(), Dense(2)])


def test_all_steps_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHWISE_DUMP", " program,schedule, ir,assembly")
    monkeypatch.setenv("DEPTHWISE_DUMP_DIR", str(tmp_path / "dump"))
    program = run_passes(lower(_graph()), PREDICTION)
    compiled = _compile(program, CompileCache(tmp_path / "cache"))
    files = _written(tmp_path / "dump")
    (folder,) = (tmp_path / "dump").iterdir()
    assert re.fullmatch(r"\d\d+-plan_batches", folder.name)
    text = files["program.txt"].read_text(encoding="utf-8")
    for operation in program.operations:
        assert repr(operation) in text
    kernels = emit_schedule.kernels_of(compiled.schedule)
    text = files["schedule.txt"].read_text(encoding="utf-8")
    assert all(f"{name}(" in text for name in kernels)
    functions = {item.symbol for item in shared_kernels(kernels, host_machine().vectors).values()}
    for name in (*functions, "stages", "scheduler"):
        assert "define void @" in files[f"ir/{name}.ll"].read_text(encoding="utf-8")
        assert "ret" in files[f"assembly/{name}.s"].read_text(encoding="utf-8")
    assert len(files) == 2 + 2 * (len(functions) + 2)
    assert all(f"; {name}\n" in files["ir/stages.ll"].read_text(encoding="utf-8") for name in kernels)


def test_only_the_chosen_steps_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = run_passes(lower(_graph()), PREDICTION)
    monkeypatch.setenv("DEPTHWISE_DUMP_DIR", str(tmp_path / "dump"))
    monkeypatch.setenv("DEPTHWISE_DUMP", "")
    _compile(program, CompileCache(tmp_path / "cache"))
    assert not (tmp_path / "dump").exists()
    monkeypatch.setenv("DEPTHWISE_DUMP", "schedule")
    _compile(program, CompileCache(tmp_path / "cache"))
    assert list(_written(tmp_path / "dump")) == ["schedule.txt"]


def test_an_unknown_step_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPTHWISE_DUMP", "program,machine code")
    with pytest.raises(
        InvalidArgumentError, match=r"names the step 'machine code', which is unknown; use some of program, "
    ):
        _compile(run_passes(lower(_graph()), PREDICTION), CompileCache(tmp_path))


def test_a_folder_that_cannot_be_made_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DEPTHWISE_DUMP", "program")
    monkeypatch.setenv("DEPTHWISE_DUMP_DIR", str(tmp_path / "file"))
    with pytest.raises(InvalidArgumentError, match="cannot be made"):
        _compile(run_passes(lower(_graph()), PREDICTION), CompileCache(tmp_path / "cache"))


def test_names_of_kernels_are_names_of_files() -> None:
    kernels: list[Kernel] = [
        *emit_schedule.kernels_of(plan_batches(prediction_program(mobile()), host_machine())).values()
    ]
    assert len({dump._file_name(kernel.name) for kernel in kernels}) == len(kernels)
    assert any(isinstance(kernel, Fill) for kernel in kernels)
