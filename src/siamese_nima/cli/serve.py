"""Commands that stay: `nima serve` for programs, `cull` for people and `mcp` for assistants."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from siamese_nima.cli import options
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.cli.run import FolderRun, progress_bar
from siamese_nima.cli.streams import say
from siamese_nima.curation.bursts import find_bursts
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.scoring.scorer import DEFAULT_MODEL, Scorer

if TYPE_CHECKING:
    from siamese_nima.photos.remote import UrlRules
    from siamese_nima.web.gallery import Gallery
    from siamese_nima.web.service.uploads import Limits

_log = logging.getLogger(__name__)

_PORT = 8642
# Time to send the last answers, after the time that they may take.
_LAST_ANSWERS_S = 5


@grouped_options
def serve(
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Score this folder first, and show its photos on a page.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = _PORT,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Further name that the server may be called by; may be repeated."
        ),
    ] = None,
    name: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File of API keys, one a line; or set NIMA_API_KEY in the environment.",
            dir_okay=False,
        ),
    ] = None,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Let other machines ask without an API key.")
    ] = False,
    url_host: options.UrlHost = None,
    private_urls: Annotated[
        bool,
        typer.Option("--private-urls", help="Those hosts may have addresses that are not public."),
    ] = False,
    max_photo_mb: Annotated[float, typer.Option(help="Largest photo, in MB.")] = 128,
    max_megapixels: Annotated[float, typer.Option(help="Largest photo, in megapixels.")] = 150,
    max_photos: Annotated[int, typer.Option(help="Most photos in one request.")] = 64,
    max_request_mb: Annotated[float, typer.Option(help="Largest request, in MB.")] = 256,
    max_waiting: Annotated[
        int, typer.Option(help="Most photos that wait; further requests are told to come again.")
    ] = 256,
    timeout: Annotated[
        float, typer.Option(help="Seconds from a request's begin to its answer.")
    ] = 60,
    log_format: Annotated[
        str,
        options.one_of(
            ("text", "json"), "Lines of log for people, or JSON for machines.", metavar="FORM"
        ),
    ] = "text",
    model: options.Models = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Score photos that other programs send over HTTP, and show a folder as a page.

    Example: nima serve --folder holiday/
    """
    _check_extra()
    from siamese_nima.web import http, safety
    from siamese_nima.web.service import app as application
    from siamese_nima.web.service import observability
    from siamese_nima.web.service.queue import Service

    keys = safety.read_api_keys(api_key_file, os.environ)
    safety.check_binding(host, keys, without_key=without_key)
    rules = safety.rules_for(host, [*(host_name or ()), *(name or ())])
    limits = _limits(max_photo_mb, max_megapixels, max_photos, max_request_mb, max_waiting, timeout)
    urls = _url_rules(url_host or (), limits, private=private_urls)
    with closing(http.open_port(host, port)) as listener:
        scorer = scoring.scorer(*options.named_models(model), max_pixels=limits.photo_pixels)
        writes = safety.is_loopback(host)
        gallery = _gallery(folder, scoring, scorer, writes=writes) if folder else None
        observability.log_to_stderr(cast("observability.LogFormat", log_format))
        service = Service(scorer, limits, urls=urls)
        app = application.guarded(
            application.api(service, gallery=gallery, with_keys=bool(keys)), rules, keys
        )
        fields = {"address": http.address_of(listener, host), "models": ",".join(scorer.models)}
        _log.info("listening", extra={"fields": fields})
        http.run_until_ended(
            app, listener, ending_s=limits.request_s + _LAST_ANSWERS_S, stopping=service
        )


@grouped_options
def cull(
    folder: options.Folder,
    port: options.Port = _PORT,
    no_browser: options.NoBrowser = False,
    model: options.Models = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Decide on a local page which photos of a folder to keep; every decision is kept.

    Bursts are stacks with the best on top; stars, picked and rejected photos go into sidecars, and
    files are copied or moved, when you say so, and back again.

    Example: nima cull holiday/
    """
    _check_extra("nima cull")
    from siamese_nima.web import http, safety
    from siamese_nima.web.service import app as application
    from siamese_nima.web.service.queue import Service
    from siamese_nima.web.service.uploads import Limits

    with closing(http.open_port("127.0.0.1", port)) as listener:
        scorer = scoring.scorer(*options.named_models(model))
        gallery = _gallery(folder, scoring, scorer)
        api = application.api(Service(scorer, Limits()), gallery=gallery)
        app = safety.HostAndOriginCheck(cast("http.App", api), safety.rules_for("127.0.0.1", ()))
        address = http.address_of(listener, "127.0.0.1")
        ready = partial(show_page, address, browser=not no_browser)
        http.run_until_ended(app, listener, ready=ready)


@grouped_options
def mcp(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of photos; no tool reaches any other.",
            metavar="FOLDERS",
            exists=True,
            file_okay=False,
        ),
    ],
    model: options.Models = DEFAULT_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Let an assistant ask about the photos of some folders, over standard input and output.

    The assistant's program starts this command (Model Context Protocol). Tools score, rank, find
    bursts, explain and compare; stars and picks are planned, shown, and only then written.

    Example: nima mcp holiday/ wedding/
    """
    with options.needs_extra("mcp", "nima mcp"):
        from siamese_nima.web.assistant import assistant_server
    scorer = scoring.scorer(*options.named_models(model))
    assistant_server(folders, scorer).run("stdio")


def show_page(address: str, *, browser: bool) -> None:
    """Say where a page is, and open it in the browser of this desktop, if there is one."""
    typer.echo(f"{address}\nCtrl-C ends.")
    # Without a desktop, what is found is a browser inside this terminal.
    desktop = sys.platform in ("win32", "darwin") or {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    if browser and desktop:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()


def _check_extra(command: str = "nima serve") -> None:
    with options.needs_extra("serve", command):
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401


def _limits(
    photo_mb: float,
    megapixels: float,
    photos: int,
    request_mb: float,
    waiting: int,
    timeout_s: float,
) -> Limits:
    from siamese_nima.web.service.uploads import Limits

    for option, value in (
        ("--max-photo-mb", photo_mb),
        ("--max-megapixels", megapixels),
        ("--max-request-mb", request_mb),
    ):
        if not math.isfinite(value):
            raise ConfigError(f"{option}: wanted a number, got {value}")
    usual = Limits()
    request_bytes = round(1e6 * request_mb)
    return Limits(
        photo_bytes=round(1e6 * photo_mb),
        photo_pixels=round(1e6 * megapixels),
        request_photos=photos,
        request_bytes=request_bytes,
        request_s=timeout_s,
        waiting_photos=waiting,
        waiting_bytes=max(usual.waiting_bytes, 2 * request_bytes),
    )


def _url_rules(hosts: Sequence[str], limits: Limits, *, private: bool) -> UrlRules | None:
    from siamese_nima.photos.remote import UrlRules

    if not hosts:
        return None
    return UrlRules(
        hosts=tuple(hosts),
        private_addresses=private,
        max_bytes=limits.photo_bytes,
        timeout_s=min(20.0, limits.request_s),
    )


def _gallery(folder: Path, scoring: Scoring, scorer: Scorer, *, writes: bool = True) -> Gallery:
    """Score a folder as `nima report` does, and make its page."""
    from siamese_nima.web.gallery import Gallery, GalleryReader, ServedFolder

    found = find_photos([folder], inside=folder)
    if found.skipped_outside:
        say(f"left out: {found.skipped_outside} links that lead out of {folder}")
    served = ServedFolder(folder, found.paths)
    if not served.photos:
        raise PhotoError(f"no photo found in {folder}")
    frames = GalleryReader(scorer.decode_px)
    names = [os.fspath(path) for path in served.photos.values()]
    with FolderRun(
        scorer, names, quiet=scoring.quiet, on_photo=frames.look, apart=False
    ) as folder_run:
        results = list(folder_run.results())
    with progress_bar("finding bursts") as progress:
        bursts = find_bursts(results, scorer, frames, report=progress)
    with suppress(typer.Exit):  # photos that failed are on the page, with the reason
        folder_run.end()
    title = folder.resolve().name
    return Gallery(
        served,
        results,
        scorer.card,
        bursts=bursts,
        title=title,
        thumbnails=frames.thumbnails,
        writes=writes,
    )
