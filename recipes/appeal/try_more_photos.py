"""What photos that nobody rated for appeal would be worth to its head.

    python recipes/appeal/try_more_photos.py --oasis oasis --study sophoappeal --biq BIQ2021 \\
        --lite0 F.pth --lite1 F.pth --lite2 F.pth --out benchmarks/quality/appeal_more.json

The features of `appeal` 3, taught by photos of BIQ2021 too. Their targets are what ridge regression
on more networks says of them (distillation), or how well they are made (a helper task). Themes and
sources are held out as in `try_features.py`, from the teacher too; of every way the best penalty is
shown, which flatters all of them alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from people import OASIS, Floats, Rows, read_people
from try_features import (
    FIRST,
    FOLDS,
    OFFSET,
    REPEATS,
    TEACHER_WAY,
    WAYS,
    World,
    kernel_of,
    options_parser,
    read_blocks,
    scaled,
)

from siamese_nima.datasets.published import read_biq2021
from siamese_nima.evaluation.metrics import bootstrap_by_scene, srcc

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from machine import provenance, report

PHOTOS, DRAWS = 1500, 2
WEIGHTS = {"distilled": (0.0, 0.5, 1.0, 2.0, 4.0), "BIQ2021 helps": (0.1,)}  # of one more photo
PENALTIES = (0.5, 1.0, 2.0)
TEACHER_PENALTY = 0.5
EVERY = ("oasis", "study", "biq")


def main() -> None:
    """Compare and write the figures."""
    parser = options_parser(__doc__)
    parser.add_argument("--biq", type=Path, required=True, help="folder of BIQ2021")
    options = parser.parse_args()
    rated = read_people(options.oasis, options.study)
    world = World.of(rated)
    paths, mos = _more(options.biq)
    inputs = scaled(read_blocks(WAYS[FIRST], rated, options, EVERY, paths))
    teacher = kernel_of(read_blocks(TEACHER_WAY, rated, options, EVERY, paths))
    helped = (mos - mos.mean()) / mos.std()
    shape = (DRAWS, len(PENALTIES), len(rated.means))
    said: dict[tuple[str, float], Floats] = {}
    for draw, number, held in _parts(world):
        rows = np.setdiff1d(np.arange(len(rated.means)), held)
        targets = {"distilled": _taught(world, teacher, rows), "BIQ2021 helps": helped}
        for name, weights in WEIGHTS.items():
            for weight in weights:
                kept = said.setdefault((name, weight), np.zeros(shape))
                found = _ridge(world, inputs, rows, targets[name], weight, held)
                kept[draw][:, held] = found
        print(f"draw {draw}, part {number} done", file=sys.stderr, flush=True)
    usual = _best(world, said["distilled", 0.0])
    table = []
    for (name, weight), values in said.items():
        best = _best(world, values)
        row: dict[str, object] = {"name": name if weight else "none", "weight": weight}
        for part, of_part in (("oasis", rated.of_oasis), ("study", ~rated.of_oasis)):
            rows = np.flatnonzero(of_part)
            gain = bootstrap_by_scene(
                lambda index, rows=rows, best=best: (  # type: ignore[misc]
                    _srcc(world, best, rows[index]) - _srcc(world, usual, rows[index])
                ),
                rated.themes[rows].tolist(),
                repeats=REPEATS,
            )
            row[part] = round(_srcc(world, best, rows), 4)
            row[f"{part} gain"] = [round(v, 4) for v in (gain.value, gain.low, gain.high)]
        table.append(row)
    report({"rows": table, "more_photos": len(paths), **provenance()}, options.out)


def _more(folder: Path) -> tuple[tuple[Path, ...], Floats]:
    """Photos of BIQ2021, and people's means of their technical quality."""
    table = read_biq2021(folder)
    order = sorted(range(len(table)), key=lambda row: table.paths[row])
    drawn = np.random.default_rng(0).permutation(len(order))[:PHOTOS]
    rows = [order[place] for place in sorted(drawn.tolist())]
    return tuple(table.paths[row] for row in rows), table.mos[rows]


def _parts(world: World) -> list[tuple[int, str, Rows]]:
    """What is held out: fifths of the themes by draw, and each source of the study in all draws."""
    themes = [
        (draw, str(number), np.flatnonzero(world.folds[draw] == number))
        for draw in range(DRAWS)
        for number in range(FOLDS)
    ]
    sources = [
        (0, source, np.flatnonzero(world.rated.groups == source)) for source in world.rated.sources
    ]
    return [*themes, *sources]


def _srcc(world: World, said: Floats, rows: Rows) -> float:
    """Of OASIS the mean of the draws, of the study that of the sources of the first."""
    rated = world.rated
    if rated.of_oasis[rows[0]]:
        return float(np.mean([srcc(values[rows], rated.means[rows]) for values in said]))
    parts = [rows[rated.groups[rows] == source] for source in rated.sources]
    return float(np.mean([srcc(said[0][part], rated.means[part]) for part in parts]))


def _best(world: World, said: Floats) -> Floats:
    """Shape (draws, N), at the penalty that is best on OASIS."""
    rows = np.flatnonzero(world.rated.of_oasis)
    figures = [_srcc(world, said[:, place], rows) for place in range(len(PENALTIES))]
    return np.asarray(said[:, int(np.argmax(figures))])


def _taught(world: World, kernel: Floats, rows: Rows) -> Floats:
    """What a teacher that has seen some rows says of the photos after all rated ones."""
    groups = world.rated.groups[rows]
    same = OFFSET * (groups[:, np.newaxis] == groups)
    here = kernel[np.ix_(rows, rows)] + same + TEACHER_PENALTY * np.eye(len(rows))
    said = kernel[len(world.rated.means) :, rows] @ np.linalg.solve(here, world.targets[rows, 0])
    return np.asarray(said - said.mean())


def _ridge(
    world: World, inputs: Floats, rows: Rows, targets: Floats, weight: float, held: Rows
) -> Floats:
    """Shape (penalties, held): ridge regression on some rows and on more photos."""
    groups = world.rated.groups[rows]
    known, wanted = inputs[rows].copy(), world.targets[rows, 0].copy()
    for group in np.unique(groups):
        here = groups == group
        known[here] -= known[here].mean(0)
        wanted[here] -= wanted[here].mean()
    square, onto = known.T @ known, known.T @ wanted
    if weight:
        more = inputs[len(world.rated.means) :]
        more = more - more.mean(0)
        square = square + weight * more.T @ more
        onto = onto + weight * more.T @ targets
    of_oasis = rows[groups == OASIS]
    new = inputs[held] - inputs[of_oasis].mean(0)
    identity = np.eye(len(square))
    return np.asarray(
        world.targets[of_oasis].mean()
        + np.stack([new @ np.linalg.solve(square + p * identity, onto) for p in PENALTIES])
    )


if __name__ == "__main__":
    main()
