"""How every stage runs in Lightning: checkpoints, moving average, resuming, quiet terminal."""

from __future__ import annotations

import csv
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import ConfigError

Figures = dict[str, float]
Device = Literal["auto", "cpu", "cuda", "mps"]

_FINISHED = "finished"  # a note in a stage's folder: the epochs it was finished with


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a stage trains.

    Attributes:
        device: "cpu", "cuda", "mps" (Apple), or "auto" for the best there is.
        devices: Processes per node; on a GPU machine one per GPU.
        nodes: Machines.
    """

    device: Device = "auto"
    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.device not in get_args(Device):
            wanted = ", ".join(get_args(Device))
            raise ConfigError(f"device must be one of {wanted}, got {self.device!r}")
        for name in ("devices", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.devices * self.nodes

    def trainer_arguments(self) -> dict[str, Any]:
        """What Lightning's Trainer needs to know.

        Raises:
            ConfigError: The device is not there.
        """
        there: dict[str, Callable[[], bool]] = {
            "cuda": torch.cuda.is_available,
            "mps": torch.backends.mps.is_available,
        }
        if self.device in there and not there[self.device]():
            raise ConfigError(f"device {self.device!r}: the installed torch finds none here")
        return {
            "accelerator": self.device,
            "devices": self.devices,
            "num_nodes": self.nodes,
            "strategy": "ddp" if self.processes > 1 else "auto",
            "use_distributed_sampler": False,  # loaders hand out shares themselves
        }


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
    patience: int = 0,
    report: Callable[[Figures], None] | None = None,
    callbacks: Sequence[Callback] = (),
    machine: Machine | None = None,
) -> list[Figures]:
    """Train a stage, or go on from the last finished epoch where an earlier call was stopped.

    Args:
        stage: Ends with the weights of the epoch that was best by `monitor`.
        train: Batches of an epoch.
        val: Batches of the validation photos.
        folder: Holds the checkpoints, the log (`log.csv`) and nothing else.
        epochs: Passes over `train`.
        precision: As Lightning names it.
        average_decay: Decay of the moving average of weights that is validated and kept; 0 keeps
            the last weights themselves.
        monitor: The logged figure that chooses the best epoch; see `lower_is_better`.
        patience: Stop after so many epochs without a better one; 0 never does.
        report: Called after each epoch with its figures.
        callbacks: Called by Lightning after ours; `epochs_so_far` gives them the figures.
        machine: Where to train; None for one process on the best device there is.

    Returns:
        The figures of each epoch, those before a resume included.
    """
    history = EpochHistory(report, folder)
    if not _is_finished(folder, epochs):
        mode = "min" if lower_is_better(monitor) else "max"
        keeping: Any = {"save_on_train_epoch_end": True, "enable_version_counter": False}
        every: list[Callback] = [
            history,
            ModelCheckpoint(folder, "best", monitor=monitor, mode=mode, **keeping),
        ]
        if patience:
            every.append(EarlyStopping(monitor, patience=patience, mode=mode, check_finite=False))
        every.append(ModelCheckpoint(folder, "last", **keeping))
        if average_decay:
            every.append(EMAWeightAveraging(decay=average_decay))
        _fit(stage, train, val, folder, epochs, precision, [*every, *callbacks], machine)
        (folder / _FINISHED).write_text(str(epochs))
    else:
        last = torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)
        history.load_state_dict(last["callbacks"][history.state_key])
    # Read by the path we chose: after a finished stage is found, Lightning does not know it.
    state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)
    stage.load_state_dict(state["state_dict"])
    return history.epochs


def _fit(
    stage: lightning.LightningModule,
    train: Iterable[Any],
    val: Iterable[Any],
    folder: Path,
    epochs: int,
    precision: str,
    callbacks: list[Callback],
    machine: Machine | None,
) -> None:
    last_path = folder / "last.ckpt"
    with quiet_lightning():
        trainer = lightning.Trainer(
            **(machine or Machine()).trainer_arguments(),
            max_epochs=epochs,
            precision=precision,  # type: ignore[arg-type]
            logger=False,
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


def lower_is_better(figure: str) -> bool:
    """Whether a logged figure is a distance, or a loss; all others are better the higher."""
    return figure.endswith(("emd", "loss"))


def _is_finished(folder: Path, epochs: int) -> bool:
    note = folder / _FINISHED
    return note.is_file() and note.read_text() == str(epochs)


class EpochHistory(Callback):
    """The figures of each epoch, kept in the checkpoint so that a resumed run still has them.

    Args:
        report: Called after each epoch with its figures.
        folder: Where `log.csv` is written anew after each epoch; None for nowhere.
    """

    def __init__(
        self, report: Callable[[Figures], None] | None = None, folder: Path | None = None
    ) -> None:
        self.epochs: list[Figures] = []
        self.report = report
        self.folder = folder

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note the epoch's figures and hand them on."""
        del pl_module
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": float(trainer.current_epoch), **figures})
        if not trainer.is_global_zero:
            return
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_log(self.folder / "log.csv", self.epochs)
        if self.report:
            self.report(self.epochs[-1])

    def state_dict(self) -> dict[str, Any]:
        """What goes into the checkpoint."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.epochs = list(state_dict["epochs"])


def epochs_so_far(trainer: lightning.Trainer) -> list[Figures]:
    """The figures of each epoch of the stage that a trainer runs."""
    return [
        epoch
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(callback, EpochHistory)
        for epoch in callback.epochs
    ]


def write_log(path: Path, rows: Sequence[Figures]) -> None:
    """Write figures as CSV, a row per epoch; the file appears complete or not at all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in rows)
    write_whole(path, text.getvalue().encode())


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's advice on worker processes and its talk about the machine."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", module=r"torch\.", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
