"""The report on one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siamese_nima.evaluation.document import Picture, Section, Table
from siamese_nima.evaluation.figures import Figures
from siamese_nima.evaluation.gallery import best_and_worst, gallery, most_disagreed
from siamese_nima.evaluation.metrics import Interval
from siamese_nima.evaluation.plots import (
    plot_calibration,
    plot_gaps,
    plot_pair_error,
    plot_scores,
)
from siamese_nima.evaluation.rated_photos import RatedPhotos
from siamese_nima.pair_error import WANTED, PairError


def model_sections(
    rated: RatedPhotos,
    figures: Mapping[str, Figures],
    pair_error: PairError | None,
    *,
    about: Sequence[str],
    warnings: Sequence[str] = (),
) -> list[Section]:
    """All sections of a report on one model.

    Args:
        rated: Scores and labels; the paths must lead to the photos.
        figures: By subset, "all" among them; see `measure_by_subset`.
        pair_error: Where it could be measured.
        about: Sentences on model and data.
        warnings: What a reader must know before believing a figure.
    """
    every = figures["all"]
    sections = [
        Section(title="What was judged", paragraphs=about, warnings=warnings),
        Section(
            title="Agreement with people",
            paragraphs=["Brackets hold 95 % intervals; whole scenes are drawn again for them."],
            tables=[Table(("figure", "value", "meaning"), _figure_rows(every, rated))],
        ),
    ]
    if len(figures) > 1:
        text = (
            "Where subsets differ in mean label, telling them apart correlates by itself; each "
            "subset alone shows what is left."
        )
        sections.append(
            Section(title="By subset", paragraphs=[text], tables=[subset_table(figures)])
        )
    sections += [_plot_section(rated, every), _pair_section(every, pair_error)]
    return [*sections, _photo_section(rated), *_disagreement_sections(rated)]


def subset_table(figures: Mapping[str, Figures]) -> Table:
    """The main figures, a row per subset."""
    header = ("subset", "photos", "SRCC", "PLCC", "RMSE", "pairs", "same-scene pairs", "spread")
    rows = [
        (
            name,
            str(part.agreement.photos),
            number(part.agreement.srcc),
            number(part.agreement.plcc),
            number(part.agreement.rmse),
            percent(part.pairs.total),
            _scene_pairs(part),
            number(part.spread_ratio),
        )
        for name, part in figures.items()
    ]
    return Table(header, rows)


def number(value: float | Interval) -> str:
    """A figure with three decimals, and its interval; "-" where it is not known."""
    if isinstance(value, Interval):
        shown = number(value.value)
        if shown == "-" or number(value.low) == "-":
            return shown
        return f"{shown} [{number(value.low)}, {number(value.high)}]"
    return "-" if value != value else f"{value:.3f}"


def percent(value: float | Interval) -> str:
    """A share in percent with one decimal, and its interval; "-" where it is not known."""
    if isinstance(value, Interval):
        if value.low != value.low:
            return percent(value.value)
        return f"{percent(value.value)} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return "-" if value != value else f"{100 * value:.1f} %"


def _figure_rows(figures: Figures, rated: RatedPhotos) -> list[tuple[str, str, str]]:
    agreement = figures.agreement
    rows = [
        ("SRCC", number(agreement.srcc), "rank correlation, 1 is best"),
        ("PLCC", number(agreement.plcc), "linear correlation, 1 is best"),
        ("PLCC, fitted", number(figures.fitted_plcc), "after a logistic of four parameters"),
        ("KRCC", number(agreement.krcc), "rank correlation by pairs"),
        ("RMSE", number(agreement.rmse), f"points of the scale {rated.scale}, 0 is best"),
        ("pairs", percent(figures.pairs.total), "of all pairs in the right order; chance 50 %"),
        ("top tenth", percent(figures.top_precision), "of it people's top tenth; chance 10 %"),
        (
            "right side of the middle",
            percent(figures.middle_accuracy),
            f"always one side: {percent(figures.majority_share)}",
        ),
        ("spread ratio", number(figures.spread_ratio), "scores' spread by labels', 1 is best"),
        (
            "calibration slope",
            number(figures.calibration_slope),
            "points of label per point of score; above 1: scores are squeezed",
        ),
        ("calibration error", number(figures.calibration_error), "points, 0 is best"),
    ]
    if agreement.pairs:
        meaning = f"of {agreement.pairs} pairs whose labels differ by over a tenth of the scale"
        rows.append(("same-scene pairs", _scene_pairs(figures), meaning))
    for r, value, constant in (
        (1, figures.emd_r1, figures.constant_emd_r1),
        (2, figures.emd_r2, figures.constant_emd_r2),
    ):
        if value is not None and constant is not None:
            meaning = f"distance to the votes, 0 is best; always the mean: {constant:.4f}"
            rows.append((f"EMD, r = {r}", f"{value:.4f}", meaning))
    return rows


def _scene_pairs(figures: Figures) -> str:
    accuracy = figures.agreement.pair_accuracy
    return "-" if accuracy is None else percent(accuracy)


def _plot_section(rated: RatedPhotos, figures: Figures) -> Section:
    rows = [
        (str(row.photos), f"{row.score:.2f}", f"{row.label:.2f}", f"{row.label_error:.2f}")
        for row in figures.calibration
    ]
    scatter, calibration = plot_scores(rated), plot_calibration(figures.calibration, rated.scale)
    return Section(
        title="Scores and labels",
        plots=[
            svg("scores", scatter, "Score against people's mean score, a point per photo"),
            svg("calibration", calibration, "People's mean score of photos of similar score"),
        ],
        tables=[Table(("photos", "mean score", "mean label", "standard error"), rows)],
    )


def _pair_section(figures: Figures, pair_error: PairError | None) -> Section:
    by_gap = figures.pairs.by_gap
    rows = [
        (f"{row.low:.2g} to {row.high:.2g}", str(row.pairs), percent(row.accuracy))
        for row in by_gap
    ]
    plots, text = [], []
    if by_gap:
        plot = plot_gaps({"": by_gap})
        plots.append(
            svg("pairs-by-gap", plot, "Pairs in the right order by how much better one is")
        )
    if pair_error is not None:
        caption = "Pairs in the right order by the gap of their scores"
        plots.append(svg("pair-error", plot_pair_error(pair_error), caption))
        text = [too_close_text(pair_error)]
    return Section(
        title="Pairs",
        paragraphs=text,
        tables=[Table(("gap of the labels", "pairs", "right order"), rows)] if rows else [],
        plots=plots,
    )


def too_close_text(pair_error: PairError) -> str:
    """What the pair error means for a user, in a sentence."""
    closest, wanted = pair_error.closest_call(), f"{100 * WANTED:.0f} %"
    if closest is None:
        return (
            f"No gap of scores makes the order of two photos right in {wanted} of the cases: all "
            "pairs are too close to call."
        )
    return (
        f"Two photos whose scores differ by less than {closest:.2f} points are too close to call: "
        f"below that the order is not sure to be right in {wanted} of the cases."
    )


def _photo_section(rated: RatedPhotos) -> Section:
    best, worst = best_and_worst(rated)
    pictures: list[Picture] = []
    for name, rows in (("best", best), ("worst", worst)):
        pictures += gallery(rated, rows, [_caption(rated, int(row)) for row in rows], name)
    return Section(
        title="Best and worst by the model",
        paragraphs=[f"The {len(best)} best, best first, then the {len(worst)} worst."],
        photos=pictures,
    )


def _disagreement_sections(rated: RatedPhotos) -> list[Section]:
    above, below = most_disagreed(rated.scores, rated.labels)
    sections = []
    for title, name, rows in (
        ("Ranked far above people's rating", "above", above),
        ("Ranked far below people's rating", "below", below),
    ):
        if len(rows):
            captions = [_caption(rated, int(row)) for row in rows]
            sections.append(Section(title=title, photos=gallery(rated, rows, captions, name)))
    return sections


def _caption(rated: RatedPhotos, row: int) -> str:
    return f"{rated.scores[row]:.2f} (people {rated.labels[row]:.2f})"


def svg(name: str, content: str, caption: str) -> Picture:
    """A plot as a picture of the report."""
    return Picture(f"{name}.svg", content.encode(), caption)
