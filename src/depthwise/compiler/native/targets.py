"""What machine the code is for: an LLVM triple, a processor name and its features.

Importing this module costs nothing; llvmlite is imported by the first call that needs it.
"""

import dataclasses
import functools
import os
from typing import Any, Final, Literal

from depthwise.compiler.native.once import making
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value

__all__ = [
    "TARGET_NAMES",
    "Target",
    "can_run",
    "host_target",
    "llvm",
    "llvm_versions",
    "own_target",
    "restrict",
    "target_for",
]

VectorFamily = Literal["avx512", "avx2", "sse", "neon"]

TARGET_NAMES: Final = ("avx512", "avx2", "sse", "neon")

_AVX2_FEATURES: Final = ("+avx", "+avx2", "+bmi", "+bmi2", "+f16c", "+fma", "+lzcnt", "+popcnt")
_AVX512_FEATURES: Final = (
    *_AVX2_FEATURES,
    "+avx512bw",
    "+avx512cd",
    "+avx512dq",
    "+avx512f",
    "+avx512vl",
    "-prefer-256-bit",
)
# The processor's name picks LLVM's model of the pipelines, and some models reorder a full tile until it no longer fits
# into the registers; docs/decisions/0002-native.md has the counts. So not the host's name, but per vector family the one
# that keeps tiles in registers, with every feature listed.
_PROCESSORS: Final[dict[VectorFamily, str]] = {
    "avx512": "generic",
    "avx2": "x86-64-v3",
    "sse": "generic",
    "neon": "generic",
}
# What x86-64-v3 brings along without being listed.
_IMPLIED: Final = {
    "x86-64-v3": {"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt", "xsave"},
    "generic": set[str](),
}
_RESTRICTED: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "sse": ("x86_64", ()),
    "avx2": ("x86_64", _AVX2_FEATURES),
    "avx512": ("x86_64", _AVX512_FEATURES),
    "neon": ("aarch64", ("+neon",)),
}
_FOREIGN_TRIPLES: Final = {
    "x86_64": "x86_64-unknown-linux-gnu",
    "aarch64": "aarch64-unknown-linux-gnu",
}


@dataclass(frozen=True)
class Target:
    """A triple, a processor name and a sorted tuple of features such as `("+avx2", "+fma")`.

    Equal targets give equal machine code, so a target is part of the compile cache's key.
    """

    triple: str
    processor: str
    features: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """`"x86_64"` or `"aarch64"`, whatever alias the triple uses.

        >>> Target("arm64-apple-darwin24", "generic", ()).architecture
        'aarch64'
        """
        name = self.triple.split("-", 1)[0].lower()
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)

    @property
    def present_features(self) -> frozenset[str]:
        """The names of the features listed as present, without the `+`."""
        return frozenset(name[1:] for name in self.features if name.startswith("+"))

    @property
    def vector_family(self) -> VectorFamily:
        """The widest vectors this target's code may use.

        >>> Target("x86_64-unknown-linux-gnu", "x86-64", ("+avx2", "+fma")).vector_family
        'avx2'
        """
        if self.architecture == "aarch64":
            return "neon"
        if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= self.present_features:
            return "avx512"
        return "avx2" if {"avx2", "fma"} <= self.present_features else "sse"


@functools.cache
def llvm() -> Any:
    """`llvmlite.binding`, imported and with every code generator registered, once.

    All of them, because AArch64 code is also inspected on x86 machines; it takes under a millisecond.
    """
    import llvmlite.binding as binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    lock = getattr(binding.ffi.lib, "_lock", None)
    if lock is not None and hasattr(os, "register_at_fork"):
        # A child whose parent was compiling on another thread at the fork must not wait for that thread's llvmlite call.
        # `making` first, as everywhere: who holds it may be waiting for llvmlite.
        def enter() -> None:
            making.acquire()
            lock.__enter__()

        def leave() -> None:
            lock.__exit__(None, None, None)
            making.release()

        os.register_at_fork(before=enter, after_in_parent=leave, after_in_child=leave)
    return binding


_restriction: Target | None = None


def host_target() -> Target:
    """The machine this process generates code for: its own, with each feature said to be there or not, or less by `restrict`."""
    return own_target() if _restriction is None else _restriction


def restrict(target: Target | None) -> None:
    """From now on code is generated for this target only, so that its results are the bits of every machine that does so too.

    Programs that are compiled already stay as they are; call it before the first. None takes the restriction back.

    Raises
    ------
    InvalidArgumentError
        This machine cannot run such code.
    """
    global _restriction
    if target is not None and not can_run(target):
        raise InvalidArgumentError(
            f"This machine has the vectors {own_target().vector_family}, not {target.vector_family}; leave it out of the cluster or "
            "start again."
        )
    _restriction = target


@functools.cache
def own_target() -> Target:
    """The machine this process runs on."""
    binding = llvm()
    flags = binding.get_host_cpu_features()
    features = [("+" if present else "-") + name for name, present in flags.items()]
    if flags.get("avx512f"):
        # Never split 512-bit vectors: the generators choose widths themselves.
        features.append("-prefer-256-bit")
    target = Target(binding.get_process_triple(), "generic", tuple(sorted(features)))
    processor = _PROCESSORS[target.vector_family]
    if _IMPLIED[processor] <= target.present_features:
        target = dataclasses.replace(target, processor=processor)
    return target


def target_for(name: str) -> Target:
    """A target restricted to one vector family: `"avx512"`, `"avx2"`, `"sse"` or `"neon"`.

    It keeps the host's triple where the architecture is the host's; otherwise its code can be turned into assembly or
    object code and inspected, but not run (see `can_run`).

    Raises
    ------
    InvalidArgumentError
        For any other name.

    Example
    -------
    >>> target_for("neon").vector_family
    'neon'
    """
    if name not in _RESTRICTED:
        raise InvalidArgumentError(
            f"The vector family {describe_value(name)} is unknown; use one of {', '.join(TARGET_NAMES)}."
        )
    architecture, features = _RESTRICTED[name]
    host = own_target()
    triple = host.triple if host.architecture == architecture else _FOREIGN_TRIPLES[architecture]
    target = Target(triple, "generic", tuple(sorted(features)))
    return dataclasses.replace(target, processor=_PROCESSORS[target.vector_family])


def can_run(target: Target) -> bool:
    """Whether code for `target` runs on this machine.

    >>> can_run(host_target())
    True
    """
    host = own_target()
    if target == host:
        return True
    if target.triple != host.triple or target.processor not in _IMPLIED:
        return False
    return _IMPLIED[target.processor] | target.present_features <= host.present_features


@functools.cache
def llvm_versions() -> tuple[str, str]:
    """llvmlite's version and that of the LLVM inside it: two builds of one llvmlite may carry different LLVMs."""
    import llvmlite

    return llvmlite.__version__, ".".join(map(str, llvm().llvm_version_info))
