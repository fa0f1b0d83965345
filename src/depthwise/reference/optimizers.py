"""One step of each of Keras 3's optimizers, in float64.

The order is Keras': the gradients are clipped, then the weights decay by lr · weight_decay (decoupled: Loshchilov and Hutter
2019, arXiv:1711.05101), then the update is taken. `t` counts steps from 1.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.reference.forward import float64
from depthwise.reference.windows import Array

__all__ = ["clip", "is_matrix", "orthogonalised", "step"]

State = dict[str, Array]


def clip(optimizer: Any, gradients: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """The gradients cut down: each to norm `clipnorm`, or all together to `global_clipnorm`, or each value to `clipvalue`.

    As in Keras the first of the three that is set is the one that is applied.
    """
    exact = {name: float64(gradient) for name, gradient in gradients.items()}
    if optimizer.clipnorm:
        limit = optimizer.clipnorm
        return {name: g * limit / max(float(np.sqrt((g**2).sum())), limit) for name, g in exact.items()}
    if optimizer.global_clipnorm:
        limit = optimizer.global_clipnorm
        norm = float(np.sqrt(sum(float((g**2).sum()) for g in exact.values())))
        return {name: g * limit / max(norm, limit) for name, g in exact.items()}
    if optimizer.clipvalue:
        return {name: np.clip(g, -optimizer.clipvalue, optimizer.clipvalue) for name, g in exact.items()}
    return exact


def _sgd(optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int) -> tuple[Array, State]:
    if optimizer.momentum == 0.0:
        return w - lr * g, {}
    velocity = optimizer.momentum * state("momentum") - lr * g
    change = optimizer.momentum * velocity - lr * g if optimizer.nesterov else velocity
    return w + change, {"momentum": velocity}


def _rmsprop(
    optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int
) -> tuple[Array, State]:
    rho = optimizer.rho
    after = {"velocity": rho * state("velocity") + (1.0 - rho) * g**2}
    spread = after["velocity"]
    if optimizer.centered:
        after["average_gradient"] = rho * state("average_gradient") + (1.0 - rho) * g
        spread = spread - after["average_gradient"] ** 2
    change = lr * g / np.sqrt(spread + optimizer.epsilon)
    if optimizer.momentum > 0.0:
        change = after["momentum"] = optimizer.momentum * state("momentum") + change
    return w - change, after


def _adam(optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int) -> tuple[Array, State]:
    after = {
        "momentum": state("momentum") + (1.0 - optimizer.beta_1) * (g - state("momentum")),
        "velocity": state("velocity") + (1.0 - optimizer.beta_2) * (g**2 - state("velocity")),
    }
    spread = after["velocity"]
    if getattr(optimizer, "amsgrad", False):
        spread = after["velocity_hat"] = np.maximum(state("velocity_hat"), spread)
    # Both bias corrections are in the step size, so epsilon is beside the uncorrected root.
    rate = lr * np.sqrt(1.0 - optimizer.beta_2**t) / (1.0 - optimizer.beta_1**t)
    return w - rate * after["momentum"] / (np.sqrt(spread) + optimizer.epsilon), after


def _nadam(optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int) -> tuple[Array, State]:
    after = _adam(optimizer, w, g, state, lr, t)[1]

    def share(step: int) -> float:
        return float(optimizer.beta_1 * (1.0 - 0.5 * 0.96**step))

    # The product of all shares so far: Keras keeps it from step to step.
    product = float(np.prod([share(step) for step in range(1, t + 1)]))
    mean = share(t + 1) * after["momentum"] / (1.0 - product * share(t + 1)) + (1.0 - share(t)) * g / (1.0 - product)
    root = np.sqrt(after["velocity"] / (1.0 - optimizer.beta_2**t)) + optimizer.epsilon
    return w - lr * mean / root, after


def _adamax(
    optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int
) -> tuple[Array, State]:
    mean = optimizer.beta_1 * state("momentum") + (1.0 - optimizer.beta_1) * g
    norm = np.maximum(optimizer.beta_2 * state("norm"), np.abs(g))
    change = lr / (1.0 - optimizer.beta_1**t) * mean / (norm + optimizer.epsilon)
    return w - change, {"momentum": mean, "norm": norm}


def _adagrad(
    optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int
) -> tuple[Array, State]:
    start = optimizer.initial_accumulator_value if t == 1 else state("accumulator")
    total = start + g**2
    return w - lr * g / np.sqrt(total + optimizer.epsilon), {"accumulator": total}


def _adadelta(
    optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int
) -> tuple[Array, State]:
    squares = optimizer.rho * state("accumulated_grad") + (1.0 - optimizer.rho) * g**2
    change = np.sqrt((state("accumulated_delta_var") + optimizer.epsilon) / (squares + optimizer.epsilon)) * g
    changes = optimizer.rho * state("accumulated_delta_var") + (1.0 - optimizer.rho) * change**2
    return w - lr * change, {"accumulated_grad": squares, "accumulated_delta_var": changes}


def _ftrl(optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int) -> tuple[Array, State]:
    before = np.full_like(w, optimizer.initial_accumulator_value) if t == 1 else state("accumulator")
    after, power, l1 = before + g**2, -optimizer.learning_rate_power, optimizer.l1_regularization_strength
    linear = state("linear") + g + 2.0 * optimizer.l2_shrinkage_regularization_strength * w
    linear = linear - (after**power - before**power) / lr * w
    steepness = after**power / lr + 2.0 * optimizer.l2_regularization_strength + optimizer.beta / lr
    moved = (np.clip(linear, -l1, l1) - linear) / steepness
    return moved, {"accumulator": after, "linear": linear}


def _lion(optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int) -> tuple[Array, State]:
    direction = optimizer.beta_1 * state("momentum") + (1.0 - optimizer.beta_1) * g
    after = {"momentum": optimizer.beta_2 * state("momentum") + (1.0 - optimizer.beta_2) * g}
    return w - lr * np.sign(direction), after


def _lamb(optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int) -> tuple[Array, State]:
    after = _adam(optimizer, w, g, state, lr, t)[1]
    root = np.sqrt(after["velocity"] / (1.0 - optimizer.beta_2**t)) + optimizer.epsilon
    change = after["momentum"] / (1.0 - optimizer.beta_1**t) / root
    norms = np.sqrt((w**2).sum()), np.sqrt((change**2).sum())
    ratio = norms[0] / norms[1] if all(norms) else 1.0
    return w - ratio * lr * change, after


def _adafactor(
    optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int
) -> tuple[Array, State]:
    rest = t**optimizer.beta_2_decay
    squares = g**2 + optimizer.epsilon_1
    after: State = {}
    if w.ndim >= 2:
        # Their state starts as zeros of the weight's shape, which only the first step sees.
        old = {slot: state(slot) if t > 1 else np.zeros(1) for slot in ("r", "c")}
        after["r"] = (1.0 - rest) * old["r"] + rest * squares.mean(axis=-1)
        after["c"] = (1.0 - rest) * old["c"] + rest * squares.mean(axis=-2)
        rows = after["r"] / after["r"].mean(axis=-1, keepdims=True)
        after["velocity"] = rows[..., None] * after["c"][..., None, :]
    else:
        after["velocity"] = (1.0 - rest) * state("velocity") + rest * squares
    change = g / np.sqrt(after["velocity"])
    change = change / max(1.0, float(np.sqrt((change**2).mean())) / optimizer.clip_threshold)
    size = max(optimizer.epsilon_2, float(np.sqrt((w**2).mean()))) * min(lr, 1.0 / np.sqrt(t))
    return w - size * change, after


def is_matrix(optimizer: Any, name: str, w: Array) -> bool:
    """Whether Muon moves the weight `name` by an orthogonalised step."""
    if w.ndim != 2 or (optimizer.exclude_embeddings and "embedding" in name.lower()):
        return False
    return not any(re.search(pattern, name) for pattern in optimizer.exclude_layers)


def orthogonalised(optimizer: Any, x: Array) -> Array:
    """Newton and Schulz's iteration as Muon has it (Jordan 2024, https://github.com/KellerJordan/Muon)."""
    if x.shape[0] > x.shape[1]:
        return orthogonalised(optimizer, x.T).T
    x = x / (np.sqrt((x**2).sum()) + 1e-7)
    for _ in range(optimizer.ns_steps):
        square = x @ x.T
        x = optimizer.muon_a * x + (optimizer.muon_b * square + optimizer.muon_c * square @ square) @ x
    return x


class _AdamOfMuon:
    """What `_adam` reads, by Muon's names."""

    def __init__(self, muon: Any) -> None:
        self.beta_1, self.beta_2, self.epsilon = muon.adam_beta_1, muon.adam_beta_2, muon.epsilon


def _muon(
    optimizer: Any, w: Array, g: Array, state: Callable[[str], Array], lr: float, t: int, name: str
) -> tuple[Array, State]:
    if not is_matrix(optimizer, name, w):
        return _adam(_AdamOfMuon(optimizer), w, g, state, lr * optimizer.adam_lr_ratio, t)
    momentum = optimizer.momentum * state("momentum") + g
    change = lr * orthogonalised(optimizer, g + optimizer.momentum * momentum if optimizer.nesterov else momentum)
    if optimizer.rms_rate is not None:
        change = change * optimizer.rms_rate * np.sqrt(max(w.shape))
    return w - change, {"momentum": momentum}


_UPDATES: dict[str, Callable[..., tuple[Array, State]]] = {
    "SGD": _sgd,
    "RMSprop": _rmsprop,
    "Adam": _adam,
    "AdamW": _adam,
    "Nadam": _nadam,
    "Adamax": _adamax,
    "Adagrad": _adagrad,
    "Adadelta": _adadelta,
    "Ftrl": _ftrl,
    "Lion": _lion,
    "Lamb": _lamb,
    "Adafactor": _adafactor,
    "Muon": _muon,
}


def step(
    optimizer: Any,
    weights: Mapping[str, npt.ArrayLike],
    gradients: Mapping[str, npt.ArrayLike],
    state: Mapping[str, npt.ArrayLike],
    learning_rate: float,
) -> tuple[dict[str, Array], State]:
    """The weights and the state after one step.

    Args:
        optimizer: a description (or Keras' own optimizer), read by class name and attributes.
        weights, gradients: by `node/weight`; a weight without a gradient stays.
        state: {} at first, later what the last step gave: `iteration`, and `node/weight/momentum`, `…/velocity`,
            `…/average_gradient` and so on, as far as the optimizer has them.
        learning_rate: the one of this step, whatever schedule it comes from.
    """
    t = int(float64(state.get("iteration", 0))) + 1
    after_weights = {name: float64(weight) for name, weight in weights.items()}
    after_state: State = {"iteration": float64(t)}
    for name, gradient in clip(optimizer, gradients).items():
        weight = after_weights[name]
        is_muon = type(optimizer).__name__ == "Muon"
        decay = optimizer.weight_decay
        if is_muon and not is_matrix(optimizer, name, weight):
            decay = optimizer.adam_weight_decay
        if decay is not None:
            weight = weight - learning_rate * decay * weight

        def remembered(slot: str, name: str = name, shape: tuple[int, ...] = weight.shape) -> Array:
            return float64(state.get(f"{name}/{slot}", np.zeros(shape)))

        update = _UPDATES[type(optimizer).__name__]
        own = (name,) if is_muon else ()
        after_weights[name], slots = update(optimizer, weight, gradient, remembered, learning_rate, t, *own)
        after_state.update({f"{name}/{slot}": value for slot, value in slots.items()})
    return after_weights, after_state
