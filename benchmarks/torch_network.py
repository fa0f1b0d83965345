"""The networks as `torch.nn.Sequential`, for the two torch rivals."""

import math
from typing import Any

import numpy as np
import torch

from benchmarks.models import Adam, Array, Network, walk

ACTIVATIONS = {"relu": torch.nn.ReLU, "selu": torch.nn.SELU, "softmax": lambda: torch.nn.Softmax(1)}


def build_torch(network: Network, weights: list[Array], logits: bool = False) -> torch.nn.Sequential:
    """Return the network, channels first, with Keras' weights set; `logits` leaves the softmax out."""
    modules: list[torch.nn.Module] = []
    position = 0
    flattened: tuple[int, ...] = ()
    for step, shape, shapes in walk(network):
        own = dict(zip(shapes, weights[position : position + len(shapes)], strict=True))
        position += len(shapes)
        if step.layer == "Conv2D":
            modules.append(_convolution(own["kernel"].transpose(3, 2, 0, 1), own["bias"], step))
        elif step.layer == "SeparableConv2D":
            depthwise = own["depthwise_kernel"].transpose(2, 3, 0, 1)
            modules.append(_convolution(depthwise, None, step, groups=shape[-1]))
            pointwise = own["pointwise_kernel"].transpose(3, 2, 0, 1)
            modules.append(_convolution(pointwise, own["bias"]))
        elif step.layer == "MaxPooling2D":
            modules.append(torch.nn.MaxPool2d(step["pool_size"]))
        elif step.layer == "Flatten":
            modules.append(torch.nn.Flatten())
            flattened = shape
        elif step.layer == "Dense":
            modules.append(_dense(own["kernel"], own["bias"], flattened))
            flattened = ()
        else:
            raise ValueError(f"No torch form is written down for the layer {step.layer!r}.")
        activation = step.arguments.get("activation", "linear")
        last_softmax = logits and activation == "softmax"
        if activation != "linear" and not last_softmax:
            modules.append(ACTIVATIONS[activation]())
    return torch.nn.Sequential(*modules)


def _convolution(kernel: Array, bias: Array | None, step: Any = None, groups: int = 1) -> torch.nn.Conv2d:
    filters, channels, size, _ = kernel.shape
    padding = "valid" if step is None else step["padding"]
    module = torch.nn.Conv2d(
        channels * groups,
        filters,
        size,
        padding=size // 2 if padding == "same" else 0,
        groups=groups,
        bias=bias is not None,
    )
    _set(module, kernel, bias)
    return module


def _dense(kernel: Array, bias: Array, flattened: tuple[int, ...]) -> torch.nn.Linear:
    if flattened:  # rows in the order of Keras' channels-last map; torch flattens channels first
        height, width, depth = flattened
        kernel = kernel.reshape(height, width, depth, -1).transpose(2, 0, 1, 3)
        kernel = kernel.reshape(height * width * depth, -1)
    module = torch.nn.Linear(*kernel.shape)
    _set(module, kernel.T, bias)
    return module


def _set(module: Any, kernel: Array, bias: Array | None) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        if bias is not None:
            module.bias.copy_(torch.from_numpy(bias))


def arrange_images(images: Array, memory_format: torch.memory_format) -> torch.Tensor:
    """Return `(n, c, h, w)` images stored in the given memory format."""
    channels_first = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return channels_first.contiguous(memory_format=memory_format)


class KerasAdam(torch.optim.Adam):
    """torch's fused Adam, one kernel for all weights, with ε where Keras has it.

    Keras adds ε to √v before the bias correction, torch after it; dividing ε by √(1 − β₂ᵗ) at step t makes
    the two the same formula, so that the losses of both can be compared, at no cost.
    """

    def __init__(self, module: torch.nn.Module, settings: Adam) -> None:
        betas = (settings.beta_1, settings.beta_2)
        super().__init__(module.parameters(), settings.learning_rate, betas, fused=True)
        self._settings = settings
        self._steps = 0

    def step(self) -> None:  # type: ignore[override]
        """Take one step."""
        self._steps += 1
        correction = math.sqrt(1 - self._settings.beta_2**self._steps)
        self.param_groups[0]["eps"] = self._settings.epsilon / correction
        super().step()


MEMORY_FORMATS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}
