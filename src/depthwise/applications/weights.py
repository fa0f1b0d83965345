"""Published weights: in Keras' cache folder, or downloaded there, each file with the hash that Keras publishes."""

from pathlib import Path

from depthwise.data.fetch import keras_cache_folder
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidFileError
from depthwise.models import Model
from depthwise.utils.downloads import get_file

__all__ = ["CACHED", "MODELS", "Cached", "NotCachedError", "Published", "cached", "fetched", "load_published"]

MODELS = "models"
"""The part of Keras' cache folder."""


class Cached:
    """Of which there is one, `CACHED`: stands for "imagenet" where nothing shall be downloaded."""


CACHED = Cached()


class NotCachedError(DepthwiseError):
    """The weights that are asked for with `CACHED` are not in Keras' cache folder."""


@dataclass(frozen=True)
class Published:
    """A file of weights that Keras publishes.

    Attributes:
        file: its name, there and in the cache.
        folder: its address without the name.
        md5: its hash, where Keras publishes one.
    """

    file: str
    folder: str
    md5: str | None = None


def cached(published: Published) -> Path | None:
    """The file in Keras' cache folder, if it is there; its hash is checked when it is loaded."""
    path = keras_cache_folder().parent / MODELS / published.file
    return path if path.is_file() else None


def fetched(owner: str, published: Published, cure: str) -> str:
    """The path of the file, downloaded unless it is in the cache.

    Args:
        cure: what the user can do without the network, the end of the error message.

    Raises:
        DepthwiseError: the download failed.
        InvalidFileError: what came has another hash.
    """
    try:
        return get_file(published.file, published.folder + published.file, cache_subdir=MODELS, file_hash=published.md5)
    except InvalidFileError:
        raise
    except DepthwiseError as error:
        place = keras_cache_folder().parent / MODELS
        raise type(error)(f"{owner}: {error}; {cure}, or put {published.file} into {place} yourself") from error


def load_published(owner: str, model: Model, published: Published) -> None:
    """Puts published weights into the model that they are for; raises what `fetched` and `load_weights` do."""
    model.load_weights(fetched(owner, published, "give weights=None for new weights"))
