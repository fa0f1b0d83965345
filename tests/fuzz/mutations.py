"""Changes to files that keep enough of their structure for a reader to go on: bytes, JSON, zip, gzip, tar and HDF5.

Every function takes the file's bytes and a `random.Random`, and gives other bytes; the same generator gives the same bytes. Where
a file has no longer the structure that a function needs, it changes bytes at random instead.
"""

import gzip
import io
import json
import random
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

__all__ = [
    "Mutation",
    "change_bytes",
    "change_h5",
    "change_json",
    "change_keras",
    "change_npz",
    "change_packed",
    "change_tar",
]

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**70)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "a", "../a", "\x1b[31m", "\0", "\ud800", "=1+1", "<script>", "Lambda", "__lambda__", "Dense", "Functional"),
    *(0.5, -0.0, 1e39, 1e300, float("inf"), float("nan"), [], [None], [[]], {}, {"class_name": "Model"}, {"class_name": "__keras_tensor__"}, [0, 0, 0], [2**31, 2**31]),
)  # fmt: skip
WORDS = (
    b"\0",
    b"\xff",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\0" * 8,
    b"\x80",
    b"{",
    b"[",
    b'"',
    b"PK\x05\x06",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"GCOL",
)
LARGEST = 1 << 16
"""A mutated file grows to this at most, so that runs stay quick; bombs are small and have tests of their own."""


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes anywhere: bits, bytes, numbers of 1 to 8 bytes, pieces cut out, doubled, moved or put in."""
    changed = bytearray(data or b"\0")
    for _ in range(1 << rng.randrange(3)):
        place, kind = rng.randrange(len(changed)), rng.randrange(8)
        if kind == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place] = rng.randrange(256)
        elif kind == 2:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice((rng.choice(NUMBERS), rng.randrange(len(changed)), len(changed)))
            order = rng.choice(("little", "big"))
            changed[place : place + size] = (number % 256**size).to_bytes(
                size, "little" if order == "little" else "big"
            )
        elif kind == 3:
            del changed[place : place + 1 + rng.randrange(16)]
        elif kind == 4:
            changed[place:place] = changed[place : place + 1 + rng.randrange(64)]
        elif kind == 5:
            word = rng.choice(WORDS)
            changed[place : place + (len(word) if rng.randrange(2) else 0)] = word
        elif kind == 6:
            other = rng.randrange(len(changed))
            changed[place : place + 8] = changed[other : other + 8]
        elif rng.randrange(4) == 0:
            del changed[place:]
        changed = changed or bytearray(b"\0")
    return bytes(changed[:LARGEST])


def change_json(data: bytes, rng: random.Random) -> bytes:
    """One to three values exchanged, deleted, doubled, renamed or replaced by another of any type."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return change_bytes(data, rng)
    for _ in range(rng.randrange(1, 4)):
        places = _places(tree)
        if not places:
            break
        owner, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind == 0:
            del owner[key]
        elif kind == 1:
            other_owner, other_key = rng.choice(places)
            owner[key] = json.loads(json.dumps(other_owner[other_key]))
        elif kind == 2 and isinstance(owner, list):
            owner.insert(key, json.loads(json.dumps(owner[key])))
        elif kind == 3 and isinstance(owner, dict):
            owner[str(rng.choice(VALUES))] = owner.pop(key)
        elif kind == 4 and type(owner[key]) in (int, float):
            owner[key] = rng.choice((rng.choice(NUMBERS), owner[key] + rng.choice((-1, 1, 0.5)), -owner[key]))
        else:
            owner[key] = json.loads(json.dumps(rng.choice(VALUES + NUMBERS)))
    text = json.dumps(tree).encode()
    return change_bytes(text, rng) if rng.randrange(16) == 0 else text


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """(owner, key) of every value within."""
    found: list[tuple[Any, Any]] = []
    open_ones = [tree]
    while open_ones:
        value = open_ones.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            found.append((value, key))
            open_ones.append(value[key])
    return found


def change_h5(data: bytes, rng: random.Random) -> bytes:
    """The texts of JSON within, kept in their length, or words of eight bytes, as HDF5 has its addresses and sizes."""
    start = data.find(b'{"')
    if start >= 0 and rng.randrange(2):
        end = data.find(b"\0", start)
        text = data[start : end if end > 0 else len(data)]
        for _ in range(8):
            changed = change_json(text, rng)
            if len(changed) <= len(text):
                return data[:start] + changed.ljust(len(text)) + data[start + len(text) :]
    changed_bytes = bytearray(data)
    if len(changed_bytes) < 16 or rng.randrange(3) == 0:
        return change_bytes(data, rng)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(changed_bytes) // 8) * 8
        number = rng.choice((rng.choice(NUMBERS), rng.randrange(len(data)) & ~7))
        changed_bytes[place : place + 8] = (number % 2**64).to_bytes(8, "little")
    return bytes(changed_bytes)


def change_zip(data: bytes, rng: random.Random, member: Callable[[str, bytes], bytes]) -> bytes:
    """The content of a zip's members by `member`, their names, number and packing; sometimes the zip's own bytes."""
    kind = rng.randrange(8)
    if kind == 0:
        return change_bytes(data, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > 4 * LARGEST:
                return change_bytes(data, rng)
            parts = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ):
        return change_bytes(data, rng)
    if not parts:
        return change_bytes(data, rng)
    index = rng.randrange(len(parts))
    name, content = parts[index]
    if kind == 1:
        parts[index] = (rng.choice(("../a", "/a", "a\x1b[31m", "", "assets/x", rng.choice(parts)[0])), content)
    elif kind == 2 and len(parts) > 1:
        del parts[index]
    else:
        parts[index] = (name, member(name, content))
    buffer = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with (
        zipfile.ZipFile(buffer, "w", packing) as archive,
        warnings.catch_warnings(action="ignore"),
    ):  # of names given twice
        for name, content in parts:
            info = zipfile.ZipInfo(name)
            info.compress_type = packing
            archive.writestr(info, content)
    packed = buffer.getvalue()
    return change_bytes(packed, rng) if rng.randrange(16) == 0 else packed


def change_keras(data: bytes, rng: random.Random) -> bytes:
    """A `.keras` file: its JSON as JSON, its weights as HDF5."""
    return change_zip(
        data, rng, lambda name, content: (change_json if name.endswith(".json") else change_h5)(content, rng)
    )


def change_npz(data: bytes, rng: random.Random) -> bytes:
    """An `.npz` file: the headers of its arrays more often than their numbers."""

    def member(name: str, content: bytes) -> bytes:
        if rng.randrange(3) == 0:
            return change_bytes(content, rng)
        head, rest = content[:128], content[128:]
        if b"{" in rest:  # a text of JSON as an array of bytes
            return head + change_json(rest, rng)
        return change_bytes(head, rng) + rest

    return change_zip(data, rng, member)


def change_packed(change: Mutation) -> Mutation:
    """What `change` does to a plain file, done to what is in a gzip file, or to a plain one as it is."""

    def changed(data: bytes, rng: random.Random) -> bytes:
        if not data.startswith(b"\x1f\x8b"):
            return change(data, rng)
        try:
            content = zlib.decompressobj(31).decompress(data, 16 * LARGEST)
        except zlib.error:
            return change_bytes(data, rng)
        return change_bytes(data, rng) if rng.randrange(8) == 0 else gzip.compress(change(content, rng), 1, mtime=0)

    return changed


def change_tar(data: bytes, rng: random.Random) -> bytes:
    """A tar archive: its blocks of 512 bytes, with checksums made right again three times of four."""
    changed = bytearray(data)
    heads = [place for place in range(0, len(changed) - 511, 512) if changed[place + 257 : place + 262] == b"ustar"]
    if not heads or rng.randrange(8) == 0:
        return change_bytes(data, rng)
    place = rng.choice(heads)
    kind = rng.randrange(5)
    if kind == 0:
        changed[place + 156] = rng.choice(b"\00123456789xgLKS")
    elif kind == 1:
        changed[place + 124 : place + 136] = rng.choice(
            (b"77777777777\0", b"\x80" + b"\xff" * 11, b"00000000000\0", b"-0000000001\0")
        )
    elif kind == 2:
        name = rng.choice((b"../a", b"/tmp/a", b"a\x1b[31m", b"\xff\xfe", b"."))
        changed[place : place + 100] = name.ljust(100, b"\0")
    elif kind == 3:
        changed[place + 157 : place + 257] = rng.choice((b"../../a", b"/etc/passwd", b"a")).ljust(100, b"\0")
        changed[place + 156] = rng.choice(b"12")
    else:
        within = bytearray(change_bytes(bytes(changed[place : place + 1024]), rng))
        changed[place : place + 1024] = within
    if rng.randrange(4) and place + 512 <= len(changed):
        changed[place + 148 : place + 156] = b" " * 8
        total = sum(changed[place : place + 512])
        changed[place + 148 : place + 156] = f"{total:06o}\0 ".encode()
    return bytes(changed[: 8 * LARGEST])


def read_tar(names: list[tuple[str, bytes]]) -> bytes:
    """A tar archive of these files, without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
