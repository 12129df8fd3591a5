"""What tests ask of a page in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def wait_until(page: Any, expression: str) -> None:
    """Wait up to five seconds for a JavaScript expression to hold.

    Playwright's own waiting evaluates text inside the page, which the page's policy forbids.
    """
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"does not come true: {expression}")


def problems_of(page: Any, home: Path | str) -> list[str]:
    """A list that grows with every message, error, dialog, and request that leaves home.

    Home is a folder, or the address of a server.
    """
    problems: list[str] = []
    page.on("console", lambda message: problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (problems.append("dialog"), dialog.dismiss()))
    inside = ("data:", home if isinstance(home, str) else home.as_uri())
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(inside) else problems.append(f"request: {request.url}")
        ),
    )
    return problems
