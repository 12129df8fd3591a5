"""A server that was told to end says so while it finishes what it has accepted."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

SERVE = """
import sys, time
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.http import open_port, run_until_ended
from siamese_nima.web.safety import HostRules
from siamese_nima.web.service.app import api, guarded
from siamese_nima.web.service.queue import Service

scorer = Scorer(sys.argv[1], workers=1)
score = scorer.score_together
def slow(photos):
    print("begun", flush=True)
    sys.stdin.readline()
    return score(photos)
scorer.score_together = slow
service = Service(scorer)
listener = open_port("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
run_until_ended(
    guarded(api(service), HostRules()), listener, ending_s=30, stopping=service
)
print("ended")
"""


def asked(port: int, method: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, content, {"content-type": "image/png"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_while_it_finishes_it_answers_that_it_is_stopping(tiny_model, photos):
    photo = photos["dark.png"]
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tiny_model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        port = int(server.stdout.readline())
        assert asked(port, "GET", "/health/ready")[0] == 200
        answers: list[tuple[int, bytes]] = []
        accepted = threading.Thread(
            target=lambda: answers.append(asked(port, "POST", "/v1/score", photo))
        )
        accepted.start()
        assert server.stdout.readline() == "begun\n"
        server.send_signal(signal.SIGTERM)
        while (ready := asked(port, "GET", "/health/ready"))[0] == 200:
            pass
        assert ready[0] == 503
        assert b"problem:stopping" in ready[1]
        assert asked(port, "GET", "/health/live")[0] == 200
        assert asked(port, "POST", "/v1/score", photo)[0] == 503
        out, _ = server.communicate("go on\n", timeout=30)
        accepted.join()
    assert [status for status, _ in answers] == [200]
    assert (out, server.returncode) == ("ended\n", 0)
