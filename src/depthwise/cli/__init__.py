"""The command line, a file a command."""

from depthwise.cli.main import app, main

__all__ = ["app", "main"]
