"""Recipes go from start to end on a handful of photos."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from siamese_nima.card import ModelCard
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import build_nima
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.training.config import config_from, read_config
from siamese_nima.training.run import train
from training_runs import write_photos

REPOSITORY = Path(__file__).parents[2]
PHOTOS = sorted((REPOSITORY / "examples" / "photos").glob("*.jpg"))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_export")
def test_the_recipe_of_quality_makes_a_model(tmp_path):
    """With other photos and another start, smaller views and one epoch."""
    raw = read_config(REPOSITORY / "recipes" / "quality" / "quality4.toml")
    view = ViewPolicy.parse("warp:32+centre:32@48")
    torch.manual_seed(0)
    nima = build_nima("tf_efficientnet_lite0", group_sizes=view.group_sizes)
    start = tmp_path / "start.safetensors"
    save_checkpoint(
        start, nima.eval(), ModelCard(name="start", backbone="tf_efficientnet_lite0", view=view)
    )
    del raw["start_sha256"]
    raw |= {
        "start": str(start),
        "out": str(tmp_path / "run"),
        "cache": str(tmp_path / "cache"),
        "view": str(view),
        "device": "cpu",
        "spread_ratio": 0.01,  # a network of random weights hardly tells photos apart
        "data": {"source": str(write_photos(tmp_path / "photos")), "scale": "1..5", "variants": 1},
        "stage": [stage | {"epochs": 1, "batch_size": 12} for stage in raw["stage"]],
    }
    run = train(config_from(raw))
    scorer = Scorer(run.model)
    assert scorer.card.version == raw["card"]["version"]
    assert {"calibration", "mixed"} <= set(scorer.card.training)
    assert all(photo.error is None for photo in scorer.score(sorted(tmp_path.glob("photos/*.png"))))


# Of so few tiles none may be as the figures want them.
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
@pytest.mark.slow
def test_the_recipe_of_detail_makes_a_network(tmp_path, monkeypatch, quick_export):
    monkeypatch.setattr(torch.onnx, "export", quick_export)  # what the recipe asks of it differs
    folder = REPOSITORY / "recipes" / "detail"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    spec = importlib.util.spec_from_file_location("detail_recipe", folder / "train.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    table = RatingTable(
        paths=tuple(PHOTOS),
        mos=np.linspace(2, 9, len(PHOTOS)),
        scale=AVA_SCALE,
        splits=tuple("train" if row % 2 else "val" for row in range(len(PHOTOS))),
    )
    monkeypatch.setattr(recipe, "read_source", lambda _: type("Read", (), {"table": table}))
    monkeypatch.setattr(recipe, "CHUNK", 256)
    out = ["--out", str(tmp_path)]
    small = ["--chunks", "1", "--epochs", "1", "--best", "24"]
    monkeypatch.setattr(sys, "argv", ["train.py", "--data", "BIQ2021", *out, *small])
    threads = torch.get_num_threads()
    recipe.main()
    torch.set_num_threads(threads)
    assert json.loads((tmp_path / "detail.json").read_text())["tiles"] >= 256
    network = onnxruntime.InferenceSession(tmp_path / "detail.onnx")
    tiles = np.zeros((3, recipe.TILE_PX, recipe.TILE_PX), np.uint8)
    (detail,) = network.run(None, {"tiles": tiles})
    assert detail.shape == (3, 6)
