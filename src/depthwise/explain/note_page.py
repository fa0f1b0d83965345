"""The note as a view of its page: the five examples, the fifteen slips, and which layer of the page shows each at work."""

from typing import Any

from depthwise.explain.note import answers, examples, quoted
from depthwise.explain.text import shape_text
from depthwise.messages import LANGUAGES, text

__all__ = ["note_view"]

_ORDINARY, _SEPARABLE = "small_conv2d", "small_separable_conv2d"
_ALIVE: dict[str, tuple[str, tuple[int, int, int]]] = {
    "note.example.small_convolution": (_ORDINARY, (1, 1, 2)),
    "note.example.small_separable": (_SEPARABLE, (1, 1, 2)),
    "note.answer.added": (_ORDINARY, (1, 1, 2)),
    "note.answer.output_channel": (_ORDINARY, (1, 1, 0)),
    "note.answer.fifty_four": (_ORDINARY, (1, 1, 2)),
    "note.answer.affine": (_ORDINARY, (1, 1, 2)),
    "note.answer.shape_formula": (_ORDINARY, (2, 2, 0)),
    "note.answer.middle_map": (_SEPARABLE, (0, 0, 0)),
    "note.answer.bias": (_SEPARABLE, (1, 1, 1)),
    "note.answer.no_activation": (_SEPARABLE, (1, 1, 2)),
    "note.answer.pictures": (_ORDINARY, (0, 0, 0)),
}
"""Where the page shows what an example or an answer speaks of: a layer of `small_network`, and a cell."""


def note_view() -> dict[str, Any]:
    """Texts by language, formulas, and places of the page.

    >>> view = note_view()
    >>> len(view["examples"]), len(view["answers"]), view["examples"][2]["layers"][0]["value"]
    (5, 15, 27)
    """
    return {
        "examples": [
            {
                "title": _in_every_language(example["key"]),
                "alive": _alive(example["key"]),
                "layers": [_layer(layer) for layer in example["layers"]],
            }
            for example in examples()
        ],
        "answers": [
            {
                "quote": {language: quoted(answer, language) for language in LANGUAGES},
                "answer": _in_every_language(answer["key"], **answer["facts"]),
                "alive": _alive(answer["key"]),
            }
            for answer in answers()
        ],
    }


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": layer["kind"],
        "shapes": f"{shape_text(layer['input_shape'])} → {shape_text(layer['output_shape'])}",
        "parts": [{"label": _in_every_language(part["key"]), "text": part["text"]} for part in layer["parts"]],
        "value": layer["value"],
        "printed": layer["printed"],
    }


def _in_every_language(key: str, **facts: object) -> dict[str, str]:
    return {language: text(key, language, **facts) for language in LANGUAGES}


def _alive(key: str) -> dict[str, Any] | None:
    if key not in _ALIVE:
        return None
    layer, position = _ALIVE[key]
    return {"layer": layer, "position": list(position)}
