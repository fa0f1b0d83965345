"""A connection to a Ray cluster, what its machines are, and the code that all of them can run."""

import contextlib
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import depthwise
from depthwise.compare.machine import this_machine
from depthwise.compiler.native.targets import Target, llvm_versions, own_target, target_for
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, UnsupportedError, describe_value
from depthwise.runtime.threads import get_threads

__all__ = [
    "BITS",
    "Node",
    "agreed_target",
    "check_address",
    "check_bits",
    "connected",
    "explained",
    "load_ray",
    "nodes_of",
]

BITS = ("fast", "same")
"""What `bits` may be: each machine's own vectors, or those that all have."""

_ANSWERS_WITHIN = 10.0
"""Seconds that a cluster has to take a connection. Ray itself would try for many minutes, and log every attempt."""

_LOCAL_STORE = 256 << 20
_STARTS = 3
_FAMILIES = ("avx512", "avx2", "sse")
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # Under `uv run` Ray would start each worker by `uv run` in a copy of the current folder; Depthwise is on every machine already.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # How long a machine's own processes may take to start: one that is busy ends itself after half a minute otherwise.
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
}


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        identity: Ray's name for it.
        processors: how many of them Ray gives out.
        processor: the processor's name.
        target: what code it can run.
        versions: of Depthwise, llvmlite and LLVM there.
    """

    identity: str
    processors: int
    processor: str
    target: Target
    versions: tuple[str, ...]


def load_ray() -> Any:
    """The module `ray`.

    Raises:
        UnsupportedError: it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UnsupportedError(
            "work on a cluster needs the package ray: install it with pip install 'depthwise[ray]', or leave --ray out"
        ) from None
    return ray


def check_bits(bits: str) -> str:
    """`bits`, where it is one of `BITS`.

    Raises:
        InvalidArgumentError: it is not.
    """
    if bits not in BITS:
        raise InvalidArgumentError(f"bits must be fast or same, got {describe_value(bits)}")
    return bits


def check_address(address: str | None) -> None:
    """Whether `connected` may find a cluster at the address; nothing is started or connected.

    Raises:
        UnsupportedError, InvalidArgumentError: it would refuse the address.
    """
    if address is not None and address.startswith("ray://"):
        raise UnsupportedError(
            "a Ray Client (ray://…) sends all data through one connection; run the command on a machine of the cluster, for example "
            "with ray job submit"
        )
    wanted = address or os.environ.get("RAY_ADDRESS")
    if wanted is None or wanted == "local":
        return
    try:
        _answering(wanted)
    except (OSError, ValueError) as error:
        raise _no_cluster(wanted, error) from None


@contextlib.contextmanager
def connected(address: str | None = None, processors: int | None = None) -> Iterator[Any]:
    """The module `ray`, connected; what was not connected before is disconnected at the end.

    Args:
        address: "auto" for the cluster that this machine is part of, "local" for a new one of this process, or HOST:PORT; None for the
            cluster of `RAY_ADDRESS` or of this machine, else a new one.
        processors: that a new one gives out; by default as many as this process has threads.

    Raises:
        UnsupportedError: Ray is not installed, or an address of a Ray Client, which moves all data through one connection.
        InvalidArgumentError: no cluster is there.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield ray
        return
    check_address(address)
    _connect(ray, address, processors or get_threads())
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None, processors: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    wanted = address or os.environ.get("RAY_ADDRESS") or "auto"
    if wanted != "local":
        try:
            ray.init(address=_answering(wanted), **quiet)
            return
        except (OSError, ValueError, RuntimeError) as error:
            ray.shutdown()
            if address is not None or os.environ.get("RAY_ADDRESS"):
                raise _no_cluster(wanted, error) from None
    for attempt in range(_STARTS):
        try:
            ray.init(
                address="local",
                num_cpus=processors,
                object_store_memory=_LOCAL_STORE,
                include_dashboard=False,
                **quiet,
            )
            return
        except Exception as error:  # a busy machine takes longer to start it than Ray waits
            ray.shutdown()
            if attempt == _STARTS - 1:
                raise DepthwiseError(f"Ray could not be started on this machine: {_first_line(error)}") from None


def _no_cluster(address: str, error: BaseException) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"there is no Ray cluster at {describe_value(address, 200)} ({_first_line(error)}); start one with ray start --head, or leave the "
        "address out"
    )


def _answering(address: str) -> str:
    """HOST:PORT of a cluster that takes connections; for "auto" that of this machine, which may have left its address behind.

    Raises:
        OSError, ValueError: there is none.
    """
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        found = canonicalize_bootstrap_address(address)
        if found is None:
            raise ConnectionError("no cluster was started here")
        address = found
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("an address is HOST:PORT")
    with socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN):
        return address


def explained(error: BaseException) -> Exception:
    """What a failure on the cluster means: our own error where one is at its root, else one that quotes Ray's."""
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        if isinstance(step, DepthwiseError):
            # Ray's class is both its own and ours; the message of ours is what we said.
            own = getattr(step, "cause", None)
            return own if isinstance(own, DepthwiseError) else step
        if isinstance(step, MemoryError):
            return step
        step = getattr(step, "cause", None) or step.__cause__ or step.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    if "No module named 'depthwise'" in str(error):
        last = "depthwise is not installed on every machine of the cluster; install the same version on each"
    return DepthwiseError(f"the work failed on the cluster: {describe_value(last, 300)}")


def nodes_of(ray: Any) -> list[Node]:
    """The machines that are there now and have processors.

    Raises:
        DepthwiseError: Depthwise is not installed on one of them, or in another version.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    asked = ray.remote(_facts)
    answers = [
        asked.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=True)
        ).remote()
        for node in alive
    ]
    try:
        facts = [pickle.loads(answer) for answer in ray.get(answers)]
    except ray.exceptions.RayError as error:
        raise explained(error) from None
    nodes = [
        Node(node["NodeID"], int(node["Resources"]["CPU"]), *fact)
        for node, fact in sorted(zip(alive, facts), key=lambda pair: str(pair[0]["NodeID"]))
    ]
    for node in nodes:
        if node.versions[0] != depthwise.__version__:
            raise DepthwiseError(
                f"a machine of the cluster has depthwise {describe_value(node.versions[0])}, this one {depthwise.__version__}; install "
                "the same version on each"
            )
    return nodes


def _facts() -> bytes:
    """Of the machine that runs this; as bytes, so that another version of Depthwise cannot stop Ray from handing it back."""
    versions = (depthwise.__version__, *llvm_versions())
    return pickle.dumps((this_machine().processor, own_target(), versions))


def agreed_target(nodes: Sequence[Node], bits: str, tell: Callable[[str], None]) -> Target | None:
    """What code every machine may be asked to run so that their results agree; None for each machine's own.

    Args:
        tell: gets a sentence on what it costs, or where bits may differ.

    Raises:
        UnsupportedError: `bits` is "same", and the machines have no vectors in common or different versions of LLVM.
    """
    targets = {node.target for node in nodes}
    families = sorted({target.vector_family for target in targets})
    if bits == "fast":
        if len(families) > 1:
            tell(
                f"the machines have different vectors ({', '.join(families)}): results may differ in their last bits between them; "
                "--bits same makes them agree"
            )
        return None
    versions = sorted({".".join(node.versions[1:]) for node in nodes})
    if len(versions) > 1:
        raise UnsupportedError(
            f"--bits same needs the same llvmlite on every machine, and there are {len(versions)} ({', '.join(versions)}); install one"
        )
    if len(targets) <= 1:
        return None
    if len({target.architecture for target in targets}) > 1:
        raise UnsupportedError(
            f"--bits same needs machines of one architecture, and there are {', '.join(sorted({t.architecture for t in targets}))}; "
            "leave some out, or leave out --bits same"
        )
    common = families[0] if len(families) == 1 else max(set(families) & set(_FAMILIES), key=_FAMILIES.index)
    if len(families) > 1:
        tell(
            f"code is restricted to {common}, which all {len(nodes)} machines have; those with wider vectors compute up to "
            f"{2 if common == 'avx2' else 4} times slower than they could"
        )
    return target_for(common)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return describe_value(lines[0] if lines else type(error).__name__, 200)
