"""What is written with h5py and read by our own code: the same numbers, and no more time and memory than a file's size."""

import io
import resource
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from depthwise.data.formats.hdf5 import File
from depthwise.data.formats.hdf5_write import Group, write
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError


def tree(groups: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    members: dict[str, Any] = {}
    for index in range(groups):
        arrays: dict[str, Any] = {
            "0": generator.random((index % 4 + 1, 3), dtype=np.float32),
            "1": np.arange(index % 5 + 1, dtype=np.int64) if index % 5 else np.array(index, dtype=np.int64),
            "10": np.array(-index, dtype=np.int32),
        }
        members[f"layer_{index}"] = Group({"vars": Group(arrays, name=f"name {index % 7} 名")})
    return {"layers": Group(members), "vars": Group(name="model"), "empty": Group()}


@pytest.mark.parametrize("groups", [0, 1, 7, 8, 9, 64, 257, 600])
def test_what_is_written_is_read(groups: int) -> None:
    members = tree(groups)
    content = write(members)
    ours = File(content)
    with h5py.File(io.BytesIO(content), "r") as theirs:
        assert sorted(theirs) == sorted(ours.group("") or {}) == ["empty", "layers", "vars"]
        assert theirs["vars"].attrs["name"] == "model"
        assert sorted(theirs["layers"]) == sorted(ours.group("layers") or {}) == sorted(members["layers"].members)
        for name, layer in members["layers"].members.items():
            assert theirs[f"layers/{name}/vars"].attrs["name"] == layer.members["vars"].name
            for key, array in layer.members["vars"].members.items():
                path = f"layers/{name}/vars/{key}"
                dataset = ours.dataset(path)
                assert dataset is not None
                for read in (theirs[path][()], dataset.read()):
                    assert read.dtype == array.dtype
                    assert read.shape == array.shape
                    assert np.array_equal(read, array)


def test_the_same_tree_gives_the_same_bytes() -> None:
    content = write(tree(3))
    time.sleep(1.1)  # HDF5's times are in seconds
    assert write(tree(3)) == content


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)])
def test_every_plain_number_that_h5py_writes_is_read(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.asarray(np.random.default_rng(1).integers(0, 100, shape), dtype=dtype)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["a/b/c"] = values
        file["a"].attrs["text"] = "ignored"
        file["a/b/c"].attrs["numbers"] = np.zeros(3000)
        for index in range(40):
            file[f"a/b/{index}"] = index
    content = File((tmp_path / "file.h5").read_bytes())
    dataset = content.dataset("a/b/c")
    assert dataset is not None
    assert dataset.dtype == values.dtype
    assert dataset.shape == shape
    assert np.array_equal(dataset.read(), values)
    assert content.dataset("a/x/c") is None
    assert content.group("x/y") is None


def test_what_cannot_be_written() -> None:
    with pytest.raises(InvalidArgumentError, match=r"arrays of float64 are not written to a \.keras file"):
        write({"a": np.zeros(3)})
    for name in ("a\0b", "\ud800"):
        with pytest.raises(InvalidArgumentError, match=r"the name '.*' cannot be written to a \.keras file"):
            write({"a": Group(name=name)})


@pytest.mark.parametrize(
    ("statement", "library"),
    [
        ("import depthwise.data.formats.hdf5_write, depthwise.data.formats.keras_file", "h5py"),
        ("from depthwise.data.formats.hdf5 import File; File(open(sys.argv[1], 'rb').read())", "h5py"),
    ],
)
def test_libraries_are_imported_when_they_are_needed(statement: str, library: str, tmp_path: Path) -> None:
    (tmp_path / "file.h5").write_bytes(write({}))
    program = f"import sys; {statement}; print([name for name in '{library}'.split() if name in sys.modules])"
    command = [sys.executable, "-c", program, str(tmp_path / "file.h5")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


# Damage and bombs.


class TooLong(BaseException):
    """Not an Exception: the reader makes a refusal of any of those."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends the block where it takes longer."""

    def end(*_: object) -> None:
        raise TooLong(f"more than {seconds} s")

    previous = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def allocating_at_most(memory: int) -> Iterator[None]:
    """Fails where Python and NumPy have at any moment allocated more bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


def test_every_cut_is_noticed() -> None:
    content = write(tree(5))
    for length in range(0, len(content), 61):
        with pytest.raises(InvalidFileError, match=r"truncated|signature|beyond the end"):
            File(content[:length])


def with_root(build: Callable[[int], tuple[bytes, int]]) -> bytes:
    """A file whose root's header is made by hand: `build` gets its place and returns bytes to lie there and where the header is."""
    content = bytearray(write({}))
    body, root = build(len(content))
    content += body
    content[40:48] = struct.pack("<Q", len(content))
    content[64:72] = struct.pack("<Q", root)
    return bytes(content)


def header(*messages: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HHB3x", kind, len(data), 0) + data for kind, data in messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def node(level: int, children: list[int]) -> bytes:
    pairs = b"".join(struct.pack("<QQ", 0, child) for child in children)
    return struct.pack("<4sBBHQQ", b"TREE", 0, level, len(children), 0, 0) + pairs + bytes(8)


def continued(count: int) -> Callable[[int], tuple[bytes, int]]:
    """A header that is continued by everything that lies before it, many times."""
    return lambda place: (
        bytes(500_000) + header(*[(0x10, struct.pack("<QQ", 0, place + 500_000))] * count),
        place + 500_000,
    )


def branching(place: int) -> tuple[bytes, int]:
    """A tree of 40 levels, each of 50 times the next."""
    body, child = b"", place
    for level in range(40):
        child, body = place + len(body), body + node(level, [child] * 50)
    heap = place + len(body)
    body += struct.pack("<4s4xQQQ", b"HEAP", 0, 0, heap + 32)
    return body + header((0x11, struct.pack("<QQ", child, heap))), heap + 32


def circling(place: int) -> tuple[bytes, int]:
    """A tree's node that is its own child."""
    return branching_of(place, node(1, [place]))


def branching_of(place: int, tree: bytes) -> tuple[bytes, int]:
    heap = place + len(tree)
    body = tree + struct.pack("<4s4xQQQ", b"HEAP", 0, 8, heap + 32) + bytes(8)
    return body + header((0x11, struct.pack("<QQ", place, heap))), place + len(body)


def long_names(length: int) -> Callable[[int], tuple[bytes, int]]:
    """20,000 members, all of one long name."""

    def build(place: int) -> tuple[bytes, int]:
        heap = place
        body = struct.pack("<4s4xQQQ", b"HEAP", length + 8, 8, heap + 32) + b"a" * length + bytes(8)
        entries = place + len(body)
        body += struct.pack("<4sBxH", b"SNOD", 1, 20_000) + struct.pack("<QQII16x", 0, 96, 0, 0) * 20_000
        top = place + len(body)
        body += node(0, [entries])
        return body + header((0x11, struct.pack("<QQ", top, heap))), place + len(body)

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (continued(65_000), "has 65000 messages, at most 64 are read"),
        (continued(60), "contain themselves, or are larger than those of this network can be"),
        (branching, "contain themselves, or are larger"),
        (circling, "cannot be read"),
        (long_names(900_000), "a name in '' is longer than 256 bytes"),
        (long_names(100), "contain themselves, or are larger"),
    ],
)
def test_bombs_in_the_structures(build: Callable[[int], tuple[bytes, int]], message: str) -> None:
    content = with_root(build)
    refused = pytest.raises(InvalidFileError, match=f"the weights file is damaged: .*{message}")
    with at_most(20), allocating_at_most(48 * 2**20), refused:
        File(content, structures=2**20).group("")


@pytest.mark.parametrize("name", ["", "a/b"])
def test_names_that_no_path_can_reach(name: str) -> None:
    content = write({"abc": Group()})
    with pytest.raises(InvalidFileError, match="a name in '' is empty or holds a slash"):
        File(content.replace(b"abc", name.encode().ljust(3, b"\0"))).group("")


def test_declared_sizes_are_not_allocated() -> None:
    """An array of 2⁶⁰ numbers and one of 2⁴⁰ empty rows, neither of which the file has."""
    for shape in ((2**30, 2**30), (2**40, 0), (1,) * 32):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.create_dataset("a", shape=shape, dtype="f4")
        with allocating_at_most(2**20), pytest.raises(InvalidFileError, match="the values of 'a' are not in the file"):
            File(buffer.getvalue()).dataset("a")


@pytest.mark.parametrize(
    ("offset", "replacement"),
    [
        (1, b"\x21"),  # big-endian
        (1, b"\x00"),  # no implied leading bit
        (12, b"\x00\x00\x10\x00"),  # fewer bits than bytes
        (16, b"\x80"),  # another bias
    ],
)
def test_other_floats_of_four_bytes_are_refused(offset: int, replacement: bytes) -> None:
    content = write({"a": np.ones(3, np.float32)})
    place = content.index(bytes.fromhex("11 20 1f 00 04000000"))
    changed = content[: place + offset] + replacement + content[place + offset + len(replacement) :]
    with pytest.raises(
        UnsupportedError, match="'a' holds floats of 4 bytes; only plain little-endian numbers are read"
    ):
        File(changed).dataset("a")


def damaged(content: bytes, seed: int) -> bytes:
    """Flipped bits, bytes and words replaced by extreme ones or by places in the file, a cut end: one to eight of them."""
    generator = np.random.default_rng(seed)
    data = bytearray(content)
    for _ in range(int(generator.integers(1, 9))):
        place = int(generator.integers(len(data)))
        kind = int(generator.integers(12))
        word = (place & ~7, (place & ~7) + 8)
        if kind < 4:
            data[place] ^= 1 << int(generator.integers(8))
        elif kind < 6:
            data[place] = int(generator.choice([0, 1, 127, 128, 255]))
        elif kind < 11:
            value = (2**64 - 1, 0, 2**31, 2**40, int(generator.integers(len(data))) & ~7)[kind - 6]
            data[word[0] : word[1]] = value.to_bytes(8, "little")
        elif len(data) > 1000 and generator.integers(4) == 0:
            del data[place:]
    return bytes(data)


def newest() -> bytes:
    """What Keras never writes: the newest layout, chunks, filters, links."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        for index in range(30):
            file[f"layers/layer_{index}/vars/0"] = np.ones((4, 4), np.float32)
        chunked = {"chunks": (4, 4), "compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("layers/chunked", data=np.ones((16, 16)), **chunked)
        file["layers/soft"] = h5py.SoftLink("/layers")
    return buffer.getvalue()


def walked(content: bytes) -> int:
    """Reads every array below the root, as far as there are at most a million numbers; how many there were."""
    file, count, left = File(content, structures=2**18), 0, [""]
    while left:
        path = left.pop()
        for name in file.group(path) or {}:
            member = f"{path}/{name}" if path else name
            if name.isdigit():
                dataset = file.dataset(member)
                count += dataset is not None and dataset.read().size >= 0
            else:
                left.append(member)
    return count


@pytest.mark.parametrize(("seed_file", "fewest", "most"), [("plain", 300, 900), ("newest", 1000, 1000)])
def test_damage_is_an_error_of_ours_or_harmless(
    seed_file: str, fewest: int, most: int, record_property: Callable[[str, object], None]
) -> None:
    content = write(tree(3)) if seed_file == "plain" else newest()
    walked(write(tree(1)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    messages = []
    for seed in range(1000):
        with at_most(5):
            try:
                walked(damaged(content, seed))
            except DepthwiseError as error:
                messages.append(str(error))
    assert fewest <= len(messages) <= most
    record_property("tried", 1000)
    assert all(message.isprintable() and len(message) < 300 for message in messages)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10  # KiB
