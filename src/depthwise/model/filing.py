"""What models and files have to do with each other, but for making a model of a file."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.model.trainable import Trainable
from depthwise.usage import FITS, SCALES, Usage, checked_choice, checked_names

if TYPE_CHECKING:
    from depthwise.data.formats.saved import SavedNetwork

__all__ = ["Filed"]

PathLike = str | os.PathLike[str]


class Filed(Trainable):
    """A model as files hold it."""

    def _start(self, name: str | None, trainable: bool) -> None:
        super()._start(name, trainable)
        self._usage = Usage()

    # How it is used on pictures: kept in its files, and read by the command line.

    @property
    def usage(self) -> Usage:
        """`class_names`, `input_scale` and `input_fit` together."""
        return self._usage

    def use(self, usage: Usage) -> None:
        """Takes over what `usage` knows; what it does not know stays."""
        self._usage = replace(self._usage, **{name: value for name, value in vars(usage).items() if value})

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the outputs stand for: one name each, or two for a single output; () where nobody has said.

        `fit` sets them from data that has such names, as that of `image_dataset_from_directory`. Setting them takes a list of
        texts, or None.
        """
        return self._usage.names_for(self.graph.output_shapes) if self.built else self._usage.class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        usage = replace(self._usage, class_names=checked_names(names))
        if self.built and usage.class_names and not usage.names_for(self.graph.output_shapes):
            shapes = ", ".join(str((None, *shape)) for shape in self.graph.output_shapes)
            raise InvalidArgumentError(
                f"class_names holds {len(usage.class_names):,} names, but the model's output has the shape {shapes}; give one for "
                "each number of one vector, or two for a single number"
            )
        self._usage = usage

    @property
    def input_scale(self) -> str | None:
        """The values of black and white that the model was trained on: "0..1", "-1..1" or "0..255"; None where nobody has said."""
        return self._usage.scale

    @input_scale.setter
    def input_scale(self, scale: str | None) -> None:
        self._usage = replace(self._usage, scale=checked_choice("input_scale", scale, SCALES))

    @property
    def input_fit(self) -> str | None:
        """How pictures of other proportions become the input: "stretch", "crop" or "pad"; None where nobody has said."""
        return self._usage.fit

    @input_fit.setter
    def input_fit(self, fit: str | None) -> None:
        self._usage = replace(self._usage, fit=checked_choice("input_fit", fit, FITS))

    def learn_usage(self, data: Any) -> None:
        """Takes over what data for training says of itself: names of classes that are as many as the outputs, and the pixels' scale."""
        indices = getattr(data, "class_indices", None)
        names = getattr(data, "class_names", None)
        if names is None and isinstance(indices, dict):
            names = sorted(indices, key=indices.__getitem__)
        known = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
        usage = Usage(tuple(names) if known and names else ())
        fit, scale = getattr(data, "image_fit", None), getattr(data, "pixel_scale", None)
        self.use(
            Usage(
                usage.names_for(self.graph.output_shapes),
                scale if scale in SCALES else None,
                fit if fit in FITS else None,
            )
        )

    def saved(self) -> "SavedNetwork":
        """The model as files hold it: its tree, weights and compilation as values."""
        from depthwise.data.formats.saved import SavedNetwork

        names = self._usage.names_for(self.graph.output_shapes)
        usage = replace(self._usage, class_names=names)
        return SavedNetwork(self.description, self.weights_by_name, self.compiled, usage)

    def save_weights(self, filepath: PathLike, overwrite: bool = True) -> None:
        """Writes the weights alone, as a `.weights.h5` file, or an `.h5` file of the older kind, that real Keras 3 loads.

        Args:
            filepath: where the file goes; its ending says which kind.
            overwrite: whether an existing file is replaced.
        """
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

    def export(
        self,
        filepath: PathLike,
        format: str = "onnx",
        verbose: bool | None = None,
        input_signature: Any = None,
        *,
        opset_version: int | None = None,
        channels_first: bool = False,
        overwrite: bool = True,
    ) -> None:
        """Writes what the model predicts as an ONNX file; needs the extra `depthwise[onnx]`.

        The batch stays open, inputs and outputs keep their names and shapes, and what only training does is left out.

        Args:
            filepath: a name that ends in .onnx.
            format: "onnx". Keras' other formats are refused.
            verbose: say where the file was written.
            input_signature: None: the shapes are the model's.
            opset_version: the version of ONNX' operators, 17 where it is None.
            channels_first: take and give images with their channels first, as ONNX' own operators do.
            overwrite: replace a file that is there.

        Raises:
            InvalidArgumentError: another ending or format, or the file exists and `overwrite` is False.
            UnsupportedError: a layer that ONNX has nothing for, or more than 2 GiB.
            DepthwiseError: the package onnx is missing, or the folder cannot be written to; an old file is then as it was.
        """
        from depthwise.data.formats.onnx.writing.file import DEFAULT_OPSET, write_onnx

        if format != "onnx":
            raise UnsupportedError(
                f"export: format must be 'onnx', got {describe_value(format)}; for Keras and what it exports to, save the model as "
                ".keras"
            )
        if input_signature is not None:
            raise UnsupportedError(
                "export: input_signature must be None, the file takes inputs of the model's own shapes and any batch; got "
                f"{describe_value(input_signature)}"
            )
        opset = DEFAULT_OPSET if opset_version is None else opset_version
        write_onnx(self.saved(), filepath, opset, channels_first, overwrite)
        if verbose:
            print(f"Saved artifact at '{os.fspath(filepath)}'.")

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
