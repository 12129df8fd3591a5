"""Learning curves: what training logged epoch by epoch, read back and drawn."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from siamese_nima.errors import TableError
from siamese_nima.evaluation.document import Picture, Section
from siamese_nima.evaluation.plots import COLOURS, GREY, STYLE

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
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        read = [{name: float(text) for name, text in row.items() if text} for row in rows]
    except (OSError, ValueError, TypeError, csv.Error) as error:
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
