"""The command `nima` as a shell runs it, streams and exit code included, without a new process."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from unittest.mock import patch

from typer.testing import CliRunner, Result

from siamese_nima import cli


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote into the pipes that were its streams."""

    returncode: int
    stdout: str
    stderr: str


def nima(*arguments: object, input: str = "", env: Mapping[str, str] | None = None) -> Done:
    """Run a command; no terminal is there to see it."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(input.encode("utf-8", "surrogateescape")), "utf-8")
    code: object = None
    with (
        patch.object(sys, "argv", ["nima", *map(_text, arguments)]),
        patch.object(sys, "stdin", given),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", errors),
        patch.dict(os.environ, env or {}),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    return Done(code if isinstance(code, int) else int(code is not None), _said(out), _said(errors))


def _text(argument: object) -> str:
    return os.fsdecode(argument) if isinstance(argument, bytes | os.PathLike) else str(argument)


def _said(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8", "surrogateescape")  # type: ignore[attr-defined]


def invoked(*arguments: object) -> Result:
    """The same with the exception that it ended by, before it is put into words."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
