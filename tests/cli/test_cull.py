"""`nima cull`: a page of one folder, for this machine alone, until Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from siamese_nima.errors import MissingExtraError


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_the_page_is_there_until_ctrl_c_and_decisions_outlive_it(tiny_model, photo_folder):
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    command = [sys.executable, "-m", "siamese_nima", "cull", str(photo_folder)]
    command += ["--model", str(tiny_model), "--port", "0", "--no-browser", "--no-cache", "-q"]
    for known in (0, 1):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline().strip()
            page = urllib.request.urlopen(address, timeout=60).read().decode()
            assert "<h1>shoot</h1>" in page
            state = json.load(urllib.request.urlopen(f"{address}choices", timeout=60))
            assert len(state["choices"]) == known
            assert state["writes"]
            photo = re.search(r'"\./photos/([0-9a-f]+)"', page)[1]
            request = urllib.request.Request(
                f"{address}choices/{photo}",
                b'{"stars": 5}',
                {"content-type": "application/json"},
                method="PUT",
            )
            urllib.request.urlopen(request, timeout=60).close()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def test_a_missing_extra_is_named(photo_folder):
    program = (
        "import sys; sys.modules['fastapi'] = None\n"
        "from siamese_nima.cli import main\n"
        f"sys.argv = ['nima', 'cull', {str(photo_folder)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"nima: {MissingExtraError.of('nima cull', 'serve')}\n"
