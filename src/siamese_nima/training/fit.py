"""How every stage runs in Lightning: checkpoints, moving average, resuming, quiet terminal."""

from __future__ import annotations

import csv
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn

from siamese_nima.atomic_write import write_whole
from siamese_nima.errors import ConfigError
from siamese_nima.training.config import Device, StageConfig
from siamese_nima.training.samplers import Draws

Figures = dict[str, float]

SAVE_EVERY = timedelta(minutes=10)  # within an epoch; and at its end
_FINISHED = "finished"  # a note in a stage's folder: the epochs it was finished with


def machine_arguments(device: Device = "auto", devices: int = 1, nodes: int = 1) -> dict[str, Any]:
    """What Lightning's Trainer needs to know of the machine.

    Raises:
        ConfigError: The device is not there.
    """
    there: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if device in there and not there[device]():
        raise ConfigError(f"device {device!r}: the installed torch finds none here")
    return {
        "accelerator": device,
        "devices": devices,
        "num_nodes": nodes,
        "strategy": "ddp" if devices * nodes > 1 else "auto",
    }


def fit(
    stage: lightning.LightningModule,
    train: Iterable[Any],
    val: Iterable[Any],
    folder: Path,
    *,
    config: StageConfig,
    draws: Draws,
    report: Callable[[Figures], None] | None = None,
    callbacks: Sequence[Callback] = (),
    trainer: Mapping[str, Any],
) -> list[Figures]:
    """Train a stage, or go on where an earlier call was stopped, also within an epoch.

    Args:
        stage: Ends with the weights of the epoch that was best by `config.monitor`.
        train: Batches of an epoch.
        val: Batches of the validation photos.
        folder: Holds the checkpoints, the log (`log.csv`) and nothing else.
        config: Epochs, moving average (with a number), monitor, patience and so on.
        draws: Of `train`; told where to go on.
        report: Called after each epoch with its figures.
        callbacks: Called by Lightning after ours; `epochs_so_far` gives them the figures.
        trainer: Arguments of Lightning's Trainer.

    Returns:
        The figures of each epoch, those before a resume included. Of an epoch that was resumed,
        training figures are those of its rest.
    """
    history = EpochHistory(report, folder)
    last_path = folder / "last.ckpt"
    if not _is_finished(folder, config.epochs):
        mode = "min" if lower_is_better(config.monitor) else "max"
        keeping: Any = {"enable_version_counter": False}
        at_end = keeping | {"save_on_train_epoch_end": True}
        best = ModelCheckpoint(folder, "best", monitor=config.monitor, mode=mode, **at_end)
        every: list[Callback] = [history, best]
        if config.patience:
            every.append(
                EarlyStopping(
                    config.monitor, patience=config.patience, mode=mode, check_finite=False
                )
            )
        every.append(ModelCheckpoint(folder, "last", **at_end))
        every.append(ModelCheckpoint(folder, "last", train_time_interval=SAVE_EVERY, **keeping))
        if config.average_decay:
            every.append(MovingAverage(config.average_decay))
        found = last_path if last_path.exists() else None
        if found is not None:
            draws.start_epoch(*_position(found))
        with quiet_lightning():
            make_trainer(
                [*every, *callbacks],
                max_epochs=config.epochs,
                accumulate_grad_batches=config.accumulate,
                gradient_clip_val=config.clip or None,
                **trainer,
            ).fit(stage, train, val, ckpt_path=found, weights_only=True)
        (folder / _FINISHED).write_text(str(config.epochs))
    else:
        last = torch.load(last_path, map_location="cpu", weights_only=True)
        history.load_state_dict(last["callbacks"][history.state_key])
    # Read by the path we chose: after a finished stage is found, Lightning does not know it.
    state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)
    stage.load_state_dict(state["state_dict"])
    return history.epochs


def make_trainer(callbacks: Sequence[Callback], **arguments: Any) -> lightning.Trainer:
    """Lightning's Trainer, without what this package does itself."""
    defaults = {
        "logger": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,  # loaders hand out shares themselves
    }
    return lightning.Trainer(**(defaults | arguments), callbacks=list(callbacks))


def _position(checkpoint: Path) -> tuple[int, int]:
    """The epoch to go on with, and its first batch that has not been trained on."""
    loops = torch.load(checkpoint, map_location="cpu", weights_only=True)["loops"]["fit_loop"]
    epochs = loops["epoch_progress"]["current"]
    if epochs["ready"] == epochs["processed"]:
        return epochs["processed"], 0
    return epochs["processed"], loops["epoch_loop.batch_progress"]["current"]["ready"]


def lower_is_better(figure: str) -> bool:
    """Whether a logged figure is a distance, or a loss; all others are better the higher."""
    return figure.endswith(("emd", "loss"))


def _is_finished(folder: Path, epochs: int) -> bool:
    note = folder / _FINISHED
    return note.is_file() and note.read_text() == str(epochs)


class MovingAverage(WeightAveraging):
    """Lightning's moving average of all weights, on the device where these are trained.

    Lightning makes it before it moves the weights, and then fetches all of them after each step.
    """

    def __init__(self, decay: float) -> None:
        step = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        super().__init__(multi_avg_fn=step)

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Follow the weights; the number of steps stays where Python asks for it."""
        del trainer
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)


class EpochHistory(Callback):
    """The figures of each epoch, kept in the checkpoint so that a resumed run still has them.

    Args:
        report: Called after each epoch with its figures.
        folder: Where `log.csv` is written anew after each epoch; None for nowhere.
        names: Other names for figures; those that are not named are left out. None for all as they
            are.
    """

    def __init__(
        self,
        report: Callable[[Figures], None] | None = None,
        folder: Path | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.epochs: list[Figures] = []
        self.report = report
        self.folder = folder
        self.names = names

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note the epoch's figures and hand them on."""
        del pl_module
        figures = figures_of(trainer, self.names)
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


def figures_of(trainer: lightning.Trainer, names: Mapping[str, str] | None = None) -> Figures:
    """The epoch's figures as numbers; see `EpochHistory` for `names`."""
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if names is None:
        return figures
    return {
        names.get(name, name): value
        for name, value in figures.items()
        if name in names or name.startswith("val_")
    }


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


def is_first_process() -> bool:
    """Whether this is the first of all, by what the program that started it says.

    Known before the processes find each other: torchrun and SLURM number all of them, Lightning the
    nodes and those of a node.
    """
    for of_all in ("RANK", "SLURM_PROCID"):
        if of_all in os.environ:
            return os.environ[of_all] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("NODE_RANK", "LOCAL_RANK"))


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
