import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from siamese_nima.card import Normalisation
from siamese_nima.errors import WeightsError
from siamese_nima.networks.backbones import build_backbone
from siamese_nima.networks.nima import PixelNormalisation
from siamese_nima.networks.quantised_mobilenet import (
    QuantisedMobileNet,
    build_dequantised,
    read_quantised_mobilenet,
    reinsert_batch_norm,
)

V1 = "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
V2 = "mobilenet_v2_1.0_224_quant.tflite"
V2_PER_CHANNEL = "tf2_mobilenet_v2_1.0_224_ptq.tflite"


def imagenet_file(name: str) -> Path:
    """The file, from the folder named by the environment variable SIAMESE_NIMA_TFLITE."""
    path = Path(os.environ.get("SIAMESE_NIMA_TFLITE", "")) / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the folder SIAMESE_NIMA_TFLITE")
    return path


def some_photos(count: int = 40, size: int = 224) -> np.ndarray:
    """Smooth colour fields with edges: nearer to photos than noise is."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    photos = []
    for _ in range(count):
        a, b, c, d = generator.uniform(-9, 9, (4, 3))
        waves = 127 + 100 * np.sin(a * x[..., None] + b * y[..., None] + c)
        edge = (np.sin(3 * x + d[0]) > y)[..., None] * 60 * d / 9
        photos.append(np.clip(waves + edge + generator.normal(0, 8, (size, size, 3)), 0, 255))
    return np.stack(photos).astype(np.uint8)


def random_weights(name: str = "mobilenetv1_100") -> QuantisedMobileNet:
    generator = np.random.default_rng(0)
    convolutions = []
    for module in build_backbone(name).modules():
        if isinstance(module, nn.Conv2d):
            shape = tuple(module.weight.shape)
            fan_in = float(np.prod(shape[1:]))
            kernel = generator.normal(0, (2 / fan_in) ** 0.5, shape)
            bias = generator.normal(0, 0.3, shape[0])
            convolutions.append((kernel.astype(np.float32), bias.astype(np.float32)))
    return QuantisedMobileNet(tuple(convolutions), Normalisation((128.0,) * 3, (128.0,) * 3))


def with_statistics(weights: QuantisedMobileNet, photos: np.ndarray) -> nn.Module:
    backbone = build_dequantised("mobilenetv1_100", weights)
    reinsert_batch_norm(backbone, weights.normalisation, photos)
    return backbone


def features(backbone: nn.Module, weights: QuantisedMobileNet, photos: np.ndarray) -> torch.Tensor:
    pixels = PixelNormalisation(weights.normalisation)(torch.from_numpy(photos)[None])[0]
    with torch.no_grad():
        result: torch.Tensor = backbone(pixels)
    return result


def test_putting_batch_norms_back_keeps_the_function() -> None:
    weights, photos = random_weights(), some_photos(12, 64)
    folded = build_dequantised("mobilenetv1_100", weights)
    with_norms = with_statistics(weights, photos)
    expected = features(folded, weights, photos[:4])
    torch.testing.assert_close(
        features(with_norms, weights, photos[:4]), expected, rtol=1e-4, atol=1e-4
    )


def test_batch_norms_hold_the_statistics_of_the_photos() -> None:
    weights, photos = random_weights(), some_photos(8, 64)
    backbone = with_statistics(weights, photos)
    seen = {}
    norm = backbone.get_submodule("blocks.2.0.bn2")
    backbone.get_submodule("blocks.2.0.conv_pw").register_forward_hook(
        lambda _, __, output: seen.update(output=output)
    )
    features(backbone, weights, photos)
    output = seen["output"]
    torch.testing.assert_close(norm.running_mean, output.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    variance = output.var((0, 2, 3), unbiased=False)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-2, atol=1e-3)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"do not fit mobilenetv2_100: it has 52 .* found 27"):
        build_dequantised("mobilenetv2_100", random_weights())


def test_files_that_are_no_networks_are_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("tflite")
    with pytest.raises(WeightsError, match=r"absent\.tflite: cannot be read"):
        read_quantised_mobilenet(tmp_path / "absent.tflite")
    (tmp_path / "text.tflite").write_text("not a network at all, only some text" * 10)
    with pytest.raises(WeightsError, match=r"text\.tflite: not an 8-bit TensorFlow Lite network"):
        read_quantised_mobilenet(tmp_path / "text.tflite")


@pytest.mark.parametrize(
    ("file", "name", "count"),
    [
        (V1, "mobilenetv1_100", 27),
        (V2, "mobilenetv2_100", 52),
        (V2_PER_CHANNEL, "mobilenetv2_100", 52),
    ],
)
def test_imagenet_files_are_read_whole(file: str, name: str, count: int) -> None:
    weights = read_quantised_mobilenet(imagenet_file(file))
    assert len(weights.convolutions) == count
    backbone = build_dequantised(name, weights)  # type: ignore[arg-type]
    assert torch.all(torch.isfinite(features(backbone, weights, some_photos(2))))


def test_features_are_those_of_the_tensorflow_lite_interpreter_up_to_its_rounding() -> None:
    path = imagenet_file(V1)
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    weights, photos = read_quantised_mobilenet(path), some_photos(12)
    interpreter = litert.Interpreter(str(path))
    interpreter.allocate_tensors()
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale = exit_["quantization"][0]
    expected = []
    for photo in photos:
        interpreter.set_tensor(entry["index"], photo[None])
        interpreter.invoke()
        expected.append(interpreter.get_tensor(exit_["index"]).ravel() * scale)
    found = features(with_statistics(weights, photos), weights, photos)
    # One step of its 8 bits is .0235; 27 layers of such rounding lie between the two.
    assert np.corrcoef(np.ravel(expected), found.numpy().ravel())[0, 1] > 0.99
    assert np.abs(np.array(expected) - found.numpy()).mean() < 0.05
