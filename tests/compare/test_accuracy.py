"""The main job's promise, on the whole of MNIST: slow, so only `.ci/run` keeps it."""

import pytest

from depthwise.cli.compare import DEFAULT_BATCH_SIZE, DEFAULT_SEEDS, FULL_EPOCHS
from depthwise.compare.run import Contestant
from depthwise.compare.training import train
from depthwise.data.dataset import load_data
from depthwise.networks import network
from support.made_up import Watch


@pytest.mark.sweep
def test_the_separable_network_passes_99_percent_when_trained_to_the_end() -> None:
    seed = int(DEFAULT_SEEDS)
    contestant = Contestant("note-separable", network("note-separable").graph)
    run, interrupted = train(
        contestant.new_model(seed), load_data("mnist"), seed, FULL_EPOCHS, DEFAULT_BATCH_SIZE, 0, Watch()
    )
    assert not interrupted
    assert FULL_EPOCHS <= 5
    assert run.tested == 10_000
    assert run.accuracy is not None
    assert run.accuracy >= 0.990
