"""The configuration of a run as TOML: read, checked by name and type, written."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from siamese_nima.errors import ConfigError, ViewError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.training.fitting import Machine
from siamese_nima.training.nima_stage import NimaStageConfig
from siamese_nima.training.objectives import SiameseObjective
from siamese_nima.training.run_config import (
    DataConfig,
    LadderConfig,
    StagePlan,
    TrainConfig,
    default_objective,
    default_stages,
)
from siamese_nima.training.siamese_stage import SiameseStageConfig

Raw = Mapping[str, Any]

# The run's own are the top level's: one seed and one precision for all stages.
_LEARNING = tuple(f for f in NimaStageConfig.__slots__ if f not in ("seed", "precision", "monitor"))
_OBJECTIVE = tuple("objective" if f == "kind" else f for f in SiameseObjective.__slots__)
_STAGE = {
    "nima": ("kind", "freeze", "cache_trunk", "monitor", *_LEARNING),
    "siamese": (
        *("kind", "freeze", "cache_trunk", "sampler", "monitor", *_OBJECTIVE),
        *(f for f in _LEARNING if f != "loss"),
    ),
}
_TOP = tuple(f for f in TrainConfig.__slots__ if f not in ("data", "ladders", "stages", "machine"))
_KNOWN = (*_TOP, *Machine.__slots__, "data", "ladders", "stage")


def read_config(path: Path) -> dict[str, Any]:
    """The entries of a TOML file, unchecked; `config_from` checks them.

    Raises:
        ConfigError: No such file, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file ({error})") from error


def config_from(raw: Raw) -> TrainConfig:
    """The configuration that entries as in a TOML file mean.

    Raises:
        ConfigError: An entry is unknown (names the nearest), of the wrong type or impossible.
    """
    _require_known(raw, _KNOWN, "the configuration")
    data = _table(raw, "data")
    _require_known(data, DataConfig.__slots__, "[data]")
    if "source" not in data:
        raise ConfigError("no photos named: give [data] source, or --data on the command line")
    ladders = _table(raw, "ladders")
    _require_known(ladders, LadderConfig.__slots__, "[ladders]")
    top = {name: raw[name] for name in _TOP if name in raw}
    given = _values(top, TrainConfig, "the configuration")
    given["data"] = DataConfig(**_values(data, DataConfig, "[data]"))
    given["ladders"] = LadderConfig(**_values(ladders, LadderConfig, "[ladders]"))
    machine = {name: raw[name] for name in Machine.__slots__ if name in raw}
    given["machine"] = Machine(**_values(machine, Machine, "the configuration"))
    if "stage" in raw:
        given["stages"] = tuple(_stages(raw["stage"]))
    return TrainConfig(**given)


def merged(
    raw: Raw,
    *,
    top: Raw,
    data: Raw,
    ladders: Raw,
    kinds: Iterable[str] | None,
    every_stage: Raw,
    last_stage: Raw,
) -> dict[str, Any]:
    """Entries of a file with options of the command line in front; an option of None says nothing.

    Args:
        raw: The file's entries.
        top: Options of the whole run.
        data: Of its photos.
        ladders: Of its ladders.
        kinds: Kinds of stages, whose defaults replace the file's stages.
        every_stage: Options for every stage.
        last_stage: Options for the last stage alone: those before it are its preparation.
    """
    result = dict(raw) | _given(top)
    for name, options in (("data", data), ("ladders", ladders)):
        if given := _given(options):
            result[name] = dict(_table(raw, name)) | given
    if kinds:
        result["stage"] = stage_entries(kinds)
    if _given(every_stage) or _given(last_stage):
        stages = result.get("stage") or stage_entries(["nima"])
        if not isinstance(stages, list):
            return result  # refused by `config_from`, which says why
        stages = [dict(entry) | _given(every_stage) for entry in stages]
        last = _given(last_stage)
        if "objective" in last:  # what the one before it had may not suit it
            stages[-1] = {n: v for n, v in stages[-1].items() if n not in ("doubt", "margin")}
        stages[-1] |= last
        result["stage"] = stages
    return result


def _given(options: Raw) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value is not None
    }


def stage_entries(kinds: Iterable[str]) -> list[dict[str, Any]]:
    """The default stages of some kinds, one after the other, as entries of a TOML file.

    Raises:
        ConfigError: Another kind.
    """
    entries = []
    for kind in kinds:
        if kind not in _STAGE:
            raise ConfigError(f"stage must be one of {', '.join(_STAGE)}, got {kind!r}")
        entries += [_stage_entry(plan) for plan in default_stages(kind)]  # type: ignore[arg-type]
    return entries


def config_text(config: TrainConfig) -> str:
    """The configuration as TOML that `config_from` reads back; what is None is left out."""
    top = {name: getattr(config, name) for name in _TOP}
    top |= {name: getattr(config.machine, name) for name in Machine.__slots__}
    parts = [_lines(top)]
    for name, table in (("data", config.data), ("ladders", config.ladders)):
        values = {field: getattr(table, field) for field in type(table).__slots__}
        parts.append(f"[{name}]\n{_lines(values)}")
    parts += [f"[[stage]]\n{_lines(_stage_entry(plan))}" for plan in config.stages]
    return "\n".join(parts)


def _stages(raw: Any) -> Iterable[StagePlan]:
    if not isinstance(raw, list) or not all(isinstance(entry, Mapping) for entry in raw):
        raise ConfigError("stages are written as [[stage]], each with its own entries")
    for number, entry in enumerate(raw, start=1):
        try:
            yield _stage(entry, f"[[stage]] {number}")
        except ConfigError as error:
            where = f"[[stage]] {number}"
            raise ConfigError(str(error) if where in str(error) else f"{where}: {error}") from None


def _stage(entry: Raw, where: str) -> StagePlan:
    kind = entry.get("kind", "nima")
    if kind not in _STAGE:
        raise ConfigError(f"kind must be one of {', '.join(_STAGE)}, got {kind!r}")
    if wrong := [n for n in entry if n in _STAGE["siamese"] and n not in _STAGE[kind]]:
        raise ConfigError(f'{wrong[0]!r} is for kind = "siamese", this is a NIMA stage')
    _require_known(entry, _STAGE[kind], where)
    base = default_stages(kind)[-1]
    names = _LEARNING if kind == "siamese" else (*_LEARNING, "monitor")
    learning = {n: entry[n] for n in names if n in entry}
    plan = base.with_learning(**_values(learning, NimaStageConfig, where))
    changes: dict[str, Any] = {n: entry[n] for n in ("freeze", "cache_trunk") if n in entry}
    if str(changes.get("freeze")).isdigit():
        changes["freeze"] = int(changes["freeze"])  # an option of the command line is text
    if isinstance(freeze := changes.get("freeze", ""), bool) or not isinstance(freeze, str | int):
        raise ConfigError(f"freeze is a name or a number of layers, got {freeze!r}")
    if kind == "siamese":
        asked = {n: entry[n] for n in _OBJECTIVE if n in entry}
        objective = {"kind" if n == "objective" else n: v for n, v in asked.items()}
        own = {n: entry[n] for n in ("sampler", "monitor") if n in entry}
        settings: Any = plan.settings
        changes["settings"] = SiameseStageConfig(
            objective=SiameseObjective(
                **default_objective(objective.get("kind", "preference"))
                | _values(objective, SiameseObjective, where)
            ),
            learning=settings.learning,
            **({"sampler": settings.sampler, "monitor": settings.monitor} | own),
        )
    return StagePlan(
        **({"settings": plan.settings, "freeze": plan.freeze, "cache_trunk": None} | changes)
    )


def _stage_entry(plan: StagePlan) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": plan.kind, "freeze": plan.freeze}
    entry |= {"cache_trunk": plan.cache_trunk, "monitor": plan.monitor}
    if isinstance(plan.settings, SiameseStageConfig):
        objective = plan.settings.objective
        entry |= {n: getattr(objective, "kind" if n == "objective" else n) for n in _OBJECTIVE}
        entry["sampler"] = plan.settings.sampler
    entry |= {name: getattr(plan.learning, name) for name in _LEARNING if name in _STAGE[plan.kind]}
    return {name: value for name, value in entry.items() if value is not None}


def _table(raw: Raw, name: str) -> Raw:
    table = raw.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{name} is a table, written as [{name}], got {table!r}")
    return table


def _require_known(raw: Raw, known: Iterable[str], where: str) -> None:
    names = list(known)
    for name in raw:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ConfigError(
                f"{where} has an unknown entry {name!r}{hint} Possible are {', '.join(names)}"
            )


def _values(raw: Raw, owner: type[Any], where: str) -> dict[str, Any]:
    try:
        return {name: _value(value, name, owner) for name, value in raw.items()}
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(value: Any, name: str, owner: type[Any]) -> Any:
    """A TOML value as the dataclass wants it, told by the field's annotation."""
    kinds = {f.name: str(f.type) for f in fields(owner)}[name].split(" | ")
    match kinds[0]:
        case "RatingScale" if isinstance(value, str):
            return RatingScale.parse(value)
        case "ViewPolicy" if isinstance(value, str):
            try:
                return ViewPolicy.parse(value)
            except ViewError as error:
                raise ConfigError(f"{name}: {error}") from error
        case "Path" if isinstance(value, str):
            return Path(value)
        case "tuple[float, ...]" if isinstance(value, list | tuple):
            return tuple(_typed(part, "float", name) for part in value)
        case "int" | "float" | "bool" as kind:
            return _typed(value, kind, name)
        case _ if isinstance(value, str):
            return value  # text, or one of several words that the dataclass checks
    raise ConfigError(f"{name} is text, got {value!r}")


def _typed(value: Any, kind: str, name: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "bool": isinstance(value, bool),
        "int": is_number and isinstance(value, int),
        "float": is_number,
    }[kind]
    if not fits:
        wanted = {"bool": "true or false", "int": "a whole number", "float": "a number"}[kind]
        raise ConfigError(f"{name} is {wanted}, got {value!r}")
    return float(value) if kind == "float" else value


def _lines(values: Raw) -> str:
    return "".join(
        f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None
    )


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case RatingScale():
            return _toml(f"{value.low}..{value.high}")
        case _:
            # A JSON string is a TOML string.
            return json.dumps(str(value), ensure_ascii=False)
