import subprocess
import sys

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


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "siamese_nima", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("siamese-nima ")
