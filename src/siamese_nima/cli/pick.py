"""`nima pick`: a local page that asks which of two photos is better; `nima pick answers`."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from siamese_nima.atomic_write import check_output
from siamese_nima.cli import options
from siamese_nima.cli.commands import App
from siamese_nima.cli.options import Scoring, grouped_options
from siamese_nima.cli.run import FolderRun, progress_bar
from siamese_nima.cli.serve import show_page
from siamese_nima.cli.streams import say
from siamese_nima.curation.bursts import FrameReader, find_bursts
from siamese_nima.errors import PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.printable import counted, printable
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.taste.answers import (
    SOMEBODY,
    AnswerStore,
    answers_path,
    check_person,
    read_answers,
    write_answers,
)
from siamese_nima.taste.choosing import ChoosingRule
from siamese_nima.taste.session import GOAL, TASTE_MODEL, PickSession
from siamese_nima.taste.strengths import TastePrior

_PORT = 8643

AnswersFile = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        help="File of answers; by default nima-answers.sqlite in the folder.",
        dir_okay=False,
    ),
]


@grouped_options
def pick(
    folder: options.Folder,
    answers: AnswersFile = None,
    person: Annotated[
        str, typer.Option(help="Who answers; several people are kept apart.")
    ] = SOMEBODY,
    pairs: Annotated[
        int, typer.Option(min=1, help="Answers to ask for, earlier ones included.")
    ] = GOAL,
    bursts: Annotated[
        bool, typer.Option("--bursts", help="First ask inside bursts: which of a series is best.")
    ] = False,
    host: options.Host = "127.0.0.1",
    port: options.Port = _PORT,
    no_browser: options.NoBrowser = False,
    model: options.Model = TASTE_MODEL,
    *,
    scoring: Scoring,
) -> None:
    """Show pairs of photos on a local page, ask which is better, and keep every answer.

    Example: nima pick holiday/
    """
    http, safety, page, features = _server_parts()
    check_person(person)
    # Before a file of answers is made in what may be the wrong folder.
    _check_enough(len(find_photos([folder]).paths), folder)
    with (
        closing(http.open_port(host, port)) as listener,
        AnswerStore(answers or answers_path(folder)) as store,
    ):
        scorer = scoring.scorer(model)
        results, series = _scored(scoring, scorer, folder, bursts=bursts)
        session = PickSession(
            store,
            {_name(r.path, folder): r.mean for r in results if r.mean is not None},
            person=person,
            prior=TastePrior.on(scorer.card.scale),
            rule=ChoosingRule(bursts_first=bursts),
            bursts=series,
            goal=pairs,
        )
        _check_enough(len(session.photos), folder)
        failed = {_name(r.path, folder): r.error for r in results if r.error is not None}
        app = page.pick_app(session, folder, unreadable=failed, rules=safety.rules_for(host))
        address = http.address_of(listener, host)
        with features.extracting_meanwhile(session, folder, find_model(model), _say):
            http.run_until_ended(
                app, listener, ready=lambda: show_page(address, browser=not no_browser)
            )
        _say_end(session, store.path)


def _server_parts() -> tuple[ModuleType, ModuleType, ModuleType, ModuleType]:
    with options.needs_extra("serve", "nima pick"):
        from siamese_nima.taste import features
        from siamese_nima.web import http, safety
        from siamese_nima.web import pick as page
    return http, safety, page, features


def _scored(
    scoring: Scoring, scorer: Scorer, folder: Path, *, bursts: bool
) -> tuple[list[ScoredPhoto], list[list[str]]]:
    """Results of all photos; and the names of those of each burst, where bursts are wanted."""
    frames = FrameReader(scorer.decode_px)
    look = frames.look if bursts else None
    with FolderRun(
        scorer, [str(folder)], quiet=scoring.quiet, on_photo=look, apart=False
    ) as folder_run:
        results = list(folder_run.results())
    # Photos that fail are named, and the others asked about.
    with suppress(typer.Exit):
        folder_run.end()
    if not bursts:
        return results, []
    with progress_bar("finding bursts") as progress:
        found = find_bursts(results, scorer, frames, detail=False, report=progress)
    return results, [[_name(path, folder) for path in burst.paths] for burst in found]


def _name(path: str, folder: Path) -> str:
    """A photo's name in answers."""
    return Path(path).relative_to(folder).as_posix()


def _check_enough(photos: int, folder: Path) -> None:
    if photos < 2:
        found = "one photo" if photos else "no photo"
        raise PhotoError(f"{folder}: {found} that can be read; a pair needs two")


def _say(words: str) -> None:
    say(f"nima: {words}")


def _say_end(session: PickSession, path: Path) -> None:
    given = [answer.choice for answer in session.given]
    flags = given.count("flag")
    aside = f", set aside: {flags}" if flags else ""
    in_all = session.progress().answers
    typer.echo(f"\nanswers given: {len(given) - flags}{aside}; in all {in_all}, in {path}")


answers_app = App(no_args_is_help=True)

Table = Annotated[
    Path, typer.Argument(help="CSV file of answers.", metavar="TABLE", dir_okay=False)
]


@answers_app.callback()
def answers() -> None:
    """Count the answers that 'nima pick' gathered, write them to a CSV file, or read one.

    Example: nima pick answers show holiday/
    """


@answers_app.command("show")
def show(folder: options.Folder, answers: AnswersFile = None) -> None:
    """Show how many answers each person gave.

    Example: nima pick answers show holiday/
    """
    with AnswerStore(answers or answers_path(folder), read_only=True) as store:
        for person, count in store.people().items():
            aside = len(store.flags([person]))
            typer.echo(f"{person}: {counted(count, 'answer')}, {counted(aside, 'pair')} set aside")


@answers_app.command("export")
def export(
    folder: options.Folder,
    table: Table,
    person: Annotated[
        list[str] | None, typer.Option(help="Only this person's; may be given several times.")
    ] = None,
    answers: AnswersFile = None,
) -> None:
    """Write answers to a CSV file.

    Example: nima pick answers export holiday/ answers.csv
    """
    kept = answers or answers_path(folder)
    check_output(table, "a table of answers", (".csv",), (kept,))
    with AnswerStore(kept, read_only=True) as store:
        records = store.records(person or None)
    write_answers(table, records)
    typer.echo(f"wrote {table}: {counted(len(records), 'answer')}")


@answers_app.command("import")
def import_(
    folder: options.Folder,
    table: Table,
    person: Annotated[
        str | None, typer.Option(help="Who gave them, whatever the file says.")
    ] = None,
    answers: AnswersFile = None,
) -> None:
    """Take over answers of a CSV file; those that are there already are not taken twice.

    Example: nima pick answers import holiday/ answers.csv
    """
    records = read_answers(table, person=person, folder=folder)
    with AnswerStore(answers or answers_path(folder)) as store:
        added = store.merge(records)
    typer.echo(f"{counted(added, 'answer')} taken over, {len(records) - added} there already")
    missing = {name for r in records for name in r.pair if not (folder / name).exists()}
    if missing:
        example = printable(min(missing))
        say(f"{len(missing)} of their photos are not in {folder}, such as {example}")
