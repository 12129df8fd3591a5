"""The page itself: one HTML file, with its style, script and pictures inside or beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from siamese_nima.card import ModelCard
from siamese_nima.curation.report.entries import BurstPlace, Entry
from siamese_nima.photos.names import printable
from siamese_nima.scoring.ranking import RankPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An entry with what a browser needs to show it.

    Attributes:
        entry: What there is to say.
        link: Address of the original file, relative to the page; None for a photo without one.
        thumbnail: Address of a small picture, which may hold it (`inline_picture`), or None.
        large: Address of a large picture, where browsers cannot show the original; or None.
        note: Why there is no thumbnail of a photo that has a score, or "".
    """

    entry: Entry
    link: str | None
    thumbnail: str | None
    large: str | None = None
    note: str = ""


def inline_picture(webp: bytes) -> str:
    """An address that holds a small WebP file."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def page(
    title: str, summary: str, shown: Sequence[Shown], card: ModelCard, *, inline: bool = True
) -> str:
    """The whole page.

    Args:
        title: Heading of the page.
        summary: A sentence below it.
        shown: The photos, best first.
        card: Of the model that scored them.
        inline: Whether style, script and content policy are inside; else the page asks for
            `page.css` and `page.js` beside it, and the policy is for the server to send.
    """
    style, script = page_part("page.css"), page_part("page.js")
    bursts = sorted({place.burst for item in shown if (place := item.entry.burst)})
    features = [] if bursts else ["no-bursts"]
    if all(item.entry.result.percentile is None for item in shown):
        features.append("no-percentiles")
    tallest = max((max(item.entry.result.distribution or (0.0,)) for item in shown), default=1.0)
    return Template(page_part("page.html")).substitute(
        policy=_content_policy(style, script) if inline else "",
        title=escape(title),
        summary=escape(summary),
        style=f"<style>{style}</style>" if inline else '<link rel="stylesheet" href="page.css">',
        script=f"<script>{script}</script>" if inline else '<script src="page.js"></script>',
        features=" ".join(features),
        burst_options="".join(f'<option value="{n}">{n}</option>' for n in bursts),
        low=f"{card.scale.low:g}",
        high=f"{card.scale.high:g}",
        count=f"{len(shown)} photos",
        about=_about(card),
        cards="\n".join(_card_html(item, tallest) for item in shown),
    )


@cache
def page_part(name: str) -> str:
    """One of the files that the page is made of: page.html, page.css or page.js."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def _content_policy(style: str, script: str) -> str:
    """Only our own style and script run, whatever a file name may say; nothing is fetched but
    the original photos, from where the page is."""
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: file: 'self'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _card_html(item: Shown, tallest: float) -> str:
    entry = item.entry
    path = printable(entry.result.path)
    name = escape(Path(path).name or path)
    title = f'<a class="name" href="{escape(item.link)}">{name}</a>' if item.link else name
    body = _figures_html(entry, tallest) + _marks_html(entry)
    problem = entry.result.error or item.note
    if problem:
        body += f'<p class="error">{escape(printable(problem))}</p>'
    failed = "" if entry.result.error is None else ' class="failed"'
    return (
        f"<li{failed} {_attributes(_data(item, path))}>"
        f'<button type="button" class="open" aria-haspopup="dialog" '
        f'aria-label="Look closer at {name}">{_image(item)}</button>'
        f'<h3><span>{title}</span><label class="choose">'
        f'<input type="checkbox" aria-label="Choose {name}"></label></h3>{body}</li>'
    )


def _image(item: Shown) -> str:
    if item.thumbnail is None:
        return "no picture"
    return f'<img alt="" loading="lazy" decoding="async" src="{escape(item.thumbnail)}">'


def _data(item: Shown, path: str) -> dict[str, str]:
    entry = item.entry
    result, place = entry.result, entry.burst
    data: dict[str, Any] = {
        "path": path,
        "given": entry.given,
        "name": entry.name_order,
        "score": None if result.mean is None else f"{result.mean:.4f}",
        "percentile": None if result.percentile is None else f"{result.percentile:.2f}",
        "spread": None if result.spread is None else f"{result.spread:.4f}",
        "burst": place and place.burst,
        "place": place and place.place,
        "facts": json.dumps(_facts(entry)),
        "shares": json.dumps(_shares(entry)),
        "unlistable": None if path == result.path else "",
        "large": item.large,
    }
    return {name: str(value) for name, value in data.items() if value is not None}


def _attributes(data: Mapping[str, str]) -> str:
    return " ".join(f'data-{name}="{escape(value)}"' for name, value in data.items())


def _facts(entry: Entry) -> list[tuple[str, str]]:
    result = entry.result
    if result.mean is None:
        return []
    facts = [("Score", f"{result.mean:.2f} on a scale of {result.scale}")]
    if result.percentile is not None:
        facts.append(("Percentile", f"{result.percentile:.0f} %"))
    facts.append(("Spread", f"{result.spread:.2f} points"))
    if entry.place:
        facts.append(("Rank", _rank_text(entry.place)))
        if entry.place.over_next is not None:
            facts.append(("Before the next", f"for {100 * entry.place.over_next:.0f} % of people"))
    if entry.burst:
        facts.append(("Burst", _burst_text(entry.burst)))
    for name, other in result.others.items():
        if other.mean is not None:
            facts.append((f"Score by {name}", f"{other.mean:.2f} on a scale of {other.scale}"))
    return facts


def _rank_text(place: RankPlace) -> str:
    if place.best == place.worst:
        return str(place.rank)
    return f"{place.rank}; {place.best} to {place.worst} are too close to call"


def _burst_text(place: BurstPlace) -> str:
    standing = "best" if place.place == 1 else f"number {place.place}"
    text = f"{place.burst}: {standing} of {place.size}"
    if place.too_close:
        other = "the second" if place.place == 1 else "the best"
        text += f", too close to call with {other}"
    return text


def _shares(entry: Entry) -> list[tuple[str, str]]:
    shares = entry.result.distribution or ()
    grades = entry.result.scale.grades
    return [(f"{g:g}", f"{100 * share:.1f}") for g, share in zip(grades, shares, strict=False)]


def _figures_html(entry: Entry, tallest: float) -> str:
    result = entry.result
    if result.mean is None or result.distribution is None:
        return ""
    percentile = "" if result.percentile is None else f"{result.percentile:.0f} %<br>"
    return (
        f'<div class="figures"><b title="score">{result.mean:.2f}</b>'
        f"<small>{percentile}spread {result.spread:.1f}</small>"
        f"{_chart(result.distribution, tallest)}</div>"
    )


def _marks_html(entry: Entry) -> str:
    marks = []
    if entry.place is not None:
        marks.append(f"Rank {_rank_text(entry.place)}")
    if place := entry.burst:
        text = _burst_text(place).partition(": ")[2]
        marks.append(f'<button type="button" class="burst">Burst {place.burst}</button> {text}')
    return "".join(f'<p class="marks">{mark}</p>' for mark in marks)


def _chart(distribution: Sequence[float], tallest: float) -> str:
    """Bars of the rating distribution; all charts of a page have the same height for a share."""
    bars = "".join(
        f"M{10 * place + 1} 100v{-100 * share / tallest:.1f}h8V100z"
        for place, share in enumerate(distribution)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {10 * len(distribution)} 100" '
        f'preserveAspectRatio="none" aria-hidden="true"><path d="{bars}"/></svg>'
    )


def _about(card: ModelCard) -> str:
    lines = [
        card.description,
        f"Model {card.name}, version {card.version}; scale {card.scale}, higher is better.",
    ]
    if card.population:
        lines.append(f"Percentile: share of {card.population.name} that scores lower.")
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in card.limits)
    return paragraphs + (f"<p>Limits:</p><ul>{limits}</ul>" if limits else "")
