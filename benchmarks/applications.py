"""Every network of keras.applications, opened and predicted with: correct to how many digits, in which time, with how much memory.

    python benchmarks/applications.py --rows rows.jsonl --table benchmarks/applications.md
    python benchmarks/applications.py --networks MobileNetV2 Xception --size 0
    python benchmarks/applications.py --files folder --prepare; python benchmarks/applications.py --files folder --rows rows.jsonl

For each network a process of its own lets Keras make it, with random weights and statistics, write its files and predict; then
Depthwise opens the `.keras` file in a new process, with an empty compile cache, and once more with the filled one. Rows that are in
the file of rows already are not measured again, so a run can go on where another stopped. With a folder for the files, Keras' part, which
takes most of the time, can be done before, and only Depthwise's needs a machine that does nothing else.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
HEAD = (
    "network", "image", "parameters (million)", "file (MB)", "open (s)", "first prediction, empty cache (s)",
    "first prediction, filled cache (s)", "memory (MB)", "largest difference: .keras", ".h5", "live",
)  # fmt: skip


def made_by_keras(name: str, size: int, folder: Path) -> dict[str, Any]:
    """In a process with Keras: files, what Keras predicts, and how near Depthwise comes from `.h5` and from the live model."""
    os.environ["KERAS_BACKEND"] = "jax"
    sys.path.insert(0, str(ROOT / "tests"))
    import depthwise
    from support.keras_applications import application, picture

    model = application(name, size)
    x = picture(name, model.input_shape[1:], 1)
    expected = np.asarray(model.predict(x, verbose=0))
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    np.savez(folder / "pair.npz", x=x, expected=expected)
    row = {"network": name, "image": "×".join(map(str, x.shape[1:3])), "parameters": model.count_params()}
    forms: dict[str, Callable[[], Any]] = {
        "live": lambda: depthwise.from_keras(model),
        "h5": lambda: depthwise.load_model(folder / "model.h5"),
    }
    for form, load in forms.items():
        row[form] = difference(load().predict(x, verbose=0), expected)
    return row


def opened(folder: Path) -> dict[str, Any]:
    """In a process without Keras: times and memory of the first prediction."""
    import depthwise

    with np.load(folder / "pair.npz") as pair:
        x, expected = pair["x"], pair["expected"]
    start = time.perf_counter()
    model = depthwise.load_model(folder / "model.keras")
    loaded = time.perf_counter()
    y = model.predict(x, verbose=0)
    done = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"load": loaded - start, "first": done - loaded, "memory": memory, "keras": difference(y, expected)}


def difference(y: np.ndarray, expected: np.ndarray) -> float:
    """The largest one, relative to the largest value."""
    return float(np.abs(y - expected).max() / np.abs(expected).max())


def child(cache: Path, *words: str) -> dict[str, Any]:
    """What this file prints as a process of its own."""
    result = subprocess.run(
        [sys.executable, __file__, *words],
        env={**os.environ, "DEPTHWISE_CACHE_DIR": str(cache)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def prepared(name: str, size: int, folder: Path) -> dict[str, Any]:
    """Keras' files in `folder`, made unless they are there, and the part of the row that Keras' process finds."""
    path = folder / "row.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        row = child(folder / "theirs", "--make", name, str(size), str(folder))
        path.write_text(json.dumps(row | {"bytes": (folder / "model.keras").stat().st_size}), encoding="utf-8")
        (folder / "model.h5").unlink()  # compared already
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measured(name: str, size: int, folder: Path) -> dict[str, Any]:
    """One row, from three processes."""
    row = prepared(name, size, folder)
    with tempfile.TemporaryDirectory() as cache:
        empty, filled = (child(Path(cache), "--open", str(folder)) for _ in range(2))
    return row | empty | {"filled": filled["first"], "size": size}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for row in sorted(rows, key=lambda row: (row["network"], row["image"])):
        cells = [
            row["network"], row["image"], f"{row['parameters'] / 1e6:.1f}", f"{row['bytes'] / 1e6:.0f}", f"{row['load']:.2f}",
            f"{row['first']:.2f}", f"{row['filled']:.2f}", f"{row['memory']}",
            *(f"{row[form]:.1e}" for form in ("keras", "h5", "live")),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; a last line that was cut off while it was written is taken out of it."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", help="names in keras.applications; all by default")
    parser.add_argument("--size", type=int, default=0, help="of the images; 0 for the smallest that a network takes")
    parser.add_argument("--rows", type=Path, help="a file of rows, one JSON object a line, to go on with")
    parser.add_argument("--table", type=Path, help="where to write the table")
    parser.add_argument(
        "--files", type=Path, help="where Keras' files are kept, several gigabytes; by default they are dropped"
    )
    parser.add_argument("--prepare", action="store_true", help="only make Keras' files")
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        name, size, place = arguments.make
        print(json.dumps(made_by_keras(name, int(size), Path(place))))
        return
    if arguments.open:
        print(json.dumps(opened(arguments.open)))
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from support.keras_applications import NAMES

    rows = whole_rows(arguments.rows) if arguments.rows else []
    for name in arguments.networks or NAMES:
        if any(row["network"] == name and row.get("size") == arguments.size for row in rows):
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = (arguments.files or Path(place)) / f"{name}_{arguments.size}"
            if arguments.prepare:
                print(json.dumps(prepared(name, arguments.size, folder)), flush=True)
                continue
            rows.append(measured(name, arguments.size, folder))
        print(json.dumps(rows[-1]), flush=True)
        if arguments.rows:
            with arguments.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
        if arguments.table:
            arguments.table.write_text(table(rows), encoding="utf-8")
    if arguments.table:
        arguments.table.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
