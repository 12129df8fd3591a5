import os
import signal
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")

from siamese_nima.errors import ConfigError
from siamese_nima.web.http import address_of, open_port
from siamese_nima.web.safety import rules_for

_SERVE = """
import sys
from siamese_nima.web.http import address_of, open_port, run_until_ended

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

listener = open_port("127.0.0.1", 0)
run_until_ended(
    app, listener, ready=lambda: print(address_of(listener, "127.0.0.1"), flush=True)
)
print("ended")
"""


def test_a_port_that_is_in_use_is_named():
    with open_port("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use; .* --port"):
            open_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_an_error():
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.1 port 0"):
        open_port("192.0.2.1", 0)
    with pytest.raises(ConfigError, match=r"host 'no such\.host'"):
        open_port("no such.host", 0)


def test_the_address_is_one_that_a_browser_takes():
    with open_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address_of(listener, "127.0.0.1") == f"http://127.0.0.1:{port}/"
        assert address_of(listener, "0.0.0.0") == f"http://127.0.0.1:{port}/"
        assert address_of(listener, "::1") == f"http://[::1]:{port}/"


def test_only_this_machine_is_answered_unless_others_can_reach_the_port():
    assert rules_for("127.0.0.1").knows("localhost:8643")
    assert not rules_for("127.0.0.1").knows("192.0.2.7")
    assert rules_for("0.0.0.0").knows("192.0.2.7:8643")
    assert not rules_for("0.0.0.0").knows("evil.example")
    assert rules_for("photos.lan").knows("photos.lan")
    assert rules_for("fd00::2").knows("[fd00::2]:8643")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_it_without_a_traceback():
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        address = server.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert answer.read() == b"here"
        server.send_signal(signal.SIGINT)
        out, errors = server.communicate(timeout=20)
    assert (out, errors, server.returncode) == ("ended\n", "", 0)
