"""`plot_model`: a well-formed drawing in which boxes do not overlap and every arrow goes forwards."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import depthwise
from depthwise import layers, utils
from depthwise.errors import InvalidArgumentError
from depthwise.utils.layered import layered

SVG = "{http://www.w3.org/2000/svg}"


def network() -> Any:
    inner = depthwise.Sequential([depthwise.Input(shape=(4, 4, 2)), layers.Conv2D(2, 1), layers.ReLU()], name="inner")
    x = depthwise.Input(shape=(4, 4, 2), name="start")
    a = layers.Conv2D(2, 3, padding="same", activation="relu", name="a<&>")(x)
    b = inner(inner(a))
    return depthwise.Model(x, layers.Add(name="end")([x, a, b]))


def texts(drawing: str) -> list[str]:
    return [item.text or "" for item in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def boxes(drawing: str) -> list[tuple[float, float, float, float]]:
    found = list(ElementTree.fromstring(drawing).iter(f"{SVG}rect"))[1:]
    sizes = [[float(item.attrib[key]) for key in ("x", "y", "width", "height")] for item in found]
    return [(x, y, x + width, y + height) for x, y, width, height in sizes]


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("expand", [False, True])
def test_boxes_lie_apart_and_arrows_go_forwards(rankdir: str, expand: bool) -> None:
    drawing = utils.plot_model(
        network(), None, show_shapes=True, show_layer_names=True, rankdir=rankdir, expand_nested=expand
    )
    found = boxes(drawing)
    assert len(found) == (7 if expand else 5)
    for index, (left, top, right, bottom) in enumerate(found):
        for other in found[:index]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    lines = list(ElementTree.fromstring(drawing).iter(f"{SVG}polyline"))
    assert len(lines) == (8 if expand else 6)
    along = 0 if rankdir == "LR" else 1
    for line in lines:
        places = [float(point.split(",")[along]) for point in line.attrib["points"].split()]
        assert places == sorted(places)
        assert places[0] < places[-1]


def test_what_the_boxes_tell() -> None:
    plain = texts(utils.plot_model(network(), None))
    assert plain == ["InputLayer", "Conv2D", "Sequential", "Sequential", "Add"]
    model = network()
    model.layers[1].trainable = False
    full = texts(
        utils.plot_model(
            model,
            None,
            show_shapes=True,
            show_dtype=True,
            show_layer_names=True,
            show_layer_activations=True,
            show_trainable=True,
        )
    )
    for text in ("a<&> (Conv2D)", "activation: relu", "in: (None, 4, 4, 2)", "float32", "trainable", "not trainable"):
        assert text in full


def test_the_file_is_svg_whatever_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = utils.plot_model(network(), tmp_path / "model.png")
    assert "model.svg" in capsys.readouterr().out
    assert (tmp_path / "model.svg").read_text(encoding="utf-8") == drawing
    assert drawing._repr_svg_() == drawing
    utils.plot_model(network(), tmp_path / "b.svg")
    assert (tmp_path / "b.svg").exists()
    assert capsys.readouterr().out == ""


def test_the_text_for_graphviz() -> None:
    text = utils.model_to_dot(network(), show_shapes=True)
    assert text.to_string().startswith("digraph {")
    assert text.count("->") == 6
    assert '0 [shape=box label="start (InputLayer)\\nout: (None, 4, 4, 2)"];' in text


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="does not know its input's shape"):
        utils.plot_model(depthwise.Sequential([layers.Dense(2)]), None)
    with pytest.raises(InvalidArgumentError, match="'TB' or 'LR'"):
        utils.plot_model(network(), None, rankdir="RL")
    with pytest.raises(InvalidArgumentError, match="colour"):
        utils.plot_model(network(), None, colour="red")


def test_long_edges_go_around() -> None:
    """An edge over a row has corners there, outside of that row's boxes."""
    layout, _ = layered([(40, 20)] * 3, [(0, 1), (1, 2), (0, 2)], 10, 30)
    (x, y), middle = layout.boxes[1], layout.ways[0, 2][1:-1]
    assert len(middle) == 2
    assert all(abs(place[0] - x) >= 20 for place in middle)
    assert middle[0][1] <= y <= middle[1][1]


def test_a_deep_network_is_drawn() -> None:
    x = y = depthwise.Input(shape=(2,))
    for _ in range(600):
        y = layers.Activation("relu")(y)
    assert len(boxes(utils.plot_model(depthwise.Model(x, y), None))) == 601
