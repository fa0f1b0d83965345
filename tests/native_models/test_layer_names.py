"""Names in `depthwise.layers`: Keras' other names, its functional forms, and what is refused by name."""

import keras
import pytest

import depthwise
from depthwise import layers
from depthwise.configuration import serialized
from depthwise.data.formats.layer_config import layer_from_config, parse_layer
from depthwise.errors import UnsupportedError
from depthwise.layers.names import ALIASES, UNSUPPORTED


def test_other_names_are_those_of_keras() -> None:
    for alias, name in ALIASES.items():
        assert getattr(keras.layers, alias) is getattr(keras.layers, name)
        if name in layers.LAYERS:
            assert getattr(layers, alias) is getattr(layers, name)
            assert alias in layers.__all__
    assert layers.Input is depthwise.Input


def test_what_is_refused_is_a_layer_of_keras_that_is_not_here() -> None:
    assert {name for name in UNSUPPORTED if not hasattr(keras.layers, name)} == set()
    assert not set(UNSUPPORTED) & {*layers.LAYERS, *ALIASES}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_refused_says_why(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"layers.{name} is not supported: .") as error:
        getattr(layers, name)
    assert UNSUPPORTED[name] in str(error.value)
    assert not hasattr(layers, name)
    if name != "Lambda":
        entry = serialized("keras.layers", name, {"name": "that_one"})
        with pytest.raises(UnsupportedError, match=f"'that_one' is a '{name}', which is not supported: "):
            parse_layer(entry)


def test_functional_forms_make_the_layer() -> None:
    x, y = depthwise.Input((4, 3)), depthwise.Input((4, 3))
    for name in ("add", "average", "concatenate", "maximum", "minimum", "multiply", "subtract"):
        made = getattr(layers, name)([x, y], name=f"own_{name}")
        assert made.layer.name == f"own_{name}"
        assert type(made.layer).__name__ == name.capitalize()
        assert layer_from_config(name.capitalize(), made.layer.get_config()).name == f"own_{name}"
    dot = layers.dot([x, y], axes=(1, 1), normalize=True)
    assert (dot.shape, dot.layer.axes, dot.layer.normalize) == ((None, 3, 3), (1, 1), True)
    assert layers.concatenate([x, y], axis=1).shape == (None, 8, 3)
