"""The note's networks with weights that the project trained on MNIST: `networks.json` records how, and how well they do.

`benchmarks/train_networks.py` writes the files of this folder.
"""

import json
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from depthwise.dataclass import dataclass

__all__ = ["Record", "record", "weights"]


@dataclass(frozen=True)
class Record:
    """How a network was trained, and its result on the test images.

    Attributes:
        correct, tested: test images classified rightly, and all of them; by the stored weights.
        depthwise: the version that trained it.
    """

    data: str
    seed: int
    epochs: int
    batch_size: int
    optimizer: str
    depthwise: str
    correct: int
    tested: int

    @property
    def accuracy(self) -> float:
        """The share of test images classified rightly."""
        return self.correct / self.tested


def record(name: str) -> Record:
    """What is known of the shipped weights of `name`; KeyError where none ship."""
    return Record(**json.loads(files(__package__).joinpath("networks.json").read_text(encoding="utf-8"))[name])


def weights(name: str) -> dict[str, NDArray[np.float32]]:
    """The shipped weights of `name` by `"<layer>/<weight>"`. They are stored as float16."""
    with files(__package__).joinpath(f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {key: arrays[key].astype(np.float32) for key in arrays.files}
