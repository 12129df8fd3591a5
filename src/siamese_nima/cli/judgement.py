"""What `nima evaluate` and `nima compare` do: read, guard, score, measure, write."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from siamese_nima import __version__
from siamese_nima.atomic_write import write_whole
from siamese_nima.card import ModelCard
from siamese_nima.cli.data import parse_scale
from siamese_nima.cli.progress import progress_bar
from siamese_nima.csv_rows import csv_writer
from siamese_nima.datasets.contamination import Contamination, refuse_contaminated
from siamese_nima.datasets.rating_table import RatingTable, name_some
from siamese_nima.datasets.sources import read_source
from siamese_nima.errors import TableError
from siamese_nima.evaluation.comparison import compare_models
from siamese_nima.evaluation.document import write_report
from siamese_nima.evaluation.figures import Figures, RatedPhotos, measure_by_subset
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.evaluation.plots import learning_section
from siamese_nima.evaluation.report import comparison_sections, model_sections, number, percent
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import map_mean
from siamese_nima.scoring.scored_photo import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's scores for the photos of a judge.

    Attributes:
        card: The model's card.
        model_id: Name, version and start of the file's hash.
        rated: The photos that got a score.
        rows: Their rows in the judge's table.
        failed: Why each other photo got none.
        contamination: What the card says of these photos.
    """

    card: ModelCard
    model_id: str
    rated: RatedPhotos
    rows: tuple[int, ...]
    failed: tuple[str, ...]
    contamination: Contamination


@dataclass(frozen=True, slots=True)
class Judge:
    """Rated photos to judge models by.

    Attributes:
        name: What the user called the data.
        source: The whole set.
        table: The part of it that is used.
        split: The split it is, or "all".
    """

    name: str
    source: RatingTable
    table: RatingTable
    split: str

    @classmethod
    def of_source(
        cls,
        data: str,
        *,
        photos: Path | None,
        scale: str | None,
        splits: Path | None,
        split: str | None,
    ) -> Self:
        """The photos that options of the command line name."""
        source = read_source(data, photos=photos, scale=parse_scale(scale), splits=splits)
        chosen = split or ("test" if "test" in source.splits else "all")
        return cls(data, source, source if chosen == "all" else source.split(chosen), chosen)

    def score(self, scorer: Scorer, *, force: bool) -> Judged:
        """Score the photos.

        Raises:
            ContaminationError: The model was trained on some, and `force` is not set.
            TableError: No photo could be scored.
        """
        card = scorer.card
        found = refuse_contaminated(card, self.table, self.source, force=force)
        results: list[ScoredPhoto] = []
        with progress_bar(f"scoring by {card.name}") as report:
            for result in scorer.score(self.table.paths):
                results.append(result)
                report(len(results), len(self.table))
        failed = tuple(result.error for result in results if result.error is not None)
        rows = tuple(i for i, result in enumerate(results) if result.mean is not None)
        if not rows:
            raise TableError(f"{self.name}: no photo could be scored: {name_some(failed)}")
        rated = _rated(self.table.select(list(rows)), [results[i] for i in rows], card)
        return Judged(card, results[0].model, rated, rows, failed, found)

    def about(self, judged: Judged) -> list[str]:
        """Sentences on the photos, for a report."""
        text = f"Photos: {self.name}, split {self.split}, {len(judged.rated)} photos"
        return [f"{text} in {len(set(judged.rated.scenes))} scenes."]


def write_evaluation(
    judge: Judge, judged: Judged, out: Path, *, repeats: int, log: Path | None = None
) -> list[str]:
    """Measure and write the report, figures.json and scores.csv; gives lines for the terminal.

    Args:
        judge: The photos.
        judged: The model's scores for them.
        out: Folder of the report.
        repeats: Resamples behind the intervals.
        log: The log of the model's training, whose curves the report then has.
    """
    rated = judged.rated
    figures = measure_by_subset(rated, repeats=repeats)
    pair_error = _pair_error(rated)
    about = [_about_model(judged), *judge.about(judged)]
    sections = model_sections(rated, figures, pair_error, about=about, warnings=_warnings(judged))
    if log is not None:
        sections.append(learning_section(log))
    title = f"{judged.card.name} on {judge.name}"
    _, page = write_report(out, title, sections)
    values = _described(judge, judged) | {
        "figures": {name: part.to_json() for name, part in figures.items()},
        "pair_error": None if pair_error is None else pair_error.to_json(),
    }
    _write_json(out / "figures.json", values)
    _write_scores(out / "scores.csv", rated)
    written = f"wrote {page}, report.md, figures.json, scores.csv"
    return [*_warnings(judged), *_summary(figures), written]


def write_comparison(
    judge: Judge, judged: tuple[Judged, Judged], out: Path, *, repeats: int
) -> list[str]:
    """Measure and write report.md, report.html, figures.json; gives lines for the terminal."""
    first, second = _on_same_photos(judged)
    names = (judged[0].card.name, judged[1].card.name)
    if names[0] == names[1]:
        names = (judged[0].model_id, judged[1].model_id)
    figures = (
        measure_by_subset(first, repeats=repeats),
        measure_by_subset(second, repeats=repeats),
    )
    others = second.by_subset()
    differences = {
        subset: compare_models(part, others[subset], repeats=repeats)
        for subset, part in first.by_subset().items()
    }
    warnings = [line for model in judged for line in _warnings(model)]
    sections = comparison_sections(
        names,
        (first, second),
        figures,
        differences,
        about=[*map(_about_model, judged), *judge.about(replace(judged[0], rated=first))],
        warnings=warnings,
    )
    _, page = write_report(out, f"{names[0]} and {names[1]} on {judge.name}", sections)
    values = {
        "models": [_described(judge, model) for model in judged],
        "differences": {
            subset: {figure: value.to_json() for figure, value in found.items()}
            for subset, found in differences.items()
        },
        "figures": [{name: part.to_json() for name, part in own.items()} for own in figures],
    }
    _write_json(out / "figures.json", values)
    lines = [
        f"{figure:17} {number(value.first)} and {number(value.second)}, "
        f"difference {number(value.difference)}, p {value.chance:.3f}: "
        f"{ {'first': names[0], 'second': names[1]}.get(value.winner, 'neither') } is better"
        for figure, value in differences["all"].items()
    ]
    return [*warnings, *lines, f"wrote {page}, report.md, figures.json"]


def _rated(table: RatingTable, results: Sequence[ScoredPhoto], card: ModelCard) -> RatedPhotos:
    return RatedPhotos(
        paths=tuple(str(path) for path in table.paths),
        scores=np.array([result.mean for result in results], dtype=np.float64),
        labels=table.means(card.scale),
        scale=card.scale,
        scenes=table.scenes,
        subsets=table.subsets,
        distributions=np.array([result.distribution for result in results], dtype=np.float64),
        votes=None if table.votes is None else table.distributions(card.scale),
    )


def _on_same_photos(judged: tuple[Judged, Judged]) -> tuple[RatedPhotos, RatedPhotos]:
    """The photos that both models scored, the second's scores on the first's scale."""
    shared = set(judged[0].rows) & set(judged[1].rows)
    if not shared:
        raise TableError("the two models scored no photo in common")
    first, second = (
        model.rated.select([i for i, row in enumerate(model.rows) if row in shared])
        for model in judged
    )
    if first.scale == second.scale:
        return first, second
    mapped = replace(
        second,
        scores=map_mean(second.scores, second.scale, first.scale),
        labels=first.labels,
        scale=first.scale,
        distributions=None,
        votes=None,
    )
    return first, mapped


def _pair_error(rated: RatedPhotos) -> PairError | None:
    try:
        return measure_pair_error(rated.scores, rated.labels, rated.scenes)
    except TableError:
        return None  # too few pairs for it; the report then has no such plot


def _about_model(judged: Judged) -> str:
    card = judged.card
    text = f"Model: {judged.model_id}, scale {card.scale}, view {card.view}."
    return f"{text} {card.description}".strip()


def _warnings(judged: Judged) -> list[str]:
    lines = []
    if judged.contamination.verdict != "clean":
        lines.append(f"{judged.contamination.reason}.")
    if judged.failed:
        lines.append(f"{len(judged.failed)} photos got no score: {name_some(judged.failed)}")
    return lines


def _described(judge: Judge, judged: Judged) -> dict[str, Any]:
    return {
        "siamese_nima": __version__,
        "model": judged.model_id,
        "scale": [judged.card.scale.low, judged.card.scale.high],
        "data": judge.name,
        "split": judge.split,
        "photos": len(judged.rated),
        "failed": list(judged.failed),
        "contamination": judged.contamination.verdict,
    }


def _summary(figures: dict[str, Figures]) -> list[str]:
    return [
        f"{name:12} {part.agreement.photos:6d} photos  SRCC {number(part.agreement.srcc)}  "
        f"pairs {percent(part.pairs.total)}"
        for name, part in figures.items()
    ]


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


def _write_scores(path: Path, rated: RatedPhotos) -> None:
    text = io.StringIO()
    rows = csv_writer(text)
    rows.writerow(("path", "score", "label", "subset", "scene"))
    columns = (rated.paths, rated.scores, rated.labels, rated.subsets, rated.scenes)
    for name, score, label, subset, scene in zip(*columns, strict=True):
        rows.writerow((name, f"{score:.5f}", f"{label:.5f}", subset, scene))
    # Names that are not valid Unicode keep their bytes.
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))
