"""A report as data, and its two forms: Markdown with picture files, one self-contained HTML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 960px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; }
th, td { text-align: left; white-space: nowrap; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid #ddd; vertical-align: top; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.plots figure { margin: 0; flex: 0 1 460px; } .plots img { width: 100%; height: auto; }
.photos { display: flex; flex-wrap: wrap; gap: .8rem; }
.photos figure { margin: 0; width: 150px; }
.photos img { width: 100%; height: 120px; object-fit: contain; background: #f2f2f2; }
figcaption { font-size: .8rem; color: #555; overflow-wrap: anywhere; }
.warning { border-left: 4px solid #D55E00; padding-left: .8rem; }
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
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def write_report(folder: Path, title: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write report.md, report.html and the folder `pictures`; gives the first two."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for picture in (*section.plots, *section.photos):
            (pictures / picture.name).write_bytes(picture.content)
    markdown, page = folder / "report.md", folder / "report.html"
    markdown.write_text(to_markdown(title, sections, pictures.name), encoding="utf-8")
    page.write_text(to_html(title, sections), encoding="utf-8")
    return markdown, page


def _section_html(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in section.paragraphs]
    parts += [f'<p class="warning">{escape(text)}</p>' for text in section.warnings]
    for table in section.tables:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
        rows = "\n".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in table.rows
        )
        parts.append(f"<table>\n<tr>{head}</tr>\n{rows}\n</table>")
    for kind, pictures in (("plots", section.plots), ("photos", section.photos)):
        if pictures:
            inside = "\n".join(_picture_html(picture) for picture in pictures)
            parts.append(f'<div class="{kind}">\n{inside}\n</div>')
    return "\n".join(parts)


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
