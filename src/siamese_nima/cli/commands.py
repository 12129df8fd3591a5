"""How commands and groups of them show themselves in help, and how they read what was typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_KINDS = {
    "str": "TEXT",
    "int": "N",
    "int range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
    "path": "PATH",
    "file": "FILE",
    "dir": "FOLDER",
}
_KIND = re.compile(r"<(?:list\[)?([^\]>]+)\]?>")


class _ForPeople:
    """Help for people, of commands and of groups of them."""

    def __init__(self, *args: Any, help: str | None = None, **attributes: Any) -> None:
        super().__init__(*args, help=_flowing(help), **attributes)  # type: ignore[call-arg]

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return [_as_ours(param) for param in super().get_params(ctx)]  # type: ignore[misc]


class Command(_ForPeople, TyperCommand):
    """A command."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help."""
        _say_kinds(self.params, ctx)
        super().format_help(ctx, formatter)


class Group(_ForPeople, TyperGroup):
    """A command that has commands."""


class App(typer.Typer):
    """A group of commands, all of them with such help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(cls=Group, **attributes)

    def command(self, name: str | None = None, **attributes: Any) -> Callable[[Any], Any]:
        """As typer's."""
        return super().command(name, **{"cls": Command, **attributes})


def _flowing(text: str | None) -> str | None:
    """Help whose paragraphs are as wide as the terminal, not as the source."""
    paragraphs = re.split(r"\n\s*\n", text or "")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs) or None


def _say_kinds(params: list[Any], context: Any) -> None:
    """Name the kind of every value in a word; an argument's own name says it.

    Where a number may not be, its error says.
    """
    for param in params:
        param._get_number_range_help_str = lambda: None
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: None  # noqa: ARG005
        elif param.metavar is None and hasattr(param, "display_type"):
            kind = _KIND.fullmatch(param.display_type(context))
            param.metavar = _KINDS.get(kind[1]) if kind else None


def _as_ours(param: Any) -> Any:
    if getattr(param, "is_flag", False) and param.metavar is None:
        param.metavar = ""
    if param.param_type_name == "argument" and param.required and param.metavar:
        name = f"{param.metavar}{'...' * (param.nargs != 1)}"
        param._usage_display_name = lambda: name  # of newer versions, which puts it in braces
    # Newer versions of typer read every value with pydantic, whose import takes longer than scoring
    # a photo; older ones have no such method.
    typers_own = getattr(param, "get_runtime_param", None)
    if typers_own is not None and "get_runtime_param" not in vars(param):
        reader = _TextAsItIs(typers_own)
        param.get_runtime_param = lambda: reader
    return param


class _TextAsItIs:
    """Reads what needs no reading: text, words of ours, and options that were not given."""

    def __init__(self, typers_own: Callable[[], Any]) -> None:
        self._typers_own = typers_own

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as its command takes it."""
        wanted = param.type_descriptor
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if parser := wanted.parameter_info.parser:
            return list(map(parser, value)) if param.multiple else parser(value)
        if wanted.annotation is str and isinstance(value, str):
            return value
        if wanted.annotation == list[str] and isinstance(value, list | tuple):
            return list(value)
        return self._typers_own().coerce(value, param=param, ctx=ctx)
