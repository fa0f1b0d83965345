"""`get_file`: checked, cached, and nothing outside of the cache; from a server on this machine."""

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from depthwise import utils
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError
from depthwise.utils import downloads

DATA = b"some data"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        running.asked, running.folder = asked, folder  # type: ignore[attr-defined]
        running.address = f"http://127.0.0.1:{running.server_port}"  # type: ignore[attr-defined]
        (folder / "a.bin").write_bytes(DATA)
        yield running
        running.shutdown()
        thread.join()


def test_it_is_downloaded_once(server: Any, tmp_path: Path) -> None:
    origin = f"{server.address}/a.bin?x=1"
    path = utils.get_file(origin=origin)
    assert path == str(tmp_path / "keras" / "datasets" / "a.bin")
    assert Path(path).read_bytes() == DATA
    assert utils.get_file(origin=origin) == path
    assert len(server.asked) == 1
    utils.get_file(origin=origin, force_download=True)
    assert len(server.asked) == 2
    assert [item.name for item in Path(path).parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_the_hash_decides(server: Any, tmp_path: Path, algorithm: str) -> None:
    right = hashlib.new(algorithm, DATA).hexdigest()
    origin = f"{server.address}/a.bin"
    path = Path(utils.get_file("b.bin", origin, file_hash=right, cache_dir=tmp_path / "own", cache_subdir="x"))
    assert path == tmp_path / "own" / "x" / "b.bin"
    path.write_bytes(b"changed")
    assert Path(utils.get_file("b.bin", origin, file_hash=right, cache_dir=tmp_path / "own", cache_subdir="x")) == path
    assert path.read_bytes() == DATA
    with pytest.raises(InvalidFileError, match=f"{algorithm} hash"):
        utils.get_file("c.bin", origin, file_hash="0" * len(right), cache_dir=tmp_path / "own")
    assert not list((tmp_path / "own" / "datasets").iterdir())
    if algorithm == "md5":
        utils.get_file("c.bin", origin, md5_hash=right, cache_dir=tmp_path / "own")


def archive(folder: Path, kind: str, names: list[str]) -> None:
    if kind == "zip":
        with zipfile.ZipFile(folder / f"a.{kind}", "w") as packed:
            for name in names:
                packed.writestr(name, DATA)
        return
    with tarfile.open(folder / f"a.{kind}", "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(DATA)
            tar.addfile(info, io.BytesIO(DATA))


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_archives_are_unpacked_where_keras_does(server: Any, tmp_path: Path, kind: str) -> None:
    archive(server.folder, kind, ["photos/one.jpg", "two.jpg"])
    origin, cache = f"{server.address}/a.{kind}", tmp_path / "keras" / "datasets"
    assert utils.get_file(origin=origin, extract=True) == str(cache / f"a.{kind}")
    assert utils.get_file("b.gz", origin, extract=True) == str(cache / "b_extracted")
    assert utils.get_file("c", origin, extract=True) == str(cache / "c")
    for folder in (f"a.{kind}", "b_extracted", "c"):
        assert (cache / folder / "photos" / "one.jpg").read_bytes() == DATA
    if kind == "tgz":
        assert utils.get_file("d", origin, untar=True) == str(cache / "d")
    utils.get_file("c", origin, extract=True)  # once more over what is there


@pytest.mark.parametrize("kind", ["zip", "tgz"])
@pytest.mark.parametrize("name", ["../../evil", "/tmp/depthwise-evil"])
def test_members_do_not_leave_their_folder(server: Any, tmp_path: Path, kind: str, name: str) -> None:
    archive(server.folder, kind, ["fine", name])
    before = {path for path in tmp_path.rglob("*") if "keras" not in path.parts}
    if kind == "tgz" and name.startswith("/"):  # tarfile takes the slash away
        utils.get_file(origin=f"{server.address}/a.{kind}", extract=True)
    else:
        with pytest.raises(InvalidFileError, match=r"evil|outside"):
            utils.get_file(origin=f"{server.address}/a.{kind}", extract=True)
        assert not (tmp_path / "keras" / "datasets" / f"a.{kind}").exists()
    assert {path for path in tmp_path.rglob("*") if "keras" not in path.parts} == before
    assert not Path("/tmp/depthwise-evil").exists()


def test_archives_that_are_too_large_or_none(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidFileError, match="no tar or zip archive"):
        utils.get_file(origin=f"{server.address}/a.bin", extract=True)
    archive(server.folder, "zip", ["one", "two"])
    monkeypatch.setattr(downloads, "DEFAULT_MAX_BYTES", 10)
    with pytest.raises(InvalidFileError, match="would unpack to 18 bytes"):
        utils.get_file(origin=f"{server.address}/a.zip", extract=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "starts with http"),
        ({"origin": "file:///etc/passwd"}, "starts with http"),
        ({"origin": "http://x/"}, "name of a file"),
        ({"origin": "http://x/a", "fname": "../a"}, "name of a file"),
        ({"origin": "http://x/a", "cache_subdir": "../.."}, "leads out of the cache"),
        ({"origin": "http://x/a", "hash_algorithm": "crc"}, "auto, sha256, md5"),
    ],
)
def test_wrong_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        utils.get_file(**arguments)


def test_a_download_that_fails_leaves_nothing(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DepthwiseError, match="cannot download"):
        utils.get_file(origin=f"{server.address}/none.bin")
    assert not list((tmp_path / "keras" / "datasets").iterdir())
