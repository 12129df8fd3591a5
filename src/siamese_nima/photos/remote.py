"""Photos by URL, from hosts that were allowed and from nowhere else.

A program that fetches what strangers name, in a request or in a list, can be made to look into
networks that only it can reach (server-side request forgery). So the host must be on a list, every
address that its name has must be public, the connection goes to an address that was checked, and
redirects are checked the same.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

from siamese_nima.errors import ConfigError, FetchError
from siamese_nima.photos.loading import FetchedPhoto

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16


def addresses_of(host: str, port: int) -> list[str]:
    """Every address that a name has."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRules:
    """Which URLs are fetched, and how far.

    Attributes:
        hosts: Names that may be asked, with the port where it is not the usual one
            ("photos.example.org", "store.example:9000"); a leading dot stands for all names below
            (".example.org").
        private_addresses: Whether they may have addresses that are not public: loopback, private
            networks, link-local.
        max_bytes: Size of one photo.
        timeout_s: Seconds from the first connection to the last byte, all redirects together.
        max_redirects: How often an answer may point elsewhere.
    """

    hosts: tuple[str, ...]
    private_addresses: bool = False
    max_bytes: int = 64_000_000
    timeout_s: float = 20.0
    max_redirects: int = 3

    def __post_init__(self) -> None:
        for host in self.hosts:
            if not host.strip(".") or set(host) & set("/@?# "):
                raise ConfigError(
                    f"host {host!r}: wanted a name, such as photos.example.org, "
                    "store.example:9000 or .example.org"
                )

    def allows(self, parts: SplitResult, port: int) -> bool:
        """Whether the host of an address is on the list."""
        name = (parts.hostname or "").rstrip(".")
        named = name if port == _PORTS[parts.scheme] else f"{name}:{port}"
        return any(
            named == host or (host.startswith(".") and named.endswith(host) and named != host)
            for host in map(str.lower, self.hosts)
        )


def fetch_photo(url: str, rules: UrlRules, *, resolve: Resolve = addresses_of) -> bytes:
    """The bytes of one photo.

    Raises:
        FetchError: The URL is not allowed ("url-refused"), or fetching failed ("url-failed").
    """
    deadline = time.monotonic() + rules.timeout_s
    for _ in range(rules.max_redirects + 1):
        parts, port = _checked(url, rules)
        address = _public_address(parts, port, rules, resolve)
        connection = _connection(parts, port, address, deadline)
        # A peer that sends a byte now and then would never let a single read time out.
        guard = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, [connection])
        guard.daemon = True
        guard.start()
        try:
            found = _ask(connection, parts, rules)
        except (OSError, http.client.HTTPException) as error:
            late = time.monotonic() >= deadline
            reason = f"not done in {rules.timeout_s:g} s" if late else _reason(error)
            raise FetchError("url-failed", f"{_shown(parts)}: {reason}") from error
        finally:
            guard.cancel()
            connection.close()
        if isinstance(found, bytes):
            return found
        url = urljoin(url, found)
    raise FetchError("url-failed", f"more than {rules.max_redirects} redirects")


def _checked(url: str, rules: UrlRules) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise FetchError("url-refused", f"{url[:200]!r} is no URL ({error})") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise FetchError(
            "url-refused", f"{url[:200]!r}: wanted http:// or https:// and a host, no user name"
        )
    if any(ord(character) <= 32 or ord(character) > 126 for character in url):
        raise FetchError("url-refused", f"{url[:200]!r}: characters that a URL must escape")
    if not rules.allows(parts, port):
        raise FetchError("url-refused", f"{_shown(parts)}: this host is not on the list")
    return parts, port


def _public_address(parts: SplitResult, port: int, rules: UrlRules, resolve: Resolve) -> str:
    """One address of the host; refused if any of its addresses is not public."""
    try:
        addresses = resolve(parts.hostname or "", port)
    except (OSError, UnicodeError) as error:
        raise FetchError("url-failed", f"{_shown(parts)}: the name is unknown") from error
    if not addresses:
        raise FetchError("url-failed", f"{_shown(parts)}: the name has no address")
    if not rules.private_addresses and not all(map(_is_public, addresses)):
        raise FetchError("url-refused", f"{_shown(parts)}: its address is not public")
    return addresses[0]


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # with a zone, "fe80::1%eth0"
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        # 64:ff9b::/96 is how networks without IPv4 reach it.
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner and not (inner.is_global and not inner.is_multicast):
            return False
    return found.is_global and not found.is_multicast


def _connection(parts: SplitResult, port: int, address: str, deadline: float) -> _Plain | _Tls:
    """A connection to a checked address, under the name of the host."""
    kind = _Tls if parts.scheme == "https" else _Plain
    left_s = max(0.1, deadline - time.monotonic())
    return kind(parts.hostname or "", port, timeout=left_s, address=address)


class _Plain(http.client.HTTPConnection):
    # Kept here: the connection forgets it when an answer is to be its last.
    peer: socket.socket | None = None

    def __init__(self, host: str, port: int, *, timeout: float, address: str) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        self.sock = self.peer = socket.create_connection((self._address, self.port), self.timeout)


class _Tls(http.client.HTTPSConnection):
    peer: socket.socket | None = None

    def __init__(self, host: str, port: int, *, timeout: float, address: str) -> None:
        self._secure = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout, context=self._secure)
        self._address = address

    def connect(self) -> None:
        plain = self.peer = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self.peer = self._secure.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _cut(connection: _Plain | _Tls) -> None:
    if connection.peer is not None:
        with suppress(OSError):  # it has ended meanwhile
            connection.peer.shutdown(socket.SHUT_RDWR)


def _ask(
    connection: http.client.HTTPConnection, parts: SplitResult, rules: UrlRules
) -> bytes | str:
    """The body, or where the answer points to."""
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    headers = {"User-Agent": "siamese-nima", "Accept": "image/*", "Accept-Encoding": "identity"}
    connection.request("GET", target, headers=headers)
    with connection.getresponse() as response:
        return _answer(response, parts, rules)


def _answer(response: http.client.HTTPResponse, parts: SplitResult, rules: UrlRules) -> bytes | str:
    if response.status in _REDIRECTS:
        return response.headers.get("Location", "")
    if response.status != 200:
        raise FetchError("url-failed", f"{_shown(parts)}: answers {response.status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError("url-failed", f"{_shown(parts)}: sends the photo compressed")
    if (response.length or 0) > rules.max_bytes:
        raise _too_large(parts, rules)
    chunks, size = [], 0
    while chunk := response.read(_CHUNK):
        size += len(chunk)
        if size > rules.max_bytes:
            raise _too_large(parts, rules)
        chunks.append(chunk)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(chunks)


def _too_large(parts: SplitResult, rules: UrlRules) -> FetchError:
    return FetchError("too-large", f"{_shown(parts)}: more than {rules.max_bytes} bytes")


def _shown(parts: SplitResult) -> str:
    """The address for messages; what follows ? may be a secret."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"[:200]


def _reason(error: Exception) -> str:
    return f"cannot be fetched ({error or type(error).__name__})"


@dataclass(frozen=True, slots=True)
class RemotePhoto(FetchedPhoto):
    """A photo by URL, fetched when it is read."""

    name: str
    rules: UrlRules

    def read(self) -> bytes:
        """The photo's bytes; raises what `fetch_photo` does."""
        return fetch_photo(self.name, self.rules)
