"""An application on a port of this machine, until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

import uvicorn

from siamese_nima.errors import ConfigError
from siamese_nima.web.safety import LOOPBACK_NAMES, App, SafetyRules

_ENDING_S = 3  # for requests that are under way when Ctrl-C comes


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


def run_until_interrupted(
    app: App, listener: socket.socket, *, ready: Callable[[], None] | None = None
) -> None:
    """Serve an application; Ctrl-C ends it when the requests under way are answered.

    Args:
        app: Any ASGI application.
        listener: From `open_port`; closed at the end.
        ready: Called when the page can be opened.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=_ENDING_S,
        )
    )
    if ready:
        ready()
    # uvicorn ends, then hands the signal on.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
