"""Train the detail network: how blurred, shaken, noisy and compressed a tile of a photo is.

    python recipes/detail/train.py --data BIQ2021 --out runs/detail

Needs the extra `train`. The best-rated training photos, shrunk, are the sharp material
(degrade.py). Tiles are made in chunks and kept, and training goes on from its last epoch, so a run
that was stopped goes on when the same command is given again. The result is detail.onnx and
detail.json with the figures on tiles of photos of the validation split.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from degrade import TILE_PX, Degraded, degrade, sharp_scene
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.sources import RatedSource, read_source

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from machine import provenance, report  # noqa: E402 - beside this folder, not a package

CHUNK = 4000  # tiles
PER_SCENE = 4
BATCH = 64
NOISE_FLOOR = 0.5  # grey levels; rounding alone makes .3
TRUTHS = ("ln_blur", "motion_x", "motion_y", "ln_noise", "compression")


def main() -> None:
    """Make the tiles, train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--best", type=int, default=2500, help="photos used, by rating")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    splits = REPOSITORY / "recipes" / "quality" / "splits.csv"
    table = read_source(RatedSource(f"biq2021:{options.data}", splits=splits)).table
    val = tiles(options.out, "val", best_photos(table, "val", options.best // 8), 0)
    photos = best_photos(table, "train", options.best)
    chunks = [tiles(options.out, "train", photos, number) for number in range(options.chunks)]
    train = tuple(np.concatenate(part) for part in zip(*chunks, strict=True))
    network = fit(DetailNet(), train, val, options)
    figures = measure(network, val)
    export(network, options.out / "detail.onnx")
    parameters = sum(weight.numel() for weight in network.parameters())
    report(
        {**provenance(), "tiles": len(train[0]), "parameters": parameters, "val": figures},
        options.out / "detail.json",
    )


def best_photos(table: RatingTable, split: str, number: int) -> list[Path]:
    """The best-rated photos of a split."""
    part = table.split(split)
    return [part.paths[row] for row in np.argsort(-part.mos)[:number]]


def tiles(
    out: Path, split: str, photos: list[Path], chunk: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A chunk of tiles, (N, 96, 96), and its truths, (N, 5), made or read."""
    path = out / f"{split}-{chunk:02d}.npz"
    if not path.exists():
        random = np.random.default_rng([chunk, len(split)])
        made: list[Degraded] = []
        while len(made) < CHUNK:
            with Image.open(photos[int(random.integers(len(photos)))]) as photo:
                scene = sharp_scene(photo, random)
            if scene is not None:
                made += [degrade(*scene, random) for _ in range(PER_SCENE)]
        part = path.with_suffix(".part.npz")
        np.savez(
            part, tiles=np.stack([d.tile for d in made]), truths=np.stack(list(map(truth, made)))
        )
        part.replace(path)
        print(f"{path.name}: {len(made)} tiles", flush=True)
    kept = np.load(path)
    return kept["tiles"], kept["truths"]


def truth(made: Degraded) -> NDArray[np.float32]:
    """What the network is to say of a tile, in the order of TRUTHS."""
    values = (
        np.log(made.blur),
        *made.motion,
        np.log(made.noise + NOISE_FLOOR),
        made.compression,
    )
    return np.array(values, np.float32)


class DetailNet(nn.Module):
    """Tiles, uint8, (N, 96, 96), to (N, 6): the truths, and the log scale of ln_blur's error.

    Blur does not depend on contrast but noise does, so the tile is brought to unit contrast, and
    the contrast is given to the head.
    """

    def __init__(self) -> None:
        super().__init__()

        def block(channels: int, out: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, out, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            )

        self.early = nn.Sequential(block(1, 16, size=5, stride=2), block(16, 32, stride=2))
        self.middle = block(32, 32)
        self.late = block(32, 64, stride=2)
        self.last = nn.ModuleList([block(64, 64), block(64, 64)])
        self.head = nn.Sequential(nn.Linear(2 * 64 + 32 + 1, 96), nn.ReLU(), nn.Linear(96, 6))

    def forward(self, tiles: Tensor) -> Tensor:
        """Truths and the log scale of ln_blur's error; float32."""
        x = tiles.float().unsqueeze(1) / 255
        x = x - x.mean((2, 3), keepdim=True)
        contrast = torch.sqrt((x * x).mean((2, 3), keepdim=True) + 1e-5)
        early = self.early(x / contrast)
        middle = early + self.middle(early)
        x = self.late(middle)
        for layer in self.last:
            x = x + layer(x)
        mean = x.mean((2, 3))
        spread = torch.sqrt(((x - mean[..., None, None]) ** 2).mean((2, 3)) + 1e-5)
        features = torch.cat([mean, spread, middle.mean((2, 3)), contrast.log().flatten(1)], 1)
        out: Tensor = self.head(features)
        return out


def loss_of(out: Tensor, truths: Tensor) -> Tensor:
    """Laplace likelihood of the blur, so that it learns where it cannot know; L1 for the rest."""
    scale = out[:, 5].clamp(-5, 2)
    blur = (out[:, 0] - truths[:, 0]).abs() * torch.exp(-scale) + scale
    # The direction of what is barely blurred says nothing.
    weight = (truths[:, 0] - np.log(0.6)).clamp(0, 1)
    motion = ((out[:, 1:3] - truths[:, 1:3]) ** 2).sum(1) * weight
    noise = (out[:, 3] - truths[:, 3]).abs()
    compression = (out[:, 4] - truths[:, 4]).abs()
    return (blur + 2 * motion + noise + 2 * compression).mean()


def fit(
    network: DetailNet,
    train: tuple[NDArray[Any], ...],
    val: tuple[NDArray[Any], ...],
    options: argparse.Namespace,
) -> DetailNet:
    """Train, or go on training."""
    state_path = options.out / "state.pt"
    network = network.to(memory_format=torch.channels_last)  # twice as fast on CPUs
    steps = len(train[0]) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, options.epochs * steps)
    begin = 0
    torch.manual_seed(0)
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        begin = state["epoch"]
    for epoch in range(begin, options.epochs):
        network.train()
        order = np.random.default_rng(epoch).permutation(len(train[0]))
        total = 0.0
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            batch = torch.from_numpy(train[0][chosen])
            loss = loss_of(network(batch), torch.from_numpy(train[1][chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        figures = measure(network, val)
        print(f"epoch {epoch + 1}: loss {total / steps:.3f} {json.dumps(figures)}", flush=True)
        torch.save(
            {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "epoch": epoch + 1,
            },
            state_path,
        )
    return network


def measure(network: DetailNet, val: tuple[NDArray[Any], ...]) -> dict[str, float]:
    """Errors on tiles: of blur in per cent (median), all and where the network is sure."""
    network.eval()
    with torch.inference_mode():
        parts = np.array_split(val[0], max(len(val[0]) // 500, 1))
        out = np.concatenate([network(torch.from_numpy(part)).numpy() for part in parts])
    error = np.abs(np.exp(out[:, 0] - val[1][:, 0]) - 1)
    sure = out[:, 5] < np.log(0.12)
    shaken = np.hypot(val[1][:, 1], val[1][:, 2]) > 0.5
    angle = np.angle((out[:, 1] + 1j * out[:, 2]) * np.conj(val[1][:, 1] + 1j * val[1][:, 2]))
    shaken &= out[:, 5] < np.log(0.3)
    figures = {
        "blur_error": np.median(error),
        "sure": sure.mean(),
        "blur_error_sure": np.median(error[sure]) if sure.any() else np.nan,
        "blur_error_sure_p90": np.quantile(error[sure], 0.9) if sure.any() else np.nan,
        "direction_error_degrees": np.median(np.degrees(np.abs(angle[shaken])) / 2),
        "ln_noise_error": np.median(np.abs(out[:, 3] - val[1][:, 3])),
        "compression_error": np.median(np.abs(out[:, 4] - val[1][:, 4])),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def export(network: DetailNet, path: Path) -> None:
    """The network as ONNX: tiles, uint8, (N, 96, 96), to six numbers each."""
    example = torch.zeros((2, TILE_PX, TILE_PX), dtype=torch.uint8)
    program = torch.onnx.export(
        network.eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("tiles", min=1, max=4096)},),
        input_names=["tiles"],
        output_names=["detail"],
    )
    assert program is not None
    program.optimize()
    model = program.model_proto
    model.producer_name = "siamese-nima"
    # Where in which file each step was written, on the machine of the training.
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


if __name__ == "__main__":
    main()
