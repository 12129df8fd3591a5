"""A CSV of one's own is read as its owner means it."""

import numpy as np
import pytest

from siamese_nima.datasets.own_table import read_own_table
from siamese_nima.datasets.sources import describe_ratings, parse_columns
from siamese_nima.errors import ConfigError, TableError
from siamese_nima.ratings import AVA_SCALE, RatingScale, mean, spread

FIVE = RatingScale(1, 5)
GRADES = np.random.default_rng(0).integers(1, 6, (12, 5))


def write(folder, header, rows):
    path = folder / "t.csv"
    lines = [",".join(str(cell) for cell in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def named(cells):
    return [(f"{n}.jpg", *row) for n, row in enumerate(cells)]


def test_raters_who_all_agree_have_the_least_possible_spread(tmp_path):
    source = write(tmp_path, "path,mos,spread", [("a.jpg", 4, 0), ("b.jpg", 2, 1), ("c.jpg", 5, 0)])
    table = read_own_table(source, scale=FIVE).table
    shares = table.distributions(AVA_SCALE)
    assert mean(shares) == pytest.approx([7.75, 3.25, 10], abs=1e-6)
    # 7.75 lies between two grades of the other scale: on it nobody can all agree.
    assert spread(shares)[[0, 2]] == pytest.approx([np.sqrt(0.25 * 0.75), 0], abs=1e-6)


def test_a_spread_that_cannot_be_is_named_with_its_line(tmp_path):
    source = write(tmp_path, "path,mos,spread", [("a.jpg", 4, 1), ("b.jpg", 5, 1.5)])
    with pytest.raises(TableError, match=r"line 3: column 'spread' holds 1\.5; .* at most 0"):
        read_own_table(source, scale=FIVE)


@pytest.mark.parametrize("prefix", ["v", "rater", "r", "Judge_"])
def test_a_column_per_rater_holds_grades(tmp_path, prefix):
    header = "path," + ",".join(f"{prefix}{n}" for n in range(1, 6))
    reading = read_own_table(write(tmp_path, header, named(GRADES)), scale=FIVE)
    assert reading.kind == "grades"
    assert reading.table.mos == pytest.approx(GRADES.mean(axis=1))
    assert reading.table.votes.sum(axis=1).tolist() == [5] * 12
    assert bool(reading.notes) == (prefix == "v")


def test_counts_stay_counts(tmp_path):
    counts = np.random.default_rng(1).multinomial(9, [0.1, 0.2, 0.4, 0.2, 0.1], 12)
    reading = read_own_table(write(tmp_path, "path,v1,v2,v3,v4,v5", named(counts)))
    assert (reading.kind, reading.notes) == ("votes", ())
    assert reading.table.votes.tolist() == counts.tolist()


def test_a_rater_may_leave_photos_out(tmp_path):
    source = write(tmp_path, "path,rater1,rater2", [("a.jpg", 4, ""), ("b.jpg", 1, 2)])
    table = read_own_table(source, scale=FIVE).table
    assert table.mos.tolist() == [4, 1.5]
    assert table.rater_counts().tolist() == [1, 2]
    source = write(tmp_path, "path,rater1,rater2", [("a.jpg", "", ""), ("b.jpg", 1, 9)])
    with pytest.raises(TableError, match=r"line 2: no rater gave a grade\n  line 3: .* outside"):
        read_own_table(source, scale=FIVE)


def test_grades_between_whole_ones_give_mean_spread_and_number(tmp_path):
    source = write(tmp_path, "path,rater1,rater2", [("a.jpg", 4.5, 3.5), ("b.jpg", 1, 2)])
    table = read_own_table(source, scale=FIVE).table
    assert table.votes is None
    assert table.spread.tolist() == [0.5, 0.5]
    assert table.raters.tolist() == [2, 2]


def test_grades_need_a_scale_or_say_what_they_are(tmp_path):
    source = write(tmp_path, "path,rater1,rater2", [("a.jpg", 4, 3), ("b.jpg", 1, 2)])
    with pytest.raises(TableError, match=r"need a scale; they are 1 to 4; .* --scale 1\.\.5"):
        read_own_table(source)
    with pytest.raises(TableError, match=r"line 2: column 'rater1' holds 4, outside the scale 1"):
        read_own_table(source, scale=RatingScale(1, 3))


def test_columns_beside_scores_are_votes_only_where_they_lead_to_them(tmp_path):
    classes = np.random.default_rng(2).integers(0, 9, (12, 3))
    mos = np.linspace(1.5, 4.5, 12)
    rows = [(f"{n}.jpg", mos[n], *classes[n]) for n in range(12)]
    reading = read_own_table(write(tmp_path, "path,mos,c1,c2,c3", rows), scale=FIVE)
    assert reading.kind == "scores"
    assert reading.table.mos == pytest.approx(mos)
    assert "do not lead to the scores in 'mos', which are used" in reading.notes[0]


@pytest.mark.parametrize(("low", "high"), [(1, 5), (0, 100)])
def test_votes_that_lead_to_the_scores_are_used(tmp_path, low, high):
    counts = np.random.default_rng(1).multinomial(9, [0.1, 0.2, 0.4, 0.2, 0.1], 12)
    mos = low + (counts @ np.arange(5) / 9) * (high - low) / 4
    rows = [(f"{n}.jpg", round(mos[n], 3), *counts[n]) for n in range(12)]
    reading = read_own_table(write(tmp_path, "path,mos,c1,c2,c3,c4,c5", rows))
    assert (reading.kind, reading.notes) == ("votes", ())


def test_grades_that_lead_to_the_scores_are_used(tmp_path):
    rows = [(f"{n}.jpg", *GRADES[n], GRADES[n].mean()) for n in range(12)]
    reading = read_own_table(write(tmp_path, "path,v1,v2,v3,v4,v5,mean", rows), scale=FIVE)
    assert (reading.kind, reading.notes) == ("grades", ())


@pytest.mark.parametrize("whole", [1, 100])
def test_shares_are_no_single_rater(tmp_path, whole):
    shares = np.random.default_rng(3).dirichlet(np.ones(5), 4) * whole
    source = write(tmp_path, "path,c1,c2,c3,c4,c5", named(shares.round(4)))
    reading = read_own_table(source)
    assert reading.kind == "shares"
    assert reading.table.rater_counts() is None
    assert reading.table.standard_errors(FIVE) is None
    told = read_own_table(source, raters=30).table
    assert told.rater_counts().tolist() == [30] * 4
    assert told.standard_errors(FIVE).max() < 0.5


def test_a_column_or_an_option_says_how_many_rated(tmp_path):
    rows = [("a.jpg", 0.2, 0.8, 10), ("b.jpg", 0.5, 0.5, 20)]
    source = write(tmp_path, "path,c1,c2,c_total", rows)
    assert read_own_table(source).table.rater_counts().tolist() == [10, 20]
    assert read_own_table(source, raters=5).table.rater_counts().tolist() == [5, 5]


@pytest.mark.parametrize("column", ["rating", "Stars", "score", "MOS"])
def test_names_that_photographers_use_are_understood(tmp_path, column):
    source = write(tmp_path, f"image_id,{column}", [("a", 5), ("b", 1)])
    for name in ("a.jpg", "b.jpg", "b.xmp"):
        (tmp_path / name).touch()
    table = read_own_table(source, scale=FIVE).table
    assert [path.name for path in table.paths] == ["a.jpg", "b.jpg"]
    assert table.mos.tolist() == [5, 1]


def test_a_list_of_pairs_is_told_where_it_is_read(tmp_path):
    with pytest.raises(TableError, match="they are answers: nima pick answers import FOLDER"):
        read_own_table(write(tmp_path, "Winner,loser", [("a.jpg", "b.jpg")]))


def test_stars_say_their_scale(tmp_path):
    reading = read_own_table(write(tmp_path, "path,stars", [("a.jpg", 5), ("b.jpg", 1)]))
    assert reading.table.scale == FIVE
    assert "1..5" in reading.notes[0]
    with pytest.raises(TableError, match="need a scale; they are 0 to 5"):
        read_own_table(write(tmp_path, "path,stars", [("a.jpg", 5), ("b.jpg", 0)]))


def test_cells_off_the_scale_are_listed_with_those_that_are_no_numbers(tmp_path):
    rows = [("a.jpg", "x"), ("b.jpg", 9), ("c.jpg", 2)]
    for names in ("path,mos", "path,rater1"):
        table = write(tmp_path, names, rows)
        columns = None if names.endswith("mos") else {"grades": "rater1"}
        with pytest.raises(TableError, match="2 cells or lines cannot be used") as error:
            read_own_table(table, scale=FIVE, columns=columns)
        assert "line 3: column" in str(error.value)
        assert "holds 9, outside the scale 1..5" in str(error.value)


def test_all_bad_cells_are_listed_with_their_lines(tmp_path):
    rows = [("a.jpg", 3, "x"), ("b.jpg", "", 1), ("c.jpg", 2, 2), ("d.jpg", "bad", 1)]
    with pytest.raises(TableError, match="3 cells or lines cannot be used") as error:
        read_own_table(write(tmp_path, "path,v1,v2", rows))
    assert "line 2: column 'v2' holds 'x', wanted a number" in str(error.value)
    assert "line 3: column 'v1' is empty" in str(error.value)
    assert "line 5: column 'v1' holds 'bad'" in str(error.value)
    with pytest.raises(TableError, match=r"2 cells .*\n  line 2: .* holds 9, outside the scale"):
        read_own_table(write(tmp_path, "path,mos", [("a", 9), ("b", 3), ("c", 0)]), scale=FIVE)


def test_columns_can_be_named_one_by_one(tmp_path):
    source = write(tmp_path, "foto,ann,bob,v1,v2", [("a.jpg", 3, 4, 7, 7), ("b.jpg", 1, 1, 7, 7)])
    columns = parse_columns(["path=foto", "grades=ann,bob"])
    table = read_own_table(source, columns=columns, scale=FIVE).table
    assert table.mos.tolist() == [3.5, 1]
    with pytest.raises(TableError, match="no column 'cid', found foto"):
        read_own_table(source, columns=columns | {"grades": "ann,cid"}, scale=FIVE)


@pytest.mark.parametrize("what", ["path", "mos", "spread", "raters", "scene", "subset", "split"])
def test_a_named_column_is_one_that_there_is(tmp_path, what):
    source = write(tmp_path, "path,mos", [("a.jpg", 3), ("b.jpg", 1)])
    with pytest.raises(TableError, match="no column 'absent', found path, mos"):
        read_own_table(source, columns={what: "absent"}, scale=FIVE)
    with pytest.raises(TableError, match=f"{what} is one column, got mos, path"):
        read_own_table(source, columns={what: "mos,path"}, scale=FIVE)
    with pytest.raises(TableError, match="no 'votos'; wanted one of path"):
        read_own_table(source, columns={"votos": "v1"})
    with pytest.raises(ConfigError, match=r"columns 'v1\.\.v5': wanted a form such as votes="):
        parse_columns(["v1..v5"])


def test_a_range_of_columns_is_counted_out(tmp_path):
    source = write(tmp_path, "path,q1,q2,q3", [("a.jpg", 1, 2, 0)])
    table = read_own_table(source, columns={"votes": "q1..q3"}, scale=RatingScale(1, 3)).table
    assert table.votes.tolist() == [[1, 2, 0]]


def test_splits_are_read_whatever_their_case(tmp_path):
    splits = ["Test", "TRAIN", "Validation", "dev", "", "Fold1"]
    rows = [(f"{n}.jpg", n % 5 + 1, split) for n, split in enumerate(splits)]
    reading = read_own_table(write(tmp_path, "path,mos,split", rows), scale=FIVE)
    assert reading.table.splits == ("test", "train", "val", "val", "", "Fold1")
    assert "splits Fold1 are none of train, val and test" in reading.notes[0]


def test_what_was_understood_is_told(tmp_path):
    rows = [(f"{n}.jpg", *GRADES[n], "" if n else "Test") for n in range(12)]
    reading = read_own_table(write(tmp_path, "path,v1,v2,v3,v4,v5,split", rows), scale=FIVE)
    lines = describe_ratings(reading)
    ratings = "grades of 5 raters from v1..v5"
    assert lines[0] == f"read: photos from 'path', {ratings}, split from 'split'"
    assert lines[1] == "scale 1..5, 5 ratings per photo"
    assert lines[2].startswith("means ")
    assert sum(line.count("#") > 0 for line in lines) >= 3
    assert "splits: 1 test, 11 without a split, which training divides" in lines
    assert lines[-1].startswith("note: v1..v5 hold a grade in every cell")


def test_equal_ratings_are_told(tmp_path):
    reading = read_own_table(write(tmp_path, "path,mos", [("a.jpg", 3), ("b.jpg", 3)]), scale=FIVE)
    assert not reading.table.ratings_differ
    assert "all 2 photos are rated 3: nothing can be learnt" in reading.notes[0]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("1,2,3,4,5", "votes"),
        ("v_1,v_2,v_3,v_4,v_5", "votes"),
        ("Votes 1,Votes 2,Votes 3,Votes 4,Votes 5", "votes"),
        ("1 star,2 stars,3 stars,4 stars,5 stars", "votes"),
        ("rater_A,rater_B,rater_C,rater_D,rater_E", "grades"),
        ("Judge a,Judge b,Judge c,Judge d,Judge e", "grades"),
    ],
)
def test_columns_are_told_by_further_names(tmp_path, names, kind):
    counts = np.random.default_rng(1).multinomial(9, [0.1, 0.2, 0.4, 0.2, 0.1], 12)
    cells = counts if kind == "votes" else GRADES
    reading = read_own_table(write(tmp_path, f"path,{names}", named(cells)), scale=FIVE)
    assert (reading.kind, reading.table.votes.shape) == (kind, (12, 5))


def test_grades_by_number_may_be_counts_and_that_is_told(tmp_path):
    header = "path," + ",".join(f"rating_{n}" for n in range(1, 6))
    counts = np.random.default_rng(1).multinomial(9, [0.1, 0.2, 0.4, 0.2, 0.1], 12)
    reading = read_own_table(write(tmp_path, header, named(counts)), scale=FIVE)
    assert (reading.kind, len(reading.notes)) == ("votes", 1)
    assert "read as counts of votes" in reading.notes[0]
    reading = read_own_table(write(tmp_path, header, named(GRADES)), scale=FIVE)
    assert (reading.kind, len(reading.notes)) == ("grades", 1)
    assert "if they are counts of votes, say so: --columns votes=rating_1" in reading.notes[0]


def test_grades_without_a_scale_may_be_counts_and_that_is_told(tmp_path):
    source = write(tmp_path, "path,v1,v2,v3", named(np.tile([1, 2, 1], (9, 1))))
    with pytest.raises(TableError, match=r"need a scale.* counts of votes, say so: --columns v"):
        read_own_table(source)


@pytest.mark.parametrize("absent", ["NA", "NaN", "n/a", "-", ""])
def test_programs_write_a_grade_that_was_not_given_in_many_ways(tmp_path, absent):
    source = write(tmp_path, "path,rater1,rater2", [("a.jpg", 4, absent), ("b.jpg", 1, 2)])
    assert read_own_table(source, scale=FIVE).table.votes.sum(axis=1).tolist() == [1, 2]


def test_whole_shares_are_no_single_rater_where_their_number_is_known(tmp_path):
    rows = [("a.jpg", 0, 100, 0), ("b.jpg", 50, 50, 0)]
    source = write(tmp_path, "path,v1,v2,v3", rows)
    reading = read_own_table(source)
    assert "add up to 100; if they are shares, say how many" in reading.notes[0]
    reading = read_own_table(source, raters=20)
    assert (reading.kind, reading.table.rater_counts().tolist()) == ("shares", [20, 20])
    source = write(
        tmp_path, "path,v1,v2,v3", [("a.jpg", "10%", "90 %", "0%"), ("b.jpg", 50, 50, 0)]
    )
    assert read_own_table(source, raters=20).table.votes[0].tolist() == [2, 18, 0]
    source = write(tmp_path, "path,v1,v2,v3", [("a.jpg", 1, 2, 3), ("b.jpg", 5, 5, 0)])
    reading = read_own_table(source, raters=20)
    assert reading.table.rater_counts().tolist() == [6, 10]
    assert "the votes themselves say how many people rated" in reading.notes[0]


@pytest.mark.parametrize(
    ("header", "rows", "lines"),
    [
        ("path,v1,v2", [("a", 1, 2), ("b", 0, 0), ("c", "x", 1), ("d", -1, 3)], [3, 4, 5]),
        ("path,mos,std", [("a", 3, 1), ("b", 3, 9), ("c", "x", 1), ("d", 3, "")], [3, 4, 5]),
        ("path,mos,n", [("a", 3, 5), ("b", 3, 0), ("c", 9, 1), ("d", 3, "x")], [3, 4, 5]),
        ("path,mos", [("a", 3), ("b", 4), ("a", 3), ("./b", 3)], [4, 5]),
    ],
)
def test_bad_cells_of_every_kind_are_listed_together(tmp_path, header, rows, lines):
    with pytest.raises(TableError) as problem:
        read_own_table(write(tmp_path, header, rows), scale=None if "v1" in header else FIVE)
    said = str(problem.value).splitlines()[1:]
    assert sorted(int(line.split()[1].rstrip(":")) for line in said) == lines


def test_means_that_differ_by_rounding_alone_are_equal(tmp_path):
    rows = [("a.jpg", 0.1, 0.2, 0.3, 0.2, 0.2), ("b.jpg", 0.0, 0.4, 0.1, 0.4, 0.1)]
    rows += [("c.jpg", 0.2, 0.0, 0.4, 0.2, 0.2)]
    reading = read_own_table(write(tmp_path, "path,v1,v2,v3,v4,v5", rows))
    assert not reading.table.ratings_differ


def test_columns_may_be_named_in_other_letters(tmp_path):
    source = write(tmp_path, "Photo,V1,V2", [("a.jpg", 1, 2), ("b.jpg", 3, 1)])
    columns = parse_columns(["votes=v1,v2", "path=photo"])
    assert read_own_table(source, columns=columns).columns.votes == ("V1", "V2")
    with pytest.raises(ConfigError, match="no 'vots'"):
        parse_columns(["vots=v1,v2"])


def test_a_split_that_a_program_left_out_is_none(tmp_path):
    rows = [("a.jpg", 1, "nan"), ("b.jpg", 3, "Train"), ("c.jpg", 3, "N/A")]
    table = read_own_table(write(tmp_path, "path,mos,split", rows), scale=FIVE).table
    assert table.splits == ("", "train", "")
    assert len(table.split("TRAIN")) == 1
