"""What tests of `SiameseNIMA.train` and the modules behind it share."""

import numpy as np
import pytest
from PIL import Image

from siamese_nima import SiameseNIMA
from siamese_nima.card import Population
from training_runs import write_start


@pytest.fixture(scope="module", autouse=True)
def _quick_export(quick_export):
    """Trainings end in a file."""


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """A folder of twelve photos, brighter with the label, and a table of them."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("labelled")
    lines = ["file_name label"]
    for number in range(12):
        label = number % 3
        pixels = rng.integers(0, 60, (40, 44, 3)) + 60 * label
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png {label}")
    (folder / "train_data.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A network to start from, whose card has a population."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return write_start(path, population=Population("nothing", (1.0, 2.0)))


@pytest.fixture
def siamese(tmp_path):
    return SiameseNIMA(output_dir=tmp_path / "out")


@pytest.fixture
def train(siamese, labelled, weights):
    """Train one epoch on the labelled photos; gives the figures of each epoch."""

    def run(siamese=siamese, **options):
        raw = siamese.load_data(labelled, labelled / "train_data.csv")
        defaults = {"epochs": 1, "batch_size": 8, "layer_to_freeze": None, "verbose": 0}
        defaults["nima_weight_path"] = weights
        return siamese.train(raw, **(defaults | options))

    return run


@pytest.fixture
def checkpoints(siamese):
    """The names of the checkpoints that were written."""
    return lambda: sorted(path.name for path in (siamese.output_dir / "checkpoints").iterdir())
