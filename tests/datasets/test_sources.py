import pytest

from siamese_nima.datasets.sources import read_source
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale


def test_a_published_set_is_named_with_its_folder(tmp_path):
    (tmp_path / "mos_with_names.txt").write_text("5.5 I01_01_1.bmp\n")
    assert read_source(f"tid2013:{tmp_path}").scenes == ("I01",)


def test_a_csv_is_named_by_its_path(tmp_path):
    (tmp_path / "t.csv").write_text("path,mos\na.jpg,3\n")
    table = read_source(str(tmp_path / "t.csv"), scale=RatingScale(1, 5))
    assert table.scale == RatingScale(1, 5)


def test_splits_replace_those_of_the_set(tmp_path):
    (tmp_path / "t.csv").write_text("path,v1,v2,split\na.jpg,3,1,test\n")
    (tmp_path / "s.csv").write_text("file_name,subset,scene,split\na.jpg,x,s,train\n")
    assert read_source(str(tmp_path / "t.csv"), splits=tmp_path / "s.csv").splits == ("train",)


def test_unknown_sources_and_scales_are_refused(tmp_path):
    with pytest.raises(TableError, match="nothing:here: neither a CSV nor NAME:FOLDER"):
        read_source("nothing:here")
    with pytest.raises(TableError, match="has its own photo folder and scale"):
        read_source(f"spaq:{tmp_path}", scale=RatingScale(1, 5))
