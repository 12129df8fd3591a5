"""`SiameseNIMA.train(devices=2)`: two processes learn what one learns."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

# Their dropout is each their own, and batch norms that learn would measure shares of a batch.
PROGRAM = """
import sys
from pathlib import Path

import lightning
from siamese_nima import SiameseNIMA


class NoDropout(lightning.Callback):
    def on_train_start(self, trainer, stage):
        stage.nima.dropout.p = 0.0


if __name__ == "__main__":
    photos, weights, out, devices = sys.argv[1:]
    siamese = SiameseNIMA(output_dir=out)
    raw = siamese.load_data(photos, Path(photos) / "train_data.csv")
    siamese.train(
        raw,
        raw,
        weights,
        "bn2",
        epochs=1,
        batch_size=8,
        optimizer="sgd",  # whose steps are as long as the gradient, as Adam's are not
        callback=NoDropout(),
        accelerator="cpu",
        devices=int(devices),
        strategy="ddp" if devices == "2" else "auto",
        verbose=0,
    )
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does(labelled, weights, tmp_path):
    """Each has half of the photos of a batch; both learn from all pairs of it."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = []
    for devices in ("1", "2"):
        arguments = [labelled, weights, tmp_path / devices, devices]
        done = subprocess.run(
            [sys.executable, program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        (checkpoint,) = (tmp_path / devices / "checkpoints").iterdir()
        found.append((checkpoint.name, load_file(checkpoint)))
    (name_of_one, one), (name_of_two, two) = found
    assert name_of_two == name_of_one, "the same accuracy on val photos"
    start = load_file(weights)
    moved = max(float(np.abs(one[name] - start[name]).max()) for name in start)
    assert moved > 5e-4
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, atol=2e-5, rtol=0, err_msg=name)
