"""Text IR to machine code: what is legal runs, what is not is named by its line, and every target gives code."""

import ctypes
import gc
import os
from typing import Any

import pytest

from depthwise.compiler.native import linker
from depthwise.compiler.native.compile import (
    IMPORTED_SYMBOLS,
    LoadedCode,
    NativeCodeError,
    assembly,
    compile_module,
    load_object,
)
from depthwise.compiler.native.listing import called_symbols, functions_of, vector_stack_accesses
from depthwise.compiler.native.scheduler import scheduler_ir, team_ir
from depthwise.compiler.native.targets import TARGET_NAMES, Target, can_run, host_target, llvm_versions, target_for
from depthwise.errors import InvalidArgumentError

STAGE = "define void @stage(ptr %context, i64 %task, i64 %participant) { ret void }\n"
FMA = """
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
define void @kernel(ptr %x, ptr %y) {
  %a = load <8 x float>, ptr %x, align 4
  %b = load <8 x float>, ptr %y, align 4
  %c = call <8 x float> @llvm.fma.v8f32(<8 x float> %a, <8 x float> %a, <8 x float> %b)
  store <8 x float> %c, ptr %y, align 4
  ret void
}
"""


def _call(code: Any, name: Any, *arguments: Any, result: Any = ctypes.c_int64) -> Any:
    prototype = ctypes.CFUNCTYPE(result, *[ctypes.c_void_p] * len(arguments))
    return prototype(code.function_address(name))(*arguments)


@pytest.mark.parametrize("optimisation", [0, 1, 2, 3])
def test_code_runs_at_every_level(optimisation: int) -> None:
    text = """
define internal i64 @helper(i64 %x) alwaysinline {
  %y = mul i64 %x, 6
  ret i64 %y
}
define i64 @answer() {
  %memory = alloca i64
  store i64 7, ptr %memory
  %x = load i64, ptr %memory
  %y = call i64 @helper(i64 %x)
  ret i64 %y
}
"""
    assert _call(load_object(compile_module(text, host_target(), optimisation)), "answer") == 42
    if optimisation:
        listing = assembly(text, host_target(), optimisation)
        assert "helper" not in functions_of(listing)


def test_vectors_and_memory_functions_run() -> None:
    text = (
        FMA
        + """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @clear(ptr %at, ptr %count) {
  %n = load i64, ptr %count
  call void @llvm.memset.p0.i64(ptr %at, i8 0, i64 %n, i1 false)
  ret void
}
define void @copy(ptr %to, ptr %from, ptr %count) {
  %n = load i64, ptr %count
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)
  ret void
}
"""
    )
    code = load_object(compile_module(text, host_target()))
    x, y = (ctypes.c_float * 8)(*range(8)), (ctypes.c_float * 8)(*[1] * 8)
    _call(code, "kernel", x, y, result=None)
    assert list(y) == [i * i + 1 for i in range(8)]
    count = ctypes.c_int64(20)
    _call(code, "clear", y, ctypes.byref(count), result=None)
    assert list(y) == [0] * 5 + [26, 37, 50]
    _call(code, "copy", y, x, ctypes.byref(count), result=None)
    assert list(y) == [0, 1, 2, 3, 4, 26, 37, 50]


@pytest.mark.parametrize("name", TARGET_NAMES)
def test_restricted_targets_use_their_own_vectors(name: Any) -> None:
    target = target_for(name)
    assert target.vector_family == name
    sixteen = FMA.replace("8 x float", "16 x float").replace("fma.v8f32", "fmuladd.v16f32")
    listing = assembly(sixteen, target)
    markers = {"avx512": "zmm", "avx2": "ymm", "sse": "xmm", "neon": "fmla"}
    assert [marker for marker in markers.values() if marker in listing] == [markers[name]]
    assert compile_module(sixteen, target)[:4] == b"\x7fELF"


@pytest.mark.parametrize("name", TARGET_NAMES)
def test_code_for_a_restricted_target_runs_where_it_can(name: Any) -> None:
    target = target_for(name)
    if not can_run(target):
        assert target.vector_family != "sse" or host_target().architecture != "x86_64"
        return
    # SSE has no fused multiply-add: LLVM would call libm, which generated code must not.
    text = FMA if name != "sse" else FMA.replace("llvm.fma.", "llvm.fmuladd.")
    code = load_object(compile_module(text, target))
    x, y = (ctypes.c_float * 8)(*range(8)), (ctypes.c_float * 8)(*[1] * 8)
    _call(code, "kernel", x, y, result=None)
    assert list(y) == [i * i + 1 for i in range(8)]


def test_what_can_run_here() -> None:
    host = host_target()
    assert can_run(host)
    assert not can_run(Target("sparc-unknown-none", "generic", ()))
    assert not can_run(Target(host.triple, host.processor, ("+no-such-feature",)))
    assert not can_run(Target(host.triple, "no-such-processor", ()))
    other = "neon" if host.architecture == "x86_64" else "avx2"
    assert not can_run(target_for(other))
    assert host.features == tuple(sorted(host.features))
    assert len(llvm_versions()) == 2
    with pytest.raises(InvalidArgumentError, match=r"'mmx' is unknown; use one of avx512, avx2, sse, neon"):
        target_for("mmx")


def test_a_line_that_does_not_parse_is_named() -> None:
    with pytest.raises(NativeCodeError, match=r"does not parse at line 2, '%y = add i32 %x, 1'"):
        compile_module("define i64 @f(i64 %x) {\n  %y = add i32 %x, 1\n  ret i64 %y\n}", host_target())


def test_a_line_that_breaks_a_rule_is_named() -> None:
    text = """define i64 @f(i64 %x, i1 %c) {
  br i1 %c, label %a, label %b
a:
  %y = add i64 %x,  1
  br label %b
b:
  ret i64 %y
}"""
    with pytest.raises(NativeCodeError, match=r"not legal at line 4, '%y = add i64 %x,  1'"):
        compile_module(text, host_target())
    with pytest.raises(NativeCodeError, match="does not dominate all uses"):
        assembly(text, host_target())


def test_code_that_calls_something_foreign_is_refused() -> None:
    text = "declare i32 @system(ptr)\ndefine i32 @f(ptr %x) {\n %y = call i32 @system(ptr %x)\n ret i32 %y\n}"
    with pytest.raises(NativeCodeError, match="calls system; it may call only memcpy"):
        compile_module(text, host_target())


def test_an_operation_that_the_target_lacks_is_refused() -> None:
    """SSE has no fused multiply-add: LLVM would call libm for every element."""
    with pytest.raises(NativeCodeError, match=r"calls fmaf; .* sse lacks an instruction"):
        compile_module(FMA, target_for("sse"))


def test_a_missing_function_is_named() -> None:
    code = load_object(compile_module("define i64 @f() { ret i64 1 }", host_target()))
    with pytest.raises(NativeCodeError, match="'g'"):
        code.function_address("g")
    assert _call(code, "f") == 1


@pytest.mark.parametrize("code", [b"", b"junk", b"\x7fELF" + bytes(100)])
def test_bytes_that_are_no_object_code_do_not_load(code: Any) -> None:
    with pytest.raises(NativeCodeError, match="does not load"):
        load_object(code)


def test_loading_and_dropping_many_times() -> None:
    code = compile_module("define i64 @f() { ret i64 5 }", host_target())
    kept = load_object(code)
    for _ in range(200):
        assert _call(load_object(code), "f") == 5
    gc.collect()
    assert _call(kept, "f") == 5


@pytest.mark.parametrize("name", [*TARGET_NAMES, "host"])
def test_scheduler_and_team_for_every_target(name: Any) -> None:
    target = host_target() if name == "host" else target_for(name)
    for text in (scheduler_ir(["stage", "stage"], target) + STAGE, team_ir(target)):
        listing = assembly(text, target)
        assert compile_module(text, target)
        assert called_symbols(listing, target) <= set(IMPORTED_SYMBOLS)
        assert not any(vector_stack_accesses(listing, target).values())
        wait = "\n".join(functions_of(listing)["depthwise.wait"])
        assert ("yield" if target.architecture == "aarch64" else "pause") in wait
    flush = assembly(team_ir(target), target)
    assert ("fpcr" if target.architecture == "aarch64" else "ldmxcsr") in flush.lower()


def test_a_program_without_stages_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no stages"):
        scheduler_ir([], host_target())


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse", "neon"])
def test_spilled_vectors_are_found(name: str) -> None:
    """Forty live vectors do not fit into any register file; four do."""
    target = target_for(name)

    def listing(count: Any) -> Any:
        vector = "<4 x float>"
        loads = "".join(
            f"%p{i} = getelementptr {vector}, ptr %x, i64 {i}\n%v{i} = load volatile {vector}, ptr %p{i}\n"
            for i in range(count)
        )
        stores = "".join(f"store volatile {vector} %v{i}, ptr %p{i}\n" for i in reversed(range(count)))
        return assembly(f"define void @f(ptr %x) {{\n{loads}{stores}ret void\n}}", target)

    assert vector_stack_accesses(listing(4), target) == {"f": 0}
    assert vector_stack_accesses(listing(40), target)["f"] > 0


def _pointwise_tile(pixels: Any, vectors: Any, lanes: Any, unrolled: Any, depth: int = 64) -> Any:
    """One output tile held in registers: the shape of loop that the generators emit."""
    vector = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32"
    columns = vectors * lanes
    cells = [(p, v) for p in range(pixels) for v in range(vectors)]
    lines = [
        f"declare {vector} {fma}({vector}, {vector}, {vector})",
        "define void @tile(ptr noalias %x, ptr noalias %w, ptr noalias %y) {",
        "entry:\n  br label %k\nk:\n  %i = phi i64 [ 0, %entry ], [ %next, %k ]",
    ]
    for p, v in cells:
        lines.append(f"  %a{p}_{v}_0 = phi {vector} [ zeroinitializer, %entry ], [ %a{p}_{v}_{unrolled}, %k ]")
    lines += [
        f"  %offset = mul i64 %i, {columns}",
        "  %wk = getelementptr float, ptr %w, i64 %offset",
        "  %xk = getelementptr float, ptr %x, i64 %i",
    ]
    for u in range(unrolled):
        for v in range(vectors):
            lines += [
                f"  %wp{u}_{v} = getelementptr float, ptr %wk, i64 {u * columns + v * lanes}",
                f"  %w{u}_{v} = load {vector}, ptr %wp{u}_{v}, align 4",
            ]
        for p in range(pixels):
            lines += [
                f"  %xp{u}_{p} = getelementptr float, ptr %xk, i64 {p * depth + u}",
                f"  %xs{u}_{p} = load float, ptr %xp{u}_{p}, align 4",
                f"  %xi{u}_{p} = insertelement {vector} poison, float %xs{u}_{p}, i32 0",
                f"  %xv{u}_{p} = shufflevector {vector} %xi{u}_{p}, {vector} poison, <{lanes} x i32> zeroinitializer",
            ]
            for v in range(vectors):
                lines.append(
                    f"  %a{p}_{v}_{u + 1} = call {vector} {fma}({vector} %xv{u}_{p}, "
                    f"{vector} %w{u}_{v}, {vector} %a{p}_{v}_{u})"
                )
    lines += [
        f"  %next = add i64 %i, {unrolled}",
        f"  %more = icmp ult i64 %next, {depth}",
        "  br i1 %more, label %k, label %done\ndone:",
    ]
    for p, v in cells:
        lines += [
            f"  %yp{p}_{v} = getelementptr float, ptr %y, i64 {p * columns + v * lanes}",
            f"  store {vector} %a{p}_{v}_{unrolled}, ptr %yp{p}_{v}, align 4",
        ]
    return "\n".join([*lines, "  ret void\n}"])


@pytest.mark.parametrize(
    ("name", "pixels", "vectors", "unrolled"),
    [
        *[("avx512", pixels, vectors, 8) for pixels, vectors in ((14, 2), (12, 2), (9, 3), (8, 3), (6, 4))],
        ("avx512", 14, 2, 16),
        ("avx2", 6, 2, 8),
        ("avx2", 4, 3, 8),
        ("neon", 12, 2, 4),
        ("neon", 6, 4, 4),
    ],
)
def test_a_tile_that_fits_stays_in_registers(name: Any, pixels: Any, vectors: Any, unrolled: Any) -> None:
    """Passes and processor model must leave the generators' register plan alone."""
    lanes = {"avx512": 16, "avx2": 8, "neon": 4}[name]
    target = target_for(name)
    listing = assembly(_pointwise_tile(pixels, vectors, lanes, unrolled), target)
    assert vector_stack_accesses(listing, target) == {"tile": 0}
    fma = "fmla" if name == "neon" else "vfmadd"
    assert sum(fma in line for line in functions_of(listing)["tile"]) == pixels * vectors * unrolled


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
def test_a_signal_handler_may_fork_while_helpers_compile(run_script: Any) -> None:
    """Parent and child both go on, the child without the helpers that compiled for the parent."""
    output = run_script(
        """
        import os, signal
        from depthwise.compiler.native import compile as native_compile
        from depthwise.compiler.native.compile import Source, host_target
        native_compile.usable_processors = lambda: 4
        body = "".join(f"  %x{i + 1} = mul i64 %x{i}, {i + 3}\\n" for i in range(800))
        sources = [Source(f"define i64 @f{n}(i64 %x0) {{\\n{body}  ret i64 %x800\\n}}") for n in range(24)]
        expected = native_compile.compile_sources(sources, host_target())
        children = []

        def fork(*ignored):
            if len(children) < 4:
                child = os.fork()
                if child == 0:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    children[:] = [0] * 4
                else:
                    children.append(child)

        signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.004, 0.004)
        parent = os.getpid()
        while len(children) < 4:
            objects = native_compile.compile_sources(sources, host_target())
            if os.getpid() != parent:
                os._exit(0 if objects == expected else 1)
            assert objects == expected
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(any(os.waitpid(child, 0)[1] for child in children), end="")
        """
    )
    assert output == "False"


def test_a_linker_goes_with_the_last_program_that_it_has_loaded() -> None:
    """It keeps a little of every program, so it must not be the same one for ever."""
    code = compile_module("define i64 @seven() { ret i64 7 }", host_target())
    gc.collect()
    before = len(linker._kept)
    first = load_object(code)
    for _ in range(2 * linker.LIBRARIES):
        assert _call(load_object(code), "seven") == 7
    gc.collect()
    assert len(linker._kept) <= before + 2  # that of `first`, and the current one
    assert _call(first, "seven") == 7
    del first
    gc.collect()
    assert len(linker._kept) <= before + 1
    circle: list[Any] = [load_object(code)]
    circle.append(circle)
    own, library = circle[0]._linker, circle[0]._library
    del circle
    gc.collect()
    assert library not in own.users


def test_a_program_that_does_not_load_leaves_no_library_behind() -> None:
    load_object(compile_module("define i64 @seven() { ret i64 7 }", host_target()))
    gc.collect()
    before = {name for kept in linker._kept for name in kept.users}
    with pytest.raises(NativeCodeError, match="does not load"):
        load_object(b"no object code")
    assert {name for kept in linker._kept for name in kept.users} <= before


def test_code_whose_loading_was_interrupted_goes_silently() -> None:
    LoadedCode.__new__(LoadedCode).__del__()
