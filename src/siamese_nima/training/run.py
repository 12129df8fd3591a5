"""Train a network from photos and ratings to a model file: what `nima train` does."""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from siamese_nima.atomic_write import clear_away, write_whole
from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import LiveViews
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.network_model import NetworkModel
from siamese_nima.networks.onnx_export import export_onnx, write_card
from siamese_nima.networks.quantised_mobilenet import reinsert_batch_norm
from siamese_nima.ratings import Floats, mean
from siamese_nima.scoring.model import ModelFile
from siamese_nima.training.calibration import calibrate
from siamese_nima.training.card import (
    TEST_FIGURES,
    VAL_FIGURES,
    agreement,
    distributions_of,
    problem_of,
    trained_card,
    with_figures,
)
from siamese_nima.training.config import TrainConfig, config_from
from siamese_nima.training.data import (
    RECORD_FILE,
    SplitViews,
    cut_views,
    data_digest,
    read_tables,
)
from siamese_nima.training.fit import (
    Figures,
    StageLog,
    best_of,
    chosen_precision,
    is_first_process,
    machine_arguments,
    rating_device,
)
from siamese_nima.training.run_log import RunLog, loggers_of
from siamese_nima.training.run_stage import StageRun, describe_stage
from siamese_nima.training.start import Start, read_start
from siamese_nima.training.watch import Watch

CONFIG_FILE = "config.toml"
MODEL_FILE, CHECKPOINT_FILE = "model.onnx", "checkpoint.safetensors"
_CALIBRATION_PHOTOS = 512
# What does not change the result, or is known by its digest, wherever it lies.
_FREE = (
    *("device", "devices", "nodes", "cache", "out", "workers", "loggers"),
    *("start", "data.source", "data.photos", "data.splits"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """What came out of a run.

    Attributes:
        folder: Holds everything.
        model: The model file.
        checkpoint: The same network to train on.
        card: Its card, figures on val photos included.
        epochs: The figures of each epoch of each stage.
        before: Figures on val photos of the network that training started from; None where its
            head was new.
        after: Those of the trained one.
        test: Those of the trained one on test photos; None where there are none.
        problem: Why it should not be used; None where nothing speaks against it.
    """

    folder: Path
    model: Path
    checkpoint: Path
    card: ModelCard
    epochs: list[Figures]
    before: dict[str, Any] | None
    after: dict[str, Any]
    test: dict[str, Any] | None = None
    problem: str | None = None


def train(config: TrainConfig, watch: Watch | None = None) -> TrainedRun:
    """Train, or go on where the same run was stopped: it ends with the same weights.

    Args:
        config: What to do.
        watch: Hears how far it is; None for silence.

    Returns:
        The results; they lie in `config.out`: model.onnx for `nima score`, checkpoint.safetensors,
        config.toml, log.csv, curves.svg and curves.png,
        splits.csv where photos had no splits, and for TensorBoard the folder tensorboard.

    Raises:
        ConfigError: `config.out` holds another run, or the data do not suit the configuration.
        TableError: Photos or ratings cannot be read.
        WeightsError: What to start from cannot be read.
    """
    first = is_first_process()
    watch = watch if watch is not None and first else Watch()
    _claim(config)
    tables = read_tables(config, watch)
    start = read_start(
        config.start,
        view=config.view,
        scale=config.scale,
        seed=config.seed,
        levels=config.levels,
    )
    if config.start_sha256 not in (None, start.digest):
        raise WeightsError(
            f"{config.start}: its SHA-256 is {start.digest}, start_sha256 wants "
            f"{config.start_sha256}; get the file that the recipe was written for"
        )
    _record(config, data_digest(tables), start.digest)
    cache = config.cache or config.out / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    run = _trained(config, tables, start, cache, watch, write=first)
    if config.cache is None and first and (problem := clear_away(cache)):
        watch.note(problem)
    return run


def _trained(
    config: TrainConfig,
    tables: dict[str, RatingTable],
    start: Start,
    cache: Path,
    watch: Watch,
    *,
    write: bool,
) -> TrainedRun:
    """The run; only its variables keep files of the cache mapped into memory."""
    splits = cut_views(tables, start.card.view, config, cache, watch)
    _measure_norms(start, config, splits)
    stages = _train_stages(config, start, splits, cache, watch)
    return _finish(config, start, tables, stages, write=write)


class _Stages(NamedTuple):
    """What the stages leave: figures of each epoch, rating distributions of val photos, shares.

    Distributions are of the network that training started from (None where its head was new), and
    of the trained one. Shares are those of each stage that was mixed with what was before it.
    """

    epochs: list[Figures]
    before: Floats | None
    after: Floats
    shares: dict[str, float]


def _train_stages(
    config: TrainConfig, start: Start, splits: dict[str, SplitViews], cache: Path, watch: Watch
) -> _Stages:
    machine = machine_arguments(config.device, config.devices, config.nodes)
    machine["precision"] = chosen_precision(config.precision, config.device)
    device = rating_device(config.device)
    nima = start.nima.to(memory_format=torch.channels_last)
    kept: Figures = {}  # of the best epoch so far, or of the start
    first, shares = None, {}
    log = RunLog(config.out, watch)

    def report(number: int, epochs: list[Figures]) -> None:
        log.note(number, epochs)
        watch.epoch(epochs[-1])

    for number, plan in enumerate(config.stage, start=1):
        before = copy.deepcopy(nima.state_dict())
        stage = StageRun(number, nima, start.card, plan, splits, cache, watch, device=device)
        if number == 1 and not start.new_head:
            kept, first = stage.figures(), stage.rated()
        watch.start_stage(describe_stage(number, plan), plan.epochs, stage.steps)
        epochs = stage.fit(
            config.out / f"stage{number}",
            seed=config.seed + number,
            workers=config.workers,
            log=StageLog(partial(report, number), watch.step),
            trainer=machine
            | {"logger": loggers_of(config.loggers, config.out, config.name, number)},
        )
        watch.end_stage()
        if is_first_process():
            log.note(number, epochs)
        else:
            log.stages[number - 1 :] = [epochs]
        best = epochs[best_of(dict(enumerate(epochs)), plan.monitor)]
        if plan.blend:
            share, best = stage.blend(before)
            shares[f"stage {number}"] = share
            watch.note(
                f"mixed: {share:.0%} of stage {number} and {1 - share:.0%} of what was before it, "
                f"{plan.monitor} {best[plan.monitor]:.3f}"
            )
        reached = kept.get(plan.monitor)
        if reached is not None and best_of({0: kept, 1: best}, plan.monitor) == 0:
            earlier = "start" if number == 1 else "stage before"
            watch.note(
                f"stage {number} has not bettered {plan.monitor} {reached:.3f} of the {earlier}; "
                "the network stays as it was before it"
            )
            nima.cpu().load_state_dict(before)
        else:
            kept = best
    nima.cpu().eval()
    if is_first_process():
        log.draw()
    return _Stages(log.rows, first, stage.rated(), shares)


def _finish(
    config: TrainConfig,
    start: Start,
    tables: dict[str, RatingTable],
    stages: _Stages,
    *,
    write: bool,
) -> TrainedRun:
    card, val = trained_card(start, tables["train"], config), tables["val"]
    if stages.shares:
        card = replace(card, training={**card.training, "mixed": stages.shares})
    if config.spread_ratio is not None:
        numbers, scores = calibrate(
            start.nima.head,
            stages.after,
            val.means(card.scale),
            card.scale,
            spread_ratio=config.spread_ratio,
        )
        card = replace(card, training={**card.training, "calibration": numbers})
    else:
        scores = mean(stages.after, card.scale)
    model, checkpoint = config.out / MODEL_FILE, config.out / CHECKPOINT_FILE
    if write:
        card = export_onnx(start.nima, card, model, storage=config.storage)
    judged = None
    if "test" in tables and len(tables["test"]):
        live = LiveViews(tables["test"], card.view)
        device = rating_device(config.device)
        if device == "cpu" and write:  # the file is what will be used, and there it is faster
            rated = distributions_of(ModelFile(model, threads=usable_cores()), live)
        else:
            rated = distributions_of(NetworkModel(start.nima.to(device), card), live)
            start.nima.cpu()
        judged = tables["test"], mean(rated, card.scale)
    before = None
    if stages.before is not None:
        before = agreement(mean(stages.before, card.scale), val, card)
    card = with_figures(card, val, scores, before, judged)
    if write:
        write_card(model, card)
        save_checkpoint(checkpoint, start.nima, card)
    return TrainedRun(
        folder=config.out,
        model=model,
        checkpoint=checkpoint,
        card=card,
        epochs=stages.epochs,
        before=before,
        after=card.metrics[VAL_FIGURES],
        test=card.metrics.get(TEST_FIGURES),
        problem=problem_of(scores, card.metrics[VAL_FIGURES], before, card),
    )


def _measure_norms(start: Start, config: TrainConfig, splits: dict[str, SplitViews]) -> None:
    """Weights without batch-norm statistics get those of the training photos."""
    if Path(config.start).suffix != ".tflite":
        return
    inputs = splits["train"].views
    every = max(1, inputs.shape[1] // _CALIBRATION_PHOTOS)
    pixels = np.stack([inputs[0, row][0] for row in range(0, inputs.shape[1], every)])
    reinsert_batch_norm(start.nima.backbone, start.card.normalisation, pixels)


def _claim(config: TrainConfig) -> None:
    """Make the run's folder, or see that it does not hold another run.

    Raises:
        ConfigError: It holds another one.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    kept = config.out / CONFIG_FILE
    if not kept.is_file():
        return
    found = config_from(tomllib.loads(kept.read_text(encoding="utf-8")))
    had, has = _settings(found.entries()), _settings(config.entries())
    changed = [
        f"{name}: {had.get(name)} there, {has.get(name)} now"
        for name in {**had, **has}
        if name not in _FREE and had.get(name) != has.get(name)
    ]
    if changed:
        raise ConfigError(
            f"{config.out} holds a run with other settings ({'; '.join(changed[:5])}). Give "
            "another folder with out (--out), or delete this one."
        )


def _settings(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Entries of a configuration by names such as "data.scale" and "stage 2.epochs"."""
    settings: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            settings |= _settings(value, f"{prefix}{name}.")
        elif name == "stage":
            for number, entries in enumerate(value, start=1):
                settings |= _settings(entries, f"stage {number}.")
        else:
            settings[prefix + name] = value
    return settings


def _record(config: TrainConfig, data: str, start: str | None) -> None:
    """Note what the run is and is made of, or see that it is made of the same still.

    Raises:
        ConfigError: Photos, ratings, splits or the network to start from are others.
    """
    path = config.out / RECORD_FILE
    record = {"data_sha256": data, "start_sha256": start or config.start}
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        words = ("photos, ratings or splits", f"the weights of {config.start}")
        changed = [
            word
            for name, word in zip(record, words, strict=True)
            if known.get(name) != record[name]
        ]
        if changed:
            raise ConfigError(
                f"{config.out} holds a run that was started with other {' and '.join(changed)}. "
                "Give another folder with out (--out), or delete this one."
            )
    elif is_first_process():
        # Not before: a run that could not read its data leaves its folder to another try.
        write_whole(path, (json.dumps(record, indent=1) + "\n").encode())
    if is_first_process():
        write_whole(config.out / CONFIG_FILE, config.text().encode("utf-8", "surrogateescape"))
