"""Whom a web server on somebody's own machine answers.

Every page that a person visits can make their browser send requests to servers on their machine,
under the server's own address or under a name that the page's owner points at it (DNS rebinding).
`Safety` stands before an application and refuses both; what the application answers gets headers
that keep browsers from running, framing or sharing what it did not mean to give.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from siamese_nima.errors import ConfigError
from siamese_nima.web.problems import Problem

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyRules:
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


class Safety:
    """ASGI middleware: refuses foreign hosts and origins, and adds headers.

    Args:
        app: What answers requests that may pass.
        rules: Which may.
    """

    def __init__(self, app: App, rules: SafetyRules | None = None) -> None:
        self._app = app
        self._rules = rules or SafetyRules()
        headers = _HEADERS | {"content-security-policy": self._rules.content_policy}
        self._headers = _encoded(headers.items())

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


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem; what the client still sends is not read."""
    body = problem.body()
    own = {**problem.headers(), "connection": "close", "content-length": str(len(body))}
    headers = _encoded(own.items())
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal(scope: Scope, rules: SafetyRules) -> Problem | None:
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


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
