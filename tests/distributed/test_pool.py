"""Jobs on workers that die: every result once and in order, few jobs ahead, and an end to what kills every worker.

The cluster is a simulation with a seed, so that every order of events can happen and does; `test_ray.py` kills real processes.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from depthwise.distributed.pool import AHEAD, DEATHS, WINDOW, run_in_order
from depthwise.errors import DepthwiseError


class _RayError(Exception):
    pass


class _LostError(_RayError):
    pass


class _Exceptions:
    RayError = _RayError
    RayActorError = WorkerCrashedError = NodeDiedError = ObjectLostError = OutOfMemoryError = _LostError


class _Reference:
    def __init__(self, actor: "_Actor", job: Any) -> None:
        self.actor, self.job = actor, job


class _Method:
    def __init__(self, actor: "_Actor") -> None:
        self.actor = actor

    def remote(self, job: Any = None) -> _Reference:
        reference = _Reference(self.actor, job)
        self.actor.queue.append(reference)
        return reference


class _Actor:
    """`delay`: events until it starts."""

    def __init__(self, delay: int) -> None:
        self.queue: list[_Reference] = []
        self.is_alive, self.delay = True, delay
        self.ready, self.work = _Method(self), _Method(self)


class Cluster:
    """As much of Ray as the pool uses. `kills`: how likely a worker dies at each event; `poison`: a job that kills its worker."""

    exceptions = _Exceptions

    def __init__(self, seed: int, kills: float = 0.0, poison: Any = None, wrong: Any = None) -> None:
        self.random = random.Random(seed)
        self.kills, self.poison, self.wrong = kills, poison, wrong
        self.actors: list[_Actor] = []
        self.deaths = self.events = 0

    def make(self) -> _Actor:
        actor = _Actor(self.random.randrange(10))
        self.actors.append(actor)
        return actor

    def kill(self, actor: _Actor) -> None:
        actor.is_alive = False

    def wait(
        self, references: list[_Reference], num_returns: int, timeout: float
    ) -> tuple[list[_Reference], list[Any]]:
        assert references
        if self.random.random() < self.kills:
            victim = self.random.choice(references).actor
            victim.is_alive = False
            self.deaths += 1
        for actor in self.actors:
            actor.delay -= 1
        self.events += 1
        assert self.events < 20_000, "it goes on for ever"
        able = [
            each
            for each in references
            if not each.actor.is_alive or (each.actor.delay < 0 and each.actor.queue and each.actor.queue[0] is each)
        ]
        chosen = self.random.choice(able) if able else None
        return ([] if chosen is None else [chosen]), []

    def get(self, reference: _Reference) -> Any:
        actor = reference.actor
        if reference in actor.queue:
            actor.queue.remove(reference)
        if not actor.is_alive or (reference.job is not None and reference.job == self.poison):
            actor.is_alive = False
            raise _LostError("the actor died")
        if reference.job is not None and reference.job == self.wrong:
            raise _RayError("Traceback\n  somewhere\nValueError: a bug")
        return reference.job


def run(cluster: Cluster, count: int, workers: int = 3) -> Iterator[Any]:
    jobs = (number for number in range(count))
    return run_in_order(cluster, cluster.make, lambda: workers, jobs, lambda sentence: None)


@pytest.mark.parametrize("kills", [0.0, 0.02, 0.1])
def test_every_result_once_and_in_order(kills: float) -> None:
    deaths = 0
    for seed in range(20):
        cluster = Cluster(seed, kills)
        assert list(run(cluster, 150)) == list(range(150))
        assert not any(actor.is_alive for actor in cluster.actors)
        deaths += cluster.deaths
    assert (deaths > 20) == (kills > 0)


def test_no_job_at_all() -> None:
    assert list(run(Cluster(0), 0)) == []


def test_few_jobs_are_begun_ahead() -> None:
    begun = 0

    def job(number: int) -> int:
        nonlocal begun
        begun = number + 1
        return number

    cluster = Cluster(1)
    workers = 3
    results = run_in_order(cluster, cluster.make, lambda: workers, map(job, itertools.count()), lambda sentence: None)
    for number in itertools.islice(results, 200):
        assert begun <= number + WINDOW * workers
        assert all(len(actor.queue) <= AHEAD for actor in cluster.actors)
    results.close()  # type: ignore[attr-defined]
    assert not any(actor.is_alive for actor in cluster.actors)


def test_what_kills_every_worker_ends() -> None:
    cluster = Cluster(2, poison=40)
    with pytest.raises(DepthwiseError, match=f"{DEATHS + 1} workers died on the same images, job 40"):
        list(run(cluster, 60))


def test_an_error_of_a_job_ends_it_with_its_last_line() -> None:
    with pytest.raises(DepthwiseError, match="failed on the cluster: 'ValueError: a bug'"):
        list(run(Cluster(3, wrong=7), 20))
