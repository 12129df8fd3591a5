import io
import os
import socket
import sys
from glob import glob
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import PhotoError, TableError
from siamese_nima.photos import find_photos
from siamese_nima.photos.find import _Search, natural_key
from systems import needs_pipes


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder of empty files to search, which is also the current folder."""
    for name in [
        "photo10.jpg",
        "photo2.JPG",
        "Photo1.png",
        "notes.txt",
        "weights.h5",
        ".hidden.jpg",
        "b/inner.webp",
        "b/deep/raw.NEF",
        "a/phone.heic",
        ".cache/thumb.jpg",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(found, folder=Path()):
    return [str(path.relative_to(folder)) for path in found.paths]


def test_a_folder_is_searched_in_natural_order_its_own_photos_first(tree):
    found = find_photos([tree])
    assert names(found, tree) == [
        "Photo1.png",
        "photo2.JPG",
        "photo10.jpg",
        "a/phone.heic",
        "b/inner.webp",
        "b/deep/raw.NEF",
    ]


def test_what_a_folder_search_passes_over_is_counted(tree):
    found = find_photos([tree])
    assert (found.skipped_hidden, found.skipped_other, found.skipped_special) == (2, 2, 0)


def test_named_files_are_taken_whatever_their_name(tree):
    assert names(find_photos(["notes.txt", ".hidden.jpg"])) == ["notes.txt", ".hidden.jpg"]


def test_a_named_hidden_folder_is_searched(tree):
    assert names(find_photos([".cache"])) == [".cache/thumb.jpg"]


def test_the_order_of_arguments_is_kept(tree):
    assert names(find_photos(["photo10.jpg", "a", "Photo1.png"])) == [
        "photo10.jpg",
        "a/phone.heic",
        "Photo1.png",
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["photo10.jpg"]),
        ("*.[jJ][pP][gG]", ["photo2.JPG", "photo10.jpg"]),
        ("photo?.JPG", ["photo2.JPG"]),
        ("**/*.webp", ["b/inner.webp"]),
        ("b/**", ["b/deep/raw.NEF", "b/inner.webp"]),
        ("[ab]", ["a/phone.heic", "b/inner.webp", "b/deep/raw.NEF"]),
    ],
)
def test_quoted_globs_are_expanded(tree, pattern, expected):
    found = find_photos([pattern])
    assert names(found) == expected
    assert found.skipped_repeats == 0


def test_globs_find_what_pythons_own_glob_finds(tree):
    patterns = [
        "*",
        "*/*",
        "**",
        "**/*",
        "b/**/*.*",
        "**/deep/*",
        "./*.png",
        "[!a]*",
        "**/**/*.web?",
    ]
    patterns += [
        ".*",
        ".cache/*",
        "*/../*.txt",
        "no*/*",
        "photo2.JPG/*",
        "**/d*/../*",
        f"{tree}/*/*",
    ]
    for pattern in patterns:
        found = {path.resolve() for path in _Search()._matches(Path(pattern))}
        expected = {Path(name).resolve() for name in glob(pattern, recursive=True)}  # noqa: PTH207
        # Python's `**` gives the folder it starts in too.
        assert found == expected - {Path().resolve()}, pattern


def test_a_double_star_does_not_go_through_links_in_circles(tree):
    for name in ["a/up", "b/up", "b/deep/up"]:
        Path(name).symlink_to(tree, target_is_directory=True)
    assert names(find_photos(["**/*.webp"])) == ["b/inner.webp"]
    assert len(find_photos(["**"]).paths) == 6


def test_globs_pass_over_what_is_no_photo(tree):
    found = find_photos(["*"])
    assert len(found.paths) == 6
    assert found.skipped_other == 2


def test_a_glob_in_an_absolute_path_is_expanded(tree):
    assert names(find_photos([f"{tree}/**/*.heic"]), tree) == ["a/phone.heic"]


def test_a_file_named_like_a_glob_is_that_file(tree):
    Path("a[1].jpg").touch()
    Path("a1.jpg").touch()
    assert names(find_photos(["a[1].jpg"])) == ["a[1].jpg"]


def test_missing_names_stay_so_that_reading_reports_them(tree):
    assert names(find_photos(["gone.jpg", "none*.jpg", "photo2.JPG"])) == [
        "gone.jpg",
        "none*.jpg",
        "photo2.JPG",
    ]


def test_broken_links_stay_so_that_reading_reports_them(tree):
    Path("a/broken.jpg").symlink_to("nowhere.jpg")
    Path("a/round.jpg").symlink_to("round.jpg")
    assert names(find_photos(["a"])) == ["a/broken.jpg", "a/phone.heic", "a/round.jpg"]


def test_standard_input_gives_names_of_files_and_folders(tree):
    lines = io.BytesIO(b"photo10.jpg\r\n\nb\n*.jpg\n\xff.jpg")
    found = find_photos(["Photo1.png", "-"], stdin=lines)
    assert found.paths == tuple(
        Path(os.fsdecode(name))
        for name in [
            b"Photo1.png",
            b"photo10.jpg",
            b"b/inner.webp",
            b"b/deep/raw.NEF",
            b"*.jpg",
            b"\xff.jpg",
        ]
    )


def test_a_table_of_paths_alone_is_a_list(tree):
    lines = b"path\nphoto10.jpg\n"
    assert names(find_photos(["-"], stdin=io.BytesIO(lines))) == ["photo10.jpg"]
    odd = ["a, b.jpg", 'the "best".jpg', "two\nlines.jpg"]
    for name in odd:
        Path(name).write_bytes(b"")
    quoted = b'path\n"a, b.jpg"\n"the ""best"".jpg"\n"two\nlines.jpg"\n'
    assert names(find_photos(["-"], stdin=io.BytesIO(quoted))) == odd
    with pytest.raises(TableError, match=r"standard input line 2: not a readable table"):
        find_photos(["-"], stdin=io.BytesIO(b'path\n"a.jpg\n'))
    Path("path").write_bytes(b"a photo of that name")
    assert names(find_photos(["-"], stdin=io.BytesIO(lines))) == ["path", "photo10.jpg"]


def test_standard_input_is_read_by_default(tree, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("photo2.JPG\nphoto10.jpg\n"))
    assert names(find_photos(["-"])) == ["photo2.JPG", "photo10.jpg"]


def test_a_file_given_twice_is_taken_once_at_its_first_place(tree):
    Path("c").mkdir()
    Path("c/link.jpg").symlink_to(tree / "photo10.jpg")
    found = find_photos(["photo10.jpg", tree, "b/../photo2.JPG", "c/link.jpg"])
    assert [path.name for path in found.paths].count("photo10.jpg") == 1
    assert found.paths[0] == Path("photo10.jpg")
    assert len(found.paths) == 6
    assert found.skipped_repeats == 4


def test_links_to_folders_are_followed_once_and_never_in_circles(tree):
    Path("a/up").symlink_to(tree, target_is_directory=True)
    Path("b/again").symlink_to(tree / "a", target_is_directory=True)
    found = find_photos([tree])
    assert len(found.paths) == 6
    assert found.skipped_repeats == 0


def test_a_folder_named_like_a_photo_is_a_folder(tree):
    Path("album.jpg").mkdir()
    Path("album.jpg/one.png").touch()
    assert "album.jpg/one.png" in names(find_photos([tree]), tree)
    assert names(find_photos(["album.jpg"])) == ["album.jpg/one.png"]


@needs_pipes
def test_pipes_and_sockets_are_counted_and_not_taken(tree):
    os.mkfifo("a/pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a/socket.jpg")
        found = find_photos(["a"])
    assert names(found) == ["a/phone.heic"]
    assert found.skipped_special == 2


@needs_pipes
def test_a_named_pipe_stays_so_that_reading_reports_it(tree):
    os.mkfifo("pipe.jpg")
    assert names(find_photos(["pipe.jpg"])) == ["pipe.jpg"]


def test_a_folder_that_cannot_be_listed_stays_so_that_reading_reports_it(tree, monkeypatch):
    real_scandir = os.scandir

    def scandir(folder):
        if Path(folder).name == "a":
            raise PermissionError(13, "Permission denied")
        return real_scandir(folder)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        assert Path("b/../a") not in find_photos(["b"]).paths
        assert tree / "a" in find_photos([tree]).paths


def test_folders_deeper_than_the_recursion_limit_are_searched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + 100
    for _ in range(depth):
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    Path("x.jpg").touch()
    os.chdir(tmp_path)
    (found,) = find_photos(["d"]).paths
    assert len(found.parts) == depth + 1
    # Removed here, because shutil.rmtree recurses.
    for _ in range(depth):
        os.chdir("d")
    Path("x.jpg").unlink()
    for _ in range(depth):
        os.chdir("..")
        Path("d").rmdir()


def test_an_empty_name_is_an_error_not_the_current_folder(tree):
    with pytest.raises(PhotoError, match="an empty name was given"):
        find_photos([""])


def test_a_name_with_a_nul_stays_so_that_reading_reports_it(tree):
    assert find_photos(["-"], stdin=io.BytesIO(b"a\0b.jpg\n")).paths == (Path("a\0b.jpg"),)


def test_a_name_that_is_too_long_stays_so_that_reading_reports_it(tree):
    name = "x" * 300 + ".jpg"
    assert names(find_photos([name, "-"], stdin=io.BytesIO(name.encode()))) == [name]


def test_globs_look_into_folders_only(tree):
    Path("b/broken").symlink_to("nowhere")
    assert names(find_photos(["b/*/*"])) == ["b/deep/raw.NEF"]


def test_a_leading_tilde_is_the_home_folder(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    assert names(find_photos(["~/b/*.webp"]), tree) == ["b/inner.webp"]
    assert names(find_photos(["~no-such-user/x.jpg"])) == ["~no-such-user/x.jpg"]


@given(st.lists(st.tuples(st.sampled_from(["img", "IMG", "x"]), st.integers(0, 10**6))))
def test_natural_order_reads_digits_as_numbers(pairs):
    ordered = sorted((f"{word}{number}" for word, number in pairs), key=natural_key)
    expected = sorted((word.lower(), number) for word, number in pairs)
    digits = [(name.rstrip("0123456789").lower(), int(name.lstrip("imgIMGx"))) for name in ordered]
    assert digits == expected


@given(
    st.lists(st.text(max_size=12)).flatmap(
        lambda names: st.tuples(st.just(names), st.permutations(names))
    )
)
def test_natural_order_does_not_depend_on_the_order_before(orders):
    one, other = orders
    assert sorted(one, key=natural_key) == sorted(other, key=natural_key)


def test_links_may_be_kept_from_leading_out_of_a_folder(tmp_path):
    folder = tmp_path / "served"
    (folder / "trip").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("served/a.jpg", "served/trip/b.jpg", "other/c.jpg"):
        (tmp_path / name).touch()
    (folder / "out").symlink_to("../other")
    (folder / "out.jpg").symlink_to("../other/c.jpg")
    (folder / "other-trip").symlink_to("trip")
    found = find_photos([folder], inside=folder)
    assert {path.name for path in found.paths} == {"a.jpg", "b.jpg"}
    assert found.skipped_outside == 2
    assert len(find_photos([folder]).paths) == 3


def test_a_link_that_may_not_be_read_does_not_end_the_search(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").symlink_to("b.jpg")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os.path, "realpath", refuse)
    assert find_photos([tmp_path]).paths == (tmp_path / "a.jpg",)


def test_one_path_is_one_path(tree):
    assert names(find_photos("a")) == names(find_photos(["a"])) == ["a/phone.heic"]
    assert names(find_photos(tree / "a"), tree) == ["a/phone.heic"]


@pytest.mark.parametrize(
    "folder",
    [
        *("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
        *("Thumbs", "Previews.lrdata", "My.photoslibrary/resources/derivatives"),
    ],
)
def test_what_systems_keep_in_folders_is_no_photo_unless_it_is_named(tree, folder):
    inside = tree / "a" / folder / "deep"
    inside.mkdir(parents=True)
    (inside / "thumb.jpg").touch()
    found = find_photos([tree / "a"])
    assert names(found, tree) == ["a/phone.heic"]
    assert found.skipped_system == 1
    assert names(find_photos([inside.parent]), inside) == ["thumb.jpg"]


def test_what_was_imported_into_a_library_of_photos_is_found(tree):
    for place in ("originals/0", "resources/renders", "database"):
        (tree / "My.photoslibrary" / place).mkdir(parents=True)
        (tree / "My.photoslibrary" / place / "x.heic").touch()
    found = find_photos([tree / "My.photoslibrary"])
    assert names(found, tree) == ["My.photoslibrary/originals/0/x.heic"]
    assert found.skipped_system == 2


def test_a_folder_may_be_left_out(tree):
    found = find_photos([tree], without=tree / "b")
    assert names(found, tree)[-1] == "a/phone.heic"


def test_a_part_that_exists_as_it_is_written_is_no_pattern(tree):
    folder = tree / "Photos [2024]"
    folder.mkdir()
    for name in ("x.jpg", "y[1].jpg", "y1.jpg"):
        (folder / name).touch()
    assert names(find_photos(["Photos [2024]/*.jpg"])) == [
        f"Photos [2024]/{name}" for name in ("x.jpg", "y1.jpg", "y[1].jpg")
    ]
    assert names(find_photos(["Photos*/y[1].jpg"])) == ["Photos [2024]/y[1].jpg"]


@pytest.mark.parametrize("url", ["http://host/a.jpg", "https://host/b/", "s3://bucket/a.jpg"])
def test_a_url_is_a_clear_error(tree, url):
    with pytest.raises(PhotoError, match=f"{url}: a URL, and nothing is downloaded"):
        find_photos([url])


def test_a_url_of_a_file_is_its_path(tree):
    assert names(find_photos([(tree / "photo10.jpg").as_uri()]), tree) == ["photo10.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_are_read_as_systems_write_them(tree, encoding, end):
    (tree / "日本.jpg").touch()
    text = f"日本.jpg{end}photo10.jpg{end}".encode(encoding)
    assert names(find_photos(["-"], stdin=io.BytesIO(text))) == ["日本.jpg", "photo10.jpg"]


def test_a_list_that_ends_in_the_middle_of_a_character_is_an_error(tree):
    with pytest.raises(TableError, match="not a readable list"):
        find_photos(["-"], stdin=io.BytesIO("a.jpg".encode("utf-16")[:-1]))


def test_a_closed_standard_input_is_an_error(tree, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(PhotoError, match="it is closed"):
        find_photos(["-"])


def test_junctions_are_links(tree, monkeypatch):
    """As Python 3.12 shows those of Windows: folders that say so, with another real path."""
    (tree / "a" / "again").symlink_to(tree / "a", target_is_directory=True)
    whole = os.scandir

    class Junction:
        def __init__(self, entry):
            self.name = entry.name
            self.is_dir, self.is_file = entry.is_dir, entry.is_file

        def is_symlink(self):
            return False

        def is_junction(self):
            return self.name == "again"

    class Scan:
        def __init__(self, folder):
            with whole(folder) as scan:
                self.entries = [Junction(entry) for entry in scan]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", Scan)
        assert names(find_photos(["a"])) == ["a/phone.heic"]
        assert names(find_photos(["a/**/*.heic"])) == ["a/phone.heic"]


def test_a_standard_input_that_is_closed_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(PhotoError, match="reads a list from standard input, and there is none"):
        find_photos("-")
