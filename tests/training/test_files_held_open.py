"""Trainings let go of the files that they map into memory, which Windows would not remove."""

import pytest

from siamese_nima.training import run
from siamese_nima.training.watch import Watch
from training_runs import STAGE, run_config, write_photos, write_start


@pytest.mark.slow
def test_a_run_with_ladders_leaves_no_cache_and_no_complaint(tmp_path, held_files):
    table = write_photos(tmp_path / "photos", 24)
    start = write_start(tmp_path / "start.safetensors")
    stages = [
        STAGE | {"epochs": 1, "freeze": "backbone", "cache_trunk": True},
        STAGE | {"kind": "siamese", "sampler": "scene", "epochs": 1},
    ]
    config = run_config(table, start, tmp_path / "out", stage=stages, ladders={"photos": 4})
    assert run.train(config).model.is_file()
    assert not (tmp_path / "out" / "cache").exists()


def test_a_cache_that_cannot_be_removed_is_not_the_end(tmp_path, held_files, monkeypatch):
    table = write_photos(tmp_path / "photos", 24)
    start = write_start(tmp_path / "start.safetensors")
    stages = [STAGE | {"epochs": 1}]
    config = run_config(table, start, tmp_path / "out", stage=stages)
    monkeypatch.setattr("shutil.rmtree", lambda _: (_ for _ in ()).throw(PermissionError(13, "no")))
    said = []

    class Told(Watch):
        def note(self, text):
            said.append(text)

    assert run.train(config, Told()).model.is_file()
    assert f"{tmp_path / 'out' / 'cache'}: could not be removed (no); nobody needs it" in said


def test_figures_that_a_spreadsheet_holds_are_not_the_end(tmp_path, held_files):
    table = write_photos(tmp_path / "photos", 24)
    start = write_start(tmp_path / "start.safetensors")
    held = tmp_path / "out" / "log.csv"
    config = run_config(table, start, tmp_path / "out", stage=[STAGE | {"epochs": 2}])
    said = []

    class Opened(Watch):
        def note(self, text):
            said.append(text)

        def epoch(self, figures):  # noqa: ARG002
            held_files.add(str(held))

    assert run.train(config, Opened()).model.is_file()
    assert len(held.read_text().splitlines()) == 2
    assert any(text.startswith(f"{held}: cannot be written (used by") for text in said)


def test_the_origins_training_leaves_nothing(train, held_files, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(train()) == 1
    assert not list(tmp_path.glob("tmp*"))
