"""Networks by name, as `keras.applications` has them: the same arguments, defaults and layer names, so that weights fit.

Those made of depthwise separable convolutions are here. The others are models of Keras: `depthwise.from_keras` takes them live,
`depthwise.load_model` opens their files.

>>> from depthwise import applications
>>> model = applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3), classes=5)
>>> model.name, model.output_shape
('mobilenetv2_0.35_96', (None, 5))
"""

import importlib
from typing import Any

from depthwise.absent import absent
from depthwise.documentation import document
from depthwise.meanings import APPLICATIONS

_FAMILIES = {
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Large", "MobileNetV3Small"),
    "xception": ("Xception",),
    "efficientnet": tuple(f"EfficientNetB{number}" for number in range(8)),
    "efficientnet_v2": tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
}
_MODULES = (*_FAMILIES, "imagenet_utils")
_HOME = {name: family for family, names in _FAMILIES.items() for name in names}

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        made = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        document({name: made}, [name], APPLICATIONS)
        return made
    raise absent("applications", name, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
