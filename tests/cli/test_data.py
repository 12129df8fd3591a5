import csv

import numpy as np
import pytest
from PIL import Image

from command import invoked as nima
from siamese_nima.cli.data import parse_fractions
from siamese_nima.errors import ConfigError
from siamese_nima.ratings import RatingScale


@pytest.fixture
def leaking(tmp_path):
    """Six photos, two of which are the same picture in train and in test."""
    rows = ["path,mos,split"]
    for n, split in enumerate(["train", "train", "train", "test", "test", "val"]):
        noise = np.random.default_rng(0 if n == 3 else n).integers(0, 256, (4, 6, 3), np.uint8)
        Image.fromarray(noise).resize((96, 64)).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{n},{split}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    return tmp_path


def test_check_lists_the_crossing_pairs_and_fails(leaking):
    out = leaking / "pairs.csv"
    done = nima("data", "check", leaking / "t.csv", "--scale", "0..9", "--out", out)
    assert done.exit_code == 1, done.output
    assert "6 of 6 photos can be read" in done.output
    assert "1 of 2 test photos (50 %) have a near-copy in train" in done.output
    assert "0.png  ~  test: " in done.output
    with out.open() as file:
        [row] = csv.DictReader(file)
    assert (row["split"], row["other_split"]) == ("train", "test")


def test_a_split_by_scene_passes_the_check(leaking):
    table, out = leaking / "t.csv", leaking / "splits.csv"
    done = nima("data", "split", table, "--scale", "0..9", "--out", out, "--fractions", ".5,0,.5")
    assert done.exit_code == 0, done.output
    assert "3 train, 0 val, 3 test; 5 scenes" in done.output
    checked = nima("data", "check", table, "--scale", "0..9", "--splits", out)
    assert checked.exit_code == 0, checked.output
    assert "1 pairs of near-copies, 0 across splits" in checked.output


def test_fractions_are_three_numbers():
    assert parse_fractions(".8,0,.2") == {"train": 0.8, "test": 0.2}
    with pytest.raises(ConfigError, match="fractions 'half': wanted three numbers"):
        parse_fractions("half")


def test_a_scale_is_two_rising_numbers():
    assert RatingScale.parse("0..100") == RatingScale(0, 100)
    for wrong in ("5", "5..1", "a..b"):
        with pytest.raises(ConfigError, match=f"scale '{wrong}': wanted two rising"):
            RatingScale.parse(wrong)


def test_check_says_how_ratings_are_understood(leaking):
    rows = ["photo,Bob,Ann,split", *(f"{n},{n % 5 + 1},{n % 3 + 1},TRAIN" for n in range(6))]
    (leaking / "g.csv").write_text("\n".join(rows))
    options = "--scale", "1..5", "--columns", "grades=Bob,Ann"
    done = nima("data", "check", leaking / "g.csv", *options)
    assert done.exit_code == 0, done.output
    assert "read: photos from 'photo', grades of 2 raters from Bob,Ann, split" in done.output
    assert "scale 1..5, 2 ratings per photo" in done.output
    assert "splits: 6 train" in done.output
    assert "6 of 6 photos can be read" in done.output


def test_check_fails_on_ratings_that_are_all_the_same(leaking):
    (leaking / "c.csv").write_text("path,mos\n" + "\n".join(f"{n}.png,3" for n in range(3)))
    done = nima("data", "check", leaking / "c.csv", "--scale", "1..5")
    assert done.exit_code == 1
    assert "all 3 photos are rated 3: nothing can be learnt" in done.output


@pytest.mark.parametrize("command", [("check",), ("split",)])
@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("t.csv", "is read, and would be replaced"),
        ("1.png", "ends in .csv"),
        ("pairs.html", "ends in .csv"),
    ],
)
def test_what_is_written_never_replaces_what_is_read(leaking, command, out, said):
    before = {path.name: path.read_bytes() for path in leaking.iterdir()}
    done = nima("data", *command, leaking / "t.csv", "--scale", "0..9", "--out", leaking / out)
    assert done.exit_code != 0
    assert said in str(done.exception)
    assert {path.name: path.read_bytes() for path in leaking.iterdir()} == before


def test_crossing_pairs_never_replace_the_splits_that_they_are_found_by(leaking):
    splits = leaking / "splits.csv"
    splits.write_text(
        "file_name,subset,scene,split\n" + "\n".join(f"{n}.png,a,{n},train" for n in range(6))
    )
    before = splits.read_bytes()
    command = ("data", "check", leaking / "t.csv", "--scale", "0..9", "--splits", splits)
    done = nima(*command, "--out", splits)
    assert "is read, and would be replaced" in str(done.exception)
    assert splits.read_bytes() == before
