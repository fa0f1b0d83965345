"""Random transformations: in prediction, and for the bounds of networks with them, the images as they are."""

from depthwise.layers import augmentation
from depthwise.layers.description import Description
from depthwise.reference.rules import Rule, moves

__all__ = ["RULES"]

RULES: dict[type[Description], Rule] = {
    getattr(augmentation, name): moves(lambda layer, x: x) for name in augmentation.__all__
}
