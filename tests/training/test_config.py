"""Configurations of runs: what is read, what is refused and how, what is written."""

import re
import tomllib
from pathlib import Path

import pytest

from siamese_nima.errors import ConfigError
from siamese_nima.networks.backbones import BackboneOptions, build_backbone
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.training.config import (
    StageConfig,
    config_from,
    merged,
    read_config,
    stage_entries,
)

DATA = {"source": "ratings.csv"}

FILE = """
start = "imagenet:mobilenetv3_large_100"
out = "runs/\\"odd\\" näme"
view = "warp:96"
scale = "1..7"
seed = 3
devices = 2

[data]
source = "ratings.csv"
photos = "photos"
scale = "0..100"
fractions = [0.8, 0.2, 0]

[ladders]
photos = 20

[[stage]]
freeze = "backbone"
epochs = 2
average_decay = 0

[[stage]]
kind = "siamese"
objective = "margin"
margin = 0.5
sampler = "scene"
emd_weight = 1
freeze = 618
"""


def test_every_entry_of_a_file_arrives():
    config = config_from(tomllib.loads(FILE))
    assert config.start == "imagenet:mobilenetv3_large_100"
    assert config.view == ViewPolicy.parse("warp:96")
    assert config.scale == RatingScale(1, 7)
    assert config.name == '"odd" näme'
    assert config.devices == 2
    assert config.data.photos == Path("photos")
    assert config.data.scale == RatingScale(0, 100)
    assert config.data.fractions == (0.8, 0.2, 0.0)
    assert (config.data.ladders, config.data.ladders_best) == (20, 0.25)
    head, pairs = config.stage
    assert (head.kind, head.freeze, head.epochs) == ("nima", "backbone", 2)
    assert head.average_decay == 0
    assert pairs.freeze == 618
    assert pairs.sampler == "scene"
    assert (pairs.objective, pairs.margin) == ("margin", 0.5)


def test_what_is_written_is_read_back_the_same():
    config = config_from(tomllib.loads(FILE))
    assert config_from(tomllib.loads(config.text())) == config
    plain = config_from({"data": DATA})
    assert config_from(tomllib.loads(plain.text())) == plain


def test_a_run_has_the_head_first_and_then_the_upper_half_unless_told_otherwise():
    stages = config_from({"data": DATA}).stage
    assert [(plan.kind, plan.freeze) for plan in stages] == [("nima", "backbone"), ("nima", "half")]
    assert stages[0].backbone_learning_rate == 0


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"dta": {}}, "unknown entry 'dta'; did you mean 'data'"),
        ({}, r"no photos named: give \[data\] source, or --data"),
        ({"data": {"sorce": "x"}}, r"\[data\] has an unknown entry 'sorce'; did you mean 'source'"),
        ({"data": "ratings.csv"}, r"data is a table, written as \[data\], got 'ratings.csv'"),
        ({"data": DATA, "stage": {}}, r"stages are written as \[\[stage\]\]"),
        ({"data": DATA, "stage": []}, "a run needs at least one stage"),
        (
            {"data": DATA, "stage": [{}, {"epoch": 3}]},
            r"\[\[stage\]\] 2 has an unknown entry 'epoch'; did you mean 'epochs'",
        ),
        (
            {"data": DATA, "stage": [{"sampler": "scene"}]},
            r"\[\[stage\]\] 1: 'sampler' is for kind = \"siamese\", this is a NIMA stage",
        ),
        ({"data": DATA, "stage": [{"kind": "nma"}]}, "one of nima, siamese, got 'nma'"),
        ({"data": DATA, "stage": [{"epochs": "3"}]}, "epochs is a whole number, got '3'"),
        ({"data": DATA, "stage": [{"epochs": True}]}, "epochs is a whole number, got True"),
        ({"data": DATA, "stage": [{"epochs": 0}]}, r"\[\[stage\]\] 1: epochs must be at least 1"),
        ({"data": DATA, "stage": [{"weight_decay": "x"}]}, "weight_decay is a number, got 'x'"),
        ({"data": DATA, "stage": [{"freeze": 1.5}]}, "a name or a number of layers, got 1.5"),
        ({"data": DATA, "stage": [{"schedule": "x"}]}, "one of cosine, plateau, constant, got 'x'"),
        ({"data": {**DATA, "scale": "5"}}, r"\[data\]: scale '5': wanted two rising"),
        ({"data": {**DATA, "random_crop": 1}}, "random_crop is true or false, got 1"),
        ({"data": {**DATA, "fractions": [1, 1, 1]}}, "three shares that sum to 1"),
        ({"data": {**DATA, "variants": 0}}, "variants must be at least 1, got 0"),
        ({"data": DATA, "view": "native"}, "training needs views of one size"),
        ({"data": DATA, "view": "wrap:224"}, "view: view policy 'wrap:224'"),
        ({"data": DATA, "device": "tpu"}, "device must be one of auto, cpu, cuda, mps, got 'tpu'"),
        ({"data": DATA, "devices": 0}, "devices must be at least 1, got 0"),
        ({"data": DATA, "out": 3}, "out is text, got 3"),
        ({"data": DATA, "precision": "fp8"}, "precision must be one of auto"),
        ({"data": DATA, "ladders": {"photos": 5}}, "ladders are for Siamese stages"),
        ({"data": DATA, "ladders": {"best": 0}}, r"\[data\]: ladders_best must be above 0, got 0"),
        ({"data": DATA, "ladders": {"bst": 1}}, "entry 'ladders_bst'; did you mean 'ladders_best'"),
        ({"data": DATA, "ladders": 3}, "the configuration has an unknown entry 'ladders'"),
        ({"data": DATA, "card": "x"}, r"card is a table, written as \[card\], got 'x'"),
        ({"data": DATA, "card": {"version": 3}}, "version is text, got 3"),
        ({"data": DATA, "card": {"version": ["3"]}}, "version is text, got"),
        ({"data": DATA, "card": {"limits": "x"}}, "limits is a list, got 'x'"),
        (
            {"data": DATA, "card": {"verson": "3"}},
            r"\[card\] has an unknown entry 'verson'; did you mean 'version'",
        ),
        ({"data": DATA, "stage": [{"reads": "levels"}]}, "for the head alone"),
        (
            {"data": DATA, "stage": [{"reads": "levels", "freeze": "backbone"}]},
            "name the blocks in levels",
        ),
    ],
)
def test_an_unknown_or_impossible_entry_is_refused_by_name(raw, message):
    with pytest.raises(ConfigError, match=message):
        config_from(raw)


def test_options_go_before_the_entries_of_the_file():
    raw = merged(
        tomllib.loads(FILE),
        {
            "seed": 9,
            "out": Path("elsewhere"),
            "name": None,
            "columns": [],
            "data": "other.csv",
            "ladders": 5,
            "batch_size": 8,
            "epochs": 7,
        },
    )
    config = config_from(raw)
    assert (config.seed, config.out) == (9, Path("elsewhere"))
    assert (config.data.source, config.data.photos) == ("other.csv", Path("photos"))
    assert config.data.ladders == 5
    assert [plan.batch_size for plan in config.stage] == [8, 8]
    assert [plan.epochs for plan in config.stage] == [2, 7]


def test_kinds_of_stages_take_the_place_of_the_files():
    raw = merged(tomllib.loads(FILE), {"stage": ["nima", "siamese"]})
    assert [plan.kind for plan in config_from(raw).stage] == ["nima", "nima", "siamese"]
    raw = merged({"data": DATA}, {"freeze": "300"})
    assert config_from(raw).stage[1].freeze == 300
    raw = merged({"data": DATA}, {"stage": ["siamese"], "objective": "margin"})
    assert config_from(raw).stage[0] == StageConfig(kind="siamese", objective="margin")
    raw = merged({"data": DATA}, {"stage": ["siamese"]})
    assert config_from(raw).stage[0] == StageConfig(kind="siamese")
    with pytest.raises(ConfigError, match=r"stages are written as \[\[stage\]\]"):
        config_from(merged({"data": DATA, "stage": [3]}, {"epochs": 2}))
    with pytest.raises(ConfigError, match="stage must be one of nima, siamese, got 'pairs'"):
        stage_entries(["pairs"])


def test_a_file_that_is_no_toml_is_named(tmp_path):
    (tmp_path / "run.toml").write_text("epochs 3")
    with pytest.raises(ConfigError, match=r"run\.toml: not a readable TOML file"):
        read_config(tmp_path / "run.toml")
    with pytest.raises(ConfigError, match=r"none\.toml: not a readable TOML file \(No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "ratings.csv").write_text("path,mos\na.jpg,3\n")
    with pytest.raises(ConfigError, match=r"not a readable TOML file .* given with --data"):
        read_config(tmp_path / "ratings.csv")


def test_the_configuration_on_the_page_is_the_default_one():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shown = config_from(tomllib.loads(block))
    kinds = {"stage": stage_entries(["nima", "siamese"])}
    assert shown == config_from({"data": DATA, "out": "runs/mine", **kinds})


def test_the_recipe_of_the_next_model_is_a_configuration_that_fits_its_network():
    recipe = Path(__file__).parents[2] / "recipes" / "quality" / "quality4.toml"
    config = config_from(read_config(recipe))
    assert len(config.start_sha256) == 64  # of a version that is history one day
    options = BackboneOptions(levels=config.levels)
    backbone = build_backbone("tf_efficientnet_lite0", options)
    assert backbone.num_features > 1280
    assert [(stage.freeze, stage.reads) for stage in config.stage] == [("backbone", "levels")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_file_may_be_as_editors_of_windows_save_it(tmp_path, encoding):
    (tmp_path / "run.toml").write_bytes(FILE.encode(encoding))
    assert read_config(tmp_path / "run.toml") == tomllib.loads(FILE)
