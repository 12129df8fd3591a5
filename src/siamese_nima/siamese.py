"""The origin's API (github.com/ryanfwy/image-quality): same names, same defaults, same numbers."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese_nima import ratings
from siamese_nima.card import ModelCard
from siamese_nima.datasets.origin import origin_labels, read_origin_table
from siamese_nima.errors import ConfigError, MissingExtraError, TableError, WeightsError
from siamese_nima.networks.backbones import backbone_normalisation
from siamese_nima.networks.conversion import read_weights
from siamese_nima.networks.freezing import freeze
from siamese_nima.networks.keras.applications import require_trainable
from siamese_nima.networks.network_model import NetworkModel
from siamese_nima.networks.nima import NIMA, build_nima
from siamese_nima.photos.views import Native, ViewPolicy, Warp
from siamese_nima.scoring.catalogue import WEIGHT_SUFFIXES
from siamese_nima.scoring.scorer import Scorer

if TYPE_CHECKING:
    import pandas as pd

    from siamese_nima.training.config import StageConfig
    from siamese_nima.training.origin import CheckpointFormat

_log = logging.getLogger("siamese_nima")

_REFERENCE_BACKBONE = "inception_resnet_v2"
_TRAINING_SIZE_PX = 224  # the origin's


class SiameseNIMA:
    """NIMA, and the Siamese network that shares its weights, as the origin has them.

    What differs from the origin: a weight file that is missing is an error, never random weights;
    photos are read upright (EXIF orientation) and as sRGB; a photo that cannot be read becomes a
    row of NaN and a warning, it neither stops the run nor disappears; a table separated by commas
    or tabs is recognised whatever `sep` says. `train` passes each photo of a batch through the
    network once, and no augmentation parts a pair from its label.

    Attributes:
        input_shape: (height, width, 3); None for a size means any.
    """

    def __init__(
        self,
        input_shape: tuple[int | None, int | None, int] = (None, None, 3),
        output_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            input_shape: (height, width, 3). With sizes given, `predict` resizes every photo to
                them unless `target_size` says otherwise.
            output_dir: Folder for output files; the current folder by default.
        """
        if len(input_shape) != 3 or input_shape[2] != 3:
            raise ConfigError(f"input_shape is (height, width, 3), got {tuple(input_shape)}")
        self.input_shape = tuple(input_shape)
        self.output_dir = Path(output_dir or ".")
        self._nima: NIMA | None = None
        self._card: ModelCard | None = None

    @property
    def model_nima(self) -> NIMA | None:
        """The NIMA network that was built or trained last; None before."""
        return self._nima

    def load_data(
        self,
        image_dir: str | os.PathLike[str],
        data_path: str | os.PathLike[str],
        sep: str = " ",
        columns: Sequence[str] = ("file_name", "label"),
    ) -> tuple[NDArray[Any], ...]:
        """Read a table of file names, and labels where there are two columns.

        Args:
            image_dir: Folder that the file names are relative to.
            data_path: A table with a header line.
            sep: Separator, or a regular expression of several characters, as pandas reads them; a
                table with commas, tabs or semicolons is recognised too.
            columns: One column (file names, to predict) or two (file names and labels, to train).

        Returns:
            (paths,) or (paths, labels); labels are integers where they all are, else floats.

        Raises:
            TableError: The folder or the table is missing, or a column or a value is.
        """
        if not isinstance(sep, str) or isinstance(columns, str):
            raise TableError(
                f"sep is a text and columns a list of names, in this order; got {sep!r} and "
                f"{columns!r}"
            )
        if not 1 <= len(columns) <= 2:
            raise TableError(
                f"columns are one (file names) or two (file names, labels), got {list(columns)}"
            )
        if not Path(image_dir).is_dir():
            raise TableError(f"{image_dir}: no such folder of photos")
        rows = read_origin_table(Path(data_path), columns, sep)
        paths = np.array([str(Path(image_dir, row[0])) for row in rows], dtype=object)
        if len(columns) == 1:
            return (paths,)
        return paths, origin_labels([row[1] for row in rows], Path(data_path))

    def build(self, nima_weight_path: str | os.PathLike[str] | None = None) -> NIMA:
        """Build the NIMA network.

        Args:
            nima_weight_path: Keras .h5 or a .safetensors checkpoint. None means what it says: an
                InceptionResNetV2 with random weights.

        Returns:
            The network, in inference mode.

        Raises:
            WeightsError: The file is missing or does not fit.
        """
        if nima_weight_path is None:
            self._nima = build_nima(_REFERENCE_BACKBONE, options={"bn_epsilon": 1e-3})
            self._card = ModelCard(
                name="random",
                backbone=_REFERENCE_BACKBONE,
                backbone_options={"bn_epsilon": 1e-3},
                view=ViewPolicy((Native(),)),
                normalisation=backbone_normalisation(self._nima.backbone),
            )
        else:
            _log.info("Loading nima weight: %s", nima_weight_path)
            self._nima, self._card = read_weights(nima_weight_path)
        self._nima.eval()
        return self._nima

    def train(
        self,
        train_raw: tuple[Sequence[Any] | NDArray[Any], ...],
        val_raw: tuple[Sequence[Any] | NDArray[Any], ...] | None = None,
        nima_weight_path: str | os.PathLike[str] | None = None,
        layer_to_freeze: str | SupportsIndex | None = 618,
        epochs: int = 20,
        batch_size: int = 64,
        optimizer: Any = None,
        is_callback_checkpoint: bool = True,
        callback: Any = None,
        augmentation_args: Mapping[str, Any] | None = None,
        *,
        objective: str | StageConfig = "contrastive",
        checkpoint_format: CheckpointFormat = "safetensors",
        seed: int = 0,
        **kwargs: Any,
    ) -> list[dict[str, float]]:
        """Train the Siamese stage; `predict` then uses the trained network.

        Photos are seen as the origin shows them, warped to 224 x 224 by the nearest pixel, unless
        `input_shape` or the card of the weights says otherwise. A photo that cannot be read is left
        out with a warning.

        Args:
            train_raw: (paths, labels) of `load_data`. Labels are classes for "contrastive", and
                rating points, higher is better, for the others.
            val_raw: The same of validation photos; None for no validation.
            nima_weight_path: Keras .h5 or a .safetensors checkpoint to go on from. None means what
                it says: an InceptionResNetV2 with random weights, nothing frozen.
            layer_to_freeze: The last stage to freeze by name ("mixed_7a", "blocks.3"), for an
                InceptionResNetV2 a number of layers as the origin counts them, or None.
            epochs: Passes over the pairs, which are drawn anew each time.
            batch_size: Pairs per step. For "margin" and "preference" photos per step, and all pairs
                of them are learnt from.
            optimizer: A name ("adam", "sgd", ...), a function from parameters to a torch optimizer,
                or one whose class and settings are taken. None for Adam with a rate of 1e-3.
            is_callback_checkpoint: Write output_dir/checkpoints/nima_weights05-0.812 and so on
                after each epoch: its number and `val_accuracy`, the share of validation pairs told
                right as same or different class by a distance below .5.
            callback: Lightning callbacks, or functions called after each epoch with its number,
                from 0 on, and its figures; one or a list.
            augmentation_args: Arguments of Keras' ImageDataGenerator that keep ratings true:
                horizontal_flip, width_shift_range, height_shift_range, fill_mode, cval.
            objective: "contrastive" is the origin's: it cannot know which photo of a pair is the
                better one, and forgets the earth mover's distance. "preference" and "margin" learn
                which photo is the better one, where labels have an order. Or a
                `training.config.StageConfig` of kind "siamese", which can keep the earth mover's
                distance.
            checkpoint_format: "safetensors" or "h5", which Keras reads.
            seed: Of random weights, pairs, order, dropout and augmentation.
            **kwargs: For Lightning's Trainer, or of Keras' `fit_generator`: `verbose=0`,
                `steps_per_epoch`, `validation_steps`, `validation_freq` and `initial_epoch` are
                honoured; `workers`, `use_multiprocessing`, `max_queue_size` and `shuffle=True`,
                which the result does not depend on, are ignored with a warning.

        Returns:
            The figures of each epoch: loss, accuracy, val_loss, val_accuracy and others.

        Raises:
            TableError: Data of another form, or no photo of a table can be read.
            WeightsError: The weights are missing or do not fit.
            ConfigError: An option that is unknown or impossible, or labels that make no pairs.
        """
        # Lightning takes seconds to import, which predicting need not wait for.
        from siamese_nima.training.origin import train_as_origin

        frozen = None
        if nima_weight_path is not None and layer_to_freeze is not None:
            frozen = layer_to_freeze if isinstance(layer_to_freeze, str) else int(layer_to_freeze)

        def build() -> tuple[NIMA, ModelCard, ViewPolicy]:
            nima = self.build(nima_weight_path)
            assert self._card is not None
            require_trainable(nima.backbone, self._card.backbone)
            if frozen is not None:
                _log.info("Freezing layers: up to %s", frozen)
                freeze(nima, frozen)
            return nima, self._card, self._training_view(self._card)

        self._card, figures = train_as_origin(
            build,
            train_raw,
            val_raw,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            callback=callback,
            augmentation_args=augmentation_args,
            objective=objective,
            checkpoint_format=checkpoint_format,
            checkpoints=self.output_dir / "checkpoints" if is_callback_checkpoint else None,
            seed=seed,
            weights=nima_weight_path,
            frozen=frozen,
            arguments=kwargs,
        )
        return figures

    def predict(
        self,
        predict_raw: str | os.PathLike[str] | Sequence[Any] | NDArray[Any],
        batch_size: int = 1,
        target_size: tuple[int, int] | None = None,
        nima_weight_path: str | os.PathLike[str] | None = None,
        to_df: bool = True,
        **kwargs: Any,
    ) -> pd.DataFrame | NDArray[np.float32]:
        """Rate photos.

        Args:
            predict_raw: What `load_data` returned, paths, or one path.
            batch_size: Photos that go through the network together where their sizes are equal.
            target_size: (height, width) that every photo is resized to, with the nearest pixel
                as the origin's Keras does. None leaves the view to the model: the photo's own
                size for weights of the origin and titu1994.
            nima_weight_path: Keras .h5, a .safetensors checkpoint, a model file, or the name of an
                embedded model. None uses the network built or trained before.
            to_df: Return a DataFrame (needs the `pandas` extra); else the distributions alone.
            **kwargs: Of Keras' `predict_generator`: `verbose`, `workers`, `use_multiprocessing`,
                `max_queue_size` and `steps`, where they cover all photos, are ignored with a
                warning.

        Returns:
            DataFrame with the columns source, mean, std, scores, in input order; or distributions
            of shape (N, 10). Photos that failed have NaN.

        Raises:
            WeightsError: The weights are missing or do not fit, or none were given or built.
            ConfigError: An argument of Keras that would leave photos out, or an unknown one.
            MissingExtraError: `to_df` without pandas.
        """
        if to_df:
            pandas = _pandas()
        paths = _paths(predict_raw)
        _ignore_steering(kwargs, batches=-(-len(paths) // batch_size))
        view = self._view(target_size)
        model = self._model(nima_weight_path)
        scorer = Scorer(model, view=view, batch_size=batch_size, exact=True)
        results = list(scorer.score(paths))
        for result in results:
            if result.error is not None:
                warnings.warn(result.error, stacklevel=2)
        absent = (np.nan,) * scorer.card.scale.size
        scores = np.array([r.distribution or absent for r in results], dtype=np.float32)
        scores = scores.reshape(len(results), scorer.card.scale.size)
        if not to_df:
            return scores
        columns = {
            "source": list(paths),
            "mean": self.nima_mean_score(scores),
            "std": self.nima_std_score(scores),
            "scores": list(scores),
        }
        frame: pd.DataFrame = pandas.DataFrame(columns)
        return frame

    @staticmethod
    def nima_mean_score(scores: ArrayLike) -> ratings.Floats:
        """Mean scores, shape (N,), of distributions over 1..10, shape (N, 10)."""
        return ratings.mean(scores)

    @staticmethod
    def nima_std_score(scores: ArrayLike) -> ratings.Floats:
        """Standard deviations, shape (N,), of distributions over 1..10, shape (N, 10)."""
        return ratings.spread(scores)

    def _view(self, target_size: tuple[int, int] | None) -> ViewPolicy | None:
        height, width = target_size or self.input_shape[:2]
        if height is None or width is None:
            return None
        return ViewPolicy((Warp(height, width),), resample="nearest")

    def _training_view(self, card: ModelCard) -> ViewPolicy:
        # Native views differ in size from photo to photo, which a batch cannot hold.
        own = None if card.view.view_size is None else card.view
        return self._view(None) or own or ViewPolicy((Warp(_TRAINING_SIZE_PX),), resample="nearest")

    def _model(
        self, nima_weight_path: str | os.PathLike[str] | None
    ) -> str | os.PathLike[str] | NetworkModel:
        if nima_weight_path is None:
            if self._nima is None or self._card is None:
                raise WeightsError(
                    "no network yet: give nima_weight_path, or call build() or train() first"
                )
            return NetworkModel(self._nima, self._card)
        if Path(nima_weight_path).suffix in WEIGHT_SUFFIXES:
            return NetworkModel(*read_weights(nima_weight_path))
        return nima_weight_path


def _paths(predict_raw: str | os.PathLike[str] | Sequence[Any] | NDArray[Any]) -> list[str]:
    if isinstance(predict_raw, str | os.PathLike):
        return [os.fspath(predict_raw)]
    given: Iterable[Any] = predict_raw[0] if isinstance(predict_raw, tuple) else predict_raw
    return [os.fspath(path) for path in given]


def _ignore_steering(arguments: Mapping[str, Any], *, batches: int) -> None:
    """Pass over what only steers how Keras predicts, with one warning."""
    known = ("verbose", "workers", "use_multiprocessing", "max_queue_size", "steps")
    for name, value in arguments.items():
        if name not in known:
            raise ConfigError(f"predict has no argument {name}; of Keras', {', '.join(known)}")
        if name == "steps" and value is not None and value < batches:
            raise ConfigError(
                f"steps={value} would leave photos out: these are {batches} batches; give fewer "
                "photos instead"
            )
    if arguments:
        warnings.warn(
            f"{', '.join(arguments)}: ignored, the result does not depend on it", stacklevel=3
        )


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError.of("predict(to_df=True)", "pandas") from error
    return pandas
