"""Ratings in XMP, the metadata that photo programs share, without touching anything else in it.

A sidecar is edited where it stands: the bytes of a value are replaced, or one block is inserted,
and all others stay as they are, whatever program wrote them. So no property, prefix or comment can
get lost.

Reference:
    ISO 16684-1:2019, "Extensible metadata platform (XMP)"; xmp:Rating is -1 (rejected) or 0 to 5.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from siamese_nima.errors import SidecarError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
NIMA = "urn:siamese-nima:xmp:1.0#"

RATING = (XMP, "Rating")
# Written beside every rating of ours. A rating is ours as long as both say the same.
OUR_RATING, OUR_SCORE, OUR_MODEL = (NIMA, "Rating"), (NIMA, "Score"), (NIMA, "Model")

Name = tuple[str, str]

_PREFIXES = {RDF: "rdf", XMP: "xmp", NIMA: "nima"}
_ATTRIBUTE = re.compile(rb"""([^\s=/<>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=/<>"']+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")
_NEW = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a value stands: content[start:end] becomes before + new value + after."""

    value: str
    start: int
    end: int
    before: bytes = b""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Packet:
    """XMP metadata: a sidecar's content, or what is embedded in a photo.

    Attributes:
        content: The bytes.
    """

    content: bytes
    _sites: Mapping[Name, tuple[_Site, ...]]
    _block: _Site
    _about: bytes

    @classmethod
    def parse(cls, content: bytes | None, label: str) -> Packet:
        """Read a packet; None is a new one, without any properties.

        Raises:
            SidecarError: Not well-formed, no XMP, or in a form that cannot be edited safely. The
                message starts with `label`.
        """
        content = _NEW if content is None else content
        reader = _Reader(content, label)
        block = reader.read()
        return cls(
            content,
            {name: tuple(s) for name, s in reader.sites.items()},
            block,
            reader.about or b'""',
        )

    def value(self, name: Name) -> str | None:
        """The text of a property of the photo, or None."""
        sites = self._sites.get(name)
        return sites[0].value.strip() if sites else None

    @property
    def rating(self) -> float | None:
        """The rating, -1 (rejected) to 5; None where there is none, or 0, which means the same.

        What is no number counts as a rating too, not a number, so that nobody's entry gets lost.
        """
        text = self.value(RATING)
        if not text:
            return None
        try:
            return float(text) or None
        except ValueError:
            return float("nan")

    @property
    def persons_rating(self) -> float | None:
        """The rating, unless it is one of ours that nobody has changed since."""
        rating = self.rating
        return None if rating is None or self.value(OUR_RATING) == f"{rating:g}" else rating

    def with_values(self, values: Mapping[Name, str]) -> bytes:
        """The content with these properties; where there is one already, its value is replaced."""
        edits = [
            (site.start, site.end, site.before + _escaped(value) + site.after)
            for name, value in values.items()
            for site in self._sites.get(name, ())
        ]
        new = {name: value for name, value in values.items() if name not in self._sites}
        if new:
            block = self._block
            text = block.before + self._description(new) + block.after
            edits.append((block.start, block.end, text))
        content = self.content
        for start, end, replacement in sorted(edits, reverse=True):
            content = content[:start] + replacement + content[end:]
        return content

    def _description(self, values: Mapping[Name, str]) -> bytes:
        lines = [b"<rdf:Description rdf:about=" + self._about]
        # Declared anew, whatever the prefixes mean in the rest of the file.
        for space in (RDF, *sorted({space for space, _ in values})):
            lines.append(f'xmlns:{_PREFIXES[space]}="{space}"'.encode())
        for (space, name), value in values.items():
            lines.append(f'{_PREFIXES[space]}:{name}="'.encode() + _escaped(value) + b'"')
        return b"\n  " + b"\n    ".join(lines) + b"/>"


@dataclass(slots=True)
class _Open:
    """An element that has begun and not ended."""

    name: Name
    spaces: Mapping[str, str]
    start: int
    tag_end: int
    text: list[str] = field(default_factory=list)
    simple: bool = True


class _Reader:
    """Finds where the properties of the photo stand: those at the top level of its RDF."""

    def __init__(self, content: bytes, label: str) -> None:
        self.sites: dict[Name, list[_Site]] = {}
        self.about = b""
        self._block: _Site | None = None
        self._content = content
        self._label = label
        self._open: list[_Open] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.XmlDeclHandler = self._declaration
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.buffer_text = True

    def read(self) -> _Site:
        """Fill `sites` and `about`; returns where a new description can stand.

        Raises:
            SidecarError: See `Packet.parse`.
        """
        if self._content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in self._content:
            raise self._refused("text in UTF-16 or UTF-32; wanted UTF-8")
        try:
            self._parser.Parse(self._content, True)
        except expat.ExpatError as error:
            raise self._refused(f"broken XML ({error})") from error
        if self._block is None:
            raise self._refused("no XMP (it has no rdf:RDF)")
        for name, sites in self.sites.items():
            if name == RATING and len({site.value.strip() for site in sites}) > 1:
                raise self._refused("several ratings that differ")
        return self._block

    def _refused(self, problem: str) -> SidecarError:
        return SidecarError(f"{self._label}: {problem}. It is left as it is.")

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG002
        if encoding and encoding.lower() not in ("utf-8", "us-ascii"):
            raise self._refused(f"text in {encoding}; wanted UTF-8")

    def _doctype(self, *_: object) -> None:
        raise self._refused("a document type, which XMP does not have")

    def _start(self, qname: str, attributes: Mapping[str, str]) -> None:
        start = self._parser.CurrentByteIndex
        found = _TAG.match(self._content, start)
        if found is None:
            raise self._refused(f"an element {qname} that cannot be read")
        spaces = dict(self._open[-1].spaces) if self._open else {}
        for name, value in attributes.items():
            if name == "xmlns" or name.startswith("xmlns:"):
                spaces[name[6:]] = value
        element = _Open(_expanded(qname, spaces), spaces, start, found.end())
        if self._open:
            self._open[-1].simple = False
        self._open.append(element)
        if len(self._open) > 1 and self._open[-2].name == (RDF, "RDF"):
            self._properties_of(element, attributes)
        elif self._is_property() and set(attributes) - {"xml:lang"}:
            element.simple = False

    def _properties_of(self, element: _Open, attributes: Mapping[str, str]) -> None:
        """The attributes of a description of the photo are properties of it."""
        for match in _ATTRIBUTE.finditer(self._content, element.start, element.tag_end):
            qname = match[1].decode()
            name = _expanded(qname, element.spaces, attribute=True)
            start, end = match.span(2)
            if name in ((RDF, "about"), ("", "about")):
                # All descriptions name the same photo; as written, since programs compare that.
                self.about = self.about or match[2]
            else:
                self._found(name, _Site(attributes[qname], start + 1, end - 1))

    def _end(self, qname: str) -> None:
        element = self._open[-1]
        close = self._parser.CurrentByteIndex
        empty = self._content[: element.tag_end].endswith(b"/>")
        tag = qname.encode()
        if self._is_property() and element.name in (RATING, OUR_RATING, OUR_SCORE, OUR_MODEL):
            if not element.simple or b"<" in self._content[element.tag_end : close]:
                raise self._refused(f"{qname} in a form that is not understood")
            text = "".join(element.text)
            if empty:
                body = self._content[element.start : element.tag_end - 2]
                wrap = body + b">", b"</" + tag + b">"
                self._found(element.name, _Site("", element.start, element.tag_end, *wrap))
            else:
                self._found(element.name, _Site(text, element.tag_end, close))
        if element.name == (RDF, "RDF") and self._block is None:
            if empty:
                place = element.tag_end - 2, element.tag_end
                self._block = _Site("", *place, b">", b"\n</" + tag + b">")
            else:
                inside = len(self._content[:close].rstrip())
                self._block = _Site("", inside, inside)
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].text.append(text)

    def _is_property(self) -> bool:
        """Whether the innermost element is a property of the photo."""
        return len(self._open) > 2 and self._open[-3].name == (RDF, "RDF")

    def _found(self, name: Name, site: _Site) -> None:
        self.sites.setdefault(name, []).append(site)


def _expanded(qname: str, spaces: Mapping[str, str], *, attribute: bool = False) -> Name:
    prefix, colon, local = qname.rpartition(":")
    # The default namespace is not for attributes.
    return ("" if attribute and not colon else spaces.get(prefix, "")), local


def _escaped(text: str) -> bytes:
    """Text for an attribute or an element in any encoding: only ASCII characters."""
    return html.escape(text).encode("ascii", "xmlcharrefreplace")
