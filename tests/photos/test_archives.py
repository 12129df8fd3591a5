"""Photos in archives are those that were put in, and nothing that an archive claims is believed."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photo_seeds import encoded, scene
from siamese_nima.errors import PhotoError
from siamese_nima.photos import archives, read_photo
from siamese_nima.photos.archives import contents_of
from siamese_nima.photos.sources import find_sources, listed_photos

PHOTO = encoded(scene(64, 48), "PNG")


def write_tar(path, members, **options):
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_zip(path, members, packed=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packed) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def listed(path):
    return [(one.name, one.about) for one in listed_photos(find_sources([str(path)]))]


def contents(path):
    with path.open("rb") as file:
        return contents_of(file, str(path), path.name)


SAMPLES = [
    ("./0001.jpg", b"first"),
    ("0001.json", b"{}"),
    ("day 1/photo.2.png", PHOTO),
    ("day 1/photo.2.txt", b"caption"),
    ("Ünïcode/日本.webp", b"x" * 5000),
    ("empty.gif", b""),
    ("long" * 60 + ".jpg", b"long"),
]
NAMES = ["0001.jpg", "day 1/photo.2.png", "Ünïcode/日本.webp", "empty.gif", "long" * 60 + ".jpg"]


@pytest.mark.parametrize(
    ("ending", "write"),
    [
        ("tar", write_tar),
        ("tar", lambda path, members: write_tar(path, members, format=tarfile.PAX_FORMAT)),
        ("tar", lambda path, members: write_tar(path, members, format=tarfile.GNU_FORMAT)),
        ("zip", write_zip),
        ("zip", lambda path, members: write_zip(path, members, zipfile.ZIP_STORED)),
    ],
)
def test_photos_come_in_order_with_their_keys_rows_and_bytes(tmp_path, ending, write):
    path = write(tmp_path / f"shoot.{ending}", SAMPLES)
    found = listed(path)
    assert [name for name, _ in found] == [f"{path}::{name}" for name in NAMES]
    keys = ["0001", "day 1/photo", "Ünïcode/日本", "empty", "long" * 60]
    assert [about for _, about in found] == [
        {"key": key, "row": row} for row, key in enumerate(keys)
    ]
    in_it = dict(SAMPLES) | {"0001.jpg": b"first"}
    photos = contents(path).photos
    assert [photo.read() for photo in photos] == [in_it[name] for name in NAMES]
    assert contents(path).other == 2
    assert read_photo(photos[1]).size == (64, 48)


@given(st.lists(st.binary(max_size=3000), max_size=12), st.sampled_from(["tar", "zip"]))
def test_any_bytes_come_back(tmp_path_factory, photos, ending):
    path = tmp_path_factory.mktemp("a") / f"a.{ending}"
    members = [(f"{number}.jpg", content) for number, content in enumerate(photos)]
    (write_tar if ending == "tar" else write_zip)(path, members)
    assert [photo.read() for photo in contents(path).photos] == photos


@given(st.data())
def test_a_damaged_archive_gives_rows_or_reasons_and_nothing_else(tmp_path_factory, data):
    ending = data.draw(st.sampled_from(["tar", "zip"]))
    path = tmp_path_factory.mktemp("a") / f"a.{ending}"
    (write_tar if ending == "tar" else write_zip)(path, SAMPLES)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for photo in contents(path).photos:
        reason = ""
        try:
            assert isinstance(photo.read(), bytes)
        except PhotoError as error:
            reason = str(error)
        assert not reason or reason.startswith(f"{photo.name}: ")


@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_an_archive_that_breaks_off_keeps_its_photos_and_says_so(tmp_path, ending):
    path = (write_tar if ending == "tar" else write_zip)(tmp_path / f"a.{ending}", SAMPLES)
    path.write_bytes(path.read_bytes()[:2000])
    *photos, last = contents(path).photos
    assert len(photos) == (1 if ending == "tar" else 0)
    with pytest.raises(PhotoError, match=rf"^a\.{ending}: the archive .* after \d photos"):
        last.read()


def test_an_archive_that_changed_since_it_was_listed_is_named(tmp_path):
    for path in (
        write_tar(tmp_path / "a.tar", SAMPLES),
        write_zip(tmp_path / "a.zip", SAMPLES),
    ):
        photo = contents(path).photos[2]
        path.write_bytes(path.read_bytes()[: photo.start + 20])
        with pytest.raises(PhotoError, match=r"^a\.(tar|zip)::Ünïcode/日本\.webp: the archive "):
            photo.read()


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "a\\..\\b.jpg"])
@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_names_that_lead_out_are_not_read(tmp_path, name, ending):
    write = write_tar if ending == "tar" else write_zip
    [photo] = contents(write(tmp_path / f"a.{ending}", [(name, PHOTO)])).photos
    with pytest.raises(PhotoError, match="its name leads out of the archive"):
        photo.read()


def test_hidden_members_folders_and_links_are_passed_over(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
            ("folder.jpg", tarfile.DIRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    write_zip(tmp_path / "b.zip", [("__MACOSX/._a.jpg", b""), (".hidden.jpg", b""), ("d/", b"")])
    assert (contents(path).photos, contents(path).special) == ((), 4)
    found = contents(tmp_path / "b.zip")
    assert (found.photos, found.other) == ((), 2)


def test_bombs_do_not_go_off(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 10_000)
    large = write_zip(tmp_path / "large.zip", [("a.jpg", bytes(1_000_000))])
    with pytest.raises(PhotoError, match="it has 1000000 bytes; at most 10000 are read"):
        contents(large).photos[0].read()
    # It claims to be small.
    content = large.read_bytes()
    large.write_bytes(content.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 100)))
    with pytest.raises(PhotoError, match="the archive"):
        contents(large).photos[0].read()
    monkeypatch.setattr(archives, "MOST_PHOTOS", 3)
    many = contents(write_tar(tmp_path / "many.tar", [(f"{n}.jpg", b"") for n in range(9)]))
    assert len(many.photos) == 4
    with pytest.raises(PhotoError, match=r"^many\.tar: more than 3 photos, the most of one"):
        many.photos[-1].read()
    # A header that claims a name of a gigabyte.
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "head.tar").write_bytes(info.tobuf() + bytes(4096))
    [flaw] = contents(tmp_path / "head.tar").photos
    with pytest.raises(PhotoError, match="a header of 1073741824 bytes"):
        flaw.read()


def test_what_is_not_unpacked_says_why(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", PHOTO)], zipfile.ZIP_BZIP2)
    with pytest.raises(PhotoError, match=r"a\.zip::a\.jpg: it is packed by method 12; wanted"):
        contents(path).photos[0].read()
    content = bytearray(write_zip(path, [("a.jpg", PHOTO)]).read_bytes())
    place = content.rindex(b"PK\1\2")
    content[place + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(PhotoError, match="it is encrypted"):
        contents(path).photos[0].read()


def test_an_archive_that_is_not_there_is_named(tmp_path):
    for name in ("none.tar", "none*.zip"):
        with pytest.raises(Exception, match=r"none\S*: (the archive cannot|no such archive)"):
            find_sources([str(tmp_path / name)])


def test_separators_of_windows_lead_into_no_other_folder(tmp_path):
    names = ["day1\\a.jpg", "C:\\a.jpg", "c:/a.jpg", "\\\\server\\a.jpg"]
    inside, *outside = contents(write_zip(tmp_path / "a.zip", [(n, PHOTO) for n in names])).photos
    assert inside.read() == PHOTO
    for photo in outside:
        with pytest.raises(PhotoError, match="its name leads out of the archive"):
            photo.read()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_an_archive_that_is_packed_as_a_whole_is_told_so(tmp_path, mode):
    path = tmp_path / "a.tar"
    with tarfile.open(path, mode) as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
    [flaw] = contents(path).photos
    kind = {"gz": "gzip", "bz2": "bzip2", "xz": "xz"}[mode[2:]]
    with pytest.raises(PhotoError, match=rf"a\.tar: it is an? {kind} archive; wanted a plain"):
        flaw.read()
