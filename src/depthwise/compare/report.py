"""What a comparison found, as frozen data: the graphs, what was measured, and the ratios between them.

Nothing here trains, measures or words anything, so a report can be made, written and shown from made-up measurements.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable
from typing import Any

from depthwise.compare.statistics import mean_and_spread, wilson_interval
from depthwise.dataclass import dataclass
from depthwise.layers.dense import Dense
from depthwise.layers.input import InputLayer
from depthwise.network.graph import Call, Graph

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Epoch",
    "Machine",
    "Mistake",
    "Mistakes",
    "NetworkResult",
    "Ratio",
    "Report",
    "Settings",
    "Timing",
    "TrainingRun",
]

FORMAT = "depthwise.compare"
"""By this mark in `report.json` a folder is known to be ours."""

FORMAT_VERSION = 2

_QUIET_LOAD = 0.5
_QUIET_SPREAD = 0.25
"""Above either of these a machine was not quiet: busy processors, and the spread of the rounds as a share of their median."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data.

    Attributes:
        loss, accuracy: means over the epoch's batches, while the weights were changing.
        test_loss, test_accuracy: on all test data, after the epoch.
        seconds: spent in training, without the test.
    """

    loss: float
    accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class TrainingRun:
    """One network trained from new weights drawn with `seed`; with no epochs, the weights as they were loaded.

    Attributes:
        seed: None where nothing was trained.
        correct, tested: test samples classified rightly, of how many; both 0 where Ctrl-C came before the first test.
        is_complete: whether all epochs that were asked for ran.
    """

    seed: int | None
    epochs: tuple[Epoch, ...]
    correct: int
    tested: int
    is_complete: bool = True

    @property
    def accuracy(self) -> float | None:
        return self.correct / self.tested if self.tested else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the test accuracy."""
        return wilson_interval(self.correct, self.tested) if self.tested else None

    @property
    def seconds(self) -> float:
        """Spent in training, all epochs together."""
        return sum(epoch.seconds for epoch in self.epochs)


@dataclass(frozen=True)
class Timing:
    """Repeated measurements of one call.

    Attributes:
        batch_size: samples a call.
        seconds: for one call, one value a round; the rounds of both networks took turns.
    """

    batch_size: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds for one call."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """The middle half of the rounds, from its first to its last, divided by the median."""
        if len(self.seconds) < 4:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median

    @property
    def microseconds_per_image(self) -> float:
        return self.median / self.batch_size * 1e6


@dataclass(frozen=True)
class Mistake:
    """A test image that was taken for another class.

    Attributes:
        index: its place among the test images. label, answer: the right class and the one with the highest output.
        score: that output.
        png: the picture in base64; "" where it is none.
    """

    index: int
    label: int
    answer: int
    score: float
    png: str = ""


@dataclass(frozen=True)
class Mistakes:
    """What a network got wrong on all test images.

    Attributes:
        count: how many images.
        class_names: a name for each class, as far as they have names.
        confusion: for each right class how many images got each answer; empty where there are too many classes.
        gives_shares: whether the outputs are shares of 1.
        shown: those that it is surest of.
    """

    count: int
    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    gives_shares: bool
    shown: tuple[Mistake, ...]

    def name(self, number: int) -> str:
        """The name of a class; its number where it has none."""
        return self.class_names[number] if number < len(self.class_names) else str(number)


@dataclass(frozen=True)
class NetworkResult:
    """A network and what was measured; what Ctrl-C prevented is missing.

    Attributes:
        source: what the user named: a network's name or a file's path; or "twin".
        shipped: how the weights that come with the package do on the test data, where the network has such.
        files: the names of its `.keras` files in the folder, one a run.
        mistakes: of its first run.
        page: the name of the page in the folder that explains the mistakes; "" where there is none.
    """

    graph: Graph
    source: str
    runs: tuple[TrainingRun, ...] = ()
    batch: Timing | None = None
    single: Timing | None = None
    files: tuple[str, ...] = ()
    shipped: TrainingRun | None = None
    mistakes: Mistakes | None = None
    page: str = ""

    @property
    def layers(self) -> tuple[Call, ...]:
        """All nodes but the inputs, which have nothing to compare."""
        return tuple(node for node in self.graph.calls if not isinstance(node.layer, InputLayer))

    @property
    def head_parameters(self) -> int:
        """Parameters of the dense head: all `Dense` layers."""
        layers = self.graph.layers.values()
        return sum(call.facts.parameters.value for call in layers if isinstance(call.layer, Dense))

    @property
    def convolutional_parameters(self) -> int:
        """Parameters of everything but the dense head."""
        return self.graph.parameters - self.head_parameters

    @property
    def head_macs(self) -> int:
        """Multiply-accumulates of the dense head for one sample."""
        return sum(node.facts.macs.value for node in self.graph.calls if isinstance(node.layer, Dense))

    @property
    def accuracy(self) -> tuple[float, float | None] | None:
        """Mean test accuracy over the seeds and its spread; None before the first test."""
        values = [run.accuracy for run in self.runs if run.accuracy is not None]
        return mean_and_spread(values) if values else None

    @property
    def training_seconds(self) -> tuple[float, float | None] | None:
        """Mean training time over the complete runs and its spread; None where nothing was trained to the end."""
        values = [run.seconds for run in self.runs if run.epochs and run.is_complete]
        return mean_and_spread(values) if values else None

    @property
    def epoch_seconds(self) -> float | None:
        """Median training time of one epoch over all runs."""
        values = [epoch.seconds for run in self.runs for epoch in run.epochs]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Machine:
    """Where it was measured. Nothing in it names the machine or its user.

    Attributes:
        load: processors that other programs kept busy when the measurement began; None where the system does not tell.
    """

    processor: str
    processors: int
    system: str
    python: str
    depthwise: str
    numpy: str
    llvmlite: str
    load: float | None = None


@dataclass(frozen=True)
class Settings:
    """What was asked for."""

    data: str
    train_samples: int
    test_samples: int
    epochs: int
    seeds: tuple[int, ...]
    batch_size: int
    prediction_batch_size: int
    threads: int
    optimizer: str


@dataclass(frozen=True)
class Ratio:
    """How many times less time the lighter network takes, beside what its arithmetic makes possible.

    Attributes:
        kind: "batch", "single" or "training".
        times: the heavier network's time divided by the lighter one's.
        macs_times: the heavier network's MACs divided by the lighter one's.

    >>> Ratio("batch", times=4.0, macs_times=8.0).relative_rate
    0.5
    """

    kind: str
    times: float
    macs_times: float

    @property
    def relative_rate(self) -> float:
        """MACs a second of the lighter network divided by those of the heavier one: times / macs_times."""
        return self.times / self.macs_times


@dataclass(frozen=True)
class Report:
    """A comparison: see the module.

    Attributes:
        networks: the two, in the order in which they were named.
        is_complete: False where Ctrl-C cut the measurements short.
        places: for each seed the machine that it was trained on, where that was a cluster.
    """

    networks: tuple[NetworkResult, NetworkResult]
    settings: Settings
    machine: Machine
    is_complete: bool = True
    places: tuple[tuple[int, str], ...] = ()

    @property
    def has_shipped(self) -> bool:
        """Whether weights of both networks come with the package and were tested."""
        return all(network.shipped is not None for network in self.networks)

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs were at work: the machine's load before, or rounds that differ by more than they should."""
        timings = [timing for network in self.networks for timing in (network.batch, network.single) if timing]
        return (self.machine.load or 0.0) > _QUIET_LOAD or any(timing.spread > _QUIET_SPREAD for timing in timings)

    @property
    def lighter(self) -> NetworkResult:
        """The network with fewer MACs; the first where both have as many."""
        return min(self.networks, key=lambda network: network.graph.macs)

    @property
    def heavier(self) -> NetworkResult:
        return self.networks[1] if self.lighter is self.networks[0] else self.networks[0]

    @property
    def macs_times(self) -> float:
        """The heavier network's MACs divided by the lighter one's; at least 1."""
        light = self.lighter.graph.macs
        return self.heavier.graph.macs / light if light else 1.0

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """One for each time that was measured for both networks: batch, single image, training."""
        readers: dict[str, Callable[[NetworkResult], float | None]] = {
            "batch": lambda network: network.batch.median if network.batch else None,
            "single": lambda network: network.single.median if network.single else None,
            "training": lambda network: network.epoch_seconds,
        }
        ratios = []
        for kind, read in readers.items():
            light, heavy = read(self.lighter), read(self.heavier)
            if light and heavy:
                ratios.append(Ratio(kind, heavy / light, self.macs_times))
        return tuple(ratios)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data for `report.json`: every field, and the values that follow from them."""
        facts: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "is_complete": self.is_complete,
            "settings": dataclasses.asdict(self.settings),
            "machine": dataclasses.asdict(self.machine),
            "networks": [_network_json(network) for network in self.networks],
            "lighter": self.networks.index(self.lighter),
            "macs_times": self.macs_times,
            "is_disturbed": self.is_disturbed,
            "ratios": [dataclasses.asdict(ratio) | {"relative_rate": ratio.relative_rate} for ratio in self.ratios],
        }
        if self.places:
            facts["places"] = {str(seed): place for seed, place in self.places}
        finite: dict[str, Any] = _finite(facts)
        return finite


def _finite(value: Any) -> Any:
    """`value` with None for NaN and infinity (a loss that diverged), which JSON has no words for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _network_json(network: NetworkResult) -> dict[str, Any]:
    accuracy = network.accuracy
    training = network.training_seconds
    return {
        "name": network.graph.name,
        "source": network.source,
        "files": network.files,
        "input_shapes": network.graph.input_shapes,
        "parameters": network.graph.parameters,
        "convolutional_parameters": network.convolutional_parameters,
        "head_parameters": network.head_parameters,
        "macs": network.graph.macs,
        "head_macs": network.head_macs,
        "layers": [
            {
                "name": node.name,
                "class_name": type(node.layer).__name__,
                "output_shape": node.output_shape,
                "parameters": node.facts.parameters.value,
                "parameters_formula": node.facts.parameters.text,
                "macs": node.facts.macs.value,
                "macs_formula": node.facts.macs.text,
            }
            for node in network.layers
        ],
        "accuracy_mean": accuracy and accuracy[0],
        "accuracy_spread": accuracy and accuracy[1],
        "training_seconds_mean": training and training[0],
        "training_seconds_spread": training and training[1],
        "epoch_seconds_median": network.epoch_seconds,
        "shipped": None if network.shipped is None else _run_json(network.shipped),
        "runs": [_run_json(run) for run in network.runs],
        "mistakes": None if network.mistakes is None else _mistakes_json(network.mistakes),
        "batch": _timing_json(network.batch),
        "single": _timing_json(network.single),
    }


def _run_json(run: TrainingRun) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"accuracy": run.accuracy, "interval": run.interval, "seconds": run.seconds}


def _mistakes_json(mistakes: Mistakes) -> dict[str, Any]:
    """Without the pictures, which the numbers of the images stand for."""
    facts = dataclasses.asdict(mistakes)
    for shown in facts["shown"]:
        del shown["png"]
    return facts


def _timing_json(timing: Timing | None) -> dict[str, Any] | None:
    if timing is None:
        return None
    return {
        "batch_size": timing.batch_size,
        "seconds": timing.seconds,
        "median_seconds": timing.median,
        "microseconds_per_image": timing.microseconds_per_image,
    }
