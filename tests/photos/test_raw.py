import struct
import sys

import numpy as np
import pytest
from PIL import Image

from dng_file import dng
from siamese_nima.errors import MissingExtraError, PhotoError
from siamese_nima.photos import find_photos, read_photo
from siamese_nima.photos.raw import ends_early

TURNED = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture
def _with_rawpy():
    pytest.importorskip("rawpy")


def stored(scene, orientation):
    """The picture as a camera stores it, so that the orientation shows it upright."""
    turn = TURNED[orientation]
    return scene if turn is None else scene.transpose(turn)


def likeness(one, other):
    """Correlation of brightness; how a sensor's pixels are developed is a matter of taste."""
    return np.corrcoef(np.asarray(one).ravel(), np.asarray(other).ravel())[0, 1]


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize("orientation", TURNED)
def test_the_sensor_is_developed_upright_where_there_is_no_preview(scene, orientation):
    contents = dng(stored(scene.resize((480, 320)), orientation), orientation=orientation)
    assert read_photo(contents).size == (480, 320)
    half = read_photo(contents, min_short_side_px=160)
    assert half.size == (240, 160)
    assert likeness(half, scene.resize((240, 160))) > 0.98
    assert read_photo(contents, min_short_side_px=161).size == (480, 320)


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["as it is", "with its own EXIF", "turned already", "bitmap"])
def test_a_preview_of_enough_pixels_is_taken_and_turned_once(
    scene, encoded, difference, orientation, kind
):
    lying = stored(scene.resize((240, 160)), orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    preview = {
        "as it is": encoded(lying, "JPEG", quality=95),
        "with its own EXIF": encoded(lying, "JPEG", quality=95, exif=exif),
        "turned already": encoded(scene.resize((240, 160)), "JPEG", quality=95),
        "bitmap": lying,
    }[kind]
    if kind == "turned already" and orientation == 3:
        return  # a picture upside down has the same shape
    sensor = Image.new("RGB", stored(scene.resize((480, 320)), orientation).size)
    contents = dng(sensor, orientation=orientation, preview=preview)
    photo = read_photo(contents, min_short_side_px=100)
    assert photo.size == (240, 160)
    assert difference(photo, scene.resize((240, 160))) < 2
    assert read_photo(contents, min_short_side_px=40).size in {(120, 80), (60, 40)}


@pytest.mark.usefixtures("_with_rawpy")
def test_a_preview_with_too_few_pixels_is_not_taken(scene, encoded):
    contents = dng(scene.resize((480, 320)), preview=encoded(Image.new("RGB", (150, 100)), "JPEG"))
    assert likeness(read_photo(contents, min_short_side_px=101), scene.resize((240, 160))) > 0.98
    assert likeness(read_photo(contents), scene.resize((480, 320))) > 0.98
    assert read_photo(contents, min_short_side_px=100).getextrema() == ((0, 0),) * 3


@pytest.mark.usefixtures("_with_rawpy")
def test_a_preview_of_nearly_the_sensors_size_is_the_whole_photo(scene, encoded, difference):
    preview = scene.resize((450, 300))
    contents = dng(Image.new("RGB", (480, 320)), preview=encoded(preview, "JPEG", quality=95))
    for want in (None, 10_000):
        assert difference(read_photo(contents, min_short_side_px=want), preview) < 2


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize("name", ["a.dng", "a.tif", "a", "a.NEF"])
def test_camera_raw_is_known_by_its_content_or_its_name(scene, name):
    assert read_photo(dng(scene.resize((480, 320))), name=name).size == (480, 320)


@pytest.mark.usefixtures("_with_rawpy")
def test_the_pixel_limit_counts_for_sensor_and_preview(scene, encoded):
    contents = dng(scene.resize((480, 320)), preview=encoded(scene, "JPEG"))
    with pytest.raises(
        PhotoError, match="480 x 320 = 153600 pixels, more than the limit of 153599"
    ):
        read_photo(contents, max_pixels=480 * 320 - 1)


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize("name", ["IMG_1.CR2", "dsc.nef", "a.raf"])
def test_what_libraw_cannot_read_is_an_error_and_its_thumbnail_is_never_taken(scene, encoded, name):
    for contents in [encoded(scene, "TIFF"), b"FUJIFILMCCD-RAW 0201" + bytes(100)]:
        with pytest.raises(PhotoError, match=rf"^{name}: camera raw that LibRaw cannot read \("):
            read_photo(contents, name=name)


@pytest.mark.usefixtures("_with_rawpy")
def test_a_raw_file_cut_off_is_an_error_or_the_whole_picture(scene, encoded):
    scene = scene.resize((160, 120))
    for preview in (None, encoded(scene, "JPEG")):
        contents = dng(scene, preview=preview)
        whole = read_photo(contents).tobytes()
        for length in range(0, len(contents), 997):
            try:
                photo = read_photo(contents[:length], name="cut.dng")
            except PhotoError as error:
                assert str(error).startswith("cut.dng: ")  # noqa: PT017
            else:
                assert photo.tobytes() == whole


@pytest.mark.parametrize(
    "contents",
    [
        b"FUJIFILMCCD-RAW 0201" + bytes(100),
        b"\0\0\0\x18ftypcrx " + bytes(100),
        b"II\x1a\0\0\0HEAPCCDR" + bytes(100),
        dng(Image.new("RGB", (16, 16))),
    ],
)
def test_a_missing_extra_is_named(contents, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(PhotoError) as caught:
        read_photo(contents, name="photo.jpg")
    assert str(caught.value) == str(MissingExtraError.of("photo.jpg: camera raw", "raw"))


def test_raw_and_jpeg_of_one_shot_are_two_photos(tmp_path):
    for name in ("DSC_1.NEF", "DSC_1.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in find_photos([tmp_path]).paths] == ["DSC_1.jpg", "DSC_1.NEF"]


# Files made after the published layouts; no camera's own file is small enough to keep here.


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def long_box(kind, content):
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


HEAD = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", bytes(40))
CR3 = HEAD + long_box(b"mdat", bytes(200))
PARTS = (148, 60, 208, 20, 228, 100)
RAF = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">6I", *PARTS)
RAF = RAF.ljust(328, b"\0")


@pytest.mark.parametrize("whole", [CR3, RAF], ids=["CR3", "RAF"])
def test_a_file_of_boxes_or_parts_cut_anywhere_ends_early(whole):
    assert not ends_early(whole)
    # Before that it is not known for what it is.
    assert all(ends_early(whole[:length]) for length in range(16, len(whole)))


def test_a_last_box_may_reach_to_the_end():
    assert not ends_early(HEAD + struct.pack(">I4s", 0, b"mdat") + bytes(50))


def test_nonsense_is_left_to_the_reader():
    assert not ends_early(HEAD + struct.pack(">I4s", 5, b"mdat") + bytes(50))


def test_kinds_like_tiff_are_followed_too(scene):
    contents = dng(scene)
    assert not ends_early(contents)
    assert ends_early(contents[:-9])


@pytest.mark.parametrize("name", ["cut.cr3", "cut.raf"])
def test_the_reader_says_that_a_file_was_cut_off(name, tmp_path):
    pytest.importorskip("rawpy")
    path = tmp_path / name
    path.write_bytes((CR3 if name.endswith("cr3") else RAF)[:-1])
    with pytest.raises(PhotoError, match=rf"{name}: truncated"):
        read_photo(path)


@pytest.fixture(scope="module")
def raw_files(scene, encoded):
    return [dng(scene), dng(scene, preview=encoded(scene, "JPEG"), orientation=6)]


def test_whole_files_do_not_end_early(scene, encoded, raw_files):
    for contents in raw_files:
        assert not ends_early(contents)
        assert not ends_early(contents + b"trailing")
    for options in [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}]:
        assert not ends_early(encoded(scene, "TIFF", **options))


def test_a_file_cut_anywhere_ends_early(raw_files):
    for contents in raw_files:
        # The last directory ends in 4 bytes of zeros, or the values that it points to.
        assert all(ends_early(contents[:length]) for length in range(8, len(contents), 37))


def test_a_file_with_its_directory_first_ends_early_without_its_pixels(scene):
    width, height = scene.size
    tags = [(256, width), (257, height), (258, 8), (262, 1), (273, 200), (279, width * height)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    whole = head.ljust(200, b"\0") + bytes(width * height)
    assert not ends_early(whole)
    assert ends_early(whole[:-1])


@pytest.mark.parametrize("contents", [b"", b"II*\0", b"MM\0*\0\0\0\0", bytes(99)])
def test_other_files_are_left_to_their_reader(contents):
    assert not ends_early(contents)


def test_directories_in_a_circle_end():
    circle = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 5, 8)
    assert not ends_early(circle)


def test_the_error_says_that_the_file_is_cut_off(scene):
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError) as caught:
        read_photo(dng(scene)[:-30], name="card.dng")
    assert str(caught.value) == "card.dng: truncated, the file ends before the picture does."


def test_a_camera_raw_file_that_is_whole_is_read(scene):
    pytest.importorskip("rawpy")
    assert read_photo(dng(scene.resize((96, 64)))).size == Image.new("L", (96, 64)).size


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize("level", [0, 900, 40000])
def test_last_rows_that_repeat_are_filled_up(scene, level):
    """As LibRaw leaves them where lossless JPEG ends early."""
    contents = dng(scene)
    row = 2 * scene.width
    kept = 8 + row * (scene.height // 2)
    filled = struct.pack("<H", level) * (scene.width * scene.height // 2)
    with pytest.raises(PhotoError, match=r"^a\.dng: truncated, the sensor's picture breaks off"):
        read_photo(contents[:kept] + filled + contents[kept + len(filled) :], name="a.dng")


def test_last_rows_that_are_too_bright_are_a_photo(scene):
    contents = dng(scene)
    kept = 8 + 2 * scene.width * (scene.height // 2)
    filled = b"\xff" * (scene.width * scene.height)
    photo = read_photo(contents[:kept] + filled + contents[kept + len(filled) :])
    assert min(photo.getpixel((60, 70))) > 250


def test_a_sensor_that_lacks_its_end_or_everything_is_an_error(scene):
    sound = scene.resize((240, 160))
    cut, empty = sound.copy(), Image.new("RGB", sound.size)
    cut.paste("black", (0, 120, 240, 160))
    assert read_photo(dng(sound))
    with pytest.raises(PhotoError, match=r"^a\.dng: truncated, the sensor's picture breaks off\.$"):
        read_photo(dng(cut), name="a.dng")
    with pytest.raises(PhotoError, match=r"^a\.dng: the sensor's picture is empty\.$"):
        read_photo(dng(empty), name="a.dng")


def panasonic(packing, width=280, height=20):
    """The head of an RW2 file, and as many bytes as its pixels have."""
    size = width * height // 14 * 16 if packing else width * height * 2
    tags = [(2, width), (3, height), (0x2D, packing), (0x118, 200)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"IIU\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + bytes(size)


def olympus(order):
    """The head of an ORF file, and a strip of pixels."""
    tags = [(256, 40), (257, 30), (258, 16), (273, 200), (279, 2400)]
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    mark = b"IIRO" if order == "<" else b"MMOR"
    head = mark + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + bytes(2400)


@pytest.mark.parametrize(
    "whole", [*(panasonic(packing) for packing in (4, 5, 6, 7)), olympus("<"), olympus(">")]
)
def test_panasonic_and_olympus_files_that_are_cut_off_end_early(whole):
    assert not ends_early(whole)
    assert all(ends_early(whole[:length]) for length in (40, 199, 201, len(whole) - 1))


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize("whole", [panasonic(4), olympus("<")])
def test_panasonic_and_olympus_files_that_are_cut_off_are_called_so(whole):
    with pytest.raises(PhotoError, match=r"^card\.raw: truncated, the file ends before"):
        read_photo(whole[:-1], name="card.raw")


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize(
    ("space", "index", "name", "is_adobe"),
    [
        (65535, b"R03\0", "a.dng", True),
        (2, None, "a.dng", True),
        (65535, None, "_DSC1.dng", True),
        (65535, None, "DSC1.dng", False),
        (1, b"R98\0", "_DSC1.dng", False),
        (None, None, "_DSC1.dng", False),
    ],
)
def test_a_preview_in_adobe_rgb_by_the_rules_of_camera_file_systems(
    scene, encoded, difference, space, index, name, is_adobe
):
    preview = encoded(scene, "JPEG", quality=95)
    exposure = [] if space is None else [(40961, 3, space)]
    contents = with_exposure(dng(scene, preview=preview), exposure, index)
    found = difference(read_photo(contents, name=name), read_photo(preview))
    assert (found > 4) == is_adobe


@pytest.mark.usefixtures("_with_rawpy")
@pytest.mark.parametrize(("space", "is_adobe"), [(3, True), (2, False), (0, False)])
def test_what_dng_says_of_its_previews_colours_counts_first(
    scene, encoded, difference, space, is_adobe
):
    preview = encoded(scene, "JPEG", quality=95)
    contents = with_exposure(dng(scene, preview=preview), [(40961, 3, 65535)], b"R03\0")
    contents = with_tags(contents, [(50970, 4, space)])
    found = difference(read_photo(contents), read_photo(preview))
    assert (found > 4) == is_adobe


def with_tags(contents, more):
    """A little-endian TIFF file whose first directory has these numbers too, at its end."""
    (start,) = struct.unpack_from("<I", contents, 4)
    (count,) = struct.unpack_from("<H", contents, start)
    entries = [contents[start + 2 + 12 * n :][:12] for n in range(count)]
    entries += [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in more]
    contents += bytes(len(contents) % 2)
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    table = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return contents[:4] + struct.pack("<I", len(contents)) + contents[8:] + table


def with_exposure(contents, exposure, index):
    """The same with an EXIF directory of these tags, and one of interoperability inside."""
    contents += bytes(len(contents) % 2)
    if index:
        exposure = [*exposure, (40965, 4, len(contents))]
        contents += struct.pack("<HHHI", 1, 1, 2, 4) + index + bytes(4)
    if not exposure:
        return contents
    start = len(contents)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in exposure)
    return with_tags(
        contents + struct.pack("<H", len(exposure)) + entries + bytes(4), [(34665, 4, start)]
    )
