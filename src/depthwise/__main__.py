"""`python -m depthwise`: the same as the command `depthwise`."""

from depthwise.cli import main

main()
