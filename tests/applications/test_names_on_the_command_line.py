"""`mobilenetv2:96x96:alpha=0.35` in place of a file: which network it is, which weights it has, and what is said of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from depthwise import applications
from depthwise.applications import mobilenet_v2
from depthwise.applications.named import is_named, made
from depthwise.cli import app
from depthwise.errors import InvalidArgumentError
from depthwise.networks import is_network, open_model
from depthwise.pictures import path_of

NAME = "mobilenetv2:96x96:alpha=0.35"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder of Keras; nothing is ever downloaded."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("depthwise.applications.weights.get_file", lambda *_, **__: pytest.fail("a download"))
    return tmp_path / "home" / "models"


def test_every_network_has_a_name() -> None:
    for name in applications.__all__:
        assert is_named(name.lower()) or name[0].islower()
    assert is_named("EfficientNetV2-B0:64x64")
    for other in ("note-cnn", "model.keras", "mobilenet.keras", "mobilenetv2/model.h5", ""):
        assert not is_named(other)
    assert is_network("note-cnn")
    assert not is_network("model.keras")
    assert path_of(NAME) is None
    assert path_of("model.keras") == Path("model.keras")


def test_size_and_arguments_follow_the_name() -> None:
    model, is_trained = made("mobilenet:alpha=0.25:40x48x1:classes=3:classifier_activation=none")
    own = applications.MobileNet(
        weights=None, input_shape=(40, 48, 1), alpha=0.25, classes=3, classifier_activation=None
    )
    assert not is_trained
    assert model.description == own.description
    small, _ = made("mobilenet-v3-small:32x32:minimalistic=true:include_top=false:pooling=avg", untrained=True)
    assert small.output_shape == (None, 576)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenetv2:size", "after a colon comes the size of an image, such as 96x96, or one of alpha, include_top"),
        ("mobilenetv2:weights=none", "got 'weights=none'"),
        ("mobilenetv2:", "got ''"),
        ("mobilenetv2:classes=many", "classes must be an integer of at least 1, got 'many'"),
        ("mobilenetv2:16x16", "the image must be at least 32×32"),
    ],
)
def test_wrong_parts(name: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        open_model(name)


def test_weights_in_the_cache_are_taken(home: Path) -> None:
    trained = applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3))
    home.mkdir(parents=True)
    path = home / f"{mobilenet_v2.FILES}_0.35_96.h5"
    trained.save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("depthwise.applications.weights.get_file", lambda *_, **__: str(path))
        model, is_trained = open_model(NAME)
        assert is_trained
        assert np.array_equal(model.get_weights()[0], trained.get_weights()[0])
    assert not open_model(NAME, untrained=True)[1]


def _run(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result


def test_commands_take_the_names() -> None:
    result = _run("summary", NAME, "--json")
    own = applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), alpha=0.35)
    assert json.loads(result.stdout)["parameters"] == own.count_params() == 1_691_208
    assert f"'{NAME}': weights trained on ImageNet are not in Keras' cache folder" in result.stderr
    assert "(seed 0)" in result.stderr
    explained = _run("explain", NAME, "--layer", "Conv1", "--at", "0,0,0", "--json")
    assert explained.stdout == _run("explain", NAME, "--layer", "Conv1", "--at", "0,0,0", "--json").stdout
