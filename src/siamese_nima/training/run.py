"""Train a network from photos and ratings to a model file: what `nima train` does."""

from __future__ import annotations

import copy
import json
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from siamese_nima.atomic_write import clear_away, write_whole
from siamese_nima.card import ModelCard
from siamese_nima.cores import usable_cores
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.view_cache import LiveViews
from siamese_nima.errors import ConfigError, TableError, WeightsError, name_some
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.network_model import NetworkModel
from siamese_nima.networks.onnx_export import export_onnx, write_card
from siamese_nima.networks.quantised_mobilenet import reinsert_batch_norm
from siamese_nima.ratings import Floats, mean
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.training.batches import require_full_batch
from siamese_nima.training.calibration import calibrate
from siamese_nima.training.card import (
    TEST_FIGURES,
    VAL_FIGURES,
    agreement,
    problem_of,
    trained_card,
    with_figures,
)
from siamese_nima.training.config import TrainConfig
from siamese_nima.training.data import RECORD_FILE, SplitViews, cut_views, data_digest, read_tables
from siamese_nima.training.figures import Figures, best_of
from siamese_nima.training.fit import (
    StageLog,
    is_first_process,
    machine_arguments,
    rating_device,
    train_stage,
)
from siamese_nima.training.run_log import RunLog, loggers_of
from siamese_nima.training.run_stage import (
    blend,
    describe_stage,
    levels_alone,
    measure,
    prepare_stage,
    require_stages,
)
from siamese_nima.training.stage import Stage
from siamese_nima.training.start import Start, read_start
from siamese_nima.training.watch import Watch

CONFIG_FILE = "config.toml"
MODEL_FILE, CHECKPOINT_FILE = "model.onnx", "checkpoint.safetensors"
_CALIBRATION_PHOTOS = 512
_WAIT_S = 1.0
_ANOTHER_FOLDER = "Give another folder with out (--out), or delete this one."
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
    # All that can be known is said before a photo is opened.
    machine_arguments(config)
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
    require_stages(start.nima, config.stage)
    _claim(config)
    tables = read_tables(config, watch)
    for plan in config.stage:
        if plan.sampler != "bucket" and not (plan.weight and config.data.ladders):
            require_full_batch(len(tables["train"]), plan.batch_size)
    _record(config, data_digest(tables), start.digest)
    cache = config.cache or config.out / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    run = _finished(config, start, tables, *_trained(config, start, tables, cache, watch))
    if config.cache is None and first and (problem := clear_away(cache)):
        watch.note(problem)
    return run


def _trained(
    config: TrainConfig, start: Start, tables: dict[str, RatingTable], cache: Path, watch: Watch
) -> tuple[list[Figures], Floats | None, Floats, dict[str, float]]:
    """Train all stages; only variables of this call keep files of the cache mapped into memory.

    Returns:
        The figures of each epoch; rating distributions (N, K) of val photos by the network that
        training started from (None where its head was new) and by the trained one; and the shares
        of stages that were mixed with what was before them.
    """
    splits = cut_views(tables, start.card.view, config, cache, watch)
    _measure_norms(start, config, splits)
    nima, device = start.nima.to(memory_format=torch.channels_last), rating_device(config.device)
    live = isinstance(splits["train"].views, LiveViews)
    workers = (usable_cores() if config.workers is None else config.workers) if live else 0
    log, shares = RunLog(config.out, watch, write=is_first_process()), {}
    first: Floats | None = None
    kept: Figures = {}  # of the best epoch so far, or of the start
    for number, plan in enumerate(config.stage, start=1):
        before = copy.deepcopy(nima.state_dict())
        stage = prepare_stage(config, number, nima, start.card, splits, cache, watch)
        if number == 1 and not start.new_head:
            first, kept = measure(stage, device)
        with levels_alone(nima, stage.seed) if plan.reads == "levels" else nullcontext():
            epochs = _fit(config, number, stage, workers, log)
        best = epochs[best_of(dict(enumerate(epochs)), plan.monitor)]
        if plan.blend:
            share, best = blend(nima, before, stage, device)
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
    return log.rows, first, measure(stage, device)[0], shares


def _fit(
    config: TrainConfig, number: int, stage: Stage, workers: int, log: RunLog
) -> list[Figures]:
    plan, watch = config.stage[number - 1], log.watch
    watch.start_stage(describe_stage(number, plan), plan.epochs, len(stage.draws))
    loggers = loggers_of(config.loggers, config.out, config.name, number)
    epochs = train_stage(
        stage,
        config.out / f"stage{number}",
        workers=workers,
        log=StageLog(partial(log.note, number), watch.step),
        trainer=machine_arguments(config) | {"logger": loggers},
    )
    log.note(number, epochs, ended=True)
    return epochs


def _finished(
    config: TrainConfig,
    start: Start,
    tables: dict[str, RatingTable],
    epochs: list[Figures],
    before: Floats | None,
    after: Floats,
    shares: dict[str, float],
) -> TrainedRun:
    """Write what training gave, and measure it; see `_trained` for the arguments."""
    card, val, write = start.card, tables["val"], is_first_process()
    labels, scores = val.means(card.scale), mean(after, card.scale)
    more: dict[str, Any] = {"mixed": shares} if shares else {}
    if config.spread_ratio is not None:
        more["calibration"], scores = calibrate(
            start.nima.head, after, labels, card.scale, ratio=config.spread_ratio
        )
    card = trained_card(start, tables["train"], config, more)
    model, checkpoint = config.out / MODEL_FILE, config.out / CHECKPOINT_FILE
    if write:
        card = export_onnx(start.nima, card, model, storage=config.storage)
    judged = None
    if "test" in tables:
        # On a processor the file is what will be used, and there it is faster.
        device = rating_device(config.device)
        by_file = write and device == "cpu"
        judge: Any = model if by_file else NetworkModel(start.nima.to(device), card)
        scorer = Scorer(judge, batch_size=None if by_file else 16)
        judged = tables["test"], _scores(scorer, tables["test"])
        start.nima.cpu()
    at_start = None if before is None else agreement(mean(before, card.scale), val, card)
    card = with_figures(card, val, scores, at_start, judged)
    if write:
        write_card(model, card)
        save_checkpoint(checkpoint, start.nima, card)
    return TrainedRun(
        folder=config.out,
        model=model,
        checkpoint=checkpoint,
        card=card,
        epochs=epochs,
        before=at_start,
        after=card.metrics[VAL_FIGURES],
        test=card.metrics.get(TEST_FIGURES),
        problem=problem_of(scores, card.metrics[VAL_FIGURES], at_start, card),
    )


def _scores(scorer: Scorer, table: RatingTable) -> Floats:
    results = [*scorer.score(table.paths)]
    if broken := [result.error for result in results if result.error is not None]:
        raise TableError(f"{len(broken)} test photos cannot be read: {name_some(broken)}")
    return np.array([result.score for result in results])


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

    Where nothing was saved of the other one, this one begins anew.

    Raises:
        ConfigError: It holds another one, or is a file.
    """
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"out (--out) names a folder, and {config.out} is a file") from None
    begun = any(config.out.glob("stage*/last.ckpt"))
    if not begun and is_first_process():
        (config.out / RECORD_FILE).unlink(missing_ok=True)
    now = _settings(config)
    while (record := _recorded(config)) and (had := record.get("settings")) != now:
        if had is None:
            raise ConfigError(
                f"{config.out} holds a run of an earlier version, which nothing can go on with. "
                f"{_ANOTHER_FOLDER}"
            )
        if begun:
            changed = [
                f"{name}: {had.get(name)} there, {now.get(name)} now"
                for name in {**had, **now}
                if had.get(name) != now.get(name)
            ]
            raise ConfigError(
                f"{config.out} holds a run with other settings ({'; '.join(changed[:5])}). "
                f"{_ANOTHER_FOLDER}"
            )
        time.sleep(_WAIT_S)  # until the first process has cleared it


def _record(config: TrainConfig, data: str, start: str | None) -> None:
    """Note what the run is and is made of, or see that it is made of the same still.

    Raises:
        ConfigError: Photos, ratings, splits or the network to start from are others.
    """
    made_of = {"data_sha256": data, "start_sha256": start or config.start}
    words = ("photos, ratings or splits", f"the weights of {config.start}")
    known = _recorded(config) or made_of
    pairs = zip(made_of.items(), words, strict=True)
    if changed := [word for (name, digest), word in pairs if known.get(name) != digest]:
        raise ConfigError(
            f"{config.out} holds a run that was started with other {' and '.join(changed)}. "
            f"{_ANOTHER_FOLDER}"
        )
    if is_first_process():
        # Not before: a run that could not read its data leaves its folder to another try.
        record = {**made_of, "settings": _settings(config)}
        write_whole(config.out / RECORD_FILE, (json.dumps(record, indent=1) + "\n").encode())
        write_whole(config.out / CONFIG_FILE, config.text().encode("utf-8", "surrogateescape"))


def _recorded(config: TrainConfig) -> dict[str, Any]:
    path = config.out / RECORD_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What changes the result, by names such as "data.scale" and "stage 2.epochs"."""
    entries = config.entries()
    tables = {f"stage {n}": stage for n, stage in enumerate(entries.pop("stage"), start=1)}
    tables |= {name: entries.pop(name) for name in ("data", "card")}
    in_tables = {f"{t}.{n}": value for t, table in tables.items() for n, value in table.items()}
    return {n: value for n, value in (entries | in_tables).items() if n not in _FREE}
