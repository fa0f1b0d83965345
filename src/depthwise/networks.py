"""Networks by name: the note's, with new weights or those that the project trained on MNIST, and those of `depthwise.applications`.

| name | what it is |
|---|---|
| note-cnn | the note's first network, with the head that the classic example gives it: Flatten, Dense(64), Dense(10) |
| note-separable | the note's second network, with the layers that its summary shows and its code block lacks |
| note-ordinary | the ordinary twin of note-separable: the fair comparison |

>>> for name in NETWORKS:
...     print(name, f"{network(name).count_params():,}")
note-cnn 93,322
note-separable 184,234
note-ordinary 435,306
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers import Conv2D, Dense, Flatten, MaxPool2D, MaxPooling2D, SeparableConv2D
from depthwise.models import Model, Sequential, load_model
from depthwise.trained import weights

__all__ = ["NETWORKS", "is_network", "network", "note_cnn", "note_ordinary", "note_separable", "open_model", "trained"]


def note_cnn() -> Sequential:
    """Three ordinary convolutions with ReLU on 28×28 grey images; 10 classes."""
    return Sequential(
        [
            Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D((2, 2)),
            Conv2D(64, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Conv2D(64, (3, 3), activation="relu"),
            Flatten(),
            Dense(64, activation="relu"),
            Dense(10, activation="softmax"),
        ],
        name="note-cnn",
    )


def note_separable() -> Sequential:
    """One ordinary and five separable convolutions with SELU on 28×28 grey images; 10 classes."""
    return _six_convolutions(SeparableConv2D, "note-separable")


def note_ordinary() -> Sequential:
    """The same as `note_separable` with ordinary convolutions all through."""
    return _six_convolutions(Conv2D, "note-ordinary")


def _six_convolutions(kind: type[Conv2D] | type[SeparableConv2D], name: str) -> Sequential:
    def convolution(filters: int) -> Any:
        return kind(filters=filters, kernel_size=3, padding="same", activation="selu")

    return Sequential(
        [
            Conv2D(filters=32, kernel_size=3, padding="same", activation="selu", input_shape=(28, 28, 1)),
            convolution(32),
            MaxPool2D(pool_size=2),
            convolution(64),
            convolution(64),
            MaxPool2D(pool_size=2),
            convolution(128),
            convolution(128),
            MaxPool2D(pool_size=2),
            Flatten(),
            Dense(128, activation="selu"),
            Dense(10, activation="softmax"),
        ],
        name=name,
    )


NETWORKS: dict[str, Callable[[], Sequential]] = {
    "note-cnn": note_cnn,
    "note-separable": note_separable,
    "note-ordinary": note_ordinary,
}
"""A function for each name; every call gives a model with new weights."""


def network(name: str) -> Sequential:
    """The network of that name, with new weights.

    Raises:
        InvalidArgumentError: no network has the name.
    """
    if name not in NETWORKS:
        raise InvalidArgumentError(f"no network is named {describe_value(name)}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]()


def trained(name: str) -> Sequential:
    """The network of that name with the weights that come with the package, trained on MNIST.

    >>> from depthwise.trained import record
    >>> record("note-separable").accuracy > 0.99
    True

    Raises:
        InvalidArgumentError: no network has the name.
    """
    model = network(name)
    model.set_weights_by_name(weights(name))
    return model


def is_network(name: str) -> bool:
    """Whether that is the name of a network, not of a file."""
    if name in NETWORKS:
        return True
    from depthwise.applications.named import is_named

    return is_named(name)


def open_model(
    name_or_path: str, untrained: bool = False, shapes: Mapping[str, Sequence[int]] | None = None
) -> tuple[Model, bool]:
    """What a command line names: a network of `NETWORKS` or of `depthwise.applications`, or a file.

    Args:
        name_or_path: `mobilenetv2:96x96:alpha=0.35` and the like for the latter; see `depthwise.applications.named.made`.
        untrained: new weights, not those that come with the package or are in Keras' cache folder.
        shapes: of an ONNX file's inputs; see `depthwise.models.load_model`.

    Returns:
        the model, and whether its weights are trained, as far as one can tell: those of files count as trained.

    Raises:
        InvalidArgumentError: neither a name nor a file that is there.
        InvalidFileError, UnsupportedError: see `depthwise.models.load_model`.
    """
    if name_or_path in NETWORKS:
        return (network(name_or_path), False) if untrained else (trained(name_or_path), True)
    if is_network(name_or_path):
        from depthwise.applications.named import made

        return made(name_or_path, untrained)
    if untrained:
        raise InvalidArgumentError(
            f"--untrained goes with a network's name ({', '.join(NETWORKS)}), got {describe_value(name_or_path)}"
        )
    if name_or_path == "note" and not Path(name_or_path).exists():
        raise InvalidArgumentError(
            f"'note' is the note itself, which depthwise explain note works through; its networks are {', '.join(NETWORKS)}"
        )
    if not Path(name_or_path).exists():
        raise InvalidArgumentError(
            f"no network and no file is named {describe_value(name_or_path)}; give a .keras, .h5 or .onnx file or one of "
            f"{', '.join(NETWORKS)}, or a network of depthwise.applications such as mobilenetv2:96x96:alpha=0.35"
        )
    model = load_model(name_or_path, shapes=shapes)
    model.graph  # noqa: B018 - an ONNX file that leaves sizes open says so
    return model, True


def __dir__() -> list[str]:
    return sorted(__all__)
