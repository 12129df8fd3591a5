import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from siamese_nima.card import ModelCard
from siamese_nima.networks.nima import NIMA, build_nima_for
from siamese_nima.networks.onnx_export import export_onnx
from siamese_nima.photos.views import ViewPolicy


@pytest.fixture(scope="session")
def keras_reference() -> ModuleType:
    """The module tests/networks/keras/keras_reference.py."""
    # Not imported here: the module says on which backend Keras runs.
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    path = Path(__file__).parent / "keras" / "keras_reference.py"
    spec = importlib.util.spec_from_file_location("keras_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def enliven() -> Callable[[NIMA], NIMA]:
    """Give a network weights and batch-norm statistics that make its output depend on its input."""

    def fill(nima: NIMA) -> NIMA:
        generator = torch.Generator().manual_seed(0)

        def normal(like: torch.Tensor, mean: float, std: float) -> torch.Tensor:
            return mean + std * torch.randn(like.shape, generator=generator)

        with torch.no_grad():
            for module in nima.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.bias.copy_(normal(module.bias, 0.1, 0.3))
                    if isinstance(module.weight, nn.Parameter):
                        module.weight.copy_(normal(module.weight, 1.0, 0.1))
                    module.running_mean.copy_(normal(module.running_mean, 0.0, 0.2))
                    module.running_var.copy_(normal(module.running_var, 0.0, 0.3).abs() + 0.4)
                elif isinstance(module, nn.Conv2d):
                    inputs = module.weight[0].numel()
                    module.weight.copy_(normal(module.weight, 0.0, (1.6 / inputs) ** 0.5))
            nima.eval()
            views = torch.rand(6, sum(nima.group_sizes), 3, 96, 96, generator=generator) * 2 - 1
            views[:, :, :, 32:64] = torch.linspace(-1, 1, 6).view(6, 1, 1, 1, 1)
            features = nima.features(views)
            weight = normal(nima.head.weight, 0.0, 1.0)
            weight /= ((features - features.mean(0)) @ weight.T).std()
            nima.head.weight.copy_(weight)
            nima.head.bias.copy_(-weight @ features.mean(0))
        return nima

    return fill


@pytest.fixture(scope="session")
def exported(
    enliven: Callable[[NIMA], NIMA], tmp_path_factory: pytest.TempPathFactory
) -> tuple[NIMA, ModelCard, Path]:
    """A small network, the card in its model file, and that file, made by the real exporter."""
    card = ModelCard(
        name="small",
        backbone="mobilenetv1_100",
        backbone_options={"bn_epsilon": 1e-3, "padding": "keras3", "width": 0.25},
        view=ViewPolicy.parse("native"),
    )
    nima = enliven(build_nima_for(card))
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    nima.train()
    card = export_onnx(nima, card, path)
    assert nima.training, "export must not change the network"
    return nima.eval(), card, path
