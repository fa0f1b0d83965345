"""torch without a compiler: eager in both memory formats, and TorchScript frozen for inference."""

import warnings
from collections.abc import Callable

import torch

from benchmarks.models import Array
from benchmarks.protocol import Candidate, Candidates, Task
from benchmarks.torch_network import (
    MEMORY_FORMATS,
    KerasAdam,
    arrange_images,
    build_torch,
)


def configure(threads: int) -> None:
    """Set torch's threads, and flush denormal numbers to zero as the other frameworks do."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def prepare_predict(task: Task) -> Candidates:
    """Return eager candidates for both memory formats, and TorchScript's `optimize_for_inference`."""

    def eager(memory_format: torch.memory_format) -> Candidate:
        module = build_torch(task.steps, task.weights).eval().to(memory_format=memory_format)

        def run(images: torch.Tensor) -> Array:
            with torch.inference_mode():
                return module(images).numpy()

        return Candidate(run, lambda images: arrange_images(images, memory_format))

    def torchscript() -> Candidate:
        module = build_torch(task.steps, task.weights).eval()
        height, width, channels = task.steps.input_shape
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            traced = torch.jit.trace(module, torch.zeros(task.batch, channels, height, width))
            frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))

        def run(images: torch.Tensor) -> Array:
            with torch.inference_mode():
                return frozen(images).numpy()

        return Candidate(run, lambda images: arrange_images(images, torch.contiguous_format))

    candidates: dict[str, Callable[[], Candidate]] = {
        name: lambda memory_format=memory_format: eager(memory_format) for name, memory_format in MEMORY_FORMATS.items()
    }
    return candidates | {"TorchScript, optimised for inference": torchscript}


def prepare_training(task: Task) -> Candidates:
    """Return forward, `backward` and fused Adam, for both memory formats."""

    def training(memory_format: torch.memory_format) -> Candidate:
        module = build_torch(task.steps, task.weights, logits=True)
        module = module.to(memory_format=memory_format)
        optimizer = KerasAdam(module, task.optimizer)

        def run(batch: tuple[torch.Tensor, torch.Tensor]) -> float:
            images, labels = batch
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(module(images), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        def arrange(images: Array, labels: Array) -> tuple[torch.Tensor, torch.Tensor]:
            return arrange_images(images, memory_format), torch.from_numpy(labels).long()

        return Candidate(run, arrange)

    return {
        name: lambda memory_format=memory_format: training(memory_format)
        for name, memory_format in MEMORY_FORMATS.items()
    }
