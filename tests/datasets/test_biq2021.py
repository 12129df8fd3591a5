from pathlib import Path

import numpy as np
import pytest

from siamese_nima.datasets.biq2021 import read_biq2021
from siamese_nima.errors import TableError

TRAIN, TEST = "Train (Images and MOS).csv", "Test (Images and MOS).csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / TRAIN).write_text(
        "Image Name,MOS,,\nss01 (1).jpg,0.25,,\nss02 (2).jpg,0.5,,\nss03 (3).jpg,0.75,,\n"
    )
    (tmp_path / TEST).write_text("Image Name,MOS\nss03 (4).jpg,0.875\n")
    (tmp_path / "Images").mkdir()
    for name in ("ss01 (1).jpg", "ss02 (2).JPG", "ss03 (3).jpg", "ss03 (4).jpg"):
        (tmp_path / "Images" / name).touch()
    return tmp_path


def test_the_published_tables_are_read_with_their_split(folder: Path) -> None:
    table = read_biq2021(folder)
    np.testing.assert_allclose(table.mos, [0.25, 0.5, 0.75, 0.875])
    assert table.subsets == ("ss01", "ss02", "ss03", "ss03")
    assert table.splits == ("train", "train", "train", "test")
    assert (table.scale.low, table.scale.high) == (0, 1)


def test_a_photo_whose_name_differs_in_case_is_found(folder: Path) -> None:
    assert read_biq2021(folder).missing_photos() == ()


def test_our_splits_replace_the_published_ones(folder: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits.csv"
    splits.write_text(
        "file_name,subset,scene,split\nss03 (4).jpg,ss03,sea,val\nss03 (3).jpg,ss03,sea,val\n"
    )
    table = read_biq2021(folder, splits)
    assert [path.name for path in table.paths] == ["ss03 (4).jpg", "ss03 (3).jpg"]
    assert table.mos.tolist() == [0.875, 0.75]
    assert table.scenes == ("sea", "sea")
    assert table.splits == ("val", "val")


def test_the_split_of_the_recipe_covers_the_set() -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "quality" / "splits.csv"
    lines = recipe.read_text().splitlines()
    counts = {name: sum(line.endswith(f",{name}") for line in lines) for name in ("train", "val")}
    assert len(lines) == 12_001
    assert counts == {"train": 8398, "val": 1201}


def test_tables_that_do_not_fit_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits.csv"
    splits.write_text("file_name,subset,scene,split\nss09 (9).jpg,ss09,sea,val\n")
    with pytest.raises(TableError, match=r"1 photos have no score in .*: ss09 \(9\)\.jpg"):
        read_biq2021(folder, splits)
    splits.write_text("file_name,subset,split\nss01 (1).jpg,ss01,val\n")
    with pytest.raises(TableError, match=r"no column 'scene', found file_name, subset"):
        read_biq2021(folder, splits)
    splits.write_text("file_name,subset,scene,split\nss01 (1).jpg,ss01\n")
    with pytest.raises(TableError, match="line 2: another number of cells than the 4 columns"):
        read_biq2021(folder, splits)
    (folder / TEST).write_text("Image Name,MOS\nss03 (4).jpg,good\n")
    with pytest.raises(TableError, match=r"line 2: wanted 'name,score', found \['ss03"):
        read_biq2021(folder)
    (folder / TEST).unlink()
    with pytest.raises(TableError, match=r"Test \(Images and MOS\)\.csv: not a readable table"):
        read_biq2021(folder)
