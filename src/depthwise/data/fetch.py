"""Where data sets lie that are not in the package: Keras' cache folder, or our own, filled with checked downloads."""

import hashlib
import os
from pathlib import Path
from typing import Any, cast

from depthwise.data.bounded import shown_path
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, describe_value
from depthwise.progress import ProgressBar

__all__ = ["cache_folder", "fetch", "find_verified", "keras_cache_folder"]


def keras_cache_folder() -> Path:
    """The folder in which Keras keeps its data sets: `$KERAS_HOME/datasets`, by default `~/.keras/datasets`."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets"


def cache_folder() -> Path:
    """The folder of our own downloads, where this system keeps caches."""
    import platformdirs

    return Path(platformdirs.user_cache_path("depthwise")) / "datasets"


def find_verified(folder: Path, sha256: str, name: str) -> Path | None:
    """The file `name` in `folder` if it is there and has that hash."""
    path = folder / name
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return path if hashlib.file_digest(file, "sha256").hexdigest() == sha256 else None
    except OSError:
        return None


def fetch(name: str, url: str, sha256: str, cure: str) -> Path:
    """The file `name` in our cache folder, downloaded from `url` unless it is there with the right hash.

    Args:
        name: of the file in the cache.
        url: where from.
        sha256: the hash that the file must have, in hexadecimal.
        cure: what the user can do without the network, the end of the error message.

    Raises:
        InvalidFileError: what came has another hash; it is not kept.
        InvalidArgumentError: the cache folder cannot be written to.
        DepthwiseError: the download failed.
    """
    folder = cache_folder()
    found = find_verified(folder, sha256, name)
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgumentError(
            f"Cannot create the cache folder {shown_path(folder)} ({error.strerror}); {cure}."
        ) from error
    import pooch  # brings requests: slow to import, and not needed when the file is there

    shown_url = describe_value(url, 200)
    try:
        with ProgressBar(None, f"downloading {name}", show="bytes") as bar:
            # pooch takes an object with `total`, `update`, `reset` and `close`, though its types speak of a bool.
            path = pooch.retrieve(
                url, known_hash=f"sha256:{sha256}", fname=name, path=folder, progressbar=cast(Any, bar)
            )
        return Path(path)
    except ValueError as error:  # pooch: the hash differs; the download was removed
        raise InvalidFileError(
            f"What came from {shown_url} is not the file expected: its SHA-256 is another; try again later, or {cure}."
        ) from error
    except Exception as error:  # requests' family of errors, which is not worth importing to name; OSError of the disk
        raise DepthwiseError(f"Cannot download {name} from {shown_url} ({_reason(error)}); {cure}.") from error


def _reason(error: Exception) -> str:
    return type(error).__name__ + (f": {describe_value(str(error))}" if str(error) else "")
