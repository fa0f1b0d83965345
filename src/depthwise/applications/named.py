"""Networks of `depthwise.applications` as a command line names them: `mobilenetv2`, `mobilenetv2:96x96:alpha=0.35`."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from depthwise import applications
from depthwise.applications.weights import CACHED, NotCachedError
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.models import Model

__all__ = ["EXAMPLE", "is_named", "made"]

EXAMPLE = "mobilenetv2:96x96:alpha=0.35"
_NAMES = {name.lower(): name for name in applications.__all__ if name[0].isupper()}
_FIXED = ("input_shape", "input_tensor", "name", "weights")
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def is_named(text: str) -> bool:
    """Whether the text names one of these networks.

    >>> is_named("mobilenetv2:96x96"), is_named("EfficientNetV2-B0"), is_named("model.keras")
    (True, True, False)
    """
    return _key(text) in _NAMES


def _key(text: str) -> str:
    return re.sub("[-_]", "", text.partition(":")[0].lower())


def made(text: str, untrained: bool = False) -> tuple[Model, bool]:
    """The network that the text names, with the weights in Keras' cache folder, or with new ones.

    Args:
        text: the name, then with ":" between, in any order: the size of an image as `96x96` or `96x96x1`, and arguments of the
            network's function such as `alpha=0.35`, `classes=10` or `include_top=false`.
        untrained: new weights in any case.

    Returns:
        The model, and whether its weights are published ones.

    Raises:
        InvalidArgumentError: an argument that the network has not, or one that is not allowed.

    >>> model, is_trained = made("mobilenetv2:96x96:alpha=0.35:classes=5", untrained=True)
    >>> model.input_shape, model.output_shape, is_trained
    ((None, 96, 96, 3), (None, 5), False)
    """
    name = _NAMES[_key(text)]
    function: Callable[..., Model] = getattr(applications, name)
    known = [key for key in inspect.signature(function).parameters if key not in _FIXED]
    options: dict[str, Any] = {}
    for part in text.split(":")[1:]:
        key, value = _option(name, part, known)
        options[key] = value
    if not untrained:
        try:
            return function(weights=CACHED, **options), True
        except (NotCachedError, InvalidArgumentError):  # the latter: nothing is published for these arguments
            pass
    return function(weights=None, **options), False


def _option(owner: str, part: str, known: list[str]) -> tuple[str, Any]:
    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})(?:x(\d{1,6}))?", part)
    if size is not None:
        return "input_shape", tuple(int(item or 3) for item in size.groups())
    key, equals, value = part.partition("=")
    if not equals or key not in known:
        raise InvalidArgumentError(
            f"{owner}: after a colon comes the size of an image, such as 96x96, or one of {', '.join(known)} with its value, "
            f"such as classes=10; got {describe_value(part)}"
        )
    if value.lower() in _WORDS:
        return key, _WORDS[value.lower()]
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value
