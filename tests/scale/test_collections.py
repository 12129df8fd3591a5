"""Archives and data sets give the same rows here and on Ray, and join back to their sources."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from siamese_nima.cli import app
from siamese_nima.errors import TableError
from siamese_nima.photos.sources import find_sources, listed_photos
from siamese_nima.scale.plan import Folder, open_plan
from siamese_nima.scale.worker import Done, Job, Worker
from siamese_nima.scoring.scorer import Scorer


def photo(number: int) -> bytes:
    random = np.random.default_rng(number)
    file = io.BytesIO()
    noise = random.integers(0, 255, (40, 60, 3), np.uint8) // (1 + number % 5)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shards(tmp_path):
    """Two shards as WebDataset has them, one photo of them broken."""
    for shard in range(2):
        with tarfile.open(tmp_path / f"shard-{shard}.tar", "w") as tar:
            for number in range(10 * shard, 10 * shard + 10):
                content = b"broken" if number == 13 else photo(number)
                for name, part in ((f"{number:04d}.png", content), (f"{number:04d}.cls", b"1")):
                    info = tarfile.TarInfo(name)
                    info.size = len(part)
                    tar.addfile(info, io.BytesIO(part))
    return tmp_path


@pytest.fixture
def data_set(tmp_path):
    """A table as a Hugging Face data set is stored, with nothing in one row."""
    images = [{"bytes": photo(number), "path": f"p{number}.png"} for number in range(12)]
    images[4] = None
    images[7]["path"] = None
    columns = {
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": list(range(12)),
        "score": [f"old {number}" for number in range(12)],
        "tags": [["a", "b"][: number % 3] for number in range(12)],
        "thumbnail": [b"x"] * 12,
    }
    pq.write_table(pa.table(columns), tmp_path / "train.parquet", row_group_size=5)
    return tmp_path / "train.parquet"


def local(model, out, *arguments):
    options = ["--model", str(model), "--quiet", "--no-cache", "--distribution"]
    done = CliRunner().invoke(app, ["score", *arguments, "-o", str(out), *options])
    assert done.exit_code == 1, done.output  # one photo has an error
    return pq.read_table(out)


def on_workers(model, out, arguments, **options):
    found = find_sources(arguments, **options)
    job = Job(
        results=str(out),
        start=".",
        models={model.stem: model.read_bytes()},
        settings=Scorer(model).settings(),
        kept=found.kept(),
    )
    slices = open_plan(Folder(job.results), found, job.settings, 7)
    worker = Worker(job)
    done = [Done.of_row(worker(asdict(part))) for part in slices]
    assert sum(part.photos for part in done) == found.photos
    return pq.read_table(out)


def test_shards_give_the_same_rows_locally_and_on_workers(shards, tiny_model, monkeypatch):
    monkeypatch.chdir(shards)
    table = local(tiny_model, "scores.parquet", "shard-*.tar")
    assert on_workers(tiny_model, "out", ["shard-*.tar"]).equals(table)
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == [
        f"shard-{number // 10}.tar::{number:04d}.png" for number in range(20)
    ]
    assert [(row["key"], row["row"]) for row in rows] == [
        (f"{number:04d}", number % 10) for number in range(20)
    ]
    assert [number for number in range(20) if rows[number]["score"] is None] == [13]
    assert rows[13]["error"].startswith("shard-1.tar::0013.png: not a photo")
    expected = Scorer(tiny_model).score([photo(number) for number in (0, 19)])
    assert [rows[0]["score"], rows[19]["score"]] == [round(one.score, 4) for one in expected]


@pytest.fixture
def in_store(shards, data_set, tmp_path):
    """The same collections in a store, the shards zipped too; the store's URL."""
    pytest.importorskip("fsspec")
    import fsspec

    with tarfile.open(shards / "shard-1.tar") as tar, zipfile.ZipFile(shards / "s.zip", "w") as out:
        for member in tar:
            out.writestr(member.name, tar.extractfile(member).read(), zipfile.ZIP_DEFLATED)
    url = f"memory:///{tmp_path.name}"
    for path in (*shards.glob("shard-*.tar"), shards / "s.zip", data_set):
        with fsspec.open(f"{url}/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    return url


@pytest.mark.parametrize("what", ["shard-*.tar", "s.zip", "train.parquet"])
def test_collections_in_a_store_give_the_rows_of_those_on_a_disk(
    shards, in_store, tiny_model, tmp_path, monkeypatch, what
):
    monkeypatch.chdir(shards)
    expected = local(tiny_model, "disk.parquet", what)
    table = local(tiny_model, "store.parquet", f"{in_store}/{what}")
    assert on_workers(tiny_model, "out", [f"{in_store}/{what}"]).equals(table)
    names = [name for name in table.column_names if name not in ("path", "error")]
    assert table.select(names).equals(expected.select(names))
    # A table is named by its file, as an archive is by the whole of its place.
    assert [row["path"].removeprefix(f"{in_store}/") for row in table.to_pylist()] == (
        expected.column("path").to_pylist()
    )


def test_a_store_that_fails_in_the_midst_of_an_archive_costs_its_photo_alone(
    in_store, tiny_model, tmp_path, monkeypatch
):
    from fsspec.implementations.memory import MemoryFileSystem

    whole = MemoryFileSystem.cat_file

    def fails(self, path, start=None, end=None, **more):
        if start is not None and start > 10_000:
            raise RuntimeError("the store is away")
        return whole(self, path, start=start, end=end, **more)

    monkeypatch.setattr("siamese_nima.photos.stores._FIRST_PAUSE_S", 0)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", fails)
    table = local(tiny_model, tmp_path / "t.parquet", f"{in_store}/shard-0.tar").to_pylist()
    failed = [row for row in table if row["error"]]
    assert 0 < len(failed) < len(table) == 10
    assert failed[0]["error"] == (
        f"{failed[0]['path']}: not fetched in 4 attempts (the store is away)."
    )


def test_what_was_scored_is_known_of_an_archive_that_was_moved(shards, tiny_model, tmp_path):
    scorer = Scorer(tiny_model, cache=tmp_path / "cache.sqlite")

    def scored(name):
        found = find_sources([str(shards / name)])
        return list(scorer.score(one.photo for one in listed_photos(found)))

    first = scored("shard-0.tar")
    (shards / "shard-0.tar").rename(shards / "moved.tar")
    again = scored("moved.tar")
    assert not any(result.cached for result in first)
    assert all(result.cached for result in again)
    assert [result.score for result in again] == [result.score for result in first]


def test_a_data_set_keeps_its_other_columns_but_not_its_pictures(
    data_set, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    table = local(tiny_model, "scores.parquet", "train.parquet")
    assert on_workers(tiny_model, "out", ["train.parquet"]).equals(table)
    assert table.column("row").to_pylist() == list(range(12))
    assert table.column("label").to_pylist() == list(range(12))
    assert table.column("data_score").to_pylist() == [f"old {number}" for number in range(12)]
    assert table.column("tags").to_pylist()[2] == ["a", "b"]
    assert not {"image", "thumbnail"} & {*table.column_names}
    rows = table.to_pylist()
    assert (rows[0]["path"], rows[7]["path"]) == ("train.parquet::p0.png", "train.parquet::7")
    assert rows[4]["error"] == "train.parquet::4: no photo, the row holds none."
    assert [row["score"] is None for row in rows].index(True) == 4


def test_other_names_of_the_column_and_plain_bytes(data_set, tmp_path):
    table = pq.read_table(data_set)
    other = tmp_path / "other.parquet"
    pictures = pa.array([photo(1), photo(2)], pa.binary())
    pq.write_table(pa.table({"jpg": pictures, "caption": ["a", "b"]}), other)
    found = find_sources([str(other)], image_column="jpg")
    assert [one.about for one in listed_photos(found)] == [
        {"key": None, "row": 0, "caption": "a"},
        {"key": None, "row": 1, "caption": "b"},
    ]
    with pytest.raises(TableError, match="no column 'none' among jpg, caption"):
        find_sources([str(other)], image_column="none")
    with pytest.raises(TableError, match="column 'label' is int64; wanted bytes, or a struct"):
        find_sources([str(data_set)], image_column="label")
    odd = tmp_path / "odd.parquet"
    labels = table.column("label").cast(pa.string())
    pq.write_table(table.set_column(1, "label", labels), odd)
    with pytest.raises(TableError, match="column 'label' is string, and int64 elsewhere"):
        find_sources([str(data_set), str(odd)]).kept()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_data_set_of_the_real_package_is_filtered_by_its_scores(
    tiny_model, tmp_path, monkeypatch
):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    images = [Image.open(io.BytesIO(photo(number))) for number in range(8)]
    made = datasets.Dataset.from_dict({"image": images, "label": list(range(8))}).cast_column(
        "image", datasets.Image()
    )
    made.to_parquet("photos.parquet")
    done = CliRunner().invoke(
        app, ["score", "photos.parquet", "-o", "scores.parquet", "--model", str(tiny_model)]
    )
    assert done.exit_code == 0, done.output
    scores = datasets.Dataset.from_parquet("scores.parquet", cache_dir=str(tmp_path / "cache"))
    limit = sorted(scores["score"])[4]
    kept = made.add_column("score", scores["score"]).filter(lambda row: row["score"] >= limit)
    assert kept["label"] == [row["label"] for row in scores if row["score"] >= limit]
    assert len(kept) == 4
    assert kept[0]["image"].size == (60, 40)


@pytest.mark.parametrize("by", ["argument", "standard input"])
def test_a_url_is_not_fetched_unless_its_host_is_named(tiny_model, by):
    url = "https://photos.example/a.jpg"
    arguments = ["score", url if by == "argument" else "-", "--model", str(tiny_model)]
    done = CliRunner().invoke(app, arguments, input=f"{url}\n")
    assert done.exit_code != 0
    said = str(done.exception or "") + done.output
    assert f"{url}: a URL; none is fetched unless its host is named: --url-host photos.ex" in said


def test_a_url_of_a_named_host_keeps_the_guards(tiny_model):
    arguments = ["http://localhost:9/a.jpg", "http://evil.example/b.jpg", "--url-host", "localhost"]
    done = CliRunner().invoke(app, ["score", *arguments, "--model", str(tiny_model)])
    assert done.exit_code == 1
    assert "http://localhost:9/a.jpg: this host is not on the list" in done.output
    assert "http://evil.example/b.jpg: this host is not on the list" in done.output


def test_copies_are_refused_of_photos_that_are_no_files(shards, tiny_model):
    done = CliRunner().invoke(
        app,
        ["rank", str(shards / "shard-0.tar"), "--copy-to", "best", "--model", str(tiny_model)],
    )
    assert "--copy-to copies files" in str(done.exception or "") + done.output


URL = "https://photos.example/a.jpg"


@pytest.mark.parametrize("columns", ["image", "path", "path through a store"])
def test_a_url_in_a_table_is_not_fetched_unless_its_host_is_named(
    tiny_model, tmp_path, monkeypatch, columns
):
    def asked(*_, **__):
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("siamese_nima.photos.stores.open_store", asked)
    url = f"simplecache::{URL}" if "store" in columns else URL
    image = pa.array(
        [{"bytes": None, "path": url}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    table = {"image": image} if columns == "image" else {"path": [url]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    arguments = ["score", str(tmp_path / "t.parquet"), "--model", str(tiny_model)]
    done = CliRunner().invoke(app, arguments)
    assert "none is fetched unless its host is named: --url-host photos.example" in done.output
    assert done.exit_code == 1
    if "store" not in columns:
        done = CliRunner().invoke(app, [*arguments, "--url-host", "localhost"])
        assert f"{URL}: this host is not on the list" in done.output


def test_a_url_through_another_store_is_one(tiny_model):
    done = CliRunner().invoke(app, ["score", f"simplecache::{URL}", "--model", str(tiny_model)])
    assert "none is fetched unless its host is named" in str(done.exception)


def test_a_url_beside_pictures_is_not_fetched(tiny_model, tmp_path):
    image = [{"bytes": None, "path": "ftp://photos.example/a.jpg"}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(image, kind)}), tmp_path / "t.parquet")
    done = CliRunner().invoke(
        app, ["score", str(tmp_path / "t.parquet"), "--model", str(tiny_model)]
    )
    assert "the table holds no photo here, only a URL, which is not fetched" in done.output


def test_columns_of_a_data_set_that_are_called_as_ours_keep_their_values(
    tiny_model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    images = [{"bytes": photo(number), "path": f"p{number}.png"} for number in range(3)]
    images[1]["bytes"] = b""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, kind), "key": ["k0", "k1", "k2"], "row": ["7", "8", "9"]}
    pq.write_table(pa.table(columns), "t.parquet")
    table = local(tiny_model, "o.parquet", "t.parquet")
    assert on_workers(tiny_model, "out", ["t.parquet"]).equals(table)
    assert table.column("key").to_pylist() == ["p0.png", "p1.png", "p2.png"]
    assert table.column("row").to_pylist() == [0, 1, 2]
    assert table.column("data_key").to_pylist() == ["k0", "k1", "k2"]
    assert table.column("data_row").to_pylist() == ["7", "8", "9"]
