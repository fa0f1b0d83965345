"""What `.keras` files say about training: optimizer, loss, metrics and the optimizer's state."""

from typing import TYPE_CHECKING, Any

from depthwise.formats.hdf5_write import Group

if TYPE_CHECKING:
    from depthwise.models import Model

__all__ = ["config_of", "restore", "state_of"]


def config_of(model: "Model") -> dict[str, Any] | None:
    return None


def state_of(model: "Model") -> dict[str, Group]:
    return {}


def restore(model: "Model", config: Any, what: str) -> None:
    return None
