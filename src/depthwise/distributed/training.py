"""The trainings of a comparison on a Ray cluster: a task for each seed, which goes on from its last epoch when its worker dies."""

import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

from depthwise.compare.report import Epoch, Settings, TrainingRun
from depthwise.compare.run import Contestant
from depthwise.compare.training import Observer, Training, run_of
from depthwise.compiler.native.processors import usable_processors
from depthwise.compiler.native.targets import restrict
from depthwise.data.dataset import Dataset
from depthwise.distributed.cluster import (
    agreed_target,
    check_address,
    check_bits,
    connected,
    explained,
    load_ray,
    nodes_of,
)
from depthwise.errors import InvalidArgumentError
from depthwise.models import Model
from depthwise.network.graph import Graph
from depthwise.runtime.threads import set_threads

__all__ = ["RayTrainer"]

RETRIES = 20
"""Workers that may die on one seed; each costs at most one epoch."""

_LOOKS_EVERY = 0.5
_STEPS_EVERY = 0.5


class RayTrainer:
    """Trains all seeds, as many at once as the cluster has processors for; `compare` takes it as `train`.

    Args:
        address, bits: see `depthwise.distributed.predict`.
        tell: gets what the user should know.

    Attributes:
        places: for each seed the machine that its training ended on.

    Raises:
        UnsupportedError, InvalidArgumentError: Ray is not installed, `bits` is not known, or no cluster is at the address. No cluster is
            started here.
    """

    def __init__(self, address: str | None, bits: str, tell: Callable[[str], None]) -> None:
        load_ray()
        check_bits(bits)
        check_address(address)
        self._address, self._bits, self._tell = address, bits, tell
        self.places: dict[int, str] = {}

    def __call__(
        self,
        contestants: tuple[Contestant, Contestant],
        data: Dataset,
        settings: Settings,
        observer: Observer,
        runs: tuple[list[TrainingRun], list[TrainingRun]],
        models: tuple[list[Model], list[Model]],
    ) -> bool:
        """Fills `runs` and `models`, in the order of the seeds. False after Ctrl-C; they hold every whole epoch then.

        Raises:
            InvalidArgumentError: no machine has as many processors as a training has threads.
            DepthwiseError: the cluster failed in another way than by losing machines.
        """
        with connected(self._address, max(settings.threads, usable_processors())) as ray:
            nodes = nodes_of(ray)
            largest = max((node.processors for node in nodes), default=0)
            if largest < settings.threads:
                raise InvalidArgumentError(
                    f"--threads must be at most {largest}, the processors of the largest machine of the cluster, got {settings.threads}"
                )
            names = {node.identity: f"machine {n} ({node.processor})" for n, node in enumerate(nodes, 1)}
            keeper = ray.remote(_Keeper).options(num_cpus=0, **_here(ray)).remote()
            graphs = [contestant.graph for contestant in contestants]
            shared = ray.put((graphs, data, settings, agreed_target(nodes, self._bits, self._tell)))
            # A worker that has ended its seed may keep memory and threads, which the next seed on it would meet: so each gets its own.
            task = ray.remote(num_cpus=settings.threads, max_retries=RETRIES, max_calls=1)(_train_seed)
            under_way = [task.remote([shared], seed, keeper) for seed in settings.seeds]
            whole = _watch(ray, under_way, keeper, observer)
            for seed in settings.seeds:
                kept, node = ray.get(keeper.kept.remote(seed))
                for index, state in sorted(kept.items()):
                    model, epochs, _ = pickle.loads(state)
                    runs[index].append(run_of(seed, epochs, settings.epochs, len(data.x_test)))
                    models[index].append(model)
                    self.places[seed] = names.get(node, "a machine that joined later")
        return whole


def _watch(ray: Any, under_way: list[Any], keeper: Any, observer: Observer) -> bool:
    """Waits for all tasks and tells the observer of every epoch. False after Ctrl-C."""
    left = under_way
    try:
        while left:
            done, left = ray.wait(left, num_returns=1, timeout=_LOOKS_EVERY)
            for kind, facts in ray.get(keeper.news.remote()):
                getattr(observer, kind)(*facts)
            ray.get(done)
        return True
    except KeyboardInterrupt:
        return False
    except ray.exceptions.RayError as error:
        raise explained(error) from None
    finally:
        for reference in left:
            ray.cancel(reference, force=True)


def _here(ray: Any) -> dict[str, Any]:
    """On the machine of the process that asks: it is there as long as anybody wants the results."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=own, soft=False)}


class _Keeper:
    """An actor that keeps the state of every training after its last epoch, and what the observer has not been told yet."""

    def __init__(self) -> None:
        self._kept: dict[int, dict[int, bytes]] = {}
        self._nodes: dict[int, str] = {}
        self._news: list[tuple[str, tuple[Any, ...]]] = []

    def keep(self, network: int, seed: int, state: bytes, node: str, done: tuple[Any, ...] | None) -> None:
        """A network has trained an epoch. `done`: the facts for `Observer.epoch_done`; None where it broke off."""
        self._kept.setdefault(seed, {})[network] = state
        self._nodes[seed] = node
        if done is not None:
            self._news.append(("epoch_done", done))

    def step(self, *facts: Any) -> None:
        self._news.append(("training", facts))

    def kept(self, seed: int) -> tuple[dict[int, bytes], str]:
        return self._kept.get(seed, {}), self._nodes.get(seed, "")

    def news(self) -> list[tuple[str, tuple[Any, ...]]]:
        news, self._news = self._news, []
        return news


class _Reporter:
    """The observer on a worker: it tells of a step now and then; epochs are told of when they are kept."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._last = 0.0
        self.done: tuple[int, int, int, Epoch] | None = None

    def timing(self) -> None:
        """Nothing is timed here."""

    def measured(self, report: Any) -> None:
        """Nor measured."""

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int, accuracy: float) -> None:
        now = time.monotonic()
        if step == 1 or now - self._last >= _STEPS_EVERY:
            self._last = now
            self._keeper.step.remote(network, seed, epoch, step, steps, accuracy)

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        self.done = network, seed, epoch, result


def _train_seed(shared: Sequence[Any], seed: int, keeper: Any) -> None:
    """A task: trains both networks with one seed, epoch by epoch in turns, from where a worker before this one came to."""
    import ray

    graphs, data, settings, target = ray.get(shared[0])
    node = ray.get_runtime_context().get_node_id()
    set_threads(settings.threads)
    restrict(target)
    kept, _ = ray.get(keeper.kept.remote(seed))

    def keep(network: int, state: bytes, done: tuple[Any, ...] | None) -> None:
        ray.get(keeper.keep.remote(network, seed, state, node, done))

    train_in_turns(graphs, data, settings, seed, kept, _Reporter(keeper), keep)


def train_in_turns(
    graphs: Sequence[Graph],
    data: Dataset,
    settings: Settings,
    seed: int,
    kept: dict[int, bytes],
    reporter: _Reporter,
    keep: Callable[[int, bytes, tuple[Any, ...] | None], None],
) -> None:
    """Trains the networks with one seed, and hands out the state of a network after each of its epochs.

    Args:
        kept: for each network such a state, to go on from.
    """
    trainings, begun = [], []
    for index, graph in enumerate(graphs):
        model = Contestant("", graph).new_model(seed)
        trainings.append(Training(model, data, seed, settings.epochs, settings.batch_size, index, reporter))
        begun.append(0)
        if index in kept:
            model, epochs, begun[index] = pickle.loads(kept[index])
            trainings[index].resume(model, epochs)
    for epoch in range(settings.epochs):
        for index, training in enumerate(trainings):
            if begun[index] > epoch:
                continue
            reporter.done = None
            training.epoch()
            keep(index, pickle.dumps((training.model, training.epochs, epoch + 1)), reporter.done)
