"""`nima score --engine ray`: its options, and the run as the terminal shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siamese_nima.cli import run
from siamese_nima.cli.scoring import Scoring
from siamese_nima.errors import ConfigError, MissingExtraError, PhotoError
from siamese_nima.scoring.model_file import ModelFile
from siamese_nima.scoring.scorer import Scorer

if TYPE_CHECKING:
    from siamese_nima.scale.plan import Slice
    from siamese_nima.scale.ray_cluster import Cluster
    from siamese_nima.scale.sources import Sources
    from siamese_nima.scale.worker import Job


class Engine(StrEnum):
    """What runs the scoring."""

    local = "local"
    ray = "ray"


def _of_ray(help: str, **limits: Any) -> Any:
    return typer.Option(help=help, rich_help_panel="With --engine ray", **limits)


Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        help="Write a table: .csv, .jsonl or .parquet; with --engine ray a folder or URL for "
        "Parquet files.",
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        help="ray: on many machines. PHOTOS may then be URLs (s3://...) too, names of listings "
        "(.txt) and tables (.parquet); --workers are processes with a model each."
    ),
]
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


@dataclass(frozen=True, slots=True)
class RayOptions:
    """The options that only Ray has, as they were given."""

    ray_address: str | None = None
    threads_per_worker: int | None = None
    gpus_per_worker: float | None = None
    photos_per_file: int | None = None

    def check_none_given(self) -> None:
        """Raises `ConfigError` if one of them was."""
        for name, value in asdict(self).items():
            if value is not None:
                raise ConfigError(f"--{name.replace('_', '-')} is an option of --engine ray")


def score_on_ray(
    photos: Sequence[str],
    models: Sequence[str],
    out: str | None,
    options: RayOptions,
    scoring: Scoring,
) -> None:
    """Score photos on a Ray cluster, show how far it is, and end as the local run does."""
    if out is None or Path(out).suffix in (".csv", ".jsonl", ".parquet"):
        raise ConfigError(
            f"--out {out or 'is missing'}: with --engine ray it is a folder, or the URL of one, "
            "for Parquet files"
        )
    if scoring.cache:
        raise ConfigError("--cache is on one machine; --engine ray keeps what is done in --out")
    try:
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
        import ray  # noqa: F401

        from siamese_nima.scale import plan, ray_cluster, sources, stores
    except ImportError as error:
        raise MissingExtraError.of_import(error, "--engine ray", "scale") from error
    cluster = ray_cluster.Cluster(
        address=options.ray_address,
        workers=scoring.workers,
        threads_per_worker=options.threads_per_worker,
        gpus_per_worker=_gpus(options.gpus_per_worker, scoring.device),
    )
    scorer = run.open_scorer(
        *models,
        view=scoring.view,
        batch_size=scoring.batch_size,
        workers=1,
        device="cpu",  # of this machine; the workers' may be another
        exact=scoring.exact,
    )
    folder = stores.Folder(out)
    found = sources.find_sources(photos)
    if not found.photos:
        raise PhotoError(f"no photo found in {', '.join(photos)}{run.skipped_text(found.skipped)}")
    job = _job(scorer, folder.url, scoring)
    slices = plan.open_plan(folder, found, job.settings, options.photos_per_file)
    _show(scorer, found, slices, job, cluster, quiet=scoring.quiet)


def _gpus(given: float | None, device: str) -> float:
    if given and device != "cuda":
        raise ConfigError(f"--gpus-per-worker {given:g} needs --device cuda, got {device}")
    if given is None:
        return 1.0 if device == "cuda" else 0.0
    return given


def _job(scorer: Scorer, results: str, scoring: Scoring) -> Job:
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
        view=scoring.view,
        device=scoring.device,
        exact=scoring.exact,
        batch_size=scoring.batch_size,
    )


def _show(
    scorer: Scorer,
    found: Sources,
    slices: Sequence[Slice],
    job: Job,
    cluster: Cluster,
    *,
    quiet: bool,
) -> None:
    from siamese_nima.scale.ray_cluster import connected, score_slices

    done = failed = earlier = 0
    errors: list[str] = []
    started = time.perf_counter()
    progress = run.photo_progress(quiet=quiet)
    try:
        with connected(cluster), progress:
            task = progress.add_task("scoring", total=found.photos)
            for part in score_slices(slices, job, cluster):
                done += part.photos
                failed += part.failed
                earlier += part.photos if part.earlier else 0
                errors = [*errors, *part.errors][: run.ERRORS_SHOWN]
                progress.advance(task, part.photos)
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted after {done} of {found.photos} photos. The same command goes on from "
            f"there: results are kept in {job.results}",
            err=True,
        )
        raise typer.Exit(run.INTERRUPTED) from None
    seconds = time.perf_counter() - started
    if not quiet:
        new = done - earlier
        typer.echo(
            f"{done - failed} of {found.photos} photos scored in {seconds:.1f} s "
            f"({new / seconds:.1f} photos/s) by "
            f"{', '.join(model.model_id for model in scorer.models.values())}"
            + (f"; {earlier} in an earlier run" if earlier else "")
            + run.skipped_text(found.skipped),
            err=True,
        )
        for line in run.population_lines(scorer.models):
            typer.echo(line, err=True)
    run.end_with_failures(errors, failed)
