"""A model file opened up: what it sees at every depth, and the same file with a person's taste.

A taste tilts the rating distributions by a linear function of averages over the photo (see
`taste.preference`). Colours and light are known to the first layers of a network and forgotten by
the last ones, so the averages are of all depths: of what every down-sampling reads, and of what the
head reads. The network itself stays to the bit, so this works for any, at ONNX Runtime's speed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import SessionOptions

from siamese_nima.atomic_write import replacing
from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.errors import PhotoError, WeightsError
from siamese_nima.ordered_pool import in_order
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.model import ModelFile, start_session
from siamese_nima.scoring.model_set import Member, ModelSet, WorkItem
from siamese_nima.taste.preference import PhotoFeatures, PreferenceModel, Tastes
from siamese_nima.taste.session import PickSession

_VIEWS, _DISTRIBUTION, _SEEN, _TASTE = "views", "distribution", "seen", "taste"
_TASTES_KEY = "siamese_nima.tastes"
_LINEAR = ("Gemm", "MatMul")
_DOWN = ("Conv", "MaxPool", "AveragePool")


class FeatureExtractor:
    """A model file that tells what it sees; its `rate` gives logits and averages, side by side.

    Attributes:
        path: The file.
        card: Its model card.
        digest: SHA-256 of the file.
        levels: How many averages are of each depth.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a model file.

        Raises:
            WeightsError: The file is missing, damaged, or does not end with a linear layer in
                floating point, as 8-bit and personal models do not.
        """
        self.path = Path(path)
        self.card = ModelFile(self.path).card
        content = self.path.read_bytes()
        self.digest = hashlib.sha256(content).hexdigest()
        self._graph = onnx.load_from_string(content)
        self._logits = _logits_of(self.path, self._graph.graph)
        self._tastes = _kept_tastes(self.path, self._graph)
        self._averages = _add_averages(self._graph.graph, self._logits)
        opened = onnx.ModelProto()
        opened.CopyFrom(self._graph)
        graph = opened.graph
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["photos", None])
            for name in (self._logits, *self._averages)
        ]
        del graph.output[:]
        graph.output.extend(outputs)
        options = SessionOptions()
        options.intra_op_num_threads = 1
        self._session = start_session(self.path, opened.SerializeToString(), options)
        _, *seen = self._run(self.card.view.views(golden_photo())[np.newaxis])
        self.levels = tuple(average.shape[1] for average in seen)
        if self._tastes is not None and len(self._tastes.alone) != self.levels[-1]:
            raise WeightsError(
                f"{self.path}: tastes differ on {len(self._tastes.alone)} features, the head reads "
                f"{self.levels[-1]}"
            )

    @property
    def model_id(self) -> str:
        """Name, version and the first 12 digits of the file's SHA-256."""
        return f"{self.card.name}-{self.card.version}@{self.digest[:12]}"

    def rate(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shape (N, K + F), logits and averages, of views of shape (N, V, H, W, 3)."""
        return np.concatenate(self._run(views), axis=1)

    def features(self, rows: NDArray[np.float32]) -> PhotoFeatures:
        """What `rate` gave of some photos, taken apart."""
        logits, features = np.split(rows.astype(np.float64), [self.card.scale.size], axis=1)
        return PhotoFeatures(features, logits, self.card.scale, self.levels, self._tastes)

    def write(
        self, preference: PreferenceModel, card: ModelCard, path: str | os.PathLike[str]
    ) -> ModelCard:
        """Write the model file of a taste; it appears complete or not at all.

        Args:
            preference: The taste.
            card: Its self-test is made anew.
            path: Where to.

        Returns:
            The card in the file.

        Raises:
            WeightsError: The file cannot be written, or would not compute what it should.
        """
        target = Path(path)
        model = onnx.ModelProto()
        model.CopyFrom(self._graph)
        _add_tilt(model.graph, preference, card.scale, self._logits, self._averages)
        rated = self.features(self.rate(card.view.views(golden_photo())[np.newaxis]))
        card = card.with_golden(rated.tilted(preference.tilts(rated.features))[0])
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
        with replacing(target, WeightsError) as temporary:
            temporary.write_bytes(model.SerializeToString())
            ModelFile(temporary)  # refused here if it fails its self-test
        return card

    def _run(self, views: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = self._session.run(None, {_VIEWS: views})
        return outputs


def keep_tastes(model: onnx.ModelProto, tastes: Tastes) -> None:
    """Put into a model file how tastes differ, for a new person's to begin from.

    Args:
        model: Whose head reads F features.
        tastes: On these.
    """
    columns = np.concatenate([tastes.directions, tastes.alone[:, np.newaxis]], axis=1)
    units = np.maximum(np.abs(columns).max(axis=0), np.finfo(np.float64).tiny)
    entry = model.metadata_props.add()
    entry.key = _TASTES_KEY
    kept = {
        "spread": tastes.spread,
        "noise": tastes.noise,
        "units": units.tolist(),
        "float16": base64.b64encode((columns / units).astype("<f2").tobytes()).decode(),
    }
    entry.value = json.dumps(kept)


def _kept_tastes(path: Path, model: onnx.ModelProto) -> Tastes | None:
    """What `keep_tastes` put into a file; None where there is nothing."""
    for entry in model.metadata_props:
        if entry.key == _TASTES_KEY:
            try:
                kept = json.loads(entry.value)
                numbers = np.frombuffer(base64.b64decode(kept["float16"]), "<f2")
                columns = numbers.reshape(-1, len(kept["units"])) * np.array(kept["units"])
                spread, noise = float(kept["spread"]), float(kept["noise"])
            except (ValueError, KeyError, TypeError) as error:
                raise WeightsError(
                    f"{path}: what it says of tastes is damaged ({error})"
                ) from error
            return Tastes(columns[:, :-1], columns[:, -1], spread, noise)
    return None


def has_taste(graph: onnx.GraphProto) -> bool:
    """Whether it is the graph of a personal model, as `FeatureExtractor.write` makes it."""
    return any(tensor.name == f"{_TASTE}.weight" for tensor in graph.initializer)


def _logits_of(path: Path, graph: onnx.GraphProto) -> str:
    """What the softmax that ends the graph reads."""
    makers = {name: node for node in graph.node for name in node.output}
    last = makers.get(_DISTRIBUTION)
    if last is not None and last.op_type == "Softmax":
        before = makers.get(last.input[0])
        if before is not None and before.op_type in _LINEAR:
            return str(before.output[0])
    if has_taste(graph):
        raise WeightsError(
            f"{path}: a personal model already. Learn from the model that it was made from, "
            "with all answers."
        )
    raise WeightsError(
        f"{path}: this file does not end with a linear layer and a softmax, so no taste can be put "
        "into it. Of an 8-bit model, take the one it was made from."
    )


def _add_averages(graph: onnx.GraphProto, logits: str) -> tuple[str, ...]:
    """Add nodes that average every depth over the photo; the names of their outputs."""
    (head,) = (node for node in graph.node if logits in node.output)
    depths = list(_down_sampled(graph))
    last_axes, view_axis, rest = f"{_TASTE}.places", f"{_TASTE}.view_axis", f"{_TASTE}.rest"
    graph.initializer.extend(
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in ((last_axes, [2, 3]), (view_axis, [1]), (rest, [-1]))
    )
    sizes, shape = f"{_TASTE}.sizes", f"{_TASTE}.shape"
    graph.node.append(helper.make_node("Shape", [_VIEWS], [sizes], start=0, end=2))
    graph.node.append(helper.make_node("Concat", [sizes, rest], [shape], axis=0))
    averages = []
    for number, depth in enumerate(depths):
        per_view, per_photo, average = (
            f"{_TASTE}.{what}_{number}" for what in ("view", "photo", "average")
        )
        graph.node.extend(
            [
                helper.make_node("ReduceMean", [depth, last_axes], [per_view], keepdims=0),
                helper.make_node("Reshape", [per_view, shape], [per_photo]),
                helper.make_node("ReduceMean", [per_photo, view_axis], [average], keepdims=0),
            ]
        )
        averages.append(average)
    return (*averages, head.input[0])


def _down_sampled(graph: onnx.GraphProto) -> Iterator[str]:
    """What is read by layers that make pictures smaller; first of all the picture itself."""
    known = set()
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        strides = [tuple(a.ints) for a in node.attribute if a.name == "strides"]
        if node.op_type in _DOWN and strides and max(strides[0]) > 1:
            picture = node.input[0]
            # A margin of zeros is not part of the picture.
            while picture in makers and makers[picture].op_type == "Pad":
                picture = makers[picture].input[0]
            if picture not in known:
                yield picture
            known.add(picture)


def _add_tilt(
    graph: onnx.GraphProto,
    preference: PreferenceModel,
    scale: RatingScale,
    logits: str,
    averages: tuple[str, ...],
) -> None:
    names = [f"{_TASTE}.{what}" for what in ("weight", "offset", "steps")]
    steps = scale.grades - scale.grades.mean()
    for name, values in zip(
        names,
        (preference.weights[np.newaxis], np.array([preference.offset]), steps[np.newaxis]),
        strict=True,
    ):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    weight, offset, step = names
    softmax = next(node for node in graph.node if _DISTRIBUTION in node.output)
    end = onnx.NodeProto()
    end.CopyFrom(softmax)
    graph.node.remove(softmax)
    seen, amount, raised, tilted = (
        f"{_TASTE}.{what}" for what in (_SEEN, "tilt", "raised", "logits")
    )
    end.input[0] = tilted
    graph.node.extend(
        [
            helper.make_node("Concat", averages, [seen], axis=1),
            helper.make_node("Gemm", [seen, weight, offset], [amount], transB=1),
            helper.make_node("Mul", [amount, step], [raised]),
            helper.make_node("Add", [logits, raised], [tilted]),
            end,
        ]
    )


Rows = dict[str, NDArray[np.float32]]
Report = Callable[[int, int], None]

MEANWHILE_PHOTOS = 500  # of a larger folder, some: a person answers about fewer
_BATCH = 4


def extract_features(
    folder: Path,
    names: Sequence[str],
    opened: FeatureExtractor,
    *,
    workers: int,
    report: Report | None = None,
) -> Rows:
    """What `FeatureExtractor.rate` gives of photos, by name, without those that cannot be read.

    Args:
        folder: Where the photos are.
        names: Of photos, by their path inside the folder.
        opened: The model.
        workers: Threads.
        report: Called with photos done and photos in all.
    """
    models = ModelSet([Member(opened.card.name, opened, opened.card.view)], exact=False)
    rows: Rows = {}

    def rate(photos: Sequence[WorkItem]) -> Sequence[WorkItem]:
        models.rate(photos)
        return photos

    photos = [WorkItem(name, folder / name) for name in names]
    done = in_order(rate, photos, batch_size=_BATCH, workers=workers)
    for number, photo in enumerate(done, start=1):
        outcome = photo.outcomes[0]
        if not isinstance(outcome, PhotoError):
            rows[photo.name] = outcome
        if report:
            report(number, len(photos))
    return rows


@contextmanager
def extracting_meanwhile(
    session: PickSession, folder: Path, model: Path, tell: Callable[[str], None]
) -> Iterator[None]:
    """While the body runs, look at up to 500 photos and have the session choose pairs by them.

    One thread: the others are left to the page. It ends with the body, within one batch.

    Args:
        session: Is told when all are seen; those asked about by then are among them.
        folder: Where its photos are.
        model: The model file, the same as of the session's scores.
        tell: Called with a sentence where the model does not tell what it sees; the session then
            goes on by scores and answers.
    """
    stop = threading.Event()

    def work() -> None:
        try:
            opened = FeatureExtractor(model)
        except WeightsError as error:
            tell(f"pairs are chosen by scores and answers alone. {error}")
            return
        _extract(session, folder, opened, stop)

    thread = threading.Thread(target=work, name="nima-features")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _extract(
    session: PickSession, folder: Path, opened: FeatureExtractor, stop: threading.Event
) -> None:
    rows: Rows = {}
    wanted = _some(session.photos, session.asked)
    tried: set[str] = set()
    while wanted:
        batch, wanted = wanted[:_BATCH], wanted[_BATCH:]
        if stop.is_set():
            return
        rows |= extract_features(folder, batch, opened, workers=1)
        tried.update(batch)
        # Those of pairs that came up meanwhile.
        wanted = wanted or sorted(session.asked - tried)
    if len(rows) > 1:
        session.use_features(list(rows), opened.features(np.stack(list(rows.values()))))


def _some(photos: Sequence[str], asked: set[str]) -> list[str]:
    """Those asked about, and others, any of them, up to the number that is looked at."""
    rest = [photo for photo in photos if photo not in asked]
    order = np.random.default_rng(0).permutation(len(rest))
    return sorted(asked) + [rest[place] for place in order[: max(MEANWHILE_PHOTOS - len(asked), 0)]]
