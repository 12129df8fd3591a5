"""Reference outputs of Keras 2.2.4 on TensorFlow 1.12, the stack of ryanfwy/image-quality.

Runs in Python 3.6, apart from everything else here:

    pip install numpy==1.15.4 Keras==2.2.4 tensorflow==1.12.0 'h5py<3' 'protobuf<3.20'
    python keras2_reference.py make FOLDER     weights, inputs and outputs of both networks
    python keras2_reference.py check FOLDER    loads the files that keras2_parity.py wrote there

Weights are random, batch-norm statistics included, and scaled so that outputs differ by input.
"""

import json
import os
import sys

import keras
import numpy as np
from keras import backend
from keras.applications.inception_resnet_v2 import InceptionResNetV2
from keras.applications.mobilenet import MobileNet
from keras.layers import Dense, Dropout
from keras.models import Model

SIZES = ((224, 224), (299, 299), (333, 500))
NETWORKS = (("inception_resnet_v2", InceptionResNetV2), ("mobilenet", MobileNet))


def build(backbone):
    """The origin's NIMA: backbone, average pool, dropout, Dense(10) with softmax."""
    base = backbone(input_shape=(None, None, 3), include_top=False, pooling="avg", weights=None)
    return Model(base.input, Dense(10, activation="softmax")(Dropout(0.75)(base.output)))


def randomise(network, inputs, rng):
    """Random weights of every layer; the head is scaled to the spread of the inputs' features."""
    assignments = []
    for layer in network.layers[:-1]:
        for variable in layer.weights:
            shape, name = backend.int_shape(variable), variable.name
            if "kernel" in name:
                fan_in = np.prod(shape[:2]) * (1 if "depthwise" in name else shape[2])
                value = rng.normal(0, np.sqrt(1.6 / fan_in), shape)
            elif "variance" in name or "gamma" in name:
                value = rng.uniform(0.5, 1.5, shape)
            else:
                value = rng.normal(0.1, 0.2, shape)
            assignments.append((variable, value.astype("float32")))
    backend.batch_set_value(assignments)
    features = Model(network.input, network.layers[-3].output)
    found = np.concatenate([features.predict(batch) for batch in inputs])
    kernel = rng.normal(0, 1, (found.shape[1], 10))
    kernel *= 1.5 / ((found - found.mean(0)).dot(kernel)).std()
    bias = -found.mean(0).dot(kernel) + rng.normal(0, 0.3, 10)
    network.layers[-1].set_weights([kernel.astype("float32"), bias.astype("float32")])


def make(folder):
    """Write weights, inputs and outputs."""
    rng = np.random.RandomState(7)
    for name, backbone in NETWORKS:
        network = build(backbone)
        sizes = ["%dx%d" % size for size in SIZES]
        inputs = [rng.uniform(-1, 1, (2, *size, 3)).astype("float32") for size in SIZES]
        randomise(network, inputs, rng)
        network.save_weights(os.path.join(folder, name + ".h5"))
        outputs = [network.predict(batch) for batch in inputs]
        arrays = {"x_" + size: batch for size, batch in zip(sizes, inputs)}
        arrays.update({"y_" + size: batch for size, batch in zip(sizes, outputs)})
        print(name, "keras", keras.__version__, [batch.max(axis=1) for batch in outputs])
        np.savez(os.path.join(folder, name + ".npz"), **arrays)
        backend.clear_session()


def check(folder):
    """Outputs of this Keras with the weight files written by siamese-nima."""
    differences = {}
    for name, backbone in NETWORKS:
        network = build(backbone)
        network.load_weights(os.path.join(folder, name + "_ours.h5"))
        arrays = np.load(os.path.join(folder, name + ".npz"))
        differences[name] = {
            key[2:]: float(np.abs(network.predict(arrays[key]) - arrays["y" + key[1:]]).max())
            for key in sorted(arrays)
            if key.startswith("x_")
        }
        backend.clear_session()
    print(json.dumps(differences, indent=1))


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
