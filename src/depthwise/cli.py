"""`depthwise` on the command line: the application, and what becomes of an error.

Nothing heavy is imported here, so that `depthwise --help` is quick; each command imports what it needs when it runs.

Exit codes: 0 done; 1 a failure at work (a full disk); 2 a wrong argument, file or data; 130 stopped by Ctrl-C.
"""

import contextlib
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from depthwise import __version__
from depthwise.commands import bench, compare, evaluate, predict, summary, train
from depthwise.errors import (
    DepthwiseError,
    InvalidArgumentError,
    InvalidDataError,
    InvalidFileError,
    UnsupportedError,
    describe_value,
)
from depthwise.explain import command as explain

__all__ = ["app", "main"]

FAILURE, WRONG_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
_WRONG_INPUT = (InvalidArgumentError, InvalidDataError, InvalidFileError, UnsupportedError)


class _Commands(TyperGroup):
    """All commands, with one sentence on stderr for every error that is not a bug of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except DepthwiseError as error:
            _fail(str(error), WRONG_INPUT if isinstance(error, _WRONG_INPUT) else FAILURE)
        except KeyboardInterrupt:
            _fail("stopped", INTERRUPTED)
        except BrokenPipeError:
            # The reader (head, less) has seen enough. What is still buffered has nowhere to go.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except MemoryError:
            _fail("there is not enough memory for this; try a smaller --batch-size or less data", FAILURE)
        except OSError as error:
            _fail(f"{error.strerror or 'the system failed'}: {describe_value(str(error.filename), 200)}", FAILURE)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"depthwise: {message}", err=True)
    raise typer.Exit(code) from None


app = typer.Typer(
    name="depthwise",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"depthwise {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Explain, compare, train and run convolutional networks on the CPU.

    Start with: depthwise compare
    """


for _module in (compare, explain, train, evaluate, predict, summary, bench):
    _module.register(app)


def main() -> None:
    """The entry point of the `depthwise` command."""
    app()
