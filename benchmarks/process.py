"""The runner's side of a rival's process: started once, awake only in its own turns."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 900.0


class WorkerError(Exception):
    """A rival's process answered with an error, died, or did not answer; the message says which."""


class WorkerProcess:
    """A rival's process. Between two commands it is stopped, so its threads cannot spin in others' turns."""

    def __init__(self, module: str, threads: int, environment: Mapping[str, str], log: Path) -> None:
        self.started = time.perf_counter()
        self._log = log
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with log.open("w") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", module, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env={**os.environ, "PYTHONPATH": path, **counts, **environment},
                cwd=ROOT,
                # Ctrl-C is the runner's alone, and a shell that ends must not wake the stopped ones.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    def ask(self, do: str, timeout: float = ANSWER_SECONDS, **order: Any) -> dict[str, Any]:
        """Wake the process, send one command, wait for its answer, stop the process again."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], timeout)[0]:
                raise WorkerError(f"no answer to {do!r} within {timeout:.0f} s")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise WorkerError(f"the process ended during {do!r}: {self._last_words()}")
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            # Stopping takes effect a little later; the next rival's turn must not begin before.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        answer = json.loads(line)
        if not answer.pop("ok"):
            raise WorkerError(answer["reason"])
        return dict(answer)

    def seconds_since_start(self) -> float:
        """Return the wall-clock seconds since the process was started."""
        return time.perf_counter() - self.started

    def _last_words(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"exit code {code}" + (f", {lines[-1][:300]}" if lines else "")

    def close(self) -> None:
        """End the process, whatever its state."""
        if self._process.poll() is None:
            self._process.kill()  # also ends a stopped process
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # Closing flushes what a dead process never read.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
