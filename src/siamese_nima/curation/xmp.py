"""Ratings in XMP, the metadata that photo programs share, without touching anything else in it.

A sidecar is edited where it stands: the bytes of a value are replaced, or one block is inserted,
and all others stay as they are, whatever program wrote them. So no property, prefix or comment can
get lost.

Reference:
    ISO 16684-1:2019, "Extensible metadata platform (XMP)"; xmp:Rating is -1 (rejected) or 0 to 5.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from xml.parsers import expat

from siamese_nima.errors import SidecarError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
NIMA = "urn:siamese-nima:xmp:1.0#"
DIGIKAM = "http://www.digikam.org/ns/1.0/"

RATING = (XMP, "Rating")
# Written beside every rating of ours. A rating is ours as long as both say the same.
OUR_RATING, OUR_SCORE, OUR_MODEL = (NIMA, "Rating"), (NIMA, "Score"), (NIMA, "Model")

LABEL, OUR_LABEL = (XMP, "Label"), (NIMA, "Label")
DIGIKAM_PICK, OUR_DIGIKAM_PICK = (DIGIKAM, "PickLabel"), (NIMA, "PickLabel")
DIGIKAM_COLOUR, OUR_DIGIKAM_COLOUR = (DIGIKAM, "ColorLabel"), (NIMA, "ColorLabel")
# Written beside what a person chose on a page of ours, to know it again when the choice changes.
CHOSEN_RATING, CHOSEN_LABEL = (NIMA, "ChosenRating"), (NIMA, "ChosenLabel")
CHOSEN_DIGIKAM_PICK, CHOSEN_DIGIKAM_COLOUR = (NIMA, "ChosenPick"), (NIMA, "ChosenColor")
# Ratings of other makers, in percent and in stars.
MICROSOFT_RATING = ("http://ns.microsoft.com/photo/1.0/", "Rating")
ACDSEE_RATING = ("http://ns.acdsee.com/iptc/1.0/", "rating")
_OTHER_SPELLINGS = {"http://ns.microsoft.com/photo/1.0": MICROSOFT_RATING[0]}  # by ExifTool

Name = tuple[str, str]

_OF_INTEREST = frozenset(
    (
        *(RATING, OUR_RATING, OUR_SCORE, OUR_MODEL, MICROSOFT_RATING, ACDSEE_RATING, LABEL),
        *(OUR_LABEL, DIGIKAM_PICK, OUR_DIGIKAM_PICK, DIGIKAM_COLOUR, OUR_DIGIKAM_COLOUR),
        *(CHOSEN_RATING, CHOSEN_LABEL, CHOSEN_DIGIKAM_PICK, CHOSEN_DIGIKAM_COLOUR),
    )
)

_PREFIXES = {RDF: "rdf", XMP: "xmp", NIMA: "nima", DIGIKAM: "digiKam"}
_DEEPEST = 200  # elements inside each other; sidecars of photo programs have some 20
_ATTRIBUTE = re.compile(rb"""([^\s=/<>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=/<>"']+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")
_LOOKS_LIKE_A_RATING = re.compile(
    rb"""(?<!nima:)\b[Rr]ating\s*(?:=\s*["']|>)\s*(-?\d+(?:\.\d+)?)"""
)
# How text begins that is not in UTF-8; the longer marks first.
_OTHER_ENCODINGS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
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
    _prefixes: Mapping[str, str]

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
            reader.prefixes_to_use(),
        )

    def value(self, name: Name) -> str | None:
        """The text of a property of the photo, or None."""
        sites = self._sites.get(name)
        return sites[0].value.strip() if sites else None

    @property
    def rating(self) -> float | None:
        """The rating, -1 (rejected) to 5; None where there is none, or 0, which means the same.

        What is no number counts as a rating too, not a number, so that nobody's entry gets lost.
        Where there is no xmp:Rating, one that Windows or ACDSee wrote under another name counts.
        """
        rating = _number(self.value(RATING))
        if rating is None:
            rating = _number(self.value(ACDSEE_RATING))
        if rating is None:
            percent = _number(self.value(MICROSOFT_RATING))
            rating = percent if percent is None else stars_of_percent(percent)
        return rating

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
        prefixes = self._prefixes
        attributes = [b"<rdf:Description rdf:about=" + self._about]
        elements = []
        # Declared anew, whatever the prefixes mean in this place of the file.
        for space in (RDF, *sorted({space for space, _ in values if prefixes[space]})):
            attributes.append(f'xmlns:{prefixes[space]}="{space}"'.encode())
        for (space, name), value in values.items():
            text = _escaped(value)
            if prefixes[space]:
                attributes.append(f'{prefixes[space]}:{name}="'.encode() + text + b'"')
            else:  # an attribute cannot be in a default namespace
                elements.append(f'<{name} xmlns="{space}">'.encode() + text + f"</{name}>".encode())
        start = b"\n  " + b"\n    ".join(attributes)
        if not elements:
            return start + b"/>"
        return start + b">\n   " + b"\n   ".join(elements) + b"\n  </rdf:Description>"


def embedded_packet_rating(packet: bytes) -> tuple[float | None, bool]:
    """The rating in XMP from inside a photo, in any encoding, and whether a person gave it.

    Nothing is going to be edited, so a packet that is damaged is searched for what looks like a
    rating.
    """
    content = packet
    for start, encoding in _OTHER_ENCODINGS:
        if packet.startswith(start):
            content = packet.decode(encoding, "replace").encode("utf-8", "replace")
            content = re.sub(rb"(<\?xml[^>]*?) encoding=(['\"])[^'\"]*\2", rb"\1", content)
            break
    content = content.strip(b"\0 \r\n\t")
    try:
        parsed = Packet.parse(content, "XMP in a photo")
    except SidecarError:
        numbers = [_number(match[1].decode()) for match in _LOOKS_LIKE_A_RATING.finditer(content)]
        rating = next((number for number in numbers if number is not None), None)
        return rating, True
    return parsed.rating, parsed.persons_rating is not None


def stars_of_percent(percent: float) -> float:
    """Stars for a rating in percent, as Windows counts: 1, 25, 50, 75 and 99 are 1 to 5 stars."""
    return (
        float("nan") if math.isnan(percent) else 1.0 + sum(percent >= p for p in (13, 38, 63, 88))
    )


def _number(text: str | None) -> float | None:
    """A rating that is written down; None for none, NaN for what is no number."""
    if not text:
        return None
    try:
        return float(text) or None
    except ValueError:
        return float("nan")


@dataclass(slots=True)
class _Open:
    """An element that has begun and not ended."""

    name: Name
    spaces: Mapping[str, str]
    start: int
    text: list[str] = field(default_factory=list)
    simple: bool = True


class _Reader:
    """Finds where the properties of the photo stand: those at the top level of its RDF."""

    def __init__(self, content: bytes, label: str) -> None:
        self.sites: dict[Name, list[_Site]] = {}
        self.about = b""
        self._prefixes: dict[str, str] = {}  # the first one of each namespace
        self._taken: set[str] = set()
        self._block: _Site | None = None
        self._content = content
        self._label = label
        self._open: list[_Open] = []  # down to a property of the photo
        self._inside = 0  # how far inside of that
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

    def prefixes_to_use(self) -> dict[str, str]:
        """The prefix of each namespace that may be written; "" where it is the default one.

        One that the file binds already is used again: the XMP Toolkit, on which Exiv2 and Adobe
        programs stand, knows one prefix for a namespace and refuses a file that has two.
        """
        used = {}
        for space, usual in _PREFIXES.items():
            prefix = self._prefixes.get(space, usual)
            if space == NIMA and space not in self._prefixes:
                # It also knows one namespace for a prefix, and would move theirs into ours.
                prefix = next(p for p in _numbered(usual) if p not in self._taken)
            used[space] = prefix
        # Its attributes need one.
        return used | {RDF: "rdf"}

    def _refused(self, problem: str) -> SidecarError:
        return SidecarError(f"{self._label}: {problem}. It is left as it is.")

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG002
        if encoding and encoding.lower() not in ("utf-8", "us-ascii"):
            raise self._refused(f"text in {encoding}; wanted UTF-8")

    def _doctype(self, *_: object) -> None:
        raise self._refused("a document type, which XMP does not have")

    def _start(self, qname: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) + self._inside == _DEEPEST:
            raise self._refused(f"more than {_DEEPEST} elements inside each other")
        spaces: Mapping[str, str] = self._open[-1].spaces if self._open else {}
        declared = {name[6:]: attributes[name] for name in attributes if _declares(name)}
        if declared:
            spaces = {**spaces, **declared}
            self._taken.update(declared)
            for prefix, space in declared.items():
                self._prefixes.setdefault(space, prefix)
        if self._is_property():
            self._inside += 1
            self._open[-1].simple = False
            return
        element = _Open(_expanded(qname, spaces), spaces, self._parser.CurrentByteIndex)
        self._open.append(element)
        if len(self._open) > 1 and self._open[-2].name == (RDF, "RDF"):
            self._properties_of(element, attributes)
        elif self._is_property():
            element.simple = all(name == "xml:lang" or _declares(name) for name in attributes)

    def _properties_of(self, element: _Open, attributes: Mapping[str, str]) -> None:
        """The attributes of a description of the photo are properties of it."""
        for match in _ATTRIBUTE.finditer(self._content, element.start, self._tag_end(element)):
            qname = match[1].decode()
            name = _expanded(qname, element.spaces, attribute=True)
            start, end = match.span(2)
            if name in ((RDF, "about"), ("", "about")):
                # All descriptions name the same photo; as written, since programs compare that.
                self.about = self.about or match[2]
            else:
                self._found(name, _Site(attributes[qname], start + 1, end - 1))

    def _end(self, qname: str) -> None:
        if self._inside:
            self._inside -= 1
            return
        element = self._open[-1]
        if self._is_property() and element.name in _OF_INTEREST:
            self._end_property(element, qname)
        if element.name == (RDF, "RDF") and self._block is None:
            close, tag_end = self._parser.CurrentByteIndex, self._tag_end(element)
            if self._is_empty(tag_end):
                after = f"\n</{qname}>".encode()
                self._block = _Site("", tag_end - 2, tag_end, b">", after)
            else:
                inside = len(self._content[:close].rstrip())
                self._block = _Site("", inside, inside)
        self._open.pop()

    def _end_property(self, element: _Open, qname: str) -> None:
        close, tag_end = self._parser.CurrentByteIndex, self._tag_end(element)
        if not element.simple or b"<" in self._content[tag_end:close]:
            raise self._refused(f"{qname} in a form that is not understood")
        if self._is_empty(tag_end):
            before = self._content[element.start : tag_end - 2] + b">"
            site = _Site("", element.start, tag_end, before, f"</{qname}>".encode())
        else:
            site = _Site("".join(element.text), tag_end, close)
        self._found(element.name, site)

    def _tag_end(self, element: _Open) -> int:
        found = _TAG.match(self._content, element.start)
        if found is None:
            raise self._refused(f"an element {element.name[1]} that cannot be read")
        return found.end()

    def _is_empty(self, tag_end: int) -> bool:
        return self._content.endswith(b"/>", 0, tag_end)

    def _text(self, text: str) -> None:
        if self._is_property() and not self._inside:
            self._open[-1].text.append(text)

    def _is_property(self) -> bool:
        """Whether the innermost element is a property of the photo."""
        return len(self._open) > 2 and self._open[-3].name == (RDF, "RDF")

    def _found(self, name: Name, site: _Site) -> None:
        self.sites.setdefault(name, []).append(site)


def _expanded(qname: str, spaces: Mapping[str, str], *, attribute: bool = False) -> Name:
    prefix, colon, local = qname.rpartition(":")
    # The default namespace is not for attributes.
    space = "" if attribute and not colon else spaces.get(prefix, "")
    return _OTHER_SPELLINGS.get(space, space), local


def _declares(attribute: str) -> bool:
    return attribute == "xmlns" or attribute.startswith("xmlns:")


def _numbered(prefix: str) -> Iterator[str]:
    yield prefix
    yield from (f"{prefix}{number}" for number in count(2))


def _escaped(text: str) -> bytes:
    """Text for an attribute or an element in any encoding: only ASCII characters."""
    return html.escape(text).encode("ascii", "xmlcharrefreplace")
