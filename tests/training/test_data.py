"""The photos of a run: divided where they have no splits, and told apart from other photos."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from siamese_nima.errors import TableError
from siamese_nima.training.data import RECORD_FILE, clean_rows, data_digest, read_tables
from siamese_nima.training.watch import Watch
from training_runs import run_config, write_photos


@pytest.fixture
def config(tmp_path):
    """A run on forty photos without splits."""
    table = write_photos(tmp_path / "photos", count=40, split=False)
    config = run_config(table, "start", tmp_path / "run")
    config.out.mkdir()
    return config


def with_splits(config, splits):
    lines = config_table(config).read_text().splitlines()
    rows = [f"{line},{split}" for line, split in zip(lines, ["split", *splits], strict=True)]
    config_table(config).write_text("\n".join(rows) + "\n")


def config_table(config):
    return config.out.parent / "photos" / "ratings.csv"


def counts(config):
    return {name: len(table) for name, table in read_tables(config, Watch()).items()}


def test_splits_of_the_table_are_taken_as_they_are(config):
    with_splits(config, ["train"] * 30 + ["val"] * 10)
    assert counts(config) == {"train": 30, "val": 10}
    assert not (config.out / "splits.csv").exists()


def test_photos_without_splits_are_divided_and_the_same_again(config):
    first = read_tables(config, Watch())
    assert {name: len(table) for name, table in first.items()} == {
        "train": 28,
        "val": 6,
        "test": 6,
    }
    another = config.changed(seed=5)
    (config.out / RECORD_FILE).write_text("{}")
    again = read_tables(another, Watch())
    assert data_digest(again) == data_digest(first), "kept in splits.csv"
    (config.out / RECORD_FILE).unlink()
    afresh = read_tables(another, Watch())
    assert data_digest(afresh) != data_digest(first), "what never was a run is not kept"


def test_a_test_split_that_is_given_stays_and_val_comes_out_of_train(config):
    with_splits(config, ["train"] * 30 + ["test"] * 10)
    tables = read_tables(config, Watch())
    assert {path.name for path in tables["test"].paths} == {f"{n:03d}.png" for n in range(30, 40)}
    assert 3 <= len(tables["val"]) <= 8
    assert len(tables["train"]) + len(tables["val"]) == 30


def test_columns_of_the_table_can_be_named(config):
    text = config_table(config).read_text()
    config_table(config).write_text(text.replace("path,mos", "path,liking"))
    with pytest.raises(TableError, match="needs votes"):
        read_tables(config, Watch())
    columns = {"columns": ("mos=liking",)}
    named = config.changed(data=config.data.model_copy(update=columns))
    assert sum(counts(named).values()) == 40


def test_a_set_of_equal_ratings_is_refused(config):
    names = [row.split(",")[0] for row in config_table(config).read_text().splitlines()[1:]]
    config_table(config).write_text("path,mos\n" + "\n".join(f"{name},3" for name in names))
    with pytest.raises(TableError, match="all 40 photos are rated 3; nothing can be learnt"):
        read_tables(config, Watch())


def test_photos_without_a_split_are_divided_and_others_keep_theirs(config):
    with_splits(config, ["Train"] * 10 + ["VAL"] * 5 + [""] * 25)
    tables = read_tables(config, Watch())
    assert sum(map(len, tables.values())) == 40
    kept = {path.name for path in tables["val"].paths}
    assert {f"{n:03d}.png" for n in range(10, 15)} <= kept


def test_splits_without_train_are_refused(config):
    with_splits(config, ["test"] * 40)
    with pytest.raises(TableError, match=r"splits are \['test'\]; wanted train and val, or none"):
        read_tables(config, Watch())


def test_missing_photos_stop_a_run(config):
    (config.out.parent / "photos" / "003.png").unlink()
    with pytest.raises(TableError, match=r"1 of 40 photos are missing: .*003\.png"):
        read_tables(config, Watch())


def test_a_broken_photo_stops_a_run_and_says_what_to_do(config):
    (config.out.parent / "photos" / "003.png").write_bytes(b"no photo")
    with pytest.raises(TableError, match=r"1 photos cannot be read: .*003\.png.*--skip-unreadable"):
        read_tables(config, Watch())


def test_the_digest_hears_of_photos_ratings_and_splits(config):
    tables = read_tables(config, Watch())
    train = tables["train"]
    assert data_digest({**tables, "train": train.select([0, 1])}) != data_digest(tables)
    moved = replace(train, mos=np.clip(train.mos + 0.01, 1, 5))
    assert data_digest({**tables, "train": moved}) != data_digest(tables)


def test_ladders_are_of_the_best_rated_photos():
    mos = np.random.default_rng(0).uniform(1, 10, 80)
    rows = clean_rows(mos, 0.25, 8, seed=0)
    assert len(rows) == 8
    assert mos[rows].min() >= np.sort(mos)[-20]
    seen = Counter(row for seed in range(20) for row in clean_rows(mos, 0.25, 8, seed=seed))
    assert len(seen) == 20, "any of the best quarter"
    assert len(clean_rows(mos[:4], 0.25, 8, seed=0)) == 1
