"""Tables of a TOML file as pydantic models, what their entries can be, and errors as sentences."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)
from pydantic_core import ErrorDetails

from siamese_nima.errors import ConfigError, ViewError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

UNKNOWN_ENTRY = "has an unknown entry"
_TABLES = ("data", "ladders", "card", "stage")
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "is_instance_of": "text",
    "path_type": "text",
    "tuple_type": "a list",
}


class Table(BaseModel):
    """A table of the file, with its errors as sentences."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # An entry that is misspelt is said before the one that is missing for it.
            found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
            raise ConfigError(_sentence(found[0], list(type(self).model_fields))) from None

    def changed(self, **changes: Any) -> Self:
        """The same with some entries changed, checked again."""
        return type(self)(
            **({name: getattr(self, name) for name in self.model_fields_set} | changes)
        )

    def entries(self) -> dict[str, Any]:
        """The table as TOML holds it; what is None is left out."""
        return self.model_dump(mode="json", exclude_none=True)


def _view(value: Any) -> Any:
    try:
        return ViewPolicy.parse(value) if isinstance(value, str) else value
    except ViewError as error:
        raise ValueError(f"view: {error}") from None


FROM_FILE = Field(strict=False)  # made of what the file holds
_AS_TEXT = BeforeValidator(lambda name: os.fspath(name) if isinstance(name, os.PathLike) else name)
NameOrPath = Annotated[str, _AS_TEXT]
TomlPath = Annotated[Path, Field(strict=False), _AS_TEXT, PlainSerializer(str)]
TomlScale = Annotated[
    RatingScale,
    BeforeValidator(lambda scale: RatingScale.parse(scale) if isinstance(scale, str) else scale),
    PlainSerializer(lambda scale: f"{scale.low}..{scale.high}"),
]
TomlView = Annotated[ViewPolicy, BeforeValidator(_view), PlainSerializer(str)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0)]
Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _sentence(error: ErrorDetails, names: list[str]) -> str:
    """What pydantic found, in the words of the file."""
    name, *places = (str(part) for part in error["loc"] or ("",))
    got, limits = error["input"], error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            return f"{UNKNOWN_ENTRY} {name!r}{hint} Possible are {', '.join(names)}"
        case "missing" if name == "data":
            return "no photos named: give [data] source, or --data on the command line"
        case "missing":
            return f"{name} is missing"
        case "literal_error":
            wanted = ", ".join(re.findall("'([^']*)'", str(limits["expected"])))
            return f"{name} must be one of {wanted}, got {got!r}"
        case "greater_than_equal" if limits["ge"] == 0:
            return f"{name} must not be negative, got {got}"
        case "greater_than_equal":
            return f"{name} must be at least {limits['ge']}, got {got}"
        case "greater_than":
            return f"{name} must be above {limits['gt']:g}, got {got}"
        case "less_than_equal":
            return f"{name} must be at most {limits['le']}, got {got}"
        case "less_than":
            return f"{name} must be below {limits['lt']:g}, got {got}"
        case "value_error" if name in _TABLES:
            where, said = f"[{name}]", str(limits["error"])
            if places:
                where = f"[[{name}]] {int(places[0]) + 1}"
            return f"{where}{' ' if said.startswith(UNKNOWN_ENTRY) else ': '}{said}"
        case "value_error":
            said = str(limits["error"])
            return said if not name or said.startswith(name) else f"{name}: {said}"
        case _ if name == "stage":
            return "stages are written as [[stage]], each with its own entries"
        case _ if name in _TABLES:
            return f"{name} is a table, written as [{name}], got {got!r}"
        case kind if kind in _WANTED:
            return f"{name} is {_WANTED[kind]}, got {got!r}"
    return f"{name}: {error['msg']}, got {got!r}"
