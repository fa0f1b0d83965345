"""A whole comparison in order: train both networks with every seed, test them, time them; Ctrl-C ends it with the results so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from depthwise.classification import check_classifier
from depthwise.compare.machine import this_machine
from depthwise.compare.report import NetworkResult, Report, Settings, TrainingRun
from depthwise.compare.timing import time_prediction
from depthwise.compare.training import Observer, count_correct, describe_optimizer, train
from depthwise.data.dataset import Dataset
from depthwise.errors import InvalidArgumentError
from depthwise.models import Model
from depthwise.network.graph import Graph
from depthwise.runtime.threads import get_threads
from depthwise.seeds import set_random_seed

__all__ = ["Contestant", "check_epochs", "compare"]


@dataclass(frozen=True)
class Contestant:
    """One of the two networks.

    Attributes:
        source: what the user named.
        graph: the network.
        loaded: the model with its weights, where they came from a file.
    """

    source: str
    graph: Graph
    loaded: Model | None = None

    def new_model(self, seed: int) -> Model:
        """With weights drawn with `seed`; the same seed also gives `fit` the same order of the images."""
        set_random_seed(seed)
        return Model.from_graph(self.graph)


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
) -> tuple[Report, tuple[list[Model], list[Model]]]:
    """Trains, tests and times both networks.

    Args:
        epochs: passes over the training data; with 0 both are tested as they were loaded.
        seeds: one training for each.
        on_interrupt: called once when Ctrl-C came.

    Returns:
        the report, and for each network its trained models, one for each of its runs.

    Raises:
        InvalidArgumentError, ShapeError, InvalidDataError, UnsupportedError: before anything is trained.
    """
    for contestant in contestants:
        check_classifier(contestant.graph, data)
    check_epochs(contestants, epochs)
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
    results = [NetworkResult(contestant.graph, contestant.source) for contestant in contestants]
    is_complete = True
    try:
        if epochs:
            is_complete = _train_all(contestants, data, settings, observer, runs, models)
        else:
            for index, contestant in enumerate(contestants):
                assert contestant.loaded is not None
                correct = count_correct(contestant.loaded, data)
                runs[index].append(TrainingRun(None, (), correct, len(data.x_test)))
                models[index].append(contestant.loaded)
        if is_complete:
            observer.timing()
            firsts = [trained[0] for trained in models]
            single = time_prediction(firsts, data.x_test, 1)
            results = [replace(result, single=timing) for result, timing in zip(results, single)]
            batch = time_prediction(firsts, data.x_test, prediction_batch_size)
            results = [replace(result, batch=timing) for result, timing in zip(results, batch)]
    except KeyboardInterrupt:
        is_complete = False
    if not is_complete:
        on_interrupt()
    first, second = (replace(result, runs=tuple(done)) for result, done in zip(results, runs))
    return Report((first, second), settings, this_machine(), is_complete), models


def _train_all(
    contestants: tuple[Contestant, Contestant],
    data: Dataset,
    settings: Settings,
    observer: Observer,
    runs: tuple[list[TrainingRun], list[TrainingRun]],
    models: tuple[list[Model], list[Model]],
) -> bool:
    """Fills `runs` and `models` seed by seed, both networks with one seed before the next. False after Ctrl-C."""
    for seed in settings.seeds:
        for index, contestant in enumerate(contestants):
            model = contestant.new_model(seed)
            run, interrupted = train(model, data, seed, settings.epochs, settings.batch_size, index, observer)
            runs[index].append(run)
            models[index].append(model)
            if interrupted:
                return False
    return True
