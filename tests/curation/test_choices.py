"""Choices of a folder are on the disk, in no file that is something else, and reach sidecars."""

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from siamese_nima.curation.choices import Choice, ChoiceStore
from siamese_nima.curation.sidecars import UndoLog, undo_stars
from siamese_nima.curation.stars import plan_choices, plan_stars, write_stars
from siamese_nima.curation.xmp import DIGIKAM_COLOUR, DIGIKAM_PICK, LABEL, RATING, Packet
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from sidecar_examples import WITH_RATING

PICKED = Choice(flag="pick")


def test_choices_are_there_again_whatever_photos_are_called(tmp_path):
    names = ["a.jpg", "day 1/b.jpg", "caf\udce9.jpg", "x'); DROP TABLE choice; --"]
    wanted = {name: Choice(stars=number + 1) for number, name in enumerate(names)}
    with ChoiceStore(tmp_path) as store:
        for name, choice in wanted.items():
            store.choose(name, PICKED)
            store.choose(name, choice)
        store.choose("c.jpg", Choice(flag="reject", colour="red"))
        store.choose("c.jpg", Choice())
        with ChoiceStore(tmp_path) as other:
            assert other.choices() == {**wanted, "c.jpg": Choice()}
    with ChoiceStore(tmp_path) as again:
        assert again.choices() == {**wanted, "c.jpg": Choice()}


def test_what_an_earlier_version_kept_is_picked(tmp_path):
    with sqlite3.connect(tmp_path / "nima-choices.sqlite") as database:
        database.execute("PRAGMA application_id = 0x4E434843")
        database.execute("CREATE TABLE chosen(path BLOB PRIMARY KEY) WITHOUT ROWID")
        database.execute("INSERT INTO chosen VALUES (?)", (b"a.jpg",))
    database.close()
    for _ in range(2):
        with ChoiceStore(tmp_path) as store:
            assert store.choices() == {"a.jpg": PICKED}


def test_another_file_under_that_name_is_left_alone(tmp_path):
    path = tmp_path / "nima-choices.sqlite"
    path.write_bytes(b"somebody's notes")
    with pytest.raises(NimaError, match=r"nima-choices\.sqlite: choices cannot be kept"):
        ChoiceStore(tmp_path)
    assert path.read_bytes() == b"somebody's notes"
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine(a)")
    database.close()
    with pytest.raises(NimaError, match="not a file of choices; move it elsewhere"):
        ChoiceStore(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NimaError, match="choices cannot be kept"):
        ChoiceStore(tmp_path / "none")


@pytest.mark.parametrize(
    "wrong", [{"stars": 6}, {"stars": 0}, {"flag": "best"}, {"colour": "pink"}]
)
def test_other_choices_are_refused(wrong):
    with pytest.raises(ConfigError):
        Choice(**wrong)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path)
    return ScoredPhoto(path=str(path), model="tiny-1@0", scale=AVA_SCALE, score=6.0)


def write(photo, choice, number=0, **options):
    log = photo.path + f".{number}.log"
    with UndoLog(Path(log)) as undo:
        return [e.action for e in write_stars(plan_choices([photo], [choice], **options), undo)]


def marks(path):
    packet = Packet.parse(path.read_bytes(), str(path))
    return [packet.value(name) for name in (RATING, LABEL, DIGIKAM_PICK, DIGIKAM_COLOUR)]


def test_a_choice_is_written_changed_taken_back_and_undone(tmp_path, photo):
    sidecar = tmp_path / "a.jpg.xmp"
    chosen = Choice(stars=4, flag="pick", colour="green")
    assert write(photo, chosen) == ["create"]
    assert marks(sidecar) == ["4", "Green", "3", "4"]
    assert write(photo, chosen, 1) == ["same"]
    assert write(photo, Choice(stars=4, flag="reject"), 2) == ["change"]
    assert marks(sidecar) == ["-1", "", "1", "0"]
    assert write(photo, Choice(), 3) == ["change"]
    assert marks(sidecar) == ["0", "", "0", "0"]
    for number in (3, 2, 0):
        list(undo_stars(Path(f"{photo.path}.{number}.log")))
    assert not sidecar.exists()


@pytest.mark.parametrize("program", WITH_RATING)
def test_a_rating_of_another_program_stays_unless_told(tmp_path, photo, program):
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(WITH_RATING[program].replace("{rating}", "2"))
    before = sidecar.read_bytes()
    assert write(photo, Choice(stars=5)) == ["keep"]
    assert sidecar.read_bytes() == before
    assert write(photo, Choice(stars=5), 1, overwrite=True) == ["change"]
    assert marks(sidecar)[0] == "5"
    assert write(photo, Choice(stars=3), 2) == ["change"]  # what was chosen here changes freely
    assert marks(sidecar)[0] == "3"


def test_the_stars_of_scores_never_replace_a_choice(tmp_path, photo):
    sidecar = tmp_path / "a.jpg.xmp"
    with UndoLog(tmp_path / "log") as log:
        list(write_stars(plan_stars([photo], [4]), log))
    assert write(photo, Choice(stars=4)) == ["change"]
    [entry] = plan_stars([photo], [5])
    assert (entry.action, entry.was) == ("keep", 4)
    assert write(photo, Choice(stars=2), 1) == ["change"]
    [entry] = plan_stars([photo], [5])
    assert (entry.action, entry.was) == ("keep", 2)
    assert marks(sidecar)[0] == "2"


def test_an_empty_choice_of_an_unmarked_photo_writes_nothing(tmp_path, photo):
    assert write(photo, Choice()) == ["same"]
    assert not list(tmp_path.glob("*.xmp"))


OURS = ("nima", "xmp.Rating", "xmp.Label", "digiKam.PickLabel", "digiKam.ColorLabel")


def read_by_exiv2(path):
    pyexiv2 = pytest.importorskip("pyexiv2", reason="pyexiv2 is not installed")
    image = pyexiv2.Image(str(path))
    read = image.read_xmp()
    image.close()
    return read


def read_by_exiftool(path):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    command = ["exiftool", "-json", "-n", "-G1", "-a", "-XMP:all", "-warning", str(path)]
    [read] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return read


def others(read):
    """All properties but those that a choice writes."""
    plain = {name.replace("XMP-", "").replace(":", "."): value for name, value in read.items()}
    return {n: v for n, v in plain.items() if not any(own in n for own in (*OURS, "SourceFile"))}


@pytest.mark.parametrize("program", WITH_RATING)
def test_sidecars_of_programs_survive_a_round_of_culling(tmp_path, photo, program):
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(WITH_RATING[program].replace("{rating}", "2"))
    original, before = sidecar.read_bytes(), read_by_exiftool(sidecar)
    known = read_by_exiv2(sidecar)
    rounds = [
        (Choice(stars=5, flag="pick", colour="green"), "5", "Green", "3"),
        (Choice(flag="reject", colour="red"), "-1", "Red", "1"),
    ]
    for number, (choice, rating, label, pick) in enumerate(rounds):
        write(photo, choice, number, overwrite=True)
        exiv2, exiftool = read_by_exiv2(sidecar), read_by_exiftool(sidecar)
        assert (exiv2["Xmp.xmp.Rating"], exiv2["Xmp.xmp.Label"]) == (rating, label)
        assert exiv2["Xmp.digiKam.PickLabel"] == pick
        assert (exiftool["XMP-xmp:Rating"], exiftool["XMP-xmp:Label"]) == (int(rating), label)
        assert others(exiftool) == others(before)
        assert others(exiv2) == others(known)
    for number in (1, 0):
        list(undo_stars(Path(f"{photo.path}.{number}.log")))
    assert sidecar.read_bytes() == original
