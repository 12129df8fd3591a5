"""`nima pick answers`: what people said of a folder's photos, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.atomic_write import check_output
from siamese_nima.cli import options
from siamese_nima.cli.commands import App
from siamese_nima.cli.pick import AnswersFile
from siamese_nima.printable import counted, printable
from siamese_nima.taste.answers import AnswerStore, answers_path, read_answers, write_answers

app = App(no_args_is_help=True)

Table = Annotated[
    Path, typer.Argument(help="CSV file of answers.", metavar="TABLE", dir_okay=False)
]


@app.callback()
def answers() -> None:
    """Count the answers that 'nima pick' gathered, write them to a CSV file, or read one.

    Example: nima pick answers show holiday/
    """


@app.command("show")
def show(folder: options.Folder, answers: AnswersFile = None) -> None:
    """Show how many answers each person gave.

    Example: nima pick answers show holiday/
    """
    with AnswerStore(answers or answers_path(folder), read_only=True) as store:
        for person, count in store.people().items():
            aside = len(store.flags([person]))
            typer.echo(f"{person}: {counted(count, 'answer')}, {counted(aside, 'pair')} set aside")


@app.command("export")
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


@app.command("import")
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
        typer.echo(
            f"{len(missing)} of their photos are not in {folder}, such as {example}", err=True
        )
