"""Choices of a folder are on the disk, and in no file that is something else."""

import sqlite3

import pytest

from siamese_nima.curation.choices import ChoiceStore
from siamese_nima.errors import NimaError


def test_choices_are_there_again_whatever_photos_are_called(tmp_path):
    names = ["a.jpg", "day 1/b.jpg", "caf\udce9.jpg", "x'); DROP TABLE chosen; --"]
    with ChoiceStore(tmp_path) as store:
        for name in [*names, "c.jpg", "a.jpg"]:
            store.choose(name, chosen=True)
        store.choose("c.jpg", chosen=False)
        store.choose("never.jpg", chosen=False)
        with ChoiceStore(tmp_path) as other:
            assert other.chosen() == {*names}
    with ChoiceStore(tmp_path) as again:
        assert again.chosen() == {*names}


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
