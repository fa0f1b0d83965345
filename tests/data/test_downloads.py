"""Fashion-MNIST and CIFAR-10: from files, Keras' cache, and a server on this machine; never from the network."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.data import cifar10, fashion_mnist, fetch
from depthwise.data.idx import IDX_NAMES
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError

from .conftest import idx_bytes, make_arrays


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Neither the user's caches nor a proxy takes part."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


class CountingHandler(http.server.SimpleHTTPRequestHandler):
    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A folder and its address; `requests` lists the paths asked for."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(CountingHandler):
        requests: list[str] = []  # noqa: RUF012

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/", Handler.requests
        running.shutdown()
        thread.join()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def fashion_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Four small files under the names of Fashion-MNIST, their hashes put in place of the real ones."""
    arrays = make_arrays(seed=3)
    packed = {f"{name}.gz": gzip.compress(idx_bytes(a)) for name, a in zip(IDX_NAMES, arrays.values(), strict=True)}
    monkeypatch.setattr(fashion_mnist, "SHA256_OF_FILES", {name: sha256(data) for name, data in packed.items()})
    return arrays, packed


def put(folder: Any, packed: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in packed.items():
        (folder / name).write_bytes(data)


def assert_same(loaded: Any, arrays: Any) -> None:
    (x_train, y_train), (x_test, y_test) = loaded
    for got, expected in zip((x_train, y_train, x_test, y_test), arrays.values(), strict=True):
        assert np.array_equal(got, expected)


def test_fashion_from_folder_and_npz(tmp_path: Path, fashion_files: Any) -> None:
    arrays, packed = fashion_files
    put(tmp_path / "mine", packed)
    assert_same(fashion_mnist.load_data(tmp_path / "mine"), arrays)
    np.savez(tmp_path / "f.npz", **arrays)
    assert_same(fashion_mnist.load_data(tmp_path / "f.npz"), arrays)
    with pytest.raises(InvalidArgumentError, match="has no IDX files"):
        fashion_mnist.load_data(tmp_path / "elsewhere")


def test_fashion_from_keras_cache_without_a_request(
    tmp_path: Path, fashion_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, packed = fashion_files
    put(tmp_path / "keras" / "datasets" / "fashion-mnist", packed)
    monkeypatch.setattr(fashion_mnist, "SOURCE", "http://127.0.0.1:9/")
    assert_same(fashion_mnist.load_data(), arrays)
    assert not (tmp_path / "cache").exists()


def test_fashion_download_then_cache(
    tmp_path: Path, fashion_files: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, packed = fashion_files
    folder, address, requests = server
    put(folder, packed)
    monkeypatch.setattr(fashion_mnist, "SOURCE", address)
    assert_same(fashion_mnist.load_data(), arrays)
    assert len(requests) == 4
    assert_same(fashion_mnist.load_data(), arrays)
    assert len(requests) == 4


def test_damaged_cache_is_downloaded_again(
    tmp_path: Path, fashion_files: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, packed = fashion_files
    folder, address, requests = server
    put(folder, packed)
    put(tmp_path / "keras" / "datasets" / "fashion-mnist", packed | {"t10k-labels-idx1-ubyte.gz": b"cut"})
    put(tmp_path / "cache", {"fashion-mnist-t10k-labels-idx1-ubyte.gz": b"cut too"})
    monkeypatch.setattr(fashion_mnist, "SOURCE", address)
    assert_same(fashion_mnist.load_data(), arrays)
    assert requests == ["/t10k-labels-idx1-ubyte.gz"]


def test_wrong_hash_is_refused_and_not_kept(
    tmp_path: Path, fashion_files: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, packed = fashion_files
    folder, address, _ = server
    put(folder, {name: data + b"x" for name, data in packed.items()})
    monkeypatch.setattr(fashion_mnist, "SOURCE", address)
    with pytest.raises(InvalidFileError, match="its SHA-256 is another; try again later, or get the four files"):
        fashion_mnist.load_data()
    assert list((tmp_path / "cache").iterdir()) == []


def test_failed_download_says_what_to_do(fashion_files: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, address, _ = server
    monkeypatch.setattr(fashion_mnist, "SOURCE", address)
    with pytest.raises(DepthwiseError, match=r"Cannot download .*404.*name their folder as path"):
        fashion_mnist.load_data()


def test_cache_folder_that_cannot_be_made(tmp_path: Path, fashion_files: Any) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(InvalidArgumentError, match="Cannot create the cache folder"):
        fashion_mnist.load_data()


def test_default_cache_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert fetch.keras_cache_folder().parts[-2:] == (".keras", "datasets")
    assert "depthwise" in str(fetch.cache_folder())


def test_constants_are_sha256() -> None:
    for value in [*fashion_mnist.SHA256_OF_FILES.values(), cifar10.SHA256_OF_ARCHIVE]:
        assert len(bytes.fromhex(value)) == 32


CIFAR_NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


@pytest.fixture
def cifar() -> Any:
    """Two records a file: (name → images (2, 3, 32, 32), labels (2,))."""
    random = np.random.default_rng(5)
    return {
        name: (random.integers(0, 256, (2, 3, 32, 32), np.uint8), random.integers(0, 10, 2).astype(np.uint8))
        for name in CIFAR_NAMES
    }


def binary(images: Any, labels: Any) -> Any:
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))


def pickled(images: Any, labels: Any, protocol: int = 4) -> Any:
    """What the files of the Python version hold, the keys bytes as Python 2 wrote them."""
    content = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": [int(label) for label in labels],
        b"data": images.reshape(len(images), 3072),
        b"filenames": [b"a.png"] * len(images),
    }
    return pickle.dumps(content, protocol)


def python2_pickle(images: Any, labels: Any) -> Any:
    """The same in the instructions that Python 2's pickle wrote: byte strings as BINSTRING, array state by BUILD."""

    def text(value: Any) -> Any:
        return b"U" + bytes([len(value)]) + value

    data = images.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + b"K\0\x85" + text(b"b") + b"tR("
        + b"K\x01" + b"K" + bytes([len(images)]) + b"M" + (3072).to_bytes(2, "little") + b"\x86"
        + b"cnumpy\ndtype\n(" + text(b"u1") + b"K\0K\x01tR(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        + b"\x89" + b"T" + len(data).to_bytes(4, "little") + data + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\0(" + text(b"data") + array + text(b"labels") + b"q\x01" + numbers + b"u."


def archive_of(members: Any, path: Any) -> Any:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def binary_members(cifar: Any) -> Any:
    return {f"cifar-10-batches-bin/{name}.bin": binary(*records) for name, records in cifar.items()}


def assert_cifar(loaded: Any, cifar: Any) -> None:
    (x_train, y_train), (x_test, y_test) = loaded
    assert x_train.shape == (10, 32, 32, 3)
    assert (x_test.shape, y_train.shape, y_test.shape) == ((2, 32, 32, 3), (10, 1), (2, 1))
    assert x_train.dtype == y_train.dtype == np.uint8
    for index, name in enumerate(CIFAR_NAMES[:5]):
        images, labels = cifar[name]
        for offset in range(2):
            for channel in range(3):
                assert np.array_equal(x_train[2 * index + offset, :, :, channel], images[offset, channel])
            assert y_train[2 * index + offset, 0] == labels[offset]
    assert np.array_equal(x_test[1, 7, 3], cifar["test_batch"][0][1, :, 7, 3])


def test_cifar_binary_archive_and_folder(tmp_path: Path, cifar: Any) -> None:
    members = binary_members(cifar) | {"cifar-10-batches-bin/readme.html": b"<html>", "../../evil": b"x"}
    assert_cifar(cifar10.load_data(archive_of(members, tmp_path / "c.tar.gz")), cifar)
    assert not (tmp_path.parent / "evil").exists()
    put(tmp_path / "bin", {f"{name}.bin": binary(*records) for name, records in cifar.items()})
    assert_cifar(cifar10.load_data(tmp_path / "bin"), cifar)


@pytest.mark.parametrize("write", [pickled, functools.partial(pickled, protocol=3), python2_pickle])
def test_cifar_python_version_is_read_without_imports(
    tmp_path: Path, cifar: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own `find_class` imports; ours takes its place, and none of NumPy's functions is called."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("something was imported or called")

    contents = {name: write(*records) for name, records in cifar.items()}
    for name in ("load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr("numpy._core.multiarray._reconstruct", refuse)
    put(tmp_path / "py", contents)
    assert_cifar(cifar10.load_data(tmp_path / "py"), cifar)
    packed = archive_of({f"cifar-10-batches-py/{name}": data for name, data in contents.items()}, tmp_path / "c.tgz")
    assert_cifar(cifar10.load_data(packed), cifar)


def test_the_hand_written_pickle_is_a_real_one(cifar: Any) -> None:
    """The oracle for the test above: Python's own unpickler reads the same from it."""
    images, labels = cifar["test_batch"]
    content = pickle.loads(python2_pickle(images, labels).replace(b"numpy.core", b"numpy._core"), encoding="bytes")
    assert np.array_equal(content[b"data"], images.reshape(2, 3072))
    assert content[b"labels"] == labels.tolist()


def test_cifar_from_keras_cache(tmp_path: Path, cifar: Any) -> None:
    folder = tmp_path / "keras" / "datasets" / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    put(folder, {name: pickled(*records) for name, records in cifar.items()})
    assert_cifar(cifar10.load_data(), cifar)


def test_cifar_download(tmp_path: Path, cifar: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address, requests = server
    path = archive_of(binary_members(cifar), folder / "cifar-10-binary.tar.gz")
    monkeypatch.setattr(cifar10, "SOURCE", address + path.name)
    monkeypatch.setattr(cifar10, "SHA256_OF_ARCHIVE", sha256(path.read_bytes()))
    assert_cifar(cifar10.load_data(), cifar)
    assert_cifar(cifar10.load_data(), cifar)
    assert requests == ["/cifar-10-binary.tar.gz"]


class Evil:
    def __init__(self, folder: Any) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]r\xff\xff\xff\x0f.",  # a place in the memo for which 2 GiB would be reserved
        b"\x80\x02](r\xff\xff\xff\x7fe.",
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",  # BINBYTES8
        b"\x80\x03B\xff\xff\xff\xffx.",  # BINBYTES of 4 GiB
        b"\x80\x04X\xff\xff\xff\xffx.",
        b"\x80\x04\x96" + (1 << 32).to_bytes(8, "little") + b"x.",  # BYTEARRAY8
        b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"}.",  # a frame
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01btRu.",
    ],
)
def test_a_pickle_reserves_no_more_memory_than_it_has_bytes(content: bytes) -> None:
    cifar10._parse_pickle(pickled(np.zeros((1, 3072), np.uint8), [1]), "it")  # what is imported first does not count
    tracemalloc.start()
    try:
        with pytest.raises(InvalidFileError, match=r"^it (holds|is damaged)"):
            cifar10._parse_pickle(content, "it")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02cos\nsystem\n.", "the name 'os system'"),
        (b"\x80\x02cnumpy\nload\n.", "the name 'numpy load'"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "the name 'builtins eval'"),
        (b"\x80\x02cnumpy\nndarray\nK\x01\x85R.", "a call of something that is no constructor"),
        (b"\x80\x02cnumpy\ndtype\n)R)R.", "a call of something that is no constructor"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "a change of one of NumPy's own objects"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "the pickle instruction NEWOBJ"),
        (b"\x80\x02(cnumpy\ndtype\no.", "the pickle instruction OBJ"),
        (b"(inumpy\ndtype\n.", "the pickle instruction INST"),
        (b"\x80\x02\x82\x01.", "the pickle instruction EXT1"),
        (b"\x80\x02U\x01xQ.", "the pickle instruction BINPERSID"),
        (b"\x80\x05\x97.", "the pickle instruction NEXT_BUFFER"),
    ],
)
def test_what_a_pickle_may_not_ask_for(content: bytes, message: str) -> None:
    with pytest.raises(InvalidFileError, match=message):
        cifar10._parse_pickle(content, "it")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_hostile_pickle_is_refused_by_name(tmp_path: Path, cifar: Any, protocol: int) -> None:
    proof = tmp_path / "executed"
    contents = {name: pickled(*records) for name, records in cifar.items()}
    contents["data_batch_3"] = pickle.dumps({b"data": Evil(proof), b"labels": [1]}, protocol)
    put(tmp_path / "py", contents)
    with pytest.raises(InvalidFileError, match=r"data_batch_3' (holds|is damaged).*use cifar-10-binary\.tar\.gz"):
        cifar10.load_data(tmp_path / "py")
    assert not proof.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"\x80\x02}.",
        b"\x80\x02].",
        b"\x80\x02}q\0(U\x04datab.",
        b"\x80\x02}q\0(U\x04dataT\xff\xff\xff\x7fxu.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"cnumpy\nndarray\n)R.",
        b"\x80\x02h\x05.",
        b"tt.",
        pickle.dumps({b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 2]}, 4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": ["a", 2]}, 4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, 4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 99]}, 4),
        pickle.dumps({b"data": np.zeros((2, 3000), np.uint8), b"labels": [1, 2]}, 4),
        pickle.dumps({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, 4),
        pickle.dumps({b"data": b"bytes", b"labels": [1, 2]}, 4),
    ],
)
def test_foreign_pickles(tmp_path: Path, cifar: Any, content: Any) -> None:
    put(tmp_path / "py", {name: pickled(*records) for name, records in cifar.items()} | {"test_batch": content})
    with pytest.raises(InvalidFileError, match="test_batch'"):
        cifar10.load_data(tmp_path / "py")


def test_flipped_bytes_of_a_pickle_raise_nothing_else(cifar: Any, tmp_path: Path) -> None:
    good = pickled(cifar["test_batch"][0][:1], cifar["test_batch"][1][:1])
    refused = 0
    positions = [p for p in range(len(good)) if p < 150 or p > len(good) - 150]
    for position in positions:
        data = bytearray(good)
        data[position] ^= 0x41
        try:
            cifar10._parse_pickle(bytes(data), "it")
        except InvalidFileError:
            refused += 1
    assert refused > len(positions) / 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("cifar-10-batches-bin/test_batch.bin"), "lacks CIFAR-10's files test_batch"),
        (lambda m: m.update({"cifar-10-batches-bin/test_batch.bin": b"x" * 3072}), "needs 1 to 10000 records of 3073"),
        (lambda m: m.update({"cifar-10-batches-bin/test_batch.bin": b""}), "needs 1 to 10000 records"),
        (lambda m: m.update({"cifar-10-batches-bin/test_batch.bin": b"\x0a" * 3073}), "holds the label 10"),
        (lambda m: m.update({"cifar-10-batches-bin/test_batch.bin": bytes(3073 * 10_001)}), "is too large, there twi"),
    ],
)
def test_bad_cifar_members(tmp_path: Path, cifar: Any, change: Callable[..., Any], message: str) -> None:
    members = binary_members(cifar)
    change(members)
    with pytest.raises(InvalidFileError, match=message):
        cifar10.load_data(archive_of(members, tmp_path / "c.tar.gz"))


def test_cifar_member_that_is_a_link_is_not_followed(tmp_path: Path, cifar: Any) -> None:
    path = tmp_path / "c.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(InvalidFileError, match="not a plain file"):
        cifar10.load_data(path)


def test_cifar_archive_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "_MOST_ARCHIVE_BYTES", 1 << 20)
    path = archive_of({"cifar-10-batches-bin/other": bytes(2 << 20)}, tmp_path / "c.tar.gz")
    with pytest.raises(InvalidFileError, match="unpacks to more than 1048576 bytes"):
        cifar10.load_data(path)


@pytest.mark.parametrize(
    "content", [b"", b"no archive at all", gzip.compress(b"x" * 2000, mtime=0)], ids=["empty", "words", "packed"]
)
def test_not_an_archive(tmp_path: Path, content: Any) -> None:
    (tmp_path / "c.tar.gz").write_bytes(content)
    with pytest.raises(InvalidFileError, match=r"c\.tar\.gz"):
        cifar10.load_data(tmp_path / "c.tar.gz")


def test_truncated_archive(tmp_path: Path, cifar: Any) -> None:
    path = archive_of(binary_members(cifar), tmp_path / "c.tar.gz")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InvalidFileError, match=r"not a readable \.tar\.gz archive"):
        cifar10.load_data(path)


def test_cifar_missing_paths(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="There is no file"):
        cifar10.load_data(tmp_path / "none")
    with pytest.raises(InvalidArgumentError, match="has no CIFAR-10 files"):
        cifar10.load_data(tmp_path)
