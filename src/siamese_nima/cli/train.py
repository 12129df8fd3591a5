"""`nima train`: fine-tune a model on rated photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from siamese_nima.cli.data import needs_train_extra

_RUN, _DATA, _STAGE, _MACHINE = "The run", "Photos", "Stages", "Machine"


def _option(help: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


def train(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="TOML file; options of the command line go before its entries.", metavar="CONFIG"
        ),
    ] = None,
    data: Annotated[str | None, _option("A CSV, or a published set as NAME:FOLDER.", _DATA)] = None,
    photos: Annotated[
        Path | None, _option("Folder of the photos that a CSV names; default: its own.", _DATA)
    ] = None,
    scale: Annotated[str | None, _option("Scale of a CSV's scores, such as 1..5.", _DATA)] = None,
    splits: Annotated[Path | None, _option("Splits file in place of the set's.", _DATA)] = None,
    variants: Annotated[
        int | None, _option("Versions of each training photo; default: 4.", _DATA)
    ] = None,
    skip_unreadable: Annotated[
        bool | None, _option("Leave out photos that are missing or broken.", _DATA)
    ] = None,
    ladders: Annotated[
        int | None, _option("Photos to make distortion ladders of, for pairs; default: 0.", _DATA)
    ] = None,
    start: Annotated[
        str | None,
        _option(
            "Model, checkpoint, Keras .h5 or MobileNet .tflite to go on from; or "
            "imagenet:BACKBONE, which downloads; default: quality.",
            _RUN,
        ),
    ] = None,
    out: Annotated[
        Path | None, _option("Folder of the results; default: runs/train.", _RUN, "--out", "-o")
    ] = None,
    name: Annotated[str | None, _option("Name of the model; default: the folder's.", _RUN)] = None,
    view: Annotated[str | None, _option("View policy; default: that of --start.", _RUN)] = None,
    seed: Annotated[int | None, _option("Seed of all that is random; default: 0.", _RUN)] = None,
    stage: Annotated[
        list[str] | None, _option("nima or siamese; may be given twice; default: nima.", _STAGE)
    ] = None,
    epochs: Annotated[int | None, _option("Epochs of the last stage.", _STAGE)] = None,
    batch_size: Annotated[int | None, _option("Photos per step, of all stages.", _STAGE)] = None,
    freeze: Annotated[
        str | None,
        _option("backbone, half, nothing, or a stage's name; of the last stage.", _STAGE),
    ] = None,
    head_learning_rate: Annotated[
        float | None, _option("Of the head, in the last stage.", _STAGE)
    ] = None,
    backbone_learning_rate: Annotated[
        float | None, _option("Of all before the head, in the last stage.", _STAGE)
    ] = None,
    schedule: Annotated[
        str | None, _option("cosine, plateau or constant; of the last stage.", _STAGE)
    ] = None,
    patience: Annotated[
        int | None, _option("Epochs without a better one before the last stage ends.", _STAGE)
    ] = None,
    objective: Annotated[
        str | None, _option("preference, margin or contrastive; of a Siamese stage.", _STAGE)
    ] = None,
    sampler: Annotated[
        str | None, _option("random, scene or hard; of a Siamese stage.", _STAGE)
    ] = None,
    emd_weight: Annotated[
        float | None, _option("Earth mover's distance beside the objective.", _STAGE)
    ] = None,
    device: Annotated[str | None, _option("auto, cpu, cuda or mps.", _MACHINE)] = None,
    devices: Annotated[
        int | None, _option("Processes that share each batch; default: 1.", _MACHINE)
    ] = None,
    nodes: Annotated[int | None, _option("Machines; default: 1.", _MACHINE)] = None,
    precision: Annotated[
        str | None, _option("auto, 32-true, bf16-mixed or 16-mixed.", _MACHINE)
    ] = None,
    cache: Annotated[
        Path | None, _option("Folder that keeps cut photos for further runs.", _MACHINE)
    ] = None,
) -> None:
    """Train a model on rated photos; after a stop the same command goes on.

    Example: nima train --data ratings.csv --scale 1..5 --out runs/mine
    """
    with needs_train_extra("training"):
        from siamese_nima.cli.train_display import TerminalWatch, summary
        from siamese_nima.training.config_file import config_from, merged, read_config
        from siamese_nima.training.run import train as train_run
    top: dict[str, Any] = {
        "start": start,
        "out": out,
        "name": name,
        "view": view,
        "seed": seed,
        "cache": cache,
    }
    top |= {"device": device, "devices": devices, "nodes": nodes, "precision": precision}
    photos_of: dict[str, Any] = {"source": data, "photos": photos, "scale": scale, "splits": splits}
    photos_of |= {"variants": variants, "skip_unreadable": skip_unreadable}
    last_stage = {
        "epochs": epochs,
        "freeze": freeze,
        "head_learning_rate": head_learning_rate,
        "backbone_learning_rate": backbone_learning_rate,
        "schedule": schedule,
        "patience": patience,
        "objective": objective,
        "sampler": sampler,
        "emd_weight": emd_weight,
    }
    raw = merged(
        {} if config is None else read_config(config),
        top=top,
        data=photos_of,
        ladders={"photos": ladders},
        kinds=stage,
        every_stage={"batch_size": batch_size},
        last_stage=last_stage,
    )
    with TerminalWatch() as watch:
        run = train_run(config_from(raw), watch)
    if watch.heard:
        for line in summary(run):
            typer.echo(line)
