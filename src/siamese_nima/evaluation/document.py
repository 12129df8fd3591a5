"""A report as data, and its two forms: Markdown with picture files, one self-contained HTML."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2

from siamese_nima.atomic_write import write_whole

DOCUMENT_FILES = ("report.md", "report.html")


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
    def address(self) -> str:
        """An address that holds the picture."""
        kind = Path(self.name).suffix.lstrip(".")
        media_type = "image/svg+xml" if kind == "svg" else f"image/{kind}"
        return f"data:{media_type};base64,{base64.b64encode(self.content).decode()}"


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
    style = _part("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    return _template().render(title=title, sections=sections, style=style, policy=policy)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # A number and its percent sign stay on one line.
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    return environment.get_template("report.html")


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def write_report(folder: Path, title: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write report.md, report.html and the folder `pictures`; gives the first two."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for picture in (*section.plots, *section.photos):
            write_whole(pictures / picture.name, picture.content)
    markdown, page = (folder / name for name in DOCUMENT_FILES)
    text = to_markdown(title, sections, pictures.name)
    write_whole(markdown, text.encode("utf-8", "backslashreplace"))
    write_whole(page, to_html(title, sections).encode("utf-8", "backslashreplace"))
    return markdown, page


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>" else c for c in " ".join(text.split()))


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|") if set(text) != {"-"} else text
