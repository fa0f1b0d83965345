"""How many processors this process may use, by its affinity and by the quota of its control group."""

import math
import os
from pathlib import Path

__all__ = ["control_group_quota", "usable_processors"]


def usable_processors() -> int:
    """Processors that this process may run on, at least 1; a container's share is rounded up."""
    has_affinity = hasattr(os, "sched_getaffinity")
    available = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = control_group_quota()
    if quota is not None:
        available = min(available, math.ceil(quota))
    return max(available, 1)


def control_group_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the control groups above this process grant (2.5 is two and a half), or None.

    Parameters
    ----------
    root
        Where `proc` and `sys` lie; another folder in tests.
    """
    quotas = []
    for folder, version in _control_group_folders(root):
        try:
            if version == 2:
                quota, period = (folder / "cpu.max").read_text().split()[:2]
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            granted = int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # No such controller here, or "max": no bound.
        if granted > 0:
            quotas.append(granted)
    return min(quotas, default=None)


def _control_group_folders(root: Path) -> list[tuple[Path, int]]:
    """This process's control group and those above it, with the version of the interface."""
    mounts = root / "sys/fs/cgroup"
    found = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            top, version = mounts, 2
        elif "cpu" in controllers.split(","):
            top, version = mounts / "cpu", 1
        else:
            continue
        folder = top / path.lstrip("/")
        # Inside a container the path may name folders that are not mounted; the mount's top still bounds us.
        while True:
            found.append((folder, version))
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent
    return found
