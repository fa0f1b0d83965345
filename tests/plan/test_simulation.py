"""The simulation judges schedules only if it never passes over a line that reads, writes or points to memory."""

import pytest

from depthwise.compiler.kernels.builder import Function, Kernel
from depthwise.dataclass import dataclass
from support.planned import MACHINES
from support.simulation import UnknownInstructionError, kernel_addresses

VECTORS = MACHINES["avx2"].vectors


@dataclass(frozen=True)
class Written(Kernel):
    """A kernel whose body is given line by line."""

    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        return "written"

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("a", "out", "columns")

    def write(self, function: Function) -> None:
        for line in self.lines:
            function.line(line)


@pytest.mark.parametrize(
    "line",
    [
        "%x = load atomic float, ptr %a monotonic, align 4",
        "%x = load volatile float, ptr %a, align 4",
        "%x = load half, ptr %a, align 2",
        "%x = load <8 x double>, ptr %a, align 8",
        "%x = load i64, ptr %a, align 8",
        "%x = load float, ptr %a",
        "%x = load float, ptr %a, align 4, !nontemporal !0",
        "store atomic float 0x0, ptr %out release, align 4",
        "store <8 x float> zeroinitializer, ptr %out, align 4, !nontemporal !0",
        "store i8 0, ptr %out, align 1",
        "%x = atomicrmw fadd ptr %out, float 0x0 monotonic",
        "%x = call <8 x float> @llvm.masked.gather.v8f32.v8p0(<8 x ptr> %p, i32 4, <8 x i1> %m, <8 x float> poison)",
        "%x = call <8 x float> @llvm.masked.expandload.v8f32(ptr %a, <8 x i1> %m, <8 x float> poison)",
        "%x = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %a, <8 x i1> %m, <8 x float> zeroinitializer)",
        "call void @llvm.masked.store.v8f32.p0(<8 x float> %x, ptr align 4 %out, <8 x i1> %m)",
        "call void @llvm.memset.p0.i64(ptr %out, i8 0, i64 32, i1 false)",
        "call void @llvm.prefetch.p0(ptr %a, i32 0, i32 3, i32 1)",
        'call void @"another"(ptr %a, ptr %out)',
        'call void asm sideeffect "", "~{memory}"()',
        "%x = call float @another()",
        "%p = getelementptr i8, ptr %a, i64 4",
        "%p = getelementptr inbounds float, ptr %a, i64 1",
        "%p = select i1 %m, ptr %a, ptr %out",
        "%p = phi ptr [ %a, %entry ], [ %out, %entry ]",
        "%p = inttoptr i64 64 to ptr",
        "%n = ptrtoint ptr %a to i64",
        "%n = shl i64 %columns, 1",
        "%n = and i64 %columns, 7",
        "fence seq_cst",
        "unreachable",
    ],
)
def test_what_it_does_not_know_is_refused(line: str) -> None:
    with pytest.raises(UnknownInstructionError) as refused:
        kernel_addresses(Written((line,)), VECTORS, (("columns", 3),))
    assert str(refused.value) == line


@pytest.mark.parametrize(
    "lines",
    [
        ("%x = load float, ptr %b, align 4",),
        ("%n = phi i64 [ 0, %entry ], [ 8, %entry ]", "%p = getelementptr float, ptr %a, i64 %n"),
        ("%n = trunc i64 %columns to i32", "%p = getelementptr float, ptr %a, i64 %n"),
    ],
)
def test_addresses_that_it_cannot_compute_are_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(KeyError):
        kernel_addresses(Written(lines), VECTORS, (("columns", 3),))


def test_what_it_knows_touches_exactly_the_numbers_of_the_type() -> None:
    lines = (
        "%p = getelementptr float, ptr %a, i64 %columns",
        "%x = load <4 x float>, ptr %p, align 4",
        "%y = load float, ptr %a, align 4",
        "store <2 x float> zeroinitializer, ptr %out, align 4",
        "call void @llvm.masked.store.v8f32.p0(<8 x float> %z, ptr align 4 %p, "
        "<8 x i1> <i1 true, i1 true, i1 true, i1 false, i1 false, i1 false, i1 false, i1 false>)",
    )
    addresses = kernel_addresses(Written(lines), VECTORS, (("columns", 3),))
    assert addresses["a"][0].tolist() == [0, 3, 4, 5, 6]
    assert addresses["a"][1].tolist() == [3, 4, 5]
    assert addresses["out"][1].tolist() == [0, 1]
