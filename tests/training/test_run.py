"""Whole runs on tiny photos: results, resuming, guards, several processes."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from siamese_nima.datasets.contamination import find_contamination
from siamese_nima.datasets.sources import RatedSource, read_source
from siamese_nima.errors import ConfigError, TableError, WeightsError
from siamese_nima.evaluation.metrics import srcc
from siamese_nima.networks.checkpoint import load_checkpoint
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.training.run import train
from siamese_nima.training.watch import Watch
from systems import needs_sigkill
from training_runs import STAGE, run_config, write_photos, write_start

SIAMESE = {**STAGE, "kind": "siamese", "sampler": "scene"}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return write_start(tmp_path_factory.mktemp("start") / "tiny.safetensors")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


def rows_of(table):
    return list(csv.DictReader(table.read_text().splitlines()))


class Heard(Watch):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def start_stage(self, title, epochs, steps):
        self.lines.append(f"{title} {epochs} x {steps}")

    def epoch(self, figures):
        self.lines.append(sorted(figures))


@pytest.fixture(scope="module")
def finished(table, start, tmp_path_factory):
    """A run of both stages, with ladders, to its end; what it told, and its result."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    config = run_config(
        table,
        start,
        out,
        ladders={"photos": 4},
        card={"version": "7", "description": "How lively it is.", "limits": ["Of clouds alone."]},
        stage=[{**STAGE, "freeze": "backbone", "cache_trunk": True}, SIAMESE],
    )
    heard = Heard()
    return heard.lines, config, train(config, heard)


def test_a_run_leaves_a_model_that_scores_and_says_what_it_is(finished, table):
    _, _, run = finished
    scorer = Scorer(run.model)
    card = scorer.card
    assert card.name == "mine"
    assert card.version == "7"
    assert card.description == "How lively it is."
    assert card.licence.startswith("that of the weights it started from")
    assert card.limits == ("Of clouds alone.",)
    assert card.parent
    assert card.training["photos"] == 36
    assert [stage["kind"] for stage in card.training["stages"]] == ["nima", "siamese"]
    assert card.metrics["val photos"]["photos"] == 12
    assert card.metrics["val photos"] == run.after
    assert card.metrics["the same before training"] == run.before
    assert card.population is None  # twelve photos are no population
    source = read_source(RatedSource(table, scale=RatingScale(1, 5))).table
    assert find_contamination(card, source.split("train")).verdict == "contaminated"
    assert find_contamination(card, source.split("val")).verdict == "unknown"  # its parent is mute
    scores = [photo.mean for photo in scorer.score(source.split("val").paths)]
    assert np.corrcoef(scores, source.split("val").mos)[0, 1] == pytest.approx(
        card.metrics["val photos"]["plcc"]["value"], abs=1e-3
    )


def test_the_checkpoint_is_the_network_of_the_model_file(finished):
    _, _, run = finished
    nima, card = load_checkpoint(run.checkpoint)
    assert card == run.card
    golden = Scorer(run.model).card.golden
    assert golden == card.golden
    assert nima.head.out_features == len(golden)


def test_what_was_done_stands_beside_the_results(finished):
    lines, config, run = finished
    assert (run.folder / "config.toml").read_text() == config.text()
    rows = rows_of(run.folder / "log.csv")
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("1", "0"), ("1", "1"), ("2", "0"), ("2", "1"),
    ]  # fmt: skip
    assert float(rows[0]["val_emd"]) == pytest.approx(run.epochs[0]["val_emd"], rel=1e-5)
    assert "val_ladder_accuracy" in run.epochs[3]
    assert (run.folder / "curves.svg").read_text().count("stage 2") >= 1
    with Image.open(run.folder / "curves.png") as picture:
        assert min(picture.size) > 400
    assert list((run.folder / "tensorboard").rglob("events*"))
    assert not (run.folder / "cache").exists()
    assert lines[0].startswith("cut photos take ")
    assert lines[1] == "stage 1: NIMA stage, the head alone 2 x 3"
    # 36 photos and four ladders of six rungs, twelve to a step.
    assert lines[4] == "stage 2: Siamese stage (preference), layers after blocks.3 2 x 5"


def test_a_finished_run_started_again_gives_the_same(finished):
    _, config, run = finished
    before = load_file(run.checkpoint)
    heard = Heard()
    again = train(config, heard)
    assert again.card == run.card
    assert all((load_file(again.checkpoint)[name] == before[name]).all() for name in before)
    assert not any(isinstance(line, list) for line in heard.lines), "no epoch is trained again"


def test_a_folder_that_holds_another_run_is_refused(finished, table, start, tmp_path):
    _, config, run = finished
    with pytest.raises(ConfigError, match=r"other settings \(seed: 0 there, 1 now; "):
        train(run_config(table, start, run.folder, seed=1, stage=[STAGE]))
    moved = write_photos(tmp_path / "others", count=44)
    config = config.changed(
        out=tmp_path / "run", name="mine", data=config.data.changed(source=str(moved))
    )
    (config.out / "stage1").mkdir(parents=True)
    (config.out / "stage1" / "last.ckpt").touch()
    record = json.loads((run.folder / "run.json").read_text())
    record |= {"data_sha256": "of other photos", "start_sha256": "x"}
    (config.out / "run.json").write_text(json.dumps(record))
    message = "other photos, ratings or splits and the weights of"
    with pytest.raises(ConfigError, match=message):
        train(config)
    del record["settings"]
    (config.out / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="a run of an earlier version"):
        train(config)


def test_a_folder_in_which_nothing_began_is_free_for_another_try(table, start, tmp_path):
    wrong = run_config(table, start, tmp_path / "run", data={"photos": str(tmp_path)})
    with pytest.raises(TableError, match="48 of 48 photos are missing"):
        train(wrong)
    assert not (tmp_path / "run" / "config.toml").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": [STAGE, {**STAGE, "freeze": "blocks.99"}]}, r"\[\[stage\]\] 2: .*'blocks.99'"),
        ({"stage": [{**STAGE, "freeze": "nothing", "cache_trunk": True}]}, "no named part to run"),
        ({"start": "imagenet:mobilenet_v9"}, "no backbone 'mobilenet_v9'"),
        ({"start": "none.safetensors"}, "no such file to start from"),
        ({"levels": ["blocks.9.9"]}, "no block 'blocks.9.9'"),
        ({"device": "cuda"}, "device 'cuda': the installed torch finds none here"),
    ],
)
def test_what_cannot_be_is_said_before_photos_are_read(
    start, tmp_path, monkeypatch, changes, message
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "ratings.csv").write_text("no table at all")
    start = changes.pop("start", start)
    config = run_config(tmp_path / "ratings.csv", start, tmp_path / "run", **changes)
    with pytest.raises((ConfigError, WeightsError), match=message):
        train(config)
    assert not (tmp_path / "run").exists()


def test_too_few_photos_for_a_batch_are_found_before_they_are_cut(table, start, tmp_path):
    stages = [{**STAGE, "batch_size": 40}]
    message = r"36 training photos do not fill one batch of 40; take a smaller .*--batch-size"
    with pytest.raises(ConfigError, match=message):
        train(run_config(table, start, tmp_path / "run", stage=stages))
    assert not [*(tmp_path / "run").iterdir()]


def test_a_run_of_which_nothing_was_saved_leaves_its_folder_to_another(table, start, tmp_path):
    class Broken(Watch):
        def start_stage(self, title, epochs, steps):  # noqa: ARG002
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        train(run_config(table, start, tmp_path / "run", seed=1), Broken())
    assert (tmp_path / "run" / "run.json").is_file()
    other = write_photos(tmp_path / "others", count=24)
    config = run_config(other, start, tmp_path / "run", stage=[{**STAGE, "epochs": 1}])
    assert train(config).card.training["photos"] == 18


def test_the_results_need_a_folder(table, start, tmp_path):
    (tmp_path / "p.jpg").touch()
    with pytest.raises(ConfigError, match=r"--out\) names a folder, and .*p\.jpg is a file"):
        train(run_config(table, start, tmp_path / "p.jpg"))


def test_photos_without_splits_are_divided_and_the_division_kept(start, tmp_path):
    photos = write_photos(tmp_path / "photos", split=False)
    (tmp_path / "photos" / "047.png").write_bytes(b"no photo")
    heard = Heard()
    out = tmp_path / "run"
    data = {"skip_unreadable": True}
    run = train(run_config(photos, start, out, data=data, stage=[{**STAGE, "epochs": 1}]), heard)
    assert "left out: 47 of 48 photos can be read; 1 are broken" in heard.lines[0]
    assert heard.lines[1] == (
        "divided so that near-copies stay together: 33 train, 7 val, 7 test (splits.csv)"
    )
    splits = read_source(RatedSource(photos, scale=RatingScale(1, 5))).table.paths
    kept = rows_of(out / "splits.csv")
    assert len(kept) == 47 == len(splits) - 1
    assert run.card.training["photos"] == 33


TWO_STAGES = [{**STAGE, "freeze": "backbone", "patience": 9}, {**SIAMESE, "epochs": 6}]


@pytest.fixture(scope="module")
def whole(table, start, tmp_path_factory):
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "mine"
    return train(run_config(table, start, out, stage=TWO_STAGES))


def check_resumed(config, whole):
    """Go on with a run that was broken off in its second stage."""
    heard = Heard()
    resumed = train(config, heard)
    # The log of an epoch is written before its checkpoint, and the break may come between.
    assert 1 <= sum(isinstance(line, list) for line in heard.lines) <= 5, "not from the start"
    assert resumed.epochs == whole.epochs
    expected = load_file(whole.checkpoint)
    for name, tensor in load_file(resumed.checkpoint).items():
        assert (tensor == expected[name]).all(), name  # to the bit, with the same threads


def test_a_run_that_broke_off_goes_on_to_the_result_of_an_uninterrupted_one(
    table, start, tmp_path, whole
):
    class Broken(Heard):
        def epoch(self, figures):
            super().epoch(figures)
            if sum(isinstance(line, list) for line in self.lines) == 4:
                raise OSError("the disk is full")

    config = run_config(table, start, tmp_path / "broken" / "mine", stage=TWO_STAGES)
    with pytest.raises(OSError, match="the disk is full"):
        train(config, Broken())
    check_resumed(config, whole)


@needs_sigkill
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_result_of_an_uninterrupted_one(table, start, tmp_path, whole):
    config = run_config(table, start, tmp_path / "killed" / "mine", stage=TWO_STAGES)
    (tmp_path / "run.toml").write_text(config.text())
    log = config.out / "log.csv"
    with (tmp_path / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "siamese_nima", "train", tmp_path / "run.toml"], stderr=errors
        )
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count("\n2,") >= 2:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
    assert process.wait(60) == -signal.SIGKILL, (tmp_path / "errors.txt").read_text()
    check_resumed(config, whole)


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_the_same_batch(table, start, tmp_path):
    stages = [{**stage, "dropout": 0.0, "average_decay": 0.5} for stage in (STAGE, SIAMESE)]
    one = train(run_config(table, start, tmp_path / "one" / "mine", stage=stages))
    config = run_config(table, start, tmp_path / "two" / "mine", stage=stages, devices=2)
    (tmp_path / "run.toml").write_text(config.text())
    done = subprocess.run(
        [sys.executable, "-m", "siamese_nima", "train", tmp_path / "run.toml"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == (one.problem is not None), done.stderr
    assert done.stdout.count("wrote ") == 1, "one process speaks"
    expected, before = load_file(one.checkpoint), load_file(start)
    moved = max(float((expected[name] - before[name]).abs().max()) for name in expected)
    assert moved > 5e-4
    for name, tensor in load_file(config.out / "checkpoint.safetensors").items():
        # Sums in another order, and Adam's steps of 1e-3 where a gradient is all but nothing.
        np.testing.assert_allclose(tensor, expected[name], atol=2e-5, rtol=0, err_msg=name)


@pytest.mark.slow
def test_two_machines_that_torchrun_starts_learn_what_one_does(table, start, tmp_path):
    stages = [{**STAGE, "dropout": 0.0}]  # of which each process draws its own
    one = train(run_config(table, start, tmp_path / "one" / "mine", stage=stages))
    config = run_config(table, start, tmp_path / "two" / "mine", nodes=2, stage=stages)
    (tmp_path / "run.toml").write_text(config.text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    command += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    train_it = ["-m", "siamese_nima", "train", str(tmp_path / "run.toml")]
    machines = [
        subprocess.Popen(
            [*command, "--node-rank", str(rank), *train_it],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    said = [machine.communicate(timeout=300)[0] for machine in machines]
    if one.problem is None:
        assert [machine.returncode for machine in machines] == [0, 0], said
    assert [text.count("wrote ") for text in said] == [1, 0], "one process speaks"
    expected = load_file(one.checkpoint)
    for name, tensor in load_file(config.out / "checkpoint.safetensors").items():
        # As of two processes of one machine.
        np.testing.assert_allclose(tensor, expected[name], atol=2e-5, rtol=0, err_msg=name)


def test_a_batch_that_processes_cannot_share_is_refused(table, start, tmp_path):
    with pytest.raises(
        ConfigError, match="batches of 12 photos per step cannot be shared by 5 processes"
    ):
        train(run_config(table, start, tmp_path / "run", devices=5))


def test_a_first_stage_that_is_worse_than_its_start_is_not_kept(table, start, tmp_path):
    """At a rate of 5 the head forgets what it knew; the run ends with what it began with."""
    bad = {**STAGE, "freeze": "backbone", "epochs": 1, "head_learning_rate": 5.0}
    good = {**STAGE, "freeze": "backbone", "epochs": 6, "head_learning_rate": 0.03}
    learnt = train(run_config(table, start, tmp_path / "good", stage=[good]))
    assert learnt.problem is None
    heard = Heard()
    config = run_config(table, learnt.checkpoint, tmp_path / "bad", stage=[bad], scale="1..10")
    run = train(config, heard)
    assert any("stage 1 has not bettered val_emd" in str(line) for line in heard.lines)
    assert any("of the start" in str(line) for line in heard.lines)
    assert run.after["srcc"] == run.before["srcc"]
    assert "no better than the model that training started from" in run.problem
    expected = load_file(learnt.checkpoint)
    for name, tensor in load_file(run.checkpoint).items():
        assert (tensor == expected[name]).all(), name


def test_photos_are_decoded_anew_where_their_views_may_not_be_kept(table, start, tmp_path):
    stages = [{**STAGE, "dropout": 0.0, "freeze": "backbone"}]
    heard = Heard()
    rows = table.read_text().splitlines()
    judged = table.parent / "with_test.csv"
    judged.write_text(
        "\n".join(r.replace("train", "test") if i % 8 == 1 else r for i, r in enumerate(rows))
        + "\n"
    )
    options = {"stage": stages, "cache_gb": 0.0, "workers": 0, "scale": "1..7"}
    run = train(run_config(judged, start, tmp_path / "a" / "run", **options), heard)
    assert "photos are decoded in every epoch" in heard.lines[0]
    assert "cache_gb = 0" in heard.lines[0]
    assert not list((tmp_path / "a").rglob("views-*.npy"))
    assert run.card.scale == RatingScale(1, 7), "another scale than the start's"
    assert run.test["photos"] == 6
    assert run.card.metrics["test photos"] == run.test
    again = train(run_config(judged, start, tmp_path / "b" / "run", **options))
    assert again.epochs == run.epochs, "crops are new in each epoch, and the same in each run"
    options["stage"] = [{**STAGE, "cache_trunk": True}]
    kept = run_config(judged, start, tmp_path / "c", **options)
    with pytest.raises(ConfigError, match=r"cache_trunk = true keeps .* raise cache_gb"):
        train(kept)


def test_a_run_is_the_same_from_whatever_folder_its_files_are_named(finished, monkeypatch):
    _, config, run = finished
    source = Path(config.data.source)
    monkeypatch.chdir(source.parent)
    data = config.data.changed(source=source.name, photos=Path())
    start = os.path.relpath(config.start)
    assert train(config.changed(data=data, start=start)).epochs == run.epochs
    monkeypatch.chdir("/")
    assert train(config).epochs == run.epochs


def test_scores_are_spread_as_the_run_asks(table, start, tmp_path):
    stages = [{**STAGE, "freeze": "backbone", "epochs": 1}]
    # Little, for a network that has hardly begun cannot be spread far.
    run = train(run_config(table, start, tmp_path / "run", stage=stages, spread_ratio=0.01))
    numbers = run.card.training["calibration"]
    assert numbers["spread_ratio_after"] == pytest.approx(0.01, abs=1e-3)
    assert numbers["spread_ratio_before"] != pytest.approx(0.01, abs=1e-3)


def test_early_blocks_learn_alone_and_are_mixed_with_what_was_known(table, start, tmp_path):
    levels = ["blocks.0.0", "blocks.2.0"]
    stage = {**STAGE, "freeze": "backbone", "reads": "levels", "blend": True, "cache_trunk": True}
    changes = {"levels": levels, "stage": [{**stage, "head_learning_rate": 0.05, "epochs": 4}]}
    heard = Heard()
    run = train(run_config(table, start, tmp_path / "mixed", storage="float16", **changes), heard)
    share = run.card.training["mixed"]["stage 1"]
    assert any(f"mixed: {share:.0%} of stage 1" in line for line in heard.lines if "mix" in line)
    assert run.card.backbone_options["levels"] == tuple(levels)
    assert 0 < share <= 1
    nima, _ = load_checkpoint(run.checkpoint)
    known, _ = load_checkpoint(start)
    pooled = known.head.in_features
    expected = (1 - share) * known.head.weight
    np.testing.assert_allclose(nima.head.weight[:, -pooled:].detach(), expected.detach(), atol=1e-6)
    assert nima.head.weight[:, :-pooled].detach().abs().max() > 0
    same = {name: value for name, value in nima.state_dict().items() if "backbone" in name}
    for name, value in known.state_dict().items():
        if name.startswith("backbone."):
            assert same[name.replace("backbone.", "backbone.backbone.", 1)].equal(value)
    assert run.model.stat().st_size < 0.8 * run.checkpoint.stat().st_size
    photos = read_source(RatedSource(table, scale=RatingScale(1, 5))).table.split("val")
    scores = [photo.mean for photo in Scorer(run.model).score(photos.paths)]
    assert srcc(np.array(scores), photos.mos) == pytest.approx(run.after["srcc"]["value"], abs=0.05)


def test_a_recipe_takes_the_weights_it_was_written_for_and_no_others(table, start, tmp_path):
    config = run_config(table, start, tmp_path / "other", start_sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"its SHA-256 is [0-9a-f]{64}, start_sha256 wants 000"):
        train(config)
