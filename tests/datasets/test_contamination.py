from dataclasses import replace

import pytest
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.datasets.contamination import (
    find_contamination,
    refuse_contaminated,
    training_record,
)
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import CardError, ContaminationError
from siamese_nima.photos import ViewPolicy


@pytest.fixture
def photos(tmp_path):
    paths = tuple(tmp_path / f"{n}.png" for n in range(6))
    for n, path in enumerate(paths):
        Image.new("RGB", (8, 8), (n * 40,) * 3).save(path)
    splits = ("train", "train", "train", "test", "test", "val")
    return RatingTable(paths=paths, mos=[5.0] * 6, splits=splits)


def card(**training):
    return ModelCard(name="m", backbone="none", view=ViewPolicy.parse("native"), training=training)


def test_photos_trained_on_are_found_under_another_name(photos, tmp_path):
    trained = card(**training_record(photos.split("train")))
    copy = tmp_path / "other" / "copy.png"
    copy.parent.mkdir()
    copy.write_bytes(photos.paths[1].read_bytes())
    table = RatingTable(paths=(copy, photos.paths[3]), mos=[5.0, 5.0])
    found = find_contamination(trained, table)
    assert (found.verdict, found.photos) == ("contaminated", (copy,))
    with pytest.raises(ContaminationError, match=r"trained on 1 of these 2 photos: .*copy\.png"):
        refuse_contaminated(trained, table)
    assert refuse_contaminated(trained, table, force=True) == found


def test_other_photos_are_clean(photos):
    trained = card(**training_record(photos.split("train")))
    found = refuse_contaminated(trained, photos.split("test"))
    assert (found.verdict, found.photos) == ("clean", ())
    assert "none of these 2 photos" in found.reason


def test_photos_of_the_parent_count_too(photos):
    parent = card(**training_record(photos.split("train")))
    child = card(**training_record(photos.split("test"), parent))
    assert find_contamination(child, photos).photos == photos.paths[:5]
    silent = card(**training_record(photos.split("test"), card()))
    assert find_contamination(silent, photos.split("val")).verdict == "unknown"
    assert find_contamination(silent, photos.split("test")).verdict == "contaminated"


def test_a_fingerprint_alone_recognises_the_training_set_itself(photos):
    trained = card(fingerprint=photos.split("train").fingerprint())
    assert find_contamination(trained, photos.split("train")).verdict == "contaminated"
    assert find_contamination(trained, photos.split("test")).verdict == "unknown"


def test_a_fingerprint_is_looked_up_among_the_splits_of_the_set(photos):
    trained = card(fingerprint=photos.split("train").fingerprint())
    assert find_contamination(trained, photos.split("test"), photos).verdict == "clean"
    mixed = photos.select([2, 3])
    assert find_contamination(trained, mixed, photos).photos == (photos.paths[2],)


def test_a_card_that_tells_nothing_is_unknown(photos):
    found = refuse_contaminated(card(), photos)
    assert found.verdict == "unknown"
    assert found.reason == "model 'm' does not say which photos it was trained on"


def test_photos_that_are_not_there_are_ignored(photos):
    trained = card(**training_record(photos.split("train")))
    photos.paths[0].unlink()
    assert len(find_contamination(trained, photos).photos) == 2


@pytest.mark.parametrize(("prints", "message"), [("%", "not base64"), ("QUJD", "cut off")])
def test_damaged_prints_are_refused(photos, prints, message):
    damaged = replace(card(), training={"photo_prints": prints})
    with pytest.raises(CardError, match=message):
        find_contamination(damaged, photos)
