"""How commands and groups of them show themselves in help, and how they read what was typed."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose help shows flags without the kind of value that they do not take."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return [_as_ours(param) for param in super().get_params(ctx)]


class Group(TyperGroup):
    """The same for commands that have commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return [_as_ours(param) for param in super().get_params(ctx)]


def _as_ours(param: Any) -> Any:
    if getattr(param, "is_flag", False) and param.metavar is None:
        param.metavar = ""
    # Newer versions of typer read every value with pydantic, whose import takes longer than scoring
    # a photo; older ones have no such method.
    typers_own = getattr(param, "get_runtime_param", None)
    if typers_own is not None and "get_runtime_param" not in vars(param):
        reader = _TextAsItIs(typers_own)
        param.get_runtime_param = lambda: reader
    return param


class _TextAsItIs:
    """Reads what needs no reading: text, and options that were not given."""

    def __init__(self, typers_own: Callable[[], Any]) -> None:
        self._typers_own = typers_own

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as its command takes it."""
        wanted = param.type_descriptor
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if isinstance(value, Enum):
            return value
        if wanted.parameter_info.parser is None:
            if wanted.annotation is str and isinstance(value, str):
                return value
            if wanted.annotation == list[str] and isinstance(value, list | tuple):
                return list(value)
        return self._typers_own().coerce(value, param=param, ctx=ctx)
