"""`get_file`: a file from the network into Keras' cache folder, checked, and never written anywhere else."""

import hashlib
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from depthwise.data.bounded import DEFAULT_MAX_BYTES, shown_path
from depthwise.data.fetch import keras_cache_folder
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, describe_value
from depthwise.progress import ProgressBar

__all__ = ["get_file"]

ALGORITHMS = ("auto", "sha256", "md5")
ARCHIVES = ("auto", "tar", "zip")


def get_file(
    fname: str | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: Any = None,
    force_download: bool = False,
) -> str:
    """The path of a file that is downloaded unless it is in the cache already.

    Args:
        fname: its name in the cache, without a folder; the last part of the address by default.
        origin: the address, http or https.
        untar: the same as `extract` with `archive_format="tar"`.
        md5_hash: the same as `file_hash` with `hash_algorithm="md5"`.
        file_hash: what the file must have, in hexadecimal; a file in the cache with another one is downloaded again.
        cache_subdir: folder in the cache. cache_dir: the cache; by default Keras' own, `$KERAS_HOME` or `~/.keras`.
        hash_algorithm: "sha256", "md5", or "auto" by the length of `file_hash`.
        extract: unpack the file too, a tar or zip archive.
        archive_format: "auto", "tar" or "zip".
        force_download: download it in any case.

    Returns:
        The file's path; the folder's with what was unpacked, with `extract`.

    Raises:
        InvalidArgumentError: an argument that is not allowed, or a name that leads out of the cache.
        InvalidFileError: the file has another hash (it is deleted), or is not an archive, or its members lead out of their folder.
        DepthwiseError: the download failed.
    """
    if not origin or urlsplit(origin).scheme not in ("http", "https"):
        raise InvalidArgumentError(
            f"get_file: origin must be an address that starts with http, got {describe_value(origin)}"
        )
    if hash_algorithm not in ALGORITHMS or (archive_format is not None and archive_format not in ARCHIVES):
        raise InvalidArgumentError(
            f"get_file: hash_algorithm must be one of {', '.join(ALGORITHMS)} and archive_format one of {', '.join(ARCHIVES)}"
        )
    expected, algorithm = (md5_hash, "md5") if file_hash is None and md5_hash else (file_hash, hash_algorithm)
    if algorithm == "auto":
        algorithm = "sha256" if expected is not None and len(expected) == 64 else "md5"
    home = keras_cache_folder().parent if cache_dir is None else Path(os.path.expanduser(cache_dir))
    folder = _inside(home, cache_subdir, "cache_subdir")
    name = fname or Path(urlsplit(origin).path).name
    if not name or name in (".", "..") or "/" in name or os.sep in name or "\0" in name:
        raise InvalidArgumentError(
            f"get_file: fname must be the name of a file without a folder, got {describe_value(name)}"
        )
    unpack = extract or untar
    target, place = folder / name, folder / name
    if unpack:
        has_ending = bool(fname) and "." in name
        place = folder / f"{name.partition('.')[0]}_extracted" if has_ending else folder / name
        target = folder / name if has_ending else folder / f"{name}_archive"
    if force_download or not _is_right(target, expected, algorithm):
        _download(origin, target, expected, algorithm)
    if unpack:
        _unpack(target, place, "tar" if untar else archive_format)
    return str(place)


def _inside(home: Path, part: str, argument: str) -> Path:
    root, folder = os.path.realpath(home), os.path.realpath(home / part)
    if os.path.commonpath([root, folder]) != root:
        raise InvalidArgumentError(
            f"get_file: {argument}={describe_value(part)} leads out of the cache {shown_path(home)}; give cache_dir to use another folder"
        )
    return Path(folder)


def _is_right(path: Path, expected: str | None, algorithm: str) -> bool:
    if not path.is_file():
        return False
    if expected is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected.lower()


def _download(origin: str, target: Path, expected: str | None, algorithm: str) -> None:
    import pooch  # brings requests: slow to import

    shown = describe_value(origin, 200)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target first: what is not right never has the name that scripts look for.
        partial = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            with ProgressBar(None, f"downloading {target.name}", show="bytes") as bar:
                pooch.HTTPDownloader(progressbar=cast(Any, bar))(origin, str(partial), None)
            if not _is_right(partial, expected, algorithm):
                raise InvalidFileError(
                    f"get_file: what came from {shown} has not the {algorithm} hash {describe_value(expected)}; it was deleted. "
                    "Try again later, or ask where the file comes from for its hash"
                )
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except DepthwiseError:
        raise
    except OSError as error:  # the disk's errors and, as its relatives, those of requests
        raise DepthwiseError(
            f"get_file: cannot download {shown} to {shown_path(target)}: {describe_value(str(error))}"
        ) from error


def _unpack(archive: Path, place: Path, archive_format: Any) -> None:
    """Into a new folder beside `place` first, which then takes its name: half an archive is never left there."""
    kinds = ("tar", "zip") if archive_format in (None, "auto") else (archive_format,)
    temporary = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        if "tar" in kinds and tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                _check_size(archive, sum(member.size for member in tar.getmembers()))
                tar.extractall(temporary, filter="data")
        elif "zip" in kinds and zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for member in packed.infolist():
                    parts = Path(member.filename.replace("\\", "/")).parts
                    if ".." in parts or Path(member.filename).is_absolute():
                        raise _leads_out(archive, member.filename)
                _check_size(archive, sum(member.file_size for member in packed.infolist()))
                packed.extractall(temporary)
        else:
            raise InvalidFileError(f"get_file: {shown_path(archive)} is no {' or '.join(kinds)} archive")
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(temporary, place)
    except DepthwiseError:
        raise
    except tarfile.FilterError as error:
        raise _leads_out(archive, error.tarinfo.name) from error
    except Exception as error:  # what the libraries raise for damaged archives is not documented and differs by format
        raise InvalidFileError(
            f"get_file: {shown_path(archive)} cannot be unpacked: {describe_value(str(error))}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _leads_out(archive: Path, name: str) -> InvalidFileError:
    return InvalidFileError(
        f"get_file: {shown_path(archive)} holds {describe_value(name)}, which leads out of its folder or is no file"
    )


def _check_size(archive: Path, size: int) -> None:
    if size > DEFAULT_MAX_BYTES:
        raise InvalidFileError(
            f"get_file: {shown_path(archive)} would unpack to {size:,} bytes, more than the {DEFAULT_MAX_BYTES:,} allowed"
        )
