"""`nima train`: fine-tune a model on rated photos, with a bar and a line per epoch."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from siamese_nima.cli.options import model_names, needs_extra, one_of
from siamese_nima.cli.run import progress_bar
from siamese_nima.training.watch import Watch

if TYPE_CHECKING:
    from siamese_nima.training.figures import Figures
    from siamese_nima.training.run import TrainedRun

_RUN, _DATA, _STAGE, _MACHINE = "The run", "Photos", "Stages", "Machine"


def _option(help: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


def _one_of(known: Sequence[str], help: str, panel: str) -> Any:
    return one_of(known, help, rich_help_panel=panel, show_default=False, metavar="TEXT")


# As `training.config` has them, which takes pydantic to import.
STAGES = ("nima", "siamese")
SCHEDULES = ("cosine", "plateau", "constant")
OBJECTIVES = ("preference", "margin", "contrastive")
SAMPLERS = ("random", "scene", "hard", "bucket")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


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
    columns: Annotated[
        list[str] | None,
        _option("What a CSV's columns hold, such as votes=v1..v5; once for each.", _DATA),
    ] = None,
    raters: Annotated[
        int | None, _option("People who rated each photo, where no column says so.", _DATA)
    ] = None,
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
        typer.Option(
            help="Model, checkpoint, Keras .h5 or MobileNet .tflite to go on from; or "
            "imagenet:BACKBONE, which downloads; default: quality.",
            rich_help_panel=_RUN,
            show_default=False,
            autocompletion=lambda incomplete: model_names(incomplete),
        ),
    ] = None,
    out: Annotated[
        Path | None, _option("Folder of the results; default: runs/train.", _RUN, "--out", "-o")
    ] = None,
    name: Annotated[str | None, _option("Name of the model; default: the folder's.", _RUN)] = None,
    view: Annotated[str | None, _option("View policy; default: that of --start.", _RUN)] = None,
    seed: Annotated[int | None, _option("Seed of all that is random; default: 0.", _RUN)] = None,
    stage: Annotated[
        list[str] | None,
        _one_of(STAGES, "nima or siamese; may be given twice; default: nima.", _STAGE),
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
        str | None,
        _one_of(SCHEDULES, "cosine, plateau or constant; of the last stage.", _STAGE),
    ] = None,
    patience: Annotated[
        int | None, _option("Epochs without a better one before the last stage ends.", _STAGE)
    ] = None,
    objective: Annotated[
        str | None,
        _one_of(OBJECTIVES, "preference, margin or contrastive; of a Siamese stage.", _STAGE),
    ] = None,
    sampler: Annotated[
        str | None,
        _one_of(SAMPLERS, "random, scene, hard or bucket; of a Siamese stage.", _STAGE),
    ] = None,
    emd_weight: Annotated[
        float | None, _option("Earth mover's distance beside the objective.", _STAGE)
    ] = None,
    device: Annotated[str | None, _one_of(DEVICES, "auto, cpu, cuda or mps.", _MACHINE)] = None,
    devices: Annotated[
        int | None, _option("Processes that share each batch; default: 1.", _MACHINE)
    ] = None,
    nodes: Annotated[int | None, _option("Machines; default: 1.", _MACHINE)] = None,
    precision: Annotated[
        str | None, _one_of(PRECISIONS, "auto, 32-true, bf16-mixed or 16-mixed.", _MACHINE)
    ] = None,
    view_cache: Annotated[
        Path | None, _option("Folder that keeps cut photos for further runs.", _MACHINE)
    ] = None,
    cache: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Train a model on rated photos; after a stop the same command goes on.

    Example: nima train --data ratings.csv --scale 1..5 --out runs/mine
    """
    options = dict(locals())
    with needs_extra("train", "training"):
        from siamese_nima.training.config import config_from, merged, read_config
        from siamese_nima.training.run import train as train_run
    options["cache"] = options.pop("view_cache") or cache
    path = options.pop("config")
    raw = merged({} if path is None else read_config(path), options)
    with TerminalWatch() as watch:
        run = train_run(config_from(raw), watch)
    if not watch.heard:
        return  # another process than the first, whose end would be taken for a failure
    for line in summary(run):
        typer.echo(line)
    if run.problem is not None:
        raise typer.Exit(1)


# Figures of an epoch that a line has room for, and their names.
_SHOWN = {
    "train_loss": "loss",
    "train_emd": "EMD",
    "val_emd": "val EMD",
    "val_srcc": "val SRCC",
    "val_scene_accuracy": "same-scene pairs",
    "val_ladder_accuracy": "ladder pairs",
}
_SMOOTHED = 0.9  # share of the shown loss that stays from the step before


class TerminalWatch(Watch):
    """Shows a run on standard error; bars on a terminal only, lines everywhere.

    Attributes:
        heard: Whether anything was told; other processes than the first are told nothing.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=self.console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self.task: Any = None
        self.steps = self.epochs = 0
        self.loss: float | None = None
        self.heard = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.stop()
        # Lightning answers Ctrl-C by ending the process.
        if self.heard and kind in (KeyboardInterrupt, SystemExit):
            self.note("stopped; the same command goes on after the last finished epoch")

    def note(self, text: str) -> None:
        """A sentence on a line of its own."""
        self.console.print(text, markup=False)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar of its own."""
        with progress_bar(what) as report:
            yield report

    def start_stage(self, title: str, epochs: int, steps: int) -> None:
        """Name the stage and begin its bar."""
        self.heard = True
        self.note(f"{title}, {epochs} epochs of {steps} steps")
        self.epochs, self.steps, self.loss = epochs, steps, None

    def step(self, step: int, loss: float) -> None:
        """Move the bar."""
        if self.task is None:
            self.task = self.bar.add_task("epoch", total=self.steps, loss="")
            self.bar.start()
        known = loss if self.loss is None else self.loss
        self.loss = _SMOOTHED * known + (1 - _SMOOTHED) * loss
        self.bar.update(self.task, completed=step, loss=f"loss {self.loss:.4f}")

    def epoch(self, figures: Figures) -> None:
        """A line, above the bar of the next epoch."""
        self._drop_bar()
        shown = [f"{name} {figures[key]:.3f}" for key, name in _SHOWN.items() if key in figures]
        number = f"{int(figures['epoch']) + 1:{len(str(self.epochs))}d}"
        self.note(f"  epoch {number}/{self.epochs}  {'  '.join(shown)}")

    def _drop_bar(self) -> None:
        if self.task is not None:
            self.bar.stop()
            self.bar.remove_task(self.task)
            self.task = None


def summary(run: TrainedRun) -> list[str]:
    """How the run ended: figures on val photos before and after, what is where, what to do next."""
    after, before = run.after, run.before
    lines = [f"on {after['photos']} val photos: {_figures(after)}"]
    if before is not None:
        lines.append(f"before training:  {_figures(before)}")
        if run.problem is None and before["srcc"]["value"] >= after["srcc"].get("low", 1.0):
            lines.append(f"on {after['photos']} photos this can be chance; test photos tell more")
    if run.test is not None:
        lines.append(f"on {run.test['photos']} test photos: {_figures(run.test)}")
    lines.append(f"wrote {run.model}, {run.checkpoint.name}, log.csv, curves.png")
    if run.problem is None:
        lines.append(f"use it: nima score PHOTOS --model {shlex.quote(str(run.model))}")
    else:
        lines += [
            f"not better, do not use it: {run.problem}.",
            "More photos, more raters or a smaller learning rate may help.",
        ]
    return lines


def _figures(found: dict[str, Any]) -> str:
    return (
        f"SRCC {_interval(found['srcc'])}, PLCC {_interval(found['plcc'])}, "
        f"RMSE {100 * found['rmse']:.1f} % of the scale"
    )


def _interval(figure: Any) -> str:
    """A figure with its 95 % interval, which is wide where photos are few."""
    if not isinstance(figure, dict):
        return f"{figure:.3f}"
    sure = "low" in figure and "high" in figure
    return f"{figure['value']:.3f}" + (
        f" [{figure['low']:.3f}, {figure['high']:.3f}]" if sure else ""
    )
