"""What the run happened on: the CPU, its vectors, its load, and what is installed."""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Any

VECTOR_EXTENSIONS = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "sve",
    "bf16",
]


def describe(threads: int) -> dict[str, Any]:
    """Return the machine and the moment as plain data."""
    fields = _cpu_fields()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cpu_family_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "cores": os.cpu_count(),
        "usable_cores": len(usable_cpus()),
        "vector_extensions": [name for name in VECTOR_EXTENSIONS if name in flags],
        "load_average": round(os.getloadavg()[0], 2),
        "fma_peak_gflops": fma_peak(threads),
    }


def usable_cpus() -> list[int]:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _cpu_fields() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return {}
    first = cpuinfo.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def fma_peak(threads: int) -> float | None:
    """Return the measured peak of float32 multiply-adds in GFLOP/s on `threads` cores, or None if the package cannot tell."""
    try:
        from depthwise.bench.probes import measure_fma_peak
    except ImportError:
        return None
    return float(measure_fma_peak(threads)) / 1e9


def count_macs(network: Any) -> int | None:
    """Return the network's MACs an image from the package's own arithmetic, or None without the package."""
    try:
        from depthwise.layers import descriptions as layers
        from depthwise.network import facts as arithmetic
    except ImportError:
        return None
    shape, total = network.input_shape, 0
    for step in network.steps:
        facts = arithmetic.describe(getattr(layers, step.layer)(**step.arguments), [shape])
        shape, total = facts.output_shape, total + facts.macs.value
    return total


def count_macs_of_file(path: Path) -> int | None:
    """Return the MACs an image of the network in a `.keras` file, or None without the package."""
    try:
        import depthwise
    except ImportError:
        return None
    return int(depthwise.load_model(path, compile=False).graph.macs)


def installed_size(distributions: tuple[str, ...]) -> int | None:
    """Return the bytes of the distributions and all they require, bytecode left out; None if one is missing."""
    from packaging.requirements import Requirement

    waiting, seen, total = list(distributions), set[str](), 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in distributions:
                return None
            continue
        total += _own_size(distribution)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return total


def _own_size(distribution: importlib.metadata.Distribution) -> int:
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    if _is_editable(distribution):
        spec = importlib.util.find_spec(distribution.name.replace("-", "_"))
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            paths += Path(folder).rglob("*")
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    text = distribution.read_text("direct_url.json")
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))
