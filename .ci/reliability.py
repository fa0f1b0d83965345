"""Writes the tables of docs/reliability.md: what is promised, which tests try it, how often they did, how often it failed.

    .ci/reliability.py record          runs those tests, quick ones and sweeps, and writes docs/reliability.json and the tables
    .ci/reliability.py record "not sweep and not long" [FILE ...]     the same with other tests of these files
    .ci/reliability.py record long [FILE ...]     adds what the tests tried that are run by hand
    .ci/reliability.py write           writes the tables from what was recorded

The promise of a test file is its first paragraph, after "Promise:". No figure is written by hand: those of the tests come from the run,
those of the fuzzer from tests/fuzz/corpus/runs.json.
"""

import ast
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT, RECORD = ROOT / "docs" / "reliability.md", ROOT / "docs" / "reliability.json"
FUZZED = ROOT / "tests" / "fuzz" / "corpus" / "runs.json"
MARK = "Promise:"
Record = dict[str, dict[str, Any]]
NOTHING = {"tests": 0, "tried": 0, "failed": 0}
ALSO = (
    "tests/data/test_files.py",
    "tests/formats/test_hdf5.py",
    "tests/formats/test_hostile.py",
    "tests/formats/test_hostile_older.py",
    "tests/models/test_concurrent_predict.py",
    "tests/models/test_first_predict.py",
    "tests/native/test_buffers.py",
    "tests/native/test_cache.py",
    "tests/native/test_process_life.py",
    "tests/native/test_threads.py",
    "tests/native_models/test_same_bits.py",
    "tests/onnx_files/test_onnx_hostile.py",
    "tests/optimizers/test_resumed_optimizers.py",
    "tests/utils/test_get_file.py",
)
"""Files that keep a promise without saying the word: their first paragraph tells which."""


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in ("record", "write"):
        sys.exit(__doc__)
    if command == "record":
        record(sys.argv[2] if len(sys.argv) > 2 else "not long", sys.argv[3:] or list(promises()))
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def record(marks: str, files: list[str]) -> None:
    """Runs tests and puts what they counted in the place of what was recorded of the same files."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "record.json"
        options = ["-q", "-m", marks, "--record-reliability", str(new)]
        code = subprocess.run([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, check=False).returncode
        if code not in (0, 1):
            sys.exit(code)
        counted = json.loads(new.read_text(encoding="utf-8"))
    before = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    kept = {name: counts for name, counts in sorted(merged(before, counted, marks).items()) if name in promises()}
    RECORD.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def merged(before: Record, counted: Record, marks: str) -> Record:
    """What was recorded, with the new counts in the place of those of the same files; the long tests have a place of their own."""
    found = dict(before)
    for name, counts in counted.items():
        if marks == "long":
            found[name] = {**NOTHING, **found.get(name, {}), "long": counts}
        else:
            long = found.get(name, {}).get("long")
            found[name] = counts if long is None else {**counts, "long": long}
    return found


def promises() -> dict[str, str]:
    """What the tests of a file keep, by the file's path."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = path.relative_to(ROOT).as_posix()
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if text.startswith(MARK) or name in ALSO:
            found[name] = " ".join(text.removeprefix(MARK).partition("\n\n")[0].split()).rstrip(".")
    return found


def written(text: str) -> str:
    """The document with its tables as they should be."""
    for name, table in (("tests", of_tests()), ("fuzzer", of_fuzzer())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        text = re.sub(
            re.escape(begin) + ".*?" + re.escape(end), lambda _, t=begin + table + end: t, text, flags=re.DOTALL
        )
    return text


def of_tests() -> str:
    recorded: Record = json.loads(RECORD.read_text(encoding="utf-8"))
    rows = [
        (
            text[:1].lower() + text[1:] if text.split()[0].istitle() else text,
            name,
            recorded[name],
        )
        for name, text in promises().items()
        if name in recorded
    ]
    of_all = {
        key: sum(count[key] for *_, count in rows) + sum(count.get("long", NOTHING)[key] for *_, count in rows)
        for key in ("tried", "failed")
    }
    lines = []
    for text, name, count in rows:
        long = count.get("long", NOTHING)
        by_hand = f"{long['tried']:,}" if long["tried"] else ""
        lines.append(f"| {text} | `{name}` | {count['tried']:,} | {by_hand} | {count['failed'] + long['failed']:,} |")
    total = [f"| **all** | {len(rows)} files | {of_all['tried']:,} | | {of_all['failed']:,} |"]
    return (
        "\n".join(["| promise | tests | tried | tried by hand | failed |", "|---|---|---|---|---|", *lines, *total])
        + "\n"
    )


def of_fuzzer() -> str:
    counted: dict[str, dict[str, Any]] = json.loads(FUZZED.read_text(encoding="utf-8"))
    names = ("runs", "read", "refused", "failed")
    lines = [
        f"| `{name}` | " + " | ".join(f"{count[key]:,}" for key in names) + " |"
        for name, count in sorted(counted.items())
    ]
    total = "| **all** | " + " | ".join(f"{sum(count[key] for count in counted.values()):,}" for key in names) + " |"
    return "\n".join([f"| reader | {' | '.join(names)} |", "|---|---|---|---|---|", *lines, total]) + "\n"


if __name__ == "__main__":
    main()
