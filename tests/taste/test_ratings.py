from pathlib import Path

import pytest
from PIL import Image

from siamese_nima.errors import AnswerError
from siamese_nima.taste.ratings import keepers_and_rest, read_ratings, read_stars

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "day").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg", "day/d.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def test_stars_are_read_from_both_kinds_of_sidecars_and_from_photos(folder) -> None:
    (folder / "a.jpg.xmp").write_text(XMP.format(4))
    (folder / "day" / "d.xmp").write_text(XMP.format(-1))
    Image.new("RGB", (8, 8)).save(folder / "b.jpg", xmp=XMP.format(2).encode())
    assert read_stars(folder) == {"a.jpg": 4, "b.jpg": 2, "day/d.jpg": -1}


def test_a_broken_sidecar_is_no_rating_and_stops_nothing(folder) -> None:
    (folder / "a.jpg.xmp").write_text("<broken")
    (folder / "b.jpg.xmp").write_text(XMP.format(5))
    assert read_stars(folder) == {"b.jpg": 5}


def test_a_folder_without_stars_is_an_error_that_says_what_to_do(folder) -> None:
    with pytest.raises(AnswerError, match=r"no photo has stars.*nima pick"):
        read_stars(folder)


def test_keepers_are_better_than_the_rest(folder) -> None:
    ratings = keepers_and_rest(folder, folder / "day")
    assert ratings == {"a.jpg": 0, "b.jpg": 0, "c.jpg": 0, "day/d.jpg": 1}


def test_keepers_must_lie_in_the_folder_and_leave_others(folder, tmp_path) -> None:
    with pytest.raises(AnswerError, match="must lie in"):
        keepers_and_rest(folder / "day", folder)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / name).unlink()
    with pytest.raises(AnswerError, match="no photo; a taste is learnt from"):
        keepers_and_rest(folder, folder / "day")


def test_keepers_are_found_from_here_and_from_the_folder(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    found = [keepers_and_rest(Path(folder.name), Path(k)) for k in ("day", f"{folder.name}/day")]
    assert found == [{"a.jpg": 0, "b.jpg": 0, "c.jpg": 0, "day/d.jpg": 1}] * 2
    with pytest.raises(AnswerError, match="night: no such folder, neither here nor in"):
        keepers_and_rest(folder, Path("night"))


def test_a_table_names_photos_from_the_folder_from_here_or_in_full(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    here = Path(folder.name)
    table = folder / "ratings.csv"
    table.write_text(
        f"path,stars\na.jpg,1\n{here / 'b.jpg'},2\n{folder / 'c.jpg'},3\nno.jpg,4\nd,5\n"
    )
    wanted = {"a.jpg": 1, "b.jpg": 2, "c.jpg": 3, "no.jpg": 4, "day/d.jpg": 5}
    assert read_ratings(table, here) == read_ratings(table, folder) == wanted


def test_a_table_of_ratings_is_read_whatever_its_columns_are_called(folder) -> None:
    table = folder / "ratings.csv"
    table.write_text(f"file_name;Stars;note\na.jpg;3;x\n{folder / 'day' / 'd.jpg'};4,5;\n")
    table.write_text(table.read_text().replace("Stars", "stars"))
    assert read_ratings(table, folder) == {"a.jpg": 3, "day/d.jpg": 4.5}
    table.write_text("photo,colour\na.jpg,red\n")
    with pytest.raises(AnswerError, match=r"line 1: wanted .*rating, stars.* found photo, colour"):
        read_ratings(table, folder)
    table.write_text("photo,rating\na.jpg,3\na.jpg,4\n")
    with pytest.raises(AnswerError, match=r"line 3: a.jpg has a rating already"):
        read_ratings(table, folder)
