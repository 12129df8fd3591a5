"""How every stage runs in Lightning: checkpoints, moving average, resuming, quiet terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

Figures = dict[str, float]


def fit_stage(
    stage: lightning.LightningModule,
    train: Iterable[Any],
    val: Iterable[Any],
    folder: Path,
    *,
    epochs: int,
    precision: str,
    average_decay: float,
    monitor: str,
    report: Callable[[Figures], None] | None = None,
) -> list[Figures]:
    """Train a stage, or go on from the last finished epoch where an earlier call was stopped.

    Args:
        stage: Ends with the weights of the epoch that was best by `monitor`.
        train: Batches of an epoch.
        val: Batches of the validation photos.
        folder: Holds the checkpoints, the CSV log and nothing else.
        epochs: Passes over `train`.
        precision: As Lightning names it.
        average_decay: Decay of the moving average of weights that is validated and kept; 0 keeps
            the last weights themselves.
        monitor: The logged figure that chooses the best epoch; higher is better.
        report: Called after each epoch with its figures.

    Returns:
        The figures of each epoch, those before a resume included.
    """
    history = EpochHistory(report)
    keeping: Any = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    callbacks: list[Callback] = [
        history,
        ModelCheckpoint(folder, "best", monitor=monitor, mode="max", **keeping),
        ModelCheckpoint(folder, "last", **keeping),
    ]
    if average_decay:
        callbacks.append(EMAWeightAveraging(decay=average_decay))
    last_path = folder / "last.ckpt"
    with quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            max_epochs=epochs,
            precision=precision,  # type: ignore[arg-type]
            logger=CSVLogger(folder, name="log", version=""),
            callbacks=callbacks,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(
            stage,
            train,
            val,
            ckpt_path=last_path if last_path.exists() else None,
            weights_only=True,
        )
    # Read by the path we chose: after a finished stage is found, Lightning does not know it.
    state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)
    stage.load_state_dict(state["state_dict"])
    return history.epochs


class EpochHistory(Callback):
    """The figures of each epoch, kept in the checkpoint so that a resumed run still has them."""

    def __init__(self, report: Callable[[Figures], None] | None = None) -> None:
        self.epochs: list[Figures] = []
        self.report = report

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note the epoch's figures and hand them on."""
        del pl_module
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": float(trainer.current_epoch), **figures})
        if self.report:
            self.report(self.epochs[-1])

    def state_dict(self) -> dict[str, Any]:
        """What goes into the checkpoint."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.epochs = list(state_dict["epochs"])


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's advice on worker processes and its talk about the machine."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", module=r"torch\.", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
