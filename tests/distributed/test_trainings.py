"""Trainings that go on elsewhere give the bits of undisturbed ones; what is wrong with --ray is refused before a cluster starts."""

import pickle
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import depthwise
from depthwise import distributed
from depthwise.cli.main import app
from depthwise.compare.console import print_report
from depthwise.compare.page import report_page
from depthwise.compare.progress import ProgressDisplay
from depthwise.compare.report import Epoch, Settings
from depthwise.compare.run import Contestant
from depthwise.compare.training import Training, run_of
from depthwise.data.dataset import Dataset
from depthwise.distributed import cluster
from depthwise.distributed.training import RayTrainer, _Keeper, _Reporter, train_in_turns
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.layers import Dense, Dropout, Flatten
from depthwise.network.graph import Graph, sequential
from support.made_up import Watch, made_up

EPOCHS, SEED = 3, 4


def data() -> Dataset:
    random = np.random.default_rng(5)

    def part(count: int) -> tuple[Any, Any]:
        return random.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8), random.integers(0, 3, count)

    return Dataset("noise", *part(50), *part(20), class_names=("a", "b", "c"))


def graphs() -> list[Graph]:
    """Two networks, one with an order of random numbers of its own."""
    first = [Flatten(input_shape=(4, 4, 1)), Dense(5, "relu"), Dropout(0.5), Dense(3, "softmax")]
    second = [Flatten(input_shape=(4, 4, 1)), Dense(3, "softmax")]
    return [sequential(layers, name) for layers, name in ((first, "first"), (second, "second"))]


def settings() -> Settings:
    return Settings("noise", 50, 20, EPOCHS, (SEED,), 16, 16, 1, "Adam")


def plain(epoch: Epoch) -> Epoch:
    return replace(epoch, seconds=0.0)


class DiedError(Exception):
    """A worker has."""


def test_a_training_that_is_cut_off_after_each_epoch_gives_the_bits_of_an_undisturbed_one() -> None:
    """As on a cluster: the next worker knows nothing but what the keeper has."""
    undisturbed = [
        Training(Contestant("", graph).new_model(SEED), data(), SEED, EPOCHS, 16, index, Watch())
        for index, graph in enumerate(graphs())
    ]
    for _ in range(EPOCHS):
        assert all(training.epoch() for training in undisturbed)

    keeper = _Keeper()
    deaths = 0

    def worker() -> None:
        reporter = _Reporter(SimpleNamespace(step=SimpleNamespace(remote=keeper.step)))

        def keep(network: int, state: bytes, done: Any) -> None:
            keeper.keep(network, SEED, state, "node", done)
            raise DiedError

        train_in_turns(graphs(), data(), settings(), SEED, keeper.kept(SEED)[0], reporter, keep)

    for _ in range(2 * EPOCHS + 1):  # the last one finds nothing left to do
        try:
            worker()
        except DiedError:
            deaths += 1
    assert deaths == 2 * EPOCHS
    kept, node = keeper.kept(SEED)
    assert node == "node"
    for index, training in enumerate(undisturbed):
        model, epochs, begun = pickle.loads(kept[index])
        assert begun == EPOCHS
        assert list(map(plain, epochs)) == list(map(plain, training.epochs))
        for ours, theirs in zip(model.get_weights(), training.model.get_weights(), strict=True):
            assert ours.tobytes() == theirs.tobytes()
        mine, other = run_of(SEED, epochs, EPOCHS, 20), training.run()
        assert replace(mine, epochs=()) == replace(other, epochs=())
        assert mine.is_complete
    told = [facts[:3] for kind, facts in keeper.news() if kind == "epoch_done"]
    assert told == [(network, SEED, epoch) for epoch in (1, 2, 3) for network in (0, 1)]
    assert keeper.news() == []


def test_a_training_without_a_whole_epoch() -> None:
    assert run_of(7, (), 3, 20) == depthwise.compare.report.TrainingRun(7, (), 0, 0, False)


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is there, and fails the test where a cluster is asked for."""

    def init(**options: Any) -> Any:
        raise AssertionError("a cluster was started")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    monkeypatch.setattr(cluster, "load_ray", lambda: ray)
    monkeypatch.setattr("depthwise.distributed.training.load_ray", lambda: ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "--ray", "nowhere:1", "--out", "{place}/new"], "there is no Ray cluster at 'nowhere:1'"),
        (["compare", "--ray", "ray://head:1"], "sends all data through one connection"),
        (["compare", "--ray", "--bits", "both"], "bits must be fast or same, got 'both'"),
        (["compare", "--bits", "same"], "--bits changes nothing without --ray"),
        (["compare", "--ray", "--seeds", "1,1"], "--seeds must be up to 100 different whole numbers"),
        (["compare", "--ray", "none.keras"], "none.keras"),
        (["compare", "--ray", "--data", "{place}/none.npz"], "none.npz"),
        (["compare", "--ray", "--out", "{place}/taken"], "is a file, not a folder"),
        (["predict", "note-cnn", "--ray", "nowhere:1", "{place}/taken"], "there is no Ray cluster at 'nowhere:1'"),
        (["predict", "note-cnn", "--ray", "{place}/*.gif"], "no file has a name like"),
        (["predict", "note-cnn", "--ray", "{place}/none.png"], "none.png"),
        (["predict", "note-cnn", "--ray", "--bits", "both", "{place}/taken"], "bits must be fast or same"),
    ],
)
def test_what_is_wrong_is_refused_before_a_cluster_starts(
    no_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_bytes(b"")
    result = CliRunner().invoke(app, [word.format(place=tmp_path) for word in arguments])
    said = result.output + str(result.exception)
    assert says in said
    assert result.exit_code != 0
    assert "a cluster was started" not in said
    assert not (tmp_path / "new").exists()


def test_what_no_cluster_can_read_is_refused_before_one_starts(no_cluster: None) -> None:
    model = depthwise.networks.trained("note-cnn")
    for wrong, says in (
        (7, r"dataset must be a ray\.data\.Dataset or names of files, got 'int'"),
        (["s3://bucket/a.png", "b.png"], "cannot be mixed"),
        ("none*.png", "no file has a name like"),
    ):
        with pytest.raises(InvalidArgumentError, match=says):
            list(distributed.predict(model, wrong))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="sends all data through one connection"):
        RayTrainer("ray://head:1", "fast", print)


def test_the_report_says_where_each_seed_was_trained() -> None:
    report = made_up()
    assert "places" not in report.to_json()
    placed = replace(report, places=((1, "machine 1 (a <processor>)"), (2, "machine 2")))
    facts = placed.to_json()
    assert facts.pop("places") == {"1": "machine 1 (a <processor>)", "2": "machine 2"}
    assert facts == report.to_json()
    page = report_page(placed)
    assert "Seed 1 was trained on machine 1 (a &lt;processor&gt;)." in page
    assert "种子 2 的训练在 machine 2 上完成。" in report_page(placed, "zh")
    screen = StringIO()
    print_report(placed, Console(file=screen, width=200))
    assert "Seed 1 was trained on machine 1 (a <processor>)." in screen.getvalue()


def test_the_bar_counts_every_epoch_that_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    report = made_up()
    shown: list[float] = []
    display = ProgressDisplay(Console(file=StringIO()), ["a", "b"], "en", lambda report: None)
    display.measured(report)
    display._seconds = [10.0, 20.0]
    monkeypatch.setattr(display._bar, "show", lambda done, text=None: shown.append(done))
    display.training(0, 1, 1, 1, 4, 0.5)
    display.training(0, 2, 1, 2, 4, 0.5)
    display.training(1, 1, 1, 3, 4, 0.5)
    display.epoch_done(0, 1, 1, Epoch(1.0, 0.5, 1.0, 0.5, 8.0))
    display.training(1, 1, 1, 4, 4, 0.5)
    assert shown == [2.5, 7.5, 22.5, 8.0, 8.0 + 8.0 * 0.5 + 20.0]
