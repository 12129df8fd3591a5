"""`nima train`: options and file become a configuration; what the terminal shows."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from siamese_nima.card import ModelCard
from siamese_nima.cli import app
from siamese_nima.cli.train import TerminalWatch, summary
from siamese_nima.errors import ConfigError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.training import run
from siamese_nima.training.run import TrainedRun

AFTER = {
    "photos": 26,
    "srcc": {"value": 0.612, "low": 0.2, "high": 0.8},
    "plcc": {"value": 0.6},
    "rmse": 0.142,
}
BEFORE = AFTER | {"srcc": {"value": 0.45}}


def result(**changes):
    card = ModelCard(name="mine", backbone="none", view=ViewPolicy.parse("warp:32"))
    folder = Path("runs/mine")
    values = {
        "folder": folder,
        "model": folder / "model.onnx",
        "checkpoint": folder / "checkpoint.safetensors",
        "card": card,
        "epochs": [],
        "before": BEFORE,
        "after": AFTER,
    }
    return TrainedRun(**(values | changes))


@pytest.fixture
def asked(monkeypatch):
    """What the library is asked to do."""
    configs = []

    def train(config, watch):
        configs.append(config)
        watch.start_stage("stage 1", 1, 3)
        return result()

    monkeypatch.setattr(run, "train", train)
    return configs


def test_options_become_a_configuration(asked):
    done = CliRunner().invoke(
        app,
        shlex.split(
            "train --data ratings.csv --photos photos --scale 1..5 --out runs/mine --epochs 3 "
            "--freeze blocks.2 --batch-size 8 --stage siamese --sampler scene --ladders 9 "
            "--devices 2 --skip-unreadable"
        ),
    )
    assert done.exit_code == 0, done.output
    (config,) = asked
    assert config.data.photos == Path("photos")
    assert config.data.scale == RatingScale(1, 5)
    assert config.data.skip_unreadable
    assert (config.start, config.out, config.name) == ("quality", Path("runs/mine"), "mine")
    (stage,) = config.stage
    assert (stage.kind, stage.freeze, stage.sampler) == ("siamese", "blocks.2", "scene")
    assert (stage.epochs, stage.batch_size) == (3, 8)
    assert (config.data.ladders, config.devices) == (9, 2)
    assert (
        "on 26 val photos: SRCC 0.612 [0.200, 0.800], PLCC 0.600, RMSE 14.2 % of the scale"
        in done.output
    )
    assert "before training:  SRCC 0.450" in done.output
    assert "on 26 photos this can be chance; test photos tell more" in done.output
    assert "use it: nima score PHOTOS --model runs/mine/model.onnx" in done.output


def test_a_network_that_is_not_to_be_used_ends_with_code_1(monkeypatch):
    def train(config, watch):
        watch.start_stage("stage 1", 1, 3)
        return result(problem="all val photos get nearly the same score, 10.00")

    monkeypatch.setattr(run, "train", train)
    done = CliRunner().invoke(app, ["train", "--data", "ratings.csv", "--out", "runs/mine"])
    assert done.exit_code == 1
    assert "do not use it: all val photos get nearly the same score" in done.output


def test_options_go_before_the_file(asked, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('seed = 4\nout = "a"\n[data]\nsource = "x.csv"\n[[stage]]\nepochs = 9\n')
    CliRunner().invoke(app, ["train", str(file), "--out", "b"])
    (config,) = asked
    assert (config.seed, config.out, config.data.source) == (4, Path("b"), "x.csv")
    assert [stage.epochs for stage in config.stage] == [9]


def test_a_mistake_is_named_before_anything_is_read(asked, tmp_path):
    (tmp_path / "run.toml").write_text("epochs = 3\n")
    for arguments, message in (
        (["train"], "no photos named: give .* --data"),
        (["train", str(tmp_path / "run.toml")], "unknown entry 'epochs'"),
        (["train", "--data", "x.csv", "--freeze", "half", "--epochs", "-1"], "epochs must be"),
    ):
        with pytest.raises(ConfigError, match=message):
            CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert asked == []


def test_an_epoch_is_a_line(capsys):
    with TerminalWatch() as watch:
        watch.note("divided [into] parts")
        watch.start_stage("stage 2: NIMA stage", 12, 40)
        watch.step(1, 0.5)
        watch.epoch({"epoch": 0.0, "train_emd": 0.1234, "val_srcc": 0.5, "val_plcc": 0.1})
    assert capsys.readouterr().err.splitlines() == [
        "divided [into] parts",
        "stage 2: NIMA stage, 12 epochs of 40 steps",
        "  epoch  1/12  EMD 0.123  val SRCC 0.500",
    ]


def test_a_run_that_gained_nothing_says_so_and_is_not_offered():
    gained = summary(result())
    assert not any("do not use it" in line for line in gained)
    assert gained[-1].startswith("use it: ")
    lost = summary(replace(result(), problem="its order is no better than chance (SRCC -0.182)"))
    assert any("a smaller learning rate may help" in line for line in lost)
    assert "not better, do not use it: its order is no better than chance (SRCC -0.182)." in lost
    assert not any(line.startswith("use it") for line in lost)
    assert not any("chance" in line for line in summary(result(before=None)))
    sure = AFTER | {"srcc": {"value": 0.612, "low": 0.5, "high": 0.7}}
    assert any("can be chance" in line for line in gained)
    assert not any("can be chance" in line for line in summary(result(after=sure)))


def test_a_run_that_is_stopped_says_how_to_go_on(capsys):
    watch = TerminalWatch()
    watch.start_stage("stage 1", 2, 3)
    watch.__exit__(KeyboardInterrupt)
    assert capsys.readouterr().err.splitlines()[1] == (
        "stopped; the same command goes on after the last finished epoch"
    )
