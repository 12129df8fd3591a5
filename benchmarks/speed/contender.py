"""One contender of peers.py: loads its network once, then scores what it is told to, and times it.

Started by peers.py with the Python of the contender's own environment (3.6 for the origin's), so it
imports nothing of this repository unless the contender is ours. One JSON object per line: answers
{"ready": versions} once, then for each line {"paths": [...]} read {"seconds": s, "means": [...]}.
"""

import argparse
import json
import os
import sys
import time
from importlib import import_module

GRADES = range(1, 11)


def ours(options):
    """Scorer on a model file: all cores, no cache."""
    import siamese_nima
    from siamese_nima import Scorer

    scorer = Scorer(options.weights, view=options.view, exact=options.exact, device=options.device)

    def score(paths):
        return [result.mean for result in scorer.score(paths)]

    return score, [siamese_nima, import_module("onnxruntime")]


def origin(options):
    """The origin's own class on its own stack, photos warped to a size or at their own."""
    sys.path.insert(0, options.code)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import keras
    import pandas
    import tensorflow
    from model.siamese_nima import SiameseNIMA

    network = SiameseNIMA()
    network.build(options.weights)
    size = (options.size_px, options.size_px) if options.size_px else None

    def score(paths):
        table = network.predict((pandas.Series(paths).values,), target_size=size, verbose=0)
        return [float(value) for value in table["mean"]]

    return score, [keras, tensorflow]


def keras3(options):
    """Keras applications on Keras 3: load_img, warp to the network's size, predict by batches."""
    import keras
    import numpy as np

    application, backbone = {
        "inception_resnet_v2": ("inception_resnet_v2", "InceptionResNetV2"),
        "mobilenet": ("mobilenet", "MobileNet"),
    }[options.backbone]
    module = getattr(keras.applications, application)
    base = getattr(module, backbone)(
        input_shape=(None, None, 3), include_top=False, pooling="avg", weights=None
    )
    head = keras.layers.Dense(10, activation="softmax")
    network = keras.Model(base.input, head(keras.layers.Dropout(0.75)(base.output)))
    network.load_weights(options.weights)
    size = (options.size_px, options.size_px) if options.size_px else None

    class Photos(keras.utils.PyDataset):
        def __init__(self, paths):
            super().__init__(workers=options.workers)
            self.paths = paths

        def __len__(self):
            return -(-len(self.paths) // options.batch_size)

        def __getitem__(self, index):
            start = index * options.batch_size
            batch = [
                keras.utils.img_to_array(keras.utils.load_img(path, target_size=size))
                for path in self.paths[start : start + options.batch_size]
            ]
            return (module.preprocess_input(np.stack(batch)),)

    def score(paths):
        distributions = network.predict(Photos(paths), verbose=0)
        return [float(row.dot(list(GRADES))) for row in distributions]

    return score, [keras, import_module(keras.backend.backend())]


def pyiqa(options):
    """The metric `nima` of pyiqa, one file at a time as its command line does."""
    import timm

    create = timm.create_model
    # It fetches ImageNet weights even for a network whose weights are loaded afterwards.
    timm.create_model = lambda *names, **settings: create(
        *names, **dict(settings, pretrained=False)
    )
    import pyiqa
    import torch
    from safetensors.torch import load_file

    metric = pyiqa.create_metric("nima", pretrained=False, device=torch.device("cpu"))
    weights = load_file(options.weights)
    shared = {
        name: weights["backbone." + name]
        for name in metric.net.base_model.state_dict()
        if "backbone." + name in weights
    }
    metric.net.base_model.load_state_dict(shared, strict=False)
    head = metric.net.classifier[2]
    with torch.no_grad():
        head.weight.copy_(weights["head.weight"])
        head.bias.copy_(weights["head.bias"])

    def score(paths):
        return [float(metric(path)) for path in paths]

    return score, [pyiqa, torch]


def main():
    """Load, say so, and answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["ours", "origin", "keras3", "pyiqa"])
    parser.add_argument("weights")
    parser.add_argument("--backbone", default="inception_resnet_v2")
    parser.add_argument("--size-px", type=int)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--code", default="")
    parser.add_argument("--view")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--exact", action="store_true")
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print what they like
    score, modules = globals()[options.kind](options)
    versions = {module.__name__: getattr(module, "__version__", "") for module in modules}
    versions["python"] = sys.version.split()[0]
    print(json.dumps({"ready": versions}), file=answers, flush=True)
    for line in sys.stdin:
        paths = json.loads(line)["paths"]
        started = time.perf_counter()
        means = score(paths)
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "means": means}), file=answers, flush=True)


if __name__ == "__main__":
    main()
