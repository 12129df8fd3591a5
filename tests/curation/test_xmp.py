"""Ratings go into XMP, and everything else in it stays."""

import json
import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.curation.xmp import (
    DIGIKAM_PICK,
    LABEL,
    NIMA,
    OUR_DIGIKAM_PICK,
    OUR_LABEL,
    OUR_MODEL,
    OUR_RATING,
    OUR_SCORE,
    RATING,
    XMP,
    Packet,
)
from siamese_nima.errors import SidecarError
from sidecar_examples import RDF_NS, WITH_RATING, WITHOUT_RATING

ABOUT = {"{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"}
OURS = {RATING: "4", OUR_RATING: "4", OUR_SCORE: "6.2500", OUR_MODEL: 'é & "<quality>"-1'}


def rated(content):
    return Packet.parse(content, "a.xmp").with_values(OURS)


def facts(content):
    """What an independent parser sees, except for ratings and what is ours."""
    found = Counter()
    for element in ElementTree.fromstring(content).iter():
        kept = {k: v for k, v in element.attrib.items() if not is_ours(k)}
        ours_alone = element.attrib and set(kept) <= ABOUT and not len(element)
        if not is_ours(element.tag) and not (ours_alone and len(kept) < len(element.attrib)):
            found[element.tag, tuple(sorted(kept.items())), (element.text or "").strip()] += 1
    return found


def is_ours(name):
    return name == f"{{{XMP}}}Rating" or name.startswith(f"{{{NIMA}}}")


@pytest.mark.parametrize("name", [*WITH_RATING, *WITHOUT_RATING])
def test_sidecars_of_other_programs_keep_all_they_have(name):
    text = WITH_RATING.get(name, "").replace("{rating}", "3") or WITHOUT_RATING[name]
    before = text.encode()
    after = rated(before)
    packet = Packet.parse(after, "a.xmp")
    assert packet.rating == 4
    assert packet.persons_rating is None
    assert packet.value(OUR_MODEL) == OURS[OUR_MODEL]
    assert facts(after) == facts(before)
    assert rated(after) == after


@pytest.mark.parametrize("name", WITH_RATING)
def test_every_byte_of_a_rated_sidecar_stays_but_the_rating(name):
    template = WITH_RATING[name]
    after = rated(template.replace("{rating}", "3").encode()).decode()
    block = after[after.rindex("<rdf:Description") : after.rindex("/>") + 2]
    assert "nima:Rating" in block
    assert after.replace(f"\n  {block}", "") == template.replace("{rating}", "4")


@pytest.mark.parametrize(
    ("text", "rating"),
    [("5", 5), ("-1", -1), ("3.0", 3), (" 2 ", 2), ("0", None), ("", None)],
)
@pytest.mark.parametrize("name", WITH_RATING)
def test_ratings_are_read_in_all_forms_and_0_is_none(name, text, rating):
    packet = Packet.parse(WITH_RATING[name].replace("{rating}", text).encode(), "a.xmp")
    assert packet.rating == packet.persons_rating == rating


def test_a_rating_that_is_no_number_is_still_a_persons():
    packet = Packet.parse(WITH_RATING["adobe"].replace("{rating}", "good").encode(), "a.xmp")
    assert packet.persons_rating is not None


def test_a_rating_of_ours_that_a_person_changed_is_the_persons():
    ours = rated(None)
    assert Packet.parse(ours, "a.xmp").persons_rating is None
    changed = ours.replace(b'xmp:Rating="4"', b'xmp:Rating="2"')
    assert Packet.parse(changed, "a.xmp").persons_rating == 2


KEPT = ("<!-- <&> -->", "<?p x?>")
names = st.sampled_from(["Alpha", "Beta", "Gamma", "Rating"])
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=12)
properties = st.lists(st.tuples(st.sampled_from("abc"), names, texts), max_size=6)
descriptions = st.lists(st.tuples(properties, properties, st.booleans()), max_size=4)
ratings = st.none() | st.sampled_from(["-1", "0", "3", "5"])


@given(descriptions, ratings, st.booleans(), st.sampled_from(["", *KEPT, "\n  "]))
def test_whatever_a_sidecar_holds_survives_a_rating(drawn, rating, as_element, between):
    spaces = " ".join(f'xmlns:{p}="urn:{p}"' for p in "abc")
    parts = [f'<rdf:RDF {RDF_NS} {spaces} xmlns:xap="{XMP}">', between]
    for attributes, elements, double in drawn:
        unique = {f"{prefix}:{name}": text for prefix, name, text in attributes}
        quoted = (quoteattr(text) if double else f"'{escape(text, {chr(39): '&apos;'})}'"
                  for text in unique.values())  # fmt: skip
        parts.append('<rdf:Description rdf:about=""')
        parts += [f" {name}={text}" for name, text in zip(unique, quoted, strict=True)]
        parts.append(">")
        parts += [f"<{p}:{n}>{escape(text)}{between}</{p}:{n}>" for p, n, text in elements]
        parts.append("</rdf:Description>")
    if rating is not None:
        parts.append('<rdf:Description rdf:about="" b:Kept="yes"')
        parts.append(f"><xap:Rating>{rating}</xap:Rating></rdf:Description>" if as_element
                     else f' xap:Rating="{rating}"/>')  # fmt: skip
    before = "".join([*parts, between, "</rdf:RDF>"]).encode()
    after = rated(before)
    assert facts(after) == facts(before)
    assert Packet.parse(before, "b").rating == (float(rating or 0) or None)
    assert Packet.parse(after, "a").rating == 4
    for kept in KEPT:
        assert after.count(kept.encode()) == before.count(kept.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "broken XML"),
        (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>", "broken XML"),
        (b"not xml", "broken XML"),
        (b"<html/>", "no XMP"),
        (f"<rdf:RDF {RDF_NS}/>".encode("utf-16"), "UTF-16"),
        (f'<?xml version="1.0" encoding="latin-1"?><rdf:RDF {RDF_NS}/>'.encode(), "latin-1"),
        (f'<!DOCTYPE a [<!ENTITY b "c">]><rdf:RDF {RDF_NS}/>'.encode(), "document type"),
        (
            WITH_RATING["digikam"].replace("{rating}", "1<!-- or 2 -->").encode(),
            "a:Rating in a form that is not understood",
        ),
        (
            WITH_RATING["digikam"]
            .replace("{rating}", "1")
            .replace('rdf:about="" xmlns:a', 'rdf:about="" a:Rating="5" xmlns:a')
            .encode(),
            "several ratings that differ",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_safely_is_refused_by_name(content, message):
    with pytest.raises(SidecarError, match=rf"^trip/a.xmp: .*{message}"):
        Packet.parse(content, "trip/a.xmp")


@pytest.mark.parametrize("name", [None, *WITH_RATING])
def test_exiv2_reads_the_rating_and_the_marks(tmp_path, name):
    pyexiv2 = pytest.importorskip("pyexiv2", reason="pyexiv2 is not installed")
    read = pyexiv2.Image(str(written(tmp_path, name))).read_xmp()
    assert read["Xmp.xmp.Rating"] == "4"
    assert "6.2500" in read.values()
    assert OURS[OUR_MODEL] in read.values()


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("name", [None, *WITH_RATING, "empty RDF", "empty rating"])
def test_exiftool_reads_the_rating_and_finds_nothing_odd(tmp_path, name):
    command = [
        "exiftool",
        "-s3",
        "-XMP-xmp:Rating",
        "-validate",
        "-warning",
        written(tmp_path, name),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[:2] == ["4", "OK"]


CS2 = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF_NS}>
  <rdf:Description rdf:about="" xmlns:xap="{XMP}" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xap:CreatorTool="Adobe Photoshop CS2">
   <dc:subject><rdf:Bag><rdf:li>Rome</rdf:li><rdf:li>holiday</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description></rdf:RDF></x:xmpmeta>"""
DECLARED_BELOW = CS2.replace(f' xmlns:xap="{XMP}"', "").replace(
    'xap:CreatorTool="Adobe Photoshop CS2">',
    f'><p:CreatorTool xmlns:p="{XMP}">Adobe Photoshop CS2</p:CreatorTool>',
)
DEFAULT = DECLARED_BELOW.replace("xmlns:p=", "xmlns=").replace("p:C", "C")
OTHER_NIMA = CS2.replace("<dc:subject>", f'<n:Note xmlns:n="{NIMA}">2</n:Note><dc:subject>')


@pytest.mark.parametrize("before", [CS2, DECLARED_BELOW, DEFAULT, OTHER_NIMA])
def test_a_namespace_keeps_the_prefix_it_has(tmp_path, before):
    pyexiv2 = pytest.importorskip("pyexiv2", reason="pyexiv2 is not installed")
    path = tmp_path / "a.xmp"
    path.write_bytes(rated(before.encode()))
    assert Packet.parse(path.read_bytes(), "a.xmp").rating == 4
    image = pyexiv2.Image(str(path))
    read = image.read_xmp()
    assert read["Xmp.xmp.Rating"] == "4"
    assert read["Xmp.xmp.CreatorTool"] == "Adobe Photoshop CS2"
    assert read["Xmp.dc.subject"] == ["Rome", "holiday"]
    image.modify_xmp({"Xmp.xmp.Rating": "2"})
    assert Packet.parse(path.read_bytes(), "a.xmp").persons_rating == 2
    assert b"Rome" in path.read_bytes()


MERGED = {
    **{name: text.replace("{rating}", "3") for name, text in WITH_RATING.items()},
    **{
        f"{name}, xap": text.replace("{rating}", "3")
        .replace("xmp:", "xap:")
        .replace("xmlns:xmp=", "xmlns:xap=")
        for name, text in WITH_RATING.items()
    },
    **WITHOUT_RATING,
    "cs2": CS2,
    "below": DECLARED_BELOW,
    "default": DEFAULT,
    "other nima": OTHER_NIMA,
    "digiKam by another prefix": WITH_RATING["digikam"]
    .replace("{rating}", "3")
    .replace("digiKam:", "dk:")
    .replace(":digiKam", ":dk"),
}
MARKED = OURS | {LABEL: "Green", OUR_LABEL: "Green", DIGIKAM_PICK: "3", OUR_DIGIKAM_PICK: "3"}


def without_ours(read):
    parts = ("rating", "score", "model", "label", "pick", "sourcefile", "filename")
    return {key: value for key, value in read.items() if not any(p in key.lower() for p in parts)}


# Exiv2 knows XMP by the element around it.
@pytest.mark.parametrize("name", [name for name, text in MERGED.items() if "x:xmpmeta" in text])
def test_what_exiv2_read_before_a_merge_it_reads_after_it(tmp_path, name):
    pyexiv2 = pytest.importorskip("pyexiv2", reason="pyexiv2 is not installed")
    before, after = tmp_path / "before.xmp", tmp_path / "after.xmp"
    before.write_text(MERGED[name], encoding="utf-8")
    after.write_bytes(Packet.parse(before.read_bytes(), "a").with_values(MARKED))
    read = [pyexiv2.Image(str(path)).read_xmp() for path in (before, after)]
    assert without_ours(read[1]) == without_ours(read[0])
    assert (read[1]["Xmp.xmp.Rating"], read[1]["Xmp.xmp.Label"]) == ("4", "Green")
    assert read[1]["Xmp.digiKam.PickLabel"] == "3"


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_what_exiftool_read_before_a_merge_it_reads_after_it(tmp_path):
    names = list(MERGED)
    for number, name in enumerate(names):
        (tmp_path / f"before-{number}.xmp").write_text(MERGED[name], encoding="utf-8")
        content = Packet.parse(MERGED[name].encode(), "a").with_values(MARKED)
        (tmp_path / f"after-{number}.xmp").write_bytes(content)
    command = ["exiftool", "-json", "-G1", "-a", "-XMP:all", "-warning", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    read = {Path(row["SourceFile"]).name: row for row in json.loads(done.stdout)}
    for number, name in enumerate(names):
        before, after = read[f"before-{number}.xmp"], read[f"after-{number}.xmp"]
        assert without_ours(after) == without_ours(before), name
        # It does not follow default namespaces, so that the group is not always XMP-xmp.
        ratings = [value for key, value in after.items() if key.endswith(":Rating")]
        assert set(ratings) <= {4, 1}, name
        # And XMP is to it what is in an element rdf:RDF.
        assert 4 in ratings or "<rdf:RDF" not in MERGED[name], name


def test_a_prefix_of_ours_that_means_something_else_stays_theirs(tmp_path):
    pyexiv2 = pytest.importorskip("pyexiv2", reason="pyexiv2 is not installed")
    theirs = CS2.replace(f'xap="{XMP}"', 'nima="urn:theirs"').replace("xap:", "nima:")
    path = tmp_path / "a.xmp"
    path.write_bytes(rated(theirs.encode()))
    image = pyexiv2.Image(str(path))
    image.modify_xmp({"Xmp.xmp.Rating": "2"})
    kept = ElementTree.fromstring(path.read_bytes())
    names = {name for element in kept.iter() for name in (element.tag, *element.attrib)}
    assert names & {"{urn:theirs}CreatorTool", "{urn:theirs/}CreatorTool"}


def test_a_rating_whose_element_declares_its_namespace_is_read_and_changed():
    before = CS2.replace(
        "<dc:subject>", f'<xap:Rating xmlns:xap="{XMP}">3</xap:Rating><dc:subject>'
    )
    assert Packet.parse(before.encode(), "a").rating == 3
    assert Packet.parse(rated(before.encode()), "a").rating == 4


@pytest.mark.parametrize("element", ["<dc:a/>", '<dc:a xmlns:n{0}="urn:{0}"/>'])
def test_the_time_for_a_packet_grows_as_its_size(element):
    def seconds(count):
        added = "".join(element.format(number) for number in range(count))
        packet = CS2.replace("<dc:subject>", added + "<dc:subject>").encode()
        started = time.process_time()
        Packet.parse(packet, "a")
        return time.process_time() - started

    seconds(100)
    assert seconds(60_000) < 40 * seconds(6_000)


def test_elements_very_deep_inside_each_other_are_refused():
    deep = CS2.replace("<dc:subject>", "<dc:a>" * 20_000 + "</dc:a>" * 20_000 + "<dc:subject>")
    with pytest.raises(SidecarError, match=r"a\.xmp: more than 200 elements inside each other"):
        Packet.parse(deep.encode(), "a.xmp")


def written(folder, name):
    template = {None: None, **WITH_RATING, **WITHOUT_RATING}[name]
    before = template and template.replace("{rating}", "3").encode()
    path = folder / "a.xmp"
    path.write_bytes(rated(before))
    return path
