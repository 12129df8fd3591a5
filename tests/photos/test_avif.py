"""AVIF: crops, rotations, and heads that libavif refuses."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile

from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes, read_photo

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
ORIENTATION = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_properties(contents, change):
    """The file with the list of its properties and their tables as `change` returns them."""
    meta = boxes.span(contents, b"meta")
    parts = []
    for part in boxes.spans(contents, meta.start + 4, meta.end):
        content = contents[part.start : part.end]
        if part.kind == b"iprp":
            content = b"".join(change(boxes.find(content, b"ipco"), boxes.find(content, b"ipma")))
        parts.append((part.kind, content))
    grown = sum(8 + len(content) for _, content in parts) - (meta.end - meta.start - 4)
    for place, (kind, content) in enumerate(parts):
        if kind == b"iloc":
            (count,) = struct.unpack_from(">H", content, 6)
            moved = bytearray(content)
            for item in range(count):  # version 0: one extent, an offset and a length of 4 bytes
                at = 8 + 14 * item + 6
                (offset,) = struct.unpack_from(">I", moved, at)
                struct.pack_into(">I", moved, at, offset + grown)
            parts[place] = kind, bytes(moved)
    inside = contents[meta.start : meta.start + 4] + b"".join(box(*part) for part in parts)
    return contents[: meta.head] + box(b"meta", inside) + contents[meta.end :]


def cropped(contents, clap):
    def change(properties, table):
        properties += box(b"clap", struct.pack(">8i", *clap))
        number = len(list(boxes.boxes(properties)))
        row = boxes.associations(table)[1]
        longer = row[:2] + bytes([row[2] + 1]) + row[3:] + bytes([0x80 | number])
        return box(b"ipco", properties), box(b"ipma", table.replace(row, longer, 1))

    return with_properties(contents, change)


def in_two_tables(contents):
    def change(properties, table):
        rows = boxes.associations(table)
        assert len(rows) == 2
        tables = [table[:4] + struct.pack(">I", 1) + row for row in list(rows.values())[::-1]]
        return (box(b"ipco", properties), *(box(b"ipma", each) for each in tables))

    return with_properties(contents, change)


@pytest.mark.parametrize(
    ("clap", "part"),
    [
        ((60, 1, 40, 1, 0, 1, 0, 1), (30, 20, 90, 60)),
        ((60, 1, 40, 1, 20, 1, -10, 1), (50, 10, 110, 50)),
        ((61, 1, 40, 1, 0, 1, 0, 1), (29, 20, 90, 60)),  # half a pixel goes to the left
        ((60, 1, 41, 1, 0, 1, 0, 1), (30, 20, 90, 61)),
        ((121, 2, 40, 1, 0, 1, 0, 1), (29, 20, 89, 60)),
    ],
)
def test_the_clean_aperture_is_what_is_read(scene, encoded, difference, clap, part):
    contents = encoded(scene, "AVIF", quality=100, subsampling="4:4:4")
    photo = read_photo(cropped(contents, clap))
    assert photo.size == (part[2] - part[0], part[3] - part[1])
    assert difference(photo, scene.crop(part)) < 2


@pytest.mark.parametrize(
    "clap", [(60, 0, 40, 1, 0, 1, 0, 1), (160, 1, 40, 1, 0, 1, 0, 1), (60, 1, 40, 1, 99, 1, 0, 1)]
)
def test_an_impossible_clean_aperture_shows_the_whole_picture(scene, encoded, clap):
    contents = encoded(scene, "AVIF", quality=100, subsampling="4:4:4")
    assert read_photo(cropped(contents, clap)).size == scene.size


def test_properties_in_two_tables_of_one_kind_are_read(scene, encoded, difference):
    picture = scene.copy()
    picture.putalpha(Image.fromarray(np.full((80, 120), 100, np.uint8)))
    contents = encoded(picture, "AVIF", quality=100, subsampling="4:4:4")
    split = in_two_tables(contents)
    with pytest.raises(SyntaxError, match="BMFF"):
        AvifImageFile(BytesIO(split))
    assert difference(read_photo(split), read_photo(contents)) == 0


def test_what_xmp_and_exif_say_of_the_orientation_does_not_count(scene, encoded):
    exif = Image.Exif()
    exif[274] = 6
    plain = encoded(scene, "AVIF", xmp=ORIENTATION)
    assert read_photo(plain).size == scene.size
    # Pillow writes the orientation of EXIF as one of the file's own properties.
    assert read_photo(encoded(scene, "AVIF", exif=exif)).size == scene.size[::-1]


def test_more_pixels_than_libavif_takes_are_named(scene, encoded):
    contents = encoded(scene, "AVIF")
    at = contents.index(b"ispe") + 8
    large = contents[:at] + struct.pack(">II", 17000, 17000) + contents[at + 8 :]
    with pytest.raises(PhotoError, match=r"^a.avif: 17000 x 17000 pixels, more than AVIF is read"):
        read_photo(large, name="a.avif")


@pytest.mark.parametrize("brand", [b"mif2", b"miaf", b"MA1B", b"mif1"])
def test_avif_is_known_by_any_of_its_brands(scene, encoded, difference, brand):
    contents = encoded(scene, "AVIF", quality=100, subsampling="4:4:4")
    assert contents[8:12] == b"avif"
    assert difference(read_photo(contents[:8] + brand + contents[12:]), scene) < 2


def test_a_damaged_exif_block_does_not_spoil_the_picture(scene, encoded, difference):
    exif = Image.Exif()
    exif[271] = "Maker"
    contents = encoded(scene, "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    at = contents.index(b"MM\0*" if b"MM\0*" in contents else b"II*\0")
    broken = contents[:at] + b"XXXX" + contents[at + 4 :]
    with pytest.raises(ValueError, match="Exif"):
        AvifImageFile(BytesIO(broken))
    assert difference(read_photo(broken), scene) < 2
