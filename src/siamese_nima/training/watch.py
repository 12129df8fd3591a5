"""What a run tells its caller while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siamese_nima.training.figures import Figures


class Watch:
    """Hears nothing; subclasses show what they want to. Only the first process calls it."""

    def note(self, text: str) -> None:
        """A sentence for the user."""

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Around work on photos; gives a function of photos done and photos in all."""
        del what
        yield lambda _done, _total: None

    def start_stage(self, title: str, epochs: int, steps: int) -> None:
        """A stage begins: its name, and how many steps each epoch has."""

    def step(self, step: int, loss: float) -> None:
        """A step of the epoch, from 1 on, was made."""

    def epoch(self, figures: Figures) -> None:
        """An epoch ended with these figures."""
