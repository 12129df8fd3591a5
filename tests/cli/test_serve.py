"""`nima serve` as a process: it starts, answers, and ends without dropping what it accepted."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="needs the extra serve")

from photo_seeds import encoded, scene
from siamese_nima.cli import app
from siamese_nima.scoring.scorer import Scorer
from systems import needs_posix, needs_proc


@dataclass
class Server:
    process: subprocess.Popen
    host: str
    port: int
    log: Path = field(default_factory=Path)

    def ask(self, method: str, path: str, **options) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=60)) as connection:
            connection.request(method, path, **options)
            with connection.getresponse() as response:
                return response.status, response.read().decode()

    def lines(self) -> list[dict]:
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]


@contextmanager
def serving(model: Path, log: Path, *options: str, key: str = "") -> Iterator[Server]:
    command = [sys.executable, "-m", "siamese_nima", "serve", "--port", "0", "--model", str(model)]
    command += ["--log-format", "json", *options]
    with log.open("w") as file:
        environment = {**os.environ, "NIMA_API_KEY": key}
        process = subprocess.Popen(command, stderr=file, env=environment)
    try:
        for _ in range(600):
            if found := re.search(r'"address": "http://\[?([^"]+?)\]?:(\d+)/"', log.read_text()):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield Server(process, found[1], int(found[2]), log)
    finally:
        process.kill()
        process.wait()


JPEG = {"Content-Type": "image/jpeg"}


def sent_whole(server: Server, content: bytes, name: int) -> socket.socket:
    """A connection over which a whole request has been sent; its answer is not read yet."""
    connection = socket.create_connection((server.host, server.port), timeout=60)
    head = (
        f"POST /v1/score?name={name} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def answer_on(connection: socket.socket) -> tuple[int, dict]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    with connection, response:
        return response.status, json.loads(response.read())


def waiting(server: Server) -> float:
    _, text = server.ask("GET", "/metrics")
    return float(re.search(r"^nima_waiting_photos (\S+)$", text, re.MULTILINE)[1])


@needs_posix
@pytest.mark.slow
def test_after_sigterm_everything_accepted_is_answered_with_its_own_score(tiny_model, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 1), np.uint8)
    photos = [
        encoded(Image.fromarray(np.repeat(noise // 16 + 28 * n, 3, 2)), "PNG") for n in range(8)
    ]
    expected = [result.mean for result in Scorer(tiny_model, exact=True).score(photos)]
    options = ("--workers", "1", "--batch-size", "1", "--exact")
    with serving(tiny_model, tmp_path / "log", *options) as server:
        connections = [sent_whole(server, photo, n) for n, photo in enumerate(photos)]
        half = socket.create_connection((server.host, server.port), timeout=60)
        small = encoded(scene(), "PNG")
        head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        half.sendall(f"{head}Content-Length: {len(small)}\r\n\r\n".encode() + small[:100])
        for _ in range(500):
            if waiting(server):
                break
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.ask("GET", "/health/ready")[0] == 503
        half.sendall(small[100:])
        answers = [answer_on(connection) for connection in connections]
        assert answer_on(half)[0] == 200
        assert [status for status, _ in answers] == [200] * len(photos)
        assert [body["name"] for _, body in answers] == [str(n) for n in range(len(photos))]
        assert [body["mean"] for _, body in answers] == pytest.approx(expected, abs=2e-4)
        assert server.process.wait(20) == 0
        assert [line["status"] for line in server.lines() if line["message"] == "request"].count(
            200
        ) >= len(photos) + 1


@needs_proc
def test_a_server_for_other_machines_wants_its_key(tiny_model, tmp_path):
    key = "k" * 24
    with serving(tiny_model, tmp_path / "log", "--host", "0.0.0.0", key=key) as server:
        assert server.ask("GET", "/health/live")[0] == 200
        assert server.ask("GET", "/v1/models")[0] == 401
        known = {"Authorization": f"Bearer {key}"}
        assert server.ask("GET", "/v1/models", headers=known)[0] == 200
        by_address = known | {"Host": "192.0.2.7:80"}
        assert server.ask("GET", "/v1/models", headers=by_address)[0] == 200
        by_name = known | {"Host": "evil.example"}
        assert server.ask("GET", "/v1/models", headers=by_name)[0] == 421
        # Refused before its body was read, but heard out: the answer arrives.
        large = server.ask("POST", "/v1/score", body=bytes(5_000_000), headers=JPEG)
        assert large[0] == 401
        assert key not in server.log.read_text()
        assert key not in Path(f"/proc/{server.process.pid}/cmdline").read_text()


def serve(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["serve", "--port", "0", *options])
    return result.exit_code, str(result.exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets other machines use this server. Give it"),
        (["--host", "192.0.2.1"], "--api-key-file or the environment variable NIMA_API_KEY"),
        (["--host", "192.0.2.1", "--without-key"], "cannot listen at 192.0.2.1"),
        (["--api-key-file", "no-such-file"], "no-such-file: the API keys cannot be read"),
        (["--name", "two words"], "host 'two words': not a name or an address"),
        (["--url-host", "http://x"], "host 'http://x': wanted a name"),
        (["--max-megapixels", "nan"], "--max-megapixels: wanted a number, got nan"),
        (["--max-photo-mb", "inf"], "--max-photo-mb: wanted a number, got inf"),
        (["--timeout", "0"], "--timeout must be above 0, got 0"),
        (
            ["--max-photo-mb", "300"],
            "(300) must not be above --max-request-mb (256)",
        ),
        (["--model", "nobody"], "no model named 'nobody'"),
    ],
)
def test_wrong_usage_is_said_before_anything_starts(options, words, monkeypatch):
    monkeypatch.delenv("NIMA_API_KEY", raising=False)
    code, message = serve(*options)
    assert code == 1
    assert words in message


def test_a_port_in_use_is_an_error_that_names_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert f"port {port}" in str(result.exception)
