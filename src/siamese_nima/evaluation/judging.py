"""Models judged by photos that people rated: `evaluate` judges one, `compare` two."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima._version import __version__
from siamese_nima.atomic_write import check_output, write_whole
from siamese_nima.card import ModelCard
from siamese_nima.csv_rows import csv_text
from siamese_nima.datasets.contamination import Contamination, refuse_contaminated
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.sources import RatedSource, read_source
from siamese_nima.datasets.splits import split_name
from siamese_nima.errors import TableError, name_some
from siamese_nima.evaluation.comparison import Difference, compare_models
from siamese_nima.evaluation.document import DOCUMENT_FILES, write_report
from siamese_nima.evaluation.figures import (
    Figures,
    RatedPhotos,
    Threshold,
    find_threshold,
    measure_by_subset,
    plain_figures,
)
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.evaluation.plots import learning_section
from siamese_nima.evaluation.report import comparison_sections, model_sections, number, percent
from siamese_nima.pair_error import PairError
from siamese_nima.ratings import map_mean
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer

Report = Callable[[int, int], None]

_FIGURES, _SCORES = "figures.json", "scores.csv"
_REPORT_FILES = (*DOCUMENT_FILES, _FIGURES, _SCORES)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedModel:
    """A model's scores for rated photos.

    Attributes:
        card: The model's card.
        model_id: Name, version and start of the file's hash.
        data: What the user called the photos.
        split: The split they are, or "all".
        rated: The photos that got a score.
        rows: Their rows among the photos of the split.
        failed: Why each other photo got none.
        contamination: What the card says of these photos.
    """

    card: ModelCard
    model_id: str
    data: str
    split: str
    rated: RatedPhotos
    rows: tuple[int, ...]
    failed: tuple[str, ...]
    contamination: Contamination

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before believing a figure."""
        lines = []
        if self.contamination.verdict != "clean":
            lines.append(f"{self.contamination.reason}.")
        if self.failed:
            lines.append(f"{len(self.failed)} photos got no score: {name_some(self.failed)}")
        return lines

    @property
    def about(self) -> str:
        """Which model it is, for a report."""
        text = f"Model: {self.model_id}, scale {self.card.scale}, view {self.card.view}."
        return f"{text} {self.card.description}".strip()

    def about_photos(self, rated: RatedPhotos) -> str:
        """Which of the photos were used, for a report."""
        text = f"Photos: {self.data}, split {self.split}, {len(rated)} photos"
        return f"{text} in {len(set(rated.scenes))} scenes."

    def to_json(self) -> dict[str, Any]:
        """What was judged by what, in values that JSON has."""
        return {
            "siamese_nima": __version__,
            "model": self.model_id,
            "scale": [self.card.scale.low, self.card.scale.high],
            "data": self.data,
            "split": self.split,
            "photos": len(self.rated),
            "failed": list(self.failed),
            "contamination": self.contamination.verdict,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A model judged by rated photos.

    Attributes:
        model: Its scores.
        figures: How well they agree with people; "all" photos, and each subset where there are
            several.
        pair_error: How sure the order of two photos is; None where there are too few pairs.
        threshold: A score to cut at, where one was asked for.
    """

    model: JudgedModel
    figures: Mapping[str, Figures]
    pair_error: PairError | None
    threshold: Threshold | None = None

    def lines(self) -> list[str]:
        """Warnings and the main figures, for a terminal."""
        rows = [
            f"{name:12} {part.agreement.photos:6d} photos  SRCC {number(part.agreement.srcc)}  "
            f"pairs {percent(part.pairs.total)}"
            for name, part in self.figures.items()
        ]
        verdict = self.figures["all"].verdict
        ends = [str(self.threshold)] if self.threshold else []
        return [*self.model.warnings, *rows, *([verdict] if verdict else []), *ends]

    def to_json(self) -> dict[str, Any]:
        """All figures in values that JSON has."""
        return self.model.to_json() | {
            "figures": {name: part.to_json() for name, part in self.figures.items()},
            "pair_error": None if self.pair_error is None else self.pair_error.to_json(),
            "verdict": self.figures["all"].verdict,
            "threshold": None if self.threshold is None else plain_figures(asdict(self.threshold)),
        }

    def write(self, folder: str | os.PathLike[str], *, log: Path | None = None) -> Path:
        """Write report.md, report.html, figures.json and scores.csv; gives the page.

        Args:
            folder: Made if need be.
            log: The log of the model's training, whose curves the report then has.
        """
        folder, model = Path(folder), self.model
        about = [model.about, model.about_photos(model.rated)]
        verdict = self.figures["all"].verdict
        if self.threshold:
            about.append(str(self.threshold))
        sections = model_sections(
            model.rated,
            self.figures,
            self.pair_error,
            about=about,
            warnings=[*model.warnings, *([verdict] if verdict else [])],
        )
        if log is not None:
            sections.append(learning_section(log))
        _, page = write_report(folder, f"{model.card.name} on {model.data}", sections)
        _write_json(folder / _FIGURES, self.to_json())
        _write_scores(folder / _SCORES, model.rated)
        return page


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two models judged by the same rated photos.

    Attributes:
        models: The two.
        rated: Their scores for the photos that both scored, on the first one's scale.
        figures: Of each on these photos, by subset.
        differences: By subset, "all" among them, and by figure.
    """

    models: tuple[JudgedModel, JudgedModel]
    rated: tuple[RatedPhotos, RatedPhotos]
    figures: tuple[Mapping[str, Figures], Mapping[str, Figures]]
    differences: Mapping[str, Mapping[str, Difference]]

    @property
    def names(self) -> tuple[str, str]:
        """What to call the two: names, or where these are the same, full ids."""
        first, second = (model.card.name for model in self.models)
        if first == second:
            return self.models[0].model_id, self.models[1].model_id
        return first, second

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before believing a figure."""
        verdicts = [
            f"{name}: {own['all'].verdict}"
            for name, own in zip(self.names, self.figures, strict=True)
            if own["all"].verdict
        ]
        return [*(line for model in self.models for line in model.warnings), *verdicts]

    def lines(self) -> list[str]:
        """Warnings, and which model is better by which figure, for a terminal."""
        names = self.names
        rows = [
            f"{figure:17} {number(value.first)} and {number(value.second)}, "
            f"difference {number(value.difference)}, p {value.chance:.3f}: "
            f"{ {'first': names[0], 'second': names[1]}.get(value.winner, 'neither') } is better"
            for figure, value in self.differences["all"].items()
        ]
        return [*self.warnings, *rows]

    def to_json(self) -> dict[str, Any]:
        """All figures and differences in values that JSON has."""
        return {
            "models": [model.to_json() for model in self.models],
            "differences": {
                subset: {figure: value.to_json() for figure, value in found.items()}
                for subset, found in self.differences.items()
            },
            "figures": [
                {name: part.to_json() for name, part in own.items()} for own in self.figures
            ],
        }

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write report.md, report.html and figures.json; gives the page."""
        folder = Path(folder)
        first, second = self.models
        sections = comparison_sections(
            self.names,
            self.rated,
            self.figures,
            self.differences,
            about=[first.about, second.about, first.about_photos(self.rated[0])],
            warnings=self.warnings,
        )
        title = f"{self.names[0]} and {self.names[1]} on {first.data}"
        _, page = write_report(folder, title, sections)
        _write_json(folder / _FIGURES, self.to_json())
        return page


def evaluate(
    scorer: Scorer,
    data: RatedSource | str | os.PathLike[str],
    *,
    split: str | None = None,
    good: float | None = None,
    precision: float = 0.9,
    force: bool = False,
    repeats: int = 1000,
    report: Report | None = None,
) -> Evaluation:
    """Judge a model by photos that people rated. Needs the extra `train`.

    Args:
        scorer: The model.
        data: A CSV, or a published set as NAME:FOLDER; with more to say of it, a `RatedSource`.
        split: Split to judge by; None for "test" where there is one, else all photos.
        good: Rating from which on a photo is good, on the ratings' scale; gives a score to cut at.
        precision: Share of good photos that is wanted above the cut; see `find_threshold`.
        force: Judge by photos that the model was trained on.
        repeats: Resamples behind the 95 % intervals.
        report: Called with photos done and photos in all.

    Raises:
        ContaminationError: The model was trained on some of the photos, and `force` is not set.
        TableError: The data cannot be read, or no photo could be scored.
    """
    source = data if isinstance(data, RatedSource) else RatedSource(data)
    table = read_source(source).table
    model = _judge(scorer, source.name, table, split, force=force, report=report)
    figures = measure_by_subset(model.rated, repeats=repeats)
    threshold = None
    if good is not None:
        placed = float(map_mean(good, table.scale, scorer.card.scale))
        threshold = find_threshold(model.rated.scores, model.rated.labels, placed, precision)
    return Evaluation(model, figures, _pair_error(model.rated), threshold)


def compare(
    first: Scorer,
    second: Scorer,
    data: RatedSource | str | os.PathLike[str],
    *,
    split: str | None = None,
    force: bool = False,
    repeats: int = 1000,
    report: Report | None = None,
) -> Comparison:
    """Judge two models by the same rated photos, with a paired test; see `evaluate`.

    Raises:
        ContaminationError: One was trained on some of the photos, and `force` is not set.
        TableError: The data cannot be read, or no photo was scored by both.
    """
    source = data if isinstance(data, RatedSource) else RatedSource(data)
    table = read_source(source).table
    models = (
        _judge(first, source.name, table, split, force=force, report=report),
        _judge(second, source.name, table, split, force=force, report=report),
    )
    rated = _on_same_photos(models)
    others = rated[1].by_subset()
    differences = {
        subset: compare_models(part, others[subset], repeats=repeats)
        for subset, part in rated[0].by_subset().items()
    }
    figures = (
        measure_by_subset(rated[0], repeats=repeats),
        measure_by_subset(rated[1], repeats=repeats),
    )
    return Comparison(models, rated, figures, differences)


def _judge(
    scorer: Scorer,
    data: str,
    source: RatingTable,
    split: str | None,
    *,
    force: bool,
    report: Report | None,
) -> JudgedModel:
    card = scorer.card
    named = split and (split_name(split) or split)
    chosen = named or ("test" if "test" in source.splits else "all")
    table = source if chosen == "all" else source.split(chosen)
    contamination = refuse_contaminated(card, table, source, force=force)
    results: list[ScoredPhoto] = []
    for result in scorer.score(table.paths):
        results.append(result)
        if report:
            report(len(results), len(table))
    failed = tuple(result.error for result in results if result.error is not None)
    rows = tuple(i for i, result in enumerate(results) if result.mean is not None)
    if not rows:
        raise TableError(f"{data}: no photo could be scored: {name_some(failed)}")
    rated = _rated(table.select(list(rows)), [results[i] for i in rows], card)
    return JudgedModel(card, results[0].model, data, chosen, rated, rows, failed, contamination)


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


def check_report_folder(folder: str | os.PathLike[str]) -> None:
    """Whether a report may be written into a folder; better asked before photos are scored.

    Raises:
        ConfigError: A file of an earlier report cannot be replaced, as another program has it open.
    """
    for path in (Path(folder, name) for name in _REPORT_FILES):
        if path.exists():
            check_output(path, "a report", ())


def _on_same_photos(judged: tuple[JudgedModel, JudgedModel]) -> tuple[RatedPhotos, RatedPhotos]:
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
        return measure_pair_error(rated.scores, rated.labels, rated.scenes, groups=rated.subsets)
    except TableError:
        return None  # too few pairs for it; the report then has no such plot


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


def _write_scores(path: Path, rated: RatedPhotos) -> None:
    columns = (rated.paths, rated.scores, rated.labels, rated.subsets, rated.scenes)
    rows = [
        (name, f"{score:.5f}", f"{label:.5f}", subset, scene)
        for name, score, label, subset, scene in zip(*columns, strict=True)
    ]
    text = csv_text([("path", "score", "label", "subset", "scene"), *rows])
    # Names that are not valid Unicode keep their bytes.
    write_whole(path, text.encode("utf-8", "surrogateescape"))
