"""Promise: a sub-interpreter, which would share native code without its locks, is refused in one sentence."""

import importlib
import subprocess
import sys

import pytest

SCRIPT = """
import importlib, sys
try:
    interpreters = importlib.import_module("_interpreters")
except ImportError:
    interpreters = importlib.import_module("_xxsubinterpreters")
import depthwise
depthwise.layers.Dense(3)
other = interpreters.create()
code = '''
import depthwise
try:
    depthwise.models
except ImportError as error:
    print(error, flush=True)
'''
interpreters.run_string(other, code)
interpreters.destroy(other)
"""


def test_a_sub_interpreter_is_refused() -> None:
    try:
        importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    except ImportError:
        pytest.skip("a Python without sub-interpreters")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Depthwise does not run in a sub-interpreter, as NumPy does not; use it in the main")
    assert done.stdout.count("\n") == 1
