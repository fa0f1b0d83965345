"""Every code block of the note runs once `keras` in it is `depthwise`, and its summaries say what the note prints.

The blocks are copied from the note letter by letter; only the tables, which are output and not code, are given as numbers.
"""

import re
from typing import Any

import pytest

import depthwise
from depthwise import models

LAYER = "keras.layers.Conv2D(3,(3,3),input_shape=(5,5,2))"

CNN = """
from keras import layers
from keras import models
model = models.Sequential()
model.add(layers.Conv2D(32, (3, 3), activation='relu', input_shape=(28, 28, 1)))
model.add(layers.MaxPooling2D((2, 2)))
model.add(layers.Conv2D(64, (3, 3), activation='relu'))
model.add(layers.MaxPooling2D((2, 2)))
model.add(layers.Conv2D(64, (3, 3), activation='relu'))
"""

SEPARABLE = """
model = keras.models.Sequential()
model.add(keras.layers.Conv2D(filters=32, kernel_size=3,
                              padding='same',
                              activation='selu',
                              input_shape=(28, 28, 1)))
#这里就是深度可分离卷积
model.add(keras.layers.SeparableConv2D(filters=32, kernel_size=3,
                                       padding='same',
                                       activation='selu'))
model.add(keras.layers.MaxPool2D(pool_size=2))
model.add(keras.layers.SeparableConv2D(filters=64, kernel_size=3,
                                       padding='same',
                                       activation='selu'))
model.add(keras.layers.SeparableConv2D(filters=64, kernel_size=3,
                                       padding='same',
                                       activation='selu'))
model.add(keras.layers.MaxPool2D(pool_size=2))
model.add(keras.layers.SeparableConv2D(filters=128, kernel_size=3,
                                       padding='same',
                                       activation='selu'))
model.add(keras.layers.SeparableConv2D(filters=128, kernel_size=3,
                                       padding='same',
                                       activation='selu'))
model.add(keras.layers.MaxPool2D(pool_size=2))
"""

# The code block lacks these three, though the note's summary has the first two and counts the third.
HEAD = """
model.add(keras.layers.Flatten())
model.add(keras.layers.Dense(128, activation='selu'))
model.add(keras.layers.Dense(10, activation='softmax'))
"""

SUMMARY = "model.summary()"

CNN_ROWS = [
    ("Conv2D", "(None, 26, 26, 32)", 320),
    ("MaxPooling2D", "(None, 13, 13, 32)", 0),
    ("Conv2D", "(None, 11, 11, 64)", 18_496),
    ("MaxPooling2D", "(None, 5, 5, 64)", 0),
    ("Conv2D", "(None, 3, 3, 64)", 36_928),
]
SEPARABLE_ROWS = [
    ("Conv2D", "(None, 28, 28, 32)", 320),
    ("SeparableConv2D", "(None, 28, 28, 32)", 1_344),
    ("MaxPooling2D", "(None, 14, 14, 32)", 0),
    ("SeparableConv2D", "(None, 14, 14, 64)", 2_400),
    ("SeparableConv2D", "(None, 14, 14, 64)", 4_736),
    ("MaxPooling2D", "(None, 7, 7, 64)", 0),
    ("SeparableConv2D", "(None, 7, 7, 128)", 8_896),
    ("SeparableConv2D", "(None, 7, 7, 128)", 17_664),
    ("MaxPooling2D", "(None, 3, 3, 128)", 0),
    ("Flatten", "(None, 1152)", 0),
    ("Dense", "(None, 128)", 147_584),
    ("Dense", "(None, 10)", 1_290),
]


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"depthwise": depthwise}
    exec(block.replace("keras", "depthwise"), names)
    return names


def rows(printed: str) -> list[tuple[str, str, int]]:
    pattern = r"[│ ]*\w+ \((\w+)\) *│ (\([^)]*\)) *│ *([\d,]+) │"
    return [(name, shape, int(count.replace(",", ""))) for name, shape, count in re.findall(pattern, printed)]


def test_one_layer() -> None:
    layer = eval(LAYER.replace("keras", "depthwise"), {"depthwise": depthwise})
    model = models.Sequential([layer])
    assert model.output_shape == (None, 3, 3, 3)
    assert model.count_params() == 57  # the note prints 54: it forgot to add the biases


@pytest.mark.parametrize(
    ("block", "expected", "total"),
    [(CNN, CNN_ROWS, "55,744"), (SEPARABLE + HEAD, SEPARABLE_ROWS, "184,234")],
    ids=["cnn", "separable"],
)
def test_networks_and_their_summaries(
    block: str, expected: list[Any], total: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(block + SUMMARY)
    printed = capsys.readouterr().out
    assert rows(printed) == expected
    assert f"Total params: {total} " in printed
    assert f"Trainable params: {total} " in printed
    assert "Non-trainable params: 0 " in printed
    assert names["model"].count_params() == int(total.replace(",", ""))


def test_the_separable_block_as_it_stands() -> None:
    model = run(SEPARABLE)["model"]
    assert model.count_params() == 35_360
    assert model.output_shape == (None, 3, 3, 128)
