"""API keys: who may use a server that others can reach."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from siamese_nima.errors import ConfigError
from siamese_nima.web.problems import Problem
from siamese_nima.web.safety import App, Receive, Scope, Send, send_problem

KEY_VARIABLE = "NIMA_API_KEY"
OPEN_PATHS = ("/health/live", "/health/ready")
_SHORTEST = 16
_WANTED = Problem(
    kind="key-wanted",
    detail="Send the API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
)


def read_api_keys(file: Path | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a file, one a line, or else the one of the environment variable NIMA_API_KEY.

    Keys are not taken from the command line, which every user of a machine can list.

    Raises:
        ConfigError: The file cannot be read or has no key; a key is short or not plain ASCII.
    """
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
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
        passes = (
            scope["type"] not in ("http", "websocket")
            or scope["path"] in self._open_paths
            or any(self._fits(key) for key in _keys_in(scope))
        )
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


def _keys_in(scope: Scope) -> list[str]:
    keys = []
    for name, value in scope["headers"]:
        text = value.decode("latin-1").strip()
        if name == b"x-api-key":
            keys.append(text)
        elif name == b"authorization":
            kind, _, rest = text.partition(" ")
            if kind.lower() == "bearer":
                keys.append(rest.strip())
            elif kind.lower() == "basic":
                keys.append(_password(rest.strip()))
    return keys


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
