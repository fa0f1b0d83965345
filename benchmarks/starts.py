"""What a process costs from its start to the first prediction, with an empty and with a filled cache of compiled code.

    python -m benchmarks.starts model.keras
    python -m benchmarks.starts model.keras --source src --source ../before/src --turns 9

Several folders of source are measured in turns, so that what else happens on the machine falls on all of them. Bytecode is written, as Python does
by default. Figures are medians of the processor time of the whole process in milliseconds, Python's own start included.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

STEPS = ("import", "file loaded", "first prediction")
PROCESS = """
import sys, time
import numpy as np
from depthwise import load_model
imported = time.process_time()
model = load_model(sys.argv[1])
loaded = time.process_time()
model.predict(np.zeros((1, *model.input_shape[1:]), np.float32), verbose=0)
print(imported, loaded, time.process_time())
"""


def milliseconds(model: str, source: str, cache: str) -> tuple[float, ...]:
    """Of one process, at each of `STEPS`."""
    environment = {**os.environ, "PYTHONPATH": os.path.abspath(source), "DEPTHWISE_CACHE_DIR": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROCESS, model]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return tuple(1000 * float(number) for number in done.stdout.split())


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each folder of source."""
    parser = argparse.ArgumentParser(description="Processor time from the start of a process to its first prediction.")
    parser.add_argument("model", help="a model file")
    parser.add_argument(
        "--source", action="append", help="a folder that holds the package; again for another; by default src"
    )
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args(arguments)
    sources = given.source or ["src"]
    times: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.turns + 1):  # the first one writes bytecode and is not counted
            for number, source in enumerate(sources):
                cache = os.path.join(folder, f"{number}-{turn}")
                for state in ("empty", "filled"):
                    measured = milliseconds(given.model, source, cache)
                    if turn:
                        times.setdefault((source, state), []).append(measured)
    print(f"{'':32}" + "".join(f"{step:>18}" for step in STEPS))
    for (source, state), each in times.items():
        medians = [statistics.median(column) for column in zip(*each, strict=True)]
        print(f"{f'{source}, {state} cache':32}" + "".join(f"{value:>15.0f} ms" for value in medians))


if __name__ == "__main__":
    main()
