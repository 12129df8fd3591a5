"""Kinds of TIFF that Pillow reads wrongly or not at all, written by tifffile."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo, tiff, tiff_pixels

LZW_HORIZONTAL = {"compression": 5, "predictor": 2}


def written(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def packbits(row):
    """Literal runs only."""
    parts = [row[at : at + 128] for at in range(0, len(row), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def samples(picture, bits):
    """The channels of a picture with so many bits."""
    levels = np.asarray(picture).astype(np.uint64)
    white = 2**bits - 1
    return (levels * white // 255).astype(f"u{max(1, bits // 8)}")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 7}, {"tile": (32, 48)}, {"bigtiff": True}])
@pytest.mark.parametrize("compression", [None, 8])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "L", "LA"])
def test_every_layout_of_every_kind_of_colours_is_read(
    scene, difference, order, planar, bits, layout, compression, mode
):
    if planar == "separate" and mode == "L":
        return
    picture = scene.convert("LA" if mode == "LA" else mode)
    array = samples(picture, bits)
    photometric = {"L": "minisblack", "LA": "minisblack", "CMYK": "separated"}.get(mode, "rgb")
    extras = {"RGBA": ["unassalpha"], "LA": ["unassalpha"]}.get(mode)
    if planar == "separate":
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
    contents = written(
        array,
        photometric=photometric,
        planarconfig=None if mode == "L" else planar,
        byteorder=order,
        compression=compression,
        predictor=bool(compression),
        extrasamples=extras,
        **layout,
    )
    photo = read_photo(contents)
    expected = {"L": scene.convert("L"), "LA": scene.convert("L")}.get(mode, scene)
    assert difference(photo, expected.convert("RGB")) < 2


def test_lzw_with_differences_in_separate_planes_is_read(scene, difference):
    """libtiff writes one plane at a time; the planes are put together here."""
    planes = [np.asarray(band).astype(np.uint16) * 257 for band in scene.split()]
    parts = []
    for plane in planes:
        file = io.BytesIO()
        Image.fromarray(plane).save(file, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
        (page,) = tiff.directories(file.getvalue())
        parts.append([page.contents[at : at + length] for at, length in page.segments])
        rows = page.number(tiff.ROWS_PER_STRIP)
    strips = [strip for part in parts for strip in part]
    body, offsets = b"", []
    for strip in strips:
        offsets.append(8 + len(body))
        body += strip
    tags = {256: [120], 257: [80], 258: [16] * 3, 259: [5], 262: [2], 273: offsets, 277: [3]}
    tags |= {278: [rows], 279: [len(strip) for strip in strips], 284: [2], 317: [2]}
    contents = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    photo = read_photo(contents + tiff_pixels._packed(tags, 8 + len(body)))
    assert difference(photo, scene) < 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra_count", [1, 2, 3])
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_extra_channels_that_are_no_transparency_are_left_out(
    scene, difference, bits, extra_count, mode
):
    array = samples(scene.convert(mode), bits)
    array = array[..., None] if mode == "L" else array
    selection = np.zeros((*array.shape[:2], extra_count), array.dtype)
    contents = written(
        np.concatenate([array, selection], axis=-1),
        photometric={"L": "minisblack", "CMYK": "separated"}.get(mode, "rgb"),
        planarconfig="contig",
        extrasamples=["unspecified"] * extra_count,
    )
    expected = scene.convert(mode).convert("RGB") if mode == "L" else scene
    assert difference(read_photo(contents), expected) < 2


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha"])
def test_sixteen_bit_transparency_is_laid_over_white(planar, alpha):
    colour = (20000, 10000, 5000)
    stored = [value // 2 for value in colour] if alpha == "assocalpha" else colour
    array = np.full((8, 6, 4), (*stored, 32768), np.uint16)
    if planar == "separate":
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
    contents = written(array, photometric="rgb", planarconfig=planar, extrasamples=[alpha])
    expected = [value / 257 / 2 + 127.5 for value in colour]
    assert np.abs(np.asarray(read_photo(contents))[0, 0] - expected).max() <= 1.5


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [8, 9])
def test_lab_is_read_in_both_of_its_encodings(scene, difference, order, bits, kind):
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = np.asarray(ImageCms.applyTransform(scene, to_lab)).astype(np.int32)
    lab[..., 1:] = lab[..., 1:].astype(np.int8)
    if bits == 16:
        lab[..., 0] = lab[..., 0] * 65535 // 255
        lab[..., 1:] *= 256
    if kind == 9:
        lab[..., 1:] += 128 if bits == 8 else 32768
    array = lab.astype(np.uint8 if bits == 8 else np.uint16)
    contents = written(array, photometric=kind, planarconfig="contig", byteorder=order)
    assert difference(read_photo(contents), scene) < 2.5


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_floating_point_numbers_of_0_to_1_are_read(scene, difference, mode, size):
    picture = scene.convert(mode)
    light = (np.asarray(picture) / 255).astype(f"f{size}")
    photometric = "rgb" if mode == "RGB" else "minisblack"
    for order in "<>":
        contents = written(light, photometric=photometric, byteorder=order)
        assert difference(read_photo(contents), picture.convert("RGB")) < 1


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_floating_point_numbers_as_differences_of_bytes(scene, difference, mode, size):
    picture = scene.convert(mode)
    count = len(mode)
    light = (np.asarray(picture) / 255).astype(f">f{size}").reshape(80, 120 * count)
    by_weight = light.view(np.uint8).reshape(80, 120 * count, size).transpose(0, 2, 1)
    row = by_weight.reshape(80, -1, count).astype(np.int16)
    row[:, 1:] = np.diff(row, axis=1)
    body = zlib.compress(row.astype(np.uint8).tobytes())
    tags = {256: [120], 257: [80], 258: [8 * size] * count, 259: [8], 262: [len(mode) // 2 + 1]}
    tags |= {273: [8], 277: [count], 278: [80], 279: [len(body)], 317: [3], 339: [3] * count}
    start = 8 + len(body)
    contents = b"II*\0" + struct.pack("<I", start) + body + tiff_pixels._packed(tags, start)
    assert difference(read_photo(contents), picture.convert("RGB")) < 1


def test_floating_point_numbers_beyond_black_and_white_are_clipped(scene, difference):
    light = (np.asarray(scene) / 255).astype(np.float32)
    light[:20] += 1
    light[60:] -= 1
    photo = read_photo(written(light, photometric="rgb"))
    assert difference(photo, (light.clip(0, 1) * 255).round()) < 1


def test_floating_point_numbers_that_mostly_lie_elsewhere_are_refused(scene):
    light = (np.asarray(scene) / 255).astype(np.float32)
    for odd in (light * 4, np.full_like(light, np.nan)):
        with pytest.raises(PhotoError, match=r"^hdr\.tif: floating-point pixels of which most lie"):
            read_photo(written(odd, photometric="rgb"), name="hdr.tif")


@pytest.mark.parametrize("number", ["i1", "i2", "i4"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_signed_numbers_are_refused_by_name(scene, number, photometric):
    array = np.asarray(scene if photometric == "rgb" else scene.convert("L")).astype(number)
    with pytest.raises(PhotoError, match=r"^a\.tif: signed integer pixels do not say"):
        read_photo(written(array, photometric=photometric), name="a.tif")


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
@pytest.mark.parametrize("bits", [8, 16])
def test_opacity_of_inks_and_lab_is_laid_over_white(scene, difference, mode, bits):
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        lab = ImageCms.applyTransform(
            scene, ImageCms.buildTransform(*profiles, inMode="RGB", outMode="LAB")
        )
        array = np.asarray(lab).copy()
        array[..., 1:] ^= 128  # ICCLAB: its colours are not signed
    else:
        array = np.asarray(scene.convert("CMYK"))
    opacity = np.zeros((80, 120, 1), np.uint8)
    opacity[:, 40:80], opacity[:, 80:] = 128, 255
    array = np.concatenate([array, opacity], axis=-1)
    if bits == 16:
        array = array.astype(np.uint16) * 257
    photometric = 9 if mode == "LAB" else "separated"
    contents = written(
        array, photometric=photometric, planarconfig="contig", extrasamples=["unassalpha"]
    )
    photo = read_photo(contents)
    assert difference(photo.crop((0, 0, 40, 80)), Image.new("RGB", (40, 80), "white")) < 1
    assert difference(photo.crop((80, 0, 120, 80)), scene.crop((80, 0, 120, 80))) < 3
    half = Image.blend(scene, Image.new("RGB", scene.size, "white"), 0.5).crop((40, 0, 80, 80))
    # Inks and Lab mix otherwise than light: not far from it.
    assert 0 < difference(photo.crop((40, 0, 80, 80)), half) < 20


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("opacity", [False, True])
def test_palettes_of_16_bits_and_with_opacity(difference, bits, opacity):
    count = 2**bits
    numbers = (np.arange(64).reshape(8, 8) * count // 64).astype(np.uint16)
    colours = np.stack([np.linspace(0, 255, count), np.linspace(255, 0, count), np.full(count, 90)])
    colours = colours.astype(np.uint16)
    if bits == 8 and not opacity:
        return  # which Pillow reads
    pixels = numbers[..., None]
    if opacity:
        pixels = np.concatenate([pixels, np.full((8, 8, 1), count - 1)], axis=-1)
    row = pixels.reshape(8, -1)
    digits = (row[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    body = np.packbits(digits.reshape(8, -1).astype(np.uint8), axis=1).tobytes()
    if bits == 16:
        body = row.astype("<u2").tobytes()
    table = (colours * 257).flatten().tolist()
    tags = {256: [8], 257: [8], 258: [bits] * (1 + opacity), 259: [1], 262: [3], 273: [8]}
    tags |= {277: [1 + opacity], 278: [8], 279: [len(body)], 320: table}
    if opacity:
        tags[338] = [2]
    start = 8 + len(body)
    file = b"II*\0" + struct.pack("<I", start) + body + tiff_pixels._packed(tags, start)
    assert difference(read_photo(file), colours.T[numbers].astype(np.uint8)) <= 1


def test_tiles_that_are_called_strips_are_read(scene, difference):
    contents = bytearray(written(np.asarray(scene.convert("L")), tile=(32, 48), metadata=None))
    (page,) = tiff.directories(bytes(contents))
    for old, new in ((324, 273), (325, 279)):
        kind = page.entries[old].kind
        at = contents.index(struct.pack("<HH", old, kind))
        contents[at : at + 2] = struct.pack("<H", new)
    assert difference(read_photo(bytes(contents)), scene.convert("L").convert("RGB")) == 0


@pytest.mark.parametrize(
    ("tag", "value", "kind"),
    [
        *((262, 32845, "logarithmic light"), (262, 32844, "logarithmic"), (259, 50001, "by WebP")),
        *((259, 34712, "by JPEG 2000"), (259, 12345, "compression 12345"), (262, 10, "colours 10")),
    ],
)
def test_kinds_that_nobody_here_reads_are_named(scene, tag, value, kind):
    contents = bytearray(written(np.asarray(scene), photometric="rgb", metadata=None))
    at = contents.index(struct.pack("<HH", tag, 3))
    contents[at + 8 : at + 10] = struct.pack("<H", value)
    with pytest.raises(PhotoError, match=rf"^a\.tif: TIFF with .*{kind}.* is not supported"):
        read_photo(bytes(contents), name="a.tif")


def test_big_endian_big_tiff_is_read(scene, difference):
    for mode in ("RGB", "L"):
        array = np.asarray(scene.convert(mode))
        contents = written(array, byteorder=">", bigtiff=True, metadata=None)
        assert difference(read_photo(contents), scene.convert(mode).convert("RGB")) == 0


def test_a_thumbnail_before_the_photo_is_passed_over(scene, difference):
    small = np.asarray(scene.resize((30, 20)))
    for array in (np.asarray(scene), samples(scene, 16)):
        for order in "<>":
            file = io.BytesIO()
            with tifffile.TiffWriter(file, byteorder=order) as writer:
                writer.write(small, subfiletype=1, photometric="rgb")
                writer.write(array, subfiletype=0, photometric="rgb")
            assert difference(read_photo(file.getvalue()), scene) < 1


@pytest.mark.parametrize("name", ["scan.nef", "scan.tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_film_scanners_photo_in_a_sub_directory_is_read(scene, difference, name, bits):
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=">") as writer:
        small = np.asarray(scene.resize((30, 20)))
        writer.write(small, subfiletype=1, photometric="rgb", subifds=1)
        writer.write(samples(scene, bits), subfiletype=0, photometric="rgb")
    assert difference(read_photo(file.getvalue(), name=name), scene) < 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_orientation_counts_whatever_type_its_number_has(scene, bits, kind):
    code = {1: "B", 3: "H", 4: "I"}[kind]
    contents = written(samples(scene, bits), photometric="rgb", extratags=[(274, kind, 1, 6, True)])
    assert code
    assert read_photo(contents).size == (80, 120)


def test_a_cut_off_file_is_an_error(scene):
    contents = written(
        samples(scene, 16).transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"
    )
    with pytest.raises(PhotoError, match=r"^cut\.tif: truncated"):
        read_photo(contents[:-100], name="cut.tif")


def test_twelve_bits_of_three_channels_are_read(scene, difference):
    wide = samples(scene, 16) >> 4
    digits = (wide.reshape(80, -1)[..., None] >> np.arange(11, -1, -1)) & 1
    body = np.packbits(digits.astype(np.uint8).reshape(80, -1), axis=1).tobytes()
    tags = {256: [120], 257: [80], 258: [12] * 3, 259: [1], 262: [2], 273: [8], 277: [3]}
    tags |= {278: [80], 279: [len(body)]}
    contents = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    assert difference(read_photo(contents + tiff_pixels._packed(tags, 8 + len(body))), scene) < 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_twenty_four_bits_are_read_in_both_byte_orders(scene, difference, order):
    wide = (np.asarray(scene).astype(np.uint32) * 65793).astype(f"{order}u4").view(np.uint8)
    bytes_kept = slice(0, 3) if order == "<" else slice(1, 4)
    body = np.ascontiguousarray(wide.reshape(80, 120, 3, 4)[..., bytes_kept]).tobytes()
    tags = {256: [120], 257: [80], 258: [24] * 3, 259: [1], 262: [2], 273: [8], 277: [3]}
    tags |= {278: [80], 279: [len(body)]}
    table = tiff_pixels._packed(tags, 8 + len(body))
    if order == ">":
        entries = b"".join(
            struct.pack(">HHI", tag, 4, len(numbers))
            + struct.pack(">I", numbers[0] if len(numbers) == 1 else 8 + len(body) + 2 + 12 * 9 + 4)
            for tag, numbers in sorted(tags.items())
        )
        table = struct.pack(">H", len(tags)) + entries + bytes(4) + struct.pack(">3I", 24, 24, 24)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    contents = mark + struct.pack(order + "I", 8 + len(body)) + body + table
    assert difference(read_photo(contents), scene) < 1


@pytest.mark.parametrize("factor", [1, 257])
def test_palettes_that_count_to_255_or_to_65535_are_read(scene, difference, factor):
    indexed = scene.quantize(256)
    table = np.array(indexed.getpalette(), np.uint16).reshape(256, 3).T * factor
    contents = written(np.asarray(indexed), photometric="palette", colormap=table)
    assert difference(read_photo(contents), indexed.convert("RGB")) == 0


@pytest.mark.parametrize("bits", [3, 6, 10, 12, 14, 24])
def test_grey_of_odd_depths_is_read(scene, difference, bits):
    grey = np.asarray(scene.convert("L")).astype(np.uint64) * (2**bits - 1) // 255
    if bits == 24:
        body = grey.astype("<u4").view(np.uint8).reshape(80, 120, 4)[..., :3].tobytes()
    else:
        digits = (grey[..., None] >> np.arange(bits - 1, -1, -1).astype(np.uint64)) & np.uint64(1)
        body = np.packbits(digits.astype(np.uint8).reshape(80, -1), axis=1).tobytes()
    tags = {256: [120], 257: [80], 258: [bits], 259: [1], 262: [1], 273: [8], 277: [1]}
    tags |= {278: [80], 279: [len(body)]}
    contents = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    photo = read_photo(contents + tiff_pixels._packed(tags, 8 + len(body)))
    assert difference(photo, scene.convert("L").convert("RGB")) < 256 / 2**bits


@pytest.mark.parametrize("tag", [(254, 2), (255, 3)])
def test_a_page_of_several_is_no_thumbnail(scene, difference, encoded, tag):
    contents = encoded(scene, "TIFF", tiffinfo=dict([tag]))
    assert difference(read_photo(contents), scene) == 0


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_transparency_after_another_extra_channel_counts(scene, difference, bits, planar, mode):
    picture = scene.convert(mode)
    selection = Image.linear_gradient("L").resize(scene.size)
    clear = np.zeros((80, 120, 1), np.uint8)
    parts = [np.asarray(picture).reshape(80, 120, -1), np.asarray(selection)[..., None], clear]
    array = samples(np.concatenate(parts, axis=-1), bits)
    if planar == "separate":
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
    contents = written(
        array,
        photometric={"L": "minisblack", "CMYK": "separated"}.get(mode, "rgb"),
        planarconfig=planar,
        extrasamples=["unspecified", "unassalpha"],
    )
    assert difference(read_photo(contents), Image.new("RGB", scene.size, "white")) < 1


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_lab_in_floating_point_numbers_is_read(scene, difference, planar):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(*profiles, inMode="RGB", outMode="LAB")
    stored = np.asarray(ImageCms.applyTransform(scene, transform))
    lab = np.concatenate([stored[..., :1] / 2.55, stored[..., 1:].view(np.int8)], axis=-1)
    lab = lab.astype(np.float32)
    if planar == "separate":
        lab = np.ascontiguousarray(lab.transpose(2, 0, 1))
    contents = written(lab, photometric="cielab", planarconfig=planar)
    assert difference(read_photo(contents), scene) < 2.5


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("first", [{}, {"subfiletype": 1}])
def test_orientation_of_xmp_counts_where_no_tag_has_one(scene, difference, bits, first):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation>'
    tag = (700, 1, len(xmp), xmp, True)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        if first:
            small = np.asarray(scene.resize((30, 20)))
            writer.write(small, photometric="rgb", extratags=[tag], **first)
        writer.write(samples(scene, bits), photometric="rgb", extratags=[] if first else [tag])
    upright = scene.transpose(Image.Transpose.ROTATE_270)
    assert difference(read_photo(file.getvalue()), upright) < 1


@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("rows", [16, 80])
def test_uncompressed_luminance_and_colours_at_coarser_grids(scene, difference, across, down, rows):
    luminance, *colours = (np.asarray(band) for band in scene.convert("YCbCr").split())
    blocks = luminance.reshape(80 // down, down, 120 // across, across).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(80 // down, 120 // across, -1)
    coarse = [band[::down, ::across, None] for band in colours]
    units = np.concatenate([blocks, *coarse], axis=-1)
    strips = [units[at : at + rows // down].tobytes() for at in range(0, len(units), rows // down)]
    offsets = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    body = b"".join(strips)
    tags = {256: [120], 257: [80], 258: [8] * 3, 259: [1], 262: [6], 273: offsets, 277: [3]}
    tags |= {278: [rows], 279: [len(strip) for strip in strips], 530: [across, down]}
    contents = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    contents += tiff_pixels._packed(tags, 8 + len(body))
    assert difference(read_photo(contents), scene) < 4
    with pytest.raises(PhotoError):
        read_photo(contents[: len(body) // 2], name="cut.tif")
