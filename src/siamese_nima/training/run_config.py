"""What `train` is asked to do: values checked at birth, before any photo or weight is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from siamese_nima.errors import ConfigError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE, RatingScale
from siamese_nima.training.fitting import Machine
from siamese_nima.training.nima_stage import NimaStageConfig
from siamese_nima.training.objectives import SiameseObjective
from siamese_nima.training.siamese_stage import SiameseStageConfig

StageKind = Literal["nima", "siamese"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]

HEAD_ALONE = "backbone"
NOTHING = "nothing"
HALF = "half"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which photos to learn from.

    Attributes:
        source: A CSV, or a published set as NAME:FOLDER; see `datasets.sources.read_source`.
        photos: Folder that a CSV's photo names start from; None for the CSV's own.
        scale: Lowest and highest score of a CSV with scores; votes say it themselves.
        splits: A splits file in place of the source's own splits.
        fractions: Shares of train, val and test where the photos are not split yet; near-copies
            stay on one side.
        variants: Versions of each training photo: as scored, and others augmented.
        random_crop: Whether augmented whole views are cut at a random place from one 8/7 as large
            (224 from 256, as in the NIMA paper). Crops are always at a random place, and both are
            mirrored at random.
        skip_unreadable: Leave out photos that are missing or broken, and say which; otherwise they
            stop the run.
    """

    source: str
    photos: Path | None = None
    scale: RatingScale | None = None
    splits: Path | None = None
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    variants: int = 4
    random_crop: bool = True
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.variants < 1:
            raise ConfigError(f"variants must be at least 1, got {self.variants}")
        shares = self.fractions
        if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(f"fractions are three shares that sum to 1, got {list(shares)}")
        if shares[0] == 0 or shares[1] == 0:
            raise ConfigError(f"fractions: train and val need photos, got {list(shares)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderConfig:
    """Distortion ladders beside the rated photos of a Siamese stage; see `ladders`.

    Attributes:
        photos: How many training photos to make ladders of; 0 for none.
        per_photo: Ladders of each, of different distortions.
        best: They are drawn from this share of the photos, those with the best ratings: a
            distortion of a photo that is blurred anyway need not make it worse.
    """

    photos: int = 0
    per_photo: int = 1
    best: float = 0.25

    def __post_init__(self) -> None:
        if self.photos < 0 or not 1 <= self.per_photo <= 6 or not 0 < self.best <= 1:
            raise ConfigError(
                "ladders: photos from 0 on, per_photo 1 to 6 and best above 0 to 1, got "
                f"{self.photos}, {self.per_photo} and {self.best}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage.

    Attributes:
        settings: How it trains; the class says whether on photos or on pairs.
        freeze: Which part of the backbone keeps its weights: "backbone" (all of it, so that the
            head learns alone), "half" (of the weights, counted from the input), "nothing", the
            last stage to freeze by name, or for InceptionResNetV2 a number of layers as the origin
            counts them; see `networks.freezing.freeze`.
        cache_trunk: Run frozen layers of a MobileNet v1 or v2 or an EfficientNet once and keep
            their results, in bytes (v1, three times as fast) or in half precision. None does so
            where it can be done.
    """

    settings: NimaStageConfig | SiameseStageConfig
    freeze: str | int = HALF
    cache_trunk: bool | None = None

    @property
    def kind(self) -> StageKind:
        """ "nima" or "siamese"."""
        return "siamese" if isinstance(self.settings, SiameseStageConfig) else "nima"

    @property
    def learning(self) -> NimaStageConfig:
        """Epochs, rates and so on."""
        settings = self.settings
        return settings.learning if isinstance(settings, SiameseStageConfig) else settings

    @property
    def monitor(self) -> str:
        """The figure whose best epoch is kept."""
        return self.settings.monitor

    def with_learning(self, **changes: Any) -> StagePlan:
        """The same stage with other epochs, rates and so on."""
        learning = replace(self.learning, **changes)
        if isinstance(self.settings, SiameseStageConfig):
            return replace(self, settings=replace(self.settings, learning=learning))
        return replace(self, settings=learning)


# Rates and epochs that did well on a few hundred photos; see docs/fine-tune.md.
_LEARNING = NimaStageConfig(
    epochs=12,
    batch_size=16,
    head_learning_rate=1e-3,
    backbone_learning_rate=1e-4,
    warmup_steps=None,
    average_decay=None,
    patience=4,
    dropout=0.2,
    monitor="val_emd",
)


def default_objective(kind: str = "preference") -> dict[str, Any]:
    """What an objective has unless told otherwise, beside the defaults of `SiameseObjective`.

    Preferences are read with a network's usual error of a rating point; see docs/siamese-stage.md.
    """
    return {"kind": kind, "doubt": 1.0} if kind == "preference" else {"kind": kind}


def default_stages(kind: StageKind) -> tuple[StagePlan, ...]:
    """The stages of a run that names a kind alone.

    "nima": the head alone, then the upper half of the backbone too. "siamese": one stage.
    """
    if kind == "siamese":
        learning = replace(_LEARNING, head_learning_rate=3e-4)
        pairs = SiameseStageConfig(
            objective=SiameseObjective(**default_objective()), learning=learning, monitor="val_srcc"
        )
        return (StagePlan(settings=pairs),)
    head = replace(_LEARNING, epochs=4, backbone_learning_rate=0.0, patience=0)
    return StagePlan(settings=head, freeze=HEAD_ALONE), StagePlan(settings=_LEARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole run.

    Attributes:
        data: The photos.
        start: What to go on from: the name or file of a model, a checkpoint (.safetensors), Keras
            weights (.h5), an 8-bit ImageNet MobileNet (.tflite), "imagenet:BACKBONE" for timm's
            pretrained weights, which are downloaded, or "random:BACKBONE".
        out: Folder of the results; the same run started again there goes on.
        name: Of the model; "" for the name of `out`.
        view: How photos are shown; None as `start` has it, "warp:224" where that has no fixed size.
        scale: The rating scale of the model; None as `start` has it, else 1..10. Ratings are
            brought to it.
        stages: One after the other.
        ladders: Distortion ladders for Siamese stages.
        seed: Of splits, crops, order, dropout and new heads.
        precision: "auto" is "bf16-mixed" on a CUDA device and "32-true" elsewhere.
        machine: Device, processes, nodes.
        cache: Folder for the cut views; None for one below `out`, emptied at the end.
    """

    data: DataConfig
    start: str = "quality"
    out: Path = Path("runs/train")
    name: str = ""
    view: ViewPolicy | None = None
    scale: RatingScale | None = None
    stages: tuple[StagePlan, ...] = field(default_factory=lambda: default_stages("nima"))
    ladders: LadderConfig = field(default_factory=LadderConfig)
    seed: int = 0
    precision: Precision = "auto"
    machine: Machine = field(default_factory=Machine)
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            wanted = ", ".join(get_args(Precision))
            raise ConfigError(f"precision must be one of {wanted}, got {self.precision!r}")
        if not self.stages:
            raise ConfigError("a run needs at least one stage")
        if self.view is not None and self.view.view_size is None:
            raise ConfigError(f"view {self.view}: training needs views of one size, as warp:224")
        if self.ladders.photos and not any(plan.kind == "siamese" for plan in self.stages):
            raise ConfigError("ladders are for Siamese stages, and there is none")
        for plan in self.stages:
            size, processes = plan.learning.batch_size, self.machine.processes
            if size % processes:
                raise ConfigError(
                    f"batches of {size} photos per step cannot be shared by {processes} processes; "
                    "take a multiple"
                )
            if plan.learning.update_batch_norm and processes > 1:
                raise ConfigError("update_batch_norm works in one process alone")
        object.__setattr__(self, "name", self.name or self.out.name)

    @property
    def default_scale(self) -> RatingScale:
        """The scale of a network that `start` does not give one."""
        return self.scale or AVA_SCALE
