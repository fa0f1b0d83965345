"""torch through inductor: frozen weights for prediction, both memory formats, and `max-autotune`.

Needs a C++ compiler on the machine; without one the candidates fail and the report says so.
"""

from collections.abc import Callable

import torch
import torch._inductor.config as inductor

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
    inductor.compile_threads = threads


def prepare_predict(task: Task) -> Candidates:
    """Return the compiled module with frozen weights, in three settings."""

    def compiled(memory_format: torch.memory_format, mode: str) -> Candidate:
        inductor.freezing = True
        module = build_torch(task.steps, task.weights).eval().to(memory_format=memory_format)
        function = torch.compile(module, mode=mode, dynamic=False, fullgraph=True)

        # Freezing needs `no_grad`: under `inference_mode` inductor leaves the weights as arguments.
        def run(images: torch.Tensor) -> Array:
            with torch.no_grad():
                return function(images).numpy()

        return Candidate(run, lambda images: arrange_images(images, memory_format))

    candidates: dict[str, Callable[[], Candidate]] = {
        name: lambda memory_format=memory_format: compiled(memory_format, "default")
        for name, memory_format in MEMORY_FORMATS.items()
    }
    return candidates | {"channels_last, max-autotune": lambda: compiled(torch.channels_last, "max-autotune")}


def prepare_training(task: Task) -> Candidates:
    """Return the compiled forward, its compiled backward and fused Adam, for both memory formats."""

    def training(memory_format: torch.memory_format) -> Candidate:
        inductor.freezing = False
        module = build_torch(task.steps, task.weights, logits=True)
        module = module.to(memory_format=memory_format)
        optimizer = KerasAdam(module, task.optimizer)

        @torch.compile(dynamic=False, fullgraph=True)
        def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(module(images), labels)

        def run(batch: tuple[torch.Tensor, torch.Tensor]) -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(*batch)
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
