"""Keras' own networks with random weights: the reference for reading and writing its files.

Runs on Keras 3 with its torch backend. The MobileNets of older Keras versions are put together here
from Keras' layers, after their sources, since they differ from today's in their padding only.
"""

import os
import tempfile

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp(prefix="keras-home-"))

import h5py
import keras
import numpy as np
from keras import layers
from keras.src.legacy.saving import legacy_h5_format

SIZES = ((224, 224), (299, 299), (333, 500))
# Filters and stride of the depthwise separable blocks.
_MOBILENET_BLOCKS = (
    [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    + [(512, 1)] * 5
    + [(1024, 2), (1024, 1)]
)


def with_head(backbone: keras.Model, grades: int = 10) -> keras.Model:
    x = layers.Dropout(0.75)(backbone.output)
    return keras.Model(backbone.input, layers.Dense(grades, activation="softmax")(x))


def inception_resnet_v2() -> keras.Model:
    return with_head(
        keras.applications.InceptionResNetV2(
            input_shape=(None, None, 3), include_top=False, pooling="avg", weights=None
        )
    )


def mobilenet_of_keras_3(alpha: float = 1.0) -> keras.Model:
    return with_head(
        keras.applications.MobileNet(
            input_shape=(None, None, 3), include_top=False, pooling="avg", weights=None, alpha=alpha
        )
    )


def mobilenet_v2_of_keras_3(alpha: float = 1.0) -> keras.Model:
    return with_head(
        keras.applications.MobileNetV2(
            input_shape=(None, None, 3), include_top=False, pooling="avg", weights=None, alpha=alpha
        )
    )


def mobilenet(padding: str, alpha: float = 1.0) -> keras.Model:
    """MobileNet with the padding of a version of Keras.

    "same": 2.0 to 2.1.4; "timm": 2.1.5 to 2.2.0; "keras2": 2.2.1 to 2.2.5; "keras3": since then.
    """
    zeros = (1, 1) if padding == "timm" else ((0, 1), (0, 1))
    pixels = keras.Input((None, None, 3))
    x = pixels
    padded = padding in ("timm", "keras2")
    if padded:
        x = layers.ZeroPadding2D(zeros, name="conv1_pad")(x)
    x = layers.Conv2D(
        int(32 * alpha),
        3,
        strides=2,
        padding="valid" if padded else "same",
        use_bias=False,
        name="conv1",
    )(x)
    x = _norm_relu(x, "conv1")
    for index, (filters, stride) in enumerate(_MOBILENET_BLOCKS, start=1):
        padded = padding == "timm" or (padding != "same" and stride == 2)
        if padded:
            x = layers.ZeroPadding2D(zeros, name=f"conv_pad_{index}")(x)
        x = layers.DepthwiseConv2D(
            3,
            strides=stride,
            padding="valid" if padded else "same",
            use_bias=False,
            name=f"conv_dw_{index}",
        )(x)
        x = _norm_relu(x, f"conv_dw_{index}")
        x = layers.Conv2D(int(filters * alpha), 1, use_bias=False, name=f"conv_pw_{index}")(x)
        x = _norm_relu(x, f"conv_pw_{index}")
    return with_head(keras.Model(pixels, layers.GlobalAveragePooling2D()(x)))


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def nested(model: keras.Model) -> keras.Model:
    """The same network used as one layer of another, as in a Siamese model."""
    pixels = keras.Input((None, None, 3))
    return keras.Model(pixels, model(pixels))


def randomise(model: keras.Model, seed: int = 0) -> None:
    """Set random weights with batch-norm statistics that matter, and a head that spreads."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(_random_weight(rng, weight.name, tuple(weight.shape)))
    head = model.layers[-1]
    pooled = keras.Model(model.input, head.input)
    # Several sizes: padding makes features depend on it.
    samples = [pixels(*size, count=3) for size in ((99, 131), (160, 224), (299, 299))]
    features = np.concatenate([pooled.predict(sample, verbose=0) for sample in samples])
    centred = features - features.mean(0)
    kernel = rng.normal(size=head.kernel.shape)
    kernel /= (centred @ kernel).std()
    head.kernel.assign(kernel)
    head.bias.assign(rng.normal(0, 0.3, head.bias.shape) - features.mean(0) @ kernel)


def _random_weight(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    match name:
        case "gamma":
            return rng.uniform(0.6, 1.4, shape)
        case "beta":
            return rng.normal(0.1, 0.3, shape)
        case "moving_mean" | "bias":
            return rng.normal(0, 0.2, shape)
        case "moving_variance":
            return rng.uniform(0.4, 1.4, shape)
        case _:
            # A depthwise kernel, the only one with a last axis of 1, sees one channel.
            inputs = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])
            return rng.normal(0, np.sqrt(1.6 / inputs), shape)


def pixels(height: int, width: int, count: int = 2, seed: int = 1) -> np.ndarray:
    """Colour blotches under more and more noise, float32 (count, height, width, 3) in -1..1."""
    rng = np.random.default_rng([seed, height, width])
    coarse = rng.uniform(-1, 1, (count, height // 16 + 1, width // 16 + 1, 3))
    smooth = coarse.repeat(16, 1).repeat(16, 2)[:, :height, :width]
    noise = rng.uniform(-1, 1, (count, height, width, 3))
    share = np.linspace(0, 0.9, count).reshape(count, 1, 1, 1)
    return ((1 - share) * smooth + share * noise).astype(np.float32)


def save_as_keras_2(model: keras.Model, path: str | os.PathLike[str], *, whole: bool = False):
    """Write with Keras' own writer of the old format; `whole` as `model.save` lays it out."""
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole else file
        legacy_h5_format.save_weights_to_hdf5_group(group, model)
