"""How a stage is trained: by Lightning, with checkpoints, resuming, and a quiet terminal."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from siamese_nima.errors import ConfigError
from siamese_nima.training.batches import Photos, load_batches
from siamese_nima.training.config import Device, StageConfig, TrainConfig
from siamese_nima.training.figures import Figures, lower_is_better, val_figures
from siamese_nima.training.samplers import InOrder
from siamese_nima.training.stage import Stage

SAVE_EVERY = timedelta(minutes=10)  # within an epoch; and at its end
_HEARD_STEPS = 10  # a loss is fetched from the device, which waits for it, every so many steps
_FINISHED = "finished"  # a note in a stage's folder: the epochs it was finished with


def machine_arguments(config: TrainConfig) -> dict[str, Any]:
    """What Lightning's Trainer needs to know of the machine.

    Raises:
        ConfigError: The device is not there, or not so many of them.
    """
    found: dict[str, Callable[[], bool]]
    found = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if config.device in found and not found[config.device]():
        raise ConfigError(f"device {config.device!r}: the installed torch finds none here")
    on_gpu = rating_device(config.device) == "cuda"
    if on_gpu and config.devices > torch.cuda.device_count():
        raise ConfigError(
            f"devices = {config.devices}: torch finds {torch.cuda.device_count()} GPUs here"
        )
    usual = "bf16-mixed" if on_gpu else "32-true"  # twice as fast there
    return {
        "accelerator": config.device,
        "devices": config.devices,
        "num_nodes": config.nodes,
        "strategy": "ddp" if config.processes > 1 else "auto",
        "precision": usual if config.precision == "auto" else config.precision,
    }


def rating_device(device: Device) -> str:
    """Where a network rates photos between stages, by torch's name."""
    return "cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"


def train_stage(
    stage: Stage,
    folder: Path,
    *,
    workers: int = 0,
    log: StageLog | None = None,
    callbacks: Sequence[Callback] = (),
    trainer: Mapping[str, Any] | None = None,
) -> list[Figures]:
    """Train, or go on where an earlier call was stopped, also within an epoch.

    Args:
        stage: Ends with the weights of the epoch that was best by its `monitor`.
        folder: Holds the checkpoints and nothing else; a finished stage found there is loaded, not
            trained again.
        workers: Processes that make batches.
        log: Hears of steps and epochs.
        callbacks: Lightning's, called after ours.
        trainer: Arguments of Lightning's Trainer: devices, precision, loggers.

    Returns:
        The figures of each epoch, those before a resume included: epoch, train_loss, train_emd,
        train_pairs, and those of `figures.val_figures`. Of an epoch that was resumed, training
        figures are those of its rest.

    Raises:
        ConfigError: The validation photos lack what the stage's `monitor` needs.
    """
    config, val, log = stage.config, stage.val, log or StageLog()
    assert val is not None
    _require_monitor(config, val)
    last, finished = folder / "last.ckpt", folder / _FINISHED
    if finished.is_file() and finished.read_text() == str(config.epochs):
        kept = torch.load(last, map_location="cpu", weights_only=True)
        log.load_state_dict(kept["callbacks"][log.state_key])
    else:
        found = last if last.exists() else None
        if found is not None:
            stage.draws.start_epoch(*_position(found))
        with quiet_lightning():
            make_trainer(
                [log, *_keeping(folder, config), *callbacks],
                max_epochs=config.epochs,
                accumulate_grad_batches=config.accumulate,
                gradient_clip_val=config.clip or None,
                **(trainer or {}),
            ).fit(
                stage,
                load_batches(stage.photos, stage.draws, config, workers=workers),
                load_batches(val, InOrder(len(val), config.batch_size), workers=workers),
                ckpt_path=found,
                weights_only=True,
            )
        finished.write_text(str(config.epochs))
    # Read by the path we chose: after a finished stage is found, Lightning does not know it.
    state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)
    stage.load_state_dict(state["state_dict"])
    stage.eval()
    return log.epochs


def _keeping(folder: Path, config: StageConfig) -> Iterator[Callback]:
    """What keeps the best epoch, the last one and what is between, and what averages weights."""
    mode = "min" if lower_is_better(config.monitor) else "max"
    keeping: Any = {"enable_version_counter": False}
    at_end = keeping | {"save_on_train_epoch_end": True}
    yield ModelCheckpoint(folder, "best", monitor=config.monitor, mode=mode, **at_end)
    if config.patience:
        yield EarlyStopping(config.monitor, patience=config.patience, mode=mode, check_finite=False)
    yield ModelCheckpoint(folder, "last", **at_end)
    yield ModelCheckpoint(folder, "last", train_time_interval=SAVE_EVERY, **keeping)
    if config.average_decay:
        yield MovingAverage(config.average_decay)


def _require_monitor(config: StageConfig, val: Photos) -> None:
    perfect = val.labels.distributions.nan_to_num(1 / val.scale.size)
    possible = val_figures(perfect, val, config)
    if config.monitor not in possible:
        raise ConfigError(
            f"the {len(val)} validation photos give no {config.monitor} to choose the best epoch "
            f"by; they give {', '.join(possible)}"
        )


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


class MovingAverage(WeightAveraging):
    """Lightning's moving average of all weights, on the device where these are trained.

    Lightning makes it before it moves the weights, and then fetches all of them after each step.
    """

    def __init__(self, decay: float) -> None:
        step = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        super().__init__(multi_avg_fn=step)

    def on_fit_start(self, _: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Follow the weights; the number of steps stays where Python asks for it."""
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)


class StageLog(Callback):
    """The figures of each epoch, kept in the checkpoint so that a resumed run still has them.

    Args:
        report: Called by the first process after each epoch, with the figures of all so far.
        step: Called by the first process with the number of a step of the epoch, from 1 on, and
            its loss; of each tenth.

    Attributes:
        epochs: The figures.
    """

    def __init__(
        self,
        report: Callable[[list[Figures]], None] | None = None,
        step: Callable[[int, float], None] | None = None,
    ) -> None:
        self.epochs: list[Figures] = []
        self.report = report
        self.step = step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, __: Any, batch_idx: int
    ) -> None:
        """Tell of the step."""
        heard = batch_idx % _HEARD_STEPS == 0 or trainer.is_last_batch
        if self.step and heard and trainer.is_global_zero:
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            self.step(batch_idx + 1, float(loss))

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        """Note the epoch's figures and hand them on."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": float(trainer.current_epoch), **figures})
        if self.report and trainer.is_global_zero:
            self.report(self.epochs)

    def state_dict(self) -> dict[str, Any]:
        """What goes into the checkpoint."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.epochs = list(state_dict["epochs"])


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
    with warnings.catch_warnings(), ExitStack() as after:
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module=r"torch\.", category=FutureWarning)
        for logger in map(logging.getLogger, ("lightning.pytorch", "lightning.fabric")):
            after.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield
