"""`nima stars` as a user types it."""

import errno
import shutil
import tempfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.curation.xmp import Packet


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """The undo log lands in the current folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def contents(photo_folder):
    return {path.name: path.read_bytes() for path in photo_folder.iterdir()}


def nima(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


def ratings(folder):
    found = {}
    for path in folder.glob("*.xmp"):
        found[path.name.partition(".")[0]] = Packet.parse(path.read_bytes(), str(path)).rating
    return found


def test_stars_by_percentile_among_the_photos_given(tiny_model, photo_folder, contents):
    code, out, err = nima("stars", photo_folder, "-m", tiny_model)
    stars = [ratings(photo_folder)[f"photo{n}"] for n in range(1, 12)]
    assert code == 0
    assert stars == [1, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5]
    assert "★★★★★" in out.splitlines()[-1]
    assert "11 new sidecars" in err
    assert {name: (photo_folder / name).read_bytes() for name in contents} == contents


def test_a_dry_run_shows_everything_and_writes_nothing(tiny_model, photo_folder, contents):
    code, out, err = nima("stars", photo_folder, "-m", tiny_model, "--dry-run")
    assert code == 0
    assert len(out.splitlines()) == 11
    assert "dry run, nothing is written: 11 new sidecars" in err
    assert {path.name: path.read_bytes() for path in photo_folder.iterdir()} == contents
    assert list(Path.cwd().iterdir()) == []


def test_a_run_is_undone_by_its_log(tiny_model, photo_folder, contents):
    nima("stars", photo_folder, "-m", tiny_model)
    [log] = Path.cwd().glob("nima-stars-*.undo.jsonl")
    assert nima("stars", "--undo", log)[::2] == (0, "sidecars: 11 removed\n")
    assert {path.name: path.read_bytes() for path in photo_folder.iterdir()} == contents


def test_a_second_run_writes_nothing_and_a_persons_rating_stays(tiny_model, photo_folder):
    nima("stars", photo_folder, "-m", tiny_model, "--log", "first")
    changed = photo_folder / "photo3.png.xmp"
    changed.write_bytes(changed.read_bytes().replace(b'xmp:Rating="2"', b'xmp:Rating="5"'))
    code, out, err = nima("stars", photo_folder, "-m", tiny_model, "--log", "second")
    assert (code, out.split()) == (0, ["★★★★★", "yours,", "kept", str(changed)])
    assert "10 up to date, 1 with a person's rating kept" in err
    assert not Path("second").exists()
    nima("stars", photo_folder, "-m", tiny_model, "--log", "third", "--overwrite")
    assert ratings(photo_folder)["photo3"] == 2


def test_scores_can_come_from_a_table(tiny_model, photo_folder, tmp_path):
    for name in ("s.csv", "s.jsonl"):
        nima("score", photo_folder, "-m", tiny_model, "--out", tmp_path / name, "-q")
        nima("stars", "--table", tmp_path / name, "--by", "population", "--log", name)
        assert ratings(photo_folder)["photo11"] == 5
        assert nima("stars", "--undo", name)[0] == 0
        assert ratings(photo_folder) == {}


def test_bounds_are_scores_where_asked_and_rejection_is_by_choice(tiny_model, photo_folder):
    options = "--by", "score", "--bounds", "2,4,6,8", "--reject-below", "2", "--sidecars", "stem"
    nima("stars", photo_folder, "-m", tiny_model, *options)
    found = ratings(photo_folder)
    assert found["photo1"] == -1
    assert found["photo11"] == 5
    assert (photo_folder / "photo1.xmp").exists()


def test_what_fails_is_named_and_the_others_get_their_stars(tiny_model, photo_folder):
    (photo_folder / "photo2.png.xmp").write_text("<broken")
    (photo_folder / "photo4.png").write_bytes(b"broken")
    code, _, err = nima("stars", photo_folder, "-m", tiny_model)
    assert code == 1
    assert "photo2.png.xmp: broken XML" in err
    assert "photo4.png" in err
    assert len(list(photo_folder.glob("*.xmp"))) == 10
    assert (photo_folder / "photo2.png.xmp").read_text() == "<broken"


def test_a_folder_that_cannot_be_written_is_named_and_others_get_their_stars(
    tiny_model, photo_folder, tmp_path, monkeypatch
):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    shutil.copy(photo_folder / "photo1.png", shelf)

    def make(suffix, prefix, folder):
        # Root may write where others may not, so that permissions would not do.
        if folder == shelf:
            raise OSError(errno.EROFS, "Read-only file system")
        return mkstemp(suffix, prefix, folder)

    mkstemp = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", make)
    code, _, err = nima("stars", shelf, photo_folder, "-m", tiny_model)
    assert code == 1
    assert f"{shelf / 'photo1.png.xmp'}: cannot be written (Read-only file system)" in err
    assert not list(shelf.glob("*.xmp"))
    assert len(list(photo_folder.glob("*.xmp"))) == 11


def test_photos_without_a_score_in_a_table_are_counted(tiny_model, photo_folder, tmp_path):
    (photo_folder / "photo4.png").write_bytes(b"broken")
    nima("score", photo_folder, "-m", tiny_model, "--out", tmp_path / "s.csv", "-q")
    code, _, err = nima("stars", "--table", tmp_path / "s.csv")
    assert code == 1
    assert "1 photos have no score in the table" in err


def test_stars_for_a_program_say_how_many_of_each_and_what_it_cannot_take(tiny_model, photo_folder):
    options = "--for", "lightroom", "--into-photos", "--labels", "5=green,-1=red"
    with Image.open(photo_folder / "photo11.png") as photo:
        photo.save(photo_folder / "photo12.jpg", quality=95)
    code, _, err = nima("stars", photo_folder, "-m", tiny_model, *options)
    assert code == 0
    assert "stars: 2 with 5, 2 with 4, 4 with 3, 3 with 2, 1 with 1" in err
    assert "11 photos get no stars: Lightroom Classic does not read sidecars of them" in err
    assert "flags in its catalogue" in err
    assert list(photo_folder.glob("*.xmp")) == []
    before = (photo_folder / "photo12.jpg").read_bytes()
    assert b'xmp:Rating="' in before
    [log] = Path.cwd().glob("nima-stars-*.undo.jsonl")
    assert nima("stars", "--undo", log)[0] == 0
    assert b"xmp:Rating" not in (photo_folder / "photo12.jpg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}", "--labels", "green"], "--labels green: wanted stars and colours"),
        (["{folder}", "--labels", "5=pink"], "got 5=pink"),
        ([], "give one of: PHOTOS, --table, --undo"),
        (["{folder}", "--undo", "log"], "give one of"),
        (["{folder}", "--by", "score"], "needs --bounds"),
        (["{folder}", "--bounds", "1,x"], "wanted four numbers"),
        (["--undo", "none"], "none: cannot be read"),
        (["--table", "none.csv"], "none.csv: cannot be read"),
        (["--table", "none.parquet"], "ends in .csv or .jsonl"),
        (["{folder}", "--log", "no/log"], "no/log: cannot be written"),
    ],
)
def test_mistakes_are_named(tiny_model, photo_folder, arguments, message):
    filled = [a.format(folder=photo_folder) for a in arguments]
    done = CliRunner().invoke(app, ["stars", *filled, "-m", str(tiny_model)])
    assert done.exit_code != 0
    assert message in str(done.exception)
    assert ratings(photo_folder) == {}
