"""Plots of a report, as SVG text. Needs matplotlib, which the training extra brings."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siamese_nima.evaluation.calibration import CalibrationRow
from siamese_nima.evaluation.pairs_by_gap import GapAccuracy
from siamese_nima.evaluation.rated_photos import RatedPhotos
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
