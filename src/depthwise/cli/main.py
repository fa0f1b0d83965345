"""`depthwise` on the command line: the application, and how errors are reported.

Nothing heavy is imported here, so that `depthwise --help` is quick; each command imports what it needs when it runs.

Exit codes: 0 done; 1 a failure at work (a full disk); 2 a wrong argument, file or data; 130 stopped by Ctrl-C; 141 the
reader of the output left before its end.
"""

import inspect
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from depthwise import __version__
from depthwise.cli import bench, check, compare, evaluate, explain, predict, summary, train
from depthwise.cli.options import say, tell
from depthwise.cli.streams import guard_streams
from depthwise.cli.wrong import sentence
from depthwise.errors import (
    DepthwiseError,
    InvalidArgumentError,
    InvalidDataError,
    InvalidFileError,
    UnsupportedError,
    describe_value,
)

__all__ = ["app", "main"]

FAILURE, WRONG_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]  # typer has a copy of click, without a public name
_WRONG_INPUT = (InvalidArgumentError, InvalidDataError, InvalidFileError, UnsupportedError)


class _Commands(TyperGroup):
    """All commands, with one sentence on stderr for every error that is not a bug of ours."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for command in self.commands.values():
            command.help = _paragraphs(command.help or "")
            for parameter in command.params:
                _simplify(parameter)
            setattr(command, "get_help_option", partial(_help_option, command.get_help_option))  # noqa: B010 - a method

    def get_params(self, ctx: Any) -> list[Any]:
        """With --help and the shell's completion, which typer adds late."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            _simplify(parameter)
        return parameters

    def main(  # type: ignore[override]
        self, args: Any = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """As typer's, but for how it shows errors."""
        given = _help_as_option(sys.argv[1:] if args is None else list(args))
        if not standalone_mode:
            return super().main(given, standalone_mode=False, **extra)
        try:
            code = super().main(given, standalone_mode=False, **extra)
        except _ClickException as error:
            say(f"depthwise: {sentence(error, given)}")
            code = WRONG_INPUT
        except typer.Abort:
            code = FAILURE
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DepthwiseError as error:
            message = _as_typed(str(error), self.commands.get(ctx.invoked_subcommand or ""))
            _fail(message, WRONG_INPUT if isinstance(error, _WRONG_INPUT) else FAILURE)
        except KeyboardInterrupt:
            _fail("stopped", INTERRUPTED)
        except MemoryError:
            _fail("there is not enough memory for this; try a smaller --batch-size or less data", FAILURE)
        except OSError as error:
            place = "" if error.filename is None else f": {describe_value(str(error.filename), 200)}"
            _fail(f"{error.strerror or 'the system failed'}{place}", FAILURE)


def _help_option(made: Callable[[Any], Any], context: Any) -> Any:
    """The option --help, which typer makes anew for each context, as `_simplify` shows it."""
    option = made(context)
    if option is not None:
        _simplify(option)
    return option


def _help_as_option(arguments: list[str]) -> list[str]:
    """`depthwise help` and `depthwise help train` as `depthwise --help` and `depthwise train --help`."""
    return [*arguments[1:2], "--help"] if arguments[:1] == ["help"] else arguments


def _paragraphs(text: str) -> str:
    """A docstring whose paragraphs are one line each: the terminal says where they wrap."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in parts)


def _simplify(parameter: Any) -> None:
    """What help shows for a value: N, X, PATH or nothing, where typer writes the name of Python's type."""
    if parameter.param_type_name == "argument":
        parameter.metavar = parameter.name.upper()
        parameter.display_type_rich = lambda ctx: None  # the help says what it is
    elif parameter.metavar is None:
        kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        shown: dict[Any, str] = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH"}
        parameter.metavar = "" if getattr(parameter, "is_flag", False) else shown.get(kind)


def _as_typed(message: str, command: Any) -> str:
    """The message with the argument that it begins with, such as `batch_size must be …`, named as the command's option."""
    name = re.match(r"(\w+)(?= must |=)", message)
    for parameter in [] if name is None or command is None else command.params:
        option = next((item for item in parameter.opts if item.startswith("--")), None)
        if name is not None and option is not None and parameter.name == name[1]:
            return f"{option}{message[name.end() :]}"
    return message


def _fail(message: str, code: int) -> NoReturn:
    say(f"depthwise: {message}")
    raise typer.Exit(code) from None


app = typer.Typer(
    name="depthwise",
    cls=_Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"depthwise {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Explain, compare, train and run convolutional networks on the CPU.

    Start with: depthwise compare
    """
    if context.invoked_subcommand is None:
        from depthwise.messages import language_of_environment, text

        for line in text("terminal.greeting", language_of_environment(), version=__version__).split("\n"):
            tell(line)


for _module in (compare, explain, train, evaluate, predict, summary, check, bench):
    _module.register(app)


def main() -> None:
    """The entry point of the `depthwise` command."""
    output = guard_streams()
    code: Any = 0
    try:
        app()
    except SystemExit as leaving:
        code = leaving.code
    sys.stdout.flush()
    if output is not None and output.failure is not None:
        if not output.is_pipe_closed:
            reason = output.failure.strerror or "the system failed"
            print(f"depthwise: the output could not be printed: {reason}; send it to another place", file=sys.stderr)
        code = code or (PIPE_CLOSED if output.is_pipe_closed else FAILURE)
    sys.exit(code)
