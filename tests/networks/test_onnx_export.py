from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from siamese_nima.card import METADATA_KEY, ModelCard, golden_photo
from siamese_nima.errors import WeightsError
from siamese_nima.networks import onnx_export
from siamese_nima.networks.nima import NIMA, PhotoNIMA, build_nima_for
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.photos.views import ViewPolicy

MOBILENET = ModelCard(
    name="small",
    backbone="mobilenetv1_100",
    backbone_options={"bn_epsilon": 1e-3, "padding": "keras3", "width": 0.25},
    view=ViewPolicy.parse("native"),
)
Exported = tuple[NIMA, ModelCard, Path]


class Stripes(nn.Module):
    """A backbone that exports in no time."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.num_features = channels
        self.conv = nn.Conv2d(3, channels, 5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.conv(pixels).relu().mean((-2, -1))


def in_onnx_runtime(path: Path, views: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    return session.run(["distribution"], {"views": views})[0]


def in_torch(nima: NIMA, card: ModelCard, views: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return PhotoNIMA(nima, card.normalisation).eval()(torch.from_numpy(views)).numpy()


def some_views(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "shape", [(1, 1, 224, 224), (3, 1, 99, 131), (2, 5, 64, 65), (1, 2, 240, 321)]
)
def test_onnx_runtime_computes_what_torch_does_at_any_size_and_batch(
    exported: Exported, shape: tuple[int, ...]
) -> None:
    mobilenet, card, path = exported
    views = some_views(*shape)
    found = in_onnx_runtime(path, views)
    # float32 sums in another order; 1e-6 is usual.
    np.testing.assert_allclose(found, in_torch(mobilenet, card, views), atol=1e-4)
    assert found.dtype == np.float32


def test_the_file_carries_its_card_and_self_test(exported: Exported) -> None:
    mobilenet, card, path = exported
    graph = onnx.load(path)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert ModelCard.from_json(metadata[METADATA_KEY]) == card
    views = card.view.views(golden_photo())[np.newaxis]
    np.testing.assert_allclose(in_torch(mobilenet, card, views)[0], card.golden, atol=1e-6)
    assert np.ptp(card.golden) > 0.01


def test_the_graph_is_valid_and_its_axes_have_names(exported: Exported) -> None:
    graph = onnx.load(exported[2])
    onnx.checker.check_model(graph, full_check=True)

    def axes(value: onnx.ValueInfoProto) -> list[str | int]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert axes(graph.graph.input[0]) == ["photos", "views", "height", "width", 3]
    assert axes(graph.graph.output[0]) == ["photos", 10]


def test_the_file_holds_no_path_of_the_machine_that_made_it(exported: Exported) -> None:
    content = exported[2].read_bytes()
    assert str(Path.home()).encode() not in content
    assert b"site-packages" not in content
    assert b".py" not in content


def test_half_storage_halves_the_file_and_barely_changes_the_result(tmp_path: Path) -> None:
    nima = NIMA(Stripes(channels=256))
    half = tmp_path / "half.onnx"
    card = export_onnx(nima, MOBILENET, half, storage="float16")
    full_size = 4 * sum(parameter.numel() for parameter in nima.parameters())
    assert half.stat().st_size < 0.6 * full_size + 10_000  # the card and the graph
    views = some_views(2, 1, 97, 131)
    found, expected = in_onnx_runtime(half, views), in_torch(nima, MOBILENET, views)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert np.abs(found - expected).max() > 0
    golden = in_onnx_runtime(half, card.view.views(golden_photo())[np.newaxis])
    np.testing.assert_allclose(golden[0], card.golden, atol=1e-6)


def test_several_groups_of_views_keep_their_number(tmp_path: Path) -> None:
    nima = NIMA(Stripes(), group_sizes=(1, 5))
    card = replace(MOBILENET, view=ViewPolicy.parse("warp:32+five:32@64"))
    export_onnx(nima, card, tmp_path / "groups.onnx")
    views = some_views(3, 6, 32, 40)
    found = in_onnx_runtime(tmp_path / "groups.onnx", views)
    np.testing.assert_allclose(found, in_torch(nima, card, views), atol=1e-4)
    assert found.shape == (3, 10)


def test_a_card_that_does_not_fit_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    card = replace(MOBILENET, view=ViewPolicy.parse("warp:32+centre:32@64"))
    with pytest.raises(WeightsError, match=r"groups of \(1,\).* its card says \(1, 1\)"):
        export_onnx(NIMA(Stripes()), card, tmp_path / "misfit.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_would_compute_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "PARITY_TOLERANCE", -1.0)
    with pytest.raises(WeightsError, match=r"wrong\.onnx: not written, .* differ by .*allowed -1"):
        export_onnx(NIMA(Stripes()), MOBILENET, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_inception_resnet_v2_is_the_same_in_onnx_runtime(
    tmp_path: Path, enliven: Callable[[NIMA], NIMA]
) -> None:
    card = replace(MOBILENET, backbone="inception_resnet_v2", backbone_options={})
    nima = build_nima_for(card)
    # One of each kind of block in place of 10, 20 and 9.
    for name in ("repeat", "repeat_1", "repeat_2"):
        nima.backbone.set_submodule(name, nima.backbone.get_submodule(name)[:1])
    card = export_onnx(enliven(nima), card, tmp_path / "inception.onnx")
    for shape in ((1, 1, 224, 224), (2, 1, 299, 299), (1, 1, 333, 500)):
        views = some_views(*shape)
        found = in_onnx_runtime(tmp_path / "inception.onnx", views)
        np.testing.assert_allclose(found, in_torch(nima, card, views), atol=1e-4)
