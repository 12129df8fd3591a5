"""Ray: a cluster to work on, and the slices of a plan worked on there."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from siamese_nima.errors import ConfigError, MissingExtraError, NimaError
from siamese_nima.scale.plan import Slice
from siamese_nima.scale.worker import Done, Job, Worker

_MOST_THREADS = 4  # of a worker, unless asked for: more workers share less of Python's lock
_OBJECT_STORE_BYTES = 200_000_000  # models and slices travel through it, no photos
_STARTS = 3
_ANSWER_S = 10
_OUR_ERROR = re.compile(r"^siamese_nima\.errors\.\w+: (.+)$", re.MULTILINE)
# A token in ~/.ray is what Ray would make otherwise; one for the process, as Ray reads it once.
_TOKEN = secrets.token_hex(32)
_BLOCKS = 10_000  # tasks of a run: enough for the largest cluster, few enough for one driver


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Where a distributed run works, and how it is shared out.

    Attributes:
        address: Of a Ray cluster, or "auto" for the one on this machine; None starts one of this
            machine alone, for the run.
        workers: Processes with a model each, at most; None takes as many as fit.
        threads_per_worker: Cores of each; None takes up to 4, of those that every machine has.
        gpus_per_worker: Share of a GPU, above 1 whole ones, 0 for none; None takes one where
            `device` of the run is "cuda".
        photos_per_file: Photos of one file of results, which is one piece of work; None takes that
            of the run that goes on, or one that suits their number.
    """

    address: str | None = None
    workers: int | None = None
    threads_per_worker: int | None = None
    gpus_per_worker: float | None = None
    photos_per_file: int | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "threads_per_worker", "photos_per_file"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        gpus = self.gpus_per_worker or 0
        if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
            raise ConfigError(f"gpus_per_worker must be up to 1, or a whole number; got {gpus}")

    def gpus_on(self, device: str) -> float:
        """GPUs of each worker that scores on that device.

        Raises:
            ConfigError: Some were asked for, and the device is none.
        """
        if self.gpus_per_worker is None:
            return 1.0 if device == "cuda" else 0.0
        if self.gpus_per_worker and device != "cuda":
            raise ConfigError(
                f"--gpus-per-worker {self.gpus_per_worker:g} needs --device cuda, got {device}"
            )
        return self.gpus_per_worker


@contextmanager
def connected(cluster: ClusterOptions) -> Iterator[None]:
    """A connection to the cluster; a cluster of this machine alone ends with it.

    Raises:
        MissingExtraError: Ray is not installed.
        NimaError: There is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _kept_here() if cluster.address is None else nullcontext():
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise MissingExtraError.of("--engine ray", "scale") from error
        if ray.is_initialized():
            yield
            return
        if cluster.address is None:
            _start_here()
        else:
            try:
                _check_answers(cluster.address)
                ray.init(address=cluster.address, logging_level=logging.WARNING)
            # Ray raises ConnectionError, ValueError and RuntimeError, a socket OSError.
            except Exception as error:
                reason = _first_line(error)
                raise NimaError(f"{cluster.address}: no Ray cluster ({reason})") from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _kept_here() -> Iterator[None]:
    """Settings of a cluster of this machine alone, which nobody else is to reach.

    Ray then listens at 127.0.0.1 instead of at all addresses of the machine, and looks up none.
    They are read when Ray is first imported; what the user has set stays.
    """
    wanted = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        wanted["RAY_AUTH_TOKEN"] = _TOKEN
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _check_answers(address: str) -> None:
    """Ray itself tries for two minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and host and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


def _start_here() -> None:
    import ray

    # It says that the cluster is protected by a token, as it should be.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    for attempt in range(1, _STARTS + 1):
        try:
            with _without_dashboard_process():
                ray.init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    logging_level=logging.WARNING,
                )
            return
        # It raises a bare Exception after half a minute in which a busy machine did not come to it.
        except Exception as error:
            ray.shutdown()
            if attempt == _STARTS:
                raise NimaError(f"Ray does not start ({_first_line(error)})") from error


@contextmanager
def _without_dashboard_process() -> Iterator[None]:
    """Without a dashboard Ray still starts its process, to ask which cloud the machine is in.

    It does so with usage statistics switched off too, by a look-up and two requests to addresses
    that are not the machine's; no setting stops it.
    """
    from ray._private.node import Node

    start = Node.start_api_server
    Node.start_api_server = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Node.start_api_server = start  # type: ignore[method-assign]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def score_slices(
    slices: Sequence[Slice], job: Job, cluster: ClusterOptions
) -> Generator[Done, None, None]:
    """Work on slices, on the cluster that `connected` has opened.

    Args:
        slices: Each becomes a file of results; those that are there already are kept.
        job: What workers need to know; its threads are the cluster's.
        cluster: How many workers, and of what size.

    Yields:
        What has become of each slice, as they are done.

    Raises:
        NimaError: No machine of the cluster has room for a worker, or something other than a photo
            failed for good: a model, the store of the results, a table. What was finished stays.
    """
    import ray

    gpus = cluster.gpus_on(job.options.device)
    threads, workers = _size(cluster, gpus)
    _quiet_ray_data()
    items = [asdict(rows) for rows in slices]
    done = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS)).map(
        Worker,  # type: ignore[arg-type]  # Ray makes one for each process
        fn_constructor_args=(replace(job, threads=threads),),
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            initial_size=min(workers, len(items)),
            max_size=min(workers, len(items)),
            max_tasks_in_flight_per_actor=2,
        ),
        num_cpus=threads,
        num_gpus=gpus or None,
    )
    try:
        for row in done.iter_rows():
            yield Done.of_row(row)
    except ray.exceptions.RayError as error:
        raise _named(error) from error


def _size(cluster: ClusterOptions, gpus: float) -> tuple[int, int]:
    """Threads per worker, and workers."""
    import ray

    every: Any = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in every if node["Alive"]]
    cores = [int(node.get("CPU", 0)) for node in nodes]
    threads = cluster.threads_per_worker or min([_MOST_THREADS, *filter(None, cores)])
    fit = 0
    for node, count in zip(nodes, cores, strict=True):
        room = count // threads
        if gpus:
            room = min(room, int(node.get("GPU", 0) / gpus))
        fit += room
    if not fit and cluster.workers is None:
        raise NimaError(
            f"no machine of the cluster has {threads} cores and {gpus:g} GPUs "
            f"for a worker ({len(nodes)} machines with {cores} cores); ask for less, or give the "
            "number of workers if machines are still to come"
        )
    return threads, cluster.workers or fit


def _quiet_ray_data() -> None:
    """Ray Data says what goes wrong, and leaves the rest to us."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It only says that we have switched its own bars off.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)


def _named(error: BaseException) -> NimaError:
    """Our own error if one of ours ended the run, else the first cause that Ray names, in a line.

    An error that ends a worker while it starts comes as the text of its traceback alone.
    """
    chain, cause = [error], error
    while (next_cause := getattr(cause, "cause", None) or cause.__cause__) is not None:
        cause = next_cause
        chain.append(cause)
    ours = _OUR_ERROR.findall("\n".join(map(str, chain)))
    if ours:
        return NimaError(ours[-1])
    reason = next((line for line in str(cause).splitlines() if line.strip()), "no reason given")
    return NimaError(f"Ray ended the run: {type(cause).__name__}: {reason}")
