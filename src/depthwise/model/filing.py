"""What models and files have to do with each other, but for making a model of a file."""

import os
import warnings
from typing import TYPE_CHECKING, Any

from depthwise.model.trainable import Trainable

if TYPE_CHECKING:
    from depthwise.data.formats.saved import SavedNetwork

__all__ = ["Filed"]

PathLike = str | os.PathLike[str]


class Filed(Trainable):
    """A model as files hold it."""

    def saved(self) -> "SavedNetwork":
        """The model as files hold it: its tree, weights and compilation as values."""
        from depthwise.data.formats.saved import SavedNetwork

        return SavedNetwork(self.description, self.weights_by_name, self.compiled)

    def save_weights(self, filepath: PathLike, overwrite: bool = True) -> None:
        """Writes the weights alone, as a `.weights.h5` file, or an `.h5` file of the older kind, that real Keras 3 loads."""
        from depthwise.data.formats.writing import write_any_weights

        write_any_weights(self.saved(), filepath, overwrite)

    def load_weights(self, filepath: PathLike, skip_mismatch: bool = False, by_name: bool = False) -> None:
        """Reads the weights from a `.weights.h5`, `.keras` or `.h5` file of a model with the same layers.

        Args:
            filepath: the file, of Keras 2 or 3.
            skip_mismatch: leave layers as they are, with a warning, whose weights in the file have other shapes.
            by_name: for `.h5`: find layers by name, and leave those as they are that the file does not have.

        Raises:
            InvalidFileError: the file is damaged, or holds the weights of another network; the model is as before.
        """
        from depthwise.data.formats.opening import read_some_weights

        found, skipped = read_some_weights(self.graph, self.description, filepath, by_name, skip_mismatch)
        for sentence in skipped:
            warnings.warn(f"not loaded: {sentence}", stacklevel=2)
        self._catch_up()
        self.put_weights(found)

    def get_config(self) -> dict[str, Any]:
        """The model's config as Keras writes it."""
        from depthwise.data.formats.config import model_config

        config: dict[str, Any] = model_config(self.description)["config"]
        return config

    def to_json(self) -> str:
        """The model's config as JSON, for `model_from_json` here or in Keras."""
        import json

        from depthwise.data.formats.config import model_config

        return json.dumps(model_config(self.description))
