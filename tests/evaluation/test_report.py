from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from PIL import Image

from rated_photos import rated
from siamese_nima.evaluation.document import to_markdown
from siamese_nima.evaluation.figures import measure_by_subset
from siamese_nima.evaluation.metrics import Interval
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.evaluation.report import (
    best_and_worst,
    comparison_verdict,
    gallery,
    model_sections,
    most_disagreed,
    number,
    percent,
)
from siamese_nima.pair_error import PairError, describe_closest_call


def report(photos, **options):
    figures = measure_by_subset(photos, repeats=10)
    error = None
    if np.ptp(photos.scores):
        error = measure_pair_error(photos.scores, photos.labels, photos.scenes, repeats=10)
    sections = model_sections(photos, figures, error, about=["Model: m."], **options)
    return to_markdown("m", sections, "pictures")


def test_every_figure_stands_in_the_report():
    text = report(rated(60, votes=True, subsets=2), warnings=["careful"])
    for name in ("SRCC", "PLCC, fitted", "KRCC", "RMSE", "top tenth", "EMD, r = 1", "spread ratio"):
        assert f"| {name} |" in text
    assert "| part0 | 30 |" in text
    assert "**Note:** careful" in text
    assert "too close to call" in text
    for plot in ("scores", "calibration", "pairs-by-gap", "pair-error"):
        assert f"(pictures/{plot}.svg)" in text


def test_what_is_not_known_is_left_out_or_a_dash():
    text = report(replace(rated(60, scenes=1), scores=np.full(60, 5.0)))
    assert "| SRCC | - |" in text
    assert "EMD" not in text
    assert "same-scene pairs |" not in text
    assert "By subset" not in text


def test_the_verdict_comes_first_and_in_words():
    photos = rated(60)
    perfect = report(replace(photos, scores=photos.labels))
    first = perfect.split("## ")[1]
    assert first.startswith("In short")
    assert "agrees very well with people: the rank correlation is 1.00" in first
    assert "Of 100 pairs of photos it puts 100 in people's order" in first
    against = report(replace(photos, scores=-photos.labels))
    assert "agrees hardly, if at all" in against
    squeezed = replace(photos, scores=5 + 0.1 * photos.labels)
    assert "Its scores are squeezed" in report(squeezed)
    assert "nothing can be said" in report(replace(photos, scores=np.full(60, 5.0)))


def test_two_models_are_judged_in_a_sentence():
    def difference(winner):
        return SimpleNamespace(winner=winner)

    clear = {"srcc": difference("first"), "rmse": difference("second"), "plcc": difference("")}
    words = comparison_verdict(("a", "b"), clear)
    assert words == "a is better in SRCC; b is better in RMSE. No clear difference in the rest."
    none = comparison_verdict(("a", "b"), {"srcc": difference("neither")})
    assert none == "Neither model is clearly better than the other on these photos."


def test_figures_are_short():
    assert number(Interval(0.8731, 0.86, 0.884)) == "0.873 [0.860, 0.884]"
    assert percent(Interval(0.91, 0.9, 0.92)) == "91.0 % [90.0, 92.0]"
    assert percent(Interval(0.91, float("nan"), float("nan"))) == "91.0 %"
    assert percent(0.5) == "50.0 %"
    assert number(float("nan")) == percent(float("nan")) == "-"


def test_a_model_that_never_calls_says_so():
    error = PairError((0.0, 1.0), (0.5, 0.6), (0.5, 0.55), 1000)
    assert "all pairs are too close to call" in describe_closest_call(error)


def test_best_comes_first_and_worst_last_first():
    photos = replace(rated(5), scores=np.array([3.0, 5.0, 1.0, 4.0, 2.0]))
    best, worst = best_and_worst(photos, 2)
    assert (best.tolist(), worst.tolist()) == ([1, 3], [2, 4])


def test_disagreement_is_of_ranks_and_not_of_values():
    squeezed, labels = np.array([5.0, 5.1, 5.2, 5.05]), np.array([1.0, 9.0, 8.0, 5.0])
    above, below = most_disagreed(squeezed, labels)
    assert (above.tolist(), below.tolist()) == ([2], [1])
    assert [rows.tolist() for rows in most_disagreed(labels, labels)] == [[], []]


def test_unreadable_photos_are_left_out(tmp_path):
    Image.new("RGB", (1200, 600), "red").save(tmp_path / "0.jpg")
    photos = replace(rated(2), paths=(str(tmp_path / "0.jpg"), str(tmp_path / "gone.jpg")))
    [picture] = gallery(photos, [0, 1], ["7.00", "2.00"], "best")
    assert (picture.name, picture.caption) == ("best-1.webp", "7.00 0.jpg")
