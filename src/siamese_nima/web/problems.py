"""Errors as HTTP clients get them: problem details, each of a named kind.

Reference:
    Nottingham, Wilde and Dalal, "Problem Details for HTTP APIs", RFC 9457, 2023.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from siamese_nima.errors import (
    ConfigError,
    MissingExtraError,
    NimaError,
    PhotoError,
    RatingError,
    ViewError,
    WeightsError,
)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:siamese-nima:problem:"

# Status and title of every kind; docs/serve.md says what to do about each.
KINDS = {
    "malformed-request": (400, "The request is malformed"),
    "key-wanted": (401, "An API key is wanted"),
    "origin-refused": (403, "Request of another website"),
    "url-refused": (403, "This URL is not fetched"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "Another method is wanted"),
    "request-timeout": (408, "The request did not arrive in time"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body is of a kind that is not read"),
    "host-refused": (421, "This server is not called that"),
    "photo-error": (422, "A photo cannot be read or scored"),
    "config-error": (422, "An option has an impossible value"),
    "busy": (429, "Too much is waiting"),
    "internal-error": (500, "The server failed"),
    "url-failed": (502, "The URL could not be fetched"),
    "stopping": (503, "The server is stopping"),
    "out-of-time": (503, "The answer took too long"),
}
# Errors of the library that can reach a client, most special first.
_LIBRARY_ERRORS: tuple[tuple[type[NimaError], str], ...] = (
    (PhotoError, "photo-error"),
    (ConfigError, "config-error"),
    (ViewError, "config-error"),
    (RatingError, "config-error"),
    (WeightsError, "internal-error"),
    (MissingExtraError, "internal-error"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request, or one photo of it, has no result.

    Attributes:
        kind: One of `KINDS`.
        detail: A sentence for people: what was found, what was wanted, what to do.
        retry_after_s: When to come again, for problems that pass.
    """

    kind: str
    detail: str
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def to_json(self) -> dict[str, Any]:
        """The members of RFC 9457 that say something here."""
        status, title = KINDS[self.kind]
        return {
            "type": TYPE_PREFIX + self.kind,
            "title": title,
            "status": status,
            "detail": self.detail,
        }

    def body(self) -> bytes:
        """What is sent."""
        return json.dumps(self.to_json()).encode()

    def headers(self) -> dict[str, str]:
        """What is sent with it."""
        own = {"content-type": CONTENT_TYPE}
        if self.retry_after_s is not None:
            own["retry-after"] = str(self.retry_after_s)
        if self.kind == "key-wanted":
            # Alone: browsers do not ask for it where other ways stand beside it.
            own["www-authenticate"] = 'Basic realm="nima", charset="UTF-8"'
        return own


class RequestError(NimaError):
    """A request cannot be answered as it was asked.

    Attributes:
        problem: What the client is told.
    """

    def __init__(self, kind: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(kind=kind, detail=detail, retry_after_s=retry_after_s)


def problem_of(error: NimaError) -> Problem:
    """The problem that an error of this package is to a client."""
    if isinstance(error, RequestError):
        return error.problem
    for kind_of_error, kind in _LIBRARY_ERRORS:
        if isinstance(error, kind_of_error):
            return Problem(kind=kind, detail=str(error))
    return Problem(kind="internal-error", detail=str(error))
