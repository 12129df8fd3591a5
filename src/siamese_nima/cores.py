"""How many of the machine's cores there are to use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores this process may run on; in a container that can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
