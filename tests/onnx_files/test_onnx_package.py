"""The extra `onnx`: what is said without it, and that it is nowhere imported before it is needed."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from depthwise.data.formats.onnx.package import require_onnx
from depthwise.errors import DepthwiseError

ROOT = Path(__file__).resolve().parents[2]


def test_the_tests_have_the_version_that_the_extra_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["project"]["optional-dependencies"]["onnx"]) <= set(project["dependency-groups"]["test"])


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DepthwiseError, match=r"^ONNX files need the package onnx.*pip install 'depthwise\[onnx\]'$"):
        require_onnx()


def test_it_is_imported_only_when_needed() -> None:
    code = "import sys, depthwise, depthwise.models, depthwise.cli.main; sys.exit('onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
