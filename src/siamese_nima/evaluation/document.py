"""A report as data, and its two forms: Markdown with picture files, one self-contained HTML."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from siamese_nima.atomic_write import write_whole

_LONG = 30  # letters of a table cell that may take several lines
_CSS = """
:root { color-scheme: light dark; --page: #fff; --ink: #222; --quiet: #555; --line: #ddd;
  --stage: #f2f2f2; --warning: #d55e00; --focus: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --page: #141618; --ink: #e9eaeb; --quiet: #aab0b6; --line: #383c40; --stage: #0b0c0d;
    --focus: #8cc0ff; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.table { overflow-x: auto; margin: 1rem 0; }
.table:focus-visible { outline: 3px solid var(--focus); outline-offset: 3px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; white-space: nowrap; padding: .25rem .9rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; }
.prose { white-space: normal; min-width: 15rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 1rem; align-items: start; }
.plots figure { margin: 0; max-width: 30rem; }
.plots img { width: 100%; height: auto; }
/* Light and dark change places, hues stay, and the paper, black then, lets the page through. */
@media (prefers-color-scheme: dark) {
  .plots img { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }
}
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr));
  gap: .8rem; }
.photos figure { margin: 0; min-width: 0; }
.photos img { width: 100%; height: 7.5rem; object-fit: contain; background: var(--stage);
  border-radius: 4px; display: block; }
figcaption { font-size: .8rem; color: var(--quiet); overflow-wrap: anywhere; margin-top: .2rem; }
.warning { border-left: 4px solid var(--warning); padding-left: .8rem; }
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a report.

    Attributes:
        name: File name with its ending, unique in the report; .svg, .webp or .png.
        content: The file's bytes.
        caption: What it shows.
    """

    name: str
    content: bytes
    caption: str

    @property
    def media_type(self) -> str:
        """Its media type."""
        kind = Path(self.name).suffix.lstrip(".")
        return "image/svg+xml" if kind == "svg" else f"image/{kind}"


@dataclass(frozen=True, slots=True)
class Table:
    """Column titles, and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report: title, paragraphs, warnings, tables, plots, photos, in this order."""

    title: str
    paragraphs: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Picture] = ()
    photos: Sequence[Picture] = ()


def to_markdown(title: str, sections: Sequence[Section], pictures_folder: str) -> str:
    """The report as Markdown whose pictures lie in a folder beside it."""
    blocks = [f"# {_plain(title)}"]
    for section in sections:
        blocks.append(f"## {_plain(section.title)}")
        blocks += [_plain(text) for text in section.paragraphs]
        blocks += [f"**Note:** {_plain(text)}" for text in section.warnings]
        for table in section.tables:
            rows = [table.header, ["---"] * len(table.header), *table.rows]
            blocks.append("\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows))
        blocks += [
            f"![{_plain(picture.caption)}]({pictures_folder}/{picture.name})"
            for picture in section.plots
        ]
        if section.photos:
            lines = [
                f"- [{_plain(picture.caption)}]({pictures_folder}/{picture.name})"
                for picture in section.photos
            ]
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The report as one HTML page that needs no other file and runs no script."""
    body = "\n".join(_section_html(section) for section in sections)
    digest = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_html(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def write_report(folder: Path, title: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write report.md, report.html and the folder `pictures`; gives the first two."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for picture in (*section.plots, *section.photos):
            write_whole(pictures / picture.name, picture.content)
    markdown, page = folder / "report.md", folder / "report.html"
    text = to_markdown(title, sections, pictures.name)
    write_whole(markdown, text.encode("utf-8", "backslashreplace"))
    write_whole(page, to_html(title, sections).encode("utf-8", "backslashreplace"))
    return markdown, page


def _section_html(section: Section) -> str:
    parts = [f"<h2>{_html(section.title)}</h2>"]
    parts += [f"<p>{_html(text)}</p>" for text in section.paragraphs]
    parts += [f'<p class="warning">{_html(text)}</p>' for text in section.warnings]
    for table in section.tables:
        head = "".join(f'<th scope="col">{_html(cell)}</th>' for cell in table.header)
        rows = "\n".join(
            "<tr>" + "".join(_cell_html(cell) for cell in row) + "</tr>" for row in table.rows
        )
        # It can be wider than a phone; the keyboard scrolls what can have the focus.
        parts.append(
            f'<div class="table" role="region" tabindex="0" aria-label="{escape(section.title)}">\n'
            f"<table>\n<tr>{head}</tr>\n{rows}\n</table>\n</div>"
        )
    for kind, pictures in (("plots", section.plots), ("photos", section.photos)):
        if pictures:
            inside = "\n".join(_picture_html(picture) for picture in pictures)
            parts.append(f'<div class="{kind}">\n{inside}\n</div>')
    return "\n".join(parts)


def _cell_html(text: str) -> str:
    # Figures stay on one line; sentences need not.
    kind = ' class="prose"' if len(text) > _LONG else ""
    return f"<td{kind}>{_html(text)}</td>"


def _html(text: str) -> str:
    """Text that HTML shows as it is, a number and its percent sign on one line."""
    return escape(text).replace(" %", "\u00a0%")


def _picture_html(picture: Picture) -> str:
    data = base64.b64encode(picture.content).decode()
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:{picture.media_type};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>" else c for c in " ".join(text.split()))


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|") if set(text) != {"-"} else text
