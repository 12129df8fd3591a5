"""One result per photo, in order, the same however the work is cut."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nima import ratings
from siamese_nima.errors import ConfigError, PhotoError, ViewError, WeightsError
from siamese_nima.scoring.scorer import Scorer
from tiny_model import rate_tiny


@pytest.fixture
def scorer(tiny_model: Path) -> Scorer:
    return Scorer(tiny_model)


def test_results_come_in_natural_order_and_agree_with_numpy(scorer, photo_folder, tiny_card):
    results = list(scorer.score(photo_folder))
    assert [Path(r.path).name for r in results] == [f"photo{n}.png" for n in range(1, 12)]
    for result in results:
        distribution = rate_tiny(tiny_card, Image.open(result.path))
        assert result.distribution == pytest.approx(distribution, abs=1e-5)
        assert result.mean == pytest.approx(ratings.mean(distribution), abs=1e-4)
        assert result.spread == pytest.approx(ratings.spread(distribution), abs=1e-4)
        assert result.percentile == ratings.percentile(result.mean, (2, 4, 5, 6))
        assert result.error is None
        assert result.model == scorer.model.model_id


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("workers", [1, 4])
def test_batch_size_workers_and_order_do_not_matter(tiny_model, photo_folder, batch_size, workers):
    paths = sorted(photo_folder.glob("photo*.png"))
    expected = {r.path: r.mean for r in Scorer(tiny_model, workers=1, batch_size=1).score(paths)}
    scorer = Scorer(tiny_model, view="native", workers=workers, batch_size=batch_size)
    native = {r.path: r.mean for r in scorer.score(paths)}
    again = {r.path: r.mean for r in scorer.score(paths[::-1])}
    warped = Scorer(tiny_model, workers=workers, batch_size=batch_size)
    assert {r.path: r.mean for r in warped.score(paths[::-1])} == pytest.approx(expected, abs=1e-4)
    assert again == pytest.approx(native, abs=1e-4)


def test_a_broken_photo_is_one_error_among_results(scorer, photo_folder):
    whole = (photo_folder / "photo5.png").read_bytes()
    (photo_folder / "photo5.png").write_bytes(whole[: len(whole) // 2])
    (photo_folder / "photo7.png").write_bytes(b"")
    results = list(scorer.score([*sorted(photo_folder.glob("photo*.png")), Path("gone.jpg")]))
    failed = {Path(r.path).name for r in results if r.error is not None}
    assert failed == {"photo5.png", "photo7.png", "gone.jpg"}
    assert len(results) == 12
    for result in results:
        if result.error is not None:
            assert Path(result.path).name in result.error
            assert result.mean is result.spread is result.distribution is None


def test_a_photo_that_the_network_refuses_does_not_spoil_its_batch(
    scorer, photo_folder, monkeypatch
):
    rate = scorer.model.rate

    def picky(views: np.ndarray) -> np.ndarray:
        if np.any(views.mean(axis=(1, 2, 3, 4)) == 60):  # photo3
            raise PhotoError("too grey")
        return rate(views)

    monkeypatch.setattr(scorer.model, "rate", picky)
    results = list(scorer.score(photo_folder))
    assert [r.error is not None for r in results] == [n == 3 for n in range(1, 12)]
    assert results[2].error.endswith("photo3.png: too grey")


def test_every_kind_of_photo_gets_the_same_score(scorer, photo_folder):
    path = photo_folder / "photo4.png"
    picture = Image.open(path)
    kinds = [
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        picture,
        np.asarray(picture),
    ]
    results = list(scorer.score(kinds))
    assert len({r.mean for r in results}) == 1
    assert results[0].path == str(path)
    assert results[2].path == "<photo 3>"


def test_photos_are_read_while_results_are_taken_not_all_before(scorer, photo_folder):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield photo_folder / "photo1.png"

    results = scorer.score(endless())
    for _ in range(50):
        next(results)
    results.close()
    assert taken <= 50 + scorer.batch_size * (2 * scorer.workers + 1)


def test_no_photos_give_no_results(scorer):
    assert list(scorer.score([])) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ConfigError, "batch size must be at least 1, got 0"),
        ({"workers": 0}, ConfigError, "workers must be at least 1, got 0"),
        ({"view": "sideways:3"}, ViewError, "sideways"),
    ],
)
def test_impossible_options_are_refused(tiny_model, options, error, message):
    with pytest.raises(error, match=message):
        Scorer(tiny_model, **options)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsError, match=r"no model named 'qualty'; there are .*quality"):
        Scorer("qualty")
