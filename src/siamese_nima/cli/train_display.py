"""What `nima train` shows: a bar with the loss, a line per epoch, and how it ended."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from siamese_nima.cli.progress import progress_bar
from siamese_nima.training.fitting import Figures
from siamese_nima.training.run import TrainedRun
from siamese_nima.training.watch import Watch

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

    def end_stage(self) -> None:
        """The bar goes."""
        self._drop_bar()

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
        if not _value(after["srcc"]) > _value(before["srcc"]):
            lines.append(
                "Training has not ranked these photos better than the model it started from; more "
                "photos, more raters or a smaller learning rate may."
            )
    lines += [
        f"wrote {run.model}, {run.checkpoint.name}, log.csv, curves.png",
        f"use it: nima score PHOTOS --model {shlex.quote(str(run.model))}",
    ]
    return lines


def _figures(found: dict[str, Any]) -> str:
    text = f"SRCC {_value(found['srcc']):.3f}, PLCC {_value(found['plcc']):.3f}"
    return f"{text}, RMSE {100 * found['rmse']:.1f} % of the scale"


def _value(figure: Any) -> float:
    return float(figure["value"] if isinstance(figure, dict) else figure)
