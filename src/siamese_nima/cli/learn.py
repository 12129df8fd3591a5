"""`nima learn`: a model of one's own taste, from the answers that `nima pick` gathered."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_nima.cli import options
from siamese_nima.cli.pick import AnswersFile
from siamese_nima.cli.run import progress_bar
from siamese_nima.cli.streams import say, tell
from siamese_nima.errors import AnswerError, ConfigError
from siamese_nima.taste.agreement import Share
from siamese_nima.taste.answers import SOMEBODY, Answer, AnswerStore, answers_path, in_words
from siamese_nima.taste.ratings import (
    keepers_and_rest,
    read_ratings,
    read_stars,
)
from siamese_nima.taste.session import TASTE_MODEL

if TYPE_CHECKING:
    from siamese_nima.taste.learn import Learnt


def learn(
    folder: options.Folder,
    name: Annotated[str, typer.Option(help="What the model is to be called.")] = "my-taste",
    answers: AnswersFile = None,
    person: Annotated[
        list[str] | None,
        typer.Option(help="Whose answers; given several times, their answers are pooled."),
    ] = None,
    stars: Annotated[
        bool,
        typer.Option("--stars", help="Learn from the stars in sidecars and photos of the folder."),
    ] = False,
    keepers: Annotated[
        Path | None,
        typer.Option(
            help="Learn from what you kept: a folder inside FOLDER, against all others.",
        ),
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option(help="Learn from a CSV file of photos and ratings.", dir_okay=False),
    ] = None,
    pooled: Annotated[bool, typer.Option("--pooled", help="Everybody's answers together.")] = False,
    model: options.Model = TASTE_MODEL,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write the model even if it is not better.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = 0,
    workers: options.Workers = None,
) -> None:
    """Learn which photos you like better, and say whether it worked.

    From the answers of 'nima pick', or from what you have: stars, keepers, a table of ratings.

    Example: nima learn holiday/ --stars --name my-taste
    """
    with options.needs_extra("learn", "nima learn"):
        from siamese_nima.taste.learn import LearnConfig
        from siamese_nima.taste.learn import learn as learn_from
    config = LearnConfig(name=name, model=model, keep=keep, seed=seed)
    rated = _ratings(folder, keepers, ratings, stars=stars)
    said: Sequence[Answer] | dict[str, float]
    if rated is None:
        given = answers or answers_path(folder)
        if not given.exists():
            raise AnswerError(
                f"{given}: no answers yet; 'nima pick' gathers them, and --stars, --keepers and "
                "--ratings learn from what you have already"
            )
        with AnswerStore(given, read_only=True) as store:
            said = _chosen(store, person, pooled=pooled)
    else:
        said = rated
    whose = person[0] if person else SOMEBODY
    with progress_bar("looking at photos") as report:
        learnt = learn_from(folder, said, config, person=whose, workers=workers, report=report)
    for line in report_lines(learnt):
        tell(line)
    if learnt.model is None:
        more = (
            "ratings may help"
            if rated
            else f"answers may help: nima pick {shlex.quote(str(folder))}"
        )
        say(
            f"nima: no model was written, as it is not shown to be better than {model}. More "
            f"{more}. --keep writes it all the same."
        )
        raise typer.Exit(1)


def report_lines(learnt: Learnt) -> Iterator[str]:
    """The report as the terminal shows it."""
    found, name = learnt.held_out.agreement, learnt.config.name
    general = learnt.general.rsplit("@", 1)[0].rsplit("-", 1)[0]
    ties = len(learnt.comparisons) - found.general.of
    people = " and ".join(map(in_words, learnt.people))
    of_people = "" if learnt.people == (SOMEBODY,) else f" of {people}"
    by_photo = learnt.self_agreement is None
    if by_photo:
        yield f"ratings of {learnt.photos} photos"
    else:
        yield f"{len(learnt.comparisons)} answers{of_people} about {learnt.photos} photos" + (
            f", {ties} of them too close to call" if ties else ""
        )
    for reason, count in learnt.left_out.items():
        if count:
            yield f"left out: {count} {'ratings' if by_photo else 'answers'} whose {reason}"
    yield ""
    what = "pairs" if by_photo else "answers"
    rows = [
        (general, found.general, what),
        (name, found.personal, what),
    ]
    if learnt.self_agreement is not None:
        rows.append((f"{people}, asked again", learnt.self_agreement, "pairs"))
    width = max(len(label) for label, _, _ in rows)
    yield "agrees with your ratings" if by_photo else "agrees with your answers"
    for label, share, what in rows:
        yield f"  {label:{width}}  {_percent(share, what)}"
    change = found.difference
    yield (
        f"  {name} less {general}: {100 * change.value:+.1f} points "
        f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}]: {found.verdict}"
    )
    new = "photos" if learnt.held_out.new_photos else "pairs"
    yield f"In brackets 95 %. Judged on {new} that it had not learnt from."
    if learnt.model is not None:
        yield ""
        if not learnt.better:
            yield f"{name} is not shown to be better than {general}; written as you asked."
        yield f"wrote {learnt.model}: nima rank FOLDER --model {shlex.quote(name)}"


def _percent(share: Share, what: str) -> str:
    if not share.of:
        return "unknown: nothing was asked twice"
    interval = f"[{100 * share.low:.1f}, {100 * share.high:.1f}]"
    return f"{100 * share.value:5.1f} %  {interval:14} of {share.of} {what}"


def _ratings(
    folder: Path, keepers: Path | None, table: Path | None, *, stars: bool
) -> dict[str, float] | None:
    """The ratings that are meant; None for the answers of `nima pick`.

    Raises:
        ConfigError: Several of them.
    """
    if stars + (keepers is not None) + (table is not None) > 1:
        raise ConfigError("--stars, --keepers and --ratings: give one of them")
    if stars:
        return read_stars(folder)
    if keepers is not None:
        return keepers_and_rest(folder, keepers)
    return None if table is None else read_ratings(table, folder)


def _chosen(store: AnswerStore, person: Sequence[str] | None, *, pooled: bool) -> list[Answer]:
    """The answers that are meant.

    Raises:
        ConfigError: There are several people, and none was named; or one is not there.
    """
    counts = store.people()
    named = ", ".join(f"{who} ({count})" for who, count in counts.items())
    if unknown := [who for who in person or () if who not in counts]:
        raise ConfigError(f"--person {unknown[0]}: no answers; there are those of {named}")
    if person and pooled:
        raise ConfigError("--person and --pooled: give one of them")
    if len(counts) > 1 and not person and not pooled:
        raise ConfigError(
            f"answers of several people: {named}. Name one with --person, or pool them with "
            "--pooled."
        )
    return store.answers(set(person) if person else None)
