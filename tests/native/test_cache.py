"""The compile cache: what it returns is what was put there by the user, or nothing; and it never stops a program."""

import ctypes
import dataclasses
import errno
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from depthwise.compiler.native import cache as cache_module
from depthwise.compiler.native import compile as compile_module
from depthwise.compiler.native import load as load_module
from depthwise.compiler.native.cache import CompileCache, cache_key, default_folder
from depthwise.compiler.native.compile import LoadedCode, NativeCodeError, Source, compile_sources
from depthwise.compiler.native.load import load_program
from depthwise.compiler.native.targets import Target, host_target

KEY = "0123456789abcdef" * 4
OTHER_KEY = "fedcba9876543210" * 4


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    return CompileCache(tmp_path / "deep" / "folder")


@pytest.fixture(autouse=True)
def _said_nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_already_said", set())


def _warnings(caplog: Any) -> Any:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256)) * 5000])
def test_an_entry_comes_back(cache: Any, payload: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, payload)
    assert cache.get(KEY) == payload
    assert cache.get(OTHER_KEY) is None
    cache.put(KEY, payload + b"new")
    assert cache.get(KEY) == payload + b"new"
    assert _warnings(caplog) == []


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_only_the_user_may_write_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        cache = CompileCache(tmp_path / "folder")
        cache.put(KEY, b"payload")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(cache.folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(cache.path(KEY)).st_mode) == 0o600
    assert cache.get(KEY) == b"payload"


def test_every_truncation_and_every_changed_byte_is_noticed(cache: Any) -> None:
    cache.put(KEY, b"payload")
    content = cache.path(KEY).read_bytes()
    for length in range(len(content)):
        cache.path(KEY).write_bytes(content[:length])
        assert cache.get(KEY) is None
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        cache.path(KEY).write_bytes(changed)
        assert cache.get(KEY) is None
    cache.path(KEY).write_bytes(content + b"x")
    assert cache.get(KEY) is None
    cache.put(KEY, b"payload")
    assert cache.get(KEY) == b"payload"


def test_an_entry_under_another_key_is_not_taken(cache: Any) -> None:
    cache.put(KEY, b"payload")
    os.rename(cache.path(KEY), cache.path(OTHER_KEY))
    assert cache.get(OTHER_KEY) is None


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_not_used_and_said_once(
    cache: Any, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put(KEY, b"payload")
    os.chmod(cache.folder, mode)
    assert cache.get(KEY) is None
    cache.put(OTHER_KEY, b"payload")
    assert not cache.path(OTHER_KEY).exists()
    assert cache.get(KEY) is None
    (message,) = _warnings(caplog)
    assert "does not belong to you alone" in message
    assert "chmod 700" in message
    os.chmod(cache.folder, 0o700)
    assert cache.get(KEY) == b"payload"


@pytest.mark.skipif(os.name != "posix", reason="owners are POSIX's")
def test_a_folder_of_somebody_else_is_not_used(
    cache: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put(KEY, b"payload")
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(cache.folder).st_uid + 1)
    assert cache.get(KEY) is None
    cache.put(OTHER_KEY, b"payload")
    assert not cache.path(OTHER_KEY).exists()
    assert len(_warnings(caplog)) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_an_entry_that_others_may_write_is_not_taken(cache: Any) -> None:
    cache.put(KEY, b"payload")
    for mode in (0o620, 0o602, 0o666):
        os.chmod(cache.path(KEY), mode)
        assert cache.get(KEY) is None
    os.chmod(cache.path(KEY), 0o644)
    assert cache.get(KEY) == b"payload"


@pytest.mark.skipif(os.name != "posix", reason="links and FIFOs are POSIX's")
def test_links_folders_and_fifos_in_the_place_of_an_entry(cache: Any, tmp_path: Path) -> None:
    cache.put(KEY, b"payload")
    elsewhere = tmp_path / "elsewhere"
    os.rename(cache.path(KEY), elsewhere)
    os.symlink(elsewhere, cache.path(KEY))
    assert cache.get(KEY) is None
    cache.put(KEY, b"new payload")
    assert cache.get(KEY) == b"new payload"
    assert b"new payload" not in elsewhere.read_bytes()
    os.unlink(cache.path(KEY))
    os.mkfifo(cache.path(KEY), 0o600)
    assert cache.get(KEY) is None
    cache.put(KEY, b"payload")
    assert cache.get(KEY) == b"payload"
    os.unlink(cache.path(KEY))
    os.mkdir(cache.path(KEY))
    assert cache.get(KEY) is None
    cache.put(KEY, b"payload")  # A folder is not ours to delete.
    assert cache.get(KEY) is None


def test_an_entry_larger_than_the_bound_is_not_read(cache: Any) -> None:
    cache.put(KEY, b"x" * 1000)
    assert CompileCache(cache.folder, maximum_bytes=999).get(KEY) is None


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = CompileCache(tmp_path / "file" / "folder")
    for _ in range(3):
        cache.put(KEY, b"payload")
        assert cache.get(KEY) is None
    (message,) = _warnings(caplog)
    assert "cannot be made" in message


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_said_once(
    cache: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: Any
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(code, os.strerror(code))

    cache.put(KEY, b"old")
    monkeypatch.setattr(os, "replace", refuse)
    for _ in range(3):
        cache.put(OTHER_KEY, b"payload")
        cache.put(KEY, b"new")
    assert cache.get(KEY) == b"old"
    assert cache.get(OTHER_KEY) is None
    assert [path.name for path in cache.folder.iterdir()] == [cache.path(KEY).name]
    assert all("cannot be written" in message for message in _warnings(caplog))
    assert 1 <= len(_warnings(caplog)) <= 2


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_write_that_the_system_cuts_short(run_script: Any, tmp_path: Path) -> None:
    output = run_script(
        f"""
        import logging, resource, signal
        from depthwise.compiler.native.cache import CompileCache
        logging.disable(logging.WARNING)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        cache = CompileCache({str(tmp_path / "folder")!r})
        cache.put("{KEY}", b"x" * 100_000)
        cache.put("{OTHER_KEY}", b"small")
        print(cache.get("{KEY}"), cache.get("{OTHER_KEY}"), len(list(cache.folder.iterdir())), end="")
        """
    )
    assert output == "None b'small' 1"


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "folder", maximum_bytes=5000)
    keys = [f"{number:064x}" for number in range(6)]
    for age, key in enumerate(keys[:4]):
        cache.put(key, b"x" * 1000)
        os.utime(cache.path(key), (1_000_000 + age, 1_000_000 + age))
    assert cache.get(keys[0]) is not None  # Used now, so no longer the oldest.
    cache.put(keys[4], b"x" * 1000)
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True, True, False]
    total = sum(path.stat().st_size for path in cache.folder.iterdir())
    assert total <= 5000


def test_another_writers_temporary_file_is_left_alone_for_an_hour(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "folder", maximum_bytes=300)
    cache.put(KEY, b"x")
    young, old = cache.folder / "young.tmp", cache.folder / "old.tmp"
    for path in (young, old):
        path.write_bytes(b"x" * 400)
    os.utime(old, (1_000_000, 1_000_000))
    cache.put(OTHER_KEY, b"x")
    assert young.exists()
    assert not old.exists()


def test_an_entry_beyond_the_bound_alone_stays_alone(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "folder", maximum_bytes=100)
    cache.put(KEY, b"x" * 50)
    cache.put(OTHER_KEY, b"x" * 500)
    assert [path.name for path in cache.folder.iterdir()] == [cache.path(OTHER_KEY).name]


def test_several_processes_at_once(tmp_path: Path) -> None:
    script = f"""
import random, sys
from depthwise.compiler.native.cache import CompileCache
cache = CompileCache({str(tmp_path / "folder")!r}, maximum_bytes=60_000)
generator = random.Random(int(sys.argv[1]))
found = 0
for _ in range(150):
    number = generator.randrange(8)
    key = f"{{number:064x}}"
    if generator.random() < 0.5:
        cache.put(key, bytes([number]) * 10_000)
    else:
        payload = cache.get(key)
        assert payload is None or payload == bytes([number]) * 10_000
        found += payload is not None
assert found
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in range(4)
    ]
    messages = [process.communicate(timeout=120)[1] for process in processes]
    assert messages == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4


def test_the_key_depends_on_all_that_the_code_depends_on() -> None:
    target = host_target()
    variants = [
        ("program", 1, ("a", "b"), target),
        ("program ", 1, ("a", "b"), target),
        ("program", 2, ("a", "b"), target),
        ("program1", "", ("a", "b"), target),
        ("program", 1, ("ab",), target),
        ("program", 1, (("a", "b"),), target),
        ("program", 1, ("a", "b"), dataclasses.replace(target, triple="aarch64-apple-darwin")),
        ("program", 1, ("a", "b"), dataclasses.replace(target, processor="other")),
        ("program", 1, ("a", "b"), dataclasses.replace(target, features=())),
        ("program", 1, ("a", "b"), dataclasses.replace(target, features=("+avx,+fma",))),
        ("program", 1, ("a", "b"), dataclasses.replace(target, features=("+avx", "+fma"))),
    ]
    keys = [cache_key(*variant) for variant in variants]
    assert len(set(keys)) == len(variants)
    assert keys[0] == cache_key("program", 1, ("a", "b"), target)


def test_the_number_of_entries_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAXIMUM_ENTRIES", 3)
    cache = CompileCache(tmp_path / "folder")
    keys = [f"{number:064x}" for number in range(6)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, b"x")
        os.utime(cache.path(key), (1_000_000 + age, 1_000_000 + age))
    cache.put_all({keys[3]: b"x", keys[4]: b"x"})
    assert [cache.get(key) is not None for key in keys] == [False, False, True, True, True, False]


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (compile_module, "PASSES", ("sroa", "simplify_cfg")),
        (compile_module, "OPTIMISATION", 1),
        (compile_module, "RELOCATION", "static"),
        (compile_module, "CODE_MODEL", "large"),
        (compile_module, "IMPORTED_SYMBOLS", ("memcpy", "memset", "sched_yield")),
        (compile_module, "llvm_versions", lambda: ("9.9", "22.1.0")),
        (compile_module, "llvm_versions", lambda: ("0.50.0", "99.0.0")),
    ],
)
def test_whatever_code_generation_depends_on_misses_the_cache(
    cache: CompileCache, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: Any
) -> None:
    program = _Counted(7)
    program.run(cache)
    monkeypatch.setattr(where, name, value)
    assert (program.run(cache), program.generated) == (7, 2)
    assert (program.run(cache), program.generated) == (7, 2)
    monkeypatch.undo()
    assert (program.run(cache), program.generated) == (7, 2)


def test_a_changed_constant_of_code_generation_compiles_shared_modules_again(
    cache: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Source("define i64 @value() { ret i64 3 }", shared=True)
    load_program("one", lambda: [shared], cache=cache)
    before = len(list(cache.folder.iterdir()))
    assert before == 2
    monkeypatch.setattr(compile_module, "PASSES", ("sroa",))
    load_program("one", lambda: [shared], cache=cache)
    assert len(list(cache.folder.iterdir())) == 4


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPTHWISE_CACHE_DIR", str(tmp_path / "mine"))
    assert CompileCache().folder == tmp_path / "mine"
    monkeypatch.delenv("DEPTHWISE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert default_folder().name == "native"
    assert "depthwise" in default_folder().parts


class _Counted:
    """A program that returns `value`, and counts how often its IR was asked for."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.generated = 0

    def __call__(self) -> list[Source]:
        self.generated += 1
        return [Source(f"define i64 @value() {{ ret i64 {self.value} }}")]

    def run(self, cache: Any) -> Any:
        code = load_program(f"value {self.value}", self, cache=cache)
        return ctypes.CFUNCTYPE(ctypes.c_int64)(code.function_address("value"))()


def test_a_program_is_generated_once(cache: Any) -> None:
    program = _Counted(7)
    assert [program.run(cache) for _ in range(3)] == [7, 7, 7]
    assert program.generated == 1
    assert len(list(cache.folder.iterdir())) == 1


@pytest.mark.parametrize("damage", ["truncated", "tampered", "foreign", "not object code"])
def test_a_damaged_entry_is_compiled_again_and_replaced(cache: Any, damage: str) -> None:
    program = _Counted(9)
    program.run(cache)
    (path,) = cache.folder.iterdir()
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "tampered":
        path.write_bytes(content[:-200] + b"\xcc" * 200)
    elif damage == "foreign":
        path.write_bytes(b"\x80\x04\x95 a pickle, say" * 50)
    else:
        cache.put(path.name.removesuffix(".native"), b"not object code")
    assert program.run(cache) == 9
    assert program.generated == 2
    assert path.read_bytes() == content
    assert program.run(cache) == 9
    assert program.generated == 2


def test_a_program_runs_without_any_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    program = _Counted(11)
    assert program.run(CompileCache(tmp_path / "file")) == 11


CALLER = """
declare i64 @one(i64)
declare i64 @two(i64)
define i64 @value() {
  %a = call i64 @one(i64 1)
  %b = call i64 @two(i64 %a)
  ret i64 %b
}
"""


def _adder(name: str, number: int) -> Source:
    return Source(f"define i64 @{name}(i64 %x) {{\n  %y = add i64 %x, {number}\n  ret i64 %y\n}}", shared=True)


def _linked(identity: str, numbers: tuple[int, int], cache: CompileCache) -> tuple[LoadedCode, Callable[[], int]]:
    """A caller with two shared modules."""
    caller = Source(CALLER, optimisation=0, calls=frozenset({"one", "two"}))
    sources = [caller, *(_adder(name, number) for name, number in zip(("one", "two"), numbers))]
    code = load_program(identity, lambda: sources, cache=cache)
    return code, ctypes.CFUNCTYPE(ctypes.c_int64)(code.function_address("value"))


def test_programs_share_the_modules_that_they_have_in_common(
    cache: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Source] = []

    def counted(sources: Sequence[Source], target: Target) -> list[bytes]:
        compiled.extend(sources)
        return compile_sources(sources, target)

    monkeypatch.setattr(load_module, "compile_sources", counted)
    # All stay loaded: equal symbols of several programs must not meet.
    first, value = _linked("first", (10, 100), cache)
    assert value() == 111
    assert len(compiled) == 3
    second, other = _linked("second", (10, 200), cache)
    assert (other(), value()) == (211, 111)
    assert [source.text for source in compiled[3:]] == [CALLER, _adder("two", 200).text]
    again, same = _linked("first", (10, 100), cache)
    assert (same(), other(), value()) == (111, 211, 111)
    assert len(compiled) == 5
    del first, second, again


def test_a_shared_entry_that_does_not_link_is_replaced(cache: CompileCache) -> None:
    _linked("first", (10, 100), cache)
    for path in cache.folder.iterdir():
        cache.put(path.name.removesuffix(".native"), b"not object code")
    for _ in range(2):
        code, value = _linked("first", (10, 100), cache)
        assert value() == 111
    del code


def test_a_module_may_call_only_what_it_says(cache: CompileCache) -> None:
    with pytest.raises(NativeCodeError, match="calls two; it may call only"):
        load_program("first", lambda: [Source(CALLER, calls=frozenset({"one"}))], cache=cache)


def test_a_missing_module_is_an_error_when_its_caller_is_looked_up(cache: CompileCache) -> None:
    sources = [Source(CALLER, calls=frozenset({"one", "two"})), _adder("one", 1)]
    code = load_program("first", lambda: sources, cache=cache)
    with pytest.raises(NativeCodeError, match="can be linked"):
        code.function_address("value")
