"""What the machine or the container allows: cores, memory, and what its processor is fast at."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from siamese_nima.errors import ConfigError

_ROOT = Path("/")
EIGHT_BITS_VARIABLE = "SIAMESE_NIMA_8BIT"
# Processors that multiply and add four pairs of bytes in one instruction, as Linux names it: there
# 8-bit networks were measured to be about twice as fast (docs/speed.md). On others they may be.
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni"}


def usable_cores(root: Path = _ROOT) -> int:
    """Cores this process may keep busy, 1 or more.

    Those it is bound to, and no more than the quota of its container (cgroup v1 and v2) is worth: a
    process with more threads than that is stopped again and again.

    Args:
        root: Where /proc and /sys are.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    for folder in _groups(root, "cpu"):
        if quota := _quota(folder):
            cores = min(cores, math.ceil(quota))
    return max(1, cores)


def usable_memory(root: Path = _ROOT) -> int | None:
    """Bytes that this process may use: free ones, within its container's limit; None if unknown.

    Args:
        root: Where /proc and /sys are.
    """
    found = []
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # "max" is no number
                found.append(int((folder / name).read_text()))
    return min(found, default=None)


def fast_in_bytes(root: Path = _ROOT) -> bool:
    """Whether networks in 8 bits are known to be faster here; a processor that is unknown is not.

    The environment variable SIAMESE_NIMA_8BIT, "1" or "0", decides before the processor does.

    Args:
        root: Where /proc is.

    Raises:
        ConfigError: The variable has another value.
    """
    chosen = os.environ.get(EIGHT_BITS_VARIABLE, "")
    if chosen not in ("", "0", "1"):
        raise ConfigError(f"{EIGHT_BITS_VARIABLE} must be 1, 0 or unset, got {chosen!r}")
    if chosen:
        return chosen == "1"
    with suppress(OSError), (root / "proc/cpuinfo").open(errors="replace") as file:
        for line in file:
            if line.startswith("flags"):
                return not _DOT_PRODUCTS.isdisjoint(line.split())
    return False


def _quota(folder: Path) -> float | None:
    """CPU seconds per second that a control group allows, None for any number."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    with suppress(OSError, ValueError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        if quota_us > 0:
            return quota_us / int((folder / "cpu.cfs_period_us").read_text())
    return None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control groups, and of those that they are in.

    A container sees its own group where the host has the root, so that is among them always.
    """
    base = root / "sys/fs/cgroup"
    seen = {PurePosixPath("/")}
    yield base
    yield base / controller
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            for name in (PurePosixPath(group), *PurePosixPath(group).parents):
                if name not in seen and ".." not in name.parts:
                    seen.add(name)
                    below = base / controllers if controllers else base
                    yield below / name.relative_to("/")
