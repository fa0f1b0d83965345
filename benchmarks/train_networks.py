"""Trains the note's networks on MNIST and writes the weights that the package ships: `uv run python -m benchmarks.train_networks`.

Weights are stored as float16, which takes half the space and costs no accuracy; the accuracy that is recorded is that of the
stored weights.
"""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np

import depthwise
from depthwise.compare.report import Epoch, Report
from depthwise.compare.training import count_correct, describe_optimizer, train
from depthwise.data.dataset import load_data
from depthwise.networks import NETWORKS, network
from depthwise.seeds import set_random_seed

SEED, EPOCHS, BATCH_SIZE = 1, 5, 128


class _Print:
    """An observer that prints a line an epoch."""

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int, accuracy: float) -> None:
        pass

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        print(f"  epoch {epoch}: test accuracy {result.test_accuracy:.2%}", flush=True)

    def timing(self) -> None:
        pass

    def measured(self, report: Report) -> None:
        pass


def main() -> None:
    """Writes `<name>.npz` and `networks.json` into the package's folder `trained`."""
    folder = Path(str(files("depthwise"))) / "trained"
    data = load_data("mnist")
    record = {}
    for name in NETWORKS:
        print(name)
        set_random_seed(SEED)
        model = network(name)
        train(model, data, SEED, EPOCHS, BATCH_SIZE, 0, _Print())
        stored = {key: array.astype(np.float16) for key, array in model.weights_by_name.items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)
        model.set_weights_by_name({key: array.astype(np.float32) for key, array in stored.items()})
        record[name] = {
            "data": "mnist",
            "seed": SEED,
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "optimizer": describe_optimizer(),
            "depthwise": depthwise.__version__,
            "correct": count_correct(model, data),
            "tested": len(data.x_test),
        }
    (folder / "networks.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
