"""Atomic writes: all of the new content or all of the old, whatever goes wrong."""

import errno
import io
import os
import stat
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

from depthwise.errors import DepthwiseError, InvalidArgumentError
from depthwise.files import atomic_write, atomic_write_bytes, atomic_write_text, check_writable


def failing_writer(error: BaseException) -> Any:
    def write(file: Any) -> None:
        file.write(b"half of the new")
        file.flush()
        raise error

    return write


def test_new_file_and_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    atomic_write_bytes(path, b"one")
    atomic_write(path, lambda file: file.writelines([b"two!"]))
    assert path.read_bytes() == b"two!"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_text_is_utf8_with_its_line_ends(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "t", "深度\n\r\n")
    assert (tmp_path / "t").read_bytes() == "深度\n\r\n".encode()


def test_writer_can_seek_and_read(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x", b"content")

    atomic_write(tmp_path / "z.zip", write)
    with zipfile.ZipFile(io.BytesIO((tmp_path / "z.zip").read_bytes())) as archive:
        assert archive.read("x") == b"content"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_full_disk_keeps_the_old_file(tmp_path: Path, code: Any) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    with pytest.raises(DepthwiseError, match=r"model\.keras.*disk is full.*unchanged; free some space") as caught:
        atomic_write(path, failing_writer(OSError(code, os.strerror(code))))
    assert not isinstance(caught.value, InvalidArgumentError)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.keras"]


def test_other_disk_errors_are_told_too(tmp_path: Path) -> None:
    with pytest.raises(DepthwiseError, match=r"Input/output error.*check the disk"):
        atomic_write(tmp_path / "a", failing_writer(OSError(errno.EIO, os.strerror(errno.EIO))))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine"), InvalidArgumentError("mine")])
def test_other_exceptions_pass_unchanged(tmp_path: Path, error: Any) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(type(error)) as caught:
        atomic_write(path, failing_writer(error))
    assert caught.value is error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_failing_fsync_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fsync(descriptor: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DepthwiseError, match="disk is full"):
        atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_content_is_on_disk_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: Any) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_fsync(descriptor)

    def replace(source: Any, target: Any) -> None:
        events.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    atomic_write_bytes(tmp_path / "a", b"x")
    assert events == ["sync file", "replace", "sync folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_real_size_limit_keeps_the_old_file(tmp_path: Path) -> None:
    """The kernel itself refuses the write, in the middle of the buffered data."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from depthwise.errors import DepthwiseError
        from depthwise.files import atomic_write_bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            atomic_write_bytes(sys.argv[1], bytes(100_000))
        except DepthwiseError as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "size limit is reached" in done.stdout
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"missing.*folder does not exist; create the folder"):
        atomic_write_bytes(tmp_path / "missing" / "a", b"")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgumentError, match="folder does not exist"):
        atomic_write_bytes(tmp_path / "file" / "a", b"")


def test_target_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="it is a folder; name a file inside it"):
        atomic_write_bytes(tmp_path, b"")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_target_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgumentError, match="device, pipe or socket"):
        atomic_write_bytes(tmp_path / "pipe", b"")


@pytest.mark.parametrize("name", ["a" * 400, "nul\0l"])
def test_impossible_names(tmp_path: Path, name: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"choose a shorter one|not a path"):
        atomic_write_bytes(tmp_path / name, b"")


def test_longest_possible_name_works(tmp_path: Path) -> None:
    atomic_write_bytes(tmp_path / ("a" * 255), b"x")
    assert (tmp_path / ("a" * 255)).read_bytes() == b"x"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, as the tests may run as root, who may write anywhere."""
    real_open = os.open

    def refuse(path: Any, flags: Any, *mode: Any, **options: Any) -> Any:
        if flags & (os.O_CREAT | getattr(os, "O_TMPFILE", 0)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real_open(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InvalidArgumentError, match="no permission to write in its folder"):
        atomic_write_bytes(tmp_path / "a", b"")


def test_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda target, mode: False)
    with pytest.raises(InvalidArgumentError, match="read-only"):
        atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_are_kept_and_new_ones_follow_the_umask(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        atomic_write_bytes(old, b"x")
        atomic_write_bytes(new, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert old.read_bytes() == b"x"


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic_write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_hostile_name_is_printable_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        atomic_write_bytes(tmp_path / "a\x1b[31m\nb" / "c", b"")
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_killed_process_leaves_nothing_but_the_old_file(tmp_path: Path) -> None:
    """Where the system has unnamed files; killed when all is written and nothing has a name yet."""
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("a system without unnamed files")
    path = tmp_path / "a"
    path.write_bytes(b"old")
    script = """
import os, signal, sys
from depthwise.files import atomic_write_bytes
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
atomic_write_bytes(sys.argv[1], b"new")
"""
    assert subprocess.run([sys.executable, "-c", script, os.fspath(path)], check=False).returncode < 0
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("lacking", ["unnamed files", "names for them"])
def test_a_system_that_lacks_unnamed_files_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def link(*arguments: Any, **named: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if lacking == "unnamed files":
        monkeypatch.setattr("depthwise.files._UNNAMED", None)
    else:
        monkeypatch.setattr(os, "link", link)
    path = tmp_path / "a"
    for content in (b"one", b"two"):
        atomic_write_bytes(path, content)
        check_writable(path)
        assert path.read_bytes() == content
        path.chmod(0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a"]


def test_a_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o600)
    seen = []
    atomic_write(path, lambda file: seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode)))
    assert seen == [0o600]
