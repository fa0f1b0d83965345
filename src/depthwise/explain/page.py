"""The page: one self-contained file that plays with a network, made from the built template and the network's facts.

The template (`page/page.html`, built from `web/`) holds the program and no words; this module adds the facts, the messages in
every language, a few pictures and the weights. The file makes no network requests, and its Content-Security-Policy forbids
them: no script runs but the template's own, whose hash the policy names.
"""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidDataError, UnsupportedError, describe_value
from depthwise.explain.cells import has_display
from depthwise.explain.facts import network_facts
from depthwise.explain.operations import CallProgram
from depthwise.explain.page_operations import page_operations
from depthwise.explain.page_values import computed_maps
from depthwise.explain.questions import questions
from depthwise.explain.timing import measure
from depthwise.explain.values import drawn_picture, pixel_range
from depthwise.explain.variations import variations
from depthwise.messages import LANGUAGES, check_language, section
from depthwise.network.alignment import corresponding
from depthwise.network.graph import Call, Graph
from depthwise.network.initialize import draw_weights
from depthwise.network.twins import twin

__all__ = ["MOST_MACS", "MOST_WEIGHT_BYTES", "Page", "Sample", "kept_layers", "make_page"]

MOST_WEIGHT_BYTES = 1_800_000
"""Weights that a page embeds, at most: with their encoding and everything else it stays below 3 MB."""

MOST_MACS = 60_000_000
"""Arithmetic that a page does for one picture, at most: about a tenth of a second in a browser."""

MOST_SAMPLES = 12

NOTE_WORDS = ("note.title", "note.intro", "note.examples", "note.answers", "note.says", "note.right", "note.wrong")

_DATA_MARK = "<!--depthwise:data-->"
_SURROGATE = re.compile(r"[\ud800-\udfff]")

Weights = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """A picture to start from: uint8 pixels in the shape of one input sample, and what it shows."""

    pixels: npt.NDArray[np.uint8]
    label: str


@dataclass(frozen=True)
class Page:
    """A finished page.

    Attributes:
        html: the whole file.
        kept_layers, layers: how many layers run in the page, and how many the network has.
    """

    html: str
    kept_layers: int
    layers: int


def make_page(
    graph: Graph,
    weights: Weights,
    language: str | None = None,
    samples: Sequence[Sample] | None = None,
    class_names: Sequence[str] = (),
    is_trained: bool = True,
    with_times: bool = True,
    largest_pixel: float | None = None,
    place: tuple[str, Sequence[int] | None] | None = None,
    note: Mapping[str, Any] | None = None,
) -> Page:
    """The page of a network.

    Args:
        weights: by `"<layer>/<weight>"`; embedded from the first layer on, as far as `MOST_WEIGHT_BYTES` and `MOST_MACS` allow.
        language: what the page opens in; None for what the reader's browser asks for. It has every language.
        samples: pictures to choose from; a drawn test picture where None or empty.
        class_names: what the values of the last layer stand for.
        is_trained: whether the weights come from training; the page says so.
        largest_pixel: what a sample's pixel of 255 stands for; what the network's own first layer implies where None.
        with_times: measure the network and its twin on this machine.
        place: a layer, and a cell of it, that the page opens at.
        note: the note's examples and slips, as `note_page.note_view` gives them: a view of their own.

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.
        InvalidDataError: a sample of another shape than the network takes.
    """
    if language is not None:
        check_language(language)
    kept = kept_layers(graph)
    inputs = [
        _input_facts(graph, index, samples or [] if index == 0 else [], largest_pixel if index == 0 else None)
        for index in range(len(graph.inputs))
    ]
    arrays, blob = _embedded(graph, weights, kept)
    data = {
        "network": _with_operations(graph),
        "variations": variations(graph),
        "questions": questions(graph),
        "compare": _comparison(graph, weights, with_times),
        "inputs": [facts for facts, _ in inputs],
        "computed": computed_maps(graph, weights, tuple(first for _, first in inputs), kept),
        "class_names": list(class_names),
        "is_trained": is_trained,
        "kept_layers": kept,
        "weights": arrays,
        "languages": LANGUAGES,
        "language": language,
        "messages": section("page.", "quiz.", "kind.", "meaning.", "remark.", "terminal.convention", *NOTE_WORDS),
        "note": note,
        "place": None if place is None else {"layer": place[0], "position": list(place[1]) if place[1] else None},
    }
    payload = (
        f'<script type="application/json" id="depthwise-data">{_in_script(data)}</script>\n'
        f'<script type="text/plain" id="depthwise-weights">{base64.b64encode(blob).decode("ascii")}</script>'
    )
    template = files(__package__).joinpath("page", "page.html").read_text(encoding="utf-8")
    assert template.count(_DATA_MARK) == 1
    return Page(template.replace(_DATA_MARK, payload), kept, len(graph.calls))


def _in_script(data: dict[str, Any]) -> str:
    """JSON that no name in it can end early: the only characters that matter inside a script element are escaped."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)  # of a file's name that is not UTF-8
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028")


def _with_operations(graph: Graph) -> dict[str, Any]:
    """The network's facts; with a layer that the page has no rule for go the operations that it lowers to."""
    facts = network_facts(graph)
    for node, layer in zip(graph.calls, facts["layers"], strict=True):
        operations = None if has_display(node) else page_operations(node)
        if operations is not None:
            layer["operations"] = operations
    return facts


def _can_run(node: Call) -> bool:
    return has_display(node) or page_operations(node) is not None


def kept_layers(graph: Graph) -> int:
    """How many layers, from the first on, the page can run."""
    total_bytes = macs = 0
    for index, node in enumerate(graph.calls):
        total_bytes += node.facts.weight_bytes.value
        macs += node.facts.macs.value
        if total_bytes > MOST_WEIGHT_BYTES or macs > MOST_MACS or not _can_run(node):
            return index
    return len(graph.calls)


def _embedded(graph: Graph, weights: Weights, kept: int) -> tuple[dict[str, Any], bytes]:
    """Where each weight lies (in numbers, not bytes), and all of them as little-endian float32."""
    arrays: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = 0
    for node in graph.calls[:kept]:
        own: dict[str, npt.ArrayLike] = {weight.name: weights[node.key(weight.name)] for weight in node.weights}
        if not has_display(node):  # and what its operations read that follows from the weights
            program = CallProgram(node)
            own |= {program.label(name): array for name, array in program.parameters(weights).items()}
        for name, array in own.items():
            values = np.ascontiguousarray(array, dtype="<f4")
            arrays[f"{node.name}/{name}"] = {"offset": offset, "shape": list(values.shape)}
            offset += values.size
            parts.append(values.tobytes())
    return arrays, b"".join(parts)


def _drawn(shape: tuple[int, ...]) -> Sample:
    return Sample(np.round(drawn_picture(shape) * 255).astype(np.uint8), "")


def _as_read(sample: Sample, brightest: float) -> npt.NDArray[np.float32]:
    """The sample as the network reads it: as the page computes it from the pixels."""
    return (sample.pixels.astype(np.float64) * brightest / 255).astype(np.float32)


def _input_facts(
    graph: Graph, index: int, samples: Sequence[Sample], largest_pixel: float | None
) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    """One of the network's inputs with the pictures to choose from, and the first of them as the network reads it."""
    shape = graph.input_shapes[index]
    shown = list(samples)[:MOST_SAMPLES] or [_drawn(shape)]
    brightest = largest_pixel or pixel_range(graph, index)
    facts = {
        "name": graph.inputs[index],
        "shape": list(shape),
        "range": brightest,
        "samples": [_sample_facts(graph.inputs[index], shape, sample) for sample in shown],
    }
    return facts, _as_read(shown[0], brightest)


def _sample_facts(name: str, shape: tuple[int, ...], sample: Sample) -> dict[str, Any]:
    if sample.pixels.dtype != np.uint8:
        raise InvalidDataError(f"a sample's pixels must be uint8, got {sample.pixels.dtype}")
    if sample.pixels.shape != shape:
        raise InvalidDataError(
            f"the input {describe_value(name)} takes one sample of shape {shape}, got {sample.pixels.shape}"
        )
    return {
        "label": sample.label,
        "pixels": base64.b64encode(np.ascontiguousarray(sample.pixels).tobytes()).decode("ascii"),
    }


def _comparison(graph: Graph, weights: Weights, with_times: bool) -> dict[str, Any] | None:
    """The twin's facts, only those that are shown beside the network's own; None where there is no twin."""
    try:
        other = twin(graph)
    except UnsupportedError:
        return None
    facts = network_facts(other)
    shown = ("name", "kind", "output_shape", "parameters", "macs")
    times = None
    if with_times and math.prod(graph.input_shapes[0]) > 0:
        times = measure(graph, weights, other, draw_weights(other, seed=0))
    return {
        "name": other.name,
        "totals": facts["totals"],
        "layers": [{name: layer[name] for name in shown} for layer in facts["layers"]],
        "pairs": _pairs(graph, other),
        "times": times,
    }


def _pairs(graph: Graph, other: Graph) -> list[tuple[list[int], list[int]]]:
    """Which layers of the network and of the twin stand for each other, by their numbers."""
    own, its = ({call.name: index for index, call in enumerate(one.calls)} for one in (graph, other))
    return [
        ([own[call.name] for call in ours], [its[call.name] for call in theirs])
        for ours, theirs in corresponding(graph, other)
    ]
