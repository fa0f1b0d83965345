"""Machines with different vectors: which code all can run, what that costs, and where there is none."""

import socket
from types import SimpleNamespace

import numpy as np
import pytest

import depthwise
from depthwise.compiler.native.targets import can_run, host_target, own_target, restrict, target_for
from depthwise.distributed import cluster
from depthwise.distributed.cluster import Node, agreed_target, check_bits
from depthwise.errors import InvalidArgumentError, UnsupportedError


def node(family: str, version: str = "0.50.0") -> Node:
    return Node(family, 4, "made up", target_for(family), (depthwise.__version__, version, "22.1.0"))


@pytest.mark.parametrize(
    ("families", "common"),
    [
        (["avx512", "avx512"], None),
        (["avx512", "avx2", "avx512"], "avx2"),
        (["avx2", "sse"], "sse"),
        (["avx512", "avx2", "sse"], "sse"),
        (["neon"], None),
    ],
)
def test_the_code_that_all_can_run(families: list[str], common: str | None) -> None:
    said: list[str] = []
    target = agreed_target([node(family) for family in families], "same", said.append)
    assert target == (None if common is None else target_for(common))
    assert len(said) == (common is not None)
    assert common is None or f"restricted to {common}" in said[0]


def test_bits_may_differ_by_default_and_that_is_said() -> None:
    said: list[str] = []
    assert agreed_target([node("avx512"), node("avx2")], "fast", said.append) is None
    assert "avx2, avx512" in said[0]
    assert "--bits same" in said[0]
    assert agreed_target([node("avx2"), node("avx2")], "fast", said.append) is None
    assert len(said) == 1


def test_machines_that_cannot_agree() -> None:
    with pytest.raises(UnsupportedError, match="one architecture, and there are aarch64, x86_64"):
        agreed_target([node("avx2"), node("neon")], "same", print)
    with pytest.raises(UnsupportedError, match="the same llvmlite on every machine, and there are 2"):
        agreed_target([node("avx2"), node("avx2", "0.49.0")], "same", print)
    with pytest.raises(InvalidArgumentError, match="bits must be fast or same, got 'both'"):
        check_bits("both")


def test_restricted_code_gives_the_bits_of_its_target(rng: np.random.Generator) -> None:
    """A machine with wider vectors computes what a machine of the common kind does."""
    family = {"avx512": "avx2", "avx2": "sse"}.get(own_target().vector_family, own_target().vector_family)
    x = rng.integers(-8, 9, (3, 7, 7, 3)).astype(np.float32)  # whole numbers: every order of adding gives the same

    def model() -> depthwise.Model:
        layers = depthwise.layers
        made = depthwise.Sequential([layers.Conv2D(5, 3, input_shape=(7, 7, 3)), layers.Flatten()])
        made.set_weights([np.arange(135, dtype=np.float32).reshape(3, 3, 3, 5) - 60, np.arange(5, dtype=np.float32)])
        return made

    own = model().predict(x, verbose=0)
    try:
        restrict(target_for(family))
        assert host_target() == target_for(family)
        np.testing.assert_array_equal(model().predict(x, verbose=0), own)
    finally:
        restrict(None)
    assert host_target() == own_target()


def test_code_that_this_machine_cannot_run_is_refused() -> None:
    foreign = target_for("neon" if own_target().architecture == "x86_64" else "avx2")
    assert not can_run(foreign)
    with pytest.raises(InvalidArgumentError, match="This machine has the vectors"):
        restrict(foreign)
    assert host_target() == own_target()


def test_no_cluster_at_an_address_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would try to connect for minutes; it is not asked before something takes connections there."""
    asked: list[str] = []
    ray = SimpleNamespace(
        is_initialized=lambda: False, init=lambda address, **options: asked.append(address), shutdown=lambda: None
    )
    monkeypatch.setattr(cluster, "load_ray", lambda: ray)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with cluster.connected(address):
            assert asked == [address]
    for wrong in (address, "nowhere"):
        with (
            pytest.raises(InvalidArgumentError, match=f"there is no Ray cluster at '{wrong}'"),
            cluster.connected(wrong),
        ):
            pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InvalidArgumentError, match=f"there is no Ray cluster at '{address}'"), cluster.connected():
        pass
    assert len(asked) == 1
