"""Work on a real Ray cluster of two machines (two raylets on this one): the bytes of one process, whatever is killed."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import depthwise
from depthwise import distributed
from depthwise.compare.report import Epoch, Report
from depthwise.compare.run import Contestant, compare
from depthwise.data.dataset import Dataset
from depthwise.distributed import cluster as connections
from depthwise.distributed import prediction
from depthwise.distributed.training import RayTrainer
from depthwise.errors import InvalidArgumentError
from depthwise.network.graph import sequential
from depthwise.network.twins import ordinary_twin
from depthwise.pictures import reading_of
from depthwise.predictions.pieces import files_of, grouped, pieces_of
from depthwise.predictions.rows import Classifier, Rows
from depthwise.predictions.tables import json_rows, write_table
from depthwise.runtime.threads import get_threads, set_threads
from support.made_up import Watch

pytestmark = [pytest.mark.sweep, pytest.mark.filterwarnings("ignore")]  # Ray leaves processes and sockets to the end
NAMES = ["photos", "digits.npy"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 image files, one of them damaged, and an array of 3,000 images."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "photos").mkdir()
    x = depthwise.datasets.mnist.load_data()[1][0]
    for number in range(200):
        Image.fromarray(x[number]).save(folder / "photos" / f"{number:03}.png")
    (folder / "photos" / "077.png").write_bytes(b"no image")
    np.save(folder / "digits.npy", x[1000:4000])
    return folder


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    model = depthwise.networks.trained("note-cnn")
    return Classifier(model, reading_of(model))


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """A cluster with a head and one more machine, and this process connected to it."""
    ray = connections.load_ray()
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster()
    try:
        for _ in range(2):
            add(cluster, **options)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def add(cluster: Any, **options: Any) -> Any:
    """Another machine; a busy one takes longer to start it than Ray waits."""
    for attempt in range(3):
        try:
            return cluster.add_node(**options)
        except Exception:
            if attempt == 2:
                raise
    return None


def one_process(classifier: Classifier, names: list[str]) -> list[Rows]:
    pieces = pieces_of(files_of(names), classifier.graph, classifier.reading.scale, 1024)
    return [classifier.rows(group) for group in grouped(pieces, 1024)]


def plain(classifier: Classifier, batches: Any) -> list[Any]:
    return [row for rows in batches for row in json_rows(rows, classifier.reading, classifier.columns)]


def workers(cluster: Any, name: bytes = b"ray::Predictor") -> list[int]:
    """The processes that do such work for the cluster's raylets."""
    raylets = {info.process.pid for node in cluster.list_all_nodes() for info in node.all_processes["raylet"]}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if line.startswith(name) and parent in raylets:
            found.append(int(entry.name))
    return sorted(found)


def test_the_bytes_of_one_process(
    machines: Any, classifier: Classifier, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for suffix in ("json", "csv", "parquet"):
        own, other = tmp_path / f"own.{suffix}", tmp_path / f"other.{suffix}"
        write_table(own, one_process(classifier, NAMES), classifier.reading, classifier.columns, 3)
        assert distributed.predict(classifier.model, NAMES, other) == 3200
        assert own.read_bytes() == other.read_bytes()
    rows = list(distributed.predict(classifier.model, "photos/*.png", bits="same"))  # type: ignore[arg-type]
    assert rows == plain(classifier, one_process(classifier, ["photos"]))
    assert [row["file"] for row in rows if "error" in row] == ["photos/077.png"]


def test_datasets_of_ray(
    machines: Any, classifier: Classifier, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = connections.load_ray()
    monkeypatch.chdir(place)
    array = np.load("digits.npy")[:300]
    expected = [row["predictions"] for row in plain(classifier, one_process(classifier, ["digits.npy"]))[:300]]
    rows = list(distributed.predict(classifier.model, ray.data.from_numpy(array)))  # type: ignore[arg-type]
    assert [row["predictions"] for row in rows] == expected
    assert [row["index"] for row in rows] == list(range(300))

    photos = plain(classifier, one_process(classifier, ["photos"]))
    read = ray.data.read_binary_files(str(place / "photos"), include_paths=True)
    rows = list(distributed.predict(classifier.model, read))  # type: ignore[arg-type]
    assert [row["predictions"] for row in rows] == [row["predictions"] for row in photos]
    assert "error" in rows[77]

    with pytest.raises(depthwise.errors.InvalidDataError, match="it needs bytes or path for image files"):
        list(distributed.predict(classifier.model, ray.data.from_items([{"a": 1, "b": 2}])))  # type: ignore[arg-type]
    with pytest.raises(
        InvalidArgumentError, match=r"dataset must be a ray\.data\.Dataset or names of files, got 'int'"
    ):
        distributed.predict(classifier.model, 7, tmp_path / "rows.json")
    with pytest.raises(InvalidArgumentError, match="processors=3 is more than any machine"):
        list(distributed.predict(classifier.model, NAMES, processors=3))  # type: ignore[arg-type]


def disturbed(classifier: Classifier, every: int, disturb: Callable[[], bool], most: int) -> tuple[list[Any], int]:
    """The rows while `disturb` is called again and again, and how often it did something."""
    done, rows = 0, []
    for number, batch in enumerate(prediction.predicted(classifier, NAMES)):
        rows += plain(classifier, [batch])
        if done < most and number % every == 0:
            done += disturb()
    return rows, done


def killer(machines: Any, name: bytes = b"ray::Predictor") -> Callable[[], bool]:
    """Kills one worker with SIGKILL, waiting a while for one to be there."""
    choice = iter(np.random.default_rng(3).permutation(1000))

    def kill() -> bool:
        deadline = time.monotonic() + 60
        while not (found := workers(machines, name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not found:
            return False
        os.kill(found[next(choice) % len(found)], signal.SIGKILL)
        return True

    return kill


def test_killed_workers_cost_nothing_but_time(
    machines: Any, classifier: Classifier, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(prediction, "BATCH_BYTES", 64 * 28 * 28 * 4)
    rows, kills = disturbed(classifier, 12, killer(machines), 3)
    assert kills == 3
    assert rows == plain(classifier, one_process(classifier, NAMES))


def test_twenty_kills(machines: Any, classifier: Classifier, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(prediction, "BATCH_BYTES", 32 * 28 * 28 * 4)
    rows, kills = disturbed(classifier, 4, killer(machines), 20)
    assert kills == 20
    assert rows == plain(classifier, one_process(classifier, NAMES))


def test_a_machine_that_goes_away(
    machines: Any, classifier: Classifier, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(prediction, "BATCH_BYTES", 64 * 28 * 28 * 4)

    def leave() -> bool:
        node = next(node for node in machines.list_all_nodes() if node is not machines.head_node)
        machines.remove_node(node, allow_graceful=False)
        return True

    try:
        rows, left = disturbed(classifier, 10, leave, 1)
    finally:
        add(machines, num_cpus=1, object_store_memory=100 << 20)
    assert left == 1
    assert rows == plain(classifier, one_process(classifier, NAMES))


def test_code_is_compiled_once_on_a_machine(
    machines: Any, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers on one cache: nobody compiles what another one has compiled."""
    monkeypatch.chdir(place)
    layers = depthwise.layers
    model = depthwise.Sequential([layers.Conv2D(7, 3, input_shape=(28, 28, 1)), layers.GlobalAveragePooling2D()])
    folder = Path(os.environ["DEPTHWISE_CACHE_DIR"])
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.native")}
    assert distributed.predict(model, ["digits.npy"], tmp_path / "rows.csv") == 3000
    new = [path for path in folder.glob("*.native") if path.name not in before]
    assert new  # and replaced would mean compiled again
    assert (folder / ".compiling").exists()


class _Killing(Watch):
    """An observer that kills a worker when it is told of an epoch, a few times."""

    def __init__(self, kill: Callable[[], bool], most: int) -> None:
        super().__init__()
        self.kill, self.left = kill, most

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        super().epoch_done(network, seed, epoch, result)
        if self.left and epoch < 7:
            self.left -= self.kill()


def without_seconds(report: Report) -> str:
    """The report's file without times, and without what follows from them."""
    facts = report.to_json()
    for network in facts["networks"]:
        for name in ("batch", "single", "epoch_seconds_median", "training_seconds_mean", "training_seconds_spread"):
            del network[name]
        for run in network["runs"]:
            del run["seconds"]
            for epoch in run["epochs"]:
                del epoch["seconds"]
    del facts["ratios"], facts["is_disturbed"], facts["machine"]["load"]
    facts.pop("places", None)
    return json.dumps(facts)


@pytest.mark.parametrize("kills", [0, 3])
def test_trainings_give_the_report_of_one_process(machines: Any, kills: int) -> None:
    """And the same weights, also where workers are killed during their epochs: the report says where each seed was trained."""
    (x, y), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    data = Dataset("digits", x[:6000], y[:6000], x_test[:500], y_test[:500], tuple("0123456789"))
    layers = depthwise.layers
    small = [
        layers.Conv2D(4, 3, strides=2, activation="relu", input_shape=(28, 28, 1)),
        layers.SeparableConv2D(8, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(10, activation="softmax"),
    ]
    graph = sequential(small, "small")
    pair = Contestant("small", graph), Contestant("twin", ordinary_twin(graph, "twin"))
    options: Any = {"epochs": 10, "seeds": (3, 1), "batch_size": 128}
    before = get_threads()
    set_threads(1)
    try:
        expected, weights = compare(pair, data, Watch(), **options)
        watch = _Killing(killer(machines, b"ray::_train_seed"), kills)
        trainer = RayTrainer(None, "fast", print)
        report, models = compare(pair, data, watch, **options, train=trainer)
    finally:
        set_threads(before)
    assert watch.left == 0
    assert report.is_complete
    assert without_seconds(report) == without_seconds(expected)
    assert sorted(watch.epochs) == [(n, s, e) for n in (0, 1) for s in (1, 3) for e in range(1, 11)]
    assert set(trainer.places) == {1, 3}
    assert all(place.startswith("machine ") for place in trainer.places.values())
    for ours, theirs in zip(
        (m for group in models for m in group), (m for group in weights for m in group), strict=True
    ):
        assert [array.tobytes() for array in ours.get_weights()] == [array.tobytes() for array in theirs.get_weights()]
