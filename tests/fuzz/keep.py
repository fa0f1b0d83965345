"""Takes what `run.py` found into the repository: `cd tests && uv run --group test python -m fuzz.keep /tmp/fuzz`.

For each reader the smallest of the files that reached new code, all that failed, and `runs.json` with the counts of all runs.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from .corpus import FAILED, FOLDER, store, stored
from .readers import READERS

MOST_FILES, MOST_BYTES = 20, 40_000
"""Of one reader: 19 of them stay far below 2 MB together, and are read in seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keep", type=Path, help="the folder of run.py")
    keep = parser.parse_args().keep
    for name in READERS:
        files = {member: content for member, content in stored(name).items() if member.startswith(FAILED)}
        failures = [path for path in (keep / "failures").glob(f"{name}-*") if path.suffix != ".txt"]
        files |= {f"{FAILED}{path.name.removeprefix(f'{name}-')}": path.read_bytes() for path in failures}
        size = 0
        reached = sorted((keep / "corpus" / name).glob("*"), key=lambda path: (path.stat().st_size, path.name))
        for number, path in enumerate(reached[:MOST_FILES]):
            size += path.stat().st_size
            if size > MOST_BYTES:
                break
            files[f"reached-{number:03}"] = path.read_bytes()
        if files:
            store(name, files)
    add_runs(json.loads((keep / "runs.json").read_text(encoding="utf-8")))


def add_runs(counted: dict[str, dict[str, Any]]) -> None:
    """Replaces the counts in the repository."""
    text = json.dumps(dict(sorted(counted.items())), indent=1) + "\n"
    (FOLDER / "runs.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
