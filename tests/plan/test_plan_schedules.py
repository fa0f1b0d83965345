"""Whole schedules, run on paper: nothing is read before it was written, and tasks side by side never meet."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from depthwise import optimizers
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.schedule import Schedule
from depthwise.compiler.plan.training import plan_training, samples_per_chunk
from depthwise.layers.descriptions import Conv2D, Dense, Description, Flatten, MaxPooling2D, SeparableConv2D
from depthwise.network.graph import Graph, sequential
from support.networks import note_small_separable
from support.planned import ADAM, GRAPHS, MACHINES, prediction_program, small_caches, training_program
from support.simulation import PRIVATE, Mask, Task, simulate

FROM_OUTSIDE = ("input", "parameters", "scalars", "slots")
"""What the caller fills before a run."""

STARTS_AS_ZEROS = ("packed",)
"""Rows of packed weights that end within a vector are filled up with zeros: the arena's own, written by nobody. In prediction
the caller has packed all of them."""

WORKS = {"batches": (3, 2), "single": (1, 1), "crowded": (1, 1), "training": (3, 2)}
"""(samples, samples of a task): two tasks, one of them with a sample only."""

STEPS = {"matrices": optimizers.Muon().description}
"""Optimizers of other networks than ADAM's."""

PARTS = {"single": 2, "crowded": 15}
"""Threads that share a single sample; 15 are more than some maps have rows."""


def grouped() -> Graph:
    """Loops over groups within loops over strips, and over a strided kernel's cells."""
    chain: list[Description] = [
        Conv2D(16, 3, padding="same", groups=8, input_shape=(40, 40, 8)),
        SeparableConv2D(12, 3, padding="same", activation="relu"),
        MaxPooling2D(2),
        Conv2D(24, 5, strides=3, groups=4),
        Conv2D(24, 3, groups=24, padding="same"),
        Flatten(),
        Dense(3, activation="softmax"),
    ]
    return sequential(chain, "grouped")


def matrices() -> Graph:
    """Dense layers with more rows than columns and fewer, of more and of fewer than an optimizer's task takes."""
    return sequential([Dense(70, input_shape=(19,)), Dense(11), Dense(3, activation="softmax")], "matrices")


NETWORKS = {**GRAPHS, "grouped": grouped, "matrices": matrices}


def plan(name: str, work: str, machine: Machine) -> Schedule:
    graph = NETWORKS[name]()
    if work == "training":
        return plan_training(training_program(graph), machine, STEPS.get(name, ADAM))
    program = prediction_program(graph)
    return plan_batches(program, machine) if work == "batches" else plan_single(program, machine, PARTS[work])


def stages(schedule: Schedule, machine: Machine, work: str) -> Iterator[list[Task]]:
    return simulate(schedule, machine.vectors, *WORKS[work])


CASES = [
    pytest.param(name, work, family, id=f"{name}-{work}-{family}")
    for name in NETWORKS
    for work in (WORKS if name != "matrices" else ("training",))
    for family in (("avx512", "avx2") if name in ("mobile", "separable") else ("avx2",))
]


@pytest.mark.parametrize(("name", "work", "family"), CASES)
def test_reads_follow_writes_and_tasks_stay_apart(name: str, work: str, family: str) -> None:
    """Also: no address lies outside its arena, since those of the simulation have exactly the planned size."""
    machine = MACHINES[family]
    schedule = plan(name, work, machine)
    written: dict[str, Mask] = {}
    count = 0
    for tasks in stages(schedule, machine, work):
        for task in tasks:
            count += 1
            for arena, reads in task.reads.items():
                if not arena.startswith((*FROM_OUTSIDE, *STARTS_AS_ZEROS)):
                    known = written.get(arena, np.zeros_like(reads))
                    missing = np.flatnonzero(reads & ~known)
                    if name == "grouped":
                        # The last vector of a group ends behind the last pixel; what those lanes hold goes nowhere.
                        room = machine.vectors.lanes - 1
                        known = known | task.writes.get(arena, known)
                        missing = np.array(
                            [place for place in missing if not known[max(0, int(place) - room) : int(place)].any()]
                        )
                    assert not missing.size, (task.stage, task.number, arena, missing[:5])
        for task, other in ((a, b) for a in tasks for b in tasks if a is not b):
            for arena, writes in task.writes.items():
                for touched in (other.writes, other.reads):
                    if arena in touched:
                        both = np.flatnonzero(writes & touched[arena])
                        assert not both.size, (task.stage, task.number, other.number, arena, both[:5])
        for task in tasks:
            for arena, writes in task.writes.items():
                written[arena] = written.get(arena, np.zeros_like(writes)) | writes
    assert count > len(schedule.stages)
    for i in range(len(schedule.output_sizes)):
        assert written[f"output{i}"].all(), "a part of the output is never written"


@pytest.mark.parametrize("name", ["cnn", "separable", "mobile", "grouped"])
@pytest.mark.parametrize("first_cache", [1024, 8 * 1024, 1 << 30])
def test_strips_of_any_height_read_what_was_written(name: str, first_cache: int) -> None:
    machine = small_caches(MACHINES["avx2"], first_cache, 2 * first_cache)
    for work in ("batches", "single"):
        written: dict[str, Mask] = {}
        for tasks in stages(plan(name, work, machine), machine, work):
            for task in tasks:
                for arena, reads in task.reads.items():
                    if arena.startswith(PRIVATE) or arena == "sample":
                        assert not (reads & ~written.get(arena, np.zeros_like(reads))).any()
                for arena, writes in task.writes.items():
                    written[arena] = written.get(arena, np.zeros_like(writes)) | writes


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("family", MACHINES)
def test_parts_of_one_sample_are_as_many_as_the_threads_at_most(name: str, family: str) -> None:
    program = prediction_program(GRAPHS[name]())
    for parts in (2, 3, 4):
        schedule = plan_single(program, MACHINES[family], parts)
        assert all(len(stage.pieces) <= parts for stage in schedule.stages)
        assert max(len(stage.pieces) for stage in schedule.stages) == parts


def random_chain(seed: int) -> Graph:
    """Blocks of the kind that the threads share by rows: convolutions and pooling on maps of many sizes."""
    rng = np.random.default_rng(seed)
    height, width = (int(size) for size in rng.integers(5, 70, 2))
    chain: list[Description] = []
    for i in range(int(rng.integers(1, 5))):
        kind = (Conv2D, SeparableConv2D)[int(rng.integers(2))]
        shape: dict[str, Any] = {} if i else {"input_shape": (height, width, int(rng.integers(1, 5)))}
        chain.append(kind(int(rng.integers(1, 20)), 3, padding="same", activation="selu", **shape))
        if rng.random() < 0.6:
            chain.append(MaxPooling2D(2, padding="same"))
    return sequential(chain)


@pytest.mark.parametrize(
    "make", [*GRAPHS.values(), note_small_separable, *(partial(random_chain, i) for i in range(12))]
)
@pytest.mark.parametrize("first_cache", [2 * 1024, 32 * 1024])
def test_a_single_sample_is_planned_for_any_number_of_threads(make: Callable[[], Graph], first_cache: int) -> None:
    program = prediction_program(make())
    machine = small_caches(MACHINES["avx2"], first_cache, 16 * first_cache)
    for parts in range(1, 65):
        schedule = plan_single(program, machine, parts)
        assert all(1 <= len(stage.pieces) <= parts for stage in schedule.stages), parts
        assert all(piece for stage in schedule.stages for piece in stage.pieces), parts


@pytest.mark.parametrize("batch", [1, 2, 15, 16, 17, 100, 128, 1000])
def test_chunks_follow_from_the_batch_alone(batch: int) -> None:
    share = samples_per_chunk(batch)
    chunks = -(-batch // share)
    assert 1 <= chunks <= 16
    assert (chunks - 1) * share < batch <= chunks * share
