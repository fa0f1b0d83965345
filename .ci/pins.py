#!/usr/bin/env python3
"""Compares the versions pinned in pyproject.toml with those that its dependencies need.

    .ci/pins.py             fails if a package of the runtime, test, lint or docs group is not pinned, or pinned without need
    .ci/pins.py --update    resolves anew, newest versions first, and rewrites the pins

The pins are `constraint-dependencies` of `[tool.uv]` and not a lock file: a lock file records where each file was
downloaded from, which differs from place to place.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
PINS = re.compile(r"constraint-dependencies = \[\n.*?^\]\n", re.DOTALL | re.MULTILINE)
EXPORT = ["uv", "export", "--quiet", "--no-hashes", "--no-annotate", "--no-header", "--no-emit-project"]
GROUPS = ["--group", "test", "--group", "lint", "--group", "docs"]


def resolved(text: str) -> list[str]:
    """What a project with this pyproject.toml needs, as sorted requirements with exact versions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")
        (folder / "README.md").touch()
        (folder / "LICENSE").touch()
        environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        lines = subprocess.run(
            [*EXPORT, *GROUPS], cwd=folder, env=environment, check=True, capture_output=True, text=True
        ).stdout.splitlines()
    return sorted(line.strip() for line in lines if line.strip())


def main() -> int:
    text = PROJECT.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--update"]:
        lines = "".join(f'    "{line}",\n' for line in resolved(PINS.sub("", text)))
        block = f"constraint-dependencies = [\n{lines}]\n"
        PROJECT.write_text(PINS.sub(lambda _: block, text), encoding="utf-8")
        return 0
    pinned = set(tomllib.loads(text)["tool"]["uv"]["constraint-dependencies"])
    needed = set(resolved(text))
    for line in sorted(needed - pinned):
        print(f"not pinned in pyproject.toml: {line}")
    for line in sorted(pinned - needed):
        print(f"pinned in pyproject.toml, but not needed: {line}")
    if needed != pinned:
        print("run `.ci/pins.py --update` and commit the result")
    return int(needed != pinned)


if __name__ == "__main__":
    sys.exit(main())
