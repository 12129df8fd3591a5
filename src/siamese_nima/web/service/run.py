"""Listen, answer, and end without dropping what was accepted."""

from __future__ import annotations

import ipaddress
import math
import signal
import socket
import types
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.web.safety import LOOPBACK_NAMES, App, SafetyRules
from siamese_nima.web.service.api_key import KEY_VARIABLE

_BACKLOG = 1024
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


def safety_rules(host: str, names: Iterable[str]) -> SafetyRules:
    """Which Host headers a server at this address answers.

    Args:
        host: Where it listens.
        names: Further names that it has.
    """
    beyond = not _is_loopback(host)
    return SafetyRules(hosts=(*LOOPBACK_NAMES, *names), any_address=beyond)


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections; port 0 chooses a free one.

    Raises:
        NimaError: The address is not this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise NimaError(
            f"cannot listen at {host}, port {port} ({error}). Choose another with --port or --host."
        ) from error


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: App, listening: socket.socket, *, request_s: float) -> None:
    """Answer until SIGTERM or Ctrl-C, then finish what was accepted and return.

    Args:
        app: What answers.
        listening: As `listen` makes it; it is closed in the end.
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
    """uvicorn raises the signal that ended it again, once all is done; here that is no failure."""

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
