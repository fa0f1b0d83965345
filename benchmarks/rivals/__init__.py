"""Who takes part: one `Rival` a module of this folder. Importing this imports no framework."""

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.process import ROOT


@dataclass(frozen=True)
class Rival:
    """What the runner must know before it starts a rival's process.

    `distributions` are the packages a user installs for it. `environment` is set in the process, `cache_folders` are
    variables that get the folder in which the framework may keep compiled code between processes.
    """

    name: str
    title: str
    distributions: tuple[str, ...]
    trains: bool
    artefact: Literal["tflite", "onnx"] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    cache_folders: tuple[str, ...] = ()
    module: str = ""

    @property
    def module_name(self) -> str:
        """The dotted name of the module that speaks the protocol."""
        return self.module or f"benchmarks.rivals.{self.name}"


_TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
_JAX = {
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
_TORCH_CACHE = ("TORCHINDUCTOR_CACHE_DIR",)

RIVALS: tuple[Rival, ...] = (
    Rival("depthwise", "Depthwise", ("depthwise",), True, cache_folders=("DEPTHWISE_CACHE_DIR",)),
    Rival(
        "tensorflow",
        "TensorFlow (Keras)",
        ("tensorflow", "keras"),
        True,
        environment={"KERAS_BACKEND": "tensorflow", **_TENSORFLOW},
    ),
    Rival(
        "keras_jax",
        "JAX (Keras)",
        ("keras", "jax", "jaxlib"),
        True,
        environment={"KERAS_BACKEND": "jax", **_JAX},
        cache_folders=("JAX_COMPILATION_CACHE_DIR",),
    ),
    Rival(
        "keras_torch",
        "torch (Keras)",
        ("keras", "torch"),
        True,
        environment={"KERAS_BACKEND": "torch"},
    ),
    Rival("torch_eager", "torch eager", ("torch",), True),
    Rival("torch_compiled", "torch compiled", ("torch",), True, cache_folders=_TORCH_CACHE),
    Rival("onnxruntime", "ONNX Runtime", ("onnxruntime",), False, artefact="onnx"),
    Rival(
        "openvino",
        "OpenVINO",
        ("openvino",),
        False,
        artefact="onnx",
        cache_folders=("BENCHMARK_OPENVINO_CACHE",),
    ),
    Rival("litert", "LiteRT", ("ai-edge-litert",), False, artefact="tflite"),
)


def checkout(source: Path) -> Rival:
    """Depthwise as another checkout has it, whose folder `src` this is: what a change made faster or slower."""
    path = os.pathsep.join(map(str, (ROOT, source.resolve())))
    return Rival(
        f"depthwise_{source.resolve().parent.name}",
        f"Depthwise in {source}",
        ("depthwise",),
        True,
        environment={"PYTHONPATH": path},
        cache_folders=("DEPTHWISE_CACHE_DIR",),
        module="benchmarks.rivals.depthwise",
    )


# What must be importable to write a rival's model files: (module, distribution).
ARTEFACT_WRITERS = {"tflite": ("tensorflow", "tensorflow"), "onnx": ("onnx", "onnx")}


def missing(rival: Rival) -> str | None:
    """Return why the rival cannot take part, or None if everything it needs is installed."""
    absent = [name for name in rival.distributions if version(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if rival.artefact:
        module, distribution = ARTEFACT_WRITERS[rival.artefact]
        if importlib.util.find_spec(module) is None:
            return f"its .{rival.artefact} files cannot be written: not installed: {distribution}"
    return None


def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
