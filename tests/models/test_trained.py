"""The weights that come with the package: what their record says of them is true, and they are small."""

from importlib.resources import files

import numpy as np
import pytest

from depthwise.classification import scaled_for
from depthwise.data.dataset import load_data
from depthwise.networks import NETWORKS, network, open_model, trained
from depthwise.trained import record, weights


@pytest.mark.parametrize("name", NETWORKS)
def test_they_have_the_accuracy_that_their_record_says(name: str) -> None:
    data = load_data("mnist")
    model = trained(name)
    outputs = model.predict(scaled_for(model.graph, data.x_test), verbose=0)
    correct = int(np.count_nonzero(outputs.argmax(-1) == data.y_test))
    # Other vectors add up in another order: an image on the edge may fall to the other side.
    assert abs(correct - record(name).correct) <= 2
    assert record(name).accuracy >= 0.99


def test_they_take_less_than_one_and_a_half_megabytes() -> None:
    folder = files("depthwise").joinpath("trained")
    sizes = [len(folder.joinpath(f"{name}.npz").read_bytes()) for name in NETWORKS]
    assert sum(sizes) < 1_500_000


@pytest.mark.parametrize("name", NETWORKS)
def test_a_name_opens_them_unless_new_weights_are_asked_for(name: str) -> None:
    model, is_trained = open_model(name)
    assert is_trained
    stored = weights(name)
    assert all(np.array_equal(model.weights_by_name[key], stored[key]) for key in stored)
    assert set(stored) == set(network(name).weights_by_name)
    fresh, is_trained = open_model(name, untrained=True)
    assert not is_trained
    assert not any(np.array_equal(fresh.weights_by_name[key], stored[key]) for key in stored if key.endswith("kernel"))
