import pytest

from siamese_nima.datasets.own_table import read_own_table
from siamese_nima.datasets.sources import RatedSource, read_source
from siamese_nima.datasets.table_columns import TableColumns, detect_columns
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale


def test_a_published_set_is_named_with_its_folder(tmp_path):
    (tmp_path / "mos_with_names.txt").write_text("5.5 I01_01_1.bmp\n")
    assert read_source(f"tid2013:{tmp_path}").table.scenes == ("I01",)


def test_a_csv_is_named_by_its_path(tmp_path):
    (tmp_path / "t.csv").write_text("path,mos\na.jpg,3\n")
    table = read_source(RatedSource(str(tmp_path / "t.csv"), scale=RatingScale(1, 5))).table
    assert table.scale == RatingScale(1, 5)


def test_splits_replace_those_of_the_set(tmp_path):
    (tmp_path / "t.csv").write_text("path,v1,v2,split\na.jpg,3,1,test\n")
    (tmp_path / "s.csv").write_text("file_name,subset,scene,split\na.jpg,x,s,train\n")
    assert read_source(
        RatedSource(str(tmp_path / "t.csv"), splits=tmp_path / "s.csv")
    ).table.splits == ("train",)


def test_unknown_sources_and_scales_are_refused(tmp_path):
    with pytest.raises(TableError, match="nothing:here: neither a CSV nor NAME:FOLDER"):
        read_source("nothing:here")
    with pytest.raises(TableError, match="has its own photo folder, scale, columns and raters"):
        read_source(RatedSource(f"spaq:{tmp_path}", scale=RatingScale(1, 5)))


VOTES = """tile,source_db,source_name,v1,v2,v3,v4,v5,n,mean,groups
0000.png,500px_cc0,some_days.jpg,8,25,18,15,5,71,2.7746,3
0001.png,aadb,Flat_lay.jpg,9,11,24,17,14,75,3.2133,3
"""


def write(folder, text):
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_vote_columns_name_the_scale_and_come_before_a_mean(tmp_path):
    table = read_own_table(write(tmp_path, VOTES)).table
    assert table.scale == RatingScale(1, 5)
    assert table.votes[0].tolist() == [8, 25, 18, 15, 5]
    assert table.mos == pytest.approx([2.7746, 3.2133], abs=1e-4)
    assert table.subsets == ("500px_cc0", "aadb")
    assert table.scenes == ("0000.png", "0001.png")
    assert table.paths[0] == tmp_path / "0000.png"


def test_scores_with_spread_scene_and_split(tmp_path):
    text = "path,MOS,std,N,scene,set\na.jpg,3.5,1.0,30,s,training\nb.jpg,2,0.5,25,,test\n"
    table = read_own_table(write(tmp_path, text), scale=RatingScale(1, 5)).table
    assert table.mos.tolist() == [3.5, 2]
    assert table.spread.tolist() == [1.0, 0.5]
    assert table.raters.tolist() == [30, 25]
    assert table.scenes == ("s", "b.jpg")
    assert table.splits == ("train", "test")


def test_scores_without_a_scale_are_refused(tmp_path):
    with pytest.raises(TableError, match="scores in column 'mos' need a scale"):
        read_own_table(write(tmp_path, "path,mos\na.jpg,3\n"))


def test_columns_can_be_named(tmp_path):
    text = "foto,bad,fair,good\na.jpg,1,2,3\n"
    columns = TableColumns(path="foto", votes=("bad", "fair", "good"))
    table = read_own_table(write(tmp_path, text), columns=columns, scale=RatingScale(1, 3)).table
    assert table.votes.tolist() == [[1, 2, 3]]
    with pytest.raises(TableError, match="3 columns of votes for the 5 grades"):
        read_own_table(write(tmp_path, text), columns=columns, scale=RatingScale(1, 5))
    with pytest.raises(TableError, match="grades of the vote columns bad, fair, good"):
        read_own_table(write(tmp_path, text), columns=columns)


def test_photos_lie_where_the_user_says(tmp_path):
    (tmp_path / "elsewhere" / "day1").mkdir(parents=True)
    (tmp_path / "elsewhere" / "day1" / "A.JPG").touch()
    source = write(tmp_path, "path,mos\nday1/a.jpg,3\n")
    table = read_own_table(source, photos=tmp_path / "elsewhere", scale=RatingScale(1, 5)).table
    assert table.missing_photos() == ()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("number", "mos"), "no column of photos; wanted one of path"),
        (("path", "quality"), r"needs votes .* or scores .* found path, quality"),
    ],
)
def test_headers_without_photos_or_ratings_are_refused(tmp_path, header, message):
    with pytest.raises(TableError, match=message):
        detect_columns(tmp_path / "t.csv", header)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,v1,v2\na.jpg,1,2\nb.jpg,0,0\n", "line 3: wanted votes, found"),
        ("path,v1,v3\na.jpg,1,2\n", "vote columns v1, v3 are not consecutive"),
        ("path,v1,v2\na.jpg,1,2\na.jpg,1,2\n", "appears twice"),
        ("path,v1,v2\na.jpg,1,\n", "line 2: column 'v2' is empty"),
    ],
)
def test_malformed_rows_are_named(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        read_own_table(write(tmp_path, text))
