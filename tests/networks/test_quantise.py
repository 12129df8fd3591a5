"""An 8-bit model file scores nearly as its model does, and says how nearly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from siamese_nima.card import ModelCard
from siamese_nima.errors import ConfigError, PhotoError, WeightsError
from siamese_nima.networks.nima import NIMA
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.networks.quantise import Quantisation, quantise_model
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import mean
from siamese_nima.scoring.model import INT8, ModelFile

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))


class TwoLayers(nn.Module):
    """A backbone that exports in no time and has what makes quantising hard: a residual."""

    num_features = 16

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 16, 5, stride=2)
        self.second = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        first = self.first(pixels).relu()
        return (first + self.second(first)).relu().mean((-2, -1))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    nima = NIMA(TwoLayers())
    nn.init.normal_(nima.head.weight, std=2)
    path = tmp_path_factory.mktemp("float") / "two.onnx"
    card = ModelCard(
        name="two",
        backbone="two layers",
        view=ViewPolicy.parse("warp:64"),
        metrics={"set": {"srcc": 0.5}},
    )
    export_onnx(nima, card, path)
    return path


def test_scores_hardly_move_and_the_cost_is_what_other_photos_show(model, tmp_path):
    cost = quantise_model(model, PHOTOS, tmp_path / "int8.onnx")
    before, after = ModelFile(model), ModelFile(tmp_path / "int8.onnx")
    unseen = [
        before.card.view.views(Image.open(path).convert("RGB"))[None] for path in PHOTOS[1::2]
    ]
    moved = np.array(
        [
            float(
                mean(after.rate(v)[0], before.card.scale)
                - mean(before.rate(v)[0], before.card.scale)
            )
            for v in unseen
        ]
    )
    assert cost.photos == len(unseen)
    assert cost.mean_absolute == pytest.approx(np.abs(moved).mean(), abs=1e-3)
    assert cost.largest == pytest.approx(np.abs(moved).max(), abs=1e-3)
    assert 0 < cost.largest < 0.1
    assert cost.rank_correlation > 0.99


def test_the_card_says_where_it_is_from_and_what_it_costs(model, tmp_path):
    cost = quantise_model(model, PHOTOS[:6], tmp_path / "int8.onnx")
    source, eight_bits = ModelFile(model), ModelFile(tmp_path / "int8.onnx")
    card = eight_bits.card
    assert eight_bits.model_id == f"two-1-int8@{eight_bits.digest[:12]}"
    assert card.parent == source.digest
    assert card.metrics["set"] == {"srcc": 0.5}
    assert card.metrics[INT8]["mean_absolute"] == cost.mean_absolute
    assert card.golden != source.card.golden
    assert replace(card, parent=None, metrics={}, golden=None) == replace(
        source.card, metrics={}, golden=None
    )


def test_convolutions_compute_with_integers(model, tmp_path):
    quantise_model(model, PHOTOS[:4], tmp_path / "int8.onnx")
    import onnx

    graph = onnx.load(tmp_path / "int8.onnx").graph
    weights = {w.name: w for w in graph.initializer}
    scaled = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    kernels = [weights[scaled[n.input[1]].input[0]] for n in graph.node if n.op_type == "Conv"]
    values = [onnx.numpy_helper.to_array(kernel) for kernel in kernels]
    assert [value.dtype for value in values] == [np.int8] * 2
    # Sums of two products with 8-bit inputs must fit 16 bits.
    assert max(np.abs(value.astype(int)).max() for value in values) <= 64


class ToEven(nn.Module):
    """Zeros below and to the right, as many as the size asks for."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        rows, columns = pixels.shape[-2:]
        return nn.functional.pad(pixels, [0, columns % 2, 0, rows % 2])


class Depthwise(nn.Module):
    """The start of a MobileNet: a plain layer, then depthwise ones and what reads them."""

    num_features = 8

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 1),
            nn.ReLU6(),
            ToEven(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 1),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels).mean((-2, -1))


def test_the_start_and_what_is_done_with_averages_stay_in_float(tmp_path):
    import onnx

    card = ModelCard(
        name="deep", backbone="depthwise", view=ViewPolicy.parse("warp:32+centre:32@64")
    )
    export_onnx(NIMA(Depthwise(), group_sizes=(1, 1)), card, tmp_path / "deep.onnx")

    def computed(how: Quantisation) -> tuple[list[bool], bool, list[str | None]]:
        """Which layers compute with integers, whether averages become some, what is padded."""
        quantise_model(tmp_path / "deep.onnx", PHOTOS[:6], tmp_path / "int8.onnx", how)
        nodes = onnx.load(tmp_path / "int8.onnx").graph.node
        made_by = {node.output[0]: node.op_type for node in nodes}
        layers = [made_by.get(n.input[1]) for n in nodes if n.op_type == "Conv"]
        rounded = {made_by.get(n.input[0]) for n in nodes if n.op_type == "QuantizeLinear"}
        return (
            [layer == "DequantizeLinear" for layer in layers],
            bool({"ReduceMean", "Concat"} & rounded),
            [made_by.get(n.input[0]) for n in nodes if n.op_type == "Pad"],
        )

    integers = ["QuantizeLinear"]
    assert computed(Quantisation()) == ([False, False, False, True, True], False, integers)
    assert computed(Quantisation(float_ends=False)) == ([True] * 5, True, integers)


def test_what_cannot_be_quantised_is_named(model, tmp_path):
    target = tmp_path / "int8.onnx"
    with pytest.raises(ConfigError, match="at least 4 photos, got 3"):
        quantise_model(model, PHOTOS[:3], target)
    with pytest.raises(PhotoError, match=r"none\.jpg: no such file"):
        quantise_model(model, [*PHOTOS[:4], "none.jpg"], target)
    assert not target.exists()
    quantise_model(model, PHOTOS[:4], target)
    with pytest.raises(WeightsError, match="is of 8 bits already"):
        quantise_model(target, PHOTOS[:4], tmp_path / "again.onnx")
