"""The options of every command that scores a folder, said once and opened in one way."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import get_type_hints

from siamese_nima.cli import options, run
from siamese_nima.cli.cache import chosen_cache
from siamese_nima.photos.read import MAX_PIXELS
from siamese_nima.scoring.panel import OnPhoto
from siamese_nima.scoring.scorer import Scorer

_PARAMETER = "scoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How a command scores, as its options say."""

    batch_size: options.BatchSize = 4
    workers: options.Workers = None
    view: options.View = None
    device: options.Device = "cpu"
    exact: options.Exact = False
    cache: options.Cache = None
    no_cache: options.NoCache = False
    quiet: options.Quiet = False

    def scorer(self, *models: str, max_pixels: int = MAX_PIXELS) -> Scorer:
        """A scorer with these options, for any kind of model the command line takes."""
        return run.open_scorer(
            *models,
            view=self.view,
            batch_size=self.batch_size,
            workers=self.workers,
            device=self.device,
            exact=self.exact,
            cache=chosen_cache(self.cache, no_cache=self.no_cache),
            max_pixels=max_pixels,
        )

    def run(
        self, scorer: Scorer, photos: Sequence[str], on_photo: OnPhoto | None = None
    ) -> run.FolderRun:
        """A run over a folder with that scorer."""
        return run.FolderRun(scorer, photos, quiet=self.quiet, on_photo=on_photo)


def scoring_command(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `scoring` is filled from options, one per field of `Scoring`.

    Typer reads options from a signature; this gives it the command's own parameters, then those.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    hints = get_type_hints(Scoring, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(Scoring)
    ]
    kept = [parameter for parameter in own if parameter.name != _PARAMETER]

    @functools.wraps(command)
    def filled(**given: object) -> None:
        mine = {field.name: given.pop(field.name) for field in fields(Scoring)}
        command(**given, **{_PARAMETER: Scoring(**mine)})  # type: ignore[arg-type]

    every = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in kept] + shared
    filled.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    filled.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return filled
