"""The run as a whole, on fake rivals in real processes: turns, verdicts, losses. No time is judged."""

import dataclasses
import itertools
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.process import WorkerError, WorkerProcess
from benchmarks.results import Result, RivalReport, Work, WorkReport
from benchmarks.runner import Settings, run

from benchmarks import command

ROOT = Path(__file__).resolve().parents[2]
PREDICT = Work("note_cnn", "predict", 2)
TRAINING = Work("note_cnn", "training", 2)
BRIEF = Settings(threads=1, rounds=3, turn_seconds=0, try_seconds=0, starts=False)


def result_of(report: Any, rival: Any, work: int = 0) -> Any:
    """Return the result of one rival at one work of a report."""
    return next(result for result in report.works[work].results if result.rival == rival)


def runs(log: Any) -> Any:
    """Return (name, what) of the log's lines."""
    return [line.split(" ", 1) for line in log.read_text().splitlines()]


def test_rounds_are_interleaved(fake: Any, log: Path) -> None:
    run([fake("first"), fake("second"), fake("third")], [PREDICT], BRIEF)
    turns = [name for name, _ in itertools.groupby(name for name, what in runs(log) if what == "run")]
    assert turns == ["first", "second", "third"] * (1 + BRIEF.rounds)  # preparing, then the rounds


def test_every_round_is_reported_and_the_best_counts(fake: Any) -> None:
    result = result_of(run([fake("only")], [PREDICT], BRIEF), "only")
    assert len(result.rounds) == BRIEF.rounds
    assert result.microseconds == min(result.rounds)
    assert result.quartiles[0] <= result.quartiles[1]
    assert result.runs == 5 * BRIEF.rounds


def test_the_fastest_candidate_is_kept_and_the_impossible_one_told(fake: Any) -> None:
    result = result_of(run([fake("only")], [PREDICT], BRIEF), "only")
    assert result.variant == "quick"
    assert result.candidates["slow"] > result.candidates["quick"]
    assert result.candidates["impossible"] == "RuntimeError: needs another machine"


@pytest.mark.parametrize("fault", ["deviate", "nan"])
def test_wrong_output_is_flagged_and_never_the_fastest(fake: Any, fault: str) -> None:
    report = run([fake("wrong", fault), fake("right")], [PREDICT], BRIEF)
    assert result_of(report, "wrong").deviates
    assert not result_of(report, "right").deviates
    assert result_of(report, "right").error <= 1e-6
    fastest = report.works[0].fastest
    assert fastest is not None
    assert fastest.rival == "right"


def test_losses_that_fall_differently_are_flagged(fake: Any) -> None:
    rivals = [fake("wrong", "deviate"), fake("right"), fake("also")]
    report = run(rivals, [TRAINING], BRIEF)
    verdicts = {result.rival: result.deviates for result in report.works[0].results}
    assert verdicts == {"wrong": True, "right": False, "also": False}


def test_a_rival_that_only_predicts_is_not_asked_to_train(fake: Any) -> None:
    report = run([fake("both"), fake("files", trains=False)], [TRAINING, PREDICT], BRIEF)
    assert [result.rival for result in report.works[0].results] == ["both"]
    assert [result.rival for result in report.works[1].results] == ["both", "files"]


def test_a_missing_rival_is_reported_with_the_reason(fake: Any) -> None:
    absent = fake("absent", distributions=("numpy", "no-such-distribution"))
    report = run([absent, fake("here")], [PREDICT], BRIEF)
    assert report.rivals[0].missing == "not installed: no-such-distribution"
    assert report.rivals[1].missing is None
    assert [result.rival for result in report.works[0].results] == ["here"]


def test_a_rival_that_cannot_be_imported_is_reported(fake: Any) -> None:
    report = run([fake("broken", "import"), fake("here")], [PREDICT], BRIEF)
    reason = "does not start: ImportError: libfake.so.3: cannot open shared object file"
    assert report.rivals[0].missing == reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("crash", "the process ended during 'prepare': exit code 3"), ("impossible", "needs another machine")],
)
def test_a_failing_rival_leaves_the_others_alone(fake: Any, fault: str, reason: str) -> None:
    report = run([fake("failing", fault), fake("here")], [PREDICT, TRAINING], BRIEF)
    assert reason in result_of(report, "failing").failure
    assert result_of(report, "failing").microseconds is None
    assert result_of(report, "here").microseconds is not None
    assert result_of(report, "here", work=1).microseconds is not None


def test_first_predictions_start_with_an_empty_cache_then_a_filled_one(fake: Any, log: Path) -> None:
    starts = dataclasses.replace(BRIEF, starts=True)
    report = run([fake("only")], [PREDICT], starts)
    caches = [what for _, what in runs(log) if what.startswith("threads")]
    assert caches == ["threads 1 cache 0", "threads 1 cache 0", "threads 1 cache 1"]
    rival = report.rivals[0]
    for seconds in (rival.first_prediction_cold_seconds, rival.first_prediction_warm_seconds):
        assert seconds is not None
        assert seconds > 0
    for nbytes in (rival.peak_memory, rival.installed_size):
        assert nbytes is not None
        assert nbytes > 1_000_000


def test_an_interrupted_run_reports_the_works_it_finished(fake: Any) -> None:
    def interrupt(message: Any) -> None:
        if message.startswith(f"{TRAINING.name}: round 2"):
            raise KeyboardInterrupt

    starts = dataclasses.replace(BRIEF, starts=True)
    report = run([fake("only")], [PREDICT, TRAINING], starts, interrupt)
    assert [work.work for work in report.works] == [PREDICT]
    assert report.rivals[0].first_prediction_cold_seconds is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's process state")
def test_a_worker_is_stopped_between_its_turns(fake: Any, tmp_path: Path) -> None:
    rival = fake("only")
    environment = {**rival.environment, "FAKE_CACHE": str(tmp_path)}
    with WorkerProcess(rival.module_name, 1, environment, tmp_path / "log") as worker:
        for _ in range(2):
            worker.ask("load")
            _, _, after_name = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(") ")
            assert after_name[0] == "T"
        pid = worker.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


PARENT = """
import sys, time
from pathlib import Path
from benchmarks.process import WorkerProcess
worker = WorkerProcess("fake_rival", 1, {}, Path(sys.argv[1]))
worker.ask("load")
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end a process with its parent")
def test_a_stopped_worker_ends_with_a_killed_runner(fake: Any, tmp_path: Path) -> None:
    environment = {**os.environ, **fake("only").environment, "FAKE_CACHE": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=ROOT,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    handle = os.pidfd_open(pid) if Path(f"/proc/{pid}").exists() else None
    if handle is not None:  # readable once the process has ended
        assert select.select([handle], [], [], 30)[0]
        os.close(handle)


def test_a_worker_that_does_not_answer_is_given_up(fake: Any, tmp_path: Path) -> None:
    rival = fake("only")
    with (
        WorkerProcess(rival.module_name, 1, rival.environment, tmp_path / "log") as worker,
        pytest.raises(WorkerError, match="no answer to 'load' within 0 s"),
    ):
        worker.ask("load", timeout=0)


def test_json_has_the_documented_shape(fake: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    code = command.main(
        ["--quick", "--rounds", "1", "--threads", "1", "--json", str(path), "--works", PREDICT.name],
        [fake("only"), fake("absent", distributions=("no-such-distribution",))],
    )
    report = json.loads(path.read_text(encoding="utf-8"))
    assert code == 0
    assert report.keys() == {"schema", "machine", "settings", "first_work", "rivals", "works", "blocks"}
    assert report["schema"] == 2
    assert report["settings"]["rounds"] == 1
    assert report["first_work"] == PREDICT.name
    assert {"cpu", "usable_cores", "vector_extensions", "fma_peak_gflops"} <= report["machine"].keys()
    assert [rival["name"] for rival in report["rivals"]] == ["only", "absent"]
    assert report["rivals"][0].keys() == {field.name for field in dataclasses.fields(RivalReport)}
    (work,) = report["works"]
    assert work.keys() == {field.name for field in dataclasses.fields(WorkReport)}
    assert work["work"] == {"network": "note_cnn", "kind": "predict", "batch": 2}
    assert work["results"][0].keys() == {field.name for field in dataclasses.fields(Result)}


def test_the_tables_name_what_was_found(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rivals = [fake("depthwise"), fake("wrong", "deviate"), fake("broken", "import")]
    arguments = ["--quick", "--rounds", "1", "--no-starts", "--works", PREDICT.name]
    assert command.main(arguments, rivals) == 0
    printed = capsys.readouterr().out
    assert "note_cnn, predict, batch 2" in printed
    assert "DEVIATES" in printed
    assert "Broken: does not start: ImportError: libfake.so.3" in printed


@pytest.mark.parametrize("fault", ["deviate", "impossible"])
def test_the_command_fails_when_depthwise_does(fake: Any, fault: str) -> None:
    arguments = ["--quick", "--rounds", "1", "--no-starts", "--works", PREDICT.name]
    assert command.main(arguments, [fake("depthwise", fault)]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--works", "note_cnn:predict"], "Write NETWORK:predict:BATCH or NETWORK:training:BATCH"),
        (["--works", "resnet:predict:1"], "with a network of note_separable, note_twin, note_cnn"),
        (["--rounds", "0"], "'0' is not a whole number of at least 1."),
        (["--rivals", "caffe"], "invalid choice: 'caffe'"),
    ],
)
def test_wrong_options_are_explained(capsys: pytest.CaptureFixture[str], arguments: Any, message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert message in " ".join(capsys.readouterr().err.split())
