"""`nima score --engine ray`: the same on many machines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siamese_nima.cli import options, run
from siamese_nima.cli.options import Scoring
from siamese_nima.cli.streams import say
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.sources import Sources, find_sources
from siamese_nima.scoring.model import ModelFile
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import TABLE_FORMATS

if TYPE_CHECKING:
    from siamese_nima.scale.cluster import ClusterOptions
    from siamese_nima.scale.plan import Slice
    from siamese_nima.scale.worker import Job


def _of_ray(help: str, **limits: Any) -> Any:
    return typer.Option(help=help, rich_help_panel="With --engine ray", **limits)


RayAddress = Annotated[
    str | None,
    _of_ray("Ray cluster to work on; by default one of this machine, for this run."),
]
ThreadsPerWorker = Annotated[
    int | None, _of_ray("Cores for each worker of Ray; by default up to 4.", min=1)
]
GpusPerWorker = Annotated[
    float | None, _of_ray("GPUs for each worker of Ray, such as 0.25.", min=0)
]
PhotosPerFile = Annotated[int | None, _of_ray("Photos per Parquet file that Ray writes.", min=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """The options that only Ray has."""

    ray_address: RayAddress = None
    threads_per_worker: ThreadsPerWorker = None
    gpus_per_worker: GpusPerWorker = None
    photos_per_file: PhotosPerFile = None

    def check_none_given(self) -> None:
        """Raise `ConfigError` if there is one."""
        for field in fields(self):
            if getattr(self, field.name) is not None:
                option = field.name.replace("_", "-")
                raise ConfigError(f"--{option} is an option of --engine ray")

    def cluster(self, scoring: Scoring) -> ClusterOptions:
        """The cluster that they ask for."""
        from siamese_nima.scale.cluster import ClusterOptions

        return ClusterOptions(
            address=self.ray_address,
            workers=scoring.workers,
            threads_per_worker=self.threads_per_worker,
            gpus_per_worker=self.gpus_per_worker,
            photos_per_file=self.photos_per_file,
        )


def score_on_ray(
    photos: Sequence[str],
    models: Sequence[str],
    out: str | None,
    of_ray: RayOptions,
    scoring: Scoring,
    image_column: str | None,
) -> None:
    """Score photos on a Ray cluster, show how far it is, and end as the local run does."""
    if out is None or out == "-" or Path(out).suffix.lower() in TABLE_FORMATS:
        raise ConfigError(
            f"--out {out or 'is missing'}: with --engine ray it is a folder, or the URL of one, "
            "for Parquet files"
        )
    if scoring.cache:
        raise ConfigError("--cache is on one machine; --engine ray keeps what is done in --out")
    with options.needs_extra("scale", "--engine ray"):
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401

        from siamese_nima.scale import plan

        # Not imported before its settings are made.
        if find_spec("ray") is None:
            raise ImportError("ray")
    cluster = of_ray.cluster(scoring)
    cluster.gpus_on(scoring.device)
    # The device of this machine; the workers' may be another.
    here = replace(scoring.options(), workers=1, device="cpu", cache=None)
    scorer = options.open_scorer(*models, options=here)
    folder = plan.Folder(out)
    found = find_sources(photos, image_column=image_column)
    if not found.photos:
        raise PhotoError(f"no photo found in {', '.join(photos)}{run.skipped_text(found.skipped)}")
    job = _job(scorer, folder.url, scoring, found.kept())
    slices = plan.open_plan(folder, found, job.settings, cluster.photos_per_file)
    _show(scorer, found, slices, job, cluster, quiet=scoring.quiet)


def _job(scorer: Scorer, results: str, scoring: Scoring, kept: Mapping[str, Any]) -> Job:
    from siamese_nima.scale.worker import Job

    return Job(
        results=results,
        start=str(Path.cwd()),
        models={
            name: model.path.read_bytes()
            for name, model in scorer.models.items()
            if isinstance(model, ModelFile)
        },
        settings=scorer.settings(scoring.device),
        options=replace(scoring.options(), cache=None),
        kept=kept,
    )


def _show(
    scorer: Scorer,
    found: Sources,
    slices: Sequence[Slice],
    job: Job,
    cluster: ClusterOptions,
    *,
    quiet: bool,
) -> None:
    from siamese_nima.scale.cluster import connected, score_slices

    done = failed = earlier = 0
    failures = run.Failures()
    started = time.perf_counter()
    progress = run.photo_progress(quiet=quiet)
    try:
        with connected(cluster), progress:
            task = progress.add_task("scoring", total=found.photos)
            for part in score_slices(slices, job, cluster):
                done += part.photos
                failed += part.failed
                earlier += part.photos if part.earlier else 0
                for error in part.errors[: run.ERRORS_SHOWN - failures.count]:
                    failures.add(error)
                progress.advance(task, part.photos)
    except KeyboardInterrupt:
        say(
            f"interrupted after {done} of {found.photos} photos. The same command goes on from "
            f"there: results are kept in {job.results}"
        )
        raise typer.Exit(run.INTERRUPTED) from None
    seconds = time.perf_counter() - started
    if not quiet:
        new = done - earlier
        say(
            f"{done - failed} of {found.photos} photos scored in {seconds:.1f} s "
            f"({new / seconds:.1f} photos/s) by "
            f"{', '.join(model.model_id for model in scorer.models.values())}"
            + (f"; {earlier} in an earlier run" if earlier else "")
            + run.skipped_text(found.skipped)
        )
        for line in run.population_lines(scorer.models):
            say(line)
    failures.count = failed
    failures.end()
