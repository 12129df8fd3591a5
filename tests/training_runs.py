"""A start and photos small enough to train on in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import build_nima
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.training.config import TrainConfig, config_from

OPTIONS = {"width": 0.25, "bn_epsilon": 1e-3, "padding": "keras2"}


def write_photos(folder: Path, count: int = 48, *, split: bool = True) -> Path:
    """Noise, brighter the better; the CSV beside the photos."""
    generator = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,mos,split" if split else "path,mos"]
    for number in range(count):
        mos = 1 + 4 * generator.random()
        pixels = generator.integers(0, 60, (36, 40, 3)) + 45 * mos - 30
        name = f"{number:03d}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        part = f",{'val' if number % 4 == 3 else 'train'}" if split else ""
        lines.append(f"{name},{mos:.3f}{part}")
    table = folder / "ratings.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def write_start(path: Path, **changes: Any) -> Path:
    """A MobileNet a sixteenth of the usual size, which sees photos at 32 x 32.

    Its weights are random, but its batch norms know their inputs, as those of a trained network do.
    """
    torch.manual_seed(0)
    nima = build_nima("mobilenetv1_100", options=OPTIONS)
    norms = [module for module in nima.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        light = torch.linspace(-1, 1, 24)[:, None, None, None, None]
        nima.train()(light + 0.2 * torch.randn(24, 1, 3, 32, 32))
    for norm in norms:
        norm.momentum = 0.1
    card = ModelCard(
        name="tiny",
        backbone="mobilenetv1_100",
        backbone_options=OPTIONS,
        view=ViewPolicy.parse("warp:32/nearest"),
        **changes,
    )
    save_checkpoint(path, nima.eval(), card)
    return path


STAGE = {"freeze": "blocks.3", "epochs": 2, "batch_size": 12, "cache_trunk": False}


def run_config(table: Path, start: Path, out: Path, **changes: Any) -> TrainConfig:
    """A short run; `changes` are entries of its TOML file."""
    raw: dict[str, Any] = {
        "start": str(start),
        "out": str(out),
        "device": "cpu",
        "data": {"source": str(table), "scale": "1..5", "variants": 2},
        "stage": [STAGE],
    }
    for name, value in changes.items():
        raw[name] = {**raw[name], **value} if name == "data" else value
    return config_from(raw)
