"""What a run leaves of its figures: one CSV over all stages, curves, Lightning's loggers."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import MissingExtraError, NimaError
from siamese_nima.evaluation.plots import LOG_FILE, plot_learning_curves
from siamese_nima.training.config import LoggerKind
from siamese_nima.training.figures import Figures
from siamese_nima.training.watch import Watch

CURVES = ("curves.svg", "curves.png")
_CURVES_EVERY_S = 30.0  # drawing takes about a second


class RunLog:
    """Figures of all stages, written after each epoch; curves are drawn twice a minute at most.

    A file that another program holds open, as spreadsheets do, is written after a later epoch: a
    training does not end at it.

    Args:
        folder: Of the run: `log.csv`, `curves.svg` and `curves.png`.
        watch: Hears of epochs, and which files could not be written.
        write: Whether this process does.

    Attributes:
        rows: Figures of each epoch of each stage; stages count from 1.
    """

    def __init__(self, folder: Path, watch: Watch, *, write: bool = True) -> None:
        self.folder, self.watch, self.write = folder, watch, write
        self.rows: list[Figures] = []
        self._drawn = time.monotonic()

    def note(self, stage: int, epochs: Sequence[Figures], *, ended: bool = False) -> None:
        """Write what a stage has got to: another epoch, or its end."""
        before = [row for row in self.rows if row["stage"] < stage]
        self.rows = before + [{"stage": float(stage), **figures} for figures in epochs]
        if not self.write:
            return
        files = {LOG_FILE: _as_csv(self.rows)}
        if ended or time.monotonic() - self._drawn > _CURVES_EVERY_S:
            files |= {n: plot_learning_curves(self.rows, kind=Path(n).suffix[1:]) for n in CURVES}
            self._drawn = time.monotonic()
        for name, content in files.items():
            try:
                write_whole(self.folder / name, content)
            except NimaError as error:
                self.watch.note(f"{error}; training goes on, and the file is as it was")
        if not ended:
            self.watch.epoch(epochs[-1])


def _as_csv(rows: Sequence[Figures]) -> bytes:
    text, names = io.StringIO(), dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def loggers_of(kinds: Sequence[LoggerKind], folder: Path, name: str, stage: int) -> list[Logger]:
    """Lightning's loggers of a stage; what they keep on this machine lies below the run's folder.

    Raises:
        MissingExtraError: One needs a package that is not installed.
    """
    version, tracked = f"stage{stage}", (folder / "mlruns").resolve().as_uri()
    makers: dict[LoggerKind, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoardLogger(folder, "tensorboard", version),
        "csv": lambda: CSVLogger(folder, "csv", version),
        "wandb": lambda: WandbLogger(f"{name}-{version}", folder),
        "mlflow": lambda: MLFlowLogger(name, version, tracking_uri=tracked),
    }
    try:
        return [makers[kind]() for kind in kinds]
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"a logger of this run is not installed: {error}") from error
