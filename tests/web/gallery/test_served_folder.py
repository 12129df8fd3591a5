"""Nothing outside the served folder can be read, by whatever id or link."""

from __future__ import annotations

import hashlib
import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.web.gallery import ServedFolder
from systems import needs_pipes

SECRET = b"a secret"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A folder to serve, in another one that has secrets, with links of every kind between."""
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "served"
    (folder / "trip").mkdir(parents=True)
    (outside / "secret.jpg").write_bytes(SECRET)
    (outside / "served-too").mkdir()
    (outside / "served-too" / "secret.jpg").write_bytes(SECRET)
    for name in ("a.jpg", "trip/b.jpg", "trip/c d.jpg"):
        (folder / name).write_bytes(name.encode())
    (folder / "inside.jpg").symlink_to("trip/b.jpg")
    (folder / "up.jpg").symlink_to("../secret.jpg")
    (folder / "absolute.jpg").symlink_to(outside / "secret.jpg")
    (folder / "twice.jpg").symlink_to("up.jpg")
    (folder / "folder").symlink_to("../served-too")
    (folder / "root").symlink_to("/")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    return folder


@pytest.fixture(scope="module")
def served(tree) -> ServedFolder:
    linked = [tree / "root" / "etc" / "hostname", tree / "up.jpg", tree / "folder" / "secret.jpg"]
    found = find_photos([tree], inside=tree)
    assert found.skipped_outside == 5
    return ServedFolder(tree, [*found.paths, *linked, tree / ".." / "x.jpg"])


def test_photos_inside_are_served_and_links_that_lead_out_are_not(served, tree):
    names = {os.path.relpath(path, tree) for path in served.photos.values()}
    # Of a photo and a link to it, the search takes what it meets first.
    assert names == {"a.jpg", "inside.jpg", "trip/c d.jpg", "gone.jpg"}
    left = {os.path.relpath(path, tree) for path in served.outside}
    assert left == {"up.jpg", "folder/secret.jpg", "root/etc/hostname", "../x.jpg"}


def test_an_id_opens_its_photo_and_says_nothing_of_its_path(served, tree):
    found = {}
    for photo_id, path in served.photos.items():
        assert len(photo_id) == 20
        assert set(photo_id) <= set(string.hexdigits)
        if path.name != "gone.jpg":
            with served.open(photo_id) as file:
                found[os.path.relpath(path, tree)] = file.read()
    assert found == {
        "a.jpg": b"a.jpg",
        "inside.jpg": b"trip/b.jpg",
        "trip/c d.jpg": b"trip/c d.jpg",
    }


def test_ids_are_the_same_after_a_restart_and_wherever_the_folder_is(served, tree, tmp_path):
    again = ServedFolder(tree, served.photos.values())
    assert again.photos == served.photos
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "c d.jpg").touch()
    moved = ServedFolder(tmp_path, [tmp_path / "trip" / "c d.jpg"])
    assert set(moved.photos) <= set(served.photos)


paths_and_noise = st.one_of(
    st.text(max_size=50),
    st.lists(
        st.sampled_from([*("..", ".", "", "/", "served", "secret.jpg", "a.jpg", "trip", "up.jpg")]),
        max_size=6,
    ).map("/".join),
    st.text(string.hexdigits, min_size=20, max_size=20),
    st.sampled_from(["secret.jpg", "../secret.jpg", "up.jpg", "/etc/passwd"]).map(
        lambda name: hashlib.sha256(name.encode()).hexdigest()[:20]
    ),
)


@given(paths_and_noise)
def test_no_other_id_opens_anything(served, photo_id):
    if photo_id not in served.photos:
        with pytest.raises(PhotoError, match="no photo has the id"):
            served.open(photo_id)


@given(
    st.lists(st.sampled_from(["..", "served", "served-too", "trip", "folder", "root"]), max_size=5)
)
def test_no_path_that_leads_out_is_ever_given_an_id(tree, parts):
    path = tree.joinpath(*parts, "secret.jpg")
    inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(tree))
    assert bool(ServedFolder(tree, [path]).photos) is inside


def put(path: Path, what: str, outside: Path) -> None:
    path.unlink()
    match what:
        case "link":
            path.symlink_to(outside)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()


@pytest.mark.parametrize(
    "what", ["nothing", "link", pytest.param("pipe", marks=needs_pipes), "folder"]
)
def test_what_takes_the_place_of_a_photo_later_is_not_read(tmp_path, what):
    (tmp_path / "secret.jpg").write_bytes(SECRET)
    folder = tmp_path / "served"
    folder.mkdir()
    photo = folder / "a.jpg"
    photo.write_bytes(b"photo")
    served = ServedFolder(folder, [photo])
    [photo_id] = served.photos
    put(photo, what, tmp_path / "secret.jpg")
    with pytest.raises(PhotoError):
        served.open(photo_id)


def test_a_folder_on_the_way_that_becomes_a_link_is_not_followed(tmp_path):
    for name in ("served/trip", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.jpg").write_bytes(SECRET if name == "elsewhere" else b"photo")
    served = ServedFolder(tmp_path / "served", [tmp_path / "served" / "trip" / "a.jpg"])
    [photo_id] = served.photos
    (tmp_path / "served" / "trip").rename(tmp_path / "served" / "old")
    (tmp_path / "served" / "trip").symlink_to("../elsewhere")
    with pytest.raises(PhotoError, match="no longer in the folder"):
        served.open(photo_id)


def test_a_served_folder_may_itself_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"photo")
    (tmp_path / "link").symlink_to("real")
    served = ServedFolder(tmp_path / "link", [tmp_path / "link" / "a.jpg"])
    [photo_id] = served.photos
    with served.open(photo_id) as file:
        assert file.read() == b"photo"
