#!/usr/bin/env python3
"""Prints the versions of CPython that uv finds on this machine and the package supports: "3.11 /path", the oldest first."""

import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    requires = re.search(r'^requires-python = ">=(\d+)\.(\d+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert requires is not None, "pyproject.toml says in another way which versions of Python are supported"
    # pyenv keeps its versions where only its own commands look.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    path = os.pathsep.join([os.environ["PATH"], *map(str, sorted(pyenv.glob("*/bin")))])
    command = ["uv", "python", "list", "--only-installed", "--output-format", "json"]
    listed = subprocess.run(
        command, env={**os.environ, "PATH": path}, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout
    found: dict[tuple[int, int], tuple[int, str]] = {}
    for item in json.loads(listed):
        if item["implementation"] == "cpython" and item["variant"] == "default" and "shims" not in item["path"]:
            parts = item["version_parts"]
            minor = (parts["major"], parts["minor"])
            if minor >= tuple(map(int, requires.groups())):
                found[minor] = max(found.get(minor, (-1, "")), (parts["patch"], item["path"]))
    for (major, minor), (_, executable) in sorted(found.items()):
        print(f"{major}.{minor} {executable}")


if __name__ == "__main__":
    main()
