"""Marks of tests that need something that not every system has."""

import os
import signal
from pathlib import Path

import pytest

needs_pipes = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="this system has no named pipes among its files"
)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="this system shows no processes among its files"
)
needs_posix = pytest.mark.skipif(
    os.name != "posix", reason="this system has other permissions, devices and signals"
)
needs_sigkill = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="this system has no signal that kills a process"
)
