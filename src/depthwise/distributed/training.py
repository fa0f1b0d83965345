"""The trainings of a comparison on a Ray cluster: one task for each seed, which goes on from its last epoch when its worker dies."""

import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

from depthwise.compare.report import Epoch, Settings, TrainingRun
from depthwise.compare.run import Contestant
from depthwise.compare.training import Observer, Training
from depthwise.compiler.native.targets import restrict
from depthwise.data.dataset import Dataset
from depthwise.distributed.cluster import agreed_target, check_bits, connected, explained, load_ray, nodes_of
from depthwise.errors import InvalidArgumentError
from depthwise.models import Model
from depthwise.runtime.threads import set_threads

__all__ = ["RayTrainer"]

RETRIES = 20
"""Workers that may die on one training: each costs at most one epoch."""

_LOOKS_EVERY = 0.5
_STEPS_EVERY = 0.5


class RayTrainer:
    """Trains all seeds at once; `compare` takes it as `train`.

    Args:
        address, bits: see `depthwise.distributed.predict`.
        tell: gets what the user should know.

    Attributes:
        places: for each seed the machine that its training ended on.
    """

    def __init__(self, address: str | None, bits: str, tell: Callable[[str], None]) -> None:
        load_ray()
        check_bits(bits)
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
        """Fills `runs` and `models`, in the order of the seeds. False after Ctrl-C."""
        with connected(self._address) as ray:
            nodes = nodes_of(ray)
            largest = max((node.processors for node in nodes), default=0)
            if largest < settings.threads:
                raise InvalidArgumentError(
                    f"--threads must be at most {largest}, the processors of the largest machine of the cluster, got {settings.threads}"
                )
            names = {node.identity: f"machine {n} ({node.processor})" for n, node in enumerate(nodes, 1)}
            keeper = ray.remote(_Keeper).options(num_cpus=0, **_here(ray)).remote()
            shared = ray.put((data, settings, agreed_target(nodes, self._bits, self._tell)))
            task = ray.remote(_train_seed).options(num_cpus=settings.threads, max_retries=RETRIES)
            under_way = {
                task.remote([shared], ray.put([each.new_model(seed) for each in contestants]), seed, keeper): seed
                for seed in settings.seeds
            }
            whole = self._watch(ray, under_way, keeper, observer)
            for seed in settings.seeds:
                self._take(ray, keeper, seed, settings, len(data.x_test), names, runs, models)
        return whole

    def _watch(self, ray: Any, under_way: dict[Any, int], keeper: Any, observer: Observer) -> bool:
        """Waits for all tasks and tells the observer of every epoch. False after Ctrl-C."""
        seen = 0
        left = list(under_way)
        try:
            while left:
                done, left = ray.wait(left, num_returns=1, timeout=_LOOKS_EVERY)
                seen = _observe(ray.get(keeper.news.remote(seen)), seen, observer)
                ray.get(done)
        except KeyboardInterrupt:
            for reference in left:
                ray.cancel(reference, force=True)
            return False
        except ray.exceptions.RayError as error:
            for reference in left:
                ray.cancel(reference, force=True)
            raise explained(error) from None
        return True

    def _take(
        self,
        ray: Any,
        keeper: Any,
        seed: int,
        settings: Settings,
        tested: int,
        names: dict[str, str],
        runs: tuple[list[TrainingRun], list[TrainingRun]],
        models: tuple[list[Model], list[Model]],
    ) -> None:
        """What was kept of a seed, as runs and models."""
        kept, node = ray.get(keeper.saved.remote(seed))
        for index, state in sorted(kept.items()):
            model, epochs = pickle.loads(state)
            correct = round(epochs[-1].test_accuracy * tested)
            is_complete = len(epochs) == settings.epochs
            runs[index].append(TrainingRun(seed, tuple(epochs), correct, tested, is_complete))
            models[index].append(model)
            self.places[seed] = names.get(node, "a machine that joined later")


def _here(ray: Any) -> dict[str, Any]:
    """On the machine of the process that asks: it is there as long as anybody wants the results."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=own, soft=False)}


def _observe(news: Sequence[tuple[str, tuple[Any, ...]]], seen: int, observer: Observer) -> int:
    for kind, facts in news:
        getattr(observer, kind)(*facts)
    return seen + len(news)


class _Keeper:
    """An actor that keeps the last epoch of every training, and what an observer should be told."""

    def __init__(self) -> None:
        self._kept: dict[int, dict[int, bytes]] = {}
        self._nodes: dict[int, str] = {}
        self._news: list[tuple[str, tuple[Any, ...]]] = []

    def keep(self, network: int, seed: int, epoch: int, result: Epoch, state: bytes, node: str) -> None:
        """An epoch is done."""
        self._kept.setdefault(seed, {})[network] = state
        self._nodes[seed] = node
        self._news.append(("epoch_done", (network, seed, epoch, result)))

    def step(self, *facts: Any) -> None:
        self._news.append(("training", facts))

    def saved(self, seed: int) -> tuple[dict[int, bytes], str]:
        return self._kept.get(seed, {}), self._nodes.get(seed, "")

    def news(self, seen: int) -> list[tuple[str, tuple[Any, ...]]]:
        return self._news[seen:]


class _Reporter:
    """The observer on a worker: a step now and then; epochs are told of when they are kept."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._last = 0.0
        self.result: tuple[int, int, int, Epoch] | None = None

    def timing(self) -> None:
        """Nothing is timed here."""

    def measured(self, report: Any) -> None:
        """Nor measured."""

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int, accuracy: float) -> None:
        now = time.monotonic()
        if now - self._last >= _STEPS_EVERY:
            self._last = now
            self._keeper.step.remote(network, seed, epoch, step, steps, accuracy)

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        self.result = network, seed, epoch, result


def _train_seed(shared: Sequence[Any], models: Sequence[Model], seed: int, keeper: Any) -> None:
    """Trains both networks with one seed, epoch by epoch in turns, from where a worker before this one came to."""
    import ray

    data, settings, target = ray.get(shared[0])
    node = ray.get_runtime_context().get_node_id()
    set_threads(settings.threads)
    restrict(target)
    reporter = _Reporter(keeper)
    trainings = [
        Training(model, data, seed, settings.epochs, settings.batch_size, index, reporter)
        for index, model in enumerate(models)
    ]
    kept, _ = ray.get(keeper.saved.remote(seed))
    for index, state in kept.items():
        trainings[index].resume(*pickle.loads(state))
    for epoch in range(1, settings.epochs + 1):
        for training in trainings:
            if len(training.epochs) >= epoch:
                continue
            reporter.result = None
            training.epoch()
            if reporter.result is None:
                continue
            ray.get(keeper.keep.remote(*reporter.result, pickle.dumps((training.model, training.epochs)), node))
