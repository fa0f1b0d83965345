"""What a file holds: a network as a value. Files are read into it and written from it; models stand above."""

from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depthwise.dataclass import dataclass
from depthwise.network.graph import Graph
from depthwise.network.tree import ModelTree, inlined
from depthwise.usage import Usage

if TYPE_CHECKING:
    from depthwise.training.compiled import Compiled

__all__ = ["SavedNetwork"]


@dataclass(frozen=True)
class SavedNetwork:
    """A network with its weights.

    Attributes:
        tree: the models as their author nested them, in Keras' order.
        weights: float32 arrays by `WeightKey.text`, all of them; a model that is made of them takes them as they are.
        training: what it is compiled with, and what the optimizer has learnt; None where it is not.
        usage: what its outputs are called, and what pictures it takes.
    """

    tree: ModelTree
    weights: Mapping[str, NDArray[np.float32]]
    training: "Compiled | None" = None
    usage: Usage = field(default_factory=Usage)

    @cached_property
    def graph(self) -> Graph:
        return inlined(self.tree)
