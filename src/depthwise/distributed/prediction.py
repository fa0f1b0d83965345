"""Classifying images on a Ray cluster: the rows of one process, in the order of the input, and the same bits."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from depthwise.distributed.cluster import agreed_target, check_bits, connected, explained, nodes_of
from depthwise.distributed.pool import run_in_order
from depthwise.distributed.worker import Predictor
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.pictures import reading_of
from depthwise.predictions.pieces import BATCH_BYTES, batch_size, files_of, grouped, pieces_of
from depthwise.predictions.rows import Classifier, Rows
from depthwise.predictions.tables import json_rows, write_table

__all__ = ["predict", "predicted"]

_COUNTS_EVERY = 5.0


def predict(
    model: Any,
    dataset: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    top: int = 3,
    scale: str = "auto",
    invert: str = "auto",
    center: str = "auto",
    address: str | None = None,
    bits: str = "fast",
    processors: int = 1,
    overwrite: bool = False,
) -> "Iterator[dict[str, Any]] | int":
    """Classifies images on the machines of a Ray cluster. What cannot be read gets a row that says why.

    Args:
        model: a `depthwise.Model` with one image as input and a score for each class as output.
        dataset: the name of an image file, an array file (.npy, .npz), a folder of images or a pattern, or a list of such, which every
            machine must find under the same name; or a `ray.data.Dataset` with the column `bytes` or `path` for image files, or
            `image` or `data` for arrays.
        out: a .json, .csv or .parquet file for the rows; without it they are returned.
        top: how many classes a row shows.
        scale, invert, center: as for `depthwise predict`.
        address: of the cluster: "auto", "local" or HOST:PORT; None for the one that is connected or runs here, else a new one.
        bits: "fast", or "same" for machines with different vectors to give the same bits.
        processors: of one worker, which uses as many threads. Workers read their images one by one, so one of them is best unless the
            network is large.
        overwrite: replace `out` if it is there.

    Returns:
        the rows in the order of the input, each as `depthwise predict --json` shows it, with an `error` where there is no result; or how
        many were written to `out`.

    Raises:
        UnsupportedError: Ray is not installed, or the network is none that classifies images.
        InvalidArgumentError: an argument that is not allowed, or no such files or cluster.
        DepthwiseError: the cluster failed in another way than by losing machines.
    """
    classifier = Classifier(model, reading_of(model, None, scale), top, invert, center)
    batches = predicted(classifier, dataset, address, bits, processors)
    if out is None:
        return (row for rows in batches for row in json_rows(rows, classifier.reading, classifier.columns))
    if os.path.lexists(out) and not overwrite:
        raise InvalidArgumentError(
            f"{describe_value(os.fspath(out), 200)} is there already; name another file, or give overwrite=True"
        )
    written = 0

    def counted() -> Iterator[Rows]:
        nonlocal written
        for rows in batches:
            written += len(rows)
            yield rows

    write_table(out, counted(), classifier.reading, classifier.columns, top)
    return written


def predicted(
    classifier: Classifier,
    dataset: Any,
    address: str | None = None,
    bits: str = "fast",
    processors: int = 1,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Rows]:
    """The rows of everything that `dataset` holds, batch by batch; see `predict`.

    Args:
        tell: gets what the user should know: where bits may differ, or what their agreement costs.
    """
    check_bits(bits)
    if processors < 1:
        raise InvalidArgumentError(f"processors must be at least 1, got {processors}")
    names = _files(dataset)
    with connected(address) as ray:
        nodes = nodes_of(ray)
        largest = max((node.processors for node in nodes), default=0)
        if largest < processors:
            raise InvalidArgumentError(
                f"processors={processors} is more than any machine of the cluster gives: the largest has {largest}"
            )
        target = agreed_target(nodes, bits, tell)
        arguments = (classifier.model, classifier.reading, classifier.top, classifier.invert, classifier.center)
        shared = ray.put((arguments, target, os.getcwd()))
        jobs, has_names, is_read_by_ray = _jobs(ray, classifier, names)
        actor = ray.remote(Predictor).options(max_restarts=0, max_concurrency=1, **_place(processors, is_read_by_ray))
        done = 0
        try:
            for batches in run_in_order(
                ray, lambda: actor.remote([shared], processors), _wanted(ray, processors), jobs, tell
            ):
                for rows in batches:
                    yield rows if has_names else replace(rows, indices=range(done, done + len(rows)))
                    done += len(rows)
        except ray.exceptions.RayError as error:
            raise explained(error) from None


def _wanted(ray: Any, processors: int) -> Callable[[], int]:
    """How many workers the cluster has processors for, looked at from time to time: machines come and go."""
    seen, count = -_COUNTS_EVERY, 1

    def wanted() -> int:
        nonlocal seen, count
        now = time.monotonic()
        if now - seen >= _COUNTS_EVERY:
            seen = now
            nodes = [node for node in ray.nodes() if node["Alive"]]
            count = max(1, sum(int(node["Resources"].get("CPU", 0)) // processors for node in nodes))
        return count

    return wanted


def _place(processors: int, is_read_by_ray: bool) -> dict[str, Any]:
    """What a worker asks the cluster for. Ray Data's readers run beside the workers, which must not hold every processor then."""
    return {"num_cpus": 0, "scheduling_strategy": "SPREAD"} if is_read_by_ray else {"num_cpus": processors}


def _files(dataset: Any) -> Any:
    """The files that the names stand for, as a list of paths, or of addresses in a store; a dataset of Ray as it is.

    Raises:
        InvalidArgumentError: neither, or names that stand for no file.
    """
    if hasattr(dataset, "iter_internal_ref_bundles"):
        return dataset
    names = [dataset] if isinstance(dataset, (str, os.PathLike)) else dataset
    if not isinstance(names, (list, tuple)):
        raise InvalidArgumentError(
            f"dataset must be a ray.data.Dataset or names of files, got {describe_value(type(dataset).__name__)}"
        )
    remote = [name for name in names if isinstance(name, str) and "://" in name]
    if not remote:
        return list(files_of(names))
    if len(remote) < len(names):
        raise InvalidArgumentError("files of this machine and of a store cannot be mixed; name them in two calls")
    return remote


def _jobs(ray: Any, classifier: Classifier, found: Any) -> tuple[Iterable[Any], bool, bool]:
    """What the workers get one by one, whether the rows have names of files, and whether Ray Data reads them."""
    if isinstance(found, list):
        if not found or isinstance(found[0], Path):
            size = batch_size(classifier.graph, BATCH_BYTES)
            return grouped(pieces_of(found, classifier.graph, classifier.reading.scale, size), size), True, False
        found = ray.data.read_binary_files(found, include_paths=True)
    return _blocks(found), "path" in (found.columns() or ()), True


def _blocks(dataset: Any) -> Iterator[Any]:
    """References to the blocks of a dataset in their order; Ray reads ahead as far as its memory allows."""
    dataset.context.execution_options.preserve_order = True
    for bundle in dataset.iter_internal_ref_bundles():
        yield from bundle.block_refs
