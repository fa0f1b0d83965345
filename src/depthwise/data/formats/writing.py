"""A saved network → a file of the kind that its name asks for."""

import os

from depthwise.data.formats.keras_file import write_model, write_weights
from depthwise.data.formats.legacy_h5_write import write_h5, write_h5_weights
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["write_any", "write_any_weights"]

PathLike = str | os.PathLike[str]

WEIGHTS, OLDER = ".weights.h5", (".h5", ".hdf5")


def write_any(network: SavedNetwork, filepath: PathLike, overwrite: bool = True) -> None:
    """Writes a whole model: `.keras`, or `.h5` and `.hdf5` of the older kind.

    Raises:
        InvalidArgumentError: another ending, or the file exists and `overwrite` is False.
        DepthwiseError: the folder cannot be written to, or the disk is full.
    """
    name = os.fspath(filepath)
    if name.endswith(WEIGHTS):
        raise InvalidArgumentError(
            f"{describe_value(name, 200)} is the name of a file of weights; use save_weights, or an ending without .weights"
        )
    if name.endswith(OLDER):
        write_h5(network, filepath, overwrite)
    elif name.endswith(".keras"):
        write_model(network, filepath, overwrite)
    else:
        raise InvalidArgumentError(f"the file's name must end in .keras or .h5, got {describe_value(name, 200)}")


def write_any_weights(network: SavedNetwork, filepath: PathLike, overwrite: bool = True) -> None:
    """Writes the weights alone: `.weights.h5`, or `.h5` of the older kind; raises what `write_any` does."""
    name = os.fspath(filepath)
    if name.endswith(OLDER) and not name.endswith(WEIGHTS):
        write_h5_weights(network, filepath, overwrite)
    else:
        write_weights(network, filepath, overwrite)
