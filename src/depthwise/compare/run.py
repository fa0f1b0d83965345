"""A whole comparison in order: time both networks, test what is trained already, then train both in turns; Ctrl-C ends it with
the results so far."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from depthwise.classification import check_classifier
from depthwise.compare.machine import this_machine
from depthwise.compare.mistakes import find_mistakes
from depthwise.compare.report import NetworkResult, Report, Settings, TrainingRun
from depthwise.compare.timing import time_prediction
from depthwise.compare.training import Observer, Training, count_correct, describe_optimizer
from depthwise.data.dataset import Dataset
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError
from depthwise.models import Model
from depthwise.network.graph import Graph
from depthwise.runtime.threads import get_threads
from depthwise.seeds import set_random_seed

__all__ = ["Contestant", "Trainer", "check_epochs", "compare"]


@dataclass(frozen=True)
class Contestant:
    """One of the two networks.

    Attributes:
        source: what the user named.
        graph: the network.
        loaded: the model with its weights, where they came from a file.
        shipped: the model with the weights that come with the package, where there are such.
    """

    source: str
    graph: Graph
    loaded: Model | None = None
    shipped: Model | None = None

    def new_model(self, seed: int) -> Model:
        """With weights drawn with `seed`; the same seed also gives `fit` the same order of the images."""
        set_random_seed(seed)
        return Model.from_graph(self.graph)


Trainer = Callable[
    [
        tuple[Contestant, Contestant],
        Dataset,
        Settings,
        Observer,
        tuple[list[TrainingRun], list[TrainingRun]],
        tuple[list[Model], list[Model]],
    ],
    bool,
]
"""Fills the lists of runs and models of both networks for all seeds. False after Ctrl-C."""


def check_epochs(contestants: Sequence["Contestant"], epochs: int) -> None:
    """Whether the networks can be compared after so many epochs.

    Raises:
        InvalidArgumentError: no epochs, for a network whose weights are new.
    """
    for contestant in contestants:
        if not epochs and contestant.loaded is None:
            raise InvalidArgumentError(
                f"with --epochs 0 both networks must come from files with trained weights, but {contestant.source} does "
                "not; give at least --epochs 1"
            )


def compare(
    contestants: tuple[Contestant, Contestant],
    data: Dataset,
    observer: Observer,
    epochs: int = 5,
    seeds: Sequence[int] = (1,),
    batch_size: int = 128,
    prediction_batch_size: int = 256,
    on_interrupt: Callable[[], None] = lambda: None,
    train: Trainer | None = None,
) -> tuple[Report, tuple[list[Model], list[Model]]]:
    """Trains, tests and times both networks.

    Args:
        epochs: passes over the training data; with 0 both are tested as they were loaded.
        seeds: one training for each.
        on_interrupt: called once when Ctrl-C came.
        train: what trains all seeds; None for this process, one seed after the other.

    Returns:
        the report, and for each network its trained models, one for each of its runs.

    Raises:
        InvalidArgumentError, ShapeError, InvalidDataError, UnsupportedError: before anything is trained.
    """
    for contestant in contestants:
        check_classifier(contestant.graph, data)
    check_epochs(contestants, epochs)
    if epochs and batch_size > len(data.x_train):
        raise InvalidArgumentError(
            f"batch_size must be at most {len(data.x_train):,}, the number of training images, got {batch_size:,}"
        )
    settings = Settings(
        data=data.name,
        train_samples=len(data.x_train),
        test_samples=len(data.x_test),
        epochs=epochs,
        seeds=tuple(seeds) if epochs else (),
        batch_size=batch_size,
        prediction_batch_size=prediction_batch_size,
        threads=get_threads(),
        optimizer=describe_optimizer() if epochs else "",
    )
    runs: tuple[list[TrainingRun], list[TrainingRun]] = ([], [])
    models: tuple[list[Model], list[Model]] = ([], [])
    machine = this_machine()
    results = [NetworkResult(contestant.graph, contestant.source) for contestant in contestants]

    def report(is_complete: bool) -> Report:
        first, second = (replace(result, runs=tuple(done)) for result, done in zip(results, runs))
        return Report((first, second), settings, machine, is_complete)

    is_complete = False
    try:
        observer.timing()
        _measure(contestants, data, settings, results)
        if not epochs:
            for index, contestant in enumerate(contestants):
                assert contestant.loaded is not None
                runs[index].append(tested(contestant.loaded, data))
                models[index].append(contestant.loaded)
        observer.measured(report(is_complete=not epochs))
        is_complete = (train or _train_all)(contestants, data, settings, observer, runs, models)
    except KeyboardInterrupt:
        pass
    if not is_complete:
        on_interrupt()
    try:
        for index, trained in enumerate(models):
            if trained and runs[index][0].tested:
                results[index] = replace(results[index], mistakes=find_mistakes(trained[0], data))
    except KeyboardInterrupt:
        pass  # in a hurry: the report goes without them
    return report(is_complete), models


def tested(model: Model, data: Dataset) -> TrainingRun:
    """The test of weights that are what they are."""
    return TrainingRun(None, (), count_correct(model, data), len(data.x_test))


def _measure(
    contestants: tuple[Contestant, Contestant], data: Dataset, settings: Settings, results: list[NetworkResult]
) -> None:
    """Adds to `results` what needs no training: the times of predictions, and the accuracy of shipped weights."""
    # Any weights will do for the time.
    models = [contestant.loaded or contestant.shipped or contestant.new_model(0) for contestant in contestants]
    single = time_prediction(models, data.x_test, 1)
    batch = time_prediction(models, data.x_test, settings.prediction_batch_size)
    for index, result in enumerate(results):
        results[index] = replace(result, single=single[index], batch=batch[index])
    if all(contestant.shipped is not None for contestant in contestants):
        for index, model in enumerate(models):
            results[index] = replace(results[index], shipped=tested(model, data))


def _train_all(
    contestants: tuple[Contestant, Contestant],
    data: Dataset,
    settings: Settings,
    observer: Observer,
    runs: tuple[list[TrainingRun], list[TrainingRun]],
    models: tuple[list[Model], list[Model]],
) -> bool:
    """Fills `runs` and `models` seed by seed, the two networks epoch by epoch in turns. False after Ctrl-C."""
    for seed in settings.seeds:
        trainings = [
            Training(contestant.new_model(seed), data, seed, settings.epochs, settings.batch_size, index, observer)
            for index, contestant in enumerate(contestants)
        ]
        begun: dict[int, Training] = {}
        whole = True
        try:
            for index, training in (item for _ in range(settings.epochs) for item in enumerate(trainings)):
                begun[index] = training
                whole = training.epoch()
                if not whole:
                    break
        except KeyboardInterrupt:
            whole = False
        for index, training in begun.items():
            runs[index].append(training.run())
            models[index].append(training.model)
        if not whole:
            return False
    return True
