"""What tests ask of a page in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Of every visible element with text of its own: its words, and the contrast of their colour to
# the ground they stand on by WCAG 2. Grounds are opaque where they are set at all.
_CONTRASTS = """
() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((c) => c / 255).map(
      (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter((n) => n.nodeType === 3)
      .map((n) => n.data.trim()).join(" ").trim();
    if (!words || !element.checkVisibility() || element.matches("script, style")) continue;
    const pair = [light(getComputedStyle(element).color), light(ground(element))];
    const [dark, bright] = pair.sort((a, b) => a - b);
    found[words] = (bright + 0.05) / (dark + 0.05);
  }
  return found;
}
"""


def contrasts(page: Any) -> dict[str, float]:
    """Contrast of every visible text, 1 to 21, by its words."""
    return page.evaluate(_CONTRASTS)


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
