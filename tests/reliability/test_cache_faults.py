"""Promise: whatever happens to the compile cache, before a prediction or in the middle of it, the prediction is right, at worst compiled anew.

An entry is damaged or exchanged, or the disk fails, fills up, or changes at one step of reading or writing; then the same network is
predicted by a program made anew, as a new process makes it.
"""

import contextlib
import dataclasses
import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depthwise import layers, models
from depthwise.compiler.lower import lower
from depthwise.compiler.native import cache as cache_module
from depthwise.compiler.native import compile as compile_module
from depthwise.compiler.native import load as load_module
from depthwise.compiler.native.cache import FOLDER_VARIABLE
from depthwise.compiler.native.targets import host_target, restrict
from depthwise.runtime.prediction import Prediction

Record = Callable[[str, object], None]
X = np.random.default_rng(1).normal(size=(3, 4, 4, 2)).astype(np.float32)
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)


@functools.cache
def network() -> Any:
    model = models.Sequential(
        [layers.DepthwiseConv2D(2, activation="tanh", input_shape=(4, 4, 2)), layers.Flatten(), layers.Dense(2)]
    )
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=array.shape).astype(np.float32) for array in model.get_weights()])
    return model


def predicted() -> bytes:
    """The bits that a program made anew gives."""
    model = network()
    prediction = Prediction(lower(model.graph))
    prediction.load(model.weights_by_name)
    return prediction((X,))[0].tobytes()


class Cache:
    """A cache folder that is filled, and the modules compiled since."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.compiled = folder / "cache", 0
        monkeypatch.setenv(FOLDER_VARIABLE, str(self.folder))
        monkeypatch.setattr(cache_module, "_say_once", lambda message: None)

        def counted(sources: Sequence[Any], target: Any) -> list[bytes]:
            self.compiled += len(sources)
            return compile_module.compile_sources(sources, target)

        monkeypatch.setattr(load_module, "compile_sources", counted)
        predicted()  # what a process loads once, for all programs, is loaded
        shutil.rmtree(self.folder)
        self.compiled = 0
        self.wanted = predicted()
        assert self.compiled
        self.whole = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        assert len(self.whole) >= 3

    def fill(self, entries: dict[str, bytes] | None = None) -> None:
        """As it was after the first prediction, but for these entries."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        self.folder.mkdir(mode=0o700)
        for name, content in {**self.whole, **(entries or {})}.items():
            (self.folder / name).write_bytes(content)
            os.chmod(self.folder / name, 0o600)

    def check(self) -> None:
        """Right at once, and compiled at most once more."""
        assert predicted() == self.wanted
        self.compiled = 0
        assert predicted() == self.wanted
        assert self.compiled == 0, "the cache has not recovered"
        assert not list(self.folder.glob(".*")), "a temporary file is left"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    return Cache(tmp_path, monkeypatch)


def damages(cache: Cache, places: int) -> Iterator[dict[str, bytes]]:
    """Every entry cut short, with bits flipped, exchanged, or with something else behind a header that is right."""
    names = sorted(cache.whole)
    for number, name in enumerate(names):
        whole = cache.whole[name]
        for place in np.linspace(0, len(whole) - 1, places).astype(int):
            yield {name: whole[:place]}
            flipped = bytearray(whole)
            flipped[place] ^= 1 << (place % 8)
            yield {name: bytes(flipped)}
        yield {name: whole + b"\0"}
        yield {name: cache.whole[names[number - 1]]}
        key = name.removesuffix(".native")
        frame = {"constants": [], "code": key, "frame": 2}
        for payload in (b"", b"not object code", b"{}", b"[]", json.dumps(frame).encode(), b"\xff" * 64):
            yield {name: cache_module._pack(key, payload)}


def test_some_damaged_entries(cache: Cache) -> None:
    name = sorted(cache.whole)[0]
    for entries in (*list(damages(cache, 3))[1:4], {name: cache_module._pack(name.removesuffix(".native"), b"[]")}):
        cache.fill(entries)
        cache.check()


@pytest.mark.sweep
def test_damaged_entries(cache: Cache, record_property: Record) -> None:
    count = 0
    for entries in damages(cache, 7):
        cache.fill(entries)
        cache.check()
        count += 1
    for name in cache.whole:
        cache.fill()
        (cache.folder / name).unlink()
        cache.check()
        count += 1
    record_property("tried", count)


@pytest.mark.skipif("aes" not in host_target().present_features, reason="another machine is this one without AES")
def test_entries_of_another_machine(cache: Cache) -> None:
    """A home that machines share: each finds its own entries, also where somebody gives the other's the names of its own."""
    mine = host_target()
    restrict(dataclasses.replace(mine, features=tuple(item for item in mine.features if item != "+aes")))
    try:
        predicted()
    finally:
        restrict(None)
    others = [path.read_bytes() for path in cache.folder.iterdir() if path.name not in cache.whole]
    assert len(others) >= 3
    assert predicted() == cache.wanted
    for entries in (dict(zip(sorted(cache.whole), others)), dict(zip(sorted(cache.whole), reversed(others)))):
        cache.fill(entries)
        cache.check()


STEPS = ("close", "fstat", "open", "replace", "scandir", "stat", "unlink", "utime")


@contextlib.contextmanager
def steps(at_step: Callable[[], None]) -> Iterator[None]:
    """Calls `at_step` before each call of the system that the cache makes."""

    def wrapped(function: Any) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            at_step()
            return function(*arguments, **named)

        return step

    class File:
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.file = open(*arguments, **named)  # noqa: SIM115 - closed on exit

        def __enter__(self) -> Any:
            return SimpleNamespace(read=wrapped(self.file.read), write=wrapped(self.file.write))

        def __exit__(self, *_: object) -> None:
            self.file.close()

    system = SimpleNamespace(**vars(os))
    for name in STEPS:
        setattr(system, name, wrapped(getattr(os, name)))
    system.supports_fd = {*os.supports_fd, system.utime}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "os", system)
        patch.setattr(cache_module, "open", File, raising=False)
        patch.setattr(os, "mkdir", wrapped(os.mkdir))
        yield


def each_step(cache: Cache, warm: bool, act: Callable[[], None], stride: int = 1, after: bool = True) -> int:
    """Predicts again and again, with `act` at another step each time, until there is no such step."""
    wanted, count = 1, 0
    while True:
        cache.fill()
        if not warm:
            shutil.rmtree(cache.folder)
        seen = 0

        def at_step() -> None:
            nonlocal seen
            seen += 1
            if seen == wanted:  # noqa: B023 - called in this round
                act()

        with steps(at_step):
            assert predicted() == cache.wanted
        if seen < wanted:
            assert count > 1
            return count
        if after:
            if cache.folder.exists() and not cache.folder.is_dir():
                cache.folder.unlink()
            predicted()
            cache.check()
        wanted, count = wanted + stride, count + 1


def failing(code: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(code, os.strerror(code))

    return fail


def actions(cache: Cache) -> dict[str, Callable[[], None]]:
    """What other programs may do at the same time."""

    def emptied() -> None:
        for path in list(cache.folder.glob("*")):
            path.unlink()

    def cut() -> None:
        for path in list(cache.folder.glob("*")):
            os.truncate(path, path.stat().st_size // 2)

    def exchanged() -> None:
        cache.fill(dict.fromkeys(cache.whole, b""))

    def a_file() -> None:
        shutil.rmtree(cache.folder, ignore_errors=True)
        cache.folder.write_bytes(b"no folder")

    def written_by_another() -> None:
        assert predicted() == cache.wanted

    return {
        "vanishes": lambda: shutil.rmtree(cache.folder, ignore_errors=True),
        "is emptied": emptied,
        "is cut": cut,
        "is exchanged": exchanged,
        "becomes a file": a_file,
        "is written by another program": written_by_another,
    }


def test_a_disk_that_fails_at_some_steps(cache: Cache) -> None:
    assert each_step(cache, False, failing(errno.ENOSPC), 9) > 2
    assert each_step(cache, True, failing(errno.EIO), 3) > 2


def test_a_folder_that_changes_at_some_steps(cache: Cache) -> None:
    for warm in (True, False):
        assert each_step(cache, warm, actions(cache)["vanishes"], 7) > 1


@pytest.mark.sweep
@pytest.mark.parametrize("warm", [True, False])
def test_a_disk_that_fails_at_any_step(cache: Cache, warm: bool, record_property: Record) -> None:
    record_property("tried", sum(each_step(cache, warm, failing(code)) for code in CODES))


@pytest.mark.sweep
@pytest.mark.parametrize("warm", [True, False])
def test_a_folder_that_changes_at_any_step(cache: Cache, warm: bool, record_property: Record) -> None:
    record_property("tried", sum(each_step(cache, warm, act) for act in actions(cache).values()))


@pytest.mark.sweep
@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX's")
def test_files_that_the_system_cuts_short(cache: Cache, record_property: Record) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = np.linspace(0, max(map(len, cache.whole.values())) - 1, 30).astype(int)
    try:
        for limit in limits:
            shutil.rmtree(cache.folder)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), hard))
            try:
                assert predicted() == cache.wanted
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            assert set(os.listdir(cache.folder)) <= set(cache.whole)
            cache.check()
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
    record_property("tried", len(limits))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(cache: Cache) -> None:
    for entries in ({}, dict.fromkeys(cache.whole, b"")):
        cache.fill(entries)
        os.chmod(cache.folder, 0o500)
        try:
            assert predicted() == predicted() == cache.wanted
        finally:
            os.chmod(cache.folder, 0o700)


@pytest.mark.sweep
def test_processes_that_write_the_same_entries(cache: Cache, record_property: Record) -> None:
    """Two at once, again and again, over entries that are whole, cut or missing."""
    tests = os.fspath(Path(__file__).parents[1])
    code = "import sys; sys.path.insert(0, sys.argv[1]); from reliability.test_cache_faults import predicted; print(predicted().hex())"
    rounds: list[dict[str, bytes] | None] = [None, {}, dict.fromkeys(cache.whole, b""), {sorted(cache.whole)[0]: b"x"}]
    for entries in rounds:
        if entries is None:
            shutil.rmtree(cache.folder)
        else:
            cache.fill(entries)
        command = [sys.executable, "-c", code, tests]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        results = [process.communicate(timeout=300) for process in both]
        assert results == [(cache.wanted.hex() + "\n", "")] * 2
        cache.check()
    record_property("tried", 2 * len(rounds))
