"""An application on a port of this machine, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import errno
import math
import os
import signal
import socket
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import uvicorn

from siamese_nima.errors import ConfigError
from siamese_nima.web.safety import LOOPBACK_NAMES, App, SafetyRules

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ENDING_S = 3


def open_port(host: str, port: int) -> socket.socket:
    """A port that nobody else has; connections wait in its queue until they are served.

    Args:
        host: Address of this machine to listen at.
        port: 0 for any free one.

    Raises:
        ConfigError: The port is in use, or the address is none of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family)
    except OSError as error:
        raise ConfigError(f"host {host!r}: {error.strerror}") from error
    try:
        if os.name == "posix":
            # Or the port of a server that has just ended would count as in use for a minute.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen()
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use; name another with --port, 0 for any free one"
            ) from error
        raise ConfigError(f"cannot listen at {host} port {port}: {error.strerror}") from error
    return found


def address_of(listener: socket.socket, host: str) -> str:
    """The address to type into a browser of this machine."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else _bracketed(host)
    return f"http://{name}:{listener.getsockname()[1]}/"


def rules_for(host: str, names: Iterable[str] = ()) -> SafetyRules:
    """What a page that listens at `host` answers to: this machine's names, and that one.

    At another address than this machine's own, to any address: which one others reach it by cannot
    be known.

    Args:
        host: Where it listens.
        names: Further names that it has.
    """
    if host in ("127.0.0.1", "localhost", "::1"):
        return SafetyRules(hosts=(*LOOPBACK_NAMES, *names))
    return SafetyRules(hosts=(*LOOPBACK_NAMES, _bracketed(host), *names), any_address=True)


def run_until_ended(
    app: App,
    listener: socket.socket,
    *,
    ending_s: float = _ENDING_S,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve an application until Ctrl-C or SIGTERM, finish what was accepted, and return.

    Args:
        app: Any ASGI application.
        listener: From `open_port`; closed at the end.
        ending_s: The longest that requests under way may still take.
        ready: Called when the page can be opened.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=math.ceil(ending_s),
    )
    with listener:
        if ready:
            ready()
        with _ended_by_signals_quietly():
            uvicorn.Server(config).run(sockets=[listener])


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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
