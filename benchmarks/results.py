"""What a run finds out, as frozen dataclasses; `to_json` is the file that `benchmarks/run --json` writes."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 2


@dataclass(frozen=True)
class Work:
    """`predict` or `training` (one step) of a network at a batch; written `note_cnn:predict:256`."""

    network: str
    kind: Literal["predict", "training"]
    batch: int

    @property
    def name(self) -> str:
        """The work as the command line writes it."""
        return f"{self.network}:{self.kind}:{self.batch}"


def parse_work(text: str, networks: list[str]) -> Work:
    """Read `NETWORK:predict|training:BATCH`; raise ValueError with the allowed forms otherwise."""
    match = re.fullmatch(r"(\w+):(predict|training):([1-9]\d*)", text)
    if not match or match[1] not in networks:
        raise ValueError(
            f"{text!r} is not a work. Write NETWORK:predict:BATCH or NETWORK:training:BATCH "
            f"with a network of {', '.join(networks)}."
        )
    return Work(match[1], match[2], int(match[3]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Result:
    """One rival at one work. Times are microseconds an image.

    `microseconds` is the best round's median, `rounds` every round's, `quartiles` the middle half of all runs of all
    rounds. `error` is the largest absolute difference from the reference (probabilities), or the largest relative
    one (losses). `failure` says why there is no time.
    """

    rival: str
    variant: str = ""
    microseconds: float | None = None
    rounds: list[float] = field(default_factory=list)
    quartiles: tuple[float, float] | None = None
    runs: int = 0
    candidates: dict[str, float | str] = field(default_factory=dict)
    error: float | None = None
    deviates: bool = False
    share_of_peak: float | None = None
    failure: str | None = None


@dataclass(frozen=True)
class WorkReport:
    """All rivals at one work. `fastest` names the fastest whose output is right."""

    work: Work
    reference: str
    tolerance: float
    results: list[Result]

    @property
    def fastest(self) -> Result | None:
        """The fastest result that does not deviate."""
        return _fastest(self.results)

    @property
    def fastest_rival(self) -> Result | None:
        """The same without Depthwise."""
        return _fastest([result for result in self.results if result.rival != "depthwise"])


def _fastest(results: list[Result]) -> Result | None:
    timed = [result for result in results if result.microseconds and not result.deviates]
    return min(timed, key=lambda result: result.microseconds or 0, default=None)


@dataclass(frozen=True)
class RivalReport:
    """One rival as a package: versions, start, memory and size, or the reason it is missing.

    `first_prediction_*` is the time from the start of the process to the first prediction of `first_work`, imports and
    compiling included, with an empty and a filled folder of compiled code (the same, where a framework keeps
    none). `peak_memory` is that process's largest resident size.
    """

    name: str
    title: str
    versions: dict[str, str | None]
    missing: str | None = None
    import_seconds: float | None = None
    first_prediction_cold_seconds: float | None = None
    first_prediction_warm_seconds: float | None = None
    peak_memory: int | None = None
    installed_size: int | None = None


@dataclass(frozen=True)
class Report:
    """A whole run. `blocks` is where Depthwise's own time goes, by work: what `depthwise bench --json` says of each."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    first_work: str | None
    rivals: list[RivalReport]
    works: list[WorkReport]
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return the report as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"
