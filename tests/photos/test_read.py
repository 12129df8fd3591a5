import io
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos import read_photo
from systems import needs_pipes, needs_proc

ORIENTATION = 0x0112
PILLOWS_WARNING = "Skipping tag 270|Truncated File Read"

# How a picture must be stored so that each orientation shows it upright.
STORED_TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def stored_turned(scene, orientation):
    turned = Image.fromarray(np.ascontiguousarray(STORED_TURNED[orientation](np.asarray(scene))))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return turned, exif


@pytest.fixture
def photo_file(tmp_path, scene):
    path = tmp_path / "photo.png"
    scene.save(path)
    return path


def test_a_file_is_read_as_rgb_with_its_own_pixels(photo_file, scene, difference):
    photo = read_photo(photo_file)
    assert photo.mode == "RGB"
    assert difference(photo, scene) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO", "AVIF"])
def test_every_exif_orientation_comes_out_upright(
    scene, encoded, difference, orientation, image_format
):
    turned, exif = stored_turned(scene, orientation)
    options = {"quality": 95} if image_format != "PNG" else {}
    if image_format == "AVIF":
        pytest.importorskip("PIL._avif", exc_type=ImportError)
    photo = read_photo(encoded(turned, image_format, exif=exif, **options))
    assert photo.size == scene.size
    assert difference(photo, scene) < 2.5
    assert not photo.getexif()


@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_keeps_the_wanted_short_side(scene, encoded, difference, orientation):
    turned, exif = stored_turned(scene.resize((1200, 800)), orientation)
    contents = encoded(turned, "JPEG", quality=95, exif=exif)
    sizes = {want: read_photo(contents, min_short_side_px=want).size for want in [1, 99, 101, 401]}
    assert sizes == {1: (150, 100), 99: (150, 100), 101: (300, 200), 401: (1200, 800)}
    assert difference(read_photo(contents, min_short_side_px=80).resize((120, 80)), scene) < 2


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_reduced_decoding_shows_the_same_photo(scene, encoded, difference, mode, progressive):
    large = scene.resize((1200, 800)).convert(mode)
    contents = encoded(large, "JPEG", quality=95, progressive=progressive)
    reduced = read_photo(contents, min_short_side_px=100)
    full = read_photo(contents)
    assert (reduced.size, full.size) == ((150, 100), (1200, 800))
    assert difference(reduced, full.resize((150, 100), Image.Resampling.BOX)) < 1


def test_an_impossible_short_side_is_refused(photo_file):
    with pytest.raises(ConfigError, match="min_short_side_px must be 1 or more, or None; got 0"):
        read_photo(photo_file, min_short_side_px=0)


@given(
    width=st.integers(8, 700),
    height=st.integers(8, 700),
    want=st.integers(1, 400),
    orientation=st.integers(1, 8),
)
@settings(max_examples=60)
def test_reduced_decoding_never_gives_less_than_wanted(width, height, want, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG", exif=exif)
    photo = read_photo(file.getvalue(), min_short_side_px=want)
    assert min(photo.size) >= min(want, width, height)
    upright = (height, width) if orientation >= 5 else (width, height)
    assert all(
        abs(a * max(1, round(b / a)) - b) < 8 for a, b in zip(photo.size, upright, strict=True)
    )


def test_all_kinds_of_sources_give_the_same_photo(photo_file, scene, difference):
    with photo_file.open("rb") as stream, Image.open(photo_file) as opened:
        sources = [
            photo_file,
            str(photo_file),
            photo_file.read_bytes(),
            stream,
            opened,
            scene,
            np.asarray(scene),
        ]
        assert [difference(read_photo(source), scene) for source in sources] == [0] * len(sources)
        assert not stream.closed


def test_a_stream_is_read_from_where_it_stands(photo_file, scene, difference):
    stream = io.BytesIO(b"header" + photo_file.read_bytes())
    stream.seek(6)
    assert difference(read_photo(stream), scene) == 0


def test_a_callers_picture_is_not_changed_and_shares_no_pixels(scene):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = scene.copy()
    picture.info["exif"] = exif.tobytes()
    before = np.array(picture)
    photo = read_photo(picture)
    assert photo.size == (80, 120)
    photo.paste("red", (0, 0, 80, 120))
    assert np.array_equal(before, np.asarray(picture))
    plain = read_photo(scene)
    plain.putpixel((0, 0), (1, 2, 3))
    assert scene.getpixel((0, 0)) != (1, 2, 3)


def test_an_array_shares_no_pixels_with_its_photo():
    array = np.zeros((4, 5), np.uint8)
    photo = read_photo(array)
    array[:] = 255
    assert photo.getextrema() == ((0, 0), (0, 0), (0, 0))


def test_reading_a_read_photo_changes_nothing(scene, encoded, difference):
    turned, exif = stored_turned(scene, 6)
    once = read_photo(encoded(turned, "JPEG", exif=exif))
    assert difference(read_photo(once), once) == 0
    assert once.info == {}


@pytest.mark.parametrize(
    ("shape", "dtype", "found"),
    [
        ((4, 5, 3), np.float32, "float32 and shape (4, 5, 3)"),
        ((4, 5, 2), np.uint8, "uint8 and shape (4, 5, 2)"),
        ((2, 4, 5, 3), np.uint8, "uint8 and shape (2, 4, 5, 3)"),
        ((0, 5, 3), np.uint8, "uint8 and shape (0, 5, 3)"),
    ],
)
def test_arrays_of_another_kind_are_refused_with_what_is_wanted(shape, dtype, found):
    with pytest.raises(PhotoError) as caught:
        read_photo(np.zeros(shape, dtype))
    assert str(caught.value) == (
        f"(ndarray): an array of {found}; wanted uint8 of shape (H, W), (H, W, 3) or (H, W, 4)."
    )


def test_an_array_with_alpha_is_laid_over_white():
    array = np.zeros((1, 2, 4), np.uint8)
    array[0, 1, 3] = 255
    assert np.asarray(read_photo(array)).tolist() == [[[255, 255, 255], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("source", "found"), [(None, "NoneType"), (3.5, "float"), (io.StringIO("x"), "a text stream")]
)
def test_other_sources_are_refused(source, found):
    with pytest.raises(PhotoError, match=f"{found} is not a photo; wanted a path"):
        read_photo(source)


def test_the_name_given_starts_the_message():
    with pytest.raises(PhotoError, match=r"^bucket/7\.jpg: empty \(0 bytes\)\.$"):
        read_photo(b"", name="bucket/7.jpg")


def test_a_missing_file_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "gone.jpg"
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert str(caught.value) == f"{path}: no such file."


def test_a_broken_link_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "link.jpg"
    path.symlink_to("nowhere.jpg")
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert str(caught.value) == f"{path}: no such file."


def test_a_link_that_leads_to_itself_is_an_error(tmp_path):
    path = tmp_path / "round.jpg"
    path.symlink_to(path)
    with pytest.raises(PhotoError, match=r"round\.jpg: .*symbolic links"):
        read_photo(path)


def test_an_empty_file_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(PhotoError) as caught:
        read_photo(str(path))
    assert str(caught.value) == f"{path}: empty (0 bytes)."


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(PhotoError) as caught:
        read_photo(tmp_path)
    assert str(caught.value) == f"{tmp_path}: a folder, not a photo."


def test_a_folder_that_cannot_be_listed_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PhotoError, match="a folder without permission to list it"):
        read_photo(tmp_path)


@needs_pipes
def test_a_pipe_is_an_error_and_is_never_opened(tmp_path):
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    with pytest.raises(PhotoError, match=r"pipe\.jpg: a pipe, socket or device"):
        read_photo(path)


def test_a_file_without_permission_is_an_error(photo_file, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PhotoError) as caught:
        read_photo(photo_file)
    assert str(caught.value) == f"{photo_file}: no permission to read it."


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300 + ".jpg", ""])
def test_impossible_names_are_errors(name):
    with pytest.raises(PhotoError):
        read_photo(name)


@needs_proc
def test_files_are_closed_after_success_and_failure(photo_file, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo_file.read_bytes()[:300])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read_photo(photo_file)
        with pytest.raises(PhotoError):
            read_photo(broken)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_wrong_extension_does_not_matter(scene, encoded, tmp_path, difference):
    for extension in [".png", ".raw", ".heic", ".txt", ""]:
        path = tmp_path / f"photo{extension}"
        path.write_bytes(encoded(scene, "JPEG", quality=95))
        assert difference(read_photo(path), scene) < 2


@pytest.mark.parametrize(
    "contents",
    [b"just some text", b"\0" * 4096],
)
def test_what_is_no_photo_is_an_error(contents):
    with pytest.raises(PhotoError) as caught:
        read_photo(contents, name="notes.jpg")
    assert str(caught.value) == (
        f"notes.jpg: not a photo in a format that can be read (it starts with {contents[:8]!r})."
    )


def test_a_damaged_header_is_named_with_its_format():
    with pytest.raises(PhotoError, match=r"^x\.jpg: not a readable photo \(damaged JPEG: "):
        read_photo(b"\xff\xd8\xff", name="x.jpg")


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientations_count_as_upright(scene, encoded, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert read_photo(encoded(scene, "JPEG", exif=exif)).size == scene.size


def test_a_damaged_exif_block_does_not_stop_the_photo(scene, encoded, difference):
    for exif in [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40]:
        photo = read_photo(encoded(scene, "JPEG", quality=95, exif=exif))
        assert difference(photo, scene) < 2


def test_eight_threads_read_what_one_thread_reads(scene, encoded, tmp_path):
    paths = []
    for number in range(16):
        turned, exif = stored_turned(scene.resize((320 + 8 * number, 240)), 1 + number % 8)
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(encoded(turned, "JPEG", exif=exif))
        paths.append(path)
    (tmp_path / "broken.jpg").write_bytes(paths[0].read_bytes()[:-400])
    paths.append(tmp_path / "broken.jpg")

    def read(path):
        try:
            return read_photo(path, min_short_side_px=100).tobytes()
        except PhotoError as error:
            return str(error)

    alone = [read(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read, paths * 8))
    assert together == alone * 8


def test_pillows_warnings_are_muted_while_photos_are_read_and_only_then(scene, encoded):
    # An EXIF block that ends too early makes Pillow warn.
    exif = Image.Exif()
    exif[0x010E] = "a long description " * 20
    contents = encoded(scene, "JPEG", exif=exif.tobytes()[:60])
    with (
        pytest.warns(UserWarning, match=PILLOWS_WARNING),
        Image.open(io.BytesIO(contents)) as image,
    ):
        image.getexif().get(ORIENTATION)
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as shown, ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("always")
        list(pool.map(read_photo, [contents] * 64))
        with (
            pytest.warns(UserWarning, match=PILLOWS_WARNING),
            Image.open(io.BytesIO(contents)) as image,
        ):
            image.getexif().get(ORIENTATION)
    assert shown == []
    assert list(warnings.filters) == before


def test_others_warnings_are_shown_while_photos_are_read():
    waiting, release = threading.Event(), threading.Event()

    class SlowStream(io.BytesIO):
        def read(self, *_):
            waiting.set()
            release.wait(10)
            return b""

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_photo, SlowStream())
        waiting.wait(10)
        with pytest.warns(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)
        release.set()
        with pytest.raises(PhotoError, match="empty"):
            reading.result()


LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "GIF": {}, "TGA": {}}
LOSSY = {
    "JPEG": {"quality": 90},
    "WEBP": {},
    "JPEG2000": {"quality_mode": "rates", "quality_layers": [10]},
    "AVIF": {},
}


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        *(LOSSLESS | LOSSY).items(),
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("WEBP", {"lossless": True}),
        ("PNG", {"interlace": 1}),
    ],
)
def test_a_cut_off_file_is_an_error_or_the_whole_picture(scene, encoded, image_format, options):
    """Some formats end in bytes that hold no pixels; without those the picture is complete."""
    if image_format == "AVIF":
        pytest.importorskip("PIL._avif", exc_type=ImportError)
    contents = encoded(scene, image_format, **options)
    whole = read_photo(contents).tobytes()
    complete = []
    for length in [*range(0, len(contents) - 64, 97), *range(len(contents) - 64, len(contents))]:
        try:
            photo = read_photo(contents[:length], name="cut.x")
        except PhotoError as error:
            assert str(error).startswith("cut.x: ")  # noqa: PT017
        else:
            complete.append((length, photo.tobytes() == whole))
    assert [length for length, same in complete if not same] == []


def test_a_truncated_jpeg_says_so_with_its_name(scene, encoded, tmp_path):
    path = tmp_path / "half.jpg"
    contents = encoded(scene, "JPEG", quality=95)
    path.write_bytes(contents[:-200])
    with pytest.raises(PhotoError, match=r"half\.jpg: truncated, the file ends before the picture"):
        read_photo(path)
    with pytest.raises(PhotoError, match=r"half\.jpg: truncated, the file ends before the picture"):
        read_photo(path, min_short_side_px=16)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_are_errors_or_photos_and_nothing_else(data):
    image_format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PSD"]))
    file = io.BytesIO()
    if image_format == "PSD":
        file.write(b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3" + bytes(600))
    else:
        Image.linear_gradient("L").resize((24, 16)).save(file, image_format)
    contents = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    try:
        photo = read_photo(bytes(contents), max_pixels=1_000_000)
    except PhotoError:
        return
    assert photo.mode == "RGB"


@pytest.mark.parametrize("content", [b"abc", b"BM", b"II*\0"])
def test_a_few_bytes_are_no_photo(content):
    with pytest.raises(PhotoError, match=rf"x.jpg: not a photo \({len(content)} bytes\)"):
        read_photo(content, name="x.jpg")


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x20ftypisom\0\0\2\0",
        b"\0\0\0\x14ftypqt  \0\0\0\0",
        b"RIFF\x10\0\0\0AVI LIST",
        b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81",
        b"\0\0\x01\xba" + bytes(12),
    ],
)
def test_a_video_is_told_the_way(head):
    with pytest.raises(PhotoError, match=r"^a\.mov: a video, not a photo\. .*ffmpeg -i"):
        read_photo(head + bytes(2000), name="a.mov")


@pytest.mark.parametrize(
    "head",
    [
        b"0&\xb2u\x8ef\xcf\x11\xa6\xd9",
        b"\0\0\0\x08wide\0\0\0\0",
        b"\0\0\0\x1cftypiso8\0\0",
        b"G@\0\x10".ljust(188, b"\0") + b"G",
        b"\0\0\0\0G@\0\x10".ljust(196, b"\0") + b"G",
    ],
)
def test_further_kinds_of_video_are_told_the_way(head):
    with pytest.raises(PhotoError, match=r"^a\.wmv: a video, not a photo\. .*ffmpeg -i"):
        read_photo(head + bytes(2000), name="a.wmv")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\3\4", "zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"Rar!\x1a\x07", "rar"),
        (b"7z\xbc\xaf'\x1c", "7z"),
        (b"a.jpg".ljust(257, b"\0") + b"ustar", "tar"),
    ],
)
def test_an_archive_is_told_which_commands_read_it(content, kind):
    with pytest.raises(PhotoError, match=rf"^s\.bin: a {kind} archive, .* nima score and"):
        read_photo(content + bytes(2000), name="s.bin")
