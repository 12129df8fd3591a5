"""Stars where and how each photo program reads them; inside JPEG files, byte for byte undone."""

import hashlib
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from metadata_files import block, jpeg, xmp
from siamese_nima.curation.jpeg_xmp import JpegXmp
from siamese_nima.curation.sidecars import UndoLog, undo_stars
from siamese_nima.curation.stars import plan_stars, write_stars
from siamese_nima.curation.xmp import DIGIKAM_COLOUR, DIGIKAM_PICK, LABEL, RATING, Packet
from siamese_nima.errors import ConfigError, SidecarError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from sidecar_examples import WITH_RATING
from systems import needs_posix


@pytest.fixture
def folder(tmp_path):
    """A JPEG alone, a camera raw file with its JPEG, a raw file alone, and a HEIC."""
    for name in ("a.jpg", "b.JPG"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="JPEG")
    for name in ("b.CR2", "c.NEF", "d.heic"):
        (tmp_path / name).write_bytes(b"raw")
    return tmp_path


def result(path):
    return ScoredPhoto(path=str(path), model="tiny-1@0", scale=AVA_SCALE, score=6.0)


def plan(*paths, stars=4, **options):
    return list(plan_stars([result(p) for p in paths], [stars] * len(paths), **options))


def planned(folder, **options):
    entries = plan(*(folder / name for name in ("a.jpg", "b.JPG", "c.NEF", "d.heic")), **options)
    return [(entry.action, entry.sidecar.name) for entry in entries]


def test_programs_get_sidecars_under_the_names_that_they_read(folder):
    full = ["a.jpg.xmp", "b.JPG.xmp", "b.CR2.xmp", "c.NEF.xmp", "d.heic.xmp"]
    for program in ("darktable", "digikam"):
        assert planned(folder, program=program) == [("create", name) for name in full]
    for program in ("lightroom", "captureone"):
        assert planned(folder, program=program) == [
            *(("create", "b.xmp"), ("create", "c.xmp")),
            *(("unread", "a.jpg"), ("unread", "d.heic")),
        ]


def test_into_photos_writes_into_jpeg_files_and_beside_all_others(folder):
    assert planned(folder, program="lightroom", into_photos=True) == [
        *(("change", "a.jpg"), ("change", "b.JPG"), ("create", "b.xmp"), ("create", "c.xmp")),
        ("unread", "d.heic"),
    ]
    assert planned(folder, into_photos=True) == [
        *(("change", "a.jpg"), ("change", "b.JPG"), ("create", "b.CR2.xmp")),
        *(("create", "c.NEF.xmp"), ("create", "d.heic.xmp")),
    ]


def test_an_unknown_program_label_or_pick_is_refused(folder):
    for options, message in (
        ({"program": "paint"}, "known photo programs are lightroom, .*, not 'paint'"),
        ({"labels": {5: "pink"}}, "got 5=pink"),
        ({"labels": {7: "red"}}, "got 7=red"),
        ({"pick_from": 6}, "from 1 to 5 stars on, not 6"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan(folder / "a.jpg", **options)


def written(photo, **options):
    [entry] = plan(photo, **options)
    if entry.after:
        entry.sidecar.write_bytes(entry.after)
    return Packet.parse(entry.sidecar.read_bytes(), "")


@pytest.mark.parametrize(
    ("stars", "rating", "label", "pick", "colour"),
    [(5, "5", "Green", "3", "4"), (4, "4", None, "3", None), (3, "3", None, None, None),
     (-1, "-1", "Red", "1", "1")],
)  # fmt: skip
def test_rejected_picked_and_coloured_photos(folder, stars, rating, label, pick, colour):
    options = {"stars": stars, "labels": {5: "green", -1: "red"}, "pick_from": 4}
    packet = written(folder / "a.jpg", program="digikam", **options)
    assert packet.value(RATING) == rating
    assert packet.value(LABEL) == label
    assert packet.value(DIGIKAM_PICK) == pick
    assert packet.value(DIGIKAM_COLOUR) == colour
    packet = written(folder / "c.NEF", program="lightroom", **options)
    assert (packet.value(RATING), packet.value(LABEL)) == (rating, label)
    assert packet.value(DIGIKAM_PICK) is None


def test_marks_of_ours_follow_and_marks_of_a_person_stay(folder):
    photo, options = folder / "a.jpg", {"program": "digikam", "labels": {5: "green", 1: "red"}}
    written(photo, stars=5, pick_from=5, **options)
    packet = written(photo, stars=1, pick_from=5, **options)
    assert (packet.value(LABEL), packet.value(DIGIKAM_PICK)) == ("Red", "0")
    packet = written(photo, stars=2, **options)
    assert (packet.value(LABEL), packet.value(DIGIKAM_COLOUR)) == ("", "0")
    sidecar = folder / "a.jpg.xmp"
    theirs = sidecar.read_bytes().replace(b'xmp:Label=""', b'xmp:Label="Blue"')
    sidecar.write_bytes(theirs.replace(b'PickLabel="0"', b'PickLabel="2"', 1))
    packet = written(photo, stars=5, pick_from=5, **options)
    assert (packet.value(LABEL), packet.value(RATING)) == ("Blue", "5")
    assert packet.value(DIGIKAM_PICK) == "2"
    assert written(photo, stars=5, overwrite=True, **options).value(LABEL) == "Green"


def test_digikams_own_labels_are_found_under_any_prefix(folder):
    theirs = (
        WITH_RATING["digikam"]
        .replace("{rating}", "0")
        .replace("<digiKam:TagsList>", "<digiKam:PickLabel>2</digiKam:PickLabel><digiKam:TagsList>")
    )
    (folder / "a.jpg.xmp").write_text(theirs.replace("digiKam:", "dk:").replace(":digiKam", ":dk"))
    packet = written(folder / "a.jpg", program="digikam", stars=5, pick_from=5)
    assert (packet.value(DIGIKAM_PICK), packet.value(RATING)) == ("2", "5")


@pytest.mark.parametrize("program", ["darktable", "digikam", "lightroom"])
def test_exiv2_reads_what_is_written_for_a_program(folder, program):
    pyexiv2 = pytest.importorskip("pyexiv2", reason="pyexiv2 is not installed")
    options = {"program": program, "labels": {5: "green"}, "pick_from": 5}
    written(folder / "c.NEF", stars=5, **options)
    name = "c.xmp" if program == "lightroom" else "c.NEF.xmp"
    read = pyexiv2.Image(str(folder / name)).read_xmp()
    assert (read["Xmp.xmp.Rating"], read["Xmp.xmp.Label"]) == ("5", "Green")
    assert read.get("Xmp.digiKam.PickLabel") == ("3" if program == "digikam" else None)


PHOTOS = {
    "bare": jpeg(None, None),
    "exif": jpeg(block({}), None),
    "padded": jpeg(block({}), xmp(0).replace(b"<?xpacket end", b" " * 2000 + b"<?xpacket end")),
    "adobe": jpeg(None, WITH_RATING["adobe"].replace("{rating}", "0").encode()),
    "jfif": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + jpeg(None, xmp(0))[2:],
}


@needs_posix
@pytest.mark.parametrize("name", PHOTOS)
def test_a_rating_goes_into_a_jpeg_and_comes_out_byte_for_byte(tmp_path, name):
    photo, log = tmp_path / "a.jpg", tmp_path / "log"
    photo.write_bytes(PHOTOS[name])
    photo.chmod(0o640)
    with UndoLog(log) as writer:
        [entry] = write_stars(plan(photo, into_photos=True), writer)
    assert (entry.action, entry.sidecar) == ("change", photo)
    inside = JpegXmp.read(photo.read_bytes(), "a")
    assert Packet.parse(inside.packet, "a").rating == 4
    assert log.stat().st_size < 6000
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".xmp"] == []
    assert plan(photo, into_photos=True)[0].action == "same"
    [done] = undo_stars(log)
    assert done.action == "restored"
    assert photo.read_bytes() == PHOTOS[name]
    assert photo.stat().st_mode & 0o777 == 0o640
    assert [done.action for done in undo_stars(log)] == ["untouched"]


def test_padding_takes_up_what_grows(tmp_path):
    (tmp_path / "a.jpg").write_bytes(PHOTOS["padded"])
    [entry] = plan(tmp_path / "a.jpg", into_photos=True)
    assert len(entry.after) == len(PHOTOS["padded"])


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("name", PHOTOS)
def test_exiftool_reads_a_rating_inside_and_finds_nothing_odd(tmp_path, name):
    (tmp_path / "a.jpg").write_bytes(PHOTOS[name])
    [entry] = plan(tmp_path / "a.jpg", into_photos=True)
    (tmp_path / "b.jpg").write_bytes(entry.after)

    def warnings(path):
        command = ["exiftool", "-s3", "-validate", "-a", "-warning", path]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    command = ["exiftool", "-s3", "-XMP-xmp:Rating", tmp_path / "b.jpg"]
    assert subprocess.run(command, capture_output=True, timeout=60).stdout.split() == [b"4"]
    assert warnings(tmp_path / "b.jpg") == warnings(tmp_path / "a.jpg")


def test_the_picture_of_a_photo_that_was_written_to_is_the_same(tmp_path):
    photo = tmp_path / "a.jpg"
    Image.effect_noise((64, 48), 60).convert("RGB").save(photo, exif=b"Exif\0\0" + block({}))
    before = photo.read_bytes()
    [entry] = plan(photo, into_photos=True)
    assert entry.after.endswith(before[before.index(b"\xff\xdb") :])
    assert hashlib.sha256(photo.read_bytes()).digest() == hashlib.sha256(before).digest()


def test_a_persons_rating_inside_or_beside_stays_when_writing_into_photos(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(None, xmp(2)))
    (tmp_path / "b.jpg").write_bytes(jpeg(block({0x4746: 3}), None))
    (tmp_path / "c.jpg").write_bytes(jpeg(None, None))
    (tmp_path / "c.jpg.xmp").write_bytes(xmp(5))
    entries = plan(*(tmp_path / f"{n}.jpg" for n in "abc"), into_photos=True)
    assert {(entry.action, entry.was) for entry in entries} == {("keep", n) for n in (2, 3, 5)}


def test_a_sidecar_that_is_there_is_kept_up_to_date_with_the_photo(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(None, None))
    (tmp_path / "a.jpg.xmp").write_bytes(xmp(0))
    entries = plan(tmp_path / "a.jpg", into_photos=True)
    assert [entry.sidecar.name for entry in entries] == ["a.jpg", "a.jpg.xmp"]


def mpf(content):
    return b"\xff\xe2" + (len(content) + 6).to_bytes(2, "big") + b"MPF\0" + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n", "no JPEG that can be written to"),
        (jpeg(None, None)[:5], "no JPEG that can be written to"),
        (jpeg(None, xmp(0))[:-6] + jpeg(None, xmp(0))[2:], "has XMP twice"),
        (b"\xff\xd8" + mpf(b"x" * 20) + jpeg(None, xmp(0))[2:], "no room"),
        (jpeg(None, xmp(0).replace(b"<rdf:Desc", b"<!--" + b"x" * 65200 + b"--><rdf:Desc", 1)),
         "no room"),
        (jpeg(None, b"<broken"), "broken XML"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_safely_is_left_alone(tmp_path, content, message):
    (tmp_path / "a.jpg").write_bytes(content)
    [entry] = plan(tmp_path / "a.jpg", into_photos=True)
    assert entry.action == "fail"
    assert message in entry.error


def test_a_list_of_pictures_behind_the_xmp_does_not_matter(tmp_path):
    before = jpeg(None, xmp(0))[:-6] + mpf(b"x" * 20) + jpeg(None, None)[2:]
    assert JpegXmp.read(before, "a").with_packet(xmp(0) + b" " * 300, "a")


def test_a_photo_that_was_edited_since_is_left_as_it_is(tmp_path):
    photo, log = tmp_path / "a.jpg", tmp_path / "log"
    photo.write_bytes(PHOTOS["exif"])
    with UndoLog(log) as writer:
        list(write_stars(plan(photo, into_photos=True), writer))
    photo.write_bytes(photo.read_bytes() + b"edited")
    [done] = undo_stars(log)
    assert "changed since it got its stars" in done.error


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40), st.binary())
def test_undoing_a_photo_gives_back_every_byte(tmp_path, start, old, new, end):
    photo, log = tmp_path / "a.jpg", tmp_path / "log"
    log.unlink(missing_ok=True)
    before = start + old + end
    photo.write_bytes(before)
    with UndoLog(log) as writer:
        writer.write(photo, before, start + new + end)
    assert photo.read_bytes() == start + new + end
    list(undo_stars(log))
    assert photo.read_bytes() == before


def test_a_damaged_log_of_a_photo_changes_nothing(tmp_path):
    photo, log = tmp_path / "a.jpg", tmp_path / "log"
    photo.write_bytes(b"abc")
    with UndoLog(log) as writer:
        writer.write(photo, b"abc", b"axc")
    log.write_text(log.read_text().replace('"before": "Yg=="', '"before": "Yw=="'))
    [done] = undo_stars(log)
    assert "its line in the undo log is damaged" in done.error
    assert photo.read_bytes() == b"axc"


def test_sidecar_error_is_what_reading_no_jpeg_raises():
    with pytest.raises(SidecarError):
        JpegXmp.read(b"", "a.jpg")
