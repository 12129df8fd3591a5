"""The report on two models judged by the same photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siamese_nima.evaluation.comparison import Difference
from siamese_nima.evaluation.document import Section, Table
from siamese_nima.evaluation.figures import Figures
from siamese_nima.evaluation.gallery import gallery, most_disagreed
from siamese_nima.evaluation.model_report import number, subset_table, svg
from siamese_nima.evaluation.plots import plot_gaps
from siamese_nima.evaluation.rated_photos import RatedPhotos

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
    sections = [Section(title="What was compared", paragraphs=about, warnings=warnings)]
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
