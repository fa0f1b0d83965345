"""The note (`Note on convolutional networks`): its five worked examples, its slips and its open questions, answered.

Every number in an answer is computed here, by `arithmetic` or on a small seeded layer, and not typed.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from depthwise import layers
from depthwise.explain.cells import cell_facts, equivalent_kernel
from depthwise.explain.facts import separable_stages
from depthwise.explain.text import number_text, shape_text
from depthwise.explain.values import layer_values
from depthwise.layers.convolution import Conv2D, SeparableConv2D
from depthwise.layers.pooling import MaxPooling2D
from depthwise.messages import catalogue, text
from depthwise.models import Input, Model
from depthwise.network.facts import LayerFacts, describe, largest_smaller_depth_multiplier
from depthwise.network.graph import Graph
from depthwise.network.twins import ordinary_twin
from depthwise.networks import note_cnn, note_separable
from depthwise.reference import forward as reference

__all__ = ["answers", "examples", "quoted", "small_network", "small_picture", "small_weights"]


def small_network() -> Graph:
    """The note's small examples, 5×5×2 → 3×3×3, once ordinary and once separable, on one and the same map."""
    map_read = Input((5, 5, 2), name="map")
    ordinary = layers.Conv2D(3, (3, 3), activation="relu", name="small_conv2d")(map_read)
    separable = layers.SeparableConv2D(3, (3, 3), name="small_separable_conv2d")(map_read)
    return Model(map_read, [ordinary, separable], name="note").graph


def small_picture() -> np.ndarray[Any, np.dtype[np.float32]]:
    """A 5×5×2 map of small whole numbers, so that every sum can be checked in the head."""
    return np.random.default_rng(5).integers(0, 4, (5, 5, 2)).astype(np.float32)


def small_weights(graph: Graph) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Weights of small whole numbers, biases 1, 2, 3, …"""
    generator = np.random.default_rng(12)
    weights = {}
    for node in graph.calls:
        for weight in node.weights:
            values = generator.integers(-2, 3, weight.shape)
            if weight.name == "bias":
                values = np.arange(1, len(values) + 1)
            weights[node.key(weight.name)] = values.astype(np.float32)
    return weights


def examples() -> list[dict[str, Any]]:
    """The five worked examples: message key, and for each layer the formulas, the value, and what the note prints."""
    small = ((5, 5, 2),)
    cnn = _convolutions(note_cnn().graph)
    separable = [facts for facts in _convolutions(note_separable().graph) if isinstance(facts.layer, SeparableConv2D)]
    groups: list[tuple[str, list[LayerFacts], list[int]]] = [
        ("small_convolution", [describe(Conv2D(3, (3, 3)), small)], [54]),
        ("mnist", cnn, [320, 18_496, 36_928]),
        ("small_separable", [describe(SeparableConv2D(3, (3, 3)), small)], [27]),
        ("first_separable", separable[:1], [1344]),
        ("second_separable", separable[1:2], [2400]),
    ]
    return [
        {
            "key": f"note.example.{key}",
            "layers": [_example(facts, value) for facts, value in zip(layers, printed, strict=True)],
        }
        for key, layers, printed in groups
    ]


def _example(facts: LayerFacts, printed: int) -> dict[str, Any]:
    parts = [("parameters", facts.parameters.text), ("macs", facts.macs.text)]
    if isinstance(facts.layer, SeparableConv2D):
        stages = separable_stages(facts.layer)
        depthwise = describe(stages[0], facts.input_shapes)
        pointwise = describe(stages[1], (depthwise.output_shape,))
        parts = [
            ("depthwise_stage", depthwise.parameters.text),
            ("pointwise_stage", pointwise.parameters.text),
            *parts,
        ]
    return {
        "kind": type(facts.layer).__name__,
        "input_shape": list(facts.input_shapes[0]),
        "output_shape": list(facts.output_shape),
        "parts": [{"key": f"terminal.{key}", "text": text} for key, text in parts],
        "value": facts.parameters.value,
        "printed": printed,
    }


def _convolutions(graph: Graph) -> list[LayerFacts]:
    return [node.facts for node in graph.calls if isinstance(node.layer, (Conv2D, SeparableConv2D))]


@cache
def answers() -> tuple[dict[str, Any], ...]:
    """Every slip and open question: message key, the note's own words, and the facts that the answer names."""
    return tuple(
        {"key": f"note.answer.{key}", "quote": quote, "facts": facts}
        for key, quote, facts in (
            ("added", "每一层所做的运算就是卷积核和提取图块的对应位置相乘加起来，然后所有层弄出一个数（这里不知道怎么计算的）", _added()),
            ("output_channel", "总结：输入特征图的单通道定义了一个卷积核", _output_channel()),
            ("fifty_four", "3x(3x3x2)+3=54个参数", {"text": _small_ordinary().parameters.text}),
            ("affine", "卷积核对于提取窗口所做的是线性变换", _affine()),
            ("shape_formula", "输出特征图的长和宽即为确定的1+(5-3)=3", _shape_formula()),
            ("dropped", "max_pooling2d_2 (MaxPooling2D) (None, 5, 5, 64)", _dropped()),
            ("middle_map", "我保证输入特征图的长宽不变，通道数也不变", _middle_map()),
            ("bias", "这时候参数就只有n*(3x3x1)+m*(1x1xn)个", _bias()),
            ("no_activation", "第一次过滤之后，毛长大于1厘米的地方和颜色不是这三类的都被去除或淡化了", _no_activation()),
            ("faster", "比对之后相当于加快学习", _faster()),
            ("dense_head", "Total params: 184,234", _dense_head()),
            ("missing_layers", "model.add(keras.layers.MaxPool2D(pool_size=2))", _missing_layers()),
            ("first_layer", "model.add(keras.layers.Conv2D(filters=32, kernel_size=3, …", _first_layer()),
            ("not_smaller", "则一共27个参数", _not_smaller()),
            ("pictures", "卷积工作原理.jpg，卷积核的单通道计算.jpg", {}),
        )
    )  # fmt: skip


def quoted(answer: Mapping[str, Any], language: str) -> str:
    """The note's own words, translated where they are Chinese and the reader's language is another."""
    key = f"note.quote.{str(answer['key']).removeprefix('note.answer.')}"
    return text(key, language) if key in catalogue() else str(answer["quote"])


def _small_ordinary() -> LayerFacts:
    return describe(Conv2D(3, (3, 3)), ((5, 5, 2),))


def _added() -> dict[str, Any]:
    graph = small_network()
    weights = small_weights(graph)
    values = layer_values(graph, weights, (small_picture(),))
    cell = cell_facts(graph, weights, values, "small_conv2d", (1, 1, 2))
    first, second = cell["channels"]
    numbers = {
        "first": first["sum"],
        "second": second["sum"],
        "sum": cell["sum"],
        "bias": cell["bias"],
        "before": cell["before_activation"],
        "output": cell["output"],
    }
    return {name: _whole(value) for name, value in numbers.items()}


def _whole(value: float) -> str:
    return f"{value:g}" if value >= 0 else f"(−{-value:g})"


def _output_channel() -> dict[str, Any]:
    kernel = _small_ordinary().weights[0].shape
    return {"filters": kernel[3], "channels": kernel[2], "shape": shape_text(kernel)}


def _affine() -> dict[str, Any]:
    weights = small_weights(small_network())
    kernel, bias = weights["small_conv2d/kernel"], weights["small_conv2d/bias"]
    picture = small_picture()[np.newaxis]
    at = (0, 1, 1, 2)
    return {
        "zero": _whole(float(reference.conv2d(np.zeros_like(picture), kernel, bias)[at])),
        "mirrored": _whole(float(reference.conv2d(picture, kernel[::-1, ::-1], bias)[at])),
        "output": _whole(float(reference.conv2d(picture, kernel, bias)[at])),
    }


def _shape_formula() -> dict[str, Any]:
    shapes = ((5, 5, 2),)
    cases = {
        "valid": Conv2D(3, 3),
        "strided": Conv2D(3, 3, strides=2),
        "same": Conv2D(3, 3, padding="same"),
        "dilated": Conv2D(3, 3, dilation_rate=2),
    }
    return {name: describe(layer, shapes).output_formulas[0].text for name, layer in cases.items()}


def _dropped() -> dict[str, Any]:
    facts = [node.facts for node in note_cnn().graph.calls if isinstance(node.layer, MaxPooling2D)][1]
    assert facts.rows is not None
    assert facts.columns is not None
    return {"text": facts.output_formulas[0].text, "rows": facts.rows.dropped, "columns": facts.columns.dropped}


def _middle_map() -> dict[str, Any]:
    shapes = {
        padding: describe(separable_stages(SeparableConv2D(3, 3, padding=padding))[0], ((5, 5, 2),)).output_shape
        for padding in ("same", "valid")
    }
    return {padding: shape_text(shape) for padding, shape in shapes.items()}


def _bias() -> dict[str, Any]:
    facts = describe(SeparableConv2D(3, 3), ((5, 5, 2),))
    biases = facts.weights[-1].formula.value
    total = facts.parameters.value
    return {"without": total - biases, "total": total, "biases": biases}


def _no_activation() -> dict[str, Any]:
    graph = small_network()
    weights = small_weights(graph)
    depthwise = weights["small_separable_conv2d/depthwise_kernel"]
    pointwise = weights["small_separable_conv2d/pointwise_kernel"]
    same = equivalent_kernel(depthwise, pointwise)
    ranks = [
        int(np.linalg.matrix_rank(same[:, :, channel].reshape(-1, same.shape[3]))) for channel in range(same.shape[2])
    ]
    x = np.random.default_rng(1).random((1, 6, 6, same.shape[2]))
    difference = np.abs(reference.separable_conv2d(x, depthwise, pointwise) - reference.conv2d(x, same)).max()
    return {"multiplier": depthwise.shape[3], "rank": max(ranks), "difference": f"{difference:.0e}"}


def _faster() -> dict[str, Any]:
    graph = note_separable().graph
    twin = ordinary_twin(graph)
    return {"separable": graph.macs, "ordinary": twin.macs, "ratio": f"{twin.macs / graph.macs:.1f}"}


def _dense_parameters(graph: Graph) -> int:
    return sum(node.facts.parameters.value for node in graph.calls if type(node.layer).__name__ == "Dense")


def _dense_head() -> dict[str, Any]:
    graph = note_separable().graph
    twin = ordinary_twin(graph)
    dense = _dense_parameters(graph)
    return {
        "dense": dense,
        "separable": graph.parameters - dense,
        "ordinary": twin.parameters - _dense_parameters(twin),
        "total": graph.parameters,
        "twin_total": twin.parameters,
    }


def _missing_layers() -> dict[str, Any]:
    graph = note_separable().graph
    *_, pooling, flatten, dense, last = graph.calls
    return {
        "shape": shape_text(pooling.output_shape),
        "code": graph.parameters - _dense_parameters(graph),
        "flatten": flatten.output_shape[0],
        "dense": dense.facts.parameters.value,
        "last": last.facts.parameters.value,
        "total": graph.parameters,
    }


def _first_layer() -> dict[str, Any]:
    generator = np.random.default_rng(3)
    filters = 32
    image = generator.random((1, 28, 28, 1))
    separable = reference.separable_conv2d(
        image, generator.normal(size=(3, 3, 1, 1)), generator.normal(size=(1, 1, 1, filters)), padding="same"
    )
    ordinary = reference.conv2d(image, generator.normal(size=(3, 3, 1, filters)), padding="same")
    separable_rank, ordinary_rank = (
        int(np.linalg.matrix_rank(maps.reshape(-1, filters))) for maps in (separable, ordinary)
    )
    return {"filters": filters, "separable_rank": separable_rank, "ordinary_rank": ordinary_rank}


def _not_smaller() -> dict[str, Any]:
    few, many = 3, 64
    return {
        "few_bound": f"9·{few}/(9+{few}) = {number_text(9 * few / (9 + few))}",
        "few": largest_smaller_depth_multiplier((3, 3), few),
        "many_bound": f"9·{many}/(9+{many}) = {number_text(9 * many / (9 + many))}",
        "many": largest_smaller_depth_multiplier((3, 3), many),
    }
