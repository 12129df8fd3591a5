"""What a run leaves of its figures: one CSV over all stages, curves, Lightning's loggers."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from functools import partial
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
from siamese_nima.training.fit import Figures
from siamese_nima.training.watch import Watch

CURVES = ("curves.svg", "curves.png")
_CURVES_EVERY_S = 30.0


class RunLog:
    """Figures of all stages, written after each epoch; curves are drawn twice a minute at most.

    A file that another program holds open, as spreadsheets do, is written after a later epoch: a
    training does not end at it.

    Args:
        folder: Of the run: `log.csv`, `curves.svg` and `curves.png`.
        watch: Told which files could not be written.
    """

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch
        self.stages: list[list[Figures]] = []
        self._drawn = time.monotonic()

    @property
    def rows(self) -> list[Figures]:
        """Figures of each epoch of each stage; stages count from 1."""
        return [
            {"stage": float(number), **figures}
            for number, epochs in enumerate(self.stages, start=1)
            for figures in epochs
        ]

    def note(self, number: int, epochs: list[Figures]) -> None:
        """Write what stage `number` has got to."""
        self.stages[number - 1 :] = [list(epochs)]
        self._write(lambda: write_log(self.folder / LOG_FILE, self.rows))
        if time.monotonic() - self._drawn > _CURVES_EVERY_S:
            self.draw()

    def draw(self) -> None:
        """Draw the curves, which takes about a second."""
        for name in CURVES:
            picture = plot_learning_curves(self.rows, kind=Path(name).suffix[1:])
            self._write(partial(write_whole, self.folder / name, picture))
        self._drawn = time.monotonic()

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except NimaError as error:
            self.watch.note(f"{error}; training goes on, and the file is as it was")


def write_log(path: Path, rows: Sequence[Figures]) -> None:
    """Write figures as CSV, a row per epoch; the file appears complete or not at all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in rows)
    write_whole(path, text.getvalue().encode())


def loggers_of(kinds: Sequence[LoggerKind], folder: Path, name: str, stage: int) -> list[Logger]:
    """Lightning's loggers of a stage; what they keep on this machine lies below the run's folder.

    Raises:
        MissingExtraError: One needs a package that is not installed.
    """
    version = f"stage{stage}"

    def made(kind: LoggerKind) -> Logger:
        match kind:
            case "tensorboard":
                return TensorBoardLogger(folder, "tensorboard", version)
            case "csv":
                return CSVLogger(folder, "csv", version)
            case "wandb":
                return WandbLogger(f"{name}-{version}", folder)
            case "mlflow":
                tracked = folder / "mlruns"
                return MLFlowLogger(name, version, tracking_uri=tracked.resolve().as_uri())

    try:
        return [made(kind) for kind in kinds]
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"a logger of this run is not installed: {error}") from error
