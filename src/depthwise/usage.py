"""How a model is used on pictures: what its outputs are called, and how a picture becomes its input.

A model file keeps it beside what Keras reads; see `depthwise.data.formats`.
"""

from collections.abc import Sequence
from typing import Any

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, InvalidFileError, describe_value

__all__ = ["FITS", "SCALES", "Usage", "checked_choice", "checked_names"]

SCALES = ("0..1", "-1..1", "0..255")
"""What the values of black and white can be for a network."""

FITS = ("stretch", "crop", "pad")
"""How a picture of other proportions becomes the input: distorted, its middle cut out, or zeros put around it."""

MOST_NAMES = 100_000
LARGEST = 2**20
"""Characters of all names together."""


@dataclass(frozen=True)
class Usage:
    """What a model's author knows and its layers do not say.

    Attributes:
        class_names: one for each output, or the two of a single output; empty where nobody said.
        scale: one of `SCALES`, None where nobody said.
        fit: one of `FITS`, None where nobody said.

    >>> Usage(("cat", "dog"), "-1..1").facts()
    {'class_names': ['cat', 'dog'], 'scale': '-1..1'}
    """

    class_names: tuple[str, ...] = ()
    scale: str | None = None
    fit: str | None = None

    def facts(self) -> dict[str, Any]:
        """What is known, as JSON has it; empty where nothing is."""
        known: dict[str, Any] = {"class_names": list(self.class_names), "scale": self.scale, "fit": self.fit}
        return {name: value for name, value in known.items() if value}

    @classmethod
    def from_facts(cls, facts: object, what: str) -> "Usage":
        """What `facts` gave, read from a file. A scale or fit of a later version is left out.

        Args:
            what: the file, for messages.

        Raises:
            InvalidFileError: facts of another form.
        """
        if not isinstance(facts, dict):
            raise InvalidFileError(f"{what} must describe the model's use as an object, got {describe_value(facts)}")
        try:
            names = checked_names(facts.get("class_names", []))
        except InvalidArgumentError as error:
            raise InvalidFileError(f"{what} is damaged: {error}") from None
        scale, fit = facts.get("scale"), facts.get("fit")
        return cls(names, scale if scale in SCALES else None, fit if fit in FITS else None)

    def names_for(self, output_shapes: Sequence[Sequence[int]]) -> tuple[str, ...]:
        """The names, where they are as many as the outputs: a head that was replaced since has others.

        >>> Usage(("cat", "dog")).names_for([(2,)]), Usage(("cat", "dog")).names_for([(3,)])
        (('cat', 'dog'), ())
        """
        fitting = len(output_shapes) == 1 and len(output_shapes[0]) == 1
        units = output_shapes[0][0] if fitting else 0
        return self.class_names if len(self.class_names) == (2 if units == 1 else units) else ()


def checked_names(names: object) -> tuple[str, ...]:
    """Names of classes as a tuple; None gives none.

    Raises:
        InvalidArgumentError: not a list of texts, or too many.
    """
    if names is None:
        return ()
    listed = names.tolist() if hasattr(names, "tolist") else names
    if not isinstance(listed, (list, tuple)) or not all(isinstance(name, str) for name in listed):
        raise InvalidArgumentError(f"class_names must be a list of texts, got {describe_value(names)}")
    if len(listed) > MOST_NAMES or sum(map(len, listed)) > LARGEST:
        raise InvalidArgumentError(
            f"class_names may hold up to {MOST_NAMES:,} names of together {LARGEST:,} characters, got {len(listed):,} names"
        )
    return tuple(map(str, listed))


def checked_choice(name: str, value: object, allowed: tuple[str, ...]) -> str | None:
    """`value`, one of `allowed` or None.

    Raises:
        InvalidArgumentError: another value.
    """
    if value is not None and value not in allowed:
        raise InvalidArgumentError(f"{name} must be one of {', '.join(allowed)} or None, got {describe_value(value)}")
    return None if value is None else str(value)
