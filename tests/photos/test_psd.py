"""Photoshop files, written here after Adobe's published layout."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo

BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL, LAB = 0, 1, 2, 3, 4, 7, 9
RAW, PACKBITS, ZIP, ZIP_PREDICTED = 0, 1, 2, 3


def rows_of(plane, bits):
    levels = np.asarray(plane)
    if bits == 1:
        return [row.tobytes() for row in np.packbits(levels < 128, axis=1)]
    if bits == 32:
        light = (levels / 255).astype(np.float64)
        light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
        return [row.astype(">f4").tobytes() for row in light]
    wide = levels.astype(np.uint32) * (1 if bits == 8 else 257)
    return [row.astype(f">u{bits // 8}").tobytes() for row in wide]


def packbits(row):
    parts = [row[at : at + 128] for at in range(0, len(row), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def predicted(row, bits):
    if bits == 16:
        values = np.frombuffer(row, ">u2")
        return np.diff(values, prepend=values[:1] * 0).astype(">u2").tobytes()
    values = np.frombuffer(row, np.uint8)
    if bits == 32:
        values = values.reshape(-1, 4).T.reshape(-1)
    return np.diff(values, prepend=values[:1] * 0).astype(np.uint8).tobytes()


def psd(
    planes, mode, *, bits=8, compression=PACKBITS, big=False, layers=0, merged=True, palette=b""
):
    """A PSD or PSB file of these channels."""
    height, width = np.asarray(planes[0]).shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1 + big, len(planes), height, width, bits, mode)
    info = struct.pack(">IB", 1, merged) + struct.pack(">I", 0) * 2 + struct.pack(">I", 1)
    resources = b"8BIM" + struct.pack(">HHI", 1057, 0, len(info)) + info + bytes(len(info) % 2)
    number = ">Q" if big else ">I"
    section = struct.pack(number, 2) + struct.pack(">h", layers) + bytes(2) if layers else b""
    rows = [row for plane in planes for row in rows_of(plane, bits)]
    if compression == PACKBITS:
        packed = [packbits(row) for row in rows]
        lengths = struct.pack(f">{len(rows)}{'I' if big else 'H'}", *map(len, packed))
        body = lengths + b"".join(packed)
    else:
        body = b"".join(
            predicted(row, bits) if compression == ZIP_PREDICTED else row for row in rows
        )
        body = body if compression == RAW else zlib.compress(body)
    return b"".join(
        [
            *(head, struct.pack(">I", len(palette)), palette),
            *(struct.pack(">I", len(resources)), resources),
            *(struct.pack(number, len(section)), section, struct.pack(">H", compression), body),
        ]
    )


@pytest.fixture(scope="module")
def selection(scene):
    return np.asarray(Image.linear_gradient("L").resize(scene.size))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("compression", [RAW, PACKBITS, ZIP, ZIP_PREDICTED])
def test_every_depth_and_compression_is_read(scene, difference, big, bits, compression):
    contents = psd(scene.split(), RGB, bits=bits, compression=compression, big=big)
    assert difference(read_photo(contents), scene) < 0.6


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("mode", [GREY, RGB, CMYK, LAB])
@pytest.mark.parametrize("layers", [0, 2])
def test_selections_and_spot_colours_are_no_part_of_the_picture(
    scene, difference, selection, bits, count, mode, layers
):
    kind = {GREY: "L", RGB: "RGB", CMYK: "CMYK", LAB: "LAB"}[mode]
    picture = Image.new("LAB", scene.size, (120, 140, 90)) if mode == LAB else scene.convert(kind)
    planes = list(picture.split())
    if mode == CMYK:
        planes = [255 - np.asarray(plane) for plane in planes]
    plain = read_photo(psd(planes, mode, bits=bits))
    more = psd([*planes, *[selection] * count], mode, bits=bits, layers=layers)
    assert difference(read_photo(more), plain) == 0
    if mode in (RGB, CMYK):
        assert difference(plain, scene) < 2


def test_transparency_is_in_the_colours_already(scene, difference, selection):
    share = selection[..., None] / 255
    over_white = np.round(np.asarray(scene) * share + 255 * (1 - share)).astype(np.uint8)
    planes = [*np.moveaxis(over_white, -1, 0), selection]
    assert difference(read_photo(psd(planes, RGB, layers=-1)), over_white) == 0


def test_a_program_that_leaves_colours_as_they_are_is_believed(scene, difference, selection):
    share = selection[..., None] / 255
    over_white = np.asarray(scene) * share + 255 * (1 - share)
    dark = scene.point(lambda level: level // 2)
    over_white = np.asarray(dark) * share + 255 * (1 - share)
    photo = read_photo(psd([*dark.split(), selection], RGB, layers=-1))
    assert difference(photo, over_white) < 1


def test_a_bit_that_is_set_is_black(scene, difference):
    picture = scene.convert("1").convert("L")
    for compression in (RAW, PACKBITS):
        contents = psd([picture], BITMAP, bits=1, compression=compression)
        assert difference(read_photo(contents), picture.convert("RGB")) == 0


def test_an_indexed_picture_has_its_palette(scene, difference):
    indexed = scene.quantize(256)
    table = np.array(indexed.getpalette()).reshape(-1, 3).T.astype(np.uint8).tobytes()
    contents = psd([np.asarray(indexed)], INDEXED, palette=table)
    assert difference(read_photo(contents), indexed.convert("RGB")) == 0


def test_a_file_without_a_merged_picture_is_an_error(scene):
    with pytest.raises(PhotoError, match=r"^a\.psd: saved without a merged picture\. Save it in"):
        read_photo(psd(scene.split(), RGB, merged=False), name="a.psd")


def test_a_file_of_inks_alone_is_an_error(scene):
    with pytest.raises(PhotoError, match=r"^a\.psd: its channels are inks, not a picture"):
        read_photo(psd(scene.split(), MULTICHANNEL), name="a.psd")


@pytest.mark.parametrize("compression", [RAW, PACKBITS, ZIP])
@pytest.mark.parametrize("big", [False, True])
def test_a_cut_off_file_is_an_error(scene, compression, big):
    contents = psd(scene.split(), RGB, compression=compression, big=big)
    for length in [*range(26, len(contents) - 8, 509), len(contents) - 8]:
        with pytest.raises(PhotoError, match=r"^cut\.psd: truncated"):
            read_photo(contents[:length], name="cut.psd")


def test_large_files_are_shrunk_as_others_are(scene):
    contents = psd(scene.resize((960, 640)).split(), RGB, bits=16)
    assert read_photo(contents, min_short_side_px=80).size == (120, 80)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("number", [1058, 1060])
def test_a_file_lies_as_its_metadata_say(scene, difference, orientation, number):
    exif = Image.Exif()
    exif[274] = orientation
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>%d</tiff:Orientation>'
    block = exif.tobytes()[6:] if number == 1058 else xmp % orientation
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    turn[8] = Image.Transpose.ROTATE_270
    stored = scene.transpose(turn[orientation]) if orientation in turn else scene
    resource = b"8BIM" + struct.pack(">HHI", number, 0, len(block)) + block + bytes(len(block) % 2)
    contents = psd(stored.split(), RGB)
    (length,) = struct.unpack_from(">I", contents, 30)
    longer = struct.pack(">I", length + len(resource)) + resource
    contents = contents[:30] + longer + contents[34:]
    assert difference(read_photo(contents), scene) == 0
