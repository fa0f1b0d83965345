"""The first prediction, in a fresh process each: by several threads at once, interrupted anywhere, interrupted by another one."""

import os
import subprocess
import sys

import pytest

PRELUDE = """
import gc, os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import depthwise
from depthwise import layers, models

def small(known=True):
    shape = {"input_shape": (6, 6, 1)} if known else {}
    return models.Sequential([
        layers.SeparableConv2D(8, 3, padding="same", activation="selu", **shape),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3, activation="softmax"),
    ])

def twin(model):
    other = small()
    other.set_weights(model.get_weights())
    return other

def same(a, b):
    assert a.shape == b.shape and (a == b).all(), (a, b)

x = np.random.default_rng(0).standard_normal((5, 6, 6, 1)).astype(np.float32)
"""


def run(script: str, threads: int = 2) -> str:
    """What the script prints, in an interpreter of its own; it must end well and say nothing else."""
    environment = {**os.environ, "DEPTHWISE_THREADS": str(threads), "PYTHONFAULTHANDLER": "1"}
    # Python 3.12 warns of every fork of a process with threads; that they are well is what is tested.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", PRELUDE + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("models", ["one", "each", "unbuilt"])
def test_several_threads_at_once(models: str, batch: int) -> None:
    output = run(
        f"""
sys.setswitchinterval(1e-5)
start = threading.Barrier(8)
shared = small({models != "unbuilt"})
mine = [small() if {models == "each"} else shared for _ in range(8)]
def first(model):
    start.wait()
    return model.predict_on_batch(x[:{batch}])
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(first, mine))
for model, y in zip(mine, found):
    same(y, twin(model).predict_on_batch(x[:{batch}]))
    same(y, model.predict_on_batch(x[:{batch}]))
print("fine", end="")
"""
    )
    assert output == "fine"


INTERRUPTED = """
seen = 0
def trace(frame, event, argument):
    global seen
    if not any(part in frame.f_code.co_filename for part in PARTS):
        return None
    if event == "line":
        seen += 1
        if seen == wanted:
            raise KeyboardInterrupt
    return trace

def make():
    depthwise.utils.set_random_seed(1)
    return small(KNOWN)

right = make().predict_on_batch(x)
make().predict_on_batch(x[:1])  # now the compile cache has both programs
wanted, wrong, stride = FIRST, [], STRIDE
while True:
    model, seen = make(), 0
    sys.settrace(trace)
    try:
        model.predict_on_batch(x[:BATCH])
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    if seen < wanted:
        break
    for batch in (BATCH, 4):
        if not (model.predict_on_batch(x[:batch]) == right[:batch]).all():
            wrong.append((wanted, batch))
    wanted += stride
assert not wrong, wrong
assert wanted > 100, "hardly a line was traced"
print("fine", end="")
"""

OWN = [
    "depthwise/model/base.py", "depthwise/models.py", "depthwise/runtime/prediction.py", "depthwise/runtime/executable.py",
]  # fmt: skip


def interrupted(parts: list[str], batch: int, known: bool, first: int, stride: int) -> str:
    script = INTERRUPTED.replace("PARTS", str(parts)).replace("BATCH", str(batch)).replace("KNOWN", str(known))
    return run(script.replace("FIRST", str(first)).replace("STRIDE", str(stride)))


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("known", [True, False])
def test_an_interrupt_leaves_the_model_right(batch: int, known: bool) -> None:
    assert interrupted(OWN, batch, known, 1, 3) == "fine"


@pytest.mark.sweep
@pytest.mark.parametrize("first", range(1, 5))
@pytest.mark.parametrize("batch", [1, 5])
def test_an_interrupt_at_any_line_of_the_package_leaves_the_model_right(batch: int, first: int) -> None:
    assert interrupted(["/depthwise/"], batch, False, first, 4) == "fine"


def test_an_interrupt_while_a_larger_batch_gets_its_memory() -> None:
    """The old memory is given back in there; nothing may point to it."""
    output = run(
        INTERRUPTED.replace("PARTS", str(OWN))
        .replace("seen = make(), 0", "seen = make(), 0\n    same(model.predict_on_batch(x[:2]), right[:2])")
        .replace("BATCH", "5")
        .replace("KNOWN", "True")
        .replace("FIRST", "1")
        .replace("STRIDE", "1")
        .replace("wanted > 100", "wanted > 20")
    )
    assert output == "fine"


@pytest.mark.skipif(os.name != "posix", reason="interval timers are POSIX's")
@pytest.mark.parametrize("batch", [1, 5])
def test_a_signal_handler_may_predict_with_the_model_it_interrupts(batch: int) -> None:
    output = run(
        f"""
model = small()
right = [twin(model).predict_on_batch(x[:count]) for count in range(1, 6)]
handled = 0
def handle(number, frame):
    global handled
    for count in (2, 1, 5):
        same(model.predict_on_batch(x[:count]), right[count - 1])
    handled += 1
signal.signal(signal.SIGALRM, handle)
for i in range(300):
    signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.000003 * (i % 20))  # once, the first time in the first prediction
    while handled <= i:
        same(model.predict_on_batch(x[:{batch}]), right[{batch} - 1])
print("fine", end="")
"""
    )
    assert output == "fine"


def test_code_that_interrupts_any_line_may_predict_with_the_same_model() -> None:
    """As a finaliser or a callback of the garbage collector does; also when it interrupts such code."""
    output = run(
        f"""
right = None
depth = 0
def trace(frame, event, argument):
    global depth
    if not any(part in frame.f_code.co_filename for part in {OWN}):
        return None
    if event == "line":
        inner[0] += 1
        if inner[0] in (wanted, wanted + 7):
            same(model.predict_on_batch(x[:3]), right[:3])
    return trace

model = small()
right = twin(model).predict_on_batch(x)
for wanted in range(1, 60):
    for cold in (True, False):
        if cold:
            model = twin(model)
        inner = [0]
        sys.settrace(trace)
        y = model.predict_on_batch(x)
        sys.settrace(None)
        same(y, right)
        assert inner[0] > 5
print("fine", end="")
"""
    )
    assert output == "fine"


def test_training_in_one_thread_and_predicting_in_others_ends_with_the_last_weights() -> None:
    output = run(
        """
sys.setswitchinterval(1e-5)
labels = np.arange(5) % 3
for _ in range(30):
    model = small()
    model.compile("sgd", "sparse_categorical_crossentropy")
    done = threading.Event()
    def work():
        while not done.is_set():
            model.predict_on_batch(x)
    others = [threading.Thread(target=work) for _ in range(3)]
    for thread in others:
        thread.start()
    before = [array.copy() for array in model.get_weights()]
    model.fit(x, labels, epochs=3, verbose=0)
    done.set()
    for thread in others:
        thread.join()
    assert any((a != b).any() for a, b in zip(before, model.get_weights()))
    same(model.predict_on_batch(x), twin(model).predict_on_batch(x))
print("fine", end="")
"""
    )
    assert output == "fine"


def test_weights_set_while_the_first_prediction_draws_them_are_kept() -> None:
    output = run(
        """
from depthwise.network import initialize as module
model, given = small(), [np.full_like(array, 0.25) for array in small().get_weights()]
draw, drawing, drawn = module.draw_layer, threading.Event(), threading.Event()
def slowly(*arguments):
    drawing.set()
    drawn.wait(0.2)
    return draw(*arguments)
module.draw_layer = slowly
other = threading.Thread(target=model.predict_on_batch, args=(x,))
other.start()
drawing.wait()
module.draw_layer = draw
model.set_weights_by_name(dict(zip(twin_names := list(small().weights_by_name), given)))
drawn.set()
other.join()
assert all((array == 0.25).all() for array in model.get_weights())
print("fine", end="")
"""
    )
    assert output == "fine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
def test_a_child_predicts_although_another_thread_did_when_it_was_forked() -> None:
    output = run(
        """
model = small()
right = model.predict_on_batch(x)
busy = True
def work():
    number = 0
    while busy:
        number += 1
        model.predict_on_batch(x[:1 + number % 5])
        if number % 20 == 0:  # a program that is still to be made
            depthwise.models.Sequential([layers.Dense(number, input_shape=(4,))]).predict_on_batch(np.zeros((2, 4)))
worker = threading.Thread(target=work)
worker.start()
for _ in range(6):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        same(model.predict_on_batch(x), right)
        same(twin(model).predict_on_batch(x[:1]), right[:1])
        fresh = depthwise.models.Sequential([layers.Dense(1000 + _, input_shape=(4,))])
        assert fresh.predict_on_batch(np.zeros((2, 4))).shape == (2, 1000 + _)
        os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
busy = False
worker.join()
print("fine", end="")
"""
    )
    assert output == "fine"
