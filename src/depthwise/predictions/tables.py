"""Rows of results as a file: JSON, CSV or Parquet, written while they come, and in place only when all of them are there."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.files import atomic_write
from depthwise.pictures import Reading
from depthwise.predictions.rows import Rows, names_of

__all__ = ["TABLE_SUFFIXES", "check_table", "json_rows", "write_table"]

ROW_GROUP = 65_536
"""Rows of a group in a Parquet file, so that its bytes do not follow from how the rows came."""

Writer = Callable[[BinaryIO, Iterable[Rows], Reading, int, int], None]


def check_table(path: str | os.PathLike[str]) -> None:
    """Whether such a file can be written.

    Raises:
        InvalidArgumentError: another ending than those of `TABLE_SUFFIXES`.
        UnsupportedError: Parquet, and pyarrow is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InvalidArgumentError(
            f"the name of the table must end in {', '.join(TABLE_SUFFIXES)}, got {describe_value(os.fspath(path), 200)}"
        )
    if suffix == ".parquet":
        _pyarrow()


def write_table(
    path: str | os.PathLike[str], batches: Iterable[Rows], reading: Reading, columns: int, top: int
) -> None:
    """Writes the rows as they come. The file appears under its name when it is whole, and not at all if anything fails.

    Args:
        columns: scores of a sample. top: how many of them a row shows.

    Raises:
        InvalidArgumentError, UnsupportedError, DepthwiseError: see `check_table` and `depthwise.files.atomic_write`.
    """
    check_table(path)
    write = TABLE_SUFFIXES[Path(path).suffix.lower()]
    atomic_write(path, lambda file: write(file, batches, reading, columns, top))


def json_rows(rows: Rows, reading: Reading, columns: int) -> Iterator[dict[str, Any]]:
    """Each row as plain data."""
    names = names_of(reading, columns)
    lists = zip(rows.files, rows.indices, rows.classes.tolist(), rows.scores.tolist(), rows.errors)
    for file, index, classes, scores, error in lists:
        found = [] if error else zip(classes, scores)
        yield {
            "file": file,
            "index": index,
            "predictions": [
                {"class": number, "name": names[number] or None, "score": score} for number, score in found
            ],
            "scale": reading.scale,
            "scale_from": reading.scale_from,
            "names_from": reading.names_from or None,
            **({"error": error} if error else {}),
        }


def _write_json(file: BinaryIO, batches: Iterable[Rows], reading: Reading, columns: int, top: int) -> None:
    separator = b"[\n"
    for rows in batches:
        for facts in json_rows(rows, reading, columns):
            try:
                line = json.dumps(facts, ensure_ascii=False, allow_nan=False).encode()
            except UnicodeEncodeError:  # a file's name that is not UTF-8
                line = json.dumps(facts, allow_nan=False).encode()
            file.write(separator + line)
            separator = b",\n"
    file.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _headings(columns: int, top: int) -> list[str]:
    ranks = range(1, min(columns, top) + 1)
    return [f"{name}_{rank}" for rank in ranks for name in ("class", "name", "score")]


def _write_csv(file: BinaryIO, batches: Iterable[Rows], reading: Reading, columns: int, top: int) -> None:
    names = names_of(reading, columns)
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=False)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "index", *_headings(columns, top), "changes", "error"])
    for rows in batches:
        lists = zip(rows.files, rows.indices, rows.classes.tolist(), rows.scores.tolist(), rows.changes, rows.errors)
        for path, index, classes, scores, changes, error in lists:
            cells: list[Any] = [path, "" if index is None else index]
            for number, score in zip(classes, scores):
                cells += ["", "", ""] if error else [number, names[number], score]
            table.writerow([*cells, " ".join(changes), error])
    text.flush()
    text.detach()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UnsupportedError(
            "Parquet needs the package pyarrow: install it with pip install 'depthwise[parquet]', or write a .csv or .json file"
        ) from None
    return pyarrow


def _write_parquet(file: BinaryIO, batches: Iterable[Rows], reading: Reading, columns: int, top: int) -> None:
    arrow = _pyarrow()
    kinds = {"class": arrow.int32(), "name": arrow.string(), "score": arrow.float32()}
    fields = [arrow.field("file", arrow.string()), arrow.field("index", arrow.int64())]
    fields += [arrow.field(name, kinds[name.partition("_")[0]]) for name in _headings(columns, top)]
    fields += [arrow.field("changes", arrow.string()), arrow.field("error", arrow.string())]
    facts = {"scale": reading.scale, "scale_from": reading.scale_from, "names_from": reading.names_from}
    schema = arrow.schema(fields, {key: _valid(value) for key, value in facts.items()})
    names = [_valid(name) or None for name in names_of(reading, columns)]
    waiting: list[Any] = []
    with arrow.parquet.ParquetWriter(file, schema) as writer:
        for rows in batches:
            waiting.append(_table(arrow, schema, rows, names))
            if sum(map(len, waiting)) >= ROW_GROUP:
                whole = arrow.concat_tables(waiting).combine_chunks()
                full = len(whole) // ROW_GROUP * ROW_GROUP
                writer.write_table(whole.slice(0, full), row_group_size=ROW_GROUP)
                waiting = [whole.slice(full)]
        if sum(map(len, waiting)):
            writer.write_table(arrow.concat_tables(waiting).combine_chunks(), row_group_size=ROW_GROUP)


def _table(arrow: Any, schema: Any, rows: Rows, names: list[str | None]) -> Any:
    fails = [bool(error) for error in rows.errors]
    arrays: list[Any] = [[_valid(path) for path in rows.files], rows.indices]
    for rank in range(rows.classes.shape[1]):
        numbers = rows.classes[:, rank]
        named = [None if fail else names[number] for fail, number in zip(fails, numbers.tolist())]
        arrays.append(arrow.array(numbers, mask=rows.classes[:, rank] < 0))
        arrays.append(named)
        arrays.append(arrow.array(rows.scores[:, rank], mask=rows.classes[:, rank] < 0))
    arrays += [[" ".join(changes) for changes in rows.changes], [_valid(error) or None for error in rows.errors]]
    made = [
        arrow.array(array, field.type) if isinstance(array, list) else array for array, field in zip(arrays, schema)
    ]
    return arrow.Table.from_arrays(made, schema=schema)


def _valid(text: str) -> str:
    """The text with escapes for what is not Unicode, as names of files may hold."""
    return text.encode("utf-8", "backslashreplace").decode()


TABLE_SUFFIXES: dict[str, Writer] = {".json": _write_json, ".csv": _write_csv, ".parquet": _write_parquet}
"""How a table is written, by the ending of the file's name."""
