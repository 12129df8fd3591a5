"""Runs on a cluster of two nodes: whatever is lost, the rows are those of one machine."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from siamese_nima.photos import find_photos
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import Columns, open_table
from systems import needs_sigkill

pytestmark = pytest.mark.slow

PER_FILE = 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos that take a moment each, and two that cannot be read."""
    folder = tmp_path_factory.mktemp("many") / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (900, 1200, 3), np.uint8)
    for number in range(90):
        Image.fromarray(noise // (1 + number % 7)).save(folder / f"photo{number}.jpg", quality=90)
    (folder / "photo17.jpg").write_bytes(b"no picture")
    (folder / "photo60.jpg").write_bytes((folder / "photo61.jpg").read_bytes()[:5000])
    return folder


@pytest.fixture(scope="module")
def local(photos, tiny_model, tmp_path_factory):
    """The table of the local run."""
    path = tmp_path_factory.mktemp("local") / "local.parquet"
    scorer = Scorer(tiny_model)
    with open_table(path, Columns(scorer.scales)) as table:
        for result in scorer.score(find_photos([photos]).names):
            table.write(result)
    return pq.read_table(path)


def command(cluster, model, *arguments):
    """The command; a quick network, but photos read in full, so that a run can be disturbed."""
    start = [sys.executable, "-m", "siamese_nima", "score", "--engine", "ray", "--model", model]
    options = ["--ray-address", cluster.address, "--photos-per-file", PER_FILE]
    return list(map(str, [*start, *options, *arguments]))


def run(cluster, model, *arguments):
    return subprocess.run(
        command(cluster, model, *arguments), capture_output=True, text=True, timeout=240
    )


def wait_for_parts(folder, count, process):
    """Until so many files of results are whole."""
    deadline = time.monotonic() + 200
    while len(list(folder.glob("part-*.parquet"))) < count:
        assert process.poll() is None, "the run ended too early to be disturbed"
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.01)


def test_photos_and_results_of_a_store(cluster, store, photos, tiny_model, local):
    names = find_photos([photos]).names[10:25]
    for name in names:
        store.upload_file(name, "shoot", f"in/{Path(name).name}")
    store.put_object(Bucket="shoot", Key="in/.hidden.jpg", Body=b"")
    done = run(cluster, tiny_model, "s3://shoot/in/", "--out", "s3://shoot/out")
    assert done.returncode == 1, done.stderr
    assert "14 of 15 photos scored" in done.stderr
    assert "skipped 1 hidden" in done.stderr
    assert "failed: s3://shoot/in/photo17.jpg: not a photo in a format" in done.stderr
    keys = [entry["Key"] for entry in store.list_objects_v2(Bucket="shoot")["Contents"]]
    parts = sorted(key for key in keys if key.startswith("out/part-"))
    assert len(parts) == 5
    bodies = [store.get_object(Bucket="shoot", Key=key)["Body"].read() for key in parts]
    table = pa.concat_tables(pq.read_table(io.BytesIO(body)) for body in bodies)
    expected = local.slice(10, 15).to_pylist()
    for row in expected:
        for column in ("path", "error"):
            row[column] = row[column] and row[column].replace(f"{photos}/", "s3://shoot/in/")
    assert table.to_pylist() == expected


def test_archives_and_data_sets_of_a_store(cluster, store, photos, tiny_model, tmp_path):
    names = [Path(name) for name in find_photos([photos]).names[10:25]]
    with (
        tarfile.open(tmp_path / "a.tar", "w") as tar,
        zipfile.ZipFile(tmp_path / "b.zip", "w") as z,
    ):
        for name in names:
            tar.add(name, name.name)
            z.write(name, name.name)
    images = [{"bytes": name.read_bytes(), "path": name.name} for name in names]
    pq.write_table(pa.table({"image": images, "label": range(15)}), tmp_path / "c.parquet")
    for name in ("a.tar", "b.zip", "c.parquet"):
        store.upload_file(str(tmp_path / name), "shoot", f"sets/{name}")
    wanted = ["s3://shoot/sets/*.tar", "s3://shoot/sets/b.zip", "s3://shoot/sets/c.parquet"]
    done = run(cluster, tiny_model, *wanted, "--out", tmp_path / "out")
    assert "42 of 45 photos scored" in done.stderr
    here = [sys.executable, "-m", "siamese_nima", "score", "--model", tiny_model, "--distribution"]
    here += [*wanted, "--out", tmp_path / "here.parquet"]
    assert subprocess.run([*map(str, here)], capture_output=True, timeout=240).returncode == 1
    table = pq.read_table(tmp_path / "out")
    assert table.equals(pq.read_table(tmp_path / "here.parquet"))
    rows = table.to_pylist()
    assert rows[0]["path"] == f"s3://shoot/sets/a.tar::{names[0].name}"
    assert [row["label"] for row in rows] == [None] * 30 + [*range(15)]
    assert [row["score"] for row in rows[:15]] == [row["score"] for row in rows[15:30]]


def test_results_that_cannot_be_written_end_the_run_with_their_name(
    cluster, photos, tiny_model, tmp_path
):
    (tmp_path / "_nima").mkdir()
    (tmp_path / "_nima" / "begun").write_text("where a folder should be")
    done = run(cluster, tiny_model, photos, "--out", tmp_path)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("nima: ")]
    (error,) = said
    assert error.startswith(f"nima: {tmp_path}/_nima/begun/00000")
    assert error.endswith(": cannot be read (Not a directory)")


@needs_sigkill
def test_a_driver_that_is_killed_is_gone_on_with(cluster, photos, tiny_model, local, tmp_path):
    out = tmp_path / "out"
    with (tmp_path / "stderr").open("wb") as stderr:
        first = subprocess.Popen(command(cluster, tiny_model, photos, "-o", out), stderr=stderr)
        wait_for_parts(out, 3, first)
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert 3 <= len(kept) < 30
    done = run(cluster, tiny_model, photos, "--out", out)
    assert done.returncode == 1, done.stderr
    assert "88 of 90 photos scored" in done.stderr
    assert "in an earlier run" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert pq.read_table(out).equals(local)
    assert list((out / "_nima" / "begun").iterdir()) == []


def test_a_node_that_is_killed_loses_and_doubles_nothing(
    cluster, photos, tiny_model, local, tmp_path
):
    out = tmp_path / "out"
    lost = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    with (tmp_path / "stderr").open("w+b") as stderr:
        process = subprocess.Popen(command(cluster, tiny_model, photos, "-o", out), stderr=stderr)
        wait_for_parts(out, 4, process)
        cluster.remove_node(lost, allow_graceful=False)
        assert len(list(out.glob("part-*"))) < 30, "the run was over before the node was"
        assert process.wait(200) == 1
        stderr.seek(0)
        said = stderr.read().decode()
    assert "88 of 90 photos scored" in said
    assert pq.read_table(out).equals(local)
    assert [path.name for path in sorted(out.glob("part-*"))] == [
        f"part-{number:07d}.parquet" for number in range(30)
    ]
    assert os.listdir(out / "_nima" / "begun") == []  # noqa: PTH208
