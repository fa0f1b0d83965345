"""What machine the code is for: an LLVM triple, a processor name and its features.

Importing this module costs nothing; llvmlite is imported by the first call that needs it.
"""

import functools
from dataclasses import dataclass
from typing import Any, Final, Literal

from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["TARGET_NAMES", "Target", "can_run", "host_target", "llvm", "llvm_versions", "target_for"]

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
# The processor name picks the scheduling model and the features it implies; a feature list can only add to it. So
# the restricted targets start from the architecture levels, which carry no maker's extras.
_RESTRICTED: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "sse": ("x86_64", "x86-64", ()),
    "avx2": ("x86_64", "x86-64-v3", _AVX2_FEATURES),
    "avx512": ("x86_64", "x86-64-v4", _AVX512_FEATURES),
    "neon": ("aarch64", "generic", ("+neon",)),
}
_FOREIGN_TRIPLES: Final = {
    "x86_64": "x86_64-unknown-linux-gnu",
    "aarch64": "aarch64-unknown-linux-gnu",
}
# LLVM's x86-64-v3/v4 imply these; a host must have them all before such code may run on it.
_REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "x86-64": (),
    "x86-64-v3": ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt", "xsave"),
    "x86-64-v4": (
        *("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt", "xsave"),
        *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    ),
    "generic": (),
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
    def vector_family(self) -> VectorFamily:
        """The widest vectors this target's code may use.

        >>> Target("x86_64-unknown-linux-gnu", "x86-64", ("+avx2", "+fma")).vector_family
        'avx2'
        """
        if self.architecture == "aarch64":
            return "neon"
        if {"+avx512f", "+avx512bw", "+avx512dq", "+avx512vl"} <= set(self.features):
            return "avx512"
        return "avx2" if {"+avx2", "+fma"} <= set(self.features) else "sse"


@functools.cache
def llvm() -> Any:
    """`llvmlite.binding`, imported and with every code generator registered, once.

    All of them, because AArch64 code is also inspected on x86 machines; it takes under a millisecond.
    """
    import llvmlite.binding as binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding


@functools.cache
def host_target() -> Target:
    """The machine this process runs on, with all its features."""
    binding = llvm()
    flags = binding.get_host_cpu_features()
    features = [("+" if present else "-") + name for name, present in flags.items()]
    if flags.get("avx512f"):
        # Some processors' tuning asks LLVM to split 512-bit vectors; the generators choose widths themselves.
        features.append("-prefer-256-bit")
    return Target(
        triple=binding.get_process_triple(),
        processor=binding.get_host_cpu_name(),
        features=tuple(sorted(features)),
    )


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
    architecture, processor, features = _RESTRICTED[name]
    host = host_target()
    triple = host.triple if host.architecture == architecture else _FOREIGN_TRIPLES[architecture]
    return Target(triple, processor, tuple(sorted(features)))


def can_run(target: Target) -> bool:
    """Whether code for `target` runs on this machine.

    >>> can_run(host_target())
    True
    """
    host = host_target()
    if target == host:
        return True
    if target.triple != host.triple:
        return False
    wanted = {feature[1:] for feature in target.features if feature.startswith("+")}
    if target.processor != host.processor:
        if target.processor not in _REQUIRED:
            return False
        wanted |= set(_REQUIRED[target.processor])
    return wanted <= {feature[1:] for feature in host.features if feature.startswith("+")}


@functools.cache
def llvm_versions() -> tuple[str, str]:
    """llvmlite's version and that of the LLVM inside it: two builds of one llvmlite may carry different LLVMs."""
    import llvmlite

    return llvmlite.__version__, ".".join(map(str, llvm().llvm_version_info))
