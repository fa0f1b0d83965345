"""Arguments of the loops, checked and converted to one form."""

import math
from collections.abc import Callable
from typing import Any

from depthwise import losses
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.store import LOCK
from depthwise.model.inputs import is_batches
from depthwise.training.batches import ArrayBatches, Batch, GivenBatches, Place, Schedule, Source, StreamedBatches
from depthwise.training.compiled import Compiled
from depthwise.training.samples import Samples, prepare

__all__ = [
    "check_arguments",
    "claim",
    "compiled_for",
    "given_batches",
    "one_batch",
    "release",
    "size_of_batch",
    "split_off",
    "validation_schedule",
]

DEFAULT_BATCH_SIZE = 32


def compiled_for(model: Any, method: str) -> Compiled:
    """What `compile` left on the model.

    Raises:
        InvalidArgumentError: not compiled.
    """
    if model.compiled is None:
        raise InvalidArgumentError(
            f"{method}: the model is not compiled; call compile(optimizer=…, loss=…, metrics=[…]) first"
        )
    compiled: Compiled = model.compiled
    if compiled.loss is None or not any(output.loss for output in compiled.outputs(model.graph)):
        raise InvalidArgumentError(
            f"{method}: the model is compiled without a loss; call compile(optimizer=…, loss=…) with one of "
            + ", ".join(repr(name) for name in losses.CLASSES)
        )
    return compiled


def claim(compiled: Compiled, training: object, method: str) -> None:
    """Makes `training` the only one of the model, until `release`.

    Raises:
        InvalidArgumentError: there is one, of whatever thread.
    """
    with LOCK:
        if compiled.training is not None:
            raise InvalidArgumentError(f"{method}: the model is being trained already; call it after fit has returned")
        compiled.training = training


def release(compiled: Compiled, training: object) -> None:
    """Ends what `claim` began, where it did."""
    if compiled.training is training:
        compiled.training = None


def size_of_batch(samples: int, batch_size: int | None, steps: int | None) -> int:
    """Keras' rule: the size given, else the one that makes that many steps, else 32."""
    if batch_size is not None:
        return int(batch_size)
    return math.ceil(samples / int(steps)) if steps else DEFAULT_BATCH_SIZE


def given_batches(
    model: Any, compiled: Compiled, x: Any, y: Any, sample_weight: Any, class_weight: Any, shuffle: bool, seed: int
) -> Source:
    """Batches of a sequence or a generator, each checked when it comes."""
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise InvalidArgumentError(f"x gives batches with their labels, so leave {name} out")

    outputs = compiled.outputs(model.graph)

    def check(batch_x: Any, batch_y: Any, batch_weight: Any, where: str) -> Samples:
        return prepare(model.graph, outputs, batch_x, batch_y, batch_weight, class_weight, where)

    if hasattr(x, "__len__") and hasattr(x, "__getitem__"):
        return GivenBatches(x, check, shuffle, seed)
    return StreamedBatches(x, check)


def split_off(samples: Samples, share: float) -> tuple[Samples, Samples]:
    """(training, validation): the last `share` of the samples is for validation."""
    count = len(samples)
    cut = math.floor(count * (1.0 - share))
    if cut in (0, count):
        raise InvalidArgumentError(
            f"fit: validation_split={share} of {count} samples leaves none for "
            f"{'training' if cut == 0 else 'validation'}; give more samples or another share"
        )
    return samples.part(0, cut), samples.part(cut, count)


def validation_schedule(
    model: Any, compiled: Compiled, data: Any, held_out: Samples | None, batch_size: int | None, steps: int | None
) -> Callable[[], Schedule] | None:
    """Makes a new schedule for each validation, from data that is checked now."""
    if data is None and held_out is None:
        return None
    if held_out is not None:
        samples = held_out
    elif is_batches(data):
        return lambda: Schedule(given_batches(model, compiled, data, None, None, None, False, 0), steps)
    elif isinstance(data, (list, tuple)) and len(data) in (2, 3):
        samples = prepare(
            model.graph,
            compiled.outputs(model.graph),
            data[0],
            data[1],
            data[2] if len(data) == 3 else None,
            where="validation_data: ",
        )
    else:
        what = f"{len(data)} things" if isinstance(data, (list, tuple)) else describe_value(type(data).__name__)
        raise InvalidArgumentError(
            f"fit: validation_data must be (x, y), (x, y, sample_weight) or a sequence of batches, got {what}"
        )
    source = ArrayBatches(samples, size_of_batch(len(samples), batch_size, steps))
    return lambda: Schedule(source, steps)


def one_batch(samples: Samples) -> Batch:
    """All samples as one batch."""
    batch = ArrayBatches(samples, len(samples)).batch(Place(0, 0))
    assert batch is not None
    return batch


def check_arguments(
    epochs: Any,
    initial_epoch: Any,
    batch_size: Any,
    validation_batch_size: Any,
    validation_split: Any,
    validation_freq: Any,
    verbose: Any,
) -> None:
    """Refuses what is not a number, or out of range."""
    counts = (
        ("epochs", epochs, 0),
        ("initial_epoch", initial_epoch, 0),
        ("batch_size", batch_size, 1),
        ("validation_batch_size", validation_batch_size, 1),
    )
    for name, value, least in counts:
        if value is None and least:
            continue
        if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
            raise InvalidArgumentError(f"{name} must be an integer of at least {least}, got {describe_value(value)}")
    if (
        isinstance(validation_split, bool)
        or not isinstance(validation_split, (int, float))
        or not 0 <= validation_split < 1
    ):
        raise InvalidArgumentError(
            f"validation_split must be a share from 0 to below 1, got {describe_value(validation_split)}"
        )
    fine = (
        not isinstance(validation_freq, bool) and hasattr(validation_freq, "__index__") and int(validation_freq) >= 1
    ) or isinstance(validation_freq, (list, tuple, set, frozenset, range))
    if not fine:
        raise InvalidArgumentError(
            f"validation_freq must be an integer of at least 1, or a list of epochs, got {describe_value(validation_freq)}"
        )
    if verbose not in ("auto", 0, 1, 2):
        raise InvalidArgumentError(f"verbose must be 'auto', 0, 1 or 2, got {describe_value(verbose)}")
