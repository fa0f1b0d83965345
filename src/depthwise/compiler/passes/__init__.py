"""The passes: each takes a program and gives one that computes the same with less work.

`PREDICTION`, `TRAINING` and `GRADIENTS` list them in the order in which they run: on a program to predict with, and before and
after `differentiate` on one to train.
"""

from collections.abc import Callable

from depthwise.compiler.ir.program import Program
from depthwise.compiler.ir.verify import verify
from depthwise.compiler.passes.crop import crop_unread
from depthwise.compiler.passes.depthwise import use_depthwise
from depthwise.compiler.passes.fold import fold_batch_normalization
from depthwise.compiler.passes.fuse import (
    compose_elementwise,
    fuse_activation,
    fuse_activation_for_training,
    pool_before_activation,
)
from depthwise.compiler.passes.gradients import choose_transposed, fuse_slope_and_sum, sum_before_pooling
from depthwise.compiler.passes.normalise import expand_batch_normalization
from depthwise.compiler.passes.padding import fold_padding, fold_padding_for_training
from depthwise.compiler.passes.transposes import cancel_transposes
from depthwise.compiler.passes.unused import drop_unused

__all__ = ["GRADIENTS", "PREDICTION", "TRAINING", "Pass", "run_passes"]

Pass = Callable[[Program], Program]

PREDICTION: tuple[Pass, ...] = (
    cancel_transposes,
    drop_unused,
    use_depthwise,
    fold_batch_normalization,
    pool_before_activation,
    fuse_activation,
    compose_elementwise,
    fold_padding,
    crop_unread,
    choose_transposed,
)

TRAINING: tuple[Pass, ...] = (
    cancel_transposes,
    drop_unused,
    use_depthwise,
    pool_before_activation,
    fuse_activation_for_training,
    fold_padding_for_training,
    crop_unread,
)

GRADIENTS: tuple[Pass, ...] = (
    sum_before_pooling,
    fuse_slope_and_sum,
    choose_transposed,
    expand_batch_normalization,
    drop_unused,
)


def run_passes(program: Program, passes: tuple[Pass, ...], after: str = "lower") -> Program:
    """The program after all `passes`, verified before the first and after each."""
    verify(program, after)
    for rewrite in passes:
        program = verify(rewrite(program), rewrite.__name__)
    return program
