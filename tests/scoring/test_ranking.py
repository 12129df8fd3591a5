"""Best first, nothing lost, nothing overwritten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import NimaError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.ranking import copy_ranked, rank_photos
from siamese_nima.scoring.scored_photo import ScoredPhoto


def result(path: str, mean: float | None) -> ScoredPhoto:
    error = f"{path}: broken" if mean is None else None
    return ScoredPhoto(path=path, model="m", scale=AVA_SCALE, mean=mean, error=error)


@given(st.lists(st.one_of(st.none(), st.floats(1, 10))))
def test_every_photo_comes_back_best_first_and_failures_last(means):
    results = [result(f"{i}.jpg", mean) for i, mean in enumerate(means)]
    ranked = rank_photos(results)
    assert sorted(r.path for r in ranked) == sorted(r.path for r in results)
    scores = [r.mean for r in ranked if r.mean is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(r.mean is None for r in ranked[len(scores) :])


def test_equal_scores_are_ordered_by_path():
    assert [r.path for r in rank_photos([result("b", 5), result("a", 5)])] == ["a", "b"]


def test_copies_bear_their_rank_and_content(tmp_path):
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / name).write_text(name)
    ranked = [result(str(tmp_path / n), m) for n, m in (("y.jpg", 9), ("x.jpg", 2), ("z", None))]
    copies = copy_ranked(ranked, tmp_path / "best")
    assert [copy.name for copy in copies] == ["0001-y.jpg", "0002-x.jpg"]
    assert [copy.read_text() for copy in copies] == ["y.jpg", "x.jpg"]
    assert sorted(p.name for p in (tmp_path / "best").iterdir()) == ["0001-y.jpg", "0002-x.jpg"]


def test_an_existing_copy_is_never_overwritten(tmp_path):
    (tmp_path / "x.jpg").write_text("new")
    (tmp_path / "0001-x.jpg").write_text("mine")
    with pytest.raises(NimaError, match=r"0001-x.jpg: exists already"):
        copy_ranked([result(str(tmp_path / "x.jpg"), 5)], tmp_path)
    assert (tmp_path / "0001-x.jpg").read_text() == "mine"
