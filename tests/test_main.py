import subprocess
import sys

import pytest

INTERRUPT_WHILE_LOADING = """
import sys
from siamese_nima.__main__ import start

class Interrupt:
    def find_spec(self, name, *_):
        if name == "siamese_nima.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
start()
"""


def test_ctrl_c_while_the_command_loads_shows_no_traceback():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT_WHILE_LOADING], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("module", ["siamese_nima.cli", "siamese_nima.cli.score"])
def test_a_library_that_finds_no_memory_is_one_line(module):
    failing = (
        INTERRUPT_WHILE_LOADING.replace(
            "KeyboardInterrupt", 'ImportError("x.so: failed to map segment from shared object")'
        )
        .replace("siamese_nima.cli", module, 2)
        .replace(f"{module}\n", "siamese_nima.cli\n")
    )
    command = [sys.executable, "-c", failing, "score", "a.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("nima: there is not enough memory")
    assert done.stderr.count("\n") == 1


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "siamese_nima", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("siamese-nima ")


def test_a_runtime_that_windows_lacks_is_named_in_a_line():
    error = "DLL load failed while importing onnxruntime_pybind11_state: the module was not found"
    failing = INTERRUPT_WHILE_LOADING.replace("KeyboardInterrupt", f"ImportError({error!r})")
    done = subprocess.run(
        [sys.executable, "-c", failing], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"nima: {error}. On Windows this is mostly the Microsoft Visual")
    assert done.stderr.count("\n") == 1
