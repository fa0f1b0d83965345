"""Fuzzes the readers of files, guided by coverage: for hours if wanted, outside of the tests.

    cd tests && uv run --group test --with "atheris>=3,<4" python -m fuzz.run --seconds 600 --keep /tmp/fuzz

Each reader has a process of its own for an equal share of the time; `--keep` is the folder with the inputs that reached new code,
those that failed, and `runs.json`, which counts. A later call with the same folder goes on from there. `python -m fuzz.keep` takes
the inputs into the repository's corpus.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

SLOWEST_SECONDS = 1.0
MOST_MEMORY = 256 * 2**20
LARGEST_INPUT = 1 << 18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help="their names; all by default")
    parser.add_argument("--seconds", type=float, default=600, help="for all of them together")
    parser.add_argument("--keep", type=Path, required=True, help="a folder, made where missing")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        fuzz(arguments.readers[0], arguments.keep, int(arguments.seconds))
        return
    from .readers import READERS

    names = arguments.readers or list(READERS)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    for name in names:
        command = [sys.executable, "-m", "fuzz.run", name, "--one", "--keep", str(arguments.keep)]
        with (arguments.keep / f"{name}.log").open("w") as log:  # what atheris and libFuzzer have to say
            subprocess.run(
                [*command, "--seconds", str(max(1, arguments.seconds / len(names)))], check=False, stderr=log
            )
        print(json.dumps({name: counts(arguments.keep).get(name)}), flush=True)


def counts(keep: Path) -> dict[str, dict[str, Any]]:
    """What was run so far, by reader."""
    path = keep / "runs.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def fuzz(name: str, keep: Path, seconds: int) -> None:
    """Runs one reader; does not return."""
    import atheris

    with atheris.instrument_imports(
        include=["depthwise.data", "depthwise.network", "depthwise.layers", "depthwise.training"]
    ):
        from .readers import READERS
    reader = READERS[name]
    corpus, failures = keep / "corpus" / name, keep / "failures"
    for folder in (corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    seeds, inside = work / "seeds", work / "around" / "in"
    seeds.mkdir()
    inside.mkdir(parents=True)
    good = reader.seeds(seeds)
    for number, content in enumerate(good):
        (corpus / f"seed{number}").write_bytes(content)
    before = counts(keep)
    count = {"runs": 0, "read": 0, "refused": 0, "failed": 0, "seconds": 0.0} | before.get(name, {})
    seen: dict[str, int] = {}
    started, base = time.process_time(), count["seconds"]

    def record() -> None:
        count["seconds"] = round(base + time.process_time() - started, 1)
        temporary = keep / f"runs.{os.getpid()}"
        temporary.write_text(json.dumps(counts(keep) | {name: count}, indent=1))
        temporary.replace(keep / "runs.json")

    def failed(kind: str, data: bytes, text: str) -> None:
        count["failed"] += 1
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= 3:
            stem = f"{name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}-{seen[kind]}"
            (failures / stem).write_bytes(data)
            (failures / f"{stem}.txt").write_text(f"{kind}\n{text}")
            print(f"FAILED {stem}: {kind}", flush=True)

    def one(data: bytes) -> None:
        count["runs"] += 1
        if count["runs"] % 500 == 0:
            record()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        try:
            error = reader.run(data, inside)
        except Exception as raised:
            last = traceback.extract_tb(raised.__traceback__)
            own = next((frame for frame in reversed(last) if "/depthwise/" in frame.filename), last[-1])
            failed(f"{type(raised).__name__} {Path(own.filename).name}:{own.lineno}", data, traceback.format_exc())
            return
        spent = time.process_time() - start
        count["read" if error is None else "refused"] += 1
        if error is not None and not (str(error).isprintable() and len(str(error)) < 2000):
            failed(f"message of {type(error).__name__}", data, str(error))
        if spent > SLOWEST_SECONDS:
            failed("slow", data, f"{spent} s")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        if grown * 1024 > MOST_MEMORY:
            failed("memory", data, f"{grown} KiB")

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.randrange(4) == 0:
            changed: bytes = atheris.Mutate(data, most)
        else:  # a good file every third time: what reached new code is mostly refused early
            changed = reader.change(data if rng.randrange(3) else rng.choice(good), rng)
        return changed if 0 < len(changed) <= most else data[:most]

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST_INPUT}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-print_final_stats=0",
    ]
    atheris.Setup(
        [sys.argv[0], *options, "-verbosity=0", f"-artifact_prefix={failures}/{name}-stopped-", str(corpus)],
        one,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
