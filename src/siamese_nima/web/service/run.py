"""Listen, answer, and end without dropping what was accepted."""

from __future__ import annotations

import ipaddress
import math
import signal
import socket
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from siamese_nima.errors import ConfigError
from siamese_nima.web.safety import App
from siamese_nima.web.service.api_key import KEY_VARIABLE

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Time to send the last answers, after the time that they may take.
_LAST_ANSWERS_S = 5


def check_binding(host: str, keys: Sequence[str], *, without_key: bool) -> None:
    """Refuse to listen beyond this machine unless somebody has thought about who may ask.

    Raises:
        ConfigError: `host` is not a loopback address, and there is neither a key nor the word that
            none is wanted.
    """
    if not (_is_loopback(host) or keys or without_key):
        raise ConfigError(
            f"--host {host} lets other machines use this server. Give it an API key by "
            f"--api-key-file or the environment variable {KEY_VARIABLE}, or say --without-key."
        )


def run(app: App, listening: socket.socket, *, request_s: float) -> None:
    """Answer until SIGTERM or Ctrl-C, then finish what was accepted and return.

    Args:
        app: What answers.
        listening: As `open_port` gives it; closed in the end.
        request_s: The longest that an answer takes.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(request_s) + _LAST_ANSWERS_S,
    )
    with _ended_by_signals_quietly(), listening:
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _ended_by_signals_quietly() -> Iterator[None]:
    """The server raises the signal that ended it again when all is done; that is no failure."""

    def done(number: int, frame: types.FrameType | None) -> None:
        del number, frame

    before = {number: signal.signal(number, done) for number in _END_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
