"""The log of a run: one CSV over all stages, learning curves as a picture, Lightning's loggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import MissingExtraError
from siamese_nima.evaluation.plots import LOG_FILE, plot_learning_curves
from siamese_nima.training.config import LoggerKind
from siamese_nima.training.fit import Figures, epochs_so_far, write_log
from siamese_nima.training.watch import Watch

CURVES = ("curves.svg", "curves.png")
_HEARD_STEPS = 10  # a loss is fetched from the device, which waits for it, every so many steps


class RunLog:
    """Figures of all stages, written anew after each epoch.

    Args:
        folder: Of the run: `log.csv`, `curves.svg` and `curves.png`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stages: list[list[Figures]] = []

    @property
    def rows(self) -> list[Figures]:
        """Figures of each epoch of each stage; stages count from 1."""
        return [
            {"stage": float(number), **figures}
            for number, epochs in enumerate(self.stages, start=1)
            for figures in epochs
        ]

    def note(self, number: int, epochs: list[Figures]) -> None:
        """Write all files with what stage `number` has got to."""
        self.stages[number - 1 :] = [list(epochs)]
        write_log(self.folder / LOG_FILE, self.rows)
        for name in CURVES:
            picture = plot_learning_curves(self.rows, kind=Path(name).suffix[1:])
            write_whole(self.folder / name, picture)


class StageLog(Callback):
    """Feeds the run's log and its watcher from Lightning.

    Args:
        log: Of the run.
        number: Of the stage, from 1 on.
        watch: Hears of steps and epochs.
    """

    def __init__(self, log: RunLog, number: int, watch: Watch) -> None:
        self.run_log = log  # Lightning gives callbacks a method `log`
        self.number = number
        self.watch = watch

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell the watcher of the step."""
        del pl_module, batch
        if trainer.is_global_zero and (batch_idx % _HEARD_STEPS == 0 or trainer.is_last_batch):
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            value = float(loss) if isinstance(loss, torch.Tensor) else float("nan")
            self.watch.step(batch_idx + 1, value)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write the log; runs after the callback that collects the epoch's figures."""
        del pl_module
        if trainer.is_global_zero:
            epochs = epochs_so_far(trainer)
            self.run_log.note(self.number, epochs)
            self.watch.epoch(epochs[-1])


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
