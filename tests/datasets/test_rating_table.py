import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nima.datasets.rating_table import RatingTable, photo_hashes, photo_paths
from siamese_nima.errors import TableError
from siamese_nima.ratings import AVA_SCALE, RatingScale, mean, spread

FIVE = RatingScale(1, 5)


def make_table(folder: Path, count: int = 4, **columns: object) -> RatingTable:
    paths = []
    for i in range(count):
        paths.append(folder / f"{i}.png")
        Image.new("RGB", (8, 8), (i, 0, 0)).save(paths[-1])
    given: dict[str, object] = {"mos": np.linspace(1, 5, count), "scale": FIVE}
    return RatingTable(paths=tuple(paths), **(given | columns))  # type: ignore[arg-type]


def test_photos_without_a_known_scene_are_scenes_of_their_own(tmp_path: Path) -> None:
    assert make_table(tmp_path).scenes == ("0", "1", "2", "3")


def test_rows_are_selected_by_index_or_mask(tmp_path: Path) -> None:
    table = make_table(tmp_path, subsets=("a", "b", "a", "b"))
    assert [p.name for p in table.select([2, 0]).paths] == ["2.png", "0.png"]
    chosen = table.select(np.array([s == "b" for s in table.subsets]))
    assert chosen.subsets == ("b", "b")
    assert chosen.mos.tolist() == [table.mos[1], table.mos[3]]


def test_a_split_holds_its_photos(tmp_path: Path) -> None:
    table = make_table(tmp_path, splits=("train", "val", "train", "train"))
    assert len(table.split("train")) == 3
    with pytest.raises(TableError, match=r"split 'test'; splits are \['train', 'val'\]"):
        table.split("test")


def test_distributions_keep_the_relative_position_of_each_score(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    np.testing.assert_allclose(mean(table.distributions(AVA_SCALE)), [1, 4, 7, 10], atol=1e-6)


def test_a_known_spread_is_carried_to_the_other_scale(tmp_path: Path) -> None:
    table = make_table(tmp_path, mos=np.full(4, 3.0), spread=np.full(4, 0.8))
    np.testing.assert_allclose(spread(table.distributions(AVA_SCALE)), 0.8 * 9 / 4, atol=1e-6)


def test_votes_are_taken_as_they_are(tmp_path: Path) -> None:
    votes = np.array([[1, 0, 0, 0, 1]] * 4)
    table = make_table(tmp_path, votes=votes, mos=np.full(4, 3.0))
    np.testing.assert_allclose(table.distributions(FIVE), votes / 2)
    np.testing.assert_allclose(mean(table.distributions(AVA_SCALE)), 5.5)


def test_a_scene_in_two_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="scene 'sea' is in two splits, 'train' and 'test'"):
        make_table(tmp_path, scenes=("sea", "b", "sea", "d"), splits=("train", "", "test", "test"))


def test_malformed_tables_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="4 photos have 3 mos"):
        make_table(tmp_path, mos=np.ones(3))
    with pytest.raises(TableError, match=r"3\.png: score 7 is outside the scale 1\.\.5"):
        make_table(tmp_path, mos=[1, 2, 3, 7])
    with pytest.raises(TableError, match=r"score nan is outside the scale 1\.\.5"):
        make_table(tmp_path, mos=[1, float("nan"), 3, 4])
    with pytest.raises(TableError, match=r"0\.png appears twice"):
        RatingTable(paths=(tmp_path / "0.png",) * 2, mos=np.ones(2))
    with pytest.raises(TableError, match=r"have shape \(4, 5\), got \(4, 3\)"):
        make_table(tmp_path, votes=np.ones((4, 3)))


def test_missing_photos_are_named(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    assert table.missing_photos() == ()
    (tmp_path / "2.png").unlink()
    assert table.missing_photos() == (tmp_path / "2.png",)
    with pytest.raises(TableError, match=r"1 of 4 photos are missing: .*2\.png"):
        table.require_photos()


def test_the_fingerprint_is_of_contents_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    table, copy = make_table(tmp_path / "a"), make_table(tmp_path / "b")
    assert table.fingerprint() == copy.select([3, 1, 0, 2]).fingerprint()
    assert table.fingerprint() != table.select([0, 1, 2]).fingerprint()
    assert len(set(photo_hashes(table))) == 4


FIVE, TEN = RatingScale(1, 5), RatingScale(1, 10)


def table(**columns):
    return RatingTable(paths=(Path("a.jpg"),), mos=[3.0], scale=FIVE, **columns)


def test_votes_and_their_spread_with_the_raters_say_the_same():
    votes = np.array([[0, 20.0, 10, 20, 0]])
    told = table(spread=np.array([np.sqrt(0.8)]), raters=np.array([50.0]))
    assert table(votes=votes).standard_errors(FIVE) == pytest.approx(told.standard_errors(FIVE))
    assert told.standard_errors(FIVE) == pytest.approx(np.sqrt(0.8 / 50), rel=0.01)
    assert told.standard_errors(TEN) == pytest.approx(told.standard_errors(FIVE) * 9 / 4)


def test_a_panel_that_agrees_is_not_certain():
    few, many = (table(votes=np.array([[0, 0, n, 0, 0.0]])).standard_errors(FIVE) for n in (5, 50))
    assert few > many > 0


def test_without_votes_or_raters_it_is_not_known():
    assert table(spread=np.array([1.0])).standard_errors(FIVE) is None
    assert table().standard_errors(FIVE) is None


def test_raters_are_selected_and_checked():
    given = table(raters=np.array([7.0]))
    assert given.select([0]).raters.tolist() == [7]
    with pytest.raises(TableError, match="every photo needs a rater, one has 0"):
        table(raters=np.array([0.0]))


def test_photos_are_found_whatever_their_case_and_without_their_ending(tmp_path):
    there = ("One.JPG", "two.png", "three.jpg", "three.png", "12.jpg", "12.xmp", "12.jpg.xmp")
    for name in (*there, "v1.5.png"):
        (tmp_path / name).touch()
    names = ["one.jpg", "two", "three", "four.jpg", "12", "v1.5", "13"]
    found = [path.name for path in photo_paths(tmp_path, names)]
    assert found == ["One.JPG", "two.png", "three", "four.jpg", "12.jpg", "v1.5.png", "13"]


def test_photos_are_found_by_composed_and_decomposed_letters_and_backslashes(tmp_path):
    (tmp_path / "day 1").mkdir()
    name = unicodedata.normalize("NFD", "Caf\u00e9.JPG")
    (tmp_path / "day 1" / name).touch()
    wanted = ["day 1\\caf\u00e9.jpg", "day 1/caf\u00e9", os.fsdecode(b"day 1/caf\xe9.jpg")]
    assert photo_paths(tmp_path, wanted) == (tmp_path / "day 1" / name,) * 3


def test_a_name_alone_finds_its_photo_in_the_folders_below(tmp_path):
    for place in ("day 1/one.JPG", "day 2/deep/two.png", "day 1/twice.jpg", "day 2/twice.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"photo")
    (tmp_path / "twice.png").write_bytes(b"photo")
    found = photo_paths(tmp_path, ["one.jpg", "two", "twice.png", "none.jpg", "day 3/one.jpg"])
    places = ("day 1/one.JPG", "day 2/deep/two.png", "twice.png", "none.jpg", "day 3/one.jpg")
    assert found == tuple(tmp_path / place for place in places)
    with pytest.raises(TableError, match=r"several photos are called so, .*day 1.*day 2"):
        photo_paths(tmp_path, ["twice.jpg"])
