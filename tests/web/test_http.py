import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")

from siamese_nima.errors import ConfigError
from siamese_nima.web.http import address_of, open_port
from siamese_nima.web.safety import rules_for

LIMITS = """
from siamese_nima.web import http
http.HEADERS_S, http.MOST_CONNECTIONS = 0.7, 4
"""

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


@contextlib.contextmanager
def serving(before: str = ""):
    """A server process; yields it and where it listens."""
    with subprocess.Popen(
        [sys.executable, "-c", before + _SERVE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        port = int(server.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        try:
            yield server, ("127.0.0.1", port)
        finally:
            server.terminate()
            server.communicate(timeout=20)


def ended_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the server hangs up."""
    connection.settimeout(seconds)
    try:
        return connection.recv(100) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def answered(address) -> bytes:
    with socket.create_connection(address, timeout=20) as asking:
        asking.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: asking.recv(1000), b""))


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_a_connection_whose_headers_do_not_end_is_closed(beginning):
    with serving(LIMITS) as (_, address), socket.create_connection(address) as slow:
        slow.sendall(beginning)
        assert ended_within(slow, 5)


def test_headers_that_come_in_drops_have_no_more_time_and_later_requests_neither():
    whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(LIMITS) as (_, address), socket.create_connection(address) as slow:
        slow.sendall(whole)
        slow.settimeout(10)
        assert b"200 OK" in slow.recv(1000)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < started + 6:
                slow.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() < started + 5


def test_silent_connections_make_room_for_those_that_ask():
    with serving(LIMITS.replace("0.7", "60")) as (_, address), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(address)) for _ in range(20)]
        for _ in range(3):
            assert b"here" in answered(address)
        assert ended_within(silent[0], 5)
        assert not ended_within(silent[-1], 0.2)
