"""The reports on one model, and on two judged by the same photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from siamese_nima.errors import PhotoError
from siamese_nima.evaluation.comparison import Difference
from siamese_nima.evaluation.document import Picture, Section, Table
from siamese_nima.evaluation.figures import Figures, RatedPhotos
from siamese_nima.evaluation.metrics import Interval
from siamese_nima.evaluation.plots import (
    plot_calibration,
    plot_gaps,
    plot_pair_error,
    plot_scores,
)
from siamese_nima.pair_error import PairError, describe_closest_call
from siamese_nima.photos.thumbnails import thumbnail
from siamese_nima.ratings import Floats


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
        Section(title="In short", paragraphs=verdict(every)),
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
    return [*sections, *_best_sections(rated), *_disagreement_sections(rated)]


# Rank correlations from which on words say so; the words are ours, for readers without a glossary.
_AGREEMENT = ((0.9, "very well"), (0.75, "well"), (0.5, "fairly well"), (0.25, "weakly"))


def verdict(figures: Figures) -> list[str]:
    """What the figures come to, in sentences."""
    srcc = figures.agreement.srcc.value
    if srcc != srcc:
        return ["The scores do not differ, or the labels do not: nothing can be said."]
    how = next((words for least, words in _AGREEMENT if srcc >= least), "hardly, if at all")
    told = [f"The model agrees {how} with people: the rank correlation is {srcc:.2f}, at most 1."]
    right = 100 * figures.pairs.total.value
    if right == right:
        told[0] += f" Of 100 pairs of photos it puts {right:.0f} in people's order; chance puts 50."
    if figures.calibration_slope > 1.25:
        told.append("Its scores are squeezed: they differ less than people's ratings do.")
    elif figures.calibration_slope < 0.8:
        told.append("Its scores are stretched: they differ more than people's ratings do.")
    return told


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
        text = [describe_closest_call(pair_error)]
    return Section(
        title="Pairs",
        paragraphs=text,
        tables=[Table(("gap of the labels", "pairs", "right order"), rows)] if rows else [],
        plots=plots,
    )


def _best_sections(rated: RatedPhotos) -> list[Section]:
    return [
        Section(
            title=f"The {name} by the model",
            paragraphs=[f"The {len(rows)} {name}, {name} first, with people's mean scores."],
            photos=gallery(rated, rows, [_caption(rated, int(row)) for row in rows], name),
        )
        for name, rows in zip(("best", "worst"), best_and_worst(rated), strict=True)
    ]


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


_TITLES = {
    "srcc": "SRCC",
    "plcc": "PLCC",
    "rmse": "RMSE (lower is better)",
    "same_scene_pairs": "same-scene pairs",
}


def comparison_sections(
    names: tuple[str, str],
    models: tuple[RatedPhotos, RatedPhotos],
    figures: tuple[Mapping[str, Figures], Mapping[str, Figures]],
    differences: Mapping[str, Mapping[str, Difference]],
    *,
    about: Sequence[str],
    warnings: Sequence[str] = (),
) -> list[Section]:
    """All sections of a report on two models.

    Args:
        names: What to call the two.
        models: Their scores for the same photos.
        figures: Of each, by subset.
        differences: By subset, "all" among them; see `compare_models`.
        about: Sentences on models and data.
        warnings: What a reader must know before believing a figure.
    """
    sections = [
        Section(title="In short", paragraphs=[comparison_verdict(names, differences["all"])]),
        Section(title="What was compared", paragraphs=about, warnings=warnings),
    ]
    for subset, found in differences.items():
        sections.append(
            Section(
                title="Difference" if subset == "all" else f"Difference on {subset}",
                paragraphs=_reading() if subset == "all" else (),
                tables=[difference_table(names, found)],
            )
        )
    for name, own in zip(names, figures, strict=True):
        sections.append(Section(title=f"Figures of {name}", tables=[subset_table(own)]))
    gaps = {name: own["all"].pairs.by_gap for name, own in zip(names, figures, strict=True)}
    if all(gaps.values()):
        plot = svg("pairs-by-gap", plot_gaps(gaps), "Pairs in the right order, by gap")
        sections.append(Section(title="Pairs by gap of the labels", plots=[plot]))
    return [*sections, *_photo_sections(names, models)]


def comparison_verdict(names: tuple[str, str], found: Mapping[str, Difference]) -> str:
    """Which of two models is better, in a sentence."""
    won = {
        name: [_TITLES.get(f, f).partition(" (")[0] for f, d in found.items() if d.winner == place]
        for name, place in zip(names, ("first", "second"), strict=True)
    }
    told = [f"{name} is better in {', '.join(figures)}" for name, figures in won.items() if figures]
    if not told:
        return "Neither model is clearly better than the other on these photos."
    return f"{'; '.join(told)}. No clear difference in the rest."


def difference_table(names: tuple[str, str], differences: Mapping[str, Difference]) -> Table:
    """A row per figure: both values, their difference, its p-value, and who is better."""
    verdicts = {"first": names[0], "second": names[1], "neither": "no clear difference"}
    rows = [
        (
            _TITLES.get(figure, figure),
            number(found.first),
            number(found.second),
            number(found.difference),
            f"{found.chance:.3f}",
            verdicts[found.winner],
        )
        for figure, found in differences.items()
    ]
    return Table(("figure", names[0], names[1], "difference", "p", "better"), rows)


def _reading() -> tuple[str, ...]:
    return (
        "The difference is the second model less the first; its 95 % interval comes from drawing "
        "scenes again, p from exchanging the two models' scores scene by scene at random. A model "
        "is called better where the interval excludes 0 and p is below .05.",
    )


def _photo_sections(
    names: tuple[str, str], models: tuple[RatedPhotos, RatedPhotos]
) -> list[Section]:
    first, second = models
    sections = []
    for number_, rows in enumerate(most_disagreed(first.scores, second.scores)):
        captions = [
            f"{first.scores[row]:.2f} and {second.scores[row]:.2f} (people {first.labels[row]:.2f})"
            for row in rows
        ]
        pictures = gallery(first, rows, captions, f"preferred-{number_ + 1}")
        if pictures:
            title = f"Ranked far higher by {names[number_]}"
            sections.append(Section(title=title, photos=pictures))
    return sections


SHOWN = 8


def best_and_worst(rated: RatedPhotos, count: int = SHOWN) -> tuple[NDArray[np.intp], ...]:
    """Rows of the best-scored photos, best first, and of the worst, worst first."""
    order = np.argsort(-rated.scores, kind="stable")
    return order[:count], order[::-1][:count]


def most_disagreed(
    first: Floats, second: Floats, count: int = SHOWN
) -> tuple[NDArray[np.intp], ...]:
    """Rows that the first ranks higher than the second by most, and lower by most.

    Ranks, not values: scores drawn to the middle would otherwise make every extreme photo one.
    """
    ahead = rankdata(first) - rankdata(second)
    order = np.argsort(-ahead, kind="stable")
    above, below = order[:count], order[::-1][:count]
    return above[ahead[above] > 0], below[ahead[below] < 0]


def gallery(
    rated: RatedPhotos, rows: Sequence[int] | NDArray[np.intp], captions: Sequence[str], name: str
) -> list[Picture]:
    """A picture per row; a photo that cannot be read is left out, as it had no score either."""
    pictures = []
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True), start=1):
        path = rated.paths[int(row)]
        try:
            content = thumbnail(path)
        except PhotoError:
            continue
        text = f"{caption} {Path(path).name}"
        pictures.append(Picture(f"{name}-{number}.webp", content, text))
    return pictures
