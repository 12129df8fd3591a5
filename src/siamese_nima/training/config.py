"""What a training run is asked to do: a TOML file, each table of which is a class below.

Values are checked when they are made, before any photo or weight is read. What is wrong is said by
the name of the entry, with what was found and what is wanted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import tomli_w
from pydantic import BeforeValidator, Field, model_validator

from siamese_nima.csv_rows import as_written, decode_text
from siamese_nima.errors import ConfigError
from siamese_nima.ratings import RatingScale
from siamese_nima.training.tables import (
    FROM_FILE,
    UNKNOWN_ENTRY,
    Count,
    NameOrPath,
    Names,
    Rate,
    Share,
    Table,
    TomlPath,
    TomlScale,
    TomlView,
    Whole,
)

Raw = Mapping[str, Any]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
StageKind = Literal["nima", "siamese"]
ObjectiveKind = Literal["contrastive", "margin", "preference"]
PreferenceKind = Literal["soft", "hard", "votes"]
SamplerKind = Literal["random", "scene", "hard", "bucket"]
LoggerKind = Literal["tensorboard", "csv", "wandb", "mlflow"]

HEAD_ALONE = "backbone"
NOTHING = "nothing"
HALF = "half"
_DOUBT_SHARE = 1 / 9  # of the scale's width: a point on 1..10, a network's usual error


def _frozen(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"freeze is a name or a number of layers, got {value!r}")
    return int(value) if str(value).isdigit() else value  # an option of the command line is text


class StageConfig(Table):
    """One stage: its loss is emd_weight * EMD + weight * objective of pairs.

    Attributes:
        kind: "nima" learns photo by photo (weight 0), "siamese" from pairs of photos too; each has
            defaults of its own, see `KIND_DEFAULTS`.
        freeze: Which part of the backbone keeps its weights: "backbone" (all of it, so that the
            head learns alone), "half" (of the weights, counted from the input), "nothing", the
            last stage to freeze by name, or for InceptionResNetV2 a number of layers as the origin
            counts them; see `networks.freezing.freeze`.
        reads: What the head learns from: "all" features, or "levels", the channel means of early
            blocks alone (see `TrainConfig.levels`). All features hold what the network has learnt
            of these very photos, beside which a head hardly hears the others. With "levels" the
            head begins anew and nothing else learns.
        blend: Mix the weights with those before the stage, in the shares (0, .02, ..., 1) that are
            best by `monitor` on val photos, as WiSE-FT does (Wortsman et al., "Robust fine-tuning
            of zero-shot models", 2022, arXiv:2109.01903).
        cache_trunk: Run frozen layers once and keep their results, in bytes (MobileNet v1, three
            times as fast) or in half precision. None does so where it can be done.
        monitor: The figure whose best epoch is kept; see `figures.val_figures`. On a few dozen val
            photos an order alone is mostly chance, and so is a distance: "val_emd_and_order" weighs
            both by how sure they are.
        loss: "emd" is NIMA's, with the root: it hears each photo alike and settles near the middle
            of conflicting labels. "squared_emd" gives way to the photos that are furthest off and
            settles at their mean.
        emd_weight: Of the earth mover's distance, which keeps distributions calibrated; 0 is the
            objective alone, as the origin has it.
        weight: Of the objective.
        objective: "preference", "margin" or "contrastive"; see `objectives`.
        margin: Rating points; None for 1 (contrastive) or .2 (margin). "preference" has none.
        distance: Of "contrastive".
        labels: How "margin" and "preference" read the labels; see `pairs.label_pairs`.
        doubt: For "preference", the network's own error per photo in rating points, which its gaps
            are read with beside the labels' doubt. With 0 it draws its scores together until they
            are as sure as they are right; with about its RMSE it keeps the labels' spread. None for
            a ninth of the scale's width, a point on 1..10.
        balanced: For "contrastive": pairs of one bucket weigh as much in sum as the others. Among
            all pairs of a batch those of one bucket are few; "bucket" draws as many of either.
        sampler: Which photos share a batch: "random", of one "scene", "hard" (nearly equal
            ratings), or "bucket" (the origin's pairs, batch_size of them). A distortion ladder
            stays together in all of them.
        epochs: Passes over the training photos.
        batch_size: Photos per step and over all processes.
        accumulate: Batches whose gradients make one step of the optimiser. Pairs are within a
            batch.
        clip: Largest norm of a step's gradient; 0 for any.
        head_learning_rate: Peak rate of the head.
        backbone_learning_rate: Peak rate of the unfrozen backbone layers; 0 trains the head alone.
        layer_decay: Each layer's rate by that of the layer above it; 1 for one rate.
        weight_decay: Decoupled decay of weights; not of biases, norms, or what timm says of the
            network (position embeddings).
        warmup_steps: Steps over which the rates rise from 0; None for a tenth of all steps, at most
            100. Not for the schedule "plateau".
        schedule: What the rates do after that: "cosine", fall as half a cosine to 0 at the last
            epoch; "plateau", fall to .3 of themselves after two epochs without a better val EMD;
            "constant".
        patience: Stop after so many epochs without a better one; 0 never does.
        average_decay: Decay of the moving average of weights that is validated and kept; 0 keeps
            the last weights themselves. None averages over about the last tenth of all steps, at
            most 200 (.995).
        dropout: Share of features that the head does not see in a step; None leaves the network's
            (NIMA's is .75).
        update_batch_norm: Whether unfrozen batch norms go on measuring their statistics.
        compile: Have torch compile the network; minutes at the start, less per step on GPUs.
    """

    kind: StageKind = "nima"
    freeze: Annotated[str | int, BeforeValidator(_frozen)] = HALF
    reads: Literal["all", "levels"] = "all"
    blend: bool = False
    cache_trunk: bool | None = None
    monitor: Literal[
        "val_emd_and_order", "val_emd", "val_srcc", "val_pair_accuracy", "val_scene_accuracy"
    ] = "val_emd_and_order"
    loss: Literal["emd", "squared_emd"] = "emd"
    emd_weight: Rate = 1.0
    weight: Rate = 0.0
    objective: ObjectiveKind = "preference"
    margin: Annotated[float, Field(gt=0)] | None = None
    distance: Literal["l1", "l2"] = "l2"
    labels: PreferenceKind = "soft"
    doubt: Rate | None = None
    balanced: bool = True
    sampler: SamplerKind = "random"
    epochs: Count = 12
    batch_size: Count = 16
    accumulate: Count = 1
    clip: Rate = 0.0
    head_learning_rate: Rate = 1e-3
    backbone_learning_rate: Rate = 1e-4
    layer_decay: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Rate = 1e-2
    warmup_steps: Whole | None = None
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    patience: Whole = 4
    average_decay: Share | None = None
    dropout: Share | None = 0.2
    update_batch_norm: bool = False
    compile: bool = False

    KIND_DEFAULTS: ClassVar[Mapping[str, Raw]] = {
        "nima": {},
        "siamese": {
            "weight": 1.0,
            "emd_weight": 0.2,
            "head_learning_rate": 3e-4,
            "monitor": "val_srcc",
        },
    }
    PAIRS: ClassVar[tuple[str, ...]] = (
        *("emd_weight", "weight", "objective", "margin", "distance", "labels", "doubt"),
        *("balanced", "sampler"),
    )

    def __init__(self, **values: Any) -> None:
        kind = values.get("kind", "nima")
        super().__init__(**(dict(self.KIND_DEFAULTS.get(str(kind), {})) | values))

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.kind == "nima":
            for name in self.PAIRS:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f'{name!r} is for kind = "siamese", this is a NIMA stage')
        if self.weight == self.emd_weight == 0:
            raise ValueError("weight and emd_weight must not both be 0")
        if self.doubt and self.objective != "preference":
            raise ValueError(
                f"doubt is for 'preference', got {self.doubt:g} for {self.objective!r}"
            )
        if self.margin is not None and self.objective == "preference":
            raise ValueError(f"'preference' has no margin, got {self.margin:g}")
        if self.reads == "levels" and self.freeze != HEAD_ALONE:
            raise ValueError('reads = "levels" is for the head alone, with freeze = "backbone"')
        if self.sampler == "bucket" and self.objective != "contrastive":
            raise ValueError('the sampler "bucket" is for the objective "contrastive"')
        return self

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

    def entries(self) -> dict[str, Any]:
        """The stage as TOML holds it; a NIMA stage has no entries of pairs."""
        dropped = self.PAIRS if self.kind == "nima" else ()
        return {n: value for n, value in super().entries().items() if n not in dropped}


class DataConfig(Table):
    """Which photos to learn from.

    Attributes:
        source: A CSV, or a published set as NAME:FOLDER; see `datasets.sources.read_source`.
        photos: Folder that a CSV's photo names start from; None for the CSV's own.
        scale: Lowest and highest score of a CSV with scores; votes say it themselves.
        splits: A splits file in place of the source's own splits.
        columns: What a CSV's columns hold where their names do not say it, such as "votes=v1..v5";
            see `datasets.own_table.read_own_table`.
        raters: How many people rated each photo of a CSV, where no column says so.
        fractions: Shares of train, val and test where the photos are not split yet; near-copies
            stay on one side.
        variants: Versions of each training photo: as scored, and others augmented.
        random_crop: Whether augmented whole views are cut at a random place from one 8/7 as large
            (224 from 256, as in the NIMA paper). Crops are always at a random place, and both are
            mirrored at random.
        skip_unreadable: Leave out photos that are missing or broken, and say which; otherwise they
            stop the run.
    """

    source: NameOrPath
    photos: TomlPath | None = None
    scale: TomlScale | None = None
    splits: TomlPath | None = None
    columns: Names = ()
    raters: Count | None = None
    fractions: Annotated[tuple[float, ...], Field(strict=False)] = (0.7, 0.15, 0.15)
    variants: Count = 4
    random_crop: bool = True
    skip_unreadable: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        shares = self.fractions
        if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"fractions are three shares that sum to 1, got {list(shares)}")
        if shares[0] == 0 or shares[1] == 0:
            raise ValueError(f"fractions: train and val need photos, got {list(shares)}")
        return self


class LadderConfig(Table):
    """Distortion ladders beside the rated photos of a Siamese stage; see `ladders`.

    Attributes:
        photos: How many training photos to make ladders of; 0 for none.
        per_photo: Ladders of each, of different distortions.
        best: They are drawn from this share of the photos, those with the best ratings: a
            distortion of a photo that is blurred anyway need not make it worse.
        turns: Distortions in the order in which ladders take them, again and again; one that is
            named twice gets twice as many. () for each in turn.
    """

    photos: Whole = 0
    per_photo: Annotated[int, Field(ge=1, le=6)] = 1
    best: Annotated[float, Field(gt=0, le=1)] = 0.25
    turns: Names = ()


class CardConfig(Table):
    """What the model file says of itself beside what the run knows; what is left out it makes up.

    Attributes:
        version: Of the model.
        description: What its scores mean.
        licence: Under which it may be used; "" for that of the weights it started from.
        credits: Whose data, weights and methods are in it; () for those of the weights.
        limits: What it must not be taken for; () for those of the weights.
    """

    version: str = "1"
    description: str = ""
    licence: str = ""
    credits: Names = ()
    limits: Names = ()


def _default_stages(kind: str = "nima") -> tuple[StageConfig, ...]:
    """Of a run that names a kind alone; rates and epochs that did well on a few hundred photos.

    "nima": the head alone, then the upper half of the backbone too. "siamese": one stage.
    """
    if kind == "siamese":
        return (StageConfig(kind="siamese"),)
    head = StageConfig(freeze=HEAD_ALONE, epochs=4, backbone_learning_rate=0.0, patience=0)
    return head, StageConfig()


class TrainConfig(Table):
    """A whole run.

    Attributes:
        data: The photos.
        start: What to go on from: the name or file of a model, a checkpoint (.safetensors), Keras
            weights (.h5), an 8-bit ImageNet MobileNet (.tflite), "imagenet:BACKBONE" for timm's
            pretrained weights, which are downloaded, or "random:BACKBONE".
        start_sha256: SHA-256 that the file of `start` must have, so that a recipe means the same
            weights for good; None for any.
        out: Folder of the results; the same run started again there goes on.
        name: Of the model; "" for the name of `out`.
        levels: Blocks of a MobileNet or EfficientNet whose channel means the head reads beside the
            pooled features, such as "blocks.1.2": light, colour and texture are told by early ones
            (see `networks.levels.LevelPooling`). A head that knows something begins with no weight
            for them. () for none.
        view: How photos are shown; None as `start` has it, "warp:224" where that has no fixed size.
        scale: The rating scale of the model; None as `start` has it, else 1..10. Ratings are
            brought to it.
        seed: Of splits, crops, order, dropout and new heads.
        precision: "auto" is "bf16-mixed" on a CUDA device and "32-true" elsewhere.
        device: "cpu", "cuda", "mps" (Apple), or "auto" for the best there is.
        devices: Processes per node; on a GPU machine one per GPU.
        nodes: Machines.
        cache: Folder for the cut views; None for one below `out`, emptied at the end.
        cache_gb: How much cut views may take on the disk. Where they would take more, and with 0,
            nothing is kept: photos are decoded, and cut at new random places, in every epoch.
        workers: Processes that decode photos where views are not kept; None for one per core.
        spread_ratio: Spread that scores shall have, as a share of that of the ratings of val
            photos; the head is scaled to it at the end (see `calibration`). None leaves it.
        storage: How large weights are stored in the model file: "float32", "float16" for half of
            it, "int8" for a quarter; see `networks.onnx_export.export_onnx`.
        loggers: Where figures go beside `log.csv`: Lightning's loggers.
        ladders: Distortion ladders for Siamese stages.
        card: What the model file says of itself.
        stage: One after the other.
    """

    data: Annotated[DataConfig, FROM_FILE]
    start: NameOrPath = "quality"
    start_sha256: str | None = None
    out: TomlPath = Path("runs/train")
    name: str = ""
    levels: Names = ()
    view: TomlView | None = None
    scale: TomlScale | None = None
    seed: int = 0
    precision: Precision = "auto"
    device: Device = "auto"
    devices: Count = 1
    nodes: Count = 1
    cache: TomlPath | None = None
    cache_gb: Rate = 20.0
    workers: Whole | None = None
    spread_ratio: Annotated[float, Field(gt=0)] | None = None
    storage: Literal["float32", "float16", "int8"] = "float32"
    loggers: Annotated[tuple[LoggerKind, ...], Field(strict=False)] = ("tensorboard",)
    ladders: Annotated[LadderConfig, FROM_FILE] = LadderConfig()
    card: Annotated[CardConfig, FROM_FILE] = CardConfig()
    stage: Annotated[tuple[Annotated[StageConfig, FROM_FILE], ...], Field(strict=False)] = Field(
        default_factory=_default_stages
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.stage:
            raise ValueError("a run needs at least one stage")
        if self.view is not None and self.view.view_size is None:
            raise ValueError(f"view {self.view}: training needs views of one size, as warp:224")
        if self.ladders.photos and not any(stage.kind == "siamese" for stage in self.stage):
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

    def entries(self) -> dict[str, Any]:
        """See the base class."""
        return super().entries() | {"stage": [stage.entries() for stage in self.stage]}


def read_config(path: Path) -> dict[str, Any]:
    """The entries of a TOML file, unchecked; `config_from` checks them.

    Raises:
        ConfigError: No such file, or not TOML.
    """
    try:
        return tomllib.loads(as_written(decode_text(path.read_bytes())))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file ({error})") from error


def config_from(raw: Raw) -> TrainConfig:
    """The configuration that entries as in a TOML file mean.

    Raises:
        ConfigError: An entry is unknown (names the nearest), of the wrong type or impossible.
    """
    try:
        return TrainConfig(**raw)
    except ConfigError as error:
        said = str(error)
        raise ConfigError(
            f"the configuration {said}" if said.startswith(UNKNOWN_ENTRY) else said
        ) from None


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
        table = raw.get(name, {})
        if (given := _given(options)) and isinstance(table, Mapping):
            result[name] = dict(table) | given
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


def stage_entries(kinds: Iterable[str]) -> list[dict[str, Any]]:
    """The default stages of some kinds, one after the other, as entries of a TOML file.

    Raises:
        ConfigError: Another kind.
    """
    entries = []
    for kind in kinds:
        if kind not in get_args(StageKind):
            wanted = ", ".join(get_args(StageKind))
            raise ConfigError(f"stage must be one of {wanted}, got {kind!r}")
        entries += [stage.entries() for stage in _default_stages(kind)]
    return entries


def _given(options: Raw) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value is not None
    }
