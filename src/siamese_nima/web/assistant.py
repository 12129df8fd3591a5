"""Tools for assistants, by the Model Context Protocol: photos of named folders, and no others.

All but `write` and `undo` only read. What is written was planned and shown before, goes into
sidecars, and can be undone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from pathlib import Path
from threading import RLock
from typing import Any, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from siamese_nima.curation.bursts import Burst, FrameReader, find_bursts, keepers
from siamese_nima.curation.reasons import NO_DIFFERENCE, flaws, reason_against
from siamese_nima.errors import NimaError, PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.shots import group_shots
from siamese_nima.printable import printable
from siamese_nima.scoring.detail import try_detail
from siamese_nima.scoring.ranking import describe_order, describe_ranking, rank_photos
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.culling import Culling, GivenChoice, Order

_MOST = 500  # rows of one answer
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_INSTRUCTIONS = (
    "Scores of photos in folders of this machine, as people would rate them. Scores that are close "
    "are too close to call; say so. Before anything is written, show the person what `plan` "
    "answers, and call `write` only when they agree."
)

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class NamedFolder:
    """One folder that the person named; it is scored when it is first asked about."""

    def __init__(self, path: Path, scorer: Scorer) -> None:
        self.path = path
        self._scorer = scorer
        found = find_photos([path], inside=path)
        self.photos: Mapping[str, Path] = {
            Path(os.path.relpath(photo, path)).as_posix(): photo for photo in found.paths
        }
        self.shots = group_shots(os.fspath(photo) for photo in found.paths)

    @cached_property
    def _frames(self) -> FrameReader:
        return FrameReader(self._scorer.decode_px)

    @cached_property
    def results(self) -> list[ScoredPhoto]:
        """A result for each photo; camera raw and JPEG of one shot are one."""
        return list(self._scorer.score_shots(self.shots, on_photo=self._frames.look))

    @cached_property
    def bursts(self) -> Sequence[Burst]:
        """Its bursts."""
        return find_bursts(self.results, self._scorer, self._frames)

    @cached_property
    def culling(self) -> Culling:
        """What writes into its sidecars; nothing is kept beside them."""
        return Culling(self.path, self.photos, self.results, keeps=False)

    def name(self, path: str) -> str:
        """What a photo is called: its path in the folder."""
        return printable(Path(os.path.relpath(path, self.path)).as_posix())

    def result(self, photo: str) -> ScoredPhoto:
        """The result of a photo.

        Raises:
            PhotoError: There is no such photo, or it has no score.
        """
        path = self.photos.get(photo)
        if path is None:
            raise PhotoError(f"no photo {photo[:200]!r} in this folder; `rank` names them")
        named = os.fspath(path)
        place = next(place for place, shot in enumerate(self.shots) if named in shot.files)
        found = self.results[place]
        if found.error is not None:
            raise PhotoError(self.told(found.error))
        return found

    def told(self, error: str) -> str:
        """An error without where the folder is."""
        return printable(error.replace(f"{self.path}{os.sep}", ""))


def assistant_server(folders: Sequence[Path], scorer: Scorer) -> MCPServer:
    """A server with tools over these folders.

    Args:
        folders: The only ones that any tool reaches; links that lead out of them are not followed.
        scorer: Scores their photos.
    """
    known = {_folder_name(folder, folders): NamedFolder(folder, scorer) for folder in folders}
    server = MCPServer("siamese-nima", instructions=_INSTRUCTIONS)
    one_at_a_time = RLock()

    def opened(folder: str) -> NamedFolder:
        if folder not in known:
            raise PhotoError(f"no folder {folder[:200]!r} was named; there are {', '.join(known)}")
        return known[folder]

    def tool(hints: ToolAnnotations) -> Callable[[Callable[Given, Answer]], None]:
        def add(function: Callable[Given, Answer]) -> None:
            @wraps(function)
            def told(*values: Given.args, **named: Given.kwargs) -> Answer:
                try:
                    with one_at_a_time:
                        return function(*values, **named)
                except NimaError as error:
                    raise ToolError(str(error)) from error

            server.tool(annotations=hints)(told)

        return add

    @tool(_READS)
    def folders_named() -> dict[str, int]:
        """The folders that can be asked about, and how many photos each has."""
        return {name: len(folder.shots) for name, folder in known.items()}

    @tool(_READS)
    def score(folder: str, photos: list[str]) -> list[dict[str, Any]]:
        """Scores of some photos of a folder: 1 to 10, higher is better, with percentiles."""
        named = opened(folder)
        return [_told(named, named.result(photo)) for photo in photos[:_MOST]]

    @tool(_READS)
    def rank(
        folder: str, top: int = 20, one_per_burst: bool = False, worst_first: bool = False
    ) -> dict[str, Any]:
        """The best photos of a folder, best first, and how sure the order is."""
        named = opened(folder)
        results = keepers(named.results, named.bursts) if one_per_burst else named.results
        ranked = [result for result in rank_photos(results) if result.score is not None]
        shown = ranked[::-1] if worst_first else ranked
        return {
            "photos": [_told(named, result) for result in shown[: min(max(top, 0), _MOST)]],
            "scored": len(ranked),
            "failed": [named.told(r.error) for r in named.results if r.error is not None][:_MOST],
            "how_sure": describe_ranking(ranked, scorer.card.pair_error, brief=True),
        }

    @tool(_READS)
    def bursts(folder: str) -> list[dict[str, Any]]:
        """Series of the same thing, the best photo of each first, and why the others lose."""
        named = opened(folder)
        return [
            {
                "verdict": burst.verdict,
                "photos": [
                    {**_told(named, photo), "reason": burst.reason(place)}
                    for place, photo in enumerate(burst.photos)
                ],
            }
            for burst in named.bursts[:_MOST]
        ]

    @tool(_READS)
    def explain(folder: str, photo: str) -> dict[str, Any]:
        """What a photo's score rests on: its flaws at 100 %, and where it stands in its burst."""
        named = opened(folder)
        result = named.result(photo)
        detail = try_detail(result.path, faces=True)
        burst = next((b for b in named.bursts if result.path in b.paths), None)
        place = None if burst is None else burst.paths.index(result.path)
        return {
            **_told(named, result),
            "flaws": [] if detail is None else [flaw.words for flaw in flaws(detail)],
            "burst": None
            if burst is None or place is None
            else {
                "place": place + 1,
                "of": len(burst.photos),
                "best": named.name(burst.best.path),
                "reason": burst.reason(place),
            },
        }

    @tool(_READS)
    def compare(folder: str, first: str, second: str) -> dict[str, Any]:
        """Which of two photos is better, how sure that is, and what speaks against the other."""
        named = opened(folder)
        better, other = rank_photos([named.result(first), named.result(second)])
        details = [try_detail(result.path, faces=True) for result in (other, better)]
        reason = NO_DIFFERENCE
        if details[0] is not None and details[1] is not None:
            reason = reason_against(details[0], details[1])
        return {
            "better": named.name(better.path),
            "sentence": describe_order(better, other, scorer.card.pair_error),
            "against_the_other": reason,
        }

    @tool(_READS)
    def plan(
        folder: str,
        choices: dict[str, GivenChoice],
        program: str | None = None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """What writing stars (1 to 5), flags (pick, reject) and colours into sidecars would do.

        Nothing is written. Show it to the person; `write` wants the digest, and the same again.
        Choices are by photo. Ratings that the person gave elsewhere stay, unless overwrite is true.
        """
        return opened(folder).culling.plan(_order(choices, program, overwrite))

    @tool(_WRITES)
    def write(
        folder: str,
        choices: dict[str, GivenChoice],
        digest: str,
        program: str | None = None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Write what `plan` has shown and the person has agreed to; photos stay as they are.

        The answer lists undo logs; `undo` with the first one puts everything back.
        """
        culling = opened(folder).culling
        done = culling.write(_order(choices, program, overwrite, digest))
        return {**done, "undo": culling.state()["undo"]}

    @tool(_WRITES)
    def undo(folder: str, log: str) -> dict[str, Any]:
        """Put sidecars back as they were before `write`; the log is one that it has named."""
        return opened(folder).culling.undo(log)

    return server


def _folder_name(folder: Path, others: Sequence[Path]) -> str:
    """The last part of its path, or all of it where two are alike."""
    name = folder.resolve().name
    alike = sum(other.resolve().name == name for other in others) > 1
    return printable(str(folder) if alike or not name else name)


def _order(
    choices: Mapping[str, GivenChoice], program: str | None, overwrite: bool, digest: str = ""
) -> Order:
    return Order(
        what="sidecars",
        choices=dict(choices),
        program=program,
        overwrite=overwrite,
        digest=digest or None,
    )


def _told(folder: NamedFolder, result: ScoredPhoto) -> dict[str, Any]:
    """A result as an assistant reads it."""
    values = result.to_dict()
    told = {name: values[name] for name in ("score", "spread", "percentile")}
    others = {name: other.score for name, other in result.others.items()}
    return {"photo": folder.name(result.path), **told, **({"others": others} if others else {})}
