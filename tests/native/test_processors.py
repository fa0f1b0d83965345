"""How many processors a process may use, from written-out control group folders."""

import os
from pathlib import Path
from typing import Any

import pytest

from depthwise.compiler.native import processors
from depthwise.compiler.native.processors import control_group_quota, usable_processors


def _write(root: Any, files: Any) -> Any:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5),
        # The smallest of the group and those above it.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/cpu.max": "150000 100000\n",
            },
            0.5,
        ),
        # A path that is not mounted in the container.
        ({"proc/self/cgroup": "0::/docker/x\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        # Version 1.
        (
            {
                "proc/self/cgroup": "5:cpuacct,cpu:/a\n4:memory:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "150000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            1.5,
        ),
        # Broken files are as good as none.
        ({"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "1"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10 0"}, None),
        ({"proc/self/cgroup": "0::/../../etc\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
    ],
)
def test_control_group_quota(tmp_path: Path, files: Any, expected: Any) -> None:
    assert control_group_quota(_write(tmp_path, files)) == expected


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (2.5, 3), (0.1, 1), (8.0, 8), (100.0, 8)])
def test_usable_processors(monkeypatch: pytest.MonkeyPatch, quota: Any, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "control_group_quota", lambda: quota)
    assert usable_processors() == expected


def test_a_system_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(processors, "control_group_quota", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_processors() == 1
