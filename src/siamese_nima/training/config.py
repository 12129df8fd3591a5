"""What a training run is asked to do: a TOML file, each table of which is a class below.

Values are checked when they are made, before any photo or weight is read. What is wrong is said by
the name of the entry, with what was found and what is wanted.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from siamese_nima.csv_rows import as_written, decode_text
from siamese_nima.errors import ConfigError, ViewError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale

Raw = Mapping[str, Any]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
StageKind = Literal["nima", "siamese"]
ObjectiveKind = Literal["contrastive", "margin", "preference"]
PreferenceKind = Literal["soft", "hard", "votes"]
SamplerKind = Literal["random", "scene", "hard", "bucket"]
LoggerKind = Literal["tensorboard", "csv", "wandb", "mlflow"]

HEAD_ALONE, NOTHING, HALF = "backbone", "nothing", "half"  # what may be frozen of any network
_DOUBT_SHARE = 1 / 9  # of the scale's width: a point on 1..10, a network's usual error
_UNKNOWN_ENTRY = "has an unknown entry"
# What pydantic finds, in the words of the file.
_WANTED = {
    **dict.fromkeys(("int_type", "int_from_float"), "is a whole number"),
    **dict.fromkeys(("string_type", "is_instance_of", "path_type"), "is text"),
    "float_type": "is a number",
    "bool_type": "is true or false",
    "tuple_type": "is a list",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt:g}",
}


def _frozen(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"freeze is a name or a number of layers, got {value!r}")
    return int(value) if str(value).isdigit() else value  # an option of the command line is text


def _view(value: Any) -> Any:
    try:
        return ViewPolicy.parse(value) if isinstance(value, str) else value
    except ViewError as error:
        raise ValueError(f"view: {error}") from None


_FROM_FILE = Field(strict=False)  # made of what the file holds
_AS_TEXT = BeforeValidator(lambda name: os.fspath(name) if isinstance(name, os.PathLike) else name)
_NameOrPath = Annotated[str, _AS_TEXT]
_Path = Annotated[Path, _FROM_FILE, _AS_TEXT, PlainSerializer(str)]
_Scale = Annotated[
    RatingScale,
    BeforeValidator(lambda scale: RatingScale.parse(scale) if isinstance(scale, str) else scale),
    PlainSerializer(str),
]
_View = Annotated[ViewPolicy, BeforeValidator(_view), PlainSerializer(str)]
_Names = Annotated[tuple[str, ...], _FROM_FILE]
_Count = Annotated[int, Field(ge=1)]
_Whole = Annotated[int, Field(ge=0)]
_Rate = Annotated[float, Field(ge=0)]
_Above0 = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, lt=1)]


class _Table(BaseModel):
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
            raise ConfigError(_sentence(found[0], type(self).model_fields)) from None

    def changed(self, **changes: Any) -> Self:
        """The same with some entries changed, checked again."""
        known = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**(known | changes))

    def entries(self) -> dict[str, Any]:
        """The table as TOML holds it, without what is None or a NIMA stage has no use for."""
        return self.model_dump(mode="json", exclude_none=True)


class StageConfig(_Table):
    """One stage: its loss is emd_weight * EMD + weight * objective of pairs."""

    kind: StageKind = "nima"  # "siamese" learns from pairs too, with the defaults of `_SIAMESE`
    # What keeps its weights: "backbone" (the head learns alone), "half" (of the backbone's weights,
    # counted from the input), "nothing", the last stage to freeze by name, or a number of layers as
    # the origin counts those of InceptionResNetV2; see `networks.freezing.freeze`.
    freeze: Annotated[str | int, BeforeValidator(_frozen)] = HALF
    # What the head learns from: "all" features, or the channel means of early blocks alone, for
    # which it begins anew (see `TrainConfig.levels`). Beside features that hold what the network
    # has learnt of these very photos, it would hardly hear them.
    reads: Literal["all", "levels"] = "all"
    # Mix the weights with those before the stage, in the share (0, .02, ..., 1) that is best by
    # `monitor` on val photos, as WiSE-FT does (Wortsman et al., 2022, arXiv:2109.01903).
    blend: bool = False
    # Run frozen layers once and keep their results, in bytes (MobileNet v1, three times as fast) or
    # in half precision. None does so where it can be done.
    cache_trunk: bool | None = None
    # The figure whose best epoch is kept (see `val_figures`). On a few dozen val photos order or
    # distance alone is mostly chance; "val_emd_and_order" weighs both by how sure they are.
    monitor: Literal[
        "val_emd_and_order", "val_emd", "val_srcc", "val_pair_accuracy", "val_scene_accuracy"
    ] = "val_emd_and_order"
    # "emd", NIMA's with the root, hears each photo alike and settles near the middle of conflicting
    # labels; "squared_emd" gives way to photos that are furthest off and settles at the mean.
    loss: Literal["emd", "squared_emd"] = "emd"
    emd_weight: _Rate = 1.0  # keeps distributions calibrated; 0 is the objective alone
    weight: _Rate = 0.0  # of the objective
    objective: ObjectiveKind = "preference"  # see `objectives`
    # Rating points; None for 1 (contrastive) or .2 (margin). "preference" has none.
    margin: _Above0 | None = None
    distance: Literal["l1", "l2"] = "l2"  # of "contrastive"
    # How "margin" and "preference" read the labels; see `pairs.label_pairs`.
    labels: PreferenceKind = "soft"
    # For "preference", the network's own error per photo in rating points, beside the labels'. With
    # 0 it draws its scores together until they are as sure as they are right; with about its RMSE
    # it keeps the labels' spread. None for a ninth of the scale's width, a point on 1..10.
    doubt: _Rate | None = None
    # For "contrastive": the few pairs of one bucket weigh as much in sum as all others.
    balanced: bool = True
    # Which photos share a batch: "random", of one "scene", "hard" (nearly equal ratings), or
    # "bucket" (the origin's pairs, batch_size of them). A distortion ladder stays together in all.
    sampler: SamplerKind = "random"
    epochs: _Count = 12  # passes over the training photos
    batch_size: _Count = 16  # photos per step and over all processes
    accumulate: _Count = 1  # batches whose gradients make one step; pairs are within a batch
    clip: _Rate = 0.0  # largest norm of a step's gradient; 0 for any
    head_learning_rate: _Rate = 1e-3  # at its peak
    backbone_learning_rate: _Rate = 1e-4  # of its unfrozen layers; 0 trains the head alone
    layer_decay: _Above0 = 1.0  # each layer's rate by that of the layer above it; 1 for one rate
    # Decoupled; not of biases, norms, or what timm says of the network (position embeddings).
    weight_decay: _Rate = 1e-2
    # Over which the rates rise from 0; None for a tenth of all, at most 100. Not for "plateau".
    warmup_steps: _Whole | None = None
    # "cosine" falls as half a cosine to 0 at the last epoch, "plateau" to .3 of the rates after two
    # epochs without a better val EMD.
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    patience: _Whole = 4  # stop after so many epochs without a better one; 0 never does
    # Of the moving average of weights that is validated and kept; 0 keeps the weights themselves.
    # None averages over about the last tenth of all steps, at most 200 (.995).
    average_decay: _Share | None = None
    dropout: _Share | None = 0.2  # before the head; None leaves the network's (NIMA's is .75)
    update_batch_norm: bool = False  # whether unfrozen batch norms go on measuring statistics
    compile: bool = False  # minutes at the start, less per step on GPUs

    def __init__(self, **values: Any) -> None:
        super().__init__(**((_SIAMESE if values.get("kind") == "siamese" else {}) | values))

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.kind == "nima":
            for name in _OF_PAIRS:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f'{name!r} is for kind = "siamese", this is a NIMA stage')
        if self.weight == self.emd_weight == 0:
            raise ValueError("weight and emd_weight must not both be 0")
        if self.doubt and self.objective != "preference":
            given = f"got {self.doubt:g} for {self.objective!r}"
            raise ValueError(f"doubt is for 'preference', {given}")
        if self.margin is not None and self.objective == "preference":
            raise ValueError(f"'preference' has no margin, got {self.margin:g}")
        if self.reads == "levels" and self.freeze != HEAD_ALONE:
            raise ValueError('reads = "levels" is for the head alone, with freeze = "backbone"')
        if self.sampler == "bucket" and self.objective != "contrastive":
            raise ValueError('the sampler "bucket" is for the objective "contrastive"')
        return self

    @model_serializer(mode="wrap")
    def _without_pairs(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dropped = _OF_PAIRS if self.kind == "nima" else ()
        return {name: value for name, value in handler(self).items() if name not in dropped}

    def doubt_on(self, scale: RatingScale) -> float:
        """The network's own error per photo that pairs are read with, in points of that scale."""
        if self.objective != "preference":
            return 0.0
        return _DOUBT_SHARE * (scale.high - scale.low) if self.doubt is None else self.doubt

    def fitted_to(self, steps: int) -> StageConfig:
        """The same with numbers where `warmup_steps` or `average_decay` is None.

        A moving average over 200 steps would, in a run of 60, mostly hold the weights before it.
        """
        warmup, decay = self.warmup_steps, self.average_decay
        return self.changed(
            warmup_steps=min(100, steps // 10) if warmup is None else warmup,
            average_decay=max(0.0, min(0.995, 1 - 10 / steps)) if decay is None else decay,
        )


_SIAMESE = {"weight": 1.0, "emd_weight": 0.2, "head_learning_rate": 3e-4, "monitor": "val_srcc"}
_OF_PAIRS = (
    *("emd_weight", "weight", "objective", "margin", "distance", "labels", "doubt"),
    *("balanced", "sampler"),
)


class DataConfig(_Table):
    """Which photos to learn from."""

    source: _NameOrPath  # a CSV, or a published set as NAME:FOLDER; see `sources.read_source`
    photos: _Path | None = None  # folder that a CSV's names start from; None for the CSV's own
    scale: _Scale | None = None  # lowest and highest score of a CSV; votes say it themselves
    splits: _Path | None = None  # a splits file in place of the source's own splits
    columns: _Names = ()  # what a CSV's hold, such as "votes=v1..v5"; see `read_own_table`
    raters: _Count | None = None  # people who rated each photo of a CSV, where no column says so
    # Of train, val and test where the photos are not split yet; near-copies stay on one side.
    fractions: Annotated[tuple[float, ...], _FROM_FILE] = (0.7, 0.15, 0.15)
    variants: _Count = 4  # versions of each training photo: as scored, and others augmented
    # Cut augmented whole views at random from ones 8/7 as large (224 from 256, as the NIMA paper
    # does). Crops are always cut at random, and both are mirrored at random.
    random_crop: bool = True
    skip_unreadable: bool = False  # leave out photos that are missing or broken, and say which
    ladders: _Whole = 0  # training photos to make distortion ladders of, for Siamese stages
    ladders_per_photo: Annotated[int, Field(ge=1, le=6)] = 1  # of different distortions
    # They are of that share of the photos with the best ratings: distorting a photo that is blurred
    # anyway need not make it worse.
    ladders_best: Annotated[float, Field(gt=0, le=1)] = 0.25
    ladders_turns: _Names = ()  # distortions in turn, one named twice twice as often; () for all

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        shares = self.fractions
        if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"fractions are three shares that sum to 1, got {list(shares)}")
        if shares[0] == 0 or shares[1] == 0:
            raise ValueError(f"fractions: train and val need photos, got {list(shares)}")
        return self


# Of a run that names a kind alone, with rates and epochs that did well on a few hundred photos: the
# head first, then the upper half of the backbone too.
_STAGES = {
    "nima": (
        StageConfig(freeze=HEAD_ALONE, epochs=4, backbone_learning_rate=0.0, patience=0),
        StageConfig(),
    ),
    "siamese": (StageConfig(kind="siamese"),),
}
_CARD = ("version", "description", "licence", "credits", "limits")  # the last two are lists


class TrainConfig(_Table):
    """A whole run."""

    data: Annotated[DataConfig, _FROM_FILE]
    # What to go on from: the name or file of a model, a checkpoint (.safetensors), Keras weights
    # (.h5), an 8-bit ImageNet MobileNet (.tflite), "imagenet:BACKBONE" for timm's pretrained
    # weights, which are downloaded, or "random:BACKBONE".
    start: _NameOrPath = "quality"
    start_sha256: str | None = None  # what a recipe's `start` must have for good; None for any
    out: _Path = Path("runs/train")  # folder of the results; the same run started again goes on
    name: str = ""  # of the model; "" for the name of `out`
    # Blocks of a MobileNet or EfficientNet ("blocks.1.2", ...) whose channel means the head reads
    # beside the features: early ones tell light, colour and texture (see `LevelPooling`).
    levels: _Names = ()
    view: _View | None = None  # None as `start` has it, "warp:224" where that has no fixed size
    scale: _Scale | None = None  # of the model; None as `start` has it, else 1..10
    seed: int = 0  # of splits, crops, order, dropout and new heads
    precision: Precision = "auto"  # "bf16-mixed" on a CUDA device and "32-true" elsewhere
    device: Device = "auto"  # the best there is
    devices: _Count = 1  # processes per node; on a GPU machine one per GPU
    nodes: _Count = 1  # machines
    cache: _Path | None = None  # of the cut views; None for one below `out`, emptied at the end
    # How much cut views may take on the disk. Where they would take more, and with 0, nothing is
    # kept: photos are decoded, and cut at new random places, in every epoch.
    cache_gb: _Rate = 20.0
    workers: _Whole | None = None  # processes that decode photos then; None for one per core
    # Of scores by that of val photos' ratings, to which `calibrate` brings it; None leaves it.
    spread_ratio: _Above0 | None = None
    # Of weights in the model file: "float16" halves it, "int8" quarters it; see `export_onnx`.
    storage: Literal["float32", "float16", "int8"] = "float32"
    # Of Lightning: where figures go beside `log.csv`.
    loggers: Annotated[tuple[LoggerKind, ...], _FROM_FILE] = ("tensorboard",)
    # What the model file says of itself beside what the run knows: version, description, licence,
    # credits and limits. What is left out is made up, or that of the weights it started from.
    card: dict[str, str | _Names] = Field(default_factory=dict)
    stage: Annotated[tuple[Annotated[StageConfig, _FROM_FILE], ...], _FROM_FILE] = _STAGES["nima"]

    @model_validator(mode="before")
    @classmethod
    def _ladders_of_data(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """A table [ladders], as files had it once, is entries of [data]."""
        table, data = raw.get("ladders"), raw.get("data", {})
        if not (isinstance(table, Mapping) and isinstance(data, Mapping)):
            return raw
        moved = {f"ladders_{name}".removesuffix("_photos"): value for name, value in table.items()}
        return {n: v for n, v in raw.items() if n != "ladders"} | {"data": {**moved, **data}}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.stage:
            raise ValueError("a run needs at least one stage")
        if self.view is not None and self.view.view_size is None:
            raise ValueError(f"view {self.view}: training needs views of one size, as warp:224")
        if self.data.ladders and not any(stage.kind == "siamese" for stage in self.stage):
            raise ValueError("ladders are for Siamese stages, and there is none")
        for stage in self.stage:
            if stage.batch_size % self.processes:
                raise ValueError(
                    f"batches of {stage.batch_size} photos per step cannot be shared by "
                    f"{self.processes} processes; take a multiple"
                )
            if stage.update_batch_norm and self.processes > 1:
                raise ValueError("update_batch_norm works in one process alone")
        if not self.levels and any(stage.reads == "levels" for stage in self.stage):
            raise ValueError('reads = "levels": name the blocks in levels')
        for name, value in self.card.items():
            if name not in _CARD:
                raise ValueError(f"[card] {_unknown(name, _CARD)}")
            if isinstance(value, str) != (name in _CARD[:3]):
                wanted = "text" if name in _CARD[:3] else "a list"
                raise ValueError(f"[card]: {name} is {wanted}, got {value!r}")
        if not self.name:
            object.__setattr__(self, "name", self.out.name)
        return self

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.devices * self.nodes

    def text(self) -> str:
        """The configuration as TOML that `config_from` reads back."""
        return tomli_w.dumps(self.entries())


def read_config(path: Path) -> dict[str, Any]:
    """The entries of a TOML file, unchecked; `config_from` checks them.

    Raises:
        ConfigError: No such file, or not TOML.
    """
    try:
        return tomllib.loads(as_written(decode_text(path.read_bytes())))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "" if path.suffix == ".toml" else ". Photos and their ratings are given with --data"
        raise ConfigError(f"{path}: not a readable TOML file ({reason}){hint}") from error


def config_from(raw: Raw) -> TrainConfig:
    """The configuration that entries as in a TOML file mean.

    Raises:
        ConfigError: An entry is unknown (names the nearest), of the wrong type or impossible.
    """
    try:
        return TrainConfig(**raw)
    except ConfigError as error:
        whose = "the configuration " if str(error).startswith(_UNKNOWN_ENTRY) else ""
        raise ConfigError(f"{whose}{error}") from None


def merged(raw: Raw, options: Raw) -> dict[str, Any]:
    """Entries of a file with options of the command line in front, which have the same names.

    None and an empty list say nothing. "data" is the source of the photos, and "stage" kinds of
    stages, whose defaults replace the file's stages. Entries of stages are for the last one, as
    those before it are its preparation; "batch_size" is for all.
    """
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value is not None and value != []
    }
    kinds = given.pop("stage", ())
    data = {"source": given.pop("data")} if "data" in given else {}
    data |= {name: given.pop(name) for name in DataConfig.model_fields if name in given}
    last = {name: given.pop(name) for name in StageConfig.model_fields if name in given}
    result = dict(raw) | given
    if data and isinstance(table := raw.get("data", {}), Mapping):
        result["data"] = dict(table) | data
    if kinds:
        result["stage"] = stage_entries(kinds)
    if last:
        stages = result.get("stage") or stage_entries(["nima"])
        if not (isinstance(stages, list) and all(isinstance(one, Mapping) for one in stages)):
            return result  # refused by `config_from`, which says why
        for_all = {"batch_size": last["batch_size"]} if "batch_size" in last else {}
        *before, stage = [dict(entry) | for_all for entry in stages]
        if "objective" in last:  # what the one before it had may not suit it
            stage = {n: v for n, v in stage.items() if n not in ("doubt", "margin")}
        result["stage"] = [*before, stage | last]
    return result


def stage_entries(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The default stages of some kinds, one after the other, as entries of a TOML file.

    Raises:
        ConfigError: Another kind.
    """
    if unknown := [kind for kind in kinds if kind not in _STAGES]:
        raise ConfigError(f"stage must be one of {', '.join(_STAGES)}, got {unknown[0]!r}")
    return [stage.entries() for kind in kinds for stage in _STAGES[kind]]


def _sentence(error: ErrorDetails, names: Iterable[str]) -> str:
    """What pydantic found, in the words of the file."""
    name, *places = (str(part) for part in error["loc"] or ("",))
    kind, got, limits = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(name, names)
    if kind == "missing":
        what = "no photos named: give [data] source, or --data on the command line"
        return what if name == "data" else f"{name} is missing"
    if kind == "value_error":
        said = str(limits["error"])
        if name in ("data", "card", "stage"):
            where = f"[[{name}]] {int(places[0]) + 1}" if places else f"[{name}]"
            return f"{where}{' ' if said.startswith(_UNKNOWN_ENTRY) else ': '}{said}"
        return said if not name or said.startswith(name) else f"{name}: {said}"
    if name == "stage":
        return "stages are written as [[stage]], each with its own entries"
    if name in ("data", "card", "stage") and not places:
        return f"{name} is a table, written as [{name}], got {got!r}"
    if limits.get("ge") == 0:
        return f"{name} must not be negative, got {got}"
    limits["expected"] = str(limits.get("expected")).replace("'", "").replace(" or ", ", ")
    wanted = _WANTED[kind].format(**limits) if kind in _WANTED else f"is wrong ({error['msg']})"
    return f"{places[0] if name == 'card' else name} {wanted}, got {got!r}"


def _unknown(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names := list(names), n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{_UNKNOWN_ENTRY} {name!r}{hint} Possible are {', '.join(names)}"
