"""Promise: importing Depthwise writes nothing, no command opens a connection or writes elsewhere than it was told, and what Depthwise
is made of is listed.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

WATCH = """
import json, os, sys
seen = []
def hook(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = set(mode or "") & set("wax+") if mode else (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not isinstance(path, int):
            seen.append(("write", os.fsdecode(path)))
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod", "os.utime"):
        place = arguments[1 if event in ("os.link", "os.rename", "os.symlink") else 0]
        seen.append((event, os.fsdecode(place) if not isinstance(place, int) else "descriptor"))
    elif event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "subprocess.", "webbrowser.")) or event in (
        "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"
    ):
        if event not in ("socket.__new__", "socket.gethostname"):
            seen.append((event, repr(arguments)[:200]))
sys.addaudithook(hook)
"""
"""Notes what a process writes, starts and asks the network for; the audit events of Python's own functions cannot be avoided."""


def events(program: str, folder: Path, **environment: str) -> list[tuple[str, str]]:
    """What a program does in a process of its own, without bytecode files."""
    code = f"{WATCH}\n{program}\nsys.stderr.write('\\n' + json.dumps(seen))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [(event, place) for event, place in json.loads(done.stderr.splitlines()[-1])]


def test_importing_writes_nothing_and_asks_nobody(tmp_path: Path) -> None:
    """Every module of the package."""
    program = """
import pkgutil, importlib, warnings
import depthwise
warnings.simplefilter("ignore")  # of old names that still work
for module in pkgutil.walk_packages(depthwise.__path__, "depthwise."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    found = events(
        program, tmp_path, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), DEPTHWISE_CACHE_DIR=str(tmp_path / "cache")
    )
    assert not found
    assert not list(tmp_path.iterdir())


def test_the_watch_sees_what_it_should(tmp_path: Path) -> None:
    program = "import socket\nopen('a', 'w').close()\nos.mkdir('b')\ntry: socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError: pass"
    assert {event for event, _ in events(program, tmp_path)} >= {"write", "os.mkdir", "socket.connect"}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with data for a tiny network."""
    place = tmp_path / "work"
    place.mkdir()
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (8, 8, 8, 1), np.uint8), np.arange(8) % 2
    np.savez(place / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.save(place / "images.npy", x)
    return place


def test_commands_write_where_they_are_told_and_ask_nobody(workplace: Path, tmp_path: Path) -> None:
    program = """
import depthwise
from depthwise import layers
from depthwise.cli import app
chain = [layers.SeparableConv2D(2, 3, input_shape=(8, 8, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")]
depthwise.Sequential(chain).save("tiny.keras")
for line in (
    "summary tiny.keras", "check tiny.keras", "explain tiny.keras", "explain tiny.keras --output page.html --no-times",
    "explain tiny.keras --worksheet sheet.html", "predict tiny.keras images.npy", "evaluate tiny.keras --data data.npz",
    "train tiny.keras --data data.npz --epochs 1 --out new.keras", "convert tiny.keras tiny.h5", "convert tiny.keras tiny.onnx",
):
    app(line.split(), standalone_mode=False)
"""
    cache = tmp_path / "cache"
    home = tmp_path / "home"
    found = events(
        program, workplace, HOME=str(home), XDG_CACHE_HOME=str(home), DEPTHWISE_CACHE_DIR=str(cache), LC_ALL="C.UTF-8"
    )
    allowed = (str(workplace), str(cache), "/dev/null")
    strange = [
        (event, place)
        for event, place in found
        if place != "descriptor" and not str(workplace / place).startswith(allowed)
    ]
    assert not strange
    assert not home.exists()
    given = {"data.npz", "images.npy"}
    wanted = {"tiny.keras", "page.html", "sheet.html", "new.keras", "tiny.h5", "tiny.onnx"}
    assert {path.name for path in workplace.iterdir()} == given | wanted


@pytest.fixture(scope="module")
def supply() -> ModuleType:
    """`.ci/supply.py` as a module."""
    spec = importlib.util.spec_from_file_location("supply", ROOT / ".ci" / "supply.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bill_of_materials_names_everything_once(supply: ModuleType) -> None:
    packages: Callable[[], dict[str, Any]] = supply.packages
    bill = supply.bill(packages())
    assert bill == supply.bill(packages())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = [bill["metadata"]["component"], *bill["components"]]
    references = [part["bom-ref"] for part in parts]
    assert len(references) == len(set(references))
    assert all(
        part["purl"].startswith(("pkg:pypi/", "pkg:npm/")) and part["licenses"][0]["expression"] for part in parts
    )
    names = {part["name"] for part in parts}
    assert {"numpy", "llvmlite", "h5py", "pillow", "requests", "onnx", "svelte", "d3-scale"} <= names
    assert "pytest" not in names
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= set(references)


def test_the_licences_are_those_in_the_document(supply: ModuleType) -> None:
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    for name, entry in supply.bundled().items():
        assert f"| {name} | {entry['license']} |" in text
        assert f"{name} {entry['version']}\n" in supply.NOTICES.read_text(encoding="utf-8")
