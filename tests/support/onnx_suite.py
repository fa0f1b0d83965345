"""The backend suite of the `onnx` package: its cases, and what Depthwise makes of each."""

import importlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.backend.test.case.node as node_cases
from onnx import numpy_helper

from depthwise import onnx_backend
from depthwise.errors import UnsupportedError

__all__ = ["DATA", "Case", "files_of", "judge", "light_networks", "node_cases_of", "operator_cases"]

Array = npt.NDArray[Any]

DATA = Path(os.path.dirname(onnx.__file__)) / "backend" / "test" / "data"


@dataclass(frozen=True)
class Case:
    """A model, and for each set of inputs the outputs; `rtol`, `atol`: the suite's own tolerance."""

    name: str
    model: Any
    sets: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float = 1e-3
    atol: float = 1e-7


def node_cases_of(modules: Sequence[str]) -> Iterator[Case]:
    """The cases of some of the suite's files, in their order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    known = {case.name: case for case in node_cases._NodeTestCases}
    for case in known.values():
        yield Case(case.name, case.model, case.data_sets or (), case.rtol, case.atol)


def operator_cases() -> Iterator[Case]:
    """All cases of single operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = node_cases.collect_testcases(None)
    for case in found:
        yield Case(case.name, case.model, case.data_sets or (), case.rtol, case.atol)


def files_of(folder: str) -> Iterator[Case]:
    """The cases that lie in a folder of the package."""
    for path in sorted((DATA / folder).iterdir()):
        sets = []
        for data in sorted(path.glob("test_data_set_*")):
            ends = [
                [_tensor(data / f"{kind}_{i}.pb") for i in range(len(list(data.glob(f"{kind}_*.pb"))))]
                for kind in ("input", "output")
            ]
            sets.append((ends[0], ends[1]))
        yield Case(path.name, onnx.load(path / "model.onnx"), sets)


def _tensor(path: Path) -> Array:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return np.asarray(numpy_helper.to_array(tensor))


def light_networks() -> Iterator[tuple[str, Path]]:
    """The well-known networks with made-up weights."""
    for path in sorted((DATA / "light").glob("*.onnx")):
        yield path.stem, path


def judge(case: Case) -> str:
    """ "" where every output is right, the reason where the case is refused as unsupported.

    Raises:
        AssertionError: a wrong result.
    """
    try:
        backend = onnx_backend.prepare(case.model)
        for inputs, outputs in case.sets:
            results = backend.run(list(inputs))
            assert len(results) == len(outputs), case.name
            for found, wanted in zip(results, outputs):
                assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), case.name
                np.testing.assert_allclose(found, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.name)
    except UnsupportedError as error:
        return str(error)
    return ""
