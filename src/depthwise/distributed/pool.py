"""Workers on a cluster that take jobs one by one; their results come in the order of the jobs, each once, whatever dies.

A job that was on a worker, or a machine, that went away goes to another one at once, and a new worker takes the place of the old one
when there are processors for it. Between the oldest job that is not done and the newest one that is begun lie a bounded number of
jobs: so memory stays bounded, however many there are.
"""

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from depthwise.distributed.cluster import explained
from depthwise.errors import DepthwiseError

__all__ = ["run_in_order"]

AHEAD = 2
"""Jobs that a worker may have: one that it computes, and the next, so that it never waits."""

WINDOW = 8
"""Jobs per worker that may be begun before the oldest is done."""

DEATHS = 5
"""Workers that may die on one job: more than accidents do, and few enough not to go on for ever with what kills them all."""

_LOOKS_EVERY = 5.0
_PATIENCE = 12


class _Worker:
    """An actor, and the jobs that it has."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.started = actor.ready.remote()
        self.is_ready = False
        self.jobs = 0


class _Pool:
    """The state of `run_in_order`."""

    def __init__(
        self, ray: Any, make: Callable[[], Any], wanted: Callable[[], int], tell: Callable[[str], None]
    ) -> None:
        self.ray = ray
        self.make = make
        self.wanted = wanted
        self.tell = tell
        self.workers: list[_Worker] = []
        self.under_way: dict[Any, tuple[int, _Worker]] = {}
        self.failed_starts = 0
        self.idle_looks = 0
        self.lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError,
        )

    def grow(self) -> None:
        """Asks for the workers that are missing."""
        while len(self.workers) < self.wanted():
            self.workers.append(_Worker(self.make()))

    def free(self) -> "_Worker | None":
        """The worker that has the fewest jobs and may have another."""
        ready = [worker for worker in self.workers if worker.is_ready and worker.jobs < AHEAD]
        return min(ready, key=lambda worker: worker.jobs, default=None)

    def give(self, number: int, job: Any, worker: _Worker) -> None:
        self.under_way[worker.actor.work.remote(job)] = (number, worker)
        worker.jobs += 1

    def drop(self, worker: _Worker) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.ray.kill(worker.actor)

    def wait(self) -> Iterator[tuple[int, Any, bool]]:
        """What has happened: (job, result, whether it was lost), after at most a few seconds."""
        starting = {worker.started: worker for worker in self.workers if not worker.is_ready}
        done, _ = self.ray.wait([*self.under_way, *starting], num_returns=1, timeout=_LOOKS_EVERY)
        for reference in done:
            if reference in starting:
                self._started(starting[reference], reference)
                continue
            number, worker = self.under_way.pop(reference)
            worker.jobs -= 1
            try:
                yield number, self.ray.get(reference), False
            except self.lost:
                self.drop(worker)
                yield number, None, True
            except self.ray.exceptions.RayError as error:
                raise explained(error) from None
        if not done:
            self._look()

    def _started(self, worker: _Worker, reference: Any) -> None:
        try:
            self.ray.get(reference)
            worker.is_ready = True
            self.failed_starts = self.idle_looks = 0
        except self.lost as error:
            self.drop(worker)
            self.failed_starts += 1
            if self.failed_starts > DEATHS:
                raise explained(error) from None
        except self.ray.exceptions.RayError as error:
            raise explained(error) from None

    def _look(self) -> None:
        """Nothing has happened for a while: are there any workers at all?"""
        if any(worker.is_ready for worker in self.workers):
            return
        self.idle_looks += 1
        if self.idle_looks % _PATIENCE == 0:
            self.tell("waiting for processors: the cluster has none free for this; free some, or add a machine")

    def close(self) -> None:
        for worker in self.workers:
            self.ray.kill(worker.actor)
        self.workers = []


def run_in_order(
    ray: Any, make: Callable[[], Any], wanted: Callable[[], int], jobs: Iterable[Any], tell: Callable[[str], None]
) -> Iterator[Any]:
    """The result of every job, in their order.

    Args:
        ray: the module, connected.
        make: asks for a new actor with the methods `ready()` and `work(job)`.
        wanted: how many workers there should be now; it is asked again when one is lost.
        jobs: values, or references to such.
        tell: gets a sentence when there is something to say.

    Raises:
        DepthwiseError: what a job raised; or a job on which several workers died.
    """
    pool = _Pool(ray, make, wanted, tell)
    source = enumerate(jobs)
    known: dict[int, Any] = {}  # jobs that are begun and not handed on
    results: dict[int, Any] = {}
    again: collections.deque[int] = collections.deque()
    deaths: collections.Counter[int] = collections.Counter()
    next_out, has_more = 0, True
    try:
        while True:
            pool.grow()
            while (again or has_more) and (worker := pool.free()) is not None:
                if again:
                    number = again.popleft()
                elif len(known) + len(results) < WINDOW * len(pool.workers):
                    number, job = next(source, (-1, None))
                    has_more = number >= 0
                    if not has_more:
                        break
                    known[number] = job
                else:
                    break
                pool.give(number, known[number], worker)
            if not (known or has_more):
                return
            for number, result, is_lost in pool.wait():
                if is_lost:
                    deaths[number] += 1
                    if deaths[number] > DEATHS:
                        raise DepthwiseError(
                            f"{deaths[number]} workers died on the same images, job {number:,}; the memory of a machine may be too "
                            "small for them, or a file makes the decoder of images crash"
                        )
                    again.append(number)
                else:
                    results[number] = result
                    del known[number]
            while next_out in results:
                yield results.pop(next_out)
                next_out += 1
    finally:
        pool.close()
