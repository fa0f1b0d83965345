"""Promise: a process that predicts or makes models for days keeps its memory, files, mappings and threads.

Measured after everything has been used once, in a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

SCRIPT = """
import gc, json, os, sys
import numpy as np
from depthwise import layers, models
from depthwise.compiler.native import linker

predictions, made = int(sys.argv[1]), int(sys.argv[2])
X = np.random.default_rng(0).normal(size=(9, 8, 8, 2)).astype(np.float32)
Y = np.zeros((9, 3), np.float32)

def usage():
    gc.collect()
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    with open("/proc/self/maps") as file:
        mappings = len(file.readlines())
    return {
        "MB": int(fields["VmRSS"].split()[0]) / 1024, "files": len(os.listdir("/proc/self/fd")), "mappings": mappings,
        "threads": int(fields["Threads"]), "linkers": len(linker._kept),
    }

def model(width):
    return models.Sequential([
        layers.SeparableConv2D(width, 3, activation="selu", input_shape=(8, 8, 2)), layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ])

def life(number):
    own = model(3 + number % 4)
    own.predict_on_batch(X)
    own.predict_on_batch(X[:1])
    own.compile("sgd", "mse")
    own.train_on_batch(X, Y)

kept = model(4)
for number in range(80):  # more than one linker holds
    life(number)
for _ in range(2000):
    kept.predict_on_batch(X)
    kept.predict(X[:1], verbose=0)
start = usage()
for number in range(predictions // 4):
    kept.predict_on_batch(X)
    kept.predict_on_batch(X[:1])
    kept.predict(X, batch_size=4, verbose=0)
    kept.predict(X[:1], verbose=0)
predicted = usage()
for number in range(made):
    life(number)
print(json.dumps([start, predicted, usage()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
@pytest.mark.parametrize(
    ("predictions", "models"),
    [
        pytest.param(20_000, 30, marks=pytest.mark.sweep),
        pytest.param(1_000_000, 1_000, marks=pytest.mark.long),
    ],
)
def test_nothing_grows(predictions: int, models: int, record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-c", SCRIPT, str(predictions), str(models)]
    environment = {**os.environ, "DEPTHWISE_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    record_property("tried", predictions + models)
    start, predicted, end = json.loads(done.stdout)
    print(start, predicted, end, sep="\n")
    for now in (predicted, end):
        assert now["files"] == start["files"]
        assert now["threads"] == start["threads"]
    assert predicted["mappings"] <= start["mappings"] + 2
    # Programs that are loaded move things about; what grew would grow by thousands.
    assert end["mappings"] <= start["mappings"] + 100
    assert end["linkers"] <= 4
    assert predicted["MB"] <= start["MB"] + 4
    # The heap gets some holes, and then no more; what LLVM's linker kept of a thousand models was 28 MB.
    assert end["MB"] <= start["MB"] + 16
