"""Several processes at once beside the same processes one after another: what is lost when they share the processors.

    python -m benchmarks.oversubscription
    python -m benchmarks.oversubscription --processes 4 --rounds 5 --seconds 3

Every process predicts with the note's network, with as many threads as there are processors, in batches and single images. A
process begins when all are ready; what counts is the images of all of them in a second. One after another they have the
machine for themselves. Nothing else should run.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

WORKER = """
import sys, time
import numpy as np
from depthwise.networks import open_model
batch, seconds = int(sys.argv[1]), float(sys.argv[2])
model, _ = open_model("note-separable")
x = np.random.default_rng(0).random((batch, *model.input_shape[1:]), np.float32)
for _ in range(20):
    model.predict_on_batch(x)
print("ready", flush=True)
sys.stdin.readline()
images, begin = 0, time.perf_counter()
while time.perf_counter() - begin < seconds:
    model.predict_on_batch(x)
    images += batch
print(images / (time.perf_counter() - begin), flush=True)
"""


def images_per_second(processes: int, batch: int, seconds: float) -> float:
    """Of `processes` at once, all of them together."""
    command = [sys.executable, "-c", WORKER, str(batch), str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    rates = []
    for worker in workers:
        output, _ = worker.communicate()
        rates.append(float(output))
    return sum(rates)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; returns 1 where more than 15 % are lost."""
    parser = argparse.ArgumentParser(description="Throughput of several processes at once, beside one after another.")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args(arguments)
    worst = 0.0
    for batch in (256, 1):
        apart, together = [], []
        for _ in range(options.rounds):  # in turns: the machine may slow down meanwhile
            apart.append(images_per_second(1, batch, options.seconds))
            time.sleep(0.2)
            together.append(images_per_second(options.processes, batch, options.seconds))
        one, all_ = statistics.median(apart), statistics.median(together)
        lost = 1.0 - all_ / one
        worst = max(worst, lost)
        print(
            f"batch {batch}: {one:,.0f} images/s one after another, {all_:,.0f} images/s for {options.processes} processes at once: "
            f"{lost:.0%} lost"
        )
    return 1 if worst > 0.15 else 0


if __name__ == "__main__":
    sys.exit(main())
