"""Files of one shot are one photo."""

import unicodedata

import pytest

from metadata_files import jpeg, tiff
from siamese_nima.photos.shots import FilesOfShots, Listing, Shot, folded, group_shots


def shots(*names):
    return [shot.files for shot in group_shots(names)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.CR2", "a.JPG"], [("a.JPG", "a.CR2")]),
        (["a.heic", "a.jpg"], [("a.jpg", "a.heic")]),
        (["a.NEF", "b.jpg", "A.jpeg"], [("A.jpeg", "a.NEF"), ("b.jpg",)]),
        (["x/a.cr2", "y/a.jpg"], [("x/a.cr2",), ("y/a.jpg",)]),
        (["a.jpg", "a.tif"], [("a.jpg",), ("a.tif",)]),
        (["a.jpg", "a.png", "a.arw"], [("a.jpg", "a.arw"), ("a.png",)]),
        (["a.jpg", "a.jpeg", "a.cr2"], [("a.jpg",), ("a.jpeg",), ("a.cr2",)]),
        (["A.JPG", "a.jpg", "A.CR2"], [("A.JPG", "A.CR2"), ("a.jpg",)]),
        (["a.cr2", "a.dng", "a.jpg"], [("a.jpg", "a.cr2", "a.dng")]),
        (["a-1.jpg", "a.cr2"], [("a-1.jpg",), ("a.cr2",)]),
        (["\u00e9.jpg", "e\u0301.dng"], [("\u00e9.jpg", "e\u0301.dng")]),
        (["a.png.jpg", "a.png", "a.png.cr2"], [("a.png.jpg", "a.png.cr2"), ("a.png",)]),
        (["<photo 1>", "<photo 2>"], [("<photo 1>",), ("<photo 2>",)]),
    ],
)  # fmt: skip
def test_which_files_are_of_one_shot(names, expected):
    assert shots(*names) == expected


def taken(at):
    return {36867: f"2026:05:01 12:00:{at:02d}"}


def test_files_of_one_name_taken_at_different_times_are_two_photos(tmp_path):
    for name, at in (("a.jpg", 10), ("a.nef", 40), ("b.jpg", 10), ("b.nef", 11)):
        content = tiff({}, taken(at))
        (tmp_path / name).write_bytes(content if name.endswith("nef") else jpeg(content, None))
    names = [str(tmp_path / name) for name in ("a.jpg", "a.nef", "b.jpg", "b.nef")]
    assert shots(*names) == [(names[0],), (names[1],), (names[2], names[3])]


def test_what_belongs_to_a_shot_is_found_beside_it(tmp_path):
    names = ("IMG_1.HEIC", "IMG_1.MOV", "img_1.aae", "IMG_1.HEIC.xmp", "IMG_1.xmp", "IMG_1.JPG",
             "IMG_1.jpg.pp3", "IMG_10.HEIC", "IMG_1.txt", "IMG_1-edit.xmp")  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    listing = Listing(tmp_path)
    shot = listing.shot("IMG_1.HEIC")
    assert [file.rpartition("/")[2] for file in shot.files] == ["IMG_1.HEIC", "IMG_1.JPG"]
    assert {path.name for path in listing.companions(shot)} == {
        *("IMG_1.MOV", "img_1.aae", "IMG_1.HEIC.xmp", "IMG_1.xmp", "IMG_1.jpg.pp3")
    }
    found = FilesOfShots().of(tmp_path / "IMG_1.JPG")
    assert [path.name for path in found[:2]] == ["IMG_1.JPG", "IMG_1.HEIC"]
    assert len(found) == 7


def test_a_file_is_found_in_other_letters_where_the_disk_has_only_those(tmp_path):
    decomposed = unicodedata.normalize("NFD", "café.jpg")
    (tmp_path / decomposed).touch()
    listing = Listing(tmp_path)
    assert listing.find(unicodedata.normalize("NFC", "café.jpg")) == decomposed
    assert listing.find("cafe.jpg") is None
    assert listing.shot("missing.jpg") == Shot(str(tmp_path / "missing.jpg"))
    assert folded("ﬀ\udce9") == folded("FF\udce9")
