from PIL import Image

from siamese_nima.datasets.photo_check import check_photos, usable_photos
from siamese_nima.datasets.rating_table import RatingTable


def test_missing_and_broken_photos_are_listed_and_counted(tmp_path):
    paths = tuple(tmp_path / f"{n}.png" for n in range(4))
    Image.new("RGB", (40, 30)).save(paths[0])
    paths[1].write_bytes(b"no picture")
    Image.new("RGB", (40, 30)).save(paths[3])
    table = RatingTable(paths=paths, mos=[5.0] * 4)
    check = check_photos(table)
    assert check.missing == (paths[2],)
    assert [path for path, _ in check.broken] == [paths[1]]
    assert "1.png" in check.broken[0][1]
    assert check.usable == 2
    assert "2 of 4 photos are usable; 1 are missing: " in check.describe()
    assert "1 cannot be read: " in check.describe()
    assert usable_photos(table, check).paths == (paths[0], paths[3])


def test_a_whole_table_has_nothing_to_tell(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    check = check_photos(RatingTable(paths=(tmp_path / "a.png",), mos=[5.0]))
    assert check.describe() == "1 of 1 photos are usable"
