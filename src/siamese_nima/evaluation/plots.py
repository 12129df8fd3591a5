"""Plots and learning curves of a report. Needs matplotlib, which the training extra brings."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from siamese_nima.csv_rows import read_table
from siamese_nima.errors import TableError
from siamese_nima.evaluation.document import Picture, Section
from siamese_nima.evaluation.figures import RatedPhotos
from siamese_nima.evaluation.metrics import CalibrationRow
from siamese_nima.evaluation.pairs import GapAccuracy
from siamese_nima.pair_error import WANTED, PairError
from siamese_nima.ratings import RatingScale

# Told apart by people with any colour vision too (Okabe and Ito, "Color universal design", 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#666666"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "legend.frameon": False,
    "svg.hashsalt": "siamese-nima",  # the same plot is the same file
}


def plot_scores(rated: RatedPhotos) -> str:
    """Score against label, a point per photo, a colour per subset where they are few."""
    names = sorted(set(rated.subsets))
    parts = rated.by_subset() if 1 < len(names) <= len(COLOURS) else {"": rated}
    with mpl.rc_context(STYLE):
        figure, axes = _square(rated.scale, "people's mean score", "model's score")
        size = 14 if len(rated) < 1000 else 6
        for colour, (name, part) in zip(
            COLOURS, ((n, p) for n, p in parts.items() if n != "all"), strict=False
        ):
            axes.scatter(
                part.labels,
                part.scores,
                s=size,
                alpha=0.45,
                color=colour,
                linewidths=0,
                label=name,
                rasterized=True,
            )
        if len(parts) > 1:
            legend = figure.legend(
                loc="outside upper center", ncols=3, markerscale=3 if size < 10 else 2
            )
            for handle in legend.legend_handles:
                if handle is not None:
                    handle.set_alpha(1)
        return _svg(figure)


def plot_calibration(table: tuple[CalibrationRow, ...], scale: RatingScale) -> str:
    """Mean label against mean score of photos of similar score, with 95 % intervals."""
    with mpl.rc_context(STYLE):
        figure, axes = _square(scale, "model's score", "people's mean score")
        axes.errorbar(
            [row.score for row in table],
            [row.label for row in table],
            yerr=[1.96 * row.label_error for row in table],
            fmt="o-",
            color=COLOURS[0],
            capsize=3,
            markersize=5,
            linewidth=1.2,
        )
        return _svg(figure)


def plot_gaps(models: Mapping[str, tuple[GapAccuracy, ...]]) -> str:
    """Accuracy of pairs by gap of the labels, with 95 % intervals, a colour per model."""
    labels = [f"{row.low:.2g} to {row.high:.2g}" for row in next(iter(models.values()))]
    places = np.arange(len(labels))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, rows) in enumerate(models.items()):
            found = [row.accuracy for row in rows]
            below = [shown.value - shown.low for shown in found]
            above = [shown.high - shown.value for shown in found]
            reach = np.clip(np.nan_to_num(np.array([below, above])), 0, None)
            axes.errorbar(
                places + 0.16 * (number - (len(models) - 1) / 2),
                [100 * shown.value for shown in found],
                yerr=100 * reach,
                fmt="o",
                color=COLOURS[number],
                markersize=7,
                capsize=4,
                label=name,
            )
        _level(axes, 50, "chance")
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(45, 101)
        axes.set_xticks(places, labels)
        axes.set_xlabel("gap of people's mean scores (points)")
        axes.set_ylabel("pairs in the right order (%)")
        if len(models) > 1:
            figure.legend(loc="outside upper center", ncols=2)
        return _svg(figure)


def plot_pair_error(error: PairError) -> str:
    """Probability of the right order by score gap, with its lower bound and the wanted level."""
    gaps, percent = np.array(error.gaps), 100 * np.array([error.accuracy, error.lower])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.fill_between(gaps, percent[1], percent[0], color=COLOURS[0], alpha=0.25, linewidth=0)
        axes.plot(gaps, percent[0], color=COLOURS[0], label="measured")
        axes.plot(gaps, percent[1], color=COLOURS[0], linewidth=0.8, label="lower bound (95 %)")
        _level(axes, 100 * WANTED, "wanted")
        closest = error.closest_call()
        if closest is not None:
            axes.axvspan(0, closest, color=GREY, alpha=0.12, linewidth=0)
            axes.annotate(
                "too close to call",
                (closest, 51),
                (-4, 0),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="bottom",
                fontsize=8,
                color=GREY,
            )
        axes.set_xlim(0, gaps[-1])
        axes.set_ylim(50, 100)
        axes.set_xlabel("gap of the model's scores (points)")
        axes.set_ylabel("pairs in the right order (%)")
        figure.legend(loc="outside upper center", ncols=2)
        return _svg(figure)


def _square(scale: RatingScale, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    limits = (scale.low, scale.high)
    axes.plot(limits, limits, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    if scale.size <= 11:
        axes.set_xticks(scale.grades)
        axes.set_yticks(scale.grades)
    axes.set_xlabel(f"{x_label} ({scale})")
    axes.set_ylabel(f"{y_label} ({scale})")
    return figure, axes


def _level(axes: Axes, percent: float, name: str) -> None:
    """A dashed line across, named at its right end outside the plot."""
    axes.axhline(percent, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        name,
        (1, percent),
        (3, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=GREY,
    )


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return file.getvalue()


LOG_FILE = "log.csv"

Row = Mapping[str, float]

# Figures of the log and their names for people.
_LOSSES = {
    "train_emd": "EMD, train",
    "val_emd": "EMD, val",
}
_OBJECTIVES = {"train_loss": "loss, train", "val_loss": "loss, val"}
_AGREEMENT = {
    "val_srcc": "SRCC",
    "val_plcc": "PLCC",
    "val_pair_accuracy": "pairs in the right order",
    "val_scene_accuracy": "same-scene pairs",
    "val_ladder_accuracy": "ladder pairs",
}
_PANELS = (
    ("earth mover's distance", _LOSSES),
    ("loss of the Siamese stage", _OBJECTIVES),
    ("agreement on val", _AGREEMENT),
)


def log_of(model: str, given: Path | None = None) -> Path | None:
    """The log of the run that a model is from; None where a model has none beside it.

    Args:
        model: Name or path of the model.
        given: The run's folder, or the log itself.

    Raises:
        TableError: There is no log at `given`.
    """
    place = Path(model).parent if given is None else given
    log = place if place.name == LOG_FILE else place / LOG_FILE
    if given is None:
        # A name is no path; a log.csv in the current folder has nothing to do with it.
        return log if Path(model).is_file() and log.is_file() else None
    if not log.is_file():
        raise TableError(f"{given}: no {LOG_FILE} of a training run there")
    return log


def learning_section(log: Path) -> Section:
    """The curves, for a report.

    Raises:
        TableError: Not a training log.
    """
    rows = read_log(log)
    stages = len({row["stage"] for row in rows})
    text = f"{len(rows)} epochs in {stages} stage{'s' if stages > 1 else ''}, on val photos."
    picture = Picture("learning-curves.svg", plot_learning_curves(rows), "Figures of each epoch")
    return Section(title="Learning curves", paragraphs=[text], plots=[picture])


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a training log, one per epoch; a figure that an epoch lacks is left out.

    Raises:
        TableError: Not a training log.
    """
    try:
        read = [
            {name: row.number(name) for name, text in row.cells.items() if text}
            for row in read_table(path)
        ]
    except TableError as error:
        raise TableError(f"{path}: not a training log ({error})") from error
    if not read or not all({"stage", "epoch"} <= set(row) for row in read):
        raise TableError(f"{path}: not a training log (a row has no stage or no epoch)")
    return read


def plot_learning_curves(rows: Sequence[Row], *, kind: str = "svg") -> bytes:
    """Figures of each epoch, one panel for each sort; stages stand one after the other.

    Args:
        rows: As `read_log` gives them.
        kind: "svg" or "png".
    """
    panels = [
        (title, {name: label for name, label in names.items() if any(name in row for row in rows)})
        for title, names in _PANELS
    ]
    panels = [(title, names) for title, names in panels if names]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.4 + 2.4 * max(1, len(panels))), layout="constrained")
        for place, (title, names) in enumerate(panels, start=1):
            axes = figure.add_subplot(max(1, len(panels)), 1, place)
            _draw(axes, rows, names)
            axes.set_title(title, loc="left", fontsize=10)
            if place == len(panels):
                axes.set_xlabel("epoch, over all stages")
        file = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=150, metadata=metadata)
    return file.getvalue()


def _draw(axes: Axes, rows: Sequence[Row], names: Mapping[str, str]) -> None:
    for colour, (name, label) in zip(COLOURS, names.items(), strict=False):
        shown = [row.get(name, math.nan) for row in rows]
        places = range(1, len(rows) + 1)
        axes.plot(places, shown, "o-", color=colour, markersize=3.5, linewidth=1.4, label=label)
    stages = [row.get("stage", 1.0) for row in rows]
    for place in range(1, len(rows)):
        if stages[place] != stages[place - 1]:
            axes.axvline(place + 0.5, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
            axes.annotate(
                f"stage {stages[place]:.0f}",
                (place + 0.5, 1),
                (3, -2),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color=GREY,
            )
    axes.set_xlim(0.5, max(len(rows), 2) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
