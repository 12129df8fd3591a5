"""Whom a web server on somebody's own machine answers: the right hosts, origins and API keys.

Every page that a person visits can make their browser send requests to servers on their machine,
under the server's own address (cross-site request forgery, CSRF) or under a name that the page's
owner points at it (DNS rebinding). `HostAndOriginCheck` stands before an application and refuses
both; what the application answers gets headers that keep browsers from running, framing or sharing
what it did not mean to give. `ApiKeyCheck` is for servers that others can reach.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi.security import APIKeyHeader
from fastapi.security.http import HTTPBase
from starlette.requests import HTTPConnection

from siamese_nima.csv_rows import read_lines
from siamese_nima.errors import ConfigError
from siamese_nima.web.http import (
    App,
    Message,
    Problem,
    Receive,
    Scope,
    Send,
    bracketed,
    encoded,
    send_problem,
)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

# Scripts, styles and pictures come from the server itself, as files; nothing is inline.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)\.?(?::[0-9]{1,5})?")

KEY_VARIABLE = "NIMA_API_KEY"
OPEN_PATHS = ("/health/live", "/health/ready")
_SHORTEST = 16
# The three ways of sending a key, as OpenAPI describes them.
BEARER = HTTPBase(scheme="bearer", scheme_name="bearer", auto_error=False)
BASIC = HTTPBase(
    scheme="basic",
    scheme_name="basic",
    description="The key as the password, with any user name.",
    auto_error=False,
)
HEADER = APIKeyHeader(name="X-API-Key", scheme_name="header", auto_error=False)
_WANTED = Problem(
    kind="key-wanted",
    detail="Send the API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """What is answered, and with which headers.

    Attributes:
        hosts: Names and addresses, without port, that the server may be called by; IPv6 addresses
            in brackets. Names the server does not have cannot be told from an attacker's.
        any_address: Whether every IP address will do too. An attacker's name is never one, so this
            suits a server that is reached by addresses it does not know, as in a container.
        content_policy: Content-Security-Policy of every response that does not bring its own.
    """

    hosts: tuple[str, ...] = LOOPBACK_NAMES
    any_address: bool = False
    content_policy: str = CONTENT_POLICY

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", tuple(host.lower() for host in self.hosts))
        for host in self.hosts:
            if _host_name(host) != host:
                raise ConfigError(
                    f"host {host!r}: not a name or an address without port, such as "
                    "photos.example.org, 192.0.2.7 or [::1]"
                )

    def knows(self, host: str) -> bool:
        """Whether a Host header is one that this server may be called by."""
        name = _host_name(host.lower())
        return name in self.hosts or (self.any_address and _is_address(name))


class HostAndOriginCheck:
    """ASGI middleware: refuses foreign hosts and origins, and adds headers.

    Args:
        app: What answers requests that may pass.
        rules: Which may.
    """

    def __init__(self, app: App, rules: HostRules | None = None) -> None:
        self._app = app
        self._rules = rules or HostRules()
        headers = _HEADERS | {"content-security-policy": self._rules.content_policy}
        self._headers = encoded(headers.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope, self._rules)
        if refusal is None:
            await self._app(scope, receive, self._with_headers(send))
        elif scope["type"] == "http":
            await send_problem(self._with_headers(send), refusal)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.kind})

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                added = [header for header in self._headers if header[0] not in names]
                message = {**message, "headers": own + added}
            await send(message)

        return send_with_headers


def _refusal(scope: Scope, rules: HostRules) -> Problem | None:
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value.decode("latin-1"))
    hosts = headers.get(b"host", [])
    if len(hosts) != 1 or not rules.knows(hosts[0]):
        named = " and ".join(repr(host[:100]) for host in hosts) or "no name"
        return Problem(
            kind="host-refused",
            detail=f"The request is for {named}; this server answers to {', '.join(rules.hosts)}. "
            "If it has another name, start it with that name allowed.",
        )
    if _from_elsewhere(scope, headers, hosts[0].lower()):
        return Problem(
            kind="origin-refused",
            detail="The request comes from a page that this server did not serve. Call it from "
            "its own pages, or from a program that is not a browser.",
        )
    return None


def _from_elsewhere(scope: Scope, headers: dict[bytes, list[str]], host: str) -> bool:
    """Whether a browser sends this on behalf of a page of another origin.

    Programs that are no browsers send neither header. A link on another page may lead here.
    """
    # Schemes are not compared: a proxy in front may speak https.
    origins = headers.get(b"origin", [])
    if any(origin.lower().partition("://")[2] != host for origin in origins):
        return True
    sites = headers.get(b"sec-fetch-site", [])
    if all(site in ("same-origin", "none") for site in sites):
        return False
    followed = headers.get(b"sec-fetch-mode") == ["navigate"]
    shown = headers.get(b"sec-fetch-dest") == ["document"]
    return not (followed and shown and scope.get("method") in ("GET", "HEAD"))


def _host_name(host: str) -> str | None:
    """The name in a Host header without its port and the dot of a complete name; None if odd."""
    found = _HOST.fullmatch(host)
    return found[1] if found else None


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address((name or "").strip("[]"))
    except ValueError:
        return False
    return True


def rules_for(host: str, names: Iterable[str] = ()) -> HostRules:
    """What a page that listens at `host` answers to: this machine's names, and that one.

    At another address than this machine's own, to any address: which one others reach it by cannot
    be known.

    Args:
        host: Where it listens.
        names: Further names that it has.
    """
    if host in ("127.0.0.1", "localhost", "::1"):
        return HostRules(hosts=(*LOOPBACK_NAMES, *names))
    return HostRules(hosts=(*LOOPBACK_NAMES, bracketed(host), *names), any_address=True)


def check_binding(host: str, keys: Sequence[str], *, without_key: bool) -> None:
    """Refuse to listen beyond this machine unless somebody has thought about who may ask.

    Raises:
        ConfigError: `host` is not a loopback address, and there is neither a key nor the word that
            none is wanted.
    """
    if not (is_loopback(host) or keys or without_key):
        raise ConfigError(
            f"--host {host} lets other machines use this server. Give it an API key by "
            f"--api-key-file or the environment variable {KEY_VARIABLE}, or say --without-key."
        )


def is_loopback(host: str) -> bool:
    """Whether other machines never reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_api_keys(file: Path | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a file, one a line, or else the one of the environment variable NIMA_API_KEY.

    Keys are not taken from the command line, which every user of a machine can list.

    Raises:
        ConfigError: The file cannot be read or has no key; a key is short or not plain ASCII.
    """
    if file is not None:
        try:
            with file.open("rb") as stream:
                lines = read_lines(stream, str(file), ConfigError)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"{file}: the API keys cannot be read ({reason})") from error
        keys = tuple(line.strip() for line in lines if line.strip())
        if not keys:
            raise ConfigError(f"{file}: no API key; wanted one a line")
    else:
        keys = tuple(filter(None, [environment.get(KEY_VARIABLE, "").strip()]))
    for key in keys:
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"an API key needs {_SHORTEST} or more ASCII characters without blanks, one has "
                f"{len(key)}; make one with: openssl rand -hex 24"
            )
    return keys


class ApiKeyCheck:
    """ASGI middleware: only who sends a key is answered.

    As "Authorization: Bearer KEY", as "X-API-Key: KEY", or as the password of HTTP's basic
    authentication, which browsers ask for.

    Args:
        app: What answers requests that may pass.
        keys: Any of them will do.
        open_paths: Addresses that need none.
    """

    def __init__(
        self, app: App, keys: Iterable[str], *, open_paths: Iterable[str] = OPEN_PATHS
    ) -> None:
        self._app = app
        self._digests = [_digest(key) for key in keys]
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        passes = scope["type"] not in ("http", "websocket") or scope["path"] in self._open_paths
        if not passes:
            passes = any(map(self._fits, await _keys_in(HTTPConnection(scope))))
        if passes:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await send_problem(send, _WANTED)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": _WANTED.kind})

    def _fits(self, key: str) -> bool:
        given = _digest(key)
        # The time says neither how long a key is nor where the given one differs.
        return any(hmac.compare_digest(given, digest) for digest in self._digests)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


async def _keys_in(request: HTTPConnection) -> list[str]:
    keys = [await HEADER(request) or ""]
    if given := await BEARER(request):  # with the credentials of any scheme
        text = given.credentials.strip()
        kind = given.scheme.lower()
        keys.append({"bearer": text, "basic": _password(text)}.get(kind, ""))
    return keys


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
