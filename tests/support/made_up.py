"""Reports from made-up measurements: two small networks, numbers that are easy to check by hand."""

from dataclasses import replace

from depthwise.compare.report import (
    Epoch,
    Machine,
    Mistake,
    Mistakes,
    NetworkResult,
    Report,
    Settings,
    Timing,
    TrainingRun,
)
from depthwise.layers.descriptions import Conv2D, Dense, Flatten, SeparableConv2D
from depthwise.network.graph import Graph, sequential
from depthwise.network.twins import ordinary_twin


def light_graph(name: str = "light", layer_name: str | None = None) -> Graph:
    return sequential(
        [
            Conv2D(8, 3, padding="same", input_shape=(8, 8, 1)),
            SeparableConv2D(16, 3, padding="same", name=layer_name),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        name=name,
    )


def run(seed: int, seconds: float, correct: int) -> TrainingRun:
    epochs = (
        Epoch(0.5, 0.85, 0.2, 0.94, seconds * 1.5),
        Epoch(0.1, 0.97, 0.1, correct / 1000, seconds),
        Epoch(0.05, 0.98, 0.09, correct / 1000, seconds * 0.5),
    )
    return TrainingRun(seed, epochs, correct, 1000)


def made_up(seeds: tuple[int, ...] = (1,), name: str = "light", layer_name: str | None = None) -> Report:
    """A complete report: the heavier network takes 2 times the time in batches, 0.5 times alone, 3 times in training."""
    light = light_graph(name, layer_name)
    heavy = ordinary_twin(light, "heavy")
    machine = Machine("Some processor", 2, "Linux", "3.11.2", "0.1.0", "2.0.0", "0.50.0")
    settings = Settings("mnist", 6000, 1000, 3, seeds, 128, 256, 2, "adam, learning rate 0.001")
    return Report(
        (
            NetworkResult(
                light,
                "light",
                tuple(run(seed, 1.0, 980 + seed) for seed in seeds),
                Timing(256, (0.03, 0.01, 0.02)),
                Timing(1, (40e-6, 40e-6)),
                ("light.keras",),
            ),
            NetworkResult(
                heavy,
                "twin",
                tuple(run(seed, 3.0, 970 + seed) for seed in seeds),
                Timing(256, (0.04, 0.05, 0.03)),
                Timing(1, (20e-6, 20e-6)),
                ("heavy.keras",),
            ),
        ),
        settings,
        machine,
    )


DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # one black pixel


def with_mistakes(report: Report, three: str = "three") -> Report:
    """The first network took a two for a one and a three, or what it is called, for a one and a two."""
    names = ("zero", "one", "two", three, *"456789")
    counts = [[10 * (row == column) for column in range(10)] for row in range(10)]
    counts[2][1:3], counts[3][1] = [1, 5], 1
    mistakes = Mistakes(
        count=2,
        class_names=names,
        confusion=tuple(map(tuple, counts)),
        gives_shares=True,
        shown=(Mistake(7, 3, 1, 0.75, DOT), Mistake(9, 2, 2, 0.5, DOT)),
    )
    first, second = report.networks
    return replace(report, networks=(replace(first, mistakes=mistakes, page="explain-light.html"), second))


def stopped_early() -> Report:
    """Ctrl-C in the second epoch of the first network."""
    report = made_up()
    first, second = report.networks
    cut = replace(first.runs[0], epochs=first.runs[0].epochs[:1], is_complete=False)
    return replace(
        report,
        networks=(
            replace(first, runs=(cut,), batch=None, single=None),
            replace(second, runs=(), batch=None, single=None, files=()),
        ),
        is_complete=False,
    )


class Watch:
    """An observer that counts, and raises Ctrl-C where it is told to."""

    def __init__(self, stop_at: tuple[int, int, int] | str | None = None) -> None:
        self.stop_at = stop_at
        self.epochs: list[tuple[int, int, int]] = []
        self.steps = 0
        self.timed = False
        self.first: Report | None = None

    def measured(self, report: Report) -> None:
        self.first = report

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int, accuracy: float) -> None:
        self.steps += 1
        assert 0 <= accuracy <= 1
        assert 1 <= step <= steps
        if self.stop_at == (network, epoch, step):
            raise KeyboardInterrupt

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        self.epochs.append((network, seed, epoch))

    def timing(self) -> None:
        self.timed = True
        if self.stop_at == "timing":
            raise KeyboardInterrupt
