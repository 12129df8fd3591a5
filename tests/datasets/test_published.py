from pathlib import Path

import numpy as np
import pytest

from siamese_nima.datasets.published import (
    read_ava,
    read_biq2021,
    read_kadid10k,
    read_koniq10k,
    read_spaq,
    read_tid2013,
)
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale

AVA = """1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396
2 953958 10 7 15 26 26 21 10 8 1 2 1 21 1396
3 954184 0 0 4 8 41 56 10 3 4 0 0 0 1396
"""
KONIQ_SETS = """image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set
10004473376.jpg,0.0,0.0,0.238095238095,0.695238095238,0.0666666666667,105,77.38,0.527,training
10007357496.jpg,0.0,0.03125,0.46875,0.489583333333,0.0104166666667,96,68.73,0.580,test
10043785683.jpg,0.0,0.0,0.433962264151,0.566037735849,0.0,106,71.20,0.498,validation
"""
KONIQ_SCORES = """image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore
10004473376.jpg,0,0,25,73,7,105,3.83,0.527,77.38
10007357496.jpg,0,3,45,47,1,96,3.48,0.580,68.73
10043785683.jpg,0,0,46,60,0,106,3.57,0.498,71.20
"""
TID = "5.51429 I01_01_1.bmp\n5.56757 i01_01_2.bmp\n4.94444 I25_24_5.bmp\n"
KADID = (
    "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.496\nI81_25_05.png,I81.png,1.5,0.5\n"
)
SPAQ = """Image name,MOS,Brightness,Colorfulness,Contrast,Noisiness,Sharpness
00001.jpg,37.86,34.86,45.43,42.43,45.57,26.43
00002.jpg,49.07,52.29,60.14,58.57,60.43,33.86
"""


def test_ava_has_votes_and_the_official_split(tmp_path):
    (tmp_path / "AVA.txt").write_text(AVA)
    (tmp_path / "aesthetics_image_lists").mkdir()
    (tmp_path / "aesthetics_image_lists" / "generic_test.jpgl").write_text("953958\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "953619.jpg").touch()
    table = read_ava(tmp_path)
    assert table.scale == RatingScale(1, 10)
    assert table.votes[0].tolist() == [0, 1, 5, 17, 38, 36, 15, 6, 5, 1]
    assert table.mos[0] == pytest.approx(699 / 124)  # by hand
    assert table.splits == ("train", "test", "train")
    assert table.paths[0] == tmp_path / "images" / "953619.jpg"
    assert [path.name for path in table.missing_photos()] == ["953958.jpg", "954184.jpg"]


def test_ava_without_a_test_list_has_no_splits(tmp_path):
    (tmp_path / "AVA.txt").write_text(AVA)
    assert set(read_ava(tmp_path).splits) == {""}


def test_ava_warns_of_listed_photos_without_votes(tmp_path):
    (tmp_path / "AVA.txt").write_text(AVA)
    (tmp_path / "list").write_text("953958\n1\n")
    with pytest.warns(UserWarning, match="1 test photos have no line in AVA.txt: 1"):
        table = read_ava(tmp_path, test_list=tmp_path / "list")
    assert table.splits.count("test") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4 1 0 0 4 8 41 56 10 3 4 0 0 0", "line 4: wanted 15 whole numbers"),
        ("4 1 0 0 0 0 0 0 0 0 0 0 0 0 9", "line 4: photo 1 has no vote at all"),
    ],
)
def test_ava_names_the_malformed_line(tmp_path, line, message):
    (tmp_path / "AVA.txt").write_text(AVA + line)
    with pytest.raises(TableError, match=message):
        read_ava(tmp_path)


def test_koniq_shares_and_counts_give_the_same_votes(tmp_path):
    (tmp_path / "koniq10k_distributions_sets.csv").write_text(KONIQ_SETS)
    shares = read_koniq10k(tmp_path)
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_text(KONIQ_SCORES)
    counts = read_koniq10k(tmp_path)
    assert shares.votes.tolist() == counts.votes.tolist()
    assert counts.votes[0].tolist() == [0, 0, 25, 73, 7]
    assert counts.mos[0] == pytest.approx(402 / 105)
    assert shares.splits == counts.splits == ("train", "test", "val")


def test_koniq_zscores_are_on_0_to_100_without_votes(tmp_path):
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_text(KONIQ_SCORES)
    table = read_koniq10k(tmp_path, labels="zscore")
    assert (table.scale, table.votes) == (RatingScale(0, 100), None)
    assert table.mos.tolist() == [77.38, 68.73, 71.20]


def test_koniq_photos_are_taken_from_the_large_folder_first(tmp_path):
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_text(KONIQ_SCORES)
    for size in ("512x384", "1024x768"):
        (tmp_path / size).mkdir()
        assert read_koniq10k(tmp_path).paths[0].parent.name == size


def test_koniq_votes_that_do_not_add_up_are_refused(tmp_path):
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_text(
        KONIQ_SCORES.replace("0,3,45", "0,30,45")
    )
    with pytest.raises(
        TableError, match=r"line 3: c1\.\.c5 must be counts that sum to c_total = 96"
    ):
        read_koniq10k(tmp_path)


def test_koniq_without_its_table_says_where_it_looked(tmp_path):
    with pytest.raises(TableError, match=r"koniq10k_scores_and_distributions\.csv"):
        read_koniq10k(tmp_path)


def test_tid_scenes_are_reference_photos_whatever_the_case(tmp_path):
    (tmp_path / "mos_with_names.txt").write_text(TID)
    table = read_tid2013(tmp_path)
    assert table.scenes == ("I01", "I01", "I25")
    assert table.subsets == ("distortion 01", "distortion 01", "distortion 24")
    assert (table.scale, table.spread) == (RatingScale(0, 9), None)
    assert table.distributions(table.scale) @ table.scale.grades == pytest.approx(table.mos)


def test_tid_deviations_are_taken_when_asked_for(tmp_path):
    (tmp_path / "mos_with_names.txt").write_text(TID)
    (tmp_path / "mos_std.txt").write_text("1.2\n1.0\n0.9\n")
    table = read_tid2013(tmp_path, deviations_as_spread=True)
    assert table.spread.tolist() == [1.2, 1.0, 0.9]
    assert table.distributions(table.scale).shape == (3, 10)


def test_tid_deviations_of_means_are_not_taken_for_votes(tmp_path):
    (tmp_path / "mos_with_names.txt").write_text(TID)
    (tmp_path / "mos_std.txt").write_text("0.13\n0.12\n0.15\n")
    with pytest.raises(TableError, match=r"line 1: whole votes with the mean 5.51429 .* 0.13"):
        read_tid2013(tmp_path, deviations_as_spread=True)


def test_tid_names_the_malformed_line(tmp_path):
    (tmp_path / "mos_with_names.txt").write_text(TID + "4.9 picture.bmp\n")
    with pytest.raises(TableError, match=r"line 4: wanted 'score I01_01_1\.bmp', found '4.9 pict"):
        read_tid2013(tmp_path)


def test_kadid_scores_rise_with_quality_and_var_is_a_deviation(tmp_path):
    (tmp_path / "dmos.csv").write_text(KADID)
    table = read_kadid10k(tmp_path)
    assert table.mos.tolist() == [4.57, 1.5]
    assert table.spread == pytest.approx([0.496, 0.5])
    assert table.scenes == ("I01", "I81")
    assert table.subsets == ("distortion 01", "distortion 25")
    votes = np.array([4] * 13 + [5] * 17)
    assert (round(votes.mean(), 2), round(votes.std(), 3)) == (4.57, 0.496)
    assert table.distributions(table.scale)[0] == pytest.approx([0, 0, 0, 0.43, 0.57], abs=0.01)


def test_spaq_is_read_from_its_exported_sheet(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "MOS and Image attribute scores.csv").write_text(SPAQ)
    table = read_spaq(tmp_path)
    assert table.scale == RatingScale(0, 100)
    assert table.mos.tolist() == [37.86, 49.07]
    assert table.paths[1] == tmp_path / "TestImage" / "00002.jpg"


def test_spaq_as_a_spreadsheet_is_refused_with_a_way_out(tmp_path):
    with pytest.raises(TableError, match="export the sheet as CSV"):
        read_spaq(tmp_path, table=tmp_path / "MOS and Image attribute scores.xlsx")


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
    with pytest.raises(TableError, match=r"Test \(Images and MOS\)\.csv: cannot be read"):
        read_biq2021(folder)
