"""Marks of tests that need something that not every system has."""

import os
import signal

import pytest

needs_pipes = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="this system has no named pipes among its files"
)
needs_sigkill = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="this system has no signal that kills a process"
)
