"""Recipes go from start to end on a handful of photos."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from siamese_nima.card import ModelCard
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.networks.backbones import build_backbone
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import build_nima
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.model import read_card
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.training.config import config_from, read_config
from siamese_nima.training.run import train
from training_runs import write_start

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Reads a script, which finds those beside it; all are forgotten after the test."""
    known = set(sys.modules)

    def read(file: str) -> ModuleType:
        path = REPOSITORY / file
        monkeypatch.syspath_prepend(str(path.parent))
        module = importlib.import_module(path.stem)
        assert Path(module.__file__) == path
        return module

    yield read
    folders = tuple(str(REPOSITORY / name) for name in ("recipes", "benchmarks"))
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folders):
            del sys.modules[name]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a script's `main` as with these arguments."""

    def run(module: ModuleType, *arguments: object) -> None:
        threads = torch.get_num_threads()
        monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, arguments)])
        module.main()
        torch.set_num_threads(threads)

    return run


def write_biq2021(folder: Path, lights: int = 2) -> tuple[Path, Path]:
    """Twelve scenes of noise in two subsets, each in some lights, and all of it encoded anew.

    Returns:
        The folder, laid out as the published set, and a splits file.
    """
    generator = np.random.default_rng(2)
    (folder / "Images").mkdir(parents=True)
    rows: list[tuple[str, float, str, str, str]] = []
    for scene in range(12):
        subset, split = f"ss0{1 + scene // 3 % 2}", ("train", "val", "test")[scene % 3]
        coarse = generator.integers(0, 120, (6, 7, 3), dtype=np.uint8)
        base = np.asarray(Image.fromarray(coarse).resize((72, 64)), float)
        for _ in range(lights):
            mos = generator.uniform(0.1, 0.8)
            pixels = Image.fromarray((base + 130 * mos).clip(0, 255).astype(np.uint8))
            for copy, quality in enumerate((95, 92)):
                name = f"{subset}-{len(rows):03d}.jpg"
                pixels.save(folder / "Images" / name, quality=quality)
                rows.append((name, mos + 0.01 * copy, subset, f"s{scene}", split))
    tables = {"Train (Images and MOS).csv": 1, "Test (Images and MOS).csv": 0}
    for table, odd in tables.items():
        lines = [f"{name},{mos:.4f}" for name, mos, *_ in rows[odd::2]]
        (folder / table).write_text("\n".join(["Image Name,MOS", *lines]) + "\n")
    splits = folder / "splits.csv"
    lines = [f"{name},{subset},{scene},{split}" for name, _, subset, scene, split in rows]
    splits.write_text("\n".join(["file_name,subset,scene,split", *lines]) + "\n")
    return folder, splits


PHOTOS = sorted((REPOSITORY / "examples" / "photos").glob("*.jpg"))


def write_lites(folder: Path) -> list[object]:
    """Random weights of EfficientNet-Lite0, 1 and 2, as options."""
    options: list[object] = []
    torch.manual_seed(0)
    for size in (0, 1, 2):
        weights = folder / f"lite{size}.pth"
        torch.save(build_backbone(f"tf_efficientnet_lite{size}").state_dict(), weights)
        options += [f"--lite{size}", weights]
    return options


@pytest.mark.slow
@pytest.mark.usefixtures("quick_export")
def test_the_recipe_of_quality_makes_a_model_and_judges_it(tmp_path, script, command):
    """With other photos and another start, smaller views and one epoch."""
    raw = read_config(REPOSITORY / "recipes" / "quality" / "quality4.toml")
    view = ViewPolicy.parse("warp:32+centre:32@48")
    torch.manual_seed(0)
    nima = build_nima("tf_efficientnet_lite0", group_sizes=view.group_sizes)
    start = tmp_path / "start.safetensors"
    save_checkpoint(
        start, nima.eval(), ModelCard(name="start", backbone="tf_efficientnet_lite0", view=view)
    )
    data, splits = write_biq2021(tmp_path / "biq", lights=8)  # as many pairs as an error needs
    del raw["start_sha256"]
    raw |= {
        "start": str(start),
        "out": str(tmp_path / "run"),
        "cache": str(tmp_path / "cache"),
        "view": str(view),
        "device": "cpu",
        "spread_ratio": 0.01,  # a network of random weights hardly tells photos apart
        "data": raw["data"] | {"source": f"biq2021:{data}", "splits": str(splits)},
        "stage": [stage | {"epochs": 1, "batch_size": 32} for stage in raw["stage"]],
    }
    run = train(config_from(raw))
    scorer = Scorer(run.model)
    assert scorer.card.version == raw["card"]["version"]
    assert {"calibration", "mixed"} <= set(scorer.card.training)
    scores, judged = tmp_path / "scores.json", tmp_path / "result.json"
    asked = ("--data", data, "--splits", splits, "--scores", scores, "--model", run.model)
    command(script("benchmarks/quality/scene_pairs.py"), *asked, "--repeats", 3, "--write")
    assert Scorer(run.model).card.scene_pair_error is not None
    judging = ("--run", run.folder, "--cache", tmp_path / "cache", "--out", judged)
    command(script("recipes/quality/judge.py"), *asked, *judging)
    found = json.loads(judged.read_text())
    assert set(found["test"]) == {"all", "ss01", "ss02"}
    assert found["test"]["all"]["photos"] == 64
    assert (found["official_test"]["photos"], found["ladders"]["photos"]) == (32, 50)
    assert len(found["history"]["levels"]) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's older exporter
@pytest.mark.slow
def test_backbones_are_compared_by_what_their_frozen_features_tell(
    tmp_path, monkeypatch, quick_export, script, command
):
    monkeypatch.setattr(torch.onnx, "export", quick_export)  # what the scripts ask of it differs
    data, splits = write_biq2021(tmp_path / "biq")
    weights = write_lites(tmp_path)
    named = ["--data", data, "--splits", splits, "--work", tmp_path / "work"]
    by_view = script("recipes/quality/compare_views.py")
    by_view.MORE_POLICIES["tf_efficientnet_lite0"] = ("warp:32",)
    command(by_view, *named, *weights[:2], "--out", tmp_path / "views.json")
    rows = json.loads((tmp_path / "views.json").read_text())["rows"]
    assert [row["view"] for row in rows] == ["warp:32"]
    by_size = script("recipes/quality/compare_sizes.py")
    by_size.VIEWS, by_size.NETWORKS = ("warp:32", "centre:32@48"), ("lite0", "lite2")
    command(by_size, *named, *weights[:2], *weights[4:], "--out", tmp_path / "sizes.json")
    rows = json.loads((tmp_path / "sizes.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["lite0"] * 2 + ["lite2"] * 2
    assert [row["channels"] for row in rows[:2]] == [2560, 4128]
    assert all(-1 <= row["srcc"] <= 1 for row in rows)
    assert rows[1]["gain"] == [0, 0, 0]
    assert rows[3]["gain"][0] == pytest.approx(rows[3]["srcc"] - rows[1]["srcc"], abs=2e-4)


# A class of gaps may have no pair of so few photos.
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.slow
@pytest.mark.usefixtures("quick_export")
def test_second_stages_are_trained_and_measured(tmp_path, script, command):
    data, splits = write_biq2021(tmp_path / "biq")
    view = ViewPolicy.parse("warp:32/nearest")
    start = write_start(tmp_path / "start.safetensors")
    stages = script("benchmarks/quality/siamese_stage.py")
    for stage in (stages.NIMA_STAGE, *stages.ARMS.values()):
        stage |= {"epochs": 1, "batch_size": 8}
    asked = ["--data", data, "--splits", splits]
    runs, arms = tmp_path / "runs", ["control", "contrastive", "preference+emd, doubt, ladders"]
    command(
        stages,
        *(*asked, "--start", start, "--view", view, "--seeds", 0, "--depth", "blocks.3"),
        *("--arms", *arms, "--share", 0.75, "--work", tmp_path / "work", "--runs", runs),
    )
    assert all(len(list(runs.glob(f"*/*/{arm}/distributions.npz"))) == 1 for arm in arms)
    figures = tmp_path / "figures.json"
    measure = script("benchmarks/quality/measure_stages.py")
    measure.REPEATS = 3
    command(measure, *asked, "--runs", runs, "--out", figures)
    (found,) = json.loads(figures.read_text())["depths"].values()
    assert set(found) == {"nima", *arms}
    assert -1 <= found["contrastive"]["test"]["srcc"]["value"] <= 1
    assert "minus_control" in found["contrastive"]


# Of so few tiles none may be as the figures want them.
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
@pytest.mark.slow
def test_the_recipe_of_detail_makes_a_network(tmp_path, monkeypatch, quick_export, script, command):
    monkeypatch.setattr(torch.onnx, "export", quick_export)  # what the recipe asks of it differs
    recipe = script("recipes/detail/train.py")
    table = RatingTable(
        paths=tuple(PHOTOS),
        mos=np.linspace(2, 9, len(PHOTOS)),
        scale=AVA_SCALE,
        splits=tuple("train" if row % 2 else "val" for row in range(len(PHOTOS))),
    )
    monkeypatch.setattr(recipe, "read_source", lambda _: type("Read", (), {"table": table}))
    monkeypatch.setattr(recipe, "CHUNK", 256)
    small = ("--chunks", 1, "--epochs", 1, "--best", 24)
    command(recipe, "--data", "BIQ2021", "--out", tmp_path, *small)
    assert json.loads((tmp_path / "detail.json").read_text())["tiles"] >= 256
    network = onnxruntime.InferenceSession(tmp_path / "detail.onnx")
    tiles = np.zeros((3, recipe.TILE_PX, recipe.TILE_PX), np.uint8)
    (detail,) = network.run(None, {"tiles": tiles})
    assert detail.shape == (3, 6)


SOURCES = ("500px_cc0", "aadb", "koniq10k", "own", "pixabay_first50k")


def write_people(folder: Path) -> list[object]:
    """Photos that people like more the brighter they are, in both sets; and random weights.

    Returns:
        The options that name them.
    """
    generator = np.random.default_rng(3)

    def picture(path: Path, bright: float) -> None:
        pixels = generator.integers(0, 90, (64, 64, 3)) + 150 * bright
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)

    oasis, study = folder / "oasis", folder / "study"
    (oasis / "photos").mkdir(parents=True)
    study.mkdir()
    photos = ["file_name,category,theme," + ",".join(f"votes{grade}" for grade in range(1, 8))]
    ratings = ["person,file_name,rating"]
    for number in range(40):
        name, bright = f"{number}.png", generator.random()
        picture(oasis / "photos" / name, bright)
        given = np.clip(np.round(1 + 6 * bright + generator.normal(0, 1.2, 24)), 1, 7).astype(int)
        votes = np.bincount(given, minlength=8)[1:]
        category = ("Person", "Scene", "Animal", "Object")[number % 4]
        photos.append(f"{name},{category},theme{number // 2}," + ",".join(map(str, votes)))
        ratings += [f"p{person},{name},{rating}" for person, rating in enumerate(given)]
    (oasis / "photos.csv").write_text("\n".join(photos) + "\n")
    (oasis / "ratings.csv").write_text("\n".join(ratings) + "\n")
    tiles = ["tile,source_db,v1,v2,v3,v4,v5"]
    for number in range(30):
        name, bright = f"tile{number}.png", generator.random()
        picture(study / name, bright)
        votes = generator.binomial(40, np.exp(-2 * (np.arange(5) / 4 - bright) ** 2) / 2)
        tiles.append(f"{name},{SOURCES[number % 5]}," + ",".join(map(str, votes)))
    (study / "votes.csv").write_text("\n".join(tiles) + "\n")
    return ["--oasis", oasis, "--study", study, "--work", folder / "work", *write_lites(folder)]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_export")
def test_the_recipe_of_appeal_makes_a_model_with_evidence(tmp_path, script, command):
    """With views of 64 pixels, one seed, and a fraction of the draws."""
    named = [option for option in write_people(tmp_path) if "lite1" not in str(option)]
    evidence, result, out = (tmp_path / name for name in ("found.json", "result.json", "a.onnx"))
    evaluate = script("recipes/appeal/evaluate.py")
    evaluate.SEEDS, evaluate.DRAWS, evaluate.REPEATS = (0,), 2, 3
    sys.modules["features"].VIEW = ViewPolicy.parse("warp:64")
    command(evaluate, *named, "--processes", 1, "--evidence", evidence)
    recipe = script("recipes/appeal/train.py")
    command(recipe, *named, "--evidence", evidence, "--out", out, "--result", result)
    found = json.loads(evidence.read_text())
    (row,) = (row for row in found["themes"] if row["name"] == recipe.ARM)
    assert row["all"]["srcc"] > 0.5  # random networks see light, too
    (photo, *_) = Scorer(out).score([tmp_path / "oasis" / "photos" / "0.png"])
    assert photo.error is None
    assert "siamese_nima.tastes" in {entry.key for entry in onnx.load(out).metadata_props}
    page = script("recipes/appeal/write_page.py").page(
        read_card(out), json.loads(result.read_text()), found
    )
    assert "70 photos" in page


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's older exporter
@pytest.mark.slow
def test_other_features_of_appeal_are_compared(
    tmp_path, monkeypatch, quick_export, script, command
):
    monkeypatch.setattr(torch.onnx, "export", quick_export)  # what the script asks of it differs
    named = write_people(tmp_path)
    data, _ = write_biq2021(tmp_path / "biq")
    features = script("recipes/appeal/try_features.py")
    first = features.FIRST
    networks = {first: "lite0", "Lite1": "lite1"}
    ways = {name: features._of(net, "b2", view="warp:64") for name, net in networks.items()}
    features.WAYS, features.TEACHER_WAY, features.DRAWS, features.REPEATS = ways, ways[first], 2, 3
    out = tmp_path / "features.json"
    command(features, *named, "--out", out)
    rows = {row["name"]: row for row in json.loads(out.read_text())["ways"]}
    assert set(rows) == set(ways)
    assert rows[first]["gain"]["oasis"] == [0, 0, 0]
    more = tmp_path / "more.json"
    command(script("recipes/appeal/try_more_photos.py"), *named, "--biq", data, "--out", more)
    found = json.loads(more.read_text())
    assert found["more_photos"] == 48
    assert found["rows"][0]["oasis gain"] == [0, 0, 0]


def test_faces_are_drawn_to_be_looked_at(tmp_path, script, command, capsys):
    sheet = tmp_path / "faces.png"
    photo = REPOSITORY / "examples" / "photos" / "astronaut.jpg"
    command(script("recipes/faces/look.py"), photo, "--out", sheet)
    assert "1 photos, 1 faces: {'open': 1}" in capsys.readouterr().out
    with Image.open(sheet) as drawn:
        assert drawn.width > 1000
