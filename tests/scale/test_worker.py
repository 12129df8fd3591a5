"""A worker's rows are those of the local run, whatever happened to the worker before."""

import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hostile_corpus import write_corpus
from siamese_nima.errors import ConfigError
from siamese_nima.photos import find_photos
from siamese_nima.photos.sources import find_sources
from siamese_nima.photos.tables import ListedPhoto
from siamese_nima.scale.plan import NOTES, Folder, Slice, open_plan
from siamese_nima.scale.worker import Done, Job, Worker, scored_isolated
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.scoring.tables import Columns, open_table
from systems import needs_sigkill


@pytest.fixture
def job(tiny_model, tmp_path):
    return Job(
        results=str(tmp_path / "out"),
        start=str(tmp_path),
        models={"tiny": tiny_model.read_bytes()},
        settings=Scorer(tiny_model).settings(),
        threads=2,
    )


def local_rows(model, names, path):
    """What the local run writes."""
    scorer = Scorer(model)
    with open_table(path, Columns(scorer.scales)) as table:
        for result in scorer.score(names):
            table.write(result)
    return pq.read_table(path)


def worked(job, arguments, photos_per_file=7):
    """What a worker says of each slice."""
    worker, folder = Worker(job), Folder(job.results)
    slices = open_plan(folder, find_sources(arguments), job.settings, photos_per_file)
    return [Done.of_row(worker(asdict(part))) for part in slices]


def test_rows_are_those_of_the_local_run_on_all_that_can_be_wrong_with_photos(
    job, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus")
    names = find_photos(["corpus"]).names
    local = local_rows(tiny_model, names, tmp_path / "local.parquet")
    done = worked(job, ["corpus"])
    assert pq.read_table(job.results).equals(local)
    assert sum(part.photos for part in done) == len(names) == len(local)
    errors = local.column("error").drop_null().to_pylist()
    assert len(errors) > 20
    assert sum(part.failed for part in done) == len(errors)
    assert not any(part.earlier for part in done)


def test_bytes_from_a_table_are_scored_as_the_files_are(job, tiny_model, photo_folder, tmp_path):
    names = find_photos([photo_folder]).names
    contents = [Path(name).read_bytes() for name in names]
    contents[3] = contents[3][:-40]
    table = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"path": names, "bytes": contents}), table, row_group_size=4)
    Path(names[3]).write_bytes(contents[3])
    worked(job, [str(table)], 5)
    local = local_rows(tiny_model, names, tmp_path / "local.parquet")
    assert local.column("error").null_count == len(names) - 1
    assert pq.read_table(job.results).equals(local)


def test_what_is_whole_is_kept_and_what_is_not_is_written_anew(job, photo_folder, tmp_path):
    (photo_folder / "photo3.png").write_bytes(b"broken")
    first = worked(job, [str(photo_folder)], 4)
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert [path.name for path in parts] == [f"part-000000{n}.parquet" for n in range(3)]
    table = pq.read_table(job.results)
    times = [path.stat().st_mtime_ns for path in parts]
    parts[1].write_bytes(parts[1].read_bytes()[:-20])
    again = worked(job, [str(photo_folder)], 4)
    assert [part.earlier for part in again] == [True, False, True]
    assert [part.failed for part in again] == [part.failed for part in first] == [1, 0, 0]
    assert again[0].errors == first[0].errors
    assert [path.stat().st_mtime_ns == time for path, time in zip(parts, times, strict=True)] == [
        True,
        False,
        True,
    ]
    assert pq.read_table(job.results).equals(table)


def test_a_worker_of_other_versions_is_refused(job):
    with pytest.raises(ConfigError, match=r"would score otherwise .* Install the same versions"):
        Worker(replace(job, settings=("model=0",)))


class Killer:
    """A photo that ends the process that reads it."""

    def read(self):
        os.kill(os.getpid(), signal.SIGKILL)


@needs_sigkill
@pytest.mark.slow
def test_a_photo_that_ends_its_process_is_a_row_with_an_error(job, photo_folder):
    name = str(photo_folder / "photo2.png")
    photos = [ListedPhoto("killer.jpg", Killer()), ListedPhoto(name, name)]
    killed, scored = scored_isolated(job.scorer, job.scorer(), iter(photos))
    assert killed.error.startswith("killer.jpg: ended the process that read it")
    assert scored == next(Scorer.score(job.scorer(), [name]))


@pytest.mark.slow
def test_a_slice_that_workers_did_not_survive_is_scored_isolated(
    job, tiny_model, photo_folder, tmp_path
):
    folder = Folder(job.results)
    folder.write(f"{NOTES}/begun/0000000", b"2")
    (done,) = worked(job, [str(photo_folder)], 20)
    names = find_photos([photo_folder]).names
    assert done.photos == len(names)
    local = local_rows(tiny_model, names, tmp_path / "local.parquet")
    assert pq.read_table(job.results).equals(local)
    assert folder.read(f"{NOTES}/begun/0000000") is None


def test_a_slice_that_is_begun_is_noted_until_it_is_done(job, tmp_path):
    lost = Slice(4, str(tmp_path / "none.parquet"), 0, 3)
    with pytest.raises(Exception, match=r"none\.parquet"):
        Worker(job)(asdict(lost))
    assert Folder(job.results).read(f"{NOTES}/begun/0000004") == b"1"
