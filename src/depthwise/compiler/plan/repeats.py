"""Loops found among calls that a plan writes down one after the other: strips of rows, groups of channels, cells of a kernel."""

from collections.abc import Iterable, Mapping, Sequence

from depthwise.compiler.plan.schedule import Call, Item, Pointer, Repeat

__all__ = ["LEAST_ROUNDS", "in_pieces", "repeated", "rolled"]

LEAST_ROUNDS = 4
"""Fewer are written out: a loop takes about three lines of IR where a call takes one, and moves its pointers when it runs."""

Steps = tuple[tuple[int, ...], ...]


def repeated(calls: Sequence[Call], count: int, steps: Mapping[str, int]) -> list[Item]:
    """`calls` `count` times; with each round the kernels' arguments named in `steps` move by so many numbers."""
    if count == 1 or not calls:
        return list(calls)
    each = tuple(tuple(steps.get(name, 0) for name in call.kernel.arguments) for call in calls)
    loop = Repeat(count, each, tuple(calls))
    return [loop] if count >= LEAST_ROUNDS else [item for number in range(count) for item in loop.round(number)]


def rolled(rounds: Iterable[Sequence[Item]]) -> list[Item]:
    """The rounds one after the other. Those that differ in nothing but addresses, by the same step each time, are a loop."""
    found: list[Item] = []
    for run in _runs([tuple(items) for items in rounds if items]):
        found += [run] if isinstance(run, Repeat) else run
    return found


def in_pieces(pieces: Iterable[Sequence[Item]]) -> tuple[tuple[Item, ...] | Repeat, ...]:
    """Tasks as `Stage.pieces` has them: neighbours that differ in nothing but addresses are written down once."""
    return tuple(_runs([tuple(piece) for piece in pieces]))


def _runs(rounds: Sequence[tuple[Item, ...]]) -> list[tuple[Item, ...] | Repeat]:
    runs: list[tuple[Item, ...] | Repeat] = []
    first = 0
    while first < len(rounds):
        last = first + 1
        steps = _steps(rounds[first], rounds[last]) if last < len(rounds) else None
        while steps is not None and last < len(rounds) and _steps(rounds[last - 1], rounds[last]) == steps:
            last += 1
        if steps is not None and last - first >= LEAST_ROUNDS:
            runs.append(Repeat(last - first, steps, rounds[first]))
            first = last
        else:
            # The last of a short run may begin a longer one.
            stop = max(first + 1, last - 1)
            runs += rounds[first:stop]
            first = stop
    return runs


def _steps(before: Sequence[Item], after: Sequence[Item]) -> Steps | None:
    """How far each argument of each call is from one round to the next; None where the rounds differ in more than that."""
    if len(before) != len(after):
        return None
    found: list[tuple[int, ...]] = []
    for one, other in zip(before, after):
        if isinstance(one, Call) and isinstance(other, Call):
            step = _distances(one, other)
            if step is None:
                return None
            found.append(step)
        elif isinstance(one, Repeat) and isinstance(other, Repeat) and one.count == other.count:
            inner = _steps(one.body, other.body) if one.steps == other.steps else None
            if inner is None:
                return None
            found += inner
        else:
            return None
    return tuple(found)


def _distances(one: Call, other: Call) -> tuple[int, ...] | None:
    if one.kernel is not other.kernel and one.kernel != other.kernel:
        return None
    distances = []
    for a, b in zip(one.arguments, other.arguments):
        if isinstance(a, Pointer) and isinstance(b, Pointer) and a.arena == b.arena:
            distances.append(b.offset - a.offset)
        elif a == b:
            distances.append(0)
        else:
            return None
    return tuple(distances)
